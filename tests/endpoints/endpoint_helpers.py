"""Scripted job services, other things that listen, and pipelines small enough to need no worker."""

from __future__ import annotations

import contextlib
import http.server
import socket
import threading
from collections.abc import Callable, Iterator
from typing import Any

from conformance.endpoints.reach import JOB_SERVICE
from conformance.endpoints.staging import STAGING_SERVICE
from conformance.wire import rpc, urns
from conformance.wire.api import fn_pb2, job_pb2
from conformance.wire.api import pipeline_pb2 as pb

POOL_SERVICE = "org.apache.beam.model.fn_execution.v1.BeamFnExternalWorkerPool"


@contextlib.contextmanager
def serving(job_service: object | None = None, staging_service: object | None = None) -> Iterator[str]:
    """A gRPC server with the scripted services given; the answer is its HOST:PORT."""
    server = rpc.server(max_workers=16)
    handlers = []
    if job_service is not None:
        handlers.append(rpc.service_handler(JOB_SERVICE, job_service))
    if staging_service is not None:
        handlers.append(rpc.service_handler(STAGING_SERVICE, staging_service))
    server.add_generic_rpc_handlers(tuple(handlers))
    port = server.add_insecure_port("localhost:0")
    server.start()
    try:
        yield f"localhost:{port}"
    finally:
        server.stop(0).wait()


class ScriptedJobs:
    """A job service whose jobs go through `states` and say `messages`; tests override what should go wrong."""

    states: tuple[str, ...] = ("STOPPED", "STARTING", "RUNNING", "DONE")
    messages: tuple[tuple[int, str], ...] = ()

    def __init__(self) -> None:
        #: set at the end of the test, so that nothing scripted to hang outlives it
        self.over = threading.Event()
        self.prepared: list[Any] = []
        self.called: list[str] = []
        self.staging_url = ""

    def DescribePipelineOptions(self, request: Any, context: Any) -> Any:
        return job_pb2.DescribePipelineOptionsResponse()

    def Prepare(self, request: Any, context: Any) -> Any:
        self.called.append("Prepare")
        self.prepared.append(request)
        answer = job_pb2.PrepareJobResponse(preparation_id="prep", staging_session_token="token")
        answer.artifact_staging_endpoint.url = self.staging_url
        return answer

    def Run(self, request: Any, context: Any) -> Any:
        self.called.append("Run")
        return job_pb2.RunJobResponse(job_id="job")

    def GetStateStream(self, request: Any, context: Any) -> Iterator[Any]:
        self.called.append("GetStateStream")
        for state in self.states:
            yield job_pb2.JobStateEvent(state=job_pb2.JobState.Enum.Value(state))

    def GetMessageStream(self, request: Any, context: Any) -> Iterator[Any]:
        self.called.append("GetMessageStream")
        for importance, text in self.messages:
            message = job_pb2.JobMessage(message_id="1", time="t", importance=importance, message_text=text)
            yield job_pb2.JobMessagesResponse(message_response=message)
        for state in self.states:
            event = job_pb2.JobStateEvent(state=job_pb2.JobState.Enum.Value(state))
            yield job_pb2.JobMessagesResponse(state_response=event)

    def GetJobMetrics(self, request: Any, context: Any) -> Any:
        self.called.append("GetJobMetrics")
        return job_pb2.GetJobMetricsResponse()

    def Cancel(self, request: Any, context: Any) -> Any:
        self.called.append("Cancel")
        return job_pb2.CancelJobResponse(state=job_pb2.JobState.CANCELLING)


@contextlib.contextmanager
def worker_pool(started: Callable[[Any], None]) -> Iterator[str]:
    """An external worker pool that tells of each StartWorker, says yes, and never starts a worker; its HOST:PORT."""

    class Pool:
        def StartWorker(self, request: Any, context: Any) -> Any:
            started(request)
            return fn_pb2.StartWorkerResponse()

        def StopWorker(self, request: Any, context: Any) -> Any:
            return fn_pb2.StopWorkerResponse()

    server = rpc.server(max_workers=8)
    server.add_generic_rpc_handlers((rpc.service_handler(POOL_SERVICE, Pool()),))
    port = server.add_insecure_port("localhost:0")
    server.start()
    try:
        yield f"localhost:{port}"
    finally:
        server.stop(0).wait()


@contextlib.contextmanager
def silent_server() -> Iterator[str]:
    """A TCP server that accepts and never says a word."""
    with socket.create_server(("localhost", 0)) as listener:
        yield f"localhost:{listener.getsockname()[1]}"


@contextlib.contextmanager
def web_server() -> Iterator[str]:
    class Quiet(http.server.BaseHTTPRequestHandler):
        def log_message(self, format: str, *args: Any) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("localhost", 0), Quiet)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield f"localhost:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def free_port() -> int:
    """A port on which nothing listens: it was just given back."""
    with socket.create_server(("localhost", 0)) as listener:
        port: int = listener.getsockname()[1]
    return port


def impulses(count: int = 1) -> Any:
    """A pipeline of so many impulses and no worker: the smallest job there is, DONE on Prism, FAILED on the Python service."""
    pipeline = pb.Pipeline()
    parts = pipeline.components
    parts.coders["bytes"].spec.urn = urns.Coder.BYTES
    parts.coders["window"].spec.urn = urns.Coder.GLOBAL_WINDOW
    strategy = parts.windowing_strategies["global"]
    strategy.window_fn.urn = urns.WindowFn.GLOBAL
    strategy.window_coder_id = "window"
    strategy.merge_status = pb.MergeStatus.NON_MERGING
    strategy.accumulation_mode = pb.AccumulationMode.DISCARDING
    strategy.output_time = pb.OutputTime.END_OF_WINDOW
    strategy.closing_behavior = pb.ClosingBehavior.EMIT_IF_NONEMPTY
    strategy.on_time_behavior = pb.OnTimeBehavior.FIRE_IF_NONEMPTY
    strategy.trigger.default.SetInParent()
    for index in range(count):
        collection = parts.pcollections[f"p{index}"]
        collection.unique_name = f"p{index}"
        collection.coder_id = "bytes"
        collection.windowing_strategy_id = "global"
        collection.is_bounded = pb.IsBounded.BOUNDED
        transform = parts.transforms[f"t{index}"]
        transform.unique_name = f"t{index}"
        transform.spec.urn = urns.Transform.IMPULSE
        transform.outputs["out"] = f"p{index}"
        pipeline.root_transform_ids.append(f"t{index}")
    return pipeline


def par_dos(pools: dict[str, str]) -> Any:
    """An impulse and a ParDo in each environment, whose EXTERNAL worker pool is given by HOST:PORT."""
    pipeline = impulses(1)
    parts = pipeline.components
    for environment_id, pool in pools.items():
        environment = parts.environments[environment_id]
        environment.urn = urns.Env.EXTERNAL
        environment.payload = pb.ExternalPayload(endpoint={"url": pool}).SerializeToString()
        transform = parts.transforms[f"do_{environment_id}"]
        transform.unique_name = f"do_{environment_id}"
        transform.spec.urn = urns.Transform.PAR_DO
        transform.spec.payload = pb.ParDoPayload(do_fn=pb.FunctionSpec(urn="test:fn:v1")).SerializeToString()
        transform.inputs["in"] = "p0"
        transform.environment_id = environment_id
        pipeline.root_transform_ids.append(f"do_{environment_id}")
    return pipeline
