"""The catalogue of always-on invariants (docs/protocol.md section 13) as data, and what a breach of one looks like.

Here live the types Rule and Finding, CATALOGUE, and the Docket in which the checks of a transcript leave their findings. No
check lives here.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from importlib.resources import files
from typing import Any, Final, Literal

import attrs
import msgspec

__all__ = ["CATALOGUE", "Docket", "Finding", "Level", "Rule", "Side"]

Side = Literal["R", "H"]
#: How a finding counts: MUST is wrong, SHOULD is worth telling. (A rule's own level may also be "MUST*".)
Level = Literal["MUST", "SHOULD"]

#: So many findings of one invariant are kept; a runner that breaks one usually breaks it in every bundle.
KEPT_PER_RULE = 20


@attrs.frozen
class Rule:
    """One invariant."""

    id: str
    side: Side
    level: Literal["MUST", "MUST*", "SHOULD"]
    statement: str
    #: The defect in a runner that it is there to catch.
    catches: str
    #: The rules of docs/protocol.md that it is derived from.
    rules: tuple[str, ...]
    #: The rows of the ledger that it speaks to.
    leaves: tuple[str, ...]
    #: How far a transcript can decide it.
    note: str = ""
    undecidable: bool = False

    @property
    def finding_level(self) -> Level:
        """MUST with a star is a finding and not "wrong" when others break it (section 0)."""
        return "MUST" if self.level == "MUST" else "SHOULD"


class _Catalogue(msgspec.Struct, forbid_unknown_fields=True):
    rule: list[dict[str, Any]]


def _load() -> Mapping[str, Rule]:
    data = files(__package__).joinpath("catalogue.toml").read_bytes()
    rules = (msgspec.convert(row, Rule) for row in msgspec.toml.decode(data, type=_Catalogue).rule)
    return {rule.id: rule for rule in rules}


#: Every always-on invariant by id, in the order of the document.
CATALOGUE: Final[Mapping[str, Rule]] = _load()


@attrs.frozen
class Finding:
    """A breach of `invariant`: one sentence with the ids concerned, the first wrong message, and what it was compared with."""

    invariant: str
    level: Level
    side: Side
    statement: str
    evidence: Mapping[str, Any]
    #: Position in the transcript of the first wrong message.
    seq: int

    def __str__(self) -> str:
        return f"{self.invariant} ({self.level}, {self.side}) at {self.seq}: {self.statement}"


class Docket:
    """Collects findings, and how often each invariant had something to look at."""

    def __init__(self) -> None:
        self.looked: Counter[str] = Counter()
        self._findings: list[Finding] = []
        self._count: Counter[str] = Counter()

    def look(self, invariant: str, times: int = 1) -> None:
        """Note that the transcript held `times` more things that `invariant` speaks about."""
        self.looked[invariant] += times

    def find(self, invariant: str, seq: int, statement: str, *, level: Level | None = None, **evidence: Any) -> None:
        """Note a breach. `level` lowers the rule's own where the rule says so."""
        rule = CATALOGUE[invariant]
        self._count[invariant] += 1
        if self._count[invariant] <= KEPT_PER_RULE:
            self._findings.append(Finding(invariant, level or rule.finding_level, rule.side, statement, evidence, seq))

    def findings(self) -> list[Finding]:
        """All findings in the order of the transcript; the last one kept of an invariant tells how many were left out."""
        kept = sorted(self._findings, key=lambda finding: (finding.seq, finding.invariant))
        left = {name: count - KEPT_PER_RULE for name, count in self._count.items() if count > KEPT_PER_RULE}
        for position in range(len(kept) - 1, -1, -1):
            more = left.pop(kept[position].invariant, 0)
            if more:
                kept[position] = attrs.evolve(kept[position], evidence={**kept[position].evidence, "more_like_this": more})
        return kept

    def checked(self, ids: Iterable[str] = CATALOGUE) -> dict[str, int]:
        """How often each invariant had something to look at, those never exercised included."""
        return {name: self.looked[name] for name in ids}
