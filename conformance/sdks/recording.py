"""A transcript of a job that somebody else's SDK submitted, taken by the proxy through which all its planes go."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

from conformance.endpoints.proxy import Passing, Proxy
from conformance.harness.transcript import Direction, Plane, Transcript
from conformance.wire.api import artifact_pb2, fn_pb2, job_pb2, provision_pb2

__all__ = ["recorded"]

A, F, J, P = artifact_pb2, fn_pb2, job_pb2, provision_pb2
#: `Service/Method` → the plane, and what is asked and answered. Artifacts are left out: they are jars and wheels.
METHODS: dict[str, tuple[Plane, Any, Any]] = {
    "JobService/Prepare": ("job", J.PrepareJobRequest, J.PrepareJobResponse),
    "JobService/Run": ("job", J.RunJobRequest, J.RunJobResponse),
    "JobService/GetState": ("job", J.GetJobStateRequest, J.JobStateEvent),
    "JobService/GetStateStream": ("job", J.GetJobStateRequest, J.JobStateEvent),
    "JobService/GetMessageStream": ("job", J.JobMessagesRequest, J.JobMessagesResponse),
    "JobService/Cancel": ("job", J.CancelJobRequest, J.CancelJobResponse),
    "JobService/GetJobMetrics": ("job", J.GetJobMetricsRequest, J.GetJobMetricsResponse),
    "BeamFnExternalWorkerPool/StartWorker": ("pool", F.StartWorkerRequest, F.StartWorkerResponse),
    "BeamFnExternalWorkerPool/StopWorker": ("pool", F.StopWorkerRequest, F.StopWorkerResponse),
    "ProvisionService/GetProvisionInfo": ("provision", P.GetProvisionInfoRequest, P.GetProvisionInfoResponse),
    "BeamFnControl/GetProcessBundleDescriptor": ("control", F.GetProcessBundleDescriptorRequest, F.ProcessBundleDescriptor),
    # The worker calls, and the runner asks: what is asked by the caller are the answers to the runner.
    "BeamFnControl/Control": ("control", F.InstructionResponse, F.InstructionRequest),
    "BeamFnData/Data": ("data", F.Elements, F.Elements),
    "BeamFnState/State": ("state", F.StateRequest, F.StateResponse),
    "BeamFnLogging/Logging": ("logging", F.LogEntry.List, F.LogControl),
}


def direction(plane: Plane, asked: bool) -> Direction:
    if plane == "job":
        return "C->R" if asked else "R->C"
    from_worker = asked if plane != "pool" else not asked
    return "S->R" if from_worker else "R->S"


@contextlib.contextmanager
def recorded(url: str) -> Iterator[tuple[str, Transcript]]:
    """An address that stands for the job service at `url`, and what passes there."""
    transcript = Transcript()

    def record(passing: Passing) -> None:
        service, _, method = passing.method.rpartition("/")
        known = METHODS.get(f"{service.rpartition('.')[2]}/{method}")
        if known is None:
            return
        plane, asked, answered = known
        message = (asked if passing.asked else answered).FromString(passing.data)
        worker = dict(passing.metadata).get("worker_id", "")
        transcript.append(plane, method, direction(plane, passing.asked), worker, message, stream=str(passing.call))

    proxy = Proxy(recorder=record)
    try:
        yield proxy.front(url), transcript
    finally:
        proxy.close()
