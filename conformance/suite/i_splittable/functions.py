"""Splittable functions of these tests, beside the library's `range`. All are over offset ranges (coders.OFFSET_RANGE)."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from conformance.harness.api import DoFn, Resume, SplittableDoFn
from conformance.harness.context import Context
from conformance.harness.functions import dofn
from conformance.harness.functions.expressions import evaluate
from conformance.harness.observations import Observation
from conformance.harness.trackers import OffsetTracker
from conformance.wire import timestamps
from conformance.wire.values import WindowedValue

__all__ = ["OffsetFn", "state_at"]

Restriction = tuple[tuple[int, int], int]
#: How often a function that waits for a split looks whether one came, in seconds.
_LOOK = 0.01


def state_at(position: int) -> int:
    """What `keeps_state` keeps in a restriction that begins at `position`: of every length that a varint has, both signs."""
    return (-1) ** position * (7 ** (position % 22)) if position else timestamps.MIN


class OffsetFn(SplittableDoFn):
    """Positions 0 to `end` (an expression) of each element; a self-checkpoint after every `every` positions. Emits by `step`."""

    def __init__(self, end: Any = None, every: int = 0, delay: int = 0) -> None:
        self.end, self.every, self.delay = ["value"] if end is None else end, every, delay

    def initial_restriction(self, element: WindowedValue, ctx: Context) -> Restriction:
        return (0, evaluate(self.end, ctx)), timestamps.MIN

    def step(self, ctx: Context, tracker: OffsetTracker, position: int) -> None:
        """What one claimed position is worth."""
        raise NotImplementedError(type(self).__name__)

    def process_range(self, ctx: Context, tracker: OffsetTracker) -> Resume | None:
        position, done = tracker.start, 0
        while tracker.try_claim(position):
            self.step(ctx, tracker, position)
            position, done = position + 1, done + 1
            if self.every and done >= self.every and position < tracker.end:
                return Resume(self.delay)
        return None


@dofn("range_to_tags")
class RangeToTags(OffsetFn):
    """Emits even positions to "even", odd ones to "odd"."""

    def step(self, ctx: Context, tracker: OffsetTracker, position: int) -> None:
        ctx.output((ctx.value, position), "odd" if position % 2 else "even")


@dofn("range_beside", observes_windows=True)
class RangeBeside(OffsetFn):
    """Emits (position, sorted values of the side input "side")."""

    observes_windows = True

    def step(self, ctx: Context, tracker: OffsetTracker, position: int) -> None:
        ctx.output((position, sorted(ctx.side("side").values())))


@dofn("keeps_state")
class KeepsState(OffsetFn):
    """Keeps `state_at` of the next position in the restriction's estimator state, and reports (element, start, state) whenever it is
    given a restriction."""

    def __init__(self, observer: str, end: Any = None, every: int = 1) -> None:
        super().__init__(end, every)
        self.observer = observer

    def step(self, ctx: Context, tracker: OffsetTracker, position: int) -> None:
        tracker.watermark = state_at(position + 1)
        ctx.output((ctx.value, position))

    def process_range(self, ctx: Context, tracker: OffsetTracker) -> Resume | None:
        ctx.observe(self.observer, (ctx.value, tracker.start, tracker.watermark))
        return super().process_range(ctx, tracker)


@dofn("clocked_range")
class ClockedRange(OffsetFn):
    """Emits (position, wall clock in ms)."""

    def step(self, ctx: Context, tracker: OffsetTracker, position: int) -> None:
        ctx.output((position, ctx.now))


@dofn("unfinished_range")
class UnfinishedRange(OffsetFn):
    """Returns before the end of the range, without asking to be resumed."""

    def step(self, ctx: Context, tracker: OffsetTracker, position: int) -> None:
        ctx.output((ctx.value, position))

    def process_range(self, ctx: Context, tracker: OffsetTracker) -> Resume | None:
        if tracker.try_claim(tracker.start):
            self.step(ctx, tracker, tracker.start)
        return None


@dofn("sized_range")
class SizedRange(OffsetFn):
    """Splits each range into single positions, whose sizes are `sizes` in turn."""

    def __init__(self, sizes: list[float], end: Any = None) -> None:
        super().__init__(end)
        self.sizes = sizes

    def split(self, element: WindowedValue, restriction: Restriction, ctx: Context) -> Iterable[Restriction]:
        (start, end), state = restriction
        return [((position, position + 1), state) for position in range(start, end)]

    def size(self, element: WindowedValue, restriction: Restriction) -> float:
        (start, _), _ = restriction
        return self.sizes[start % len(self.sizes)]

    def step(self, ctx: Context, tracker: OffsetTracker, position: int) -> None:
        ctx.output((ctx.value, position))


def _wait(condition: Callable[[], bool], seconds: float) -> None:
    """Until `condition` holds, at most `seconds`: how a bundle stays open long enough for the runner to want to split it."""
    never = threading.Event()
    for _ in range(int(seconds / _LOOK)):
        if condition():
            return
        never.wait(_LOOK)


@dofn("range_until_split")
class RangeUntilSplit(OffsetFn):
    """Claims the first position, then waits up to `patience` seconds until its range was split."""

    def __init__(self, patience: float, end: Any = None) -> None:
        super().__init__(end)
        self.patience = patience

    def step(self, ctx: Context, tracker: OffsetTracker, position: int) -> None:
        if position == 0:
            end = tracker.end
            _wait(lambda: tracker.end < end, self.patience)
        ctx.output((ctx.value, position))


@dofn("slow_until_split")
class SlowUntilSplit(DoFn):
    """Passes elements on; at the first element of the session waits up to `patience` seconds until the bundle's input was cut."""

    def __init__(self, patience: float) -> None:
        self.patience = patience

    def process(self, ctx: Context) -> Iterator[Any]:
        processor = ctx.run.processor
        if processor is not None and ctx.run.counters.next("slow_until_split") == 1:
            _wait(lambda: any(source.stop is not None for source in processor.sources.values()), self.patience)
        yield ctx.value


@dofn("finalized_range")
class FinalizedRange(OffsetFn):
    """Asks for finalization whenever it is given a restriction; the callback reports the restriction's start."""

    def __init__(self, observer: str, end: Any = None, every: int = 1) -> None:
        super().__init__(end, every)
        self.observer = observer

    def step(self, ctx: Context, tracker: OffsetTracker, position: int) -> None:
        ctx.output((ctx.value, position))

    def process_range(self, ctx: Context, tracker: OffsetTracker) -> Resume | None:
        start, window, sink = tracker.start, ctx.windows[0], ctx.op.registry.sink
        done = Observation(self.observer, start, 0, window, bundle=ctx.bundle, worker=ctx.worker)
        ctx.finalize(lambda: sink.bundle_done([done], True))
        return super().process_range(ctx, tracker)


@dofn("wall_clock_range")
class WallClockRange(OffsetFn):
    """Emits each position at the wall clock's time, which it reports as its watermark: nothing later is older (M-SDF-07)."""

    tracks_watermark = True

    def step(self, ctx: Context, tracker: OffsetTracker, position: int) -> None:
        now = max(ctx.now, tracker.watermark)
        ctx.output((ctx.value, position), timestamp=now)
        tracker.watermark = now
