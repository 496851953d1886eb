"""Real jobs on real runners under the always-on invariants: what is right on the wire there must not be accused.

The jobs leave out what Prism and the Python job service are known to get wrong; that is told by the suite, not here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from conformance.endpoints import Endpoint, JobClient, open_endpoint
from conformance.harness import End, Session
from conformance.harness.invariants import judge
from conformance.pipeline import Fn, Program, coders, state, windowing
from conformance.wire import urns
from conformance.wire.api import pipeline_pb2 as pb

PAIR = coders.kv(coders.STRING, coders.VARINT)
RESTRICTION = coders.kv(coders.kv(coders.VARINT, coders.VARINT), coders.VARINT)


@pytest.fixture(scope="module", params=["prism", "python"])
def endpoint(request: pytest.FixtureRequest) -> Iterator[Endpoint]:
    with open_endpoint(request.param) as opened:
        yield opened


def _pairs(program: Program, count: int = 9) -> Any:
    values = [{"tuple": [f"k{number % 3}", number]} for number in range(count)]
    return program.impulse().par_do(Fn("create", values=values), PAIR)


def grouped(program: Program) -> None:
    _pairs(program).group_by_key().observe("out")


def windowed(program: Program) -> None:
    stamped = _pairs(program).par_do(Fn("timestamp", expr=["val"]))
    stamped.window_into(windowing.sliding(4, 2)).group_by_key().observe("out")


def counting(program: Program) -> None:
    _pairs(program).par_do(Fn("count_by_key"), PAIR, state={"count": state.value(coders.VARINT)}).observe("out")


def looping(program: Program) -> None:
    loop = Fn("timer_loop", first=5, period=7, count=3)
    states = {"left": state.value(coders.VARINT)}
    _pairs(program, 3).par_do(loop, PAIR, state=states, timers={"timer": "event"}).observe("out")


def side_input(program: Program) -> None:
    start = program.impulse()
    values = [{"tuple": ["a", 1]}, {"tuple": ["a", 2]}, {"tuple": ["b", 3]}]
    side = start.par_do(Fn("create", values=values), PAIR, name="side")
    main = start.par_do(Fn("create", values=["a", "c"]), coders.STRING, name="main")
    out = coders.kv(coders.STRING, coders.iterable(coders.VARINT))
    main.par_do(Fn("side_lookup", side="s", expr=["value"]), out, side_inputs={"s": side.as_multimap()}).observe("out")


def checkpointing(program: Program) -> None:
    out = coders.kv(coders.VARINT, coders.VARINT)
    sizes = program.impulse().par_do(Fn("create", values=[5, 9]), coders.VARINT)
    sizes.par_do(Fn("range", every=2), out, restriction_coder=RESTRICTION).observe("out")


def failing(program: Program) -> None:
    _pairs(program).par_do(Fn("fail", text="seven is odd")).observe("out")


def _dependency(name: str) -> pb.ArtifactInformation:
    return pb.ArtifactInformation(
        type_urn=urns.Artifact.FILE,
        type_payload=pb.ArtifactFilePayload(path=f"/staged/{name}").SerializeToString(),
        role_urn=urns.ArtifactRole.STAGING_TO,
        role_payload=pb.ArtifactStagingToRolePayload(staged_name=name).SerializeToString(),
    )


def _judge(endpoint: Endpoint, build: Callable[[Program], None]) -> tuple[str, list[str], dict[str, int]]:
    """Run a program; its end, its findings, what the invariants looked at."""
    program = Program(build.__name__)
    build(program)
    session = Session()
    client = JobClient(endpoint, transcript=session.transcript, end_event=End)
    try:
        pipeline = program.build(session.environment(dependencies=[_dependency("a.txt"), _dependency("b.txt")]))
        files = {"/staged/a.txt": b"one", "/staged/b.txt": b"other" * 1_000}
        outcome = client.run_job(
            pipeline, options=dict(endpoint.profile.options), files=files, job_name=build.__name__, transcript=session.transcript
        )
    finally:
        client.close()
        session.close()
    findings, looked = judge(session.transcript, pipeline)
    return str(outcome.state), [str(finding) for finding in findings], looked


@pytest.mark.parametrize("build", [grouped, windowed, counting, looping, side_input, checkpointing], ids=lambda b: b.__name__)
def test_a_right_job_is_accused_of_nothing(endpoint: Endpoint, build: Callable[[Program], None]) -> None:
    state, findings, looked = _judge(endpoint, build)
    assert (state, findings) == ("DONE", [])
    for invariant in (
        "I-CTL-01",
        "I-CTL-05",
        "I-CTL-13",
        "I-DATA-01",
        "I-DATA-09",
        "I-DATA-12",
        "I-PRV-02",
        "I-JOB-01",
        "I-JOB-04",
    ):
        assert looked[invariant] > 0, f"{invariant} had nothing to look at"


def test_a_failing_job_is_accused_of_nothing(endpoint: Endpoint) -> None:
    state, findings, looked = _judge(endpoint, failing)
    assert (state, findings) == ("FAILED", [])
    assert looked["I-CTL-27"] == looked["I-JOB-03"] == 1
