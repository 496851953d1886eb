"""Splittable DoFns over offset ranges. Give the ParDo restriction_coder=coders.OFFSET_RANGE."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise
from typing import Any

from conformance.harness.api import Resume, SplittableDoFn
from conformance.harness.context import Context
from conformance.harness.functions.expressions import evaluate
from conformance.harness.functions.registry import dofn
from conformance.harness.trackers import OffsetTracker
from conformance.pipeline.values import from_json
from conformance.wire import timestamps
from conformance.wire.values import WindowedValue

__all__ = ["EventScript", "Range"]

Restriction = tuple[tuple[int, int], int]


@dofn("range")
class Range(SplittableDoFn):
    """Positions `start` to `end` (an expression) of each element, emitted as (element, position).

    `splits` initial parts; a self-checkpoint after every `every` positions, asking for `delay` ms; position p at timestamp
    `base` + p*`step` if `step` is given, which with `estimator` is also reported as watermark; waits at `gate` before position
    `gate_at` (before each if it is null); `truncate` keeps ("keep"), stops ("stop") or cuts to a number of positions when draining.
    """

    def __init__(
        self,
        end: Any = None,
        start: int = 0,
        splits: int = 1,
        every: int = 0,
        delay: int = 0,
        step: int | None = None,
        base: int = 0,
        estimator: bool = False,
        gate: str = "",
        gate_at: int | None = None,
        truncate: Any = "keep",
        per_window: bool = False,
        observer: str = "",
    ) -> None:
        self.start, self.end = start, ["value"] if end is None else end
        self.splits, self.every, self.delay = splits, every, delay
        self.step, self.base, self.tracks_watermark = step, base, estimator
        self.gate, self.gate_at, self._truncate = gate, gate_at, truncate
        self.observes_windows, self.observer = per_window, observer

    def initial_restriction(self, element: WindowedValue, ctx: Context) -> Restriction:
        return (self.start, evaluate(self.end, ctx)), timestamps.MIN

    def split(self, element: WindowedValue, restriction: Restriction, ctx: Context) -> Iterable[Restriction]:
        (start, end), state = restriction
        parts = max(min(self.splits, end - start), 1)
        bounds = [start + (end - start) * part // parts for part in range(parts + 1)]
        return [((low, high), state) for low, high in pairwise(bounds)]

    def truncate(self, element: WindowedValue, restriction: Restriction) -> Restriction | None:
        if self._truncate == "keep":
            return restriction
        if self._truncate == "stop":
            return None
        (start, end), state = restriction
        return (start, min(end, start + self._truncate)), state

    def process_range(self, ctx: Context, tracker: OffsetTracker) -> Resume | None:
        position = tracker.start
        done = 0
        if self.observer:
            ctx.observe(self.observer, [tracker.start, tracker.end])
        while True:
            if self.gate and self.gate_at in (None, position):
                ctx.gate(self.gate)
            if not tracker.try_claim(position):
                return None
            timestamp = None if self.step is None else self.base + position * self.step
            ctx.output((ctx.value, position), timestamp=timestamp)
            position += 1
            done += 1
            if self.step is not None:
                tracker.watermark = self.base + position * self.step
            if self.every and done >= self.every and position < tracker.end:
                return Resume(self.delay)


@dofn("event_script")
class EventScript(SplittableDoFn):
    """Plays `events`, [["add", value, timestamp] | ["elements", [[value, timestamp]…]] | ["watermark", timestamp] | ["pause", ms] |
    ["gate", name]…], for each input: what a TestStream does, where there is none. A watermark or pause is a self-checkpoint, so
    that the runner sees it. With `settle` every event is, and asks for so many ms, so that what it causes may come to its end."""

    tracks_watermark = True

    def __init__(self, events: list[list[Any]], settle: int | None = None) -> None:
        self.events, self.settle = events, settle

    def initial_restriction(self, element: WindowedValue, ctx: Context) -> Restriction:
        return (0, len(self.events)), timestamps.MIN

    def process_range(self, ctx: Context, tracker: OffsetTracker) -> Resume | None:
        position = tracker.start
        while tracker.try_claim(position):
            kind, *args = self.events[position]
            position += 1
            pause = self.settle
            if kind == "add":
                ctx.output(from_json(args[0]), timestamp=args[1])
            elif kind == "elements":
                for value, timestamp in args[0]:
                    ctx.output(from_json(value), timestamp=timestamp)
            elif kind == "gate":
                ctx.gate(args[0])
            elif kind == "watermark":
                tracker.watermark = args[0]
                pause = pause or 0
            else:
                pause = args[0]
            if pause is not None and position < tracker.end:
                return Resume(pause)
        return None
