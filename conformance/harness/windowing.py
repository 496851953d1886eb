"""Window functions as an SDK runs them: the standard ones, the mapping of side inputs, and what a port does to a window.

This is the SDK's own reading; neither runner nor oracle knows it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from conformance.harness.api import WindowFn
from conformance.harness.errors import RemoteProtocolError
from conformance.wire import urns
from conformance.wire.api import google_pb2, windows_pb2
from conformance.wire.api import pipeline_pb2 as pb
from conformance.wire.coders import Coder
from conformance.wire.values import GLOBAL_WINDOW, CustomWindow, GlobalWindow, IntervalWindow, Window

__all__ = ["Fixed", "Global", "Sessions", "Sliding", "standard_window_fn", "unwrap", "wrap"]


def _milliseconds(span: google_pb2.Duration | google_pb2.Timestamp) -> int:
    return span.seconds * 1000 + span.nanos // 1_000_000


class Global(WindowFn):
    def assign(self, timestamp: int, value: Any) -> list[Window]:
        return [GLOBAL_WINDOW]


class Fixed(WindowFn):
    """start = ts - floorMod(ts - offset, size) (M-WIN-02, M-WIN-03)."""

    def __init__(self, size: int, offset: int = 0) -> None:
        self.size, self.offset = size, offset

    def assign(self, timestamp: int, value: Any) -> list[Window]:
        start = timestamp - (timestamp - self.offset) % self.size
        return [IntervalWindow(start, start + self.size)]


class Sliding(WindowFn):
    """All [s, s+size) with s on the grid that contain the timestamp; none in a gap (M-WIN-06)."""

    def __init__(self, size: int, period: int, offset: int = 0) -> None:
        self.size, self.period, self.offset = size, period, offset

    def assign(self, timestamp: int, value: Any) -> list[Window]:
        last = timestamp - (timestamp - self.offset) % self.period
        return [IntervalWindow(start, start + self.size) for start in range(last, timestamp - self.size, -self.period)]


class Sessions(WindowFn):
    """Proto-sessions that merge when they overlap; touching ones stay apart (M-WIN-08)."""

    def __init__(self, gap: int) -> None:
        self.gap = gap

    def assign(self, timestamp: int, value: Any) -> list[Window]:
        return [IntervalWindow(timestamp, timestamp + self.gap)]

    def merge(self, windows: Sequence[Any]) -> list[tuple[Any, list[Any]]]:
        groups: list[tuple[int, int, list[IntervalWindow]]] = []
        for window in sorted(set(windows)):
            if groups and window.start < groups[-1][1]:
                start, end, members = groups[-1]
                groups[-1] = (start, max(end, window.end), [*members, window])
            else:
                groups.append((window.start, window.end, [window]))
        return [(IntervalWindow(start, end), list(members)) for start, end, members in groups if len(members) > 1]

    def map_main(self, window: Window) -> Window:
        raise RemoteProtocolError("a side input has session windows, which no main window maps to (M-SIDE-13)")


def _fixed(payload: bytes) -> WindowFn:
    message = windows_pb2.FixedWindowsPayload.FromString(payload)
    return Fixed(_milliseconds(message.size), _milliseconds(message.offset))


def _sliding(payload: bytes) -> WindowFn:
    message = windows_pb2.SlidingWindowsPayload.FromString(payload)
    return Sliding(_milliseconds(message.size), _milliseconds(message.period), _milliseconds(message.offset))


def _sessions(payload: bytes) -> WindowFn:
    return Sessions(_milliseconds(windows_pb2.SessionWindowsPayload.FromString(payload).gap_size))


_STANDARD: dict[str, Callable[[bytes], WindowFn]] = {
    urns.WindowFn.GLOBAL: lambda payload: Global(),
    urns.WindowFn.FIXED: _fixed,
    urns.WindowFn.SLIDING: _sliding,
    urns.WindowFn.SESSION: _sessions,
}


def standard_window_fn(spec: pb.FunctionSpec) -> WindowFn | None:
    """The standard window function of `spec`; None for another URN."""
    make = _STANDARD.get(spec.urn)
    return make(spec.payload) if make else None


def unwrap(window: Any) -> Window:
    """A window as functions see it. A runner may hide a standard window in a custom_window coder if the environment did not
    declare its coder (P-PIPE-13); inside the harness it is the standard window again."""
    if isinstance(window, CustomWindow) and isinstance(window.window, IntervalWindow | GlobalWindow):
        return window.window
    return window  # type: ignore[no-any-return]


def wrap(window: Window, coder: Coder) -> Any:
    """`window` as `coder` writes it."""
    if coder.urn == urns.Coder.CUSTOM_WINDOW and not isinstance(window, CustomWindow):
        return CustomWindow(window.max_timestamp, window)
    return window
