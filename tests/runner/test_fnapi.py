"""What the Fn API offers beside the plain way: input and output in instructions, named streams, caches, samples, status."""

from __future__ import annotations

import gc
import os
import threading
from concurrent import futures
from typing import Any

import grpc
import pytest

from conformance.harness import capabilities, invariants
from conformance.harness.session import Session
from conformance.pipeline import Fn, Program, coders
from conformance.pipeline import state as cells
from conformance.runner.driver import Driver
from conformance.runner.fnapi import Worker
from conformance.runner.habits import EMBEDDED_BYTES
from conformance.runner.jobs import KEPT_JOBS, Job
from conformance.wire import rpc, urns
from conformance.wire.api import job_pb2

P = urns.Protocol
JSON_KV = coders.kv(coders.STRING, coders.JSON)


def grouped(values: Any = (("a", 1), ("b", 2), ("a", 3))) -> Program:
    program = Program()
    program.create(list(values)).group_by_key().par_do(Fn("sorted_values"), name="sorted").observe("o")
    return program


def counting() -> Program:
    """Counts by key in user state; each element arrives again by a timer, in a bundle of its own."""
    program = Program()
    on_element = [["read", "n", "s", "read"], ["do", "s", "add", ["val"]], ["set", "t", ["max"]]]
    fn = Fn("program", on_element=on_element, on_timer={"t": [["read", "n", "s", "read"], ["do", "s", "add", 7]]})
    made = program.create([("k", 1), ("k", 2), ("l", 3)], coders.kv(coders.STRING, coders.VARINT))
    made.par_do(fn, JSON_KV, name="keyed", state={"s": cells.bag(coders.VARINT)}, timers={"t": "event"}).observe("o")
    return program


def run(client: Any, session: Session, program: Program, **options: Any) -> Any:
    pipeline = program.build(session.environment())
    outcome = client.run(pipeline, **options)
    assert outcome.state == "DONE", outcome.errors
    session.close()
    assert [each for each in invariants.check(session.transcript, pipeline) if each.level != "MAY"] == []
    return outcome


def asked(session: Session, kind: str) -> list[Any]:
    """The instructions of a kind that the runner sent."""
    events = session.transcript.events("control", "Control", "R->S")
    return [each.message for each in events if each.kind == "InstructionRequest" and each.message.WhichOneof("request") == kind]


# ---- elements in instructions


@pytest.mark.parametrize("requests", [False, True])
@pytest.mark.parametrize("responses", [False, True])
def test_elements_go_with_instructions_where_both_sides_read_them_there(client, requests, responses):
    declared = capabilities.DEFAULT | ({P.CONTROL_REQUEST_ELEMENTS_EMBEDDING} if requests else set())
    with Session(declared) as session:
        session.embed_outputs = responses
        run(client, session, grouped())
        assert sorted(session.observations.values_of("o")) == [("a", [1, 3]), ("b", [2])]
        bundles = [each.process_bundle for each in asked(session, "process_bundle")]
        assert all(each.HasField("elements") == requests for each in bundles)
        assert bool(session.transcript.events("data", direction="R->S", kind="Elements")) != requests
        assert bool(session.transcript.events("data", direction="S->R", kind="Elements")) != responses


def test_timers_go_with_instructions_too(client):
    with Session(capabilities.EVERYTHING) as session:
        run(client, session, counting())
        assert session.transcript.events("data", direction="R->S", kind="Elements") == []
        assert any(each.process_bundle.elements.timers for each in asked(session, "process_bundle"))


def test_large_input_goes_by_the_data_plane(client):
    with Session(capabilities.EVERYTHING) as session:
        run(client, session, grouped([("a", "x" * (EMBEDDED_BYTES + 1))]))
        assert session.transcript.events("data", direction="R->S", kind="Elements")


def test_bundles_spread_over_named_streams(client):
    with Session(capabilities.DEFAULT | {P.NAMED_DATA_STREAMS}) as session:
        run(client, session, grouped(), data_streams=2)
        opened = [dict(each.message.metadata) for each in session.transcript.events("data", kind="open")]
        assert {each.get("data_stream_id") for each in opened} == {"data-1", "data-2"}
        assert {each.process_bundle.data_stream_id for each in asked(session, "process_bundle")} == {"data-1", "data-2"}


def test_no_named_streams_for_who_does_not_open_such(client, session):
    run(client, session, grouped(), data_streams=2)
    assert {each.process_bundle.data_stream_id for each in asked(session, "process_bundle")} == {""}


# ---- one Control stream a worker


def test_a_second_control_stream_is_refused_while_the_first_lasts(client, session, server):
    program = Program()
    program.create([1], coders.VARINT).par_do(Fn("wait_at", gate="g"), name="wait").redistribute_arbitrarily().observe("o")
    job = client.start(program.build(session.environment()))
    assert session.gates.arrived("g")
    with rpc.insecure_channel(server.url) as channel:
        twin = rpc.stub(channel, "org.apache.beam.model.fn_execution.v1.BeamFnControl").Control(
            iter(()), metadata=[("worker_id", session.workers[0].worker_id)], timeout=30
        )
        with pytest.raises(grpc.RpcError) as caught:
            list(twin)
    assert caught.value.code() == grpc.StatusCode.ALREADY_EXISTS
    session.gates.open("g")
    assert client.wait(job).state == "DONE"
    assert session.observations.values_of("o") == [1]


