"""Whole jobs on the reference runner and the Python local job service: what functions do comes out the same on both."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from conformance.endpoints import Endpoint, JobClient, open_endpoint
from conformance.harness import Session
from conformance.harness.functions.expressions import PYTHON
from conformance.pipeline import Fn, Program, coders, pack, state, windowing
from conformance.wire.api import pipeline_pb2 as pb
from conformance.wire.values import IntervalWindow, ShardedKey

KV = coders.kv(coders.STRING, coders.VARINT)
PAIRS = [("a", 1), ("b", 2), ("a", 3)]


@pytest.fixture(scope="module", params=["reference", "python"])
def endpoint(request: pytest.FixtureRequest) -> Iterator[Endpoint]:
    with open_endpoint(request.param) as opened:
        yield opened


def run(endpoint: Endpoint, session: Session, pipeline: pb.Pipeline) -> Any:
    with session, JobClient(endpoint, transcript=session.transcript) as client:
        outcome = client.run_job(pipeline, job_name="harness", options=dict(endpoint.profile.options))
        assert session.wait_ended(10), "the runner left a worker behind"
    assert session.local_errors == []
    assert session.remote_errors == []
    return outcome


def done(endpoint: Endpoint, build: Callable[[Program], object]) -> Session:
    session, program = Session(), Program()
    build(program)
    outcome = run(endpoint, session, program.build(session.environment()))
    assert outcome.done, outcome.error_text
    return session


def values(session: Session, observer: str) -> list[Any]:
    return sorted(session.observations.values_of(observer), key=repr)


def test_combines_lifted_or_not(endpoint: Endpoint) -> None:
    def build(program: Program) -> None:
        pairs = program.create(PAIRS)
        pairs.combine_per_key(Fn("mean"), coders.kv(coders.DOUBLE, coders.VARINT), coders.DOUBLE).observe("mean")
        pairs.combine_per_key(Fn("strict_sum"), coders.JSON, coders.VARINT, name="strict").observe("sum")
        pairs.combine_globally(Fn("count"), coders.VARINT, coders.VARINT).observe("count")
        nothing = program.create([], coders.VARINT, name="nothing")
        nothing.combine_globally(Fn("sum"), coders.VARINT, coders.VARINT, name="default", default=True).observe("default")

    session = done(endpoint, build)
    assert values(session, "mean") == [("a", 2.0), ("b", 2.0)]
    assert values(session, "sum") == [("a", 4), ("b", 2)]
    assert values(session, "count") == [3]
    assert values(session, "default") == [0]


def test_reshuffles_keep_timestamp_and_window(endpoint: Endpoint) -> None:
    def build(program: Program) -> None:
        pairs = program.create(PAIRS, timestamps=[1, 2, 13], window=windowing.fixed(10))
        pairs.reshuffle().observe("reshuffle")
        pairs.redistribute_by_key().observe("by_key")
        pairs.redistribute_arbitrarily(allow_duplicates=True).observe("arbitrarily")

    session = done(endpoint, build)
    for observer in ("reshuffle", "by_key", "arbitrarily"):
        seen = sorted((each.timestamp, each.window.start, each.value) for each in session.observations[observer])  # type: ignore[union-attr]
        assert seen == [(1, 0, ("a", 1)), (2, 0, ("b", 2)), (13, 10, ("a", 3))], observer


def test_joins_and_batches(endpoint: Endpoint) -> None:
    def build(program: Program) -> None:
        left = program.create(PAIRS, name="left")
        right = program.create([("a", "x"), ("c", "y")], name="right")
        left.co_group_by_key({"right": right}, tag="left").observe("joined")
        program.create([("k", number) for number in range(5)], name="five").group_into_batches(2, sharded=True).observe("batches")

    session = done(endpoint, build)
    assert values(session, "joined") == [
        ("a", {"left": [1, 3], "right": ["x"]}),
        ("b", {"left": [2], "right": []}),
        ("c", {"left": [], "right": ["y"]}),
    ]
    batches = session.observations.values_of("batches")
    assert sorted(number for _, batch in batches for number in batch) == [0, 1, 2, 3, 4]
    assert all(len(batch) <= 2 and isinstance(key, ShardedKey) for key, batch in batches)


def test_a_state_program_reads_what_it_wrote(endpoint: Endpoint) -> None:
    program_text = Fn(
        "program",
        on_element=[
            ["do", "bag", "add", ["val"]],
            ["read", "bag", "bag", "read"],
            ["read", "value", "value", "read"],
            ["do", "value", "write", ["val"]],
            ["do", "sum", "add", ["val"]],
            ["read", "sum", "sum", "read"],
            ["do", "list", "add", ["val"], ["bytes", 1]],
            ["read", "list", "list", "read", 2, 9],
            ["when", ["==", ["val"], 2], [["do", "bag", "clear"]]],
        ],
    )
    cells = {
        "bag": state.bag(coders.VARINT),
        "value": state.value(coders.VARINT),
        "sum": state.combining(Fn("sum"), coders.VARINT),
        "list": state.ordered_list(coders.BYTES),
    }

    def build(program: Program) -> None:
        elements = program.create([("k", 1), ("k", 2), ("k", 3)])
        elements.par_do(program_text, coders.kv(coders.STRING, coders.JSON), state=cells).observe("reads")

    session = done(endpoint, build)
    reads = [dict(value["reads"]) for _, value in session.observations.values_of("reads")]
    assert reads == [
        {"bag": [1], "value": None, "sum": 1, "list": []},
        {"bag": [1, 2], "value": 1, "sum": 3, "list": [(2, b"\x00")]},
        {"bag": [3], "value": 2, "sum": 6, "list": [(2, b"\x00"), (3, b"\x00")]},
    ]


def test_packed_programs_keep_apart(endpoint: Endpoint) -> None:
    session = Session()
    programs = []
    for number in range(3):
        program = Program()
        program.create([("k", number)]).combine_per_key(Fn("sum"), coders.VARINT, coders.VARINT).observe(f"o{number}")
        programs.append((f"b{number}", program.build(session.environment())))
    outcome = run(endpoint, session, pack(programs))
    assert outcome.done, outcome.error_text
    assert [session.observations.values_of(f"o{number}") for number in range(3)] == [[("k", 0)], [("k", 1)], [("k", 2)]]


def test_a_local_function_and_a_local_expression(endpoint: Endpoint) -> None:
    session, program = Session(), Program()
    session.functions.dofn("only_here")(lambda ctx, by: [ctx.value * by])
    PYTHON["triple_for_this_test"] = lambda number: number * 3
    numbers = (
        program.create([1, 2]).par_do(Fn("only_here", by=10)).par_do(Fn("map", expr=["call", "triple_for_this_test", ["value"]]))
    )
    numbers.observe("out")
    outcome = run(endpoint, session, program.build(session.environment()))
    assert outcome.done, outcome.error_text
    assert values(session, "out") == [30, 60]


def test_a_failure_carries_its_text_and_ends_the_job(endpoint: Endpoint) -> None:
    session, program = Session(), Program()
    program.create(PAIRS).par_do(Fn("fail", text="the third one", expr=["==", ["val"], 3])).observe("out")
    outcome = run(endpoint, session, program.build(session.environment()))
    assert not outcome.done
    assert "the third one" in outcome.error_text
    assert session.observations["out"] == []


def test_a_harness_in_a_process_of_its_own_reports_the_same() -> None:
    session, program = Session(), Program()
    grouped = program.create(PAIRS, timestamps=[1, 2, 3]).window_into(windowing.fixed(10)).group_by_key()
    grouped.par_do(Fn("wait_at", gate="seen")).observe("groups")
    session.gates.open("seen")
    with open_endpoint("reference") as endpoint, session, JobClient(endpoint, transcript=session.transcript) as client:
        outcome = client.run_job(program.build(session.process_environment()), job_name="process")
    assert outcome.done, outcome.error_text
    assert [(key, sorted(group)) for key, group in values(session, "groups")] == [("a", [1, 3]), ("b", [2])]
    assert {each.window for each in session.observations["groups"]} == {IntervalWindow(0, 10)}
    assert {"setup", "start", "finish"} <= {event.event for event in session.observations.events}
    assert session.local_errors == []
