"""The functions that tests of these areas use, by what they do: expressions of the harness's library."""

from __future__ import annotations

from conformance.pipeline import Fn

__all__ = [
    "COUNT_UP",
    "FLAT_VALUES",
    "KEY_LENGTH",
    "PARITY",
    "REPEAT_BY_VALUE",
    "TWICE",
    "WITH_SIDE",
    "add",
    "key_modulo",
    "long_key",
    "long_value",
    "shift_timestamp",
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
#: (element, values of the iterable side input "side").
WITH_SIDE = Fn("side_values", side="side")


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
