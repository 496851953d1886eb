"""Which mutants each assertion kills: a committed file, made from the matrix (`beam-conformance mutants kills`), and read by pages.

`kills.toml` beside this module: the id of an assertion, and the ids of the mutants that it gets `wrong`. A mutant stands under the
assertion that is named for it whenever the matrix killed it; under others only if they were asked (`mutants run --areas`, `--all`).
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Mapping
from functools import cache
from importlib import resources

from attrs import frozen

from conformance.harness import invariants
from conformance.suite import ledger
from conformance.suite.mutants import load as load_mutants
from conformance.suite.mutants.judging import Fate, Status

__all__ = ["FILE", "Idle", "idle", "killed_by", "load", "render"]

FILE = "kills.toml"


@cache
def load() -> dict[str, tuple[str, ...]]:
    """Assertion id → ids of the mutants that it kills."""
    data = tomllib.loads((resources.files(__package__) / FILE).read_text(encoding="utf-8"))
    return {assertion: tuple(mutants) for assertion, mutants in data["kills"].items()}


def killed_by(fates: Iterable[Fate], before: Mapping[str, Iterable[str]] | None = None) -> dict[str, list[str]]:
    """The same from fates, several of one mutant if it was asked several times.

    Mutants that were never killed as they should be count for nobody. `before` is what was known: it stands for mutants without a fate.
    """
    fates = list(fates)
    named = {mutant.id: mutant.killed_by for mutant in load_mutants().values()}
    counting = {fate.mutant for fate in fates if fate.status is Status.KILLED} & named.keys()
    kept = named.keys() - {fate.mutant for fate in fates}
    found = {assertion: listed for assertion, known in (before or {}).items() if (listed := kept & set(known))}
    for fate in fates:
        if fate.mutant in counting:
            for assertion in {named[fate.mutant], *fate.killers}:
                found.setdefault(assertion, set()).add(fate.mutant)
    return {assertion: sorted(found[assertion]) for assertion in sorted(found)}


def render(kills: Mapping[str, Iterable[str]]) -> str:
    """The text of the file."""
    lines = ["# Which mutants each assertion kills. Made by `beam-conformance mutants kills`; not written by hand.", "[kills]"]
    for assertion, mutants in kills.items():
        listed = ", ".join(f'"{mutant}"' for mutant in mutants)
        lines.append(f'"{assertion}" = [{listed}]')
    return "\n".join(lines) + "\n"


@frozen
class Idle:
    """The assertions of a level that kill no mutant at all: nothing shows yet that they see anything."""

    #: Ids of assertions; of an always-on invariant under the first of its leaves.
    idle: tuple[str, ...]
    #: How many there are of the level, idle or not; an invariant counts once, however many leaves it speaks to.
    asked: int

    @property
    def share(self) -> float:
        """Of all of them."""
        return len(self.idle) / self.asked if self.asked else 0.0


def idle(level: str = "MUST", known: Mapping[str, Iterable[str]] | None = None) -> Idle:
    """The idle assertions of a level, by what the matrix found (`known`: by other kills than those of the committed file)."""
    known = load() if known is None else known
    found = {assertion.id: assertion.id in known for assertion in ledger.load().assertions if assertion.level == level}
    for rule in invariants.CATALOGUE.values():
        if rule.finding_level == level and rule.side == "R":
            names = [f"{leaf}/{rule.id.lower()}" for leaf in rule.leaves]
            found[names[0]] = any(name in known for name in names)
    return Idle(tuple(sorted(name for name, kills in found.items() if not kills)), len(found))
