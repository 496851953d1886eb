"""The ledger: every feature a runner can be asked for, as data.

One TOML file an area lies beside this module; here live only the types, the loader and the checks that the data must pass.
Nothing of the project is imported, so the report, the documentation and the suite can all read the ledger.

A *leaf* is one row of the support matrix; its id never changes and is never given to another feature. Tier 1 is the matrix
proper, tier 2 is extended and diagnostic. `requires` names the leaves without which a result would say nothing about this
one: when a prerequisite fails, the leaf is "blocked by" it and gets no verdict, instead of turning red. An *assertion* is
one checkable statement about a leaf. `urns` and `fields` say what of Beam's interface the leaf reaches; `beam_tests` says
which of Beam's own tests touch it:

    J: Java ValidatesRunner        P: Python portable suite        py VR: Python it_validatesrunner        G: Go integration
    X: cross-language              PU: Python, in process only     NeedsRunner: Java, not for foreign runners
"""

from __future__ import annotations

import difflib
import graphlib
import re
from collections.abc import Iterable, Mapping
from functools import cache
from importlib.resources import files
from typing import Literal, TypeVar

import attrs
import msgspec

__all__ = ["Area", "Assertion", "Leaf", "Ledger", "LedgerError", "NoSuchLeaf", "checked", "load", "parse"]

Level = Literal["MUST", "SHOULD", "MAY"]
_T = TypeVar("_T")

LEAF_ID = re.compile(r"[A-Z]{2,6}\d{2,3}")
ASSERTION_ID = re.compile(rf"{LEAF_ID.pattern}/[a-z0-9]+(-[a-z0-9]+)*")


class LedgerError(ValueError):
    """The ledger's data contradicts itself. The message names the entry and what to change."""


class NoSuchLeaf(KeyError):
    """An id that no leaf or assertion has; the message offers the nearest ones."""

    def __str__(self) -> str:
        return str(self.args[0])


@attrs.frozen
class Assertion:
    """One checkable statement. `rule` cites docs/model.md or docs/protocol.md; `source` says where Beam has it from."""

    id: str
    leaf: str
    level: Level
    statement: str
    rule: str = ""
    source: str = ""

    def __attrs_post_init__(self) -> None:
        if not ASSERTION_ID.fullmatch(self.id):
            raise LedgerError(f"{self.id!r} is no assertion id: write LEAF/words-with-hyphens, as in CORE18/groups-every-value")
        if self.id.partition("/")[0] != self.leaf:
            raise LedgerError(
                f"assertion {self.id} says it belongs to leaf {self.leaf}: the part before the slash must be that leaf"
            )
        if not self.statement.strip():
            raise LedgerError(f"assertion {self.id} states nothing: give it a statement, one sentence that can be true or false")

    @property
    def slug(self) -> str:
        return self.id.partition("/")[2]


@attrs.frozen
class Leaf:
    """One row of the matrix."""

    id: str
    area: str
    title: str
    definition: str
    tier: int
    urns: tuple[str, ...] = ()
    fields: tuple[str, ...] = ()
    beam_tests: str = ""
    #: No test in any of Beam's own suites that were read (2.77).
    nobody: bool = False
    #: Direct prerequisites; `Ledger.prerequisites` has the closure.
    requires: tuple[str, ...] = ()
    assertions: tuple[Assertion, ...] = ()
    #: Why nothing can be asserted, where that is so.
    untestable: str = ""
    #: Why none of its assertions is a MUST, where that is so; says nothing where one is.
    no_must: str = ""


@attrs.frozen
class Area:
    id: str
    title: str
    leaves: tuple[Leaf, ...]


@attrs.frozen
class Ledger:
    """All areas in order. Built only by `parse` and `with_assertions`, which check it."""

    areas: tuple[Area, ...]
    _by_id: Mapping[str, Leaf] = attrs.field(repr=False, eq=False)
    _assertions: Mapping[str, Assertion] = attrs.field(repr=False, eq=False)

    @property
    def leaves(self) -> tuple[Leaf, ...]:
        return tuple(self._by_id.values())

    @property
    def assertions(self) -> tuple[Assertion, ...]:
        return tuple(self._assertions.values())

    def leaf(self, leaf_id: str) -> Leaf:
        return _find(leaf_id, self._by_id, "leaf")

    def area(self, area_id: str) -> Area:
        return _find(area_id, {area.id: area for area in self.areas}, "area")

    def assertion(self, assertion_id: str) -> Assertion:
        return _find(assertion_id, self._assertions, "assertion")

    def prerequisites(self, leaf_id: str) -> tuple[str, ...]:
        """Every leaf that must work before this one can be judged, farthest first."""
        found: dict[str, None] = {}

        def visit(current: str) -> None:
            for required in self.leaf(current).requires:
                visit(required)
                found.setdefault(required)

        visit(leaf_id)
        return tuple(found)

    def with_assertions(self, assertions: Iterable[Assertion]) -> Ledger:
        """This ledger with more assertions. The same one twice is fine (a test collected twice); a contradiction is not."""
        added: dict[str, list[Assertion]] = {}
        known = dict(self._assertions)
        for assertion in assertions:
            self.leaf(assertion.leaf)
            earlier = known.setdefault(assertion.id, assertion)
            if earlier != assertion:
                raise LedgerError(
                    f"assertion {assertion.id} is defined twice with different words: keep one, {earlier} or {assertion}"
                )
            if assertion.id not in self._assertions and assertion not in added.setdefault(assertion.leaf, []):
                added[assertion.leaf].append(assertion)
        return checked(
            Area(
                area.id,
                area.title,
                tuple(attrs.evolve(leaf, assertions=(*leaf.assertions, *added.get(leaf.id, ()))) for leaf in area.leaves),
            )
            for area in self.areas
        )


