"""A reference runner in this process, and a plain client of its job service."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from attrs import frozen

from conformance.harness import invariants
from conformance.harness.session import Session
from conformance.pipeline import Program
from conformance.runner import Server, serve
from conformance.wire import rpc
from conformance.wire.api import google_pb2, job_pb2
from conformance.wire.api import pipeline_pb2 as pb

#: Nothing here needs more than a second or two; a hang must not hang CI.
TIMEOUT = 30.0


@frozen
class Outcome:
    """How a job ended."""

    id: str
    state: str
    states: list[str]
    errors: list[str]
    messages: list[str]


class Client:
    """The job service of one server."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.channel = rpc.insecure_channel(server.url)
        self.jobs = rpc.stub(self.channel, "org.apache.beam.model.job_management.v1.JobService")

    def prepare(self, pipeline: pb.Pipeline, **options: Any) -> str:
        struct = google_pb2.Struct()
        struct.update({f"beam:option:{name}:v1": value for name, value in options.items()})
        request = job_pb2.PrepareJobRequest(pipeline=pipeline, pipeline_options=struct, job_name="test")
        return str(self.jobs.Prepare(request, timeout=TIMEOUT).preparation_id)

    def start(self, pipeline: pb.Pipeline, **options: Any) -> str:
        preparation = self.prepare(pipeline, **options)
        return str(self.jobs.Run(job_pb2.RunJobRequest(preparation_id=preparation), timeout=TIMEOUT).job_id)

    def wait(self, job_id: str) -> Outcome:
        states, errors, messages = [], [], []
        for event in self.jobs.GetMessageStream(job_pb2.JobMessagesRequest(job_id=job_id), timeout=TIMEOUT):
            if event.WhichOneof("response") == "state_response":
                states.append(job_pb2.JobState.Enum.Name(event.state_response.state))
            else:
                message = event.message_response
                messages.append(message.message_text)
                if message.importance == job_pb2.JobMessage.JOB_MESSAGE_ERROR:
                    errors.append(message.message_text)
        return Outcome(job_id, states[-1], states, errors, messages)

    def run(self, pipeline: pb.Pipeline, **options: Any) -> Outcome:
        return self.wait(self.start(pipeline, **options))

    def metrics(self, job_id: str) -> Any:
        return self.jobs.GetJobMetrics(job_pb2.GetJobMetricsRequest(job_id=job_id), timeout=TIMEOUT).metrics


@pytest.fixture(scope="session")
def server() -> Iterator[Server]:
    with serve() as server:
        yield server


@pytest.fixture
def client(server: Server) -> Iterator[Client]:
    client = Client(server)
    yield client
    client.channel.close()


@pytest.fixture
def session() -> Iterator[Session]:
    with Session() as session:
        yield session


@pytest.fixture
def ran(client: Client, session: Session) -> Any:
    """Runs a program to DONE and holds its transcript against the invariants."""

    def run(program: Program, **options: Any) -> Session:
        pipeline = program.build(session.environment())
        outcome = client.run(pipeline, **options)
        assert outcome.state == "DONE", outcome.errors
        session.close()
        assert [each for each in invariants.check(session.transcript, pipeline) if each.level != "MAY"] == []
        return session

    return run
