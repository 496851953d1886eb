"""Two runs compared: what got worse, what got better, what is new or gone. Removal is not regression.

The comparison is by assertion, mode and SDK. A verdict counts as bad when it speaks against the runner; "no verdict" is
neither good nor bad, so moving from or to it is a change, not a fix and not a regression.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Literal

import attrs
import msgspec

from conformance.report.results import Result, Results
from conformance.report.verdicts import Verdict

__all__ = ["Change", "Diff", "Kind", "compare", "plain", "to_json", "to_markdown", "to_text"]

Kind = Literal["regression", "fix", "changed", "new", "removed"]
Side = Literal["good", "bad", "none"]

SIDE: Mapping[Verdict, Side] = {
    Verdict.PASS: "good",
    Verdict.WRONG: "bad",
    Verdict.DECLINED: "bad",
    Verdict.ERROR: "bad",
    Verdict.TIMEOUT: "bad",
    Verdict.NO_VERDICT: "none",
}
KIND: Mapping[tuple[Side, Side], Kind] = {
    ("good", "bad"): "regression",
    ("bad", "good"): "fix",
    ("bad", "bad"): "changed",
    ("good", "none"): "changed",
    ("none", "good"): "changed",
    ("bad", "none"): "changed",
    ("none", "bad"): "changed",
}
assert set(SIDE) == set(Verdict)
assert {a for a, _ in KIND} == {b for _, b in KIND} == set(SIDE.values())

HEADINGS: Mapping[Kind, str] = {
    "regression": "Regressions: passed before, and no longer do",
    "fix": "Fixes: pass now, and did not before",
    "changed": "Changed: another verdict, neither fixed nor regressed",
    "new": "New: only in the second run",
    "removed": "Removed: only in the first run",
}


@attrs.frozen
class Change:
    """One assertion whose verdict is not what it was."""

    kind: Kind
    assertion: str
    mode: str
    sdk: str
    before: Verdict | None
    after: Verdict | None
    level: str = "MUST"
    #: The message of the later result, or of the earlier one where there is no later.
    message: str = ""


@attrs.frozen
class Diff:
    before: Results
    after: Results
    changes: tuple[Change, ...]
    #: Assertions with the same verdict on both sides.
    same: int

    def of(self, kind: Kind) -> tuple[Change, ...]:
        return tuple(change for change in self.changes if change.kind == kind)

    @property
    def caveats(self) -> tuple[str, ...]:
        """What makes the comparison less than it seems."""
        found = []
        for side, results in (("first", self.before), ("second", self.after)):
            if results.partial:
                found.append(f"The {side} run is partial, so what it lacks says nothing. {results.why_partial}")
            elif results.narrowed:
                found.append(f"The {side} run covers a part of the suite: {results.header.selection or results.header.shard}.")
        if self.before.header.suite != self.after.header.suite:
            found.append(f"The suites differ: {self.before.header.suite} and {self.after.header.suite}.")
        return tuple(found)


def compare(before: Results, after: Results) -> Diff:
    """What changed from one run to the other, regressions first, then by assertion."""
    old, new = _by_key(before.results), _by_key(after.results)
    changes: list[Change] = []
    same = 0
    for key in old.keys() | new.keys():
        a, b = old.get(key), new.get(key)
        if a and b and a.verdict is b.verdict:
            same += 1
            continue
        known = b or a
        assert known is not None
        changes.append(
            Change(
                kind=_kind(a, b),
                assertion=known.assertion,
                mode=known.mode,
                sdk=known.sdk,
                before=a.verdict if a else None,
                after=b.verdict if b else None,
                level=str(known.level),
                message=known.message.partition("\n")[0],
            )
        )
    order = list(HEADINGS)
    changes.sort(key=lambda change: (order.index(change.kind), change.assertion, change.mode, change.sdk))
    return Diff(before, after, tuple(changes), same)


def _by_key(results: Iterable[Result]) -> dict[tuple[str, str, str], Result]:
    return {result.key: result for result in results}


def _kind(before: Result | None, after: Result | None) -> Kind:
    if before is None:
        return "new"
    if after is None:
        return "removed"
    return KIND[SIDE[before.verdict], SIDE[after.verdict]]


def _step(change: Change) -> str:
    return f"{change.before or '—'} → {change.after or '—'}"


def _where(change: Change) -> str:
    sdk = "" if change.sdk == "harness" else f" {change.sdk}"
    level = "" if change.level == "MUST" else f" {change.level}"
    return f"{change.assertion} [{change.mode}{sdk}{level}]"


def _summary(diff: Diff) -> str:
    return ", ".join([*(f"{len(diff.of(kind))} {kind}" for kind in HEADINGS), f"{diff.same} the same"])


def to_text(diff: Diff) -> str:
    """For a terminal."""
    lines = [f"{diff.before.label} → {diff.after.label}: {_summary(diff)}", *diff.caveats]
    for kind, heading in HEADINGS.items():
        if found := diff.of(kind):
            lines += ["", heading]
            width = max(len(_where(change)) for change in found)
            lines += [f"  {_where(change):<{width}}  {_step(change)}  {change.message}".rstrip() for change in found]
    return "\n".join(lines) + "\n"


def to_markdown(diff: Diff) -> str:
    """For a pull request or a release note."""
    lines = [f"### {plain(diff.before.label)} → {plain(diff.after.label)}", "", _summary(diff)]
    lines += [f"\n> {plain(caveat)}" for caveat in diff.caveats]
    for kind, heading in HEADINGS.items():
        if found := diff.of(kind):
            lines += ["", f"#### {heading}", "", "| assertion | mode | verdict | message |", "|---|---|---|---|"]
            lines += [
                f"| `{change.assertion}` | {plain(change.mode)} | {_step(change)} | {plain(change.message)} |" for change in found
            ]
    return "\n".join(lines) + "\n"


def plain(text: str) -> str:
    """Text that cannot end a table cell or start markup."""
    return "".join(f"\\{c}" if c in "|`*_<>[]\\" else c for c in " ".join(text.splitlines()))


def to_json(diff: Diff) -> str:
    """For programs."""
    return msgspec.json.format(
        msgspec.json.encode(
            {
                "before": diff.before.label,
                "after": diff.after.label,
                "same": diff.same,
                "caveats": diff.caveats,
                "counts": {kind: len(diff.of(kind)) for kind in HEADINGS},
                "changes": [attrs.asdict(change) for change in diff.changes],
            }
        )
    ).decode()
