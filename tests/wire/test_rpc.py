"""gRPC plumbing on real servers: every shape of method, metadata, big messages, errors, and a stub of Beam's own as the peer."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import grpc
import pytest
from apache_beam.portability.api import beam_job_api_pb2, beam_job_api_pb2_grpc

from conformance.wire import rpc
from conformance.wire.api import fn_pb2, job_pb2, pipeline_pb2

JOB_SERVICE = "org.apache.beam.model.job_management.v1.JobService"
CONTROL = "org.apache.beam.model.fn_execution.v1.BeamFnControl"
LOGGING = "org.apache.beam.model.fn_execution.v1.BeamFnLogging"


class Jobs:
    """Answers as little of JobService as the tests need; all other methods are missing."""

    def Prepare(self, request: job_pb2.PrepareJobRequest, context: grpc.ServicerContext) -> job_pb2.PrepareJobResponse:
        if not request.job_name:
            context.abort(grpc.StatusCode.INVALID_ARGUMENT, "a job needs a name")
        size = sum(len(coder.spec.payload) for coder in request.pipeline.components.coders.values())
        return job_pb2.PrepareJobResponse(preparation_id=f"{request.job_name} {size}")

    def GetStateStream(self, request: job_pb2.GetJobStateRequest, context: grpc.ServicerContext) -> Iterator[Any]:
        for state in (job_pb2.JobState.RUNNING, job_pb2.JobState.DONE):
            yield job_pb2.JobStateEvent(state=state)


class Echo:
    """Sends each InstructionResponse's id back as a request, with the caller's worker_id behind it."""

    def Control(self, responses: Iterator[Any], context: grpc.ServicerContext) -> Iterator[Any]:
        worker_id = dict(context.invocation_metadata())["worker_id"]
        for response in responses:
            yield fn_pb2.InstructionRequest(instruction_id=f"{response.instruction_id}@{worker_id}")


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    server = rpc.server(max_workers=4)
    server.add_generic_rpc_handlers((rpc.service_handler(JOB_SERVICE, Jobs()), rpc.service_handler(CONTROL, Echo())))
    port = server.add_insecure_port("localhost:0")
    server.start()
    yield port
    server.stop(None).wait()


@pytest.fixture
def channel(port: int) -> Iterator[grpc.Channel]:
    with rpc.insecure_channel(f"localhost:{port}") as channel:
        yield channel


def prepare(name: str, payload: bytes = b"") -> job_pb2.PrepareJobRequest:
    request = job_pb2.PrepareJobRequest(job_name=name, pipeline=pipeline_pb2.Pipeline())
    request.pipeline.components.coders["c"].spec.payload = payload
    return request


def test_unary_call(channel: grpc.Channel) -> None:
    assert rpc.stub(channel, JOB_SERVICE).Prepare(prepare("job"), timeout=10).preparation_id == "job 0"


def test_no_message_limit(channel: grpc.Channel) -> None:
    """P-CH-08: gRPC's own limit is 4 MiB on receipt."""
    request = prepare("big", bytes(9_000_000))
    assert rpc.stub(channel, JOB_SERVICE).Prepare(request, timeout=30).preparation_id == "big 9000000"


def test_server_stream(channel: grpc.Channel) -> None:
    events = rpc.stub(channel, JOB_SERVICE).GetStateStream(job_pb2.GetJobStateRequest(job_id="j"), timeout=10)
    assert [event.state for event in events] == [job_pb2.JobState.RUNNING, job_pb2.JobState.DONE]


def test_both_streams_with_metadata(channel: grpc.Channel) -> None:
    responses = (fn_pb2.InstructionResponse(instruction_id=str(number)) for number in range(3))
    requests = rpc.stub(channel, CONTROL).Control(responses, metadata=[("worker_id", "w")], timeout=10)
    assert [request.instruction_id for request in requests] == ["0@w", "1@w", "2@w"]


def test_an_error_carries_status_and_text(channel: grpc.Channel) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        rpc.stub(channel, JOB_SERVICE).Prepare(prepare(""), timeout=10)
    assert (caught.value.code(), caught.value.details()) == (grpc.StatusCode.INVALID_ARGUMENT, "a job needs a name")


@pytest.mark.parametrize(("service", "method"), [(JOB_SERVICE, "Cancel"), (LOGGING, "Logging")])
def test_what_nobody_serves_is_unimplemented(channel: grpc.Channel, service: str, method: str) -> None:
    requests: Any = job_pb2.CancelJobRequest() if method == "Cancel" else iter([fn_pb2.LogEntry.List()])
    call = getattr(rpc.stub(channel, service), method)
    with pytest.raises(grpc.RpcError) as caught:
        list(call(requests, timeout=10))
    assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED


def test_a_method_or_service_that_does_not_exist(channel: grpc.Channel) -> None:
    with pytest.raises(AttributeError, match="JobService has no method Prepared"):
        rpc.stub(channel, JOB_SERVICE).Prepared  # noqa: B018
    with pytest.raises(KeyError, match="NoService"):
        rpc.stub(channel, "org.apache.beam.NoService")


def test_beams_own_stub_talks_to_our_server(channel: grpc.Channel) -> None:
    theirs = beam_job_api_pb2_grpc.JobServiceStub(channel)
    assert theirs.Prepare(beam_job_api_pb2.PrepareJobRequest(job_name="theirs"), timeout=10).preparation_id == "theirs 0"


def test_our_stub_talks_to_beams_own_servicer() -> None:
    class Theirs(beam_job_api_pb2_grpc.JobServiceServicer):
        def GetJobs(self, request: Any, context: grpc.ServicerContext) -> Any:
            return beam_job_api_pb2.GetJobsResponse(job_info=[beam_job_api_pb2.JobInfo(job_id="1", job_name="theirs")])

    server = rpc.server(max_workers=1)
    beam_job_api_pb2_grpc.add_JobServiceServicer_to_server(Theirs(), server)
    port = server.add_insecure_port("localhost:0")
    server.start()
    try:
        with rpc.insecure_channel(f"localhost:{port}") as channel:
            answer = rpc.stub(channel, JOB_SERVICE).GetJobs(job_pb2.GetJobsRequest(), timeout=10)
            assert [(info.job_id, info.job_name) for info in answer.job_info] == [("1", "theirs")]
    finally:
        server.stop(None).wait()
