"""What a runner asks about bundles: progress, splits, finalization, metrics metadata, samples. Empty rather than wrong."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from conformance.harness import metrics
from conformance.harness.bundle import Run
from conformance.harness.errors import RemoteProtocolError
from conformance.harness.iterables import is_lazy
from conformance.harness.plan import Plan
from conformance.harness.threads import THREADS
from conformance.wire import coders, urns
from conformance.wire.api import fn_pb2, google_pb2

if TYPE_CHECKING:
    from conformance.harness.worker import Worker

__all__ = ["Inquiries"]

_P = urns.Protocol


class Inquiries:
    """The answers of one worker to every instruction that is no bundle."""

    def __init__(self, worker: Worker) -> None:
        self._worker = worker
        self._lock = threading.Lock()
        self._finalizers: dict[str, list[Callable[[], None]]] = {}
        self._samples: dict[str, list[bytes]] = {}

    def expect_finalize(self, instruction_id: str, callbacks: list[Callable[[], None]]) -> None:
        """A bundle asked for finalization."""
        with self._lock:
            self._finalizers[instruction_id] = callbacks

    def progress(self, request: fn_pb2.InstructionRequest) -> None:
        response = fn_pb2.InstructionResponse(instruction_id=request.instruction_id)
        body = response.process_bundle_progress
        body.SetInParent()
        run = self._worker.find(request.process_bundle_progress.instruction_id)
        if run is not None and run.processor is not None:
            data, infos = metrics.gather(run.payloads(), self._worker.short_ids, not self._worker.short_ids_only())
            body.monitoring_infos.extend(infos)
            for short, payload in data.items():
                body.monitoring_data[short] = payload
            if self._worker.declares(_P.SDK_CONSUMING_RECEIVED_DATA):
                body.consuming_received_data = True
        self._worker.answer(request, response)

    def split(self, request: fn_pb2.InstructionRequest) -> None:
        response = fn_pb2.InstructionResponse(instruction_id=request.instruction_id)
        body = response.process_bundle_split
        body.SetInParent()
        run = self._worker.find(request.process_bundle_split.instruction_id)
        faults = self._worker.host.script.take("process_bundle_split", request.instruction_id, self._worker.worker_id)
        if run is None or any(fault.action in ("empty_answer", "error", "answer") for fault in faults):
            self._worker.answer(request, response, faults)
            return
        with run.lock:  # the bundle's own answer waits, so that no split follows it
            behind = any(fault.action == "behind_the_last" for fault in faults)
            body.CopyFrom(run.split(request.process_bundle_split, behind_the_last=behind))
            if any(fault.action == "nameless" for fault in faults):
                for channel in body.channel_splits:
                    channel.transform_id = ""
            self._worker.answer(request, response, faults)

    def finalize(self, request: fn_pb2.InstructionRequest) -> None:
        THREADS.run(self._finalize, request)

    def _finalize(self, request: fn_pb2.InstructionRequest) -> None:
        """Answered OK even when nothing is known of the bundle (P-CTL-22)."""
        with self._lock:
            callbacks = self._finalizers.pop(request.finalize_bundle.instruction_id, [])
        try:
            for callback in callbacks:
                callback()
        except Exception as error:
            self._worker.answer(request, self._worker.failed(request, error))
            return
        response = fn_pb2.InstructionResponse(instruction_id=request.instruction_id)
        response.finalize_bundle.SetInParent()
        self._worker.answer(request, response)

    def monitoring_infos(self, request: fn_pb2.InstructionRequest) -> None:
        response = fn_pb2.InstructionResponse(instruction_id=request.instruction_id)
        body = response.monitoring_infos
        body.SetInParent()
        for short in request.monitoring_infos.monitoring_info_id:
            info = self._worker.short_ids.info(short)
            if info is None:
                raise RemoteProtocolError(f"short id {short!r} was asked for, which this worker never sent (P-CTL-25)")
            body.monitoring_info[short].CopyFrom(info)
        self._worker.answer(request, response)

    def harness_monitoring_infos(self, request: fn_pb2.InstructionRequest) -> None:
        response = fn_pb2.InstructionResponse(instruction_id=request.instruction_id)
        response.harness_monitoring_infos.SetInParent()
        self._worker.answer(request, response)

    def keep_samples(self, run: Run, plan: Plan) -> None:
        if not self._worker.declares(_P.DATA_SAMPLING):
            return
        for collection, elements in run.samples().items():
            coder = plan.element_coder(collection)
            kept = self._samples.setdefault(collection, [])
            for element in elements:
                if is_lazy(element.value):
                    continue  # the bundle is over: its state may no longer be read
                try:
                    kept.append(coder.encode(element.value))
                except coders.CoderError:
                    continue
            del kept[:-10]

    def sample_data(self, request: fn_pb2.InstructionRequest) -> None:
        response = fn_pb2.InstructionResponse(instruction_id=request.instruction_id)
        response.sample_data.SetInParent()
        now = int(time.time())
        wanted = list(request.sample_data.pcollection_ids) or list(self._samples)
        for collection in wanted:
            for element in self._samples.get(collection, ()):
                response.sample_data.element_samples[collection].elements.add(
                    element=element, sample_timestamp=google_pb2.Timestamp(seconds=now)
                )
        self._worker.answer(request, response)
