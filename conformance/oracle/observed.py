"""What observers saw, and values in a form that compares.

An observed value is as the coders give it: a pair is a 2-tuple, an iterable a list. The order inside an iterable is never a
promise (M-BATCH-11, M-STATE-05), so for comparison a list becomes a `Bag`; a pair stays ordered.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Any

from attrs import frozen

from conformance.wire.values import GLOBAL_WINDOW, NO_FIRING, GlobalWindow, IntervalWindow, Pane, Window

__all__ = ["Bag", "Seen", "canonical", "plain", "show_pane", "show_value", "show_window"]


@frozen
class Seen:
    """One element as an observer saw it, in one window; `value` as decoded."""

    value: Any
    timestamp: int
    window: Window = GLOBAL_WINDOW
    pane: Pane = NO_FIRING


@frozen
class Bag:
    """An iterable as a multiset: its members in a fixed order of their own."""

    members: tuple[Any, ...]

    @staticmethod
    def of(members: Iterable[Any]) -> Bag:
        return Bag(tuple(sorted(members, key=_rank)))

    def counts(self) -> Counter[Any]:
        return Counter(self.members)


def _rank(value: Any) -> tuple[str, Any]:
    """A total order over canonical values of mixed types."""
    match value:
        case bool() | int():
            return ("int", int(value))
        case str():
            return ("str", value)
        case bytes():
            return ("bytes", value)
        case tuple():
            return ("kv", tuple(_rank(part) for part in value))
        case Bag():
            return ("list", tuple(_rank(part) for part in value.members))
        case _:
            return ("zz", repr(value))


def canonical(value: Any) -> Any:
    """The value with every list as a Bag: hashable, and equal where the model sees no difference."""
    if isinstance(value, list):
        return Bag.of(canonical(member) for member in value)
    if isinstance(value, tuple):
        return tuple(canonical(part) for part in value)
    if isinstance(value, bytearray):
        return bytes(value)
    return value


def plain(value: Any) -> Any:
    """The inverse of canonical: what a coder would give."""
    if isinstance(value, Bag):
        return [plain(member) for member in value.members]
    if isinstance(value, tuple):
        return tuple(plain(part) for part in value)
    return value


def show_value(value: Any) -> str:
    return repr(plain(value))


def show_window(window: Window) -> str:
    match window:
        case GlobalWindow():
            return "the global window"
        case IntervalWindow(start, end):
            return f"[{start}, {end})"
        case _:
            return repr(window)


def show_pane(pane: Pane) -> str:
    marks = "".join(f" {name}" for name, is_set in (("first", pane.is_first), ("last", pane.is_last)) if is_set)
    return f"{pane.timing.name} idx {pane.index} ns {pane.nonspeculative_index}{marks}"
