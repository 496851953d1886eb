"""Window functions that only a harness knows, and mappings from main to side windows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from conformance.harness.functions.registry import mapping_fn, window_fn
from conformance.harness.windowing import Fixed, Global, Sessions
from conformance.wire.values import GLOBAL_WINDOW, CustomWindow, IntervalWindow, Window

__all__ = ["Named", "ValueGap"]


@window_fn("fixed")
class OpaqueFixed(Fixed):
    """Fixed windows under a URN that no runner knows."""


@window_fn("global")
class OpaqueGlobal(Global):
    """The global window under a URN that no runner knows."""


@window_fn("sessions")
class OpaqueSessions(Sessions):
    """Sessions under a URN that no runner knows: merging has to be asked of the harness (M-WIN-14)."""


@window_fn("value_gap")
class ValueGap(Sessions):
    """Sessions whose gap is the element's value (the V of a KV), so that no standard function can stand in."""

    def __init__(self) -> None:
        super().__init__(0)

    def assign(self, timestamp: int, value: Any) -> list[Window]:
        gap = value[1] if isinstance(value, tuple) else value
        return [IntervalWindow(timestamp, timestamp + int(gap))]


@window_fn("named")
class Named(Fixed):
    """Windows of `size` that carry a name, "even" or "odd" by the value: two windows over the same time. Coder: custom_window(string)."""

    def __init__(self, size: int) -> None:
        super().__init__(size)

    def assign(self, timestamp: int, value: Any) -> list[Window]:
        number = value[1] if isinstance(value, tuple) else value
        start = timestamp - timestamp % self.size
        name = "even" if isinstance(number, int) and number % 2 == 0 else "odd"
        return [CustomWindow(start + self.size - 1, f"{start}:{name}")]


@window_fn("none")
class NoWindows(Fixed):
    """Assigns no window at all: the element disappears (M-WIN-06)."""

    def __init__(self) -> None:
        super().__init__(1)

    def assign(self, timestamp: int, value: Any) -> list[Window]:
        return []


@window_fn("pairs")
class MergePairs(Sessions):
    """Merges windows two by two in order, wherever they are: a merge that needs no overlap."""

    def merge(self, windows: Sequence[Any]) -> list[tuple[Any, list[Any]]]:
        ordered = sorted(set(windows))
        pairs = zip(ordered[::2], ordered[1::2], strict=False)
        return [(IntervalWindow(first.start, max(first.end, second.end)), [first, second]) for first, second in pairs]


@mapping_fn("previous")
def previous(window: Window, size: int) -> Window:
    """The fixed window of `size` before the one that holds the main window's last instant."""
    start = window.max_timestamp - window.max_timestamp % size - size
    return IntervalWindow(start, start + size)


@mapping_fn("global")
def to_global(window: Window) -> Window:
    """The global window, whatever the main one is."""
    return GLOBAL_WINDOW
