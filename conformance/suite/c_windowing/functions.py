"""Window functions of the tests of this area, as the harness executes them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from conformance.harness.api import WindowFn
from conformance.harness.functions import window_fn
from conformance.wire.values import CustomWindow, IntervalWindow, Window

__all__ = ["ByParity", "MergeSameParity", "MergeTwice", "Named", "OfSizes"]


@window_fn("window_by_parity")
class ByParity(WindowFn):
    """[0, 1000) for even timestamps, [0, 2000) for odd ones: overlapping windows that no standard function assigns."""

    def assign(self, timestamp: int, value: Any) -> list[Window]:
        return [IntervalWindow(0, 2000 if timestamp % 2 else 1000)]


@window_fn("windows_of_sizes")
class OfSizes(WindowFn):
    """The fixed window of each of several sizes."""

    def __init__(self, sizes: Sequence[int]) -> None:
        self.sizes = sizes

    def assign(self, timestamp: int, value: Any) -> list[Window]:
        starts = [(timestamp - timestamp % size, size) for size in self.sizes]
        return [IntervalWindow(start, start + size) for start, size in starts]


@window_fn("named_windows")
class Named(WindowFn):
    """Windows that are names: an element is in the one at its timestamp modulo their number; all end at `max_timestamp`."""

    def __init__(self, names: Sequence[str], max_timestamp: int) -> None:
        self.names, self.max_timestamp = names, max_timestamp

    def assign(self, timestamp: int, value: Any) -> list[Window]:
        return [CustomWindow(self.max_timestamp, self.names[timestamp % len(self.names)])]


@window_fn("merge_same_parity")
class MergeSameParity(WindowFn):
    """[ts, ts + size); windows whose starts are both even or both odd merge into their hull."""

    def __init__(self, size: int, unsized: bool = False) -> None:
        self.size, self.unsized_merges = size, unsized

    def assign(self, timestamp: int, value: Any) -> list[Window]:
        return [IntervalWindow(timestamp, timestamp + self.size)]

    def merge(self, windows: Sequence[Any]) -> list[tuple[Any, list[Any]]]:
        found = []
        for parity in (0, 1):
            group = sorted(window for window in windows if window.start % 2 == parity)
            if len(group) > 1:
                found.append((IntervalWindow(group[0].start, max(window.end for window in group)), group))
        return found


@window_fn("merge_twice")
class MergeTwice(WindowFn):
    """[ts, ts + 10); merges against its contract (M-WIN-15): the first window goes into two results, as no merge may do."""

    def assign(self, timestamp: int, value: Any) -> list[Window]:
        return [IntervalWindow(timestamp, timestamp + 10)]

    def merge(self, windows: Sequence[Any]) -> list[tuple[Any, list[Any]]]:
        first, *others = sorted(windows)
        return [(IntervalWindow(first.start, other.end), [first, other]) for other in others]
