"""The parts of a splittable ParDo: pair, split and size, truncate, process; checkpoints and dynamic splits (P-PIPE-16, P-SPL-04..07)."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

from conformance.harness.api import Resume, SplittableDoFn
from conformance.harness.errors import FunctionError
from conformance.harness.operations import application
from conformance.harness.pardo import ParDo
from conformance.harness.plan import Node, Plan
from conformance.harness.trackers import OffsetTracker
from conformance.wire import timestamps
from conformance.wire.api import fn_pb2, google_pb2
from conformance.wire.values import WindowedValue

if TYPE_CHECKING:
    from conformance.harness.bundle import Run
    from conformance.harness.functions.registry import Registry

__all__ = ["PairWithRestriction", "ProcessSized", "SplitAndSize", "Truncate"]

Restriction = tuple[tuple[int, int], int]


class SplittableOperation(ParDo):
    """What the parts share: the splittable function."""

    fn: SplittableDoFn

    def __init__(self, node: Node, plan: Plan, registry: Registry) -> None:
        super().__init__(node, plan, registry)
        if not isinstance(self.fn, SplittableDoFn):
            raise FunctionError(f"{self.spec.name} is no splittable function, but {node.transform_id!r} is part of one")

    def forward_value(self, value: Any) -> None:
        element = self.ctx.element
        self.forward(WindowedValue(value, element.timestamp, element.windows, element.pane))


class PairWithRestriction(SplittableOperation):
    """E → KV<E, R>."""

    def process(self, element: WindowedValue) -> None:
        self.ctx.element = element
        self.forward_value((element.value, self.fn.initial_restriction(element, self.ctx)))


class SplitAndSize(SplittableOperation):
    """KV<E, R> → KV<KV<E, R>, size>, one a part."""

    def process(self, element: WindowedValue) -> None:
        value, restriction = element.value
        inner = WindowedValue(value, element.timestamp, element.windows, element.pane)
        self.ctx.element = inner
        for part in self.fn.split(inner, restriction, self.ctx):
            self.forward_value(((value, part), self.fn.size(inner, part)))


class Truncate(SplittableOperation):
    """KV<KV<E, R>, size> → the same, with what is still to be done when draining."""

    def process(self, element: WindowedValue) -> None:
        (value, restriction), _ = element.value
        inner = WindowedValue(value, element.timestamp, element.windows, element.pane)
        self.ctx.element = inner
        left = self.fn.truncate(inner, restriction)
        if left is not None:
            self.forward_value(((value, left), self.fn.size(inner, left)))


def _timestamp(milliseconds: int) -> google_pb2.Timestamp:
    seconds, rest = divmod(min(max(milliseconds, timestamps.MIN), timestamps.MAX), 1000)
    return google_pb2.Timestamp(seconds=seconds, nanos=rest * 1_000_000)


class ProcessSized(SplittableOperation):
    """KV<KV<E, R>, size> → outputs. The current element can be split while it runs."""

    def __init__(self, node: Node, plan: Plan, registry: Registry) -> None:
        super().__init__(node, plan, registry)
        self._input_coder = plan.input_coder(node)
        self._lock = threading.Lock()
        self._current: tuple[WindowedValue, OffsetTracker] | None = None
        self._others: list[WindowedValue] = []

    def start(self, run: Run) -> None:
        self._current = None
        super().start(run)

    def process(self, element: WindowedValue) -> None:
        # A restriction is not shared between windows (M-SDF-09): a function that looks at them works once a window.
        windows = [(window,) for window in element.windows] if self._per_window else [element.windows]
        parts = [WindowedValue(element.value, element.timestamp, each, element.pane) for each in windows]
        for part in parts:
            self._others = [other for other in parts if other is not part]
            self._process_one(part)

    def _process_one(self, element: WindowedValue) -> None:
        (value, ((start, end), watermark)), _ = element.value
        tracker = OffsetTracker(start, end, watermark)
        self.ctx.element = WindowedValue(value, element.timestamp, element.windows, element.pane)
        self.ctx.timer = None
        with self._lock:
            self._current = (element, tracker)
        try:
            resume = self.fn.process_range(self.ctx, tracker)
        finally:
            with self._lock:
                self._current = None
        if isinstance(resume, Resume):
            residual = tracker.try_split(0.0)
            if residual is not None:
                self.run.residual_roots.append(self._delayed(element, residual, tracker.watermark, resume.delay))
        else:
            tracker.check_done()

    def _root(self, element: WindowedValue, part: tuple[int, int], watermark: int) -> fn_pb2.BundleApplication:
        (value, _), _ = element.value
        restriction = (part, watermark)
        inner = WindowedValue(value, element.timestamp, element.windows, element.pane)
        rest = WindowedValue(
            ((value, restriction), self.fn.size(inner, restriction)), element.timestamp, element.windows, element.pane
        )
        return application(self.node.transform_id, self.node.main, self._input_coder.encode(rest))

    def _delayed(
        self, element: WindowedValue, part: tuple[int, int], watermark: int, delay: int
    ) -> fn_pb2.DelayedBundleApplication:
        root = self._root(element, part, watermark)
        if self.fn.tracks_watermark:
            for local in self.node.proto.outputs:
                root.output_watermarks[local].CopyFrom(_timestamp(watermark))
        delayed = fn_pb2.DelayedBundleApplication(application=root)
        if delay:
            seconds, rest = divmod(delay, 1000)
            delayed.requested_time_delay.CopyFrom(google_pb2.Duration(seconds=seconds, nanos=rest * 1_000_000))
        return delayed

    def progress(self) -> tuple[float, float] | None:
        """(done, left) of the current element, None between elements."""
        with self._lock:
            return self._current[1].progress() if self._current else None

    def try_split(self, fraction: float) -> tuple[list[fn_pb2.BundleApplication], fn_pb2.DelayedBundleApplication] | None:
        """Give away part of the current element: primary roots and a residual one that make up the element, or None (P-SPL-05)."""
        with self._lock:
            if self._current is None:
                return None
            element, tracker = self._current
            start = tracker.start
            residual = tracker.try_split(fraction)
            if residual is None:
                return None
            primary = [self._root(element, (start, residual[0]), tracker.watermark)]
            for other in self._others:  # the element's other windows stay here whole
                primary.append(application(self.node.transform_id, self.node.main, self._input_coder.encode(other)))
            return primary, self._delayed(element, residual, tracker.watermark, 0)
