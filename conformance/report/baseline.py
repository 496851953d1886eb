"""Baselines: what a runner is known to get wrong, each entry bound to an issue. What changes in either direction is seen.

    schema = 1
    runner = "prism"

    [[expected]]
    assertion = "TRIG25/no-empty-final-pane"
    mode = "streaming"                        # or "*" for every mode
    verdict = "wrong"
    message = "an empty final pane"           # the result's message begins so; empty: any message
    issue = "https://example.org/issues/1"
    expires = 2026-12-31                      # optional: from then on the entry is stale
    note = "…"                                # optional
    flaky = true                              # optional: comes out otherwise from run to run, for the note's reason

An entry excuses exactly what it lists. It is *stale* when its assertion passed, came out otherwise, got no verdict, matched
nothing, or has expired: exit code 2. A flaky one excuses every way to fail and is not stale by passing; it takes a note that tells what
it depends on, and only a person writes it. A failure in set-up is never excused, because it says nothing about the assertion.
"""

from __future__ import annotations

import datetime
import json
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final, Literal

import attrs
import msgspec

from conformance.report.results import Result, Results
from conformance.report.verdicts import NOT_APPLICABLE, Verdict, always_on, unexpected

__all__ = [
    "BadBaseline",
    "Baseline",
    "BaselineError",
    "Comparison",
    "Entry",
    "PartialRun",
    "Stale",
    "compare",
    "dumps",
    "loads",
    "mark",
    "read",
    "update",
]

SCHEMA: Final = 1
#: Phases in which nothing about an assertion has been seen yet.
SETUP_PHASES: Final = frozenset({"setup", "connect", "launch"})
#: Long enough to tell failures apart, short enough not to reach the volatile end of a message.
PREFIX: Final = 72
#: Where a message stops being the same from run to run: addresses, ids, long numbers, paths, counts, and whatever is said of a drawn
#: program, because what is found to be the smallest may be another next time.
_VOLATILE = re.compile(
    r"\d{4,}|0x[0-9a-f]+|\b[0-9a-f]{8}-|localhost|127\.0\.0\.1|\[::1?\]|/tmp/|/home/|/root/|job-|inst\d|worker_\d"
    r"|goroutine|\(?\d+ times|(?<=not admissible: )"
)


class BaselineError(ValueError):
    """A baseline cannot be used or written."""


class BadBaseline(BaselineError):
    """The file breaks the rules of a baseline."""


class PartialRun(BaselineError):
    """A baseline is not written from a run that did not see everything."""


Excusable = Literal["wrong", "declined", "error", "timeout"]
assert set(Excusable.__args__) == set(Verdict) - {Verdict.PASS, Verdict.NO_VERDICT}  # type: ignore[attr-defined]


