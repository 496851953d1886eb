"""The functions that tests of these areas use: most are expressions of the harness's library, a few are registered here."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from conformance.harness.api import CombineFn
from conformance.harness.context import Context
from conformance.harness.functions import combine_fn, dofn
from conformance.pipeline import Fn

__all__ = [
    "COUNT_UP",
    "FLAT_VALUES",
    "KEY_LENGTH",
    "NUMBER_AND_TEXT",
    "PARITY",
    "REPEAT_BY_VALUE",
    "SUM_WITH_SIDE",
    "TWICE",
    "VALUE_LENGTHS",
    "WITH_SIDE",
    "add",
    "key_modulo",
    "long_key",
    "long_value",
    "shift_timestamp",
    "sum_plus",
]

#: n → n, n times.
REPEAT_BY_VALUE = Fn("flat_map", expr=["repeat", ["value"], ["value"]])
#: Each element twice.
TWICE = Fn("flat_map", expr=["list", ["value"], ["value"]])
#: n → 0, 1, … n-1.
COUNT_UP = Fn("flat_map", expr=["range", ["value"]])
#: A group → its values.
FLAT_VALUES = Fn("flat_map", expr=["val"])
#: Numbers to the outputs "even" and "odd".
PARITY = Fn("route", tags=["even", "odd"], expr=["if", ["%", ["value"], 2], "odd", "even"])
#: A group → the same under the length of its key.
KEY_LENGTH = Fn("map", expr=["kv", ["len", ["key"]], ["val"]])


def add(number: int) -> Fn:
    """n → n + number."""
    return Fn("map", expr=["+", ["value"], number])


def shift_timestamp(by: int) -> Fn:
    """The element, `by` milliseconds later, in the windows that it is in."""
    return Fn("timestamp", expr=["+", ["timestamp"], by])


def key_modulo(modulo: int) -> Fn:
    """n → (n modulo `modulo`, n)."""
    return Fn("key_by", expr=["%", ["value"], modulo])


def long_key(size: int) -> Fn:
    """The element under a key of `size` bytes, made here so that the pipeline itself stays small."""
    return Fn("map", expr=["kv", ["bytes", size], ["value"]])


def long_value(size: int) -> Fn:
    """`size` bytes under the key "k"."""
    return Fn("map", expr=["kv", "k", ["bytes", size]])


def sum_plus(plus: int) -> Fn:
    """The CombineFn "core_sum_plus"."""
    return Fn("core_sum_plus", plus=plus)


NUMBER_AND_TEXT = Fn("core_number_and_text")
VALUE_LENGTHS = Fn("core_value_lengths")
WITH_SIDE = Fn("core_with_side")
SUM_WITH_SIDE = Fn("core_sum_with_side")


@dofn("core_number_and_text")
def number_and_text(ctx: Context) -> None:
    """A number to the outputs "number", "text" and, in a list, "json"."""
    ctx.output(ctx.value, "number")
    ctx.output(str(ctx.value), "text")
    ctx.output([ctx.value], "json")


@dofn("core_value_lengths")
def value_lengths(ctx: Context) -> Iterable[Any]:
    """A group with the lengths of its values."""
    key, values = ctx.value
    return [(key, [len(value) for value in values])]


@dofn("core_with_side", observes_windows=True)
def with_side(ctx: Context) -> Iterable[Any]:
    """(element, sorted values of the iterable side input "side")."""
    return [(ctx.value, sorted(ctx.side("side").values()))]


@dofn("core_sum_with_side", observes_windows=True)
def sum_with_side(ctx: Context) -> Iterable[Any]:
    """(key, sum of the group's values and of the side input "side")."""
    key, values = ctx.value
    return [(key, sum(values) + sum(ctx.side("side").values()))]


@combine_fn("core_sum_plus")
class SumPlus(CombineFn):
    """Sum of the values, and `plus` added when it is extracted, so that every extraction shows in the result."""

    def __init__(self, plus: int) -> None:
        self.plus = plus

    def create(self) -> int:
        return 0

    def add(self, accumulator: int, value: int) -> int:
        return accumulator + value

    def merge(self, accumulators: Sequence[int]) -> int:
        return sum(accumulators)

    def extract(self, accumulator: int) -> int:
        return accumulator + self.plus