def test_a_worker_that_comes_behind_the_end_of_its_job_gets_a_clean_end(client, session, server):
    """A job that needs no bundle may be DONE before its worker came (P-CH-11)."""
    run(client, session, grouped())
    (started,) = session.transcript.events("pool", "StartWorker", "R->S")
    with rpc.insecure_channel(server.url) as channel:
        control = rpc.stub(channel, "org.apache.beam.model.fn_execution.v1.BeamFnControl").Control
        assert list(control(iter(()), metadata=[("worker_id", started.message.worker_id)], timeout=10)) == []


# ---- caches


def test_user_state_and_complete_side_inputs_may_be_kept(client, session):
    run(client, session, counting())
    reads = [(key, sorted(record["reads"][0][1])) for key, record in session.observations.values_of("o")]
    assert sorted(reads) == [("k", []), ("k", [1]), ("k", [1, 2]), ("l", []), ("l", [3])]
    tokens = [token for each in asked(session, "process_bundle") for token in each.process_bundle.cache_tokens]
    assert len({token.token for token in tokens if token.HasField("user_state")}) == 1


@pytest.mark.parametrize("option", [{"sample_data": "perhaps"}, {"data_streams": -1}])
def test_options_that_make_no_sense_are_refused(client, session, option):
    with pytest.raises(grpc.RpcError) as caught:
        client.prepare(grouped().build(session.environment()), **option)
    assert next(iter(option)) in caught.value.details()


# ---- for people to read


def test_samples_are_shown(client, session):
    outcome = run(client, session, grouped(), sample_data=True)
    assert any("elements sampled" in each for each in outcome.messages)


def test_nothing_is_asked_of_who_did_not_declare_it(client):
    with Session(capabilities.CODERS) as session:
        outcome = run(client, session, grouped(), sample_data=True, slow_bundle_seconds=60)
        assert not any("sampled" in each for each in outcome.messages)
        assert asked(session, "sample_data") == asked(session, "harness_monitoring_infos") == []
        assert session.transcript.events("status") == []


def test_a_slow_bundle_is_told_of_with_the_words_of_its_worker(client, session):
    program = Program()
    program.create([1], coders.VARINT).par_do(Fn("wait_at", gate="g"), name="wait").observe("o")
    job = client.start(program.build(session.environment()), slow_bundle_seconds=0.05)
    for event in client.jobs.GetMessageStream(job_pb2.JobMessagesRequest(job_id=job), timeout=30):
        if "still running" in event.message_response.message_text:
            assert "1 active bundles" in event.message_response.message_text
            break
    session.gates.open("g")
    assert client.wait(job).state == "DONE"


def test_a_running_job_shows_metrics_of_the_process(client, session):
    program = Program()
    program.create([1], coders.VARINT).par_do(Fn("wait_at", gate="g"), name="wait").observe("o")
    job = client.start(program.build(session.environment()))
    assert session.gates.arrived("g")
    client.metrics(job)
    session.gates.open("g")
    assert client.wait(job).state == "DONE"
    assert len(asked(session, "harness_monitoring_infos")) == 1


def test_names_of_metrics_are_asked_for_once(client, session):
    program = Program()
    made = program.create([("a", 1)])
    for number in range(4):
        made = made.group_by_key(f"group{number}").par_do(Fn("ungroup"), JSON_KV, name=f"ungroup{number}")
    job = client.start(program.build(session.environment()))
    assert client.wait(job).state == "DONE"
    client.metrics(job)  # names are still asked for behind DONE; this waits for them
    assert len(asked(session, "process_bundle")) == 5
    assert len(asked(session, "monitoring_infos")) == 1


# ---- many jobs


def test_two_hundred_jobs_leave_nothing_behind(client):
    def job(_: int) -> str:
        with Session() as session:
            outcome = client.run(grouped().build(session.environment()))
            seen = sorted(session.observations.values_of("o"))
            assert session.wait_ended(10)
            return outcome.state if seen == [("a", [1, 3]), ("b", [2])] else f"{outcome.id}: {seen}"

    assert {job(number) for number in range(20)} == {"DONE"}
    threads, files = threading.active_count(), len(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else 0
    assert {job(number) for number in range(90)} == {"DONE"}
    with futures.ThreadPoolExecutor(16) as pool:
        assert set(pool.map(job, range(90))) == {"DONE"}
    gc.collect()
    alive = {kind: sum(isinstance(each, kind) for each in gc.get_objects()) for kind in (Job, Driver, Worker)}
    assert alive[Job] <= KEPT_JOBS + 16
    assert alive[Driver] <= alive[Job]
    assert alive[Worker] <= 16
    # The harness keeps threads for the next jobs: as many as ran at once need.
    assert threading.active_count() <= threads + 16 * 8
    if files:
        assert len(os.listdir("/proc/self/fd")) <= files + 16
