"""A client of Beam's Job API: one method a call, each with a budget, every fault one of `errors`' classes.

A JobClient keeps its channels, so that a job costs calls and no connections; it is safe to use from several threads. Running a
whole job (prepare, stage, run, wait, messages, metrics) is `job`'s, reached by `JobClient.run_job`.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from types import TracebackType
from typing import Any, Literal, Protocol

import grpc
from attrs import evolve

from conformance.endpoints import job, reach, staging
from conformance.endpoints.endpoint import Endpoint
from conformance.endpoints.errors import EndpointDied, EndpointError, PhaseTimeout, Refused
from conformance.endpoints.options import encode_options
from conformance.endpoints.outcome import JobOutcome, Metrics, Phase, Timeouts
from conformance.wire import rpc
from conformance.wire.api import google_pb2, job_pb2

__all__ = ["JobClient", "Recorder", "Stream"]

_REQUEST: Literal["C->R"] = "C->R"
_ANSWER: Literal["R->C"] = "R->C"


class Recorder(Protocol):
    """Where messages are written down; the harness's Transcript is one."""

    def append(self, plane: Any, method: str, direction: Any, worker_id: str, message: Any, stream: str = "") -> Any:
        """Record one message that was just sent or received."""


#: Makes the record of a call's end from a status name and its text (the transcript's End).
EndEvent = Callable[[str, str], Any]


class _Channels:
    """The channels of a client, by HOST:PORT, and the stubs on them; emptied when the endpoint died or moved."""

    def __init__(self, target: Endpoint | str) -> None:
        self.target = target
        self._lock = threading.Lock()
        self._url = ""
        self._channels: dict[str, grpc.Channel] = {}
        self._stubs: dict[tuple[str, str], rpc.Stub] = {}

    @property
    def url(self) -> str:
        return self.target if isinstance(self.target, str) else self.target.url

    def stub(self, service: str, url: str = "") -> rpc.Stub:
        home = self.url
        with self._lock:
            if home != self._url:
                self._drop()
                self._url = home
            url = _same_server(url, home) if url else home
            known = self._stubs.get((url, service))
            if known is None:
                channel = self._channels.get(url) or self._channels.setdefault(url, reach.channel_to(url))
                known = self._stubs[url, service] = rpc.stub(channel, service)
            return known

    def close(self) -> None:
        with self._lock:
            self._drop()

    def _drop(self) -> None:
        for channel in self._channels.values():
            channel.close()
        self._channels.clear()
        self._stubs.clear()


def _same_server(url: str, home: str) -> str:
    """`home` where `url` is another name of the same port on this machine, which saves a second connection."""
    loopback = ("localhost", "127.0.0.1", "[::1]", "0.0.0.0")
    host, _, port = url.rpartition(":")
    home_host, _, home_port = home.rpartition(":")
    return home if port == home_port and host in loopback and home_host in loopback else url


class Stream:
    """A stream of answers; iterating raises `errors`' classes. `cancel` ends it from any thread without an error."""

    def __init__(self, client: JobClient, phase: Phase, method: str, request: Any, waited_for: str, seconds: float) -> None:
        self._client = client
        self._phase = phase
        self._method = method
        self._waited_for = waited_for
        self._seconds = seconds
        self._cancelled = False
        self._started = time.monotonic()
        client.record("job", method, _REQUEST, request)
        self._call = getattr(client.job_service(), method)(request, timeout=seconds)

    def __iter__(self) -> Iterator[Any]:
        try:
            for message in self._call:
                self._client.record("job", self._method, _ANSWER, message)
                yield message
        except grpc.RpcError as error:
            self._client.record_end("job", self._method, error)
            if self._cancelled:
                return
            raise self._client.fault(error, self._phase, self._method, self._waited_for, self._seconds, self._started) from error
        else:
            self._client.record_end("job", self._method, None)

    def cancel(self) -> None:
        self._cancelled = True
        self._call.cancel()

    def completed_within(self, seconds: float) -> bool:
        """Whether the runner completes the stream in time without a further message; if not, it is cancelled."""
        ended = threading.Event()
        if self._call.add_callback(ended.set) and not ended.wait(seconds):
            self.cancel()
            return False
        self._client.record_end("job", self._method, None if self._call.code() is grpc.StatusCode.OK else self._call)
        return True


