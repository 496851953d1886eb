"""Which mutants each assertion kills: a committed file, made from the matrix (`beam-conformance mutants kills`), and read by pages.

`kills.toml` beside this module: the id of an assertion, and the ids of the mutants that it gets `wrong`. A mutant stands under the
assertion that is named for it whenever the matrix killed it; under others only if the whole suite was asked (`mutants run --all`).
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Mapping
from functools import cache
from importlib import resources

from conformance.suite.mutants import load as load_mutants
from conformance.suite.mutants.judging import Fate, Status

__all__ = ["FILE", "killed_by", "load", "render", "without_kills"]

FILE = "kills.toml"


@cache
def load() -> dict[str, tuple[str, ...]]:
    """Assertion id → ids of the mutants that it kills."""
    data = tomllib.loads((resources.files(__package__) / FILE).read_text(encoding="utf-8"))
    return {assertion: tuple(mutants) for assertion, mutants in data["kills"].items()}


def killed_by(fates: Iterable[Fate]) -> dict[str, list[str]]:
    """The same from the fates of a matrix. Mutants that are not killed as they should be count for nobody."""
    named = {mutant.id: mutant.killed_by for mutant in load_mutants().values()}
    found: dict[str, set[str]] = {}
    for fate in fates:
        if fate.status is Status.KILLED and fate.mutant in named:
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


def without_kills(assertions: Iterable[str]) -> list[str]:
    """Those of the assertions that kill no mutant at all."""
    known = load()
    return sorted(assertion for assertion in assertions if assertion not in known)