class Entry(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One known failure."""

    assertion: str
    verdict: Excusable
    issue: str
    mode: str = "*"
    message: str = ""
    expires: datetime.date | None = None
    note: str = ""
    flaky: bool = False

    def concerns(self, result: Result) -> bool:
        return self.assertion == result.assertion and self.mode in ("*", result.mode)

    def excuses(self, result: Result) -> bool:
        if not self.concerns(result) or result.phase in SETUP_PHASES:
            return False
        if self.flaky:
            return result.verdict not in (Verdict.PASS, Verdict.NO_VERDICT)
        return result.verdict == self.verdict and result.message.startswith(self.message)


class Baseline(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """All that is known of one runner."""

    schema: int = SCHEMA
    runner: str = ""
    expected: tuple[Entry, ...] = ()


@attrs.frozen
class Stale:
    """An entry that no longer says the truth, and how."""

    entry: Entry
    why: str
    result: Result | None = None


@attrs.frozen
class Comparison:
    """A run held against a baseline."""

    #: Results that an entry lists exactly.
    known: tuple[tuple[Result, Entry], ...]
    #: Results that count against the runner and are listed by no entry.
    unexpected: tuple[Result, ...]
    stale: tuple[Stale, ...]
    #: Entries that a partial or narrowed run had no chance to check.
    unchecked: tuple[Entry, ...] = ()


def loads(text: str, name: str = "baseline") -> Baseline:
    """A checked baseline. BadBaseline names the entry and the repair."""
    try:
        baseline = msgspec.toml.decode(text, type=Baseline)
    except msgspec.DecodeError as error:
        raise BadBaseline(f"{name}: {error}. The keys are those of Entry: {', '.join(Entry.__struct_fields__)}") from error
    if baseline.schema != SCHEMA:
        raise BadBaseline(f"{name}: schema {baseline.schema} is not known, write schema = {SCHEMA}")
    seen: set[tuple[str, str]] = set()
    for number, entry in enumerate(baseline.expected, start=1):
        where = f"{name}: entry {number} ({entry.assertion})"
        if not re.fullmatch(r"https?://\S+", entry.issue):
            raise BadBaseline(f'{where} has no issue link: write issue = "https://…", where the failure is tracked')
        if not re.fullmatch(r"[A-Z]+\d+/[a-z0-9-]+", entry.assertion):
            raise BadBaseline(f"{where} names no assertion: write LEAF/slug; one entry lists one assertion, without wildcards")
        if entry.flaky and not entry.note:
            raise BadBaseline(f'{where} is flaky without a reason: write note = "…", what its outcome depends on')
        if (entry.assertion, entry.mode) in seen:
            raise BadBaseline(f"{where} is there twice for mode {entry.mode}: keep one")
        if (entry.mode == "*" and any(assertion == entry.assertion for assertion, _ in seen)) or (entry.assertion, "*") in seen:
            raise BadBaseline(f"{where} is listed for every mode and for one: keep either")
        seen.add((entry.assertion, entry.mode))
    return baseline


def read(path: str | Path) -> Baseline:
    """The baseline in a file."""
    path = Path(path)
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise BadBaseline(f"{path} cannot be read ({error}); `beam-conformance baseline update` writes one") from error
    return loads(text, str(path))


def compare(baseline: Baseline | None, results: Results, today: datetime.date | None = None) -> Comparison:
    """Hold a run against a baseline. Without `today` nothing expires."""
    entries = baseline.expected if baseline else ()
    known: list[tuple[Result, Entry]] = []
    stale: list[Stale] = []
    unchecked: list[Entry] = []
    excused: set[tuple[str, str, str]] = set()
    for entry in entries:
        concerned = [result for result in results.results if entry.concerns(result) and result.phase != NOT_APPLICABLE]
        expired = entry.expires is not None and today is not None and entry.expires <= today
        if expired:
            stale.append(Stale(entry, f"expired on {entry.expires}: fix it, or give it a later date", None))
        elif not concerned and (results.partial or results.narrowed):
            unchecked.append(entry)
        elif not concerned:
            stale.append(Stale(entry, "matched nothing: the assertion is gone or was renamed, or the mode never runs", None))
        # An always-on rule looks at the jobs that ran: in a part of the suite it may have less to see, or see it elsewhere first.
        partly = results.narrowed and always_on(entry.assertion)
        for result in concerned:
            if not expired and (entry.excuses(result) or (partly and str(result.verdict) == entry.verdict)):
                known.append((result, entry))
                excused.add(result.key)
            elif not expired and partly and result.verdict is Verdict.PASS:
                unchecked.append(entry)
            elif not expired and (why := _why_stale(entry, result)):
                stale.append(Stale(entry, why, result))
    left = tuple(result for result in results.results if unexpected(result) and result.key not in excused)
    return Comparison(tuple(known), left, tuple(stale), tuple(unchecked))


def _why_stale(entry: Entry, result: Result) -> str:
    if result.phase in SETUP_PHASES or entry.flaky:
        # The entry may still be true. Of a set-up failure it is itself unexpected; of a flaky one any outcome bears it out.
        return ""
    if result.verdict is Verdict.PASS:
        return "it passes now: remove the entry"
    if result.verdict is Verdict.NO_VERDICT:
        return f"it got no verdict ({result.message or 'no reason given'}): the entry was not confirmed"
    if str(result.verdict) != entry.verdict:
        return f"it is {result.verdict} now, listed as {entry.verdict}"
    return f"it fails with another message: {result.message.partition(chr(10))[0]!r}"


def mark(results: Iterable[Result], comparison: Comparison) -> tuple[Result, ...]:
    """The results, with the issue link on those that the baseline lists."""
    links = {result.key: entry.issue for result, entry in comparison.known}
    return tuple(msgspec.structs.replace(r, listed=links[r.key]) if r.key in links else r for r in results)


def update(results: Results, old: Baseline | None = None, *, issue: str = "") -> Baseline:
    """The baseline that this run asks for: entries that still hold stay as they are (with their issue, expiry and note); those
    that pass or are gone go; the rest is listed anew under `issue`.

    Raises PartialRun when the run did not see everything, and BaselineError when new entries lack an issue link.
    """
    if results.partial or results.narrowed:
        part = results.header.selection or results.header.shard
        reason = results.why_partial or f"The run covers a part of the suite ({part})."
        raise PartialRun(
            f"a baseline is written from whole runs only. {reason} Run the whole suite, or edit the baseline by hand"
        )
    comparison = compare(old, results)
    asked = {result.assertion for result in results.results}
    flaky = [entry for entry in (old.expected if old else ()) if entry.flaky and entry.assertion in asked]
    kept = {(entry.assertion, entry.mode): entry for entry in [*flaky, *(entry for _, entry in comparison.known)]}
    # An entry for every mode that only some modes bear out is replaced by entries for those modes.
    dubious = {stale.entry for stale in comparison.stale}
    entries = {key: entry for key, entry in kept.items() if entry not in dubious}
    by_assertion = {(entry.assertion, entry.mode): entry for entry in (old.expected if old else ())}
    needs_issue: list[str] = []
    for result in results.results:
        if not unexpected(result) and not any(result.key == known.key for known, _ in comparison.known):
            continue
        if result.phase in SETUP_PHASES:
            raise BaselineError(
                f"{result.assertion} failed in {result.phase}, which no baseline excuses; repair the set-up and run again"
            )
        if any(entry.excuses(result) for entry in entries.values()):
            continue
        before = by_assertion.get((result.assertion, result.mode)) or by_assertion.get((result.assertion, "*"))
        link = before.issue if before else issue
        if not link:
            needs_issue.append(f"{result.assertion} [{result.mode}]")
            continue
        entries[result.assertion, result.mode] = Entry(
            assertion=result.assertion,
            verdict=result.verdict.value,  # type: ignore[arg-type]
            issue=link,
            mode=result.mode,
            message=_prefix(result.message),
            expires=before.expires if before else None,
            note=before.note if before else "",
        )
    if needs_issue:
        raise BaselineError(
            f"{len(needs_issue)} failures are not tracked yet: {', '.join(needs_issue[:5] + ['…'] * (len(needs_issue) > 5))}. "
            "Give --issue URL for them"
        )
    ordered = tuple(entries[key] for key in sorted(entries))
    return Baseline(SCHEMA, results.header.runner.name, ordered)


def _prefix(message: str) -> str:
    first = message.partition("\n")[0][:PREFIX]
    volatile = _VOLATILE.search(first)
    return first[: volatile.start()] if volatile else first


def dumps(baseline: Baseline) -> str:
    """The TOML text that `loads` reads back as the same value."""
    lines = [f"schema = {baseline.schema}", f"runner = {_toml(baseline.runner)}"]
    for entry in baseline.expected:
        lines += ["", "[[expected]]"]
        values: Mapping[str, object] = msgspec.structs.asdict(entry)
        for name in ("assertion", "mode", "verdict", "message", "issue", "expires", "note", "flaky"):
            value = values[name]
            if value is None or value is False or (value == "" and name == "note"):
                continue
            lines.append(f"{name} = {_toml(value)}")
    return "\n".join(lines) + "\n"


def _toml(value: object) -> str:
    """A TOML date, boolean or basic string. JSON's escapes are TOML's, but TOML also wants DEL escaped."""
    if isinstance(value, datetime.date):
        return value.isoformat()
    return json.dumps(value if value is True else str(value), ensure_ascii=False).replace("\x7f", "\\u007f")
