"""What the runner asks of workers for people to read: samples of elements, their status, metrics of the process.

No answer, or a bad one, fails a job (P-STAT-01). Each is asked of SDKs only that declared it (P-CTL-26).
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any

from conformance.runner.fnapi import Worker, WorkerLost
from conformance.wire import urns
from conformance.wire.api import fn_pb2

__all__ = ["harness_infos", "samples", "status"]

#: How much of a sampled element a message shows.
_SHOWN_BYTES = 60


async def _answer(worker: Worker, kind: str, request: Any, seconds: float) -> Any:
    """The answer to an instruction; None if it did not come in time, or was an error."""
    instruction = fn_pb2.InstructionRequest(instruction_id=worker.question_id())
    getattr(instruction, kind).CopyFrom(request)
    getattr(instruction, kind).SetInParent()
    try:
        response = await asyncio.wait_for(worker.ask(instruction), seconds)
    except (WorkerLost, TimeoutError):
        return None
    return None if response.error else getattr(response, kind)


async def harness_infos(worker: Worker, seconds: float) -> list[Any]:
    """Metrics of a worker's process."""
    if urns.Protocol.HARNESS_MONITORING_INFOS not in worker.declared or not worker.connected.is_set():
        return []
    answer = await _answer(worker, "harness_monitoring_infos", fn_pb2.HarnessMonitoringInfosRequest(), seconds)
    if answer is None:
        return []
    known = await _answer(
        worker,
        "monitoring_infos",
        fn_pb2.MonitoringInfosMetadataRequest(monitoring_info_id=sorted(answer.monitoring_data)),
        seconds,
    )
    infos = []
    for short, payload in answer.monitoring_data.items():
        if known is not None and short in known.monitoring_info:
            info = known.monitoring_info[short]
            info.payload = payload
            infos.append(info)
    return infos


async def samples(worker: Worker, collections: Iterable[str], seconds: float) -> list[str]:
    """A line for each PCollection of which a worker has samples."""
    if urns.Protocol.DATA_SAMPLING not in worker.declared or not worker.connected.is_set():
        return []
    answer = await _answer(worker, "sample_data", fn_pb2.SampleDataRequest(pcollection_ids=sorted(collections)), seconds)
    if answer is None:
        return []
    lines = []
    for collection, found in sorted(answer.element_samples.items()):
        if found.elements:
            shown = found.elements[0].element[:_SHOWN_BYTES].hex()
            lines.append(f"{collection}: {len(found.elements)} elements sampled, encoded like {shown}")
    return lines


async def status(worker: Worker, seconds: float) -> str | None:
    """A worker's own words about what it does; None if it has no WorkerStatus stream or does not answer."""
    if worker.status_out is None:
        return None
    request = fn_pb2.WorkerStatusRequest(id=worker.question_id())
    future = worker.statuses[request.id] = asyncio.get_running_loop().create_future()
    worker.status_out.put_nowait(request)
    try:
        response = await asyncio.wait_for(future, seconds)
    except TimeoutError:
        return None
    finally:
        worker.statuses.pop(request.id, None)
    return str(response.error or response.status_info)
