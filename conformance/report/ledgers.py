"""What the report needs of a ledger, as protocols: the report imports no other part of the project, the ledger included.

`conformance.suite.ledger.Ledger` satisfies `LedgerLike`. Where no ledger is given, areas are guessed from the letters of a
leaf's id.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import attrs

__all__ = ["AreaLike", "AreaName", "AssertionLike", "LeafLike", "LedgerLike", "area_of"]


class AssertionLike(Protocol):
    @property
    def id(self) -> str: ...
    @property
    def level(self) -> str: ...
    @property
    def statement(self) -> str: ...
    @property
    def rule(self) -> str: ...
    @property
    def source(self) -> str: ...


class LeafLike(Protocol):
    @property
    def id(self) -> str: ...
    @property
    def title(self) -> str: ...
    @property
    def definition(self) -> str: ...
    @property
    def tier(self) -> int: ...
    @property
    def urns(self) -> Sequence[str]: ...
    @property
    def fields(self) -> Sequence[str]: ...
    @property
    def beam_tests(self) -> str: ...
    @property
    def nobody(self) -> bool: ...
    @property
    def requires(self) -> Sequence[str]: ...
    @property
    def untestable(self) -> str: ...
    @property
    def assertions(self) -> Sequence[AssertionLike]: ...


class AreaLike(Protocol):
    @property
    def id(self) -> str: ...
    @property
    def title(self) -> str: ...
    @property
    def leaves(self) -> Sequence[LeafLike]: ...


class LedgerLike(Protocol):
    @property
    def areas(self) -> Sequence[AreaLike]: ...


@attrs.frozen
class AreaName:
    id: str
    title: str


def area_of(leaf_id: str, ledger: LedgerLike | None) -> AreaName:
    """The area that a leaf belongs to; of a leaf that the ledger does not have, its prefix."""
    prefix = leaf_id.rstrip("0123456789")
    for area in ledger.areas if ledger else ():
        if any(leaf.id == leaf_id for leaf in area.leaves):
            return AreaName(area.id, area.title)
    return AreaName(prefix, prefix)
