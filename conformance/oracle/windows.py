"""Window assignment, merging and mapping, as section 2 of the model has them. Brute force where that is the definition."""

from __future__ import annotations

from collections.abc import Iterable
from typing import assert_never

from conformance.oracle.program import Fixed, Global, Sessions, Sliding, WindowFn
from conformance.wire.timestamps import GLOBAL_WINDOW_MAX
from conformance.wire.values import GLOBAL_WINDOW, GlobalWindow, IntervalWindow, Window

__all__ = ["assign", "end_timestamps", "expiry", "hull", "map_main_window", "max_timestamp", "merge", "overlap"]


def assign(fn: WindowFn, timestamp: int) -> tuple[Window, ...]:
    """The windows of an element with this timestamp: none, one or several."""
    match fn:
        case Global():
            return (GLOBAL_WINDOW,)  # M-WIN-01
        case Fixed(size, offset):
            start = timestamp - (timestamp - offset) % size  # Python's % is the floorMod of M-WIN-02, M-WIN-03
            return (IntervalWindow(start, start + size),)
        case Sliding(size, period, offset):
            # M-WIN-06: every s congruent to offset with ts - size < s <= ts, so the list is empty in a gap.
            latest = timestamp - (timestamp - offset) % period
            return tuple(IntervalWindow(start, start + size) for start in range(latest, timestamp - size, -period))
        case Sessions(gap):
            return (IntervalWindow(timestamp, timestamp + gap),)  # M-WIN-08: the proto-session
        case _:
            assert_never(fn)


def overlap(a: IntervalWindow, b: IntervalWindow) -> bool:
    """Whether two windows share an instant; touching ones do not (M-WIN-08)."""
    return a.start < b.end and b.start < a.end


def hull(windows: Iterable[Window]) -> IntervalWindow:
    """The smallest interval around all (M-WIN-09)."""
    intervals = [window for window in windows if isinstance(window, IntervalWindow)]
    return IntervalWindow(min(w.start for w in intervals), max(w.end for w in intervals))


def merge(windows: Iterable[IntervalWindow]) -> list[tuple[IntervalWindow, tuple[IntervalWindow, ...]]]:
    """The final sessions of one key, each with the windows it came from (M-WIN-08, M-WIN-09): transitive, in order of start."""
    groups: list[list[IntervalWindow]] = []
    for window in sorted(set(windows)):
        # Sorted by start, a window can overlap the last group only: its hull ends where any of its members ends last.
        if groups and overlap(hull(groups[-1]), window):
            groups[-1].append(window)
        else:
            groups.append([window])
    return [(hull(group), tuple(group)) for group in groups]


def max_timestamp(window: Window) -> int:
    """The last instant inside (M-WIN-04, M-TIME-02)."""
    return window.max_timestamp


def end_timestamps(window: Window) -> frozenset[int]:
    """What an element stamped "end of window" may carry: for the global window one millisecond less too (M-TIME-06, A-6), for windows
    that end at or before the epoch one more (M-TIME-05)."""
    if isinstance(window, GlobalWindow):
        return frozenset({GLOBAL_WINDOW_MAX, GLOBAL_WINDOW_MAX - 1})
    if isinstance(window, IntervalWindow) and window.end <= 0:
        return frozenset({window.max_timestamp, window.end})
    return frozenset({window.max_timestamp})


def expiry(window: Window, allowed_lateness: int) -> int:
    """gc(w): at a watermark past it the window is gone (M-LATE-02)."""
    return min(window.max_timestamp + allowed_lateness, GLOBAL_WINDOW_MAX)


def map_main_window(main: Window, side: WindowFn) -> Window | None:
    """The side window that a main window looks at by the default mapping; None where SDKs disagree or refuse (M-WIN-21, A-27)."""
    match side:
        case Global():
            return GLOBAL_WINDOW
        case Sessions():
            return None
        case _ if isinstance(main, GlobalWindow):
            return None
        case _:
            candidates = [w for w in assign(side, main.max_timestamp) if isinstance(w, IntervalWindow)]
            return min(candidates, default=None)  # the one that starts, hence ends, earliest
