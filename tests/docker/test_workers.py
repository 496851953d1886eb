"""The reference runner and its containers: they do the work, they end with the job however it ends, and faults are told."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator

import docker
import pytest

from conformance.endpoints import JobClient, images
from conformance.endpoints.outcome import JobOutcome
from conformance.harness import Session
from conformance.pipeline import Fn, Program, coders
from conformance.runner import Server, serve
from conformance.runner.environments import parse_default
from conformance.suite.execution import function_variables
from conformance.wire import urns
from conformance.wire.api import pipeline_pb2 as pb

SECOND = "second"
#: Containers start in under a second; a hang must not hang CI.
SECONDS = 60.0
LABEL = "beam-conformance.worker"


@pytest.fixture(scope="module")
def server(engine: docker.DockerClient) -> Iterator[Server]:
    with serve() as server:
        yield server


@pytest.fixture
def session() -> Iterator[Session]:
    with Session() as session:
        yield session


@pytest.fixture
def variants(engine: docker.DockerClient, image: str) -> Iterator[images.Variants]:
    with images.Variants(engine, image) as variants:
        yield variants


@pytest.fixture
def contained(variants: images.Variants) -> Callable[[Session], pb.Environment]:
    """The DOCKER environment of a session."""

    def environment(session: Session) -> pb.Environment:
        return session.docker_environment(variants.make({**session.process_variables(), **function_variables()}))

    return environment


def _plain(program: Program) -> None:
    program.create([("k", 1), ("k", 2)]).group_by_key().observe("out")


def _seen(session: Session) -> list[object]:
    return [(seen.value[0], sorted(seen.value[1])) for seen in session.observations["out"]]


def _run(server: Server, pipeline: pb.Pipeline, **job: object) -> JobOutcome:
    with JobClient(server.url) as client:
        return client.run_job(pipeline, options={}, job_name="docker", **job)  # type: ignore[arg-type]


def _no_containers_left(engine: docker.DockerClient) -> bool:
    """Whether the workers' containers are gone, or go within a while."""
    waiting = threading.Event()
    for _ in range(int(SECONDS / 0.2)):
        if not engine.containers.list(all=True, filters={"label": LABEL}):
            return True
        waiting.wait(0.2)
    return False


def test_a_container_does_the_work_and_is_removed(
    server: Server, session: Session, contained: Callable[[Session], pb.Environment], engine: docker.DockerClient
) -> None:
    program = Program("p")
    _plain(program)
    outcome = _run(server, program.build(contained(session)))
    assert outcome.state == "DONE", outcome.error_text
    assert _seen(session) == [("k", [1, 2])]
    assert _no_containers_left(engine)


def test_three_environments_of_three_kinds_in_one_pipeline(
    server: Server, session: Session, contained: Callable[[Session], pb.Environment]
) -> None:
    program = Program("p")
    created = program.create([1, 2])
    there = created.par_do(Fn("observe_through", observer="docker"), environment=SECOND)
    there.par_do(Fn("observe_through", observer="process"), environment="third").par_do(
        Fn("observe", observer="external"), coders.BYTES
    )
    with Session() as second, Session() as third:
        others = {SECOND: contained(second), "third": third.process_environment(function_variables())}
        outcome = _run(server, program.build(session.environment(), others=others))
        assert outcome.state == "DONE", outcome.error_text
        for each, observer in ((session, "external"), (second, "docker"), (third, "process")):
            assert sorted(seen.value for seen in each.observations[observer]) == [1, 2]


def test_any_of_and_default(server: Server, session: Session, contained: Callable[[Session], pb.Environment]) -> None:
    unknown = pb.Environment(urn="beam-conformance:env:nobody_knows:v1")
    environment = contained(session)
    any_of = pb.Environment(
        urn=urns.Env.ANYOF, payload=pb.AnyOfEnvironmentPayload(environments=[unknown, environment]).SerializeToString()
    )
    program = Program("p")
    _plain(program)
    outcome = _run(server, program.build(any_of))
    assert outcome.state == "DONE", outcome.error_text
    image = pb.DockerPayload.FromString(environment.payload).container_image
    with serve(default_environment=parse_default(f"docker:{image}")) as other:
        default = pb.Environment(urn=urns.Env.DEFAULT, capabilities=environment.capabilities)
        outcome = _run(other, program.build(default))
    assert outcome.state == "DONE", outcome.error_text
    assert _seen(session) == [("k", [1, 2])] * 2


def test_cancel_removes_the_container(
    server: Server, session: Session, contained: Callable[[Session], pb.Environment], engine: docker.DockerClient
) -> None:
    program = Program("p")
    program.create([1]).par_do(Fn("wait_at", gate="never"))
    arrived = threading.Event()
    waiter = threading.Thread(target=lambda: (session.gates.arrived("never", timeout=SECONDS), arrived.set()))
    waiter.start()
    outcome = _run(server, program.build(contained(session)), cancel_after=arrived)
    waiter.join()
    assert outcome.state == "CANCELLED", outcome.error_text
    assert _no_containers_left(engine)


def test_a_container_that_dies_fails_the_job_with_its_log(
    server: Server, engine: docker.DockerClient, variants: images.Variants
) -> None:
    broken = variants.make({"BEAM_CONFORMANCE_FUNCTIONS": "no_such_module_of_functions"})
    with Session() as session:
        program = Program("p")
        _plain(program)
        outcome = _run(server, program.build(session.docker_environment(broken)))
    assert outcome.state == "FAILED"
    assert "exit code 1" in outcome.error_text
    assert "no_such_module_of_functions" in outcome.error_text
    assert _no_containers_left(engine)


def test_one_killed_in_a_bundle_fails_the_job(
    server: Server, session: Session, contained: Callable[[Session], pb.Environment], engine: docker.DockerClient
) -> None:
    program = Program("p")
    program.create([1]).par_do(Fn("wait_at", gate="held"))

    def kill() -> None:
        session.gates.arrived("held", timeout=SECONDS)
        for container in engine.containers.list(filters={"label": LABEL}):
            container.kill()

    killer = threading.Thread(target=kill)
    killer.start()
    outcome = _run(server, program.build(contained(session)))
    killer.join()
    assert outcome.state == "FAILED"
    assert "in the middle of the job" in outcome.error_text
    assert _no_containers_left(engine)


def test_a_missing_image_is_named(server: Server, session: Session) -> None:
    program = Program("p")
    _plain(program)
    outcome = _run(server, program.build(session.docker_environment("localhost:1/none:none")))
    assert outcome.state == "FAILED"
    assert "localhost:1/none:none" in outcome.error_text


def test_no_engine_is_told(session: Session, monkeypatch: pytest.MonkeyPatch, tmp_path: object) -> None:
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/no.sock")
    program = Program("p")
    _plain(program)
    with serve() as server:
        outcome = _run(server, program.build(session.docker_environment("image:tag")))
    assert outcome.state == "FAILED"
    assert "no docker engine answers" in outcome.error_text
    assert "DOCKER_HOST" in outcome.error_text
    assert urns.Env.DOCKER in outcome.error_text
