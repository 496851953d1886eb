"""The named functions of programs: what each takes, what it makes. A closed set, so that a program is data and a report can
print it.

`FUNCTIONS` are stateless functions of one element; `COMBINERS` are associative and commutative, and their extraction is not
always idempotent, so that extracting twice shows (M-COMB-05). An empty combination extracts the identity (A-30).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from attrs import frozen

from conformance.oracle.observed import Bag
from conformance.oracle.program import Type

__all__ = ["COMBINERS", "FUNCTIONS", "SHIFT", "Combiner", "Function", "is_key", "is_kv"]

#: The one function that moves timestamps; its arg is what it adds.
SHIFT: Final = "shift_timestamp"


def is_kv(type_: Type) -> bool:
    return isinstance(type_, tuple) and len(type_) == 3 and type_[0] == "kv"


def is_list(type_: Type) -> bool:
    return isinstance(type_, tuple) and len(type_) == 2 and type_[0] == "list"


def is_key(type_: Type) -> bool:
    """Whether values of the type encode deterministically and so may be keys (M-STATE-02, M-COMB-10)."""
    return type_ in ("int", "str", "bytes") or (is_kv(type_) and is_key(type_[1]) and is_key(type_[2]))


@frozen
class Function:
    """A stateless function: the type it makes of a type (None: it does not take it) and the values it makes of a value."""

    definition: str
    result: Callable[[Type], Type | None]
    values: Callable[[Any, int], Sequence[Any]]


def _int_to(result: Type) -> Callable[[Type], Type | None]:
    return lambda type_: result if type_ == "int" else None


def _grouped(type_: Type) -> bool:
    return is_kv(type_) and is_list(type_[2])


FUNCTIONS: Final[Mapping[str, Function]] = {
    "identity": Function("v", lambda t: t, lambda v, n: [v]),
    "add": Function("int v: v + arg", _int_to("int"), lambda v, n: [v + n]),
    "negate": Function("int v: -v", _int_to("int"), lambda v, n: [-v]),
    "add_to_value": Function(
        "(k, int v): (k, v + arg)", lambda t: t if is_kv(t) and t[2] == "int" else None, lambda v, n: [(v[0], v[1] + n)]
    ),
    "swap": Function(
        "(a, b): (b, a), b fit to be a key",
        lambda t: ("kv", t[2], t[1]) if is_kv(t) and is_key(t[2]) else None,
        lambda v, n: [(v[1], v[0])],
    ),
    "key_mod": Function("int v: (v modulo arg, not negative, v)", _int_to(("kv", "int", "int")), lambda v, n: [(v % n, v)]),
    "key_constant": Function("v: (arg, v)", lambda t: ("kv", "int", t), lambda v, n: [(n, v)]),
    "values": Function("(a, b): b", lambda t: t[2] if is_kv(t) else None, lambda v, n: [v[1]]),
    "keys": Function("(a, b): a", lambda t: t[1] if is_kv(t) else None, lambda v, n: [v[0]]),
    "spell": Function("int v: its decimal digits, a string", _int_to("str"), lambda v, n: [str(v)]),
    "octets": Function("int v: its decimal digits in ASCII, bytes", _int_to("bytes"), lambda v, n: [str(v).encode()]),
    "ungroup": Function(
        "(k, [v]): every (k, v)",
        lambda t: ("kv", t[1], t[2][1]) if _grouped(t) else None,
        lambda v, n: [(v[0], member) for member in _members(v[1])],
    ),
    "group_size": Function(
        "(k, [v]): (k, how many)",
        lambda t: ("kv", t[1], "int") if _grouped(t) else None,
        lambda v, n: [(v[0], len(_members(v[1])))],
    ),
    "group_sum": Function(
        "(k, [int v]): (k, their sum)",
        lambda t: ("kv", t[1], "int") if _grouped(t) and t[2][1] == "int" else None,
        lambda v, n: [(v[0], sum(_members(v[1])))],
    ),
    "duplicate": Function("v: arg times v", lambda t: t, lambda v, n: [v] * n),
    "drop_odd": Function("int v: v if even", _int_to("int"), lambda v, n: [v] if v % 2 == 0 else []),
    "keep_below": Function("int v: v if v < arg", _int_to("int"), lambda v, n: [v] if v < n else []),
    SHIFT: Function("v: v, timestamp + arg, arg not negative", lambda t: t, lambda v, n: [v]),
}


def _members(iterable: Any) -> Sequence[Any]:
    """The members of an iterable, canonical or as decoded."""
    members: Sequence[Any] = iterable.members if isinstance(iterable, Bag) else iterable
    return members


@frozen
class Combiner:
    """A CombineFn over ints, given by what it makes of a whole multiset at once (M-COMB-01)."""

    definition: str
    result: Type
    extract: Callable[[Sequence[Any]], Any]


#: What min and max of nothing are: an identity that a varint can carry.
GREATEST: Final = 2**62

COMBINERS: Final[Mapping[str, Combiner]] = {
    "sum": Combiner("sum of the values; of nothing 0", "int", lambda values: sum(values)),
    "count": Combiner("number of values; of nothing 0", "int", lambda values: len(values)),
    "min": Combiner("least value; of nothing 2^62", "int", lambda values: min(values, default=GREATEST)),
    "max": Combiner("greatest value; of nothing -2^62", "int", lambda values: max(values, default=-GREATEST)),
    "sum_squared": Combiner(
        "the square of the sum: accumulators are sums, extraction squares", "int", lambda values: sum(values) ** 2
    ),
    "collect": Combiner("the values as a list; accumulators are lists", ("list", "int"), lambda values: Bag.of(values)),
}
