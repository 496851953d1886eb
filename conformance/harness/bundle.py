"""One ProcessBundle from request to answer: input, outputs, timers, metrics, splits, checkpoints."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from conformance.harness import metrics as m
from conformance.harness.data import FLUSH_BYTES, Inbox, Lost
from conformance.harness.errors import LocalProtocolError, RemoteProtocolError
from conformance.harness.gates import Counters, Gates
from conformance.harness.metrics import BundleMetrics
from conformance.harness.observations import Observation
from conformance.harness.operations import Clock, Source
from conformance.harness.pardo import ParDo
from conformance.harness.plan import Port
from conformance.harness.splitting import split_bundle
from conformance.harness.state import BundleState
from conformance.wire import urns
from conformance.wire.api import fn_pb2

if TYPE_CHECKING:
    from conformance.harness.processor import Processor

__all__ = ["Run"]

_M, _T = urns.Metric, urns.MetricType


class Run:
    """A bundle in progress; what operations and contexts reach the world through."""

    def __init__(
        self,
        instruction_id: str,
        worker_id: str,
        *,
        state: BundleState,
        gates: Gates,
        counters: Counters,
        log: Callable[[str, str, str, str], None],
        send: Callable[[str, fn_pb2.Elements], None],
        bulk_side_inputs: bool = False,
    ) -> None:
        self.instruction_id, self.worker_id = instruction_id, worker_id
        self.state, self.gates, self.counters = state, gates, counters
        self.bulk_side_inputs = bulk_side_inputs
        self.metrics = BundleMetrics()
        self.observations: list[Observation] = []
        self.finalizers: list[Callable[[], None]] = []
        self.residual_roots: list[fn_pb2.DelayedBundleApplication] = []
        self.clock = Clock()
        #: Called before each element of a source with (source, index); faults hook in here.
        self.on_element: Callable[[Source, int], None] | None = None
        #: Held while a split is answered, and while the bundle ends: no split may be answered after the bundle.
        self.lock = threading.RLock()
        self.processor: Processor | None = None
        self.ended = False
        self.had_timers = False
        #: Were the observations handed over, committed or not?
        self.reported = False
        self._log, self._send = log, send
        self._pending: dict[str, fn_pb2.Elements] = {}
        self._size = 0
        self._timers: dict[tuple[str, str], bytearray] = {}
        self._marks: dict[str, tuple[float, float]] = {}

    def log(self, message: str, severity: str, transform_id: str) -> None:
        self._log(message, severity, self.instruction_id, transform_id)

    # Input

    def execute(self, processor: Processor, inbox: Inbox, embedded: fn_pb2.Elements | None) -> None:
        """Run the bundle to the end of its input, without answering. Raises whatever a function or the protocol does."""
        processor.start(self)
        self._marks = {transform_id: (op.seconds, 0.0) for transform_id, op in processor.ops.items()}
        # Only now: a progress or split request that comes before would meet what the last bundle left, or nothing (P-CTL-23).
        self.processor = processor
        waiting = {("data", transform_id, "") for transform_id in processor.sources}
        waiting |= {("timers", transform_id, family) for transform_id, family in processor.plan.families}
        if embedded is not None:
            self._take(processor, embedded, waiting)
            if waiting:
                raise RemoteProtocolError(f"embedded input of {self.instruction_id} does not end {sorted(waiting)} (P-CTL-14)")
        while waiting:
            elements = inbox.get()
            if isinstance(elements, Lost):
                raise RemoteProtocolError(f"data stream to {elements.url} ended ({elements.status}) inside a bundle (P-DATA-19)")
            self._take(processor, elements, waiting)
        for transform_id, op in processor.ops.items():
            started, _ = self._marks[transform_id]
            self._marks[transform_id] = (started, op.seconds)
        processor.finish()

    def _take(self, processor: Processor, elements: fn_pb2.Elements, waiting: set[tuple[str, str, str]]) -> None:
        for entry in elements.data:
            end = ("data", entry.transform_id, "")
            if end not in waiting:
                processor.source(entry.transform_id)
                raise RemoteProtocolError(f"data for {entry.transform_id!r} after its terminator (P-DATA-02)")
            if entry.data:
                processor.data(entry)
            if entry.is_last:
                waiting.discard(end)
        for timers in elements.timers:
            end = ("timers", timers.transform_id, timers.timer_family_id)
            if end not in waiting:
                raise RemoteProtocolError(
                    f"timers for {timers.transform_id!r}/{timers.timer_family_id!r}: unknown family or after its terminator (P-DATA-02)"
                )
            if timers.timers:
                self.had_timers = True
                processor.timers(timers)
            if timers.is_last:
                waiting.discard(end)

    # Output

    def send_data(self, port: Port, data: bytes) -> None:
        """Queue one entry of whole elements; messages hold about 1 MB (P-DATA-04)."""
        pending = self._pending.setdefault(port.url, fn_pb2.Elements())
        pending.data.add(instruction_id=self.instruction_id, transform_id=port.transform_id, data=data)
        self._size += len(data)
        if self._size >= FLUSH_BYTES:
            self._send_pending()

    def _send_pending(self) -> None:
        for url, elements in self._pending.items():
            self._send(url, elements)
        self._pending, self._size = {}, 0

    def flush(self) -> None:
        """Send now what sinks and the queue hold, in a message of its own: outputs may leave at any time (P-DATA-16)."""
        assert self.processor is not None
        for sink in self.processor.sinks:
            sink.flush()
        self._send_pending()

    def send_timer(self, transform_id: str, family: str, encoded: bytes) -> None:
        self._timers.setdefault((transform_id, family), bytearray()).extend(encoded)

    def last_message(self) -> dict[str, fn_pb2.Elements]:
        """By address: what is left of data and timers, and the terminator of every sink and timer family (P-DATA-02)."""
        assert self.processor is not None
        plan = self.processor.plan
        result = self._pending
        self._pending = {}
        timer_url = plan.timer_url or next((port.url for port in (*plan.sources.values(), *plan.sinks.values())), "")
        for (transform_id, family), data in self._timers.items():
            result.setdefault(timer_url, fn_pb2.Elements()).timers.add(
                instruction_id=self.instruction_id, transform_id=transform_id, timer_family_id=family, timers=bytes(data)
            )
        for port in plan.sinks.values():
            result.setdefault(port.url, fn_pb2.Elements()).data.add(
                instruction_id=self.instruction_id, transform_id=port.transform_id, is_last=True
            )
        for transform_id, family in plan.families:
            result.setdefault(timer_url, fn_pb2.Elements()).timers.add(
                instruction_id=self.instruction_id, transform_id=transform_id, timer_family_id=family, is_last=True
            )
        if self._timers and not timer_url:
            raise LocalProtocolError("timers were set, but the stage names no address to send them to (P-CTL-11)")
        self._timers = {}
        return result

    # Answers about the bundle

    def payloads(self) -> dict[m.Key, bytes]:
        """All metrics so far, as totals of this bundle (P-MET-01)."""
        result = self.metrics.payloads()
        processor = self.processor
        if processor is None:
            return result
        for collection, output in processor.collections.items():
            result[m.system(_M.ELEMENT_COUNT, _T.SUM_INT64, "PCOLLECTION", collection)] = m.int_sum(output.count)
            if output.sizes:
                sizes = m.distribution(list(output.sizes))
                result[m.system(_M.SAMPLED_BYTE_SIZE, _T.DISTRIBUTION_INT64, "PCOLLECTION", collection)] = sizes
        for transform_id, source in processor.sources.items():
            read_index = m.system(_M.DATA_CHANNEL_READ_INDEX, _T.SUM_INT64, "PTRANSFORM", transform_id)
            result[read_index] = m.int_sum(source.taken)
            if (split := processor.splittable(source)) and (progress := split.progress()):
                for urn, value in ((_M.WORK_COMPLETED, progress[0]), (_M.WORK_REMAINING, progress[1])):
                    result[m.system(urn, _T.PROGRESS, "PTRANSFORM", split.node.transform_id)] = m.progress([value])
        for transform_id, op in processor.ops.items():
            total = m.int_sum(int(op.seconds * 1000))
            result[m.system(_M.TOTAL_MSECS, _T.SUM_INT64, "PTRANSFORM", transform_id)] = total
            if isinstance(op, ParDo) and transform_id in self._marks:
                started, finishing = self._marks[transform_id]
                middle = (finishing or op.seconds) - started
                last = op.seconds - finishing if finishing else 0.0
                for urn, seconds in (
                    (_M.START_BUNDLE_MSECS, started),
                    (_M.PROCESS_BUNDLE_MSECS, middle),
                    (_M.FINISH_BUNDLE_MSECS, last),
                ):
                    key = m.system(urn, _T.SUM_INT64, "PTRANSFORM", transform_id)
                    result[key] = m.int_sum(max(int(seconds * 1000), 0))
        return result

    def split(
        self, request: fn_pb2.ProcessBundleSplitRequest, *, behind_the_last: bool = False
    ) -> fn_pb2.ProcessBundleSplitResponse:
        """Give part of the input back, or by `behind_the_last` none of it.

        Call with `lock` held; empty when in doubt (P-SPL-03, P-SPL-10).
        """
        if self.ended or self.processor is None or self.had_timers:
            return fn_pb2.ProcessBundleSplitResponse()
        return split_bundle(self.processor, request, behind_the_last=behind_the_last)

    def samples(self) -> dict[str, list[Any]]:
        """Elements kept for data sampling, by PCollection."""
        if self.processor is None:
            return {}
        return {collection: list(output.samples) for collection, output in self.processor.collections.items() if output.samples}
