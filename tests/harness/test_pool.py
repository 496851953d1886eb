"""Worker pools that are used again: what comes behind the end of a job reaches no other job."""

from __future__ import annotations

import gc
import weakref

import grpc
import pytest

from conformance.harness import Session
from conformance.harness.pool import KEPT, SESSION_PARAM
from conformance.wire import rpc
from conformance.wire.api import fn_pb2
from conformance.wire.api import pipeline_pb2 as pb

POOL = "org.apache.beam.model.fn_execution.v1.BeamFnExternalWorkerPool"


def start(session: Session, worker: str) -> fn_pb2.StartWorkerRequest:
    """The request that a runner would send for the session's environment; no worker of it ever connects."""
    session.script.add("never", on="start_worker", times=10)
    payload = pb.ExternalPayload.FromString(session.environment().payload)
    return fn_pb2.StartWorkerRequest(worker_id=worker, params=payload.params)


def calls(session: Session) -> list[str]:
    return [f"{event.method} {event.worker_id}" for event in session.transcript.events("pool", direction="R->S")]


def test_a_port_serves_one_session_after_the_other():
    with Session() as first, Session() as second:
        assert first.port != second.port
        ports = {first.port, second.port}
    with Session() as third:
        assert third.port in ports


def test_what_comes_late_reaches_its_own_session_or_nobody():
    first = Session()
    stub = rpc.stub(rpc.insecure_channel(f"localhost:{first.port}"), POOL)
    request = start(first, "w1")
    stub.StartWorker(request, timeout=10)
    first.close()
    with Session() as second:
        assert second.port == first.port
        stub.StopWorker(fn_pb2.StopWorkerRequest(worker_id="w1"), timeout=10)
        with pytest.raises(grpc.RpcError) as refused:
            stub.StartWorker(request, timeout=10)
        assert refused.value.code() == grpc.StatusCode.UNAVAILABLE
        stub.StartWorker(start(second, "w2"), timeout=10)
        assert calls(second) == ["StartWorker w2"]
    assert calls(first) == ["StartWorker w1", "StopWorker w1"]


def test_a_runner_that_forgets_the_params_is_served():
    with Session() as session:
        stub = rpc.stub(rpc.insecure_channel(f"localhost:{session.port}"), POOL)
        request = start(session, "w1")
        del request.params[SESSION_PARAM]
        stub.StartWorker(request, timeout=10)
        assert calls(session) == ["StartWorker w1"]


def test_a_server_keeps_no_session_alive():
    session = Session()
    stub = rpc.stub(rpc.insecure_channel(f"localhost:{session.port}"), POOL)
    stub.StartWorker(start(session, "w1"), timeout=10)
    session.close()
    gone = weakref.ref(session)
    del session
    gc.collect()
    assert gone() is None


def test_few_servers_wait_for_a_session():
    sessions = [Session() for _ in range(KEPT + 3)]
    ports = {session.port for session in sessions}
    assert len(ports) == KEPT + 3
    for session in sessions:
        session.close()
    again = [Session() for _ in range(KEPT + 3)]
    assert len({session.port for session in again} & ports) <= KEPT
    for session in again:
        session.close()
