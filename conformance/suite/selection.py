"""Which tests run, and in which order: modes, areas, leaves, shards, prerequisites first. Pure functions over ids."""

from __future__ import annotations

import difflib
import zlib
from collections.abc import Sequence
from typing import TypeVar

from conformance.suite import ledger
from conformance.suite.settings import Settings

__all__ = ["SelectionError", "depth", "select", "shard_of"]

T = TypeVar("T")


class SelectionError(ValueError):
    """An area or leaf that the ledger does not have."""


def depth(leaf: str) -> int:
    """How many prerequisites deep a leaf lies: 0 for one that needs nothing."""
    requires = ledger.load().leaf(leaf).requires
    return 1 + max(map(depth, requires)) if requires else 0


def shard_of(assertion: str, count: int) -> int:
    """In which of `count` shards (from 1) an assertion runs: by its id alone, so that it never moves."""
    return zlib.crc32(assertion.encode()) % count + 1


def check_names(settings: Settings) -> None:
    """Raise SelectionError for an area or leaf of the settings that does not exist, with the nearest names."""
    book = ledger.load()
    areas = {area.id: area.title for area in book.areas}
    for name in settings.areas:
        if name.upper() not in areas:
            listed = ", ".join(f"{key} ({title})" for key, title in areas.items())
            raise SelectionError(f"there is no area {name!r}; the areas are {listed}")
    known = [leaf.id for leaf in book.leaves]
    for name in settings.leaves:
        if name.upper() not in known:
            near = difflib.get_close_matches(name.upper(), known, n=3, cutoff=0.5)
            hint = f"did you mean {' or '.join(near)}? " if near else ""
            raise SelectionError(f"there is no leaf {name!r}: {hint}`beam-conformance list` prints them all")


def select(tests: Sequence[tuple[T, str, tuple[str, ...]]], settings: Settings) -> list[T]:
    """The tests to run, of (test, assertion id, modes), prerequisites before what needs them, otherwise in the order given.

    Raises SelectionError for names that do not exist.
    """
    check_names(settings)
    book = ledger.load()
    areas = {name.upper() for name in settings.areas}
    leaves = {name.upper() for name in settings.leaves}
    known = {assertion.id for assertion in book.assertions}
    strangers: list[str] = []
    chosen: list[tuple[int, int, T]] = []
    for position, (test, assertion, modes) in enumerate(tests):
        leaf = assertion.partition("/")[0]
        wanted = (
            set(modes) & set(settings.modes)
            and (not areas or book.leaf(leaf).area in areas)
            and (not leaves or leaf in leaves)
            and (settings.shard is None or shard_of(assertion, settings.shard[1]) == settings.shard[0])
        )
        if wanted:
            chosen.append((depth(leaf), position, test))
            if assertion not in known:
                strangers.append(assertion)
    if strangers:
        raise SelectionError(
            f"{len(strangers)} assertions of tests are not in the ledger ({', '.join(strangers[:3])}, ...); add them to its TOML files"
        )
    return [test for _, _, test in sorted(chosen, key=lambda entry: entry[:2])]
