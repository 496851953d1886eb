"""What a run says to GitHub Actions: annotations on the log, and a step summary in Markdown. Pure; the command line writes them.

Annotations are workflow commands ("::error title=…::message"). GitHub shows ten of a kind for a step, so the worst come first and the
last says how many more there are.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from conformance.report.baseline import Comparison
from conformance.report.diff import plain
from conformance.report.results import Result, Results
from conformance.report.verdicts import NOT_APPLICABLE, SEVERITY, Verdict, counts, unexpected

__all__ = ["step_summary", "workflow_commands"]

#: GitHub shows so many annotations of a kind for one step and drops the rest.
SHOWN: Final = 10
#: GitHub refuses a step summary above 1 MiB; so many rows of some 300 bytes stay far below.
ROWS: Final = 200


def _data(text: str) -> str:
    """The message of a workflow command: one line, with the escapes that commands have."""
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    """A property of a workflow command."""
    return _data(text).replace(":", "%3A").replace(",", "%2C")


def _command(kind: str, title: str, message: str) -> str:
    return f"::{kind} title={_property(title)}::{_data(message)}"


def _worst_first(results: Iterable[Result]) -> list[Result]:
    return sorted(results, key=lambda result: (-SEVERITY.index(result.verdict), result.assertion, result.mode))


def _unexpected(results: Results, comparison: Comparison | None) -> Sequence[Result]:
    return _worst_first(comparison.unexpected if comparison else filter(unexpected, results.results))


def workflow_commands(results: Results, comparison: Comparison | None = None) -> list[str]:
    """Workflow commands: an error for each unexpected result, a warning for each stale entry of the baseline and for a partial run."""
    errors = [
        (f"{result.assertion} [{result.mode}] {result.verdict}", result.message.partition("\n")[0] or "no reason given")
        for result in _unexpected(results, comparison)
    ]
    warnings = [
        (f"{stale.entry.assertion} [{stale.entry.mode}] stale", stale.why) for stale in (comparison.stale if comparison else ())
    ]
    if results.partial:
        warnings.insert(0, ("partial run", results.why_partial))
    lines = []
    for kind, found in (("error", errors), ("warning", warnings)):
        more = len(found) - SHOWN
        kept = found if more <= 0 else found[: SHOWN - 1]
        lines += [_command(kind, title, message) for title, message in kept]
        if more > 0:
            lines.append(_command(kind, f"{more + 1} more", "the page and results.jsonl of this run have them all"))
    return lines


def step_summary(results: Results, comparison: Comparison | None = None) -> str:
    """Markdown: the counts, what is unexpected, what is stale; known failures folded away."""
    shown = [result for result in results.results if result.phase != NOT_APPLICABLE]
    found = counts(shown)
    lines = [f"### {plain(results.label or 'runner')}", ""]
    if results.partial:
        lines += [f"> {plain(results.why_partial)}", ""]
    lines += [
        "| " + " | ".join(str(verdict) for verdict in found) + " |",
        "|" + "---|" * len(found),
        "| " + " | ".join(str(number) for number in found.values()) + " |",
    ]
    bad = _unexpected(results, comparison)
    lines += _table("Unexpected", ((r.assertion, r.mode, str(r.verdict), r.message.partition("\n")[0]) for r in bad))
    if comparison:
        stale = ((s.entry.assertion, s.entry.mode, "stale", s.why) for s in comparison.stale)
        known = ((r.assertion, r.mode, str(r.verdict), entry.issue) for r, entry in comparison.known)
        lines += _table("Stale entries of the baseline", stale)
        lines += _table("Known failures", known, folded=True)
    if not any(result.verdict is not Verdict.NO_VERDICT for result in shown):
        lines += ["", "Nothing came to a verdict."]
    return "\n".join(lines) + "\n"


def _table(heading: str, rows: Iterable[tuple[str, str, str, str]], *, folded: bool = False) -> list[str]:
    found = list(rows)
    if not found:
        return []
    title = f"{heading} ({len(found)})"
    opening = ["", f"<details><summary>{title}</summary>", ""] if folded else ["", f"#### {title}", ""]
    lines = [f"| `{assertion}` | {plain(mode)} | {plain(verdict)} | {plain(text)} |" for assertion, mode, verdict, text in found]
    rest = [f"| … {len(found) - ROWS} more | | | |"] if len(found) > ROWS else []
    table = ["| assertion | mode | verdict | reason |", "|---|---|---|---|", *lines[:ROWS], *rest]
    return [*opening, *table, *(["", "</details>"] if folded else [])]