class _AssertionData(msgspec.Struct, forbid_unknown_fields=True):
    slug: str
    level: Level
    statement: str
    rule: str = ""
    source: str = ""


class _LeafData(msgspec.Struct, forbid_unknown_fields=True):
    id: str
    title: str
    definition: str
    tier: Literal[1, 2]
    urns: tuple[str, ...] = ()
    fields: tuple[str, ...] = ()
    beam_tests: str = ""
    nobody: bool = False
    requires: tuple[str, ...] = ()
    assertions: tuple[_AssertionData, ...] = ()
    untestable: str = ""
    no_must: str = ""


class _AreaData(msgspec.Struct, forbid_unknown_fields=True):
    area: str
    title: str
    leaf: tuple[_LeafData, ...]


def parse(sources: Mapping[str, bytes]) -> Ledger:
    """A checked ledger from TOML texts by file name. LedgerError names the file and entry that is wrong."""
    areas = []
    for name, text in sorted(sources.items()):
        try:
            data = msgspec.toml.decode(text, type=_AreaData)
        except msgspec.DecodeError as error:
            raise LedgerError(
                f"{name}: {error}. Correct the entry; the fields of a leaf are those of Leaf in this module"
            ) from error
        areas.append(Area(data.area, data.title, tuple(_leaf(data.area, leaf) for leaf in data.leaf)))
    return checked(areas)


@cache
def load() -> Ledger:
    """The ledger that is shipped with the package."""
    return parse({entry.name: entry.read_bytes() for entry in files(__name__).iterdir() if entry.name.endswith(".toml")})


def _leaf(area: str, data: _LeafData) -> Leaf:
    return Leaf(
        id=data.id,
        area=area,
        title=data.title,
        definition=data.definition,
        tier=data.tier,
        urns=data.urns,
        fields=data.fields,
        beam_tests=data.beam_tests,
        nobody=data.nobody,
        requires=data.requires,
        assertions=tuple(
            Assertion(f"{data.id}/{a.slug}", data.id, a.level, a.statement, a.rule, a.source) for a in data.assertions
        ),
        untestable=data.untestable,
        no_must=data.no_must,
    )


def checked(areas: Iterable[Area]) -> Ledger:
    areas = tuple(areas)
    leaves: dict[str, Leaf] = {}
    assertions: dict[str, Assertion] = {}
    if len({area.id for area in areas}) != len(areas):
        raise LedgerError("two areas share a letter: give one of them the next free letter")
    for leaf in (leaf for area in areas for leaf in area.leaves):
        if not LEAF_ID.fullmatch(leaf.id):
            raise LedgerError(f"{leaf.id!r} is no leaf id: write capitals and two or three digits, as in CORE18")
        if leaf.id in leaves:
            raise LedgerError(
                f"leaf {leaf.id} is there twice ({leaves[leaf.id].title!r}, {leaf.title!r}): give the newer one a new id"
            )
        leaves[leaf.id] = leaf
        if leaf.untestable and leaf.assertions:
            raise LedgerError(f"leaf {leaf.id} is called untestable and has assertions: drop one or the other")
        if bad := [urn for urn in leaf.urns if not urn.startswith("beam:")]:
            raise LedgerError(f"leaf {leaf.id} has {bad[0]!r} among its urns: write the full beam: form, or move it to fields")
        for assertion in leaf.assertions:
            if assertion.id in assertions:
                raise LedgerError(f"assertion {assertion.id} is there twice: give one of them another slug")
            assertions[assertion.id] = assertion
    for leaf in leaves.values():
        for required in leaf.requires:
            if required not in leaves:
                raise LedgerError(f"leaf {leaf.id} requires {NoSuchLeaf(_missing(required, leaves, 'leaf'))}")
    try:
        graphlib.TopologicalSorter({leaf.id: leaf.requires for leaf in leaves.values()}).prepare()
    except graphlib.CycleError as error:
        raise LedgerError(
            f"prerequisites go round in a circle: {' → '.join(error.args[1])}; remove one of these steps"
        ) from error
    return Ledger(areas, leaves, assertions)


def _find(wanted: str, known: Mapping[str, _T], kind: str) -> _T:
    try:
        return known[wanted]
    except KeyError:
        raise NoSuchLeaf(_missing(wanted, known, kind)) from None


def _missing(wanted: str, known: Iterable[str], kind: str) -> str:
    near = difflib.get_close_matches(wanted.upper() if kind != "assertion" else wanted, list(known), n=3, cutoff=0.6)
    return f"there is no {kind} {wanted!r}; " + (
        f"near it: {', '.join(near)}" if near else "`beam-conformance list` names them all"
    )
