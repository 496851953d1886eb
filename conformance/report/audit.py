"""The capability audit: what a runner declares against what its results demonstrate. Pure: features, declarations and results in, rows out.

A feature is demonstrated when every MUST of its leaves that was asked passed, refused when a MUST was declined and none is wrong, and
broken otherwise. Declared features that are not demonstrated are over-claims; demonstrated ones that nobody declared are under-claims;
what was neither declared nor refused, and came out wrong, was accepted and ignored.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from enum import StrEnum

import attrs

from conformance.report.results import Result, Results
from conformance.report.verdicts import Level, Verdict, always_on

__all__ = ["MEANING", "Audit", "Claim", "Feature", "Row", "Shown", "audit", "claim_of", "shown", "to_text"]


@attrs.frozen
class Feature:
    """Something that a runner has or lacks as a whole, and the leaves that show it."""

    name: str
    title: str
    leaves: tuple[str, ...]


class Shown(StrEnum):
    """What results say of a feature."""

    DEMONSTRATED = "demonstrated"
    REFUSED = "refused"
    #: it ran, and the outcome is not one that the model allows
    WRONG = "wrong"
    #: it failed or hung, and nobody said that it is not supported
    FAILED = "failed"
    NOTHING = "nothing"


class Claim(StrEnum):
    """How a declaration and what was shown go together."""

    AGREES = "agrees"
    OVER = "over-claim"
    UNDER = "under-claim"
    IGNORED = "accepted but ignored"
    UNREFUSED = "fails unrefused"
    UNSEEN = "not seen"


MEANING: Mapping[Claim, str] = {
    Claim.AGREES: "Declared and demonstrated, or neither declared nor accepted.",
    Claim.OVER: "Declared, and not demonstrated.",
    Claim.UNDER: "Demonstrated, and not declared.",
    Claim.IGNORED: "Not declared, and accepted all the same: the job ended DONE without it.",
    Claim.UNREFUSED: "Not declared; programs that use it fail or hang instead of being refused by name.",
    Claim.UNSEEN: "No MUST of its leaves came to a verdict.",
}


@attrs.frozen
class Row:
    """One feature of one runner in one mode."""

    feature: Feature
    declared: bool
    shown: Shown
    claim: Claim
    #: The assertions that did not pass.
    against: tuple[str, ...] = ()


@attrs.frozen
class Audit:
    """The rows of one column of the matrix."""

    label: str
    mode: str
    rows: tuple[Row, ...]

    def of(self, claim: Claim) -> tuple[Row, ...]:
        return tuple(row for row in self.rows if row.claim is claim)


def shown(results: Iterable[Result]) -> Shown:
    """What the results of a feature's leaves say, those of invariants and lower levels left out."""
    verdicts = {result.verdict for result in results} - {Verdict.NO_VERDICT}
    if not verdicts:
        return Shown.NOTHING
    if verdicts == {Verdict.PASS}:
        return Shown.DEMONSTRATED
    if Verdict.WRONG in verdicts:
        return Shown.WRONG
    return Shown.FAILED if verdicts & {Verdict.ERROR, Verdict.TIMEOUT} else Shown.REFUSED


def claim_of(declared: bool, seen: Shown) -> Claim:
    """How the two go together."""
    if seen is Shown.NOTHING:
        return Claim.UNSEEN
    if declared:
        return Claim.AGREES if seen is Shown.DEMONSTRATED else Claim.OVER
    return {
        Shown.DEMONSTRATED: Claim.UNDER,
        Shown.REFUSED: Claim.AGREES,
        Shown.WRONG: Claim.IGNORED,
        Shown.FAILED: Claim.UNREFUSED,
    }[seen]


def audit(run: Results, features: Sequence[Feature], declared: Callable[[str], Collection[str] | None]) -> tuple[Audit, ...]:
    """One audit a mode of the run. `declared` answers a mode with names of features, or None where nobody declares anything."""
    found = []
    for mode in sorted({result.mode for result in run.results}):
        names = declared(mode)
        if names is not None:
            found.append(Audit(run.label, mode, tuple(_row(run, mode, each, each.name in names) for each in features)))
    return tuple(found)


def _row(run: Results, mode: str, feature: Feature, declared: bool) -> Row:
    asked = [
        result
        for result in run.results
        if result.mode == mode
        and result.leaf in feature.leaves
        and result.level is Level.MUST
        and not always_on(result.assertion)
    ]
    seen = shown(asked)
    against = tuple(result.assertion for result in asked if result.verdict not in (Verdict.PASS, Verdict.NO_VERDICT))
    return Row(feature, declared, seen, claim_of(declared, seen), against)


def to_text(audits: Sequence[Audit]) -> str:
    """A table a column, what does not agree first."""
    lines: list[str] = []
    for each in audits:
        lines += [f"{each.label} [{each.mode}]"]
        told_apart = [row for row in each.rows if row.claim is not Claim.UNSEEN]
        for row in sorted(told_apart, key=lambda row: (list(Claim).index(row.claim) or len(Claim), row.feature.name)):
            told = f"  {', '.join(row.against[:3])}{' …' if len(row.against) > 3 else ''}" if row.against else ""
            declared = "declared" if row.declared else "not declared"
            lines.append(f"  {row.claim:21} {row.feature.name:24} {declared:13} {row.shown:13}{told}".rstrip())
        if unseen := [row.feature.name for row in each.of(Claim.UNSEEN)]:
            lines.append(f"  {Claim.UNSEEN}: {', '.join(unseen)}")
    return "\n".join(lines) + "\n" if lines else ""
