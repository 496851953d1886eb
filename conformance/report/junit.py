"""junit.xml from results, whoever ran them: one suite an area (or leaf prefix), one case an assertion and mode.

Independent of pytest's own junit, which knows tests but not verdicts. What a CI shows as red is what the exit code calls
unexpected: a case fails or errs only for a MUST that no baseline lists; everything else that did not pass is "skipped" with
its verdict as text.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from xml.etree import ElementTree

from conformance.report.ledgers import LedgerLike, area_of
from conformance.report.results import Result, Results
from conformance.report.verdicts import Verdict, unexpected

__all__ = ["render"]

#: Element of an unexpected result. JUnit's "failure" is an outcome that was judged bad, "error" one that could not be had.
ELEMENT: Mapping[Verdict, str] = {
    Verdict.WRONG: "failure",
    Verdict.DECLINED: "failure",
    Verdict.ERROR: "error",
    Verdict.TIMEOUT: "error",
}
assert set(ELEMENT) == set(Verdict) - {Verdict.PASS, Verdict.NO_VERDICT}

#: What XML 1.0 forbids; one such byte in a runner's message would make the whole file unreadable.
_FORBIDDEN = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def render(results: Results, ledger: LedgerLike | None = None) -> str:
    """The XML text. With a ledger, suites are named after its areas."""
    header = results.header
    root = ElementTree.Element("testsuites", name=_clean(f"beam-conformance {results.label}"))
    groups: dict[str, list[Result]] = {}
    for result in results.results:
        groups.setdefault(area_of(result.leaf, ledger).title, []).append(result)
    totals = dict.fromkeys(("tests", "failures", "errors", "skipped"), 0)
    for title, group in groups.items():
        suite = ElementTree.SubElement(root, "testsuite", name=_clean(title), timestamp=_clean(header.started[:19]))
        properties = ElementTree.SubElement(suite, "properties")
        for name, value in (
            ("suite", header.suite),
            ("runner", results.label),
            ("sdk", header.sdk),
            ("seed", "" if header.seed is None else str(header.seed)),
            ("command", header.command),
            ("partial", results.why_partial),
        ):
            if value:
                ElementTree.SubElement(properties, "property", name=name, value=_clean(value))
        tally = dict.fromkeys(totals, 0)
        for result in group:
            tally["tests"] += 1
            if outcome := _case(suite, title, result):
                tally[{"failure": "failures", "error": "errors", "skipped": "skipped"}[outcome]] += 1
        _attributes(suite, tally, group)
        for name, number in tally.items():
            totals[name] += number
    _attributes(root, totals, results.results)
    ElementTree.indent(root)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + ElementTree.tostring(root, encoding="unicode") + "\n"


def _case(suite: ElementTree.Element, title: str, result: Result) -> str:
    """Add one case; the answer is the outcome element's name, empty for a pass."""
    case = ElementTree.SubElement(
        suite,
        "testcase",
        name=_clean(f"{result.assertion}[{result.mode}]"),
        classname=_clean(f"beam-conformance.{title}.{result.leaf}".replace(" ", "-")),
        time=f"{result.seconds:.3f}",
    )
    if result.verdict is Verdict.PASS:
        return ""
    red = unexpected(result) and not result.listed
    outcome = ELEMENT[result.verdict] if red else "skipped"
    known = f" (known: {result.listed})" if result.listed else ""
    level = "" if result.level == "MUST" else f" ({result.level})"
    first_line, _, _ = result.message.partition("\n")
    element = ElementTree.SubElement(case, outcome, message=_clean(f"{result.verdict}{level}: {first_line}{known}"))
    if red:
        element.set("type", str(result.verdict))
    element.text = _clean(_details(result))
    return outcome


def _details(result: Result) -> str:
    parts = [
        ("requirement", f"{result.level} {result.statement}" if result.statement else ""),
        ("rule", result.rule),
        ("phase", result.phase),
        ("message", result.message),
        ("expected", result.expected),
        ("observed", result.observed),
        ("reproduce", result.evidence.get("command", "")),
    ]
    return "\n".join(f"{name}: {value}" for name, value in parts if value not in ("", None))


def _attributes(element: ElementTree.Element, tally: Mapping[str, int], group: tuple[Result, ...] | list[Result]) -> None:
    for name, number in tally.items():
        element.set(name, str(number))
    element.set("time", f"{sum(result.seconds for result in group):.3f}")


def _clean(text: str) -> str:
    return _FORBIDDEN.sub("\ufffd", text)
