"""How tests read observations of windowed elements: window bounds as pairs, groups by key and window, time in seconds."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

from conformance.suite.checks import Wrong
from conformance.suite.run import Run
from conformance.wire import timestamps
from conformance.wire.values import IntervalWindow, Window

__all__ = ["END_OF_GLOBAL", "SECOND", "bounds", "in_windows", "stamped", "window_groups"]

SECOND = 1000
#: When the global window ends: Python code rounds it down by a millisecond (M-TIME-06, A-6).
END_OF_GLOBAL = (timestamps.GLOBAL_WINDOW_MAX, timestamps.GLOBAL_WINDOW_MAX - 1)


def bounds(window: Window) -> tuple[int, int]:
    """(start, end) of an interval window. Raises Wrong for a window of another kind: no test asks where it did not assign one."""
    if not isinstance(window, IntervalWindow):
        raise Wrong(f"expected an interval window, observed {window!r}", expected="an interval window", observed=window)
    return window.start, window.end


def in_windows(run: Run, observer: str) -> list[tuple[Any, tuple[int, int]]]:
    """(value, (start, end)) of everything seen."""
    return [(seen.value, bounds(seen.window)) for seen in run.seen(observer)]


def stamped(run: Run, observer: str) -> list[tuple[Any, int]]:
    """(value, timestamp) of everything seen."""
    return [(seen.value, seen.timestamp) for seen in run.seen(observer)]


def window_groups(run: Run, observer: str) -> dict[tuple[Any, int, int], list[Any]]:
    """{(key, start, end): sorted values} of a grouping's output, all panes of a window together."""
    found: dict[tuple[Any, int, int], list[Any]] = defaultdict(list)
    for seen in run.seen(observer):
        key, values = seen.value
        found[(key, *bounds(seen.window))].extend(values)
    return {group: sorted(values) for group, values in found.items()}
