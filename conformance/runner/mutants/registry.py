"""How a fault is planted: a class that overrides one step, under the id that the suite's list of mutants has for it.

Most override one method of `Rules`. A step that decides nothing of the model (what a stream carries, what a service answers) is
overridden in a subclass of the class that takes it; `Rules.part` puts it in that class's place.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from conformance.runner.rules import Rules

__all__ = ["MUTANTS", "mutant"]

T = TypeVar("T", bound=type)

#: Id → the rules of a runner with this fault.
MUTANTS: dict[str, type[Rules]] = {}


def mutant(mutant_id: str) -> Callable[[T], T]:
    """Enters a class with one overridden step. Raises ValueError for an id that is taken."""

    def enter(fault: T) -> T:
        if mutant_id in MUTANTS:
            raise ValueError(f"mutant {mutant_id} is there already; take the next number of its family")
        MUTANTS[mutant_id] = fault if issubclass(fault, Rules) else _with_part(fault)
        return fault

    return enter


def _with_part(fault: type) -> type[Rules]:
    replaced = next(base for base in fault.__mro__ if not base.__module__.startswith(__package__))

    class Parts(Rules):
        def part(self, default: Any) -> Any:
            return fault if default is replaced else super().part(default)

    return Parts