class JobClient:
    """A client of one job service: HOST:PORT, or an Endpoint, whose restarts it follows and whose deaths it can tell."""

    def __init__(
        self,
        target: Endpoint | str,
        transcript: Recorder | None = None,
        timeouts: Timeouts | None = None,
        *,
        timeout_scale: float = 1.0,
        end_event: EndEvent | None = None,
    ) -> None:
        self.timeouts = (timeouts or Timeouts()).scaled(timeout_scale)
        self.transcript = transcript
        self._end_event = end_event
        self._channels = _Channels(target)

    @property
    def url(self) -> str:
        return self._channels.url

    @property
    def endpoint(self) -> Endpoint | None:
        """The endpoint that it was made with, None for a bare HOST:PORT."""
        return None if isinstance(self._channels.target, str) else self._channels.target

    def recording(self, transcript: Recorder | None, end_event: EndEvent | None = None) -> JobClient:
        """The same client, on the same channels, that writes to another transcript."""
        other = object.__new__(JobClient)
        other.timeouts = self.timeouts
        other.transcript = transcript
        other._end_event = end_event or self._end_event
        other._channels = self._channels
        return other

    def patient(self, seconds: float) -> JobClient:
        """The same client, on the same channels, that waits this long for the end of a job."""
        other = self.recording(self.transcript)
        other.timeouts = evolve(self.timeouts, run=seconds)
        return other

    def close(self) -> None:
        """Close the channels; the next call opens new ones. Jobs go on, calls in flight end with an error."""
        self._channels.close()

    def __enter__(self) -> JobClient:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    # --- one method a call ---------------------------------------------------------------------------------------------

    def describe_options(self) -> tuple[Any, ...]:
        """The PipelineOptionDescriptors that the runner offers; empty is legal (P-JOB-16)."""
        request = job_pb2.DescribePipelineOptionsRequest()
        return tuple(self._call(Phase.DESCRIBE, "DescribePipelineOptions", request, "the list of options").options)

    def prepare(self, pipeline: Any, options: Mapping[str, Any] | Any = None, job_name: str = "conformance") -> Any:
        """Submit a pipeline: a PrepareJobResponse. `options` by plain name or urn form, or a Struct ready to send."""
        struct = options if isinstance(options, google_pb2.Struct) else encode_options(options or {})
        request = job_pb2.PrepareJobRequest(pipeline=pipeline, pipeline_options=struct, job_name=job_name)
        return self._call(Phase.PREPARE, "Prepare", request, "the answer to Prepare")

    def stage(self, prepared: Any, pipeline: Any, files: Mapping[str, bytes] | None = None) -> staging.Staged:
        """Serve the staging stream of a PrepareJobResponse with what the pipeline's environments list.

        `files` answers for FILE and URL paths that are not on disk. Without a staging endpoint there is nothing to do.
        """
        url = prepared.artifact_staging_endpoint.url
        if not url:
            return staging.Staged()
        method = "ReverseArtifactRetrievalService"
        seconds = self.timeouts.stage
        stub = self._channels.stub(staging.STAGING_SERVICE, url)
        started = time.monotonic()
        try:
            staged = staging.stage(
                lambda requests: stub.ReverseArtifactRetrievalService(requests, timeout=seconds),
                prepared.staging_session_token,
                staging.dependencies(pipeline),
                files,
                lambda direction, message: self.record("artifact", method, direction, message, url),
            )
        except grpc.RpcError as error:
            self.record_end("artifact", method, error, url)
            raise self.fault(error, Phase.STAGE, method, "the runner to complete staging", seconds, started) from error
        self.record_end("artifact", method, None, url)
        return staged

    def run(self, preparation_id: str, retrieval_token: str = "") -> str:
        """Start a prepared job; the answer is its id."""
        request = job_pb2.RunJobRequest(preparation_id=preparation_id, retrieval_token=retrieval_token)
        return str(self._call(Phase.START, "Run", request, "the answer to Run").job_id)

    def state(self, job_id: str) -> int:
        """The state now, a JobState.Enum."""
        request = job_pb2.GetJobStateRequest(job_id=job_id)
        return int(self._call(Phase.QUERY, "GetState", request, "the answer to GetState").state)

    def state_stream(self, job_id: str, seconds: float | None = None, waited_for: str = "a terminal state") -> Stream:
        """JobStateEvents until the runner completes the stream."""
        request = job_pb2.GetJobStateRequest(job_id=job_id)
        return Stream(self, Phase.RUN, "GetStateStream", request, waited_for, seconds or self.timeouts.run)

    def message_stream(self, job_id: str, seconds: float | None = None) -> Stream:
        """JobMessagesResponses until the runner completes the stream."""
        request = job_pb2.JobMessagesRequest(job_id=job_id)
        waited_for = "the end of the message stream"
        return Stream(self, Phase.MESSAGES, "GetMessageStream", request, waited_for, seconds or self.timeouts.messages)

    def cancel(self, job_id: str, seconds: float | None = None) -> int:
        """Ask for an end; the answer is the state at that moment, which need not be terminal (P-JOB-08)."""
        request = job_pb2.CancelJobRequest(job_id=job_id)
        return int(self._call(Phase.CANCEL, "Cancel", request, "the answer to Cancel", seconds).state)

    def drain(self, job_id: str) -> int:
        """Ask for a graceful end; UNIMPLEMENTED is legal and comes as Refused (P-JOB-09)."""
        request = job_pb2.DrainJobRequest(job_id=job_id)
        return int(self._call(Phase.CANCEL, "Drain", request, "the answer to Drain").state)

    def jobs(self) -> tuple[Any, ...]:
        """JobInfos of the jobs that the runner remembers."""
        return tuple(self._call(Phase.QUERY, "GetJobs", job_pb2.GetJobsRequest(), "the answer to GetJobs").job_info)

    def pipeline(self, job_id: str) -> Any:
        """The pipeline of a job as the runner gives it back (P-JOB-11)."""
        request = job_pb2.GetJobPipelineRequest(job_id=job_id)
        return self._call(Phase.QUERY, "GetPipeline", request, "the answer to GetPipeline").pipeline

    def metrics(self, job_id: str) -> Metrics:
        """Attempted and committed MonitoringInfos (P-JOB-15)."""
        request = job_pb2.GetJobMetricsRequest(job_id=job_id)
        found = self._call(Phase.METRICS, "GetJobMetrics", request, "the answer to GetJobMetrics").metrics
        return Metrics(tuple(found.attempted), tuple(found.committed))

    def run_job(
        self,
        pipeline: Any,
        options: Mapping[str, Any] | Any = None,
        *,
        job_name: str = "conformance",
        files: Mapping[str, bytes] | None = None,
        cancel_after: threading.Event | None = None,
        drain_after: threading.Event | None = None,
        wants: job.Wants | None = None,
        transcript: Recorder | None = None,
    ) -> JobOutcome:
        """Run one job to its end and tell what came of it; faults of the endpoint are in the outcome, not raised.

        The job is cancelled (drained) once the event `cancel_after` (`drain_after`) is set, and when its budget is used up.
        `wants` says what to fetch beside the states; by default messages, and metrics. `transcript` replaces the client's own.
        """
        client = self.recording(transcript) if transcript is not None else self
        return job.run(client, pipeline, options, job_name, files, cancel_after, drain_after, wants or job.Wants())

    # --- for the parts of this package ---------------------------------------------------------------------------------

    def job_service(self) -> rpc.Stub:
        """The stub of JobService at the endpoint's present address."""
        return self._channels.stub(reach.JOB_SERVICE)

    def record(self, plane: str, method: str, direction: str, message: Any, url: str = "") -> None:
        """Write one message to the transcript, if there is one."""
        if self.transcript is not None:
            self.transcript.append(plane, method, direction, "", message, url or self.url)

    def record_end(self, plane: str, method: str, error: grpc.RpcError | None, url: str = "") -> None:
        """Write the end of a call to the transcript, if it has a form for ends."""
        if self.transcript is not None and self._end_event is not None:
            status, text = ("OK", "") if error is None else (error.code().name, error.details() or "")
            self.record(plane, method, _ANSWER, self._end_event(status, text), url)

    def fault(
        self, error: grpc.RpcError, phase: Phase, method: str, waited_for: str, seconds: float, started: float
    ) -> EndpointError:
        """The error class that a failed call stands for."""
        code, text = error.code(), error.details() or ""
        # A runner may answer DEADLINE_EXCEEDED of its own; ours has come only when the time is really up.
        if code is grpc.StatusCode.DEADLINE_EXCEEDED and time.monotonic() - started >= 0.9 * seconds:
            return PhaseTimeout(phase, waited_for, seconds)
        if code in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED) and (death := self._death(phase, method, text)):
            return death
        return Refused(phase, method, code.name, text)

    def _death(self, phase: Phase, method: str, text: str) -> EndpointDied | None:
        what = f"the connection broke during {method} ({text})"
        if self.endpoint is not None:
            return self.endpoint.died(phase, what) if self.endpoint.gone() else None
        if reach.listens(self.url):
            return None
        return EndpointDied(
            f"The endpoint {self.url} died in phase '{phase}': {what}. Look at its log for the cause, and start it again.",
            phase=phase,
        )

    def _call(self, phase: Phase, method: str, request: Any, waited_for: str, seconds: float | None = None) -> Any:
        budget = seconds or self.timeouts.of(phase)
        self.record("job", method, _REQUEST, request)
        started = time.monotonic()
        try:
            answer = getattr(self.job_service(), method)(request, timeout=budget)
        except grpc.RpcError as error:
            self.record_end("job", method, error)
            raise self.fault(error, phase, method, waited_for, budget, started) from error
        self.record("job", method, _ANSWER, answer)
        return answer
