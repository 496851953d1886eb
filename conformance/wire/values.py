"""Frozen values that coders read and write: windows, panes, windowed values, timers. No behaviour of the model lives here."""

from __future__ import annotations

import enum
from typing import Any, Final

from attrs import frozen

from conformance.wire import timestamps

__all__ = [
    "GLOBAL_WINDOW",
    "NO_FIRING",
    "CustomWindow",
    "GlobalWindow",
    "IntervalWindow",
    "Pane",
    "ShardedKey",
    "StateBackedIterable",
    "Timer",
    "Timing",
    "Unsized",
    "Window",
    "WindowedValue",
]


@frozen
class GlobalWindow:
    """The one window of the global windowing; use the singleton GLOBAL_WINDOW."""

    @property
    def max_timestamp(self) -> int:
        return timestamps.GLOBAL_WINDOW_MAX


GLOBAL_WINDOW: Final = GlobalWindow()


@frozen(order=True)
class IntervalWindow:
    """[start, end) in milliseconds."""

    start: int
    end: int

    @property
    def max_timestamp(self) -> int:
        """The last millisecond inside the window (M-WIN-04)."""
        return self.end - 1


@frozen
class CustomWindow:
    """A window that only the SDK understands: its maximum timestamp, and the window as its component coder reads it."""

    max_timestamp: int
    window: Any


Window = GlobalWindow | IntervalWindow | CustomWindow


class Timing(enum.IntEnum):
    """When a pane fired relative to the end of its window; the values are those of the pane byte."""

    EARLY = 0
    ON_TIME = 1
    LATE = 2
    UNKNOWN = 3


@frozen
class Pane:
    """One firing of a window; `nonspeculative_index` is -1 for EARLY panes (M-PANE-01)."""

    is_first: bool = True
    is_last: bool = True
    timing: Timing = Timing.UNKNOWN
    index: int = 0
    nonspeculative_index: int = 0


#: What elements carry that never passed a grouping.
NO_FIRING: Final = Pane()


@frozen
class WindowedValue:
    """An element: value, timestamp (ms), the windows it is in, pane."""

    value: Any
    timestamp: int = timestamps.MIN
    windows: tuple[Window, ...] = (GLOBAL_WINDOW,)
    pane: Pane = NO_FIRING


@frozen
class Timer:
    """A timer setting or firing; a cleared one has no timestamps and no pane (P-TMR-01)."""

    key: Any
    tag: str
    windows: tuple[Window, ...]
    clear: bool = False
    fire_timestamp: int = 0
    hold_timestamp: int = 0
    pane: Pane = NO_FIRING


@frozen
class ShardedKey:
    """A key with the shard that the runner chose for it."""

    key: Any
    shard_id: bytes


@frozen
class StateBackedIterable:
    """An iterable of which only `prefix` is inline; the rest is read from the state plane with `token`."""

    prefix: tuple[Any, ...]
    token: bytes


class Unsized(list[Any]):
    """A list that coders of iterables write without its length, a few elements after each count (P-COD-03)."""
