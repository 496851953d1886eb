"""CombineFns: commutative, associative, and content with nothing; all accumulators are JSON-able or standard-coder values."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from conformance.harness.api import CombineFn
from conformance.harness.errors import FunctionError
from conformance.harness.functions.registry import combine_fn

__all__ = ["Concat", "Count", "Extreme", "Mean", "Sum", "Top", "UnionSet"]


@combine_fn("sum")
class Sum(CombineFn):
    """Sum of numbers; 0 for none. Accumulator: the sum."""

    def create(self) -> Any:
        return 0

    def add(self, accumulator: Any, value: Any) -> Any:
        return accumulator + value

    def merge(self, accumulators: Sequence[Any]) -> Any:
        return sum(accumulators)


@combine_fn("sum_plus")
class SumPlus(Sum):
    """Sum with `plus` added when it is extracted, so that every extraction shows in the result (M-COMB-05). Accumulator: the sum."""

    def __init__(self, plus: int) -> None:
        self.plus = plus

    def extract(self, accumulator: Any) -> Any:
        return accumulator + self.plus


@combine_fn("sum_without_setup")
class SumWithoutSetup(Sum):
    """A sum whose set-up fails with `text`. Accumulator: the sum."""

    def __init__(self, text: str) -> None:
        self.text = text

    def setup(self) -> None:
        raise FunctionError(self.text)


@combine_fn("count")
class Count(Sum):
    """Number of values. Accumulator: the count."""

    def add(self, accumulator: int, value: Any) -> int:
        return accumulator + 1


class Extreme(CombineFn):
    """The smallest or largest value; None for none, which a nullable coder carries. Accumulator: a list of at most one value."""

    _choose: Any = min

    def create(self) -> list[Any]:
        return []

    def add(self, accumulator: list[Any], value: Any) -> list[Any]:
        return [type(self)._choose([*accumulator, value])]

    def merge(self, accumulators: Sequence[list[Any]]) -> list[Any]:
        values = [value for accumulator in accumulators for value in accumulator]
        return [type(self)._choose(values)] if values else []

    def extract(self, accumulator: list[Any]) -> Any:
        return accumulator[0] if accumulator else None


@combine_fn("min")
class Min(Extreme):
    """The smallest value, None for none. Accumulator: a list of at most one value."""

    _choose = staticmethod(min)


@combine_fn("max")
class Max(Extreme):
    """The largest value, None for none. Accumulator: a list of at most one value."""

    _choose = staticmethod(max)


@combine_fn("concat")
class Concat(CombineFn):
    """All values as a sorted list. Accumulator: the list."""

    def create(self) -> list[Any]:
        return []

    def add(self, accumulator: list[Any], value: Any) -> list[Any]:
        return [*accumulator, value]

    def merge(self, accumulators: Sequence[list[Any]]) -> list[Any]:
        return [value for accumulator in accumulators for value in accumulator]

    def extract(self, accumulator: list[Any]) -> list[Any]:
        return sorted(accumulator, key=repr)


@combine_fn("union")
class UnionSet(Concat):
    """Distinct values as a sorted list. Accumulator: a list."""

    def extract(self, accumulator: list[Any]) -> list[Any]:
        return sorted({repr(value): value for value in accumulator}.values(), key=repr)


@combine_fn("mean")
class Mean(CombineFn):
    """Mean of numbers as a float; 0.0 for none. Accumulator: (sum, count)."""

    def create(self) -> tuple[float, int]:
        return 0.0, 0

    def add(self, accumulator: tuple[float, int], value: float) -> tuple[float, int]:
        return accumulator[0] + value, accumulator[1] + 1

    def merge(self, accumulators: Sequence[tuple[float, int]]) -> tuple[float, int]:
        return float(sum(total for total, _ in accumulators)), sum(count for _, count in accumulators)

    def extract(self, accumulator: tuple[float, int]) -> float:
        total, count = accumulator
        return total / count if count else 0.0


@combine_fn("top")
class Top(CombineFn):
    """The `n` largest values, largest first. Accumulator: the list of them."""

    def __init__(self, n: int) -> None:
        self.n = n

    def create(self) -> list[Any]:
        return []

    def add(self, accumulator: list[Any], value: Any) -> list[Any]:
        return sorted([*accumulator, value], reverse=True)[: self.n]

    def merge(self, accumulators: Sequence[list[Any]]) -> list[Any]:
        return sorted((value for accumulator in accumulators for value in accumulator), reverse=True)[: self.n]


@combine_fn("strict_sum")
class StrictSum(CombineFn):
    """Sum with an accumulator [sum, extracted] that fails when it is extracted twice or used after (M-COMB-05)."""

    def create(self) -> list[int]:
        return [0, 0]

    def _fresh(self, accumulator: list[int]) -> list[int]:
        if accumulator[1]:
            raise AssertionError("an accumulator was used after it had been extracted (M-COMB-05)")
        return accumulator

    def add(self, accumulator: list[int], value: int) -> list[int]:
        return [self._fresh(accumulator)[0] + value, 0]

    def merge(self, accumulators: Sequence[list[int]]) -> list[int]:
        return [sum(self._fresh(accumulator)[0] for accumulator in accumulators), 0]

    def extract(self, accumulator: list[int]) -> int:
        self._fresh(accumulator)[1] = 1
        return accumulator[0]
