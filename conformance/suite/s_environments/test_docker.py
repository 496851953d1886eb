"""DOCKER environments: workers that the runner starts as containers. Not run where no engine answers here."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable

from conformance.pipeline import Fn, Program, coders
from conformance.suite.assertions import asserts
from conformance.suite.checks import holds, same
from conformance.suite.execution import RunnerUnderTest, function_variables, raise_unless_done
from conformance.suite.m_job_api.driving import SOON, plain, run_program
from conformance.suite.n_artifacts.staging import NOWHERE, SECOND, embedded, file
from conformance.suite.outcomes import Declined
from conformance.suite.run import Run
from conformance.wire import urns
from conformance.wire.api import pipeline_pb2 as pb

GROUPED = {"k": [1, 2, 3]}
NOTE = "BEAM_CONFORMANCE_NOTE"
#: No registry is at this address of this machine, so that a pull fails at once.
MISSING = "localhost:1/beam-conformance/no-such-image:none"
#: Words of a runner, or of the engine by way of it, that has no containers to offer.
_NO_CONTAINERS = re.compile(r"docker|container", re.IGNORECASE)


def _ended(run: Run) -> Run:
    """The run, if it ended DONE. Raises Declined if the runner cannot start containers where it is, and says so."""
    __tracebackhide__ = True
    text = run.outcome.error_text.strip()
    if run.outcome.state != "DONE" and run.outcome.error is None and _NO_CONTAINERS.search(text):
        raise Declined(f"the runner starts no containers: {text.splitlines()[0]}")
    raise_unless_done(run.outcome, run.session)
    return run


def _run(
    runner: RunnerUnderTest,
    program: Callable[[Program], object],
    label: str,
    *dependencies: pb.ArtifactInformation,
    files: dict[str, bytes] | None = None,
) -> Run:
    __tracebackhide__ = True
    return _ended(
        run_program(
            runner,
            program,
            label=label,
            environment=lambda session: runner.containers.environment(session, function_variables(), dependencies),
            files=files or {},
            any_outcome=True,
        )
    )


@asserts("ENV01/container-runs")
def test_container_runs(runner: RunnerUnderTest) -> None:
    same(_run(runner, plain, "docker").groups("out"), GROUPED, rule="P-ENV-07")


@asserts("ENV01/artifacts-inside")
def test_artifacts_inside(runner: RunnerUnderTest) -> None:
    def listing(program: Program) -> None:
        program.create([1]).par_do(Fn("staged_files"), coders.STRING).observe("out")

    dependencies = [file("a.txt", "below/a.txt"), embedded("b.txt", b"B")]
    run = _run(runner, listing, "docker-artifacts", *dependencies, files={str(NOWHERE / "a.txt"): b"A"})
    same(run.sorted_values("out"), ["b.txt=B", "below/a.txt=A"], "the files that were staged in the container", rule="P-BOOT-05")


@asserts("ENV01/each-in-its-image")
def test_each_in_its_image(runner: RunnerUnderTest) -> None:
    session = runner.session()
    variables = function_variables()
    program = Program("p")
    created = program.create([1])
    noting = Fn("environment_variable", name=NOTE)
    created.par_do(noting, coders.STRING).observe("first")
    there = created.par_do(noting, coders.STRING, environment=SECOND)
    there.par_do(Fn("observe", observer="second"), coders.BYTES, environment=SECOND)
    pipeline = program.build(
        runner.containers.environment(session, {**variables, NOTE: "one"}),
        others={SECOND: runner.containers.environment(session, {**variables, NOTE: "two"})},
    )
    run = Run("", runner.submit(pipeline, session, label="docker-two"), session, pipeline)
    runner.last_run = _ended(run)
    same(run.values("first"), ["one"], "the variable of the first image", rule="P-PIPE-09")
    same(run.values("second"), ["two"], "the variable of the second image", rule="P-PIPE-09")


@asserts("ENV01/missing-image-fails")
def test_missing_image_fails(runner: RunnerUnderTest) -> None:
    runner.containers.client()
    run = run_program(
        runner, plain, label="docker-missing", environment=lambda session: session.docker_environment(MISSING), any_outcome=True
    )
    run.outcome.raise_for_error()
    same(run.outcome.state, "FAILED", "the end of a job whose image does not exist", rule="M-BNDL-04")
    text = run.outcome.error_text
    if urns.Env.DOCKER in text and MISSING not in text:
        raise Declined(f"the runner starts no containers: {text.strip().splitlines()[0]}")
    holds(MISSING in text, "the reason does not name the image", expected=MISSING, observed=text, rule="M-BNDL-04")


@asserts("ENV01/ends-with-job")
def test_ends_with_job(runner: RunnerUnderTest) -> None:
    client = runner.containers.client()
    run = _run(runner, plain, "docker-ends")
    image = pb.DockerPayload.FromString(
        next(each for each in run.pipeline.components.environments.values() if each.urn == urns.Env.DOCKER).payload
    ).container_image
    waiting = threading.Event()
    left = SOON * runner.settings.timeout_scale
    while (running := client.containers.list(filters={"ancestor": image})) and left > 0:
        left -= 0.25
        waiting.wait(0.25)
    same([each.status for each in running], [], "the job's containers that still run", rule="P-CH-11")
