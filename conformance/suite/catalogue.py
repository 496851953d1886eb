"""What the suite asks, without running anything: every marked test by assertion, and the ledger as text."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterator
from functools import cache
from types import ModuleType
from typing import Any

from attrs import frozen

from conformance.harness import invariants
from conformance.suite import ledger
from conformance.suite.assertions import Marked, marked

__all__ = ["Entry", "by_assertion", "entries", "list_lines", "rules_by_leaf", "unmatched"]


@frozen
class Entry:
    """One marked test function."""

    module: str
    function: Any
    mark: Marked

    @property
    def parameters(self) -> dict[str, Any] | None:
        """The first set of parameters, {} if it has none, None if they cannot be told without pytest."""
        found: dict[str, Any] = {}
        for pytest_mark in getattr(self.function, "pytestmark", []):
            if pytest_mark.name == "parametrize":
                names, values = pytest_mark.args[0], list(pytest_mark.args[1])
                keys = [name.strip() for name in names.split(",")] if isinstance(names, str) else list(names)
                first = getattr(values[0], "values", values[0] if len(keys) > 1 else (values[0],))
                found.update(zip(keys, first, strict=True))
        return found


def _modules() -> Iterator[ModuleType]:
    import conformance.suite

    for info in pkgutil.walk_packages(conformance.suite.__path__, "conformance.suite."):
        if info.name.rpartition(".")[2].startswith("test_"):
            yield importlib.import_module(info.name)


@cache
def entries() -> tuple[Entry, ...]:
    """Every marked test of the suite, in the order of modules and lines."""
    found: list[Entry] = []
    for module in _modules():
        for function in vars(module).values():
            mark = marked(function)
            made_in = str(getattr(function, "__module__", ""))
            borrowed = made_in != module.__name__ and made_in.rpartition(".")[2].startswith("test_")
            if mark is not None and not borrowed:  # tests may be made by a module that has none of its own
                found.append(Entry(module.__name__, function, mark))
    return tuple(found)


def by_assertion() -> dict[str, list[Entry]]:
    """Assertion id → its tests."""
    result: dict[str, list[Entry]] = {}
    for entry in entries():
        result.setdefault(entry.mark.assertion, []).append(entry)
    return result


def unmatched() -> tuple[list[str], list[str]]:
    """(assertions of the ledger that no test makes, assertions of tests that the ledger does not have)."""
    known = {assertion.id for assertion in ledger.load().assertions}
    asked = set(by_assertion())
    return sorted(known - asked), sorted(asked - known)


def rules_by_leaf() -> dict[str, list[Any]]:
    """Leaf → the always-on invariants that speak to it."""
    result: dict[str, list[Any]] = {}
    for rule in invariants.CATALOGUE.values():
        for leaf in rule.leaves:
            result.setdefault(leaf, []).append(rule)
    return result


def list_lines(areas: set[str], tier: str | None, with_assertions: bool) -> Iterator[str]:
    """The ledger as text: an area, its leaves, and below each the number (or the list) of its assertions."""
    always = rules_by_leaf()
    for area in ledger.load().areas:
        if areas and area.id not in areas:
            continue
        yield f"{area.id}. {area.title}"
        for leaf in area.leaves:
            if tier is not None and str(leaf.tier) != tier:
                continue
            count = len(leaf.assertions) + len(always.get(leaf.id, ()))
            yield f"  {leaf.id:8} tier {leaf.tier}  {count:2} assertions  {leaf.title}: {leaf.definition}"
            if with_assertions:
                for assertion in leaf.assertions:
                    yield f"           {assertion.level:6} {assertion.id}: {assertion.statement}"
                for rule in always.get(leaf.id, ()):
                    yield f"           {rule.level:6} {leaf.id}/{rule.id.lower()}: {rule.statement}"
