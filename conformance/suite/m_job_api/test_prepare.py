"""Prepare and Run: ids and tokens, refusals and their reasons, preparations used twice, pipelines of odd sizes."""

from __future__ import annotations

import contextlib

from conformance.endpoints.errors import Refused
from conformance.endpoints.outcome import Phase
from conformance.pipeline import Fn, Program, coders
from conformance.suite.assertions import asserts
from conformance.suite.case import Case, Scenario
from conformance.suite.checks import holds, refused_naming, same
from conformance.suite.execution import RunnerUnderTest
from conformance.suite.m_job_api.driving import Job, build, plain, probing, run_program, started, still_serves
from conformance.wire.api import pipeline_pb2 as pb

#: URNs of leaf transforms that nobody knows.
UNKNOWN = "beam-conformance:transform:nobody_knows_this:v1"
UNKNOWN_TOO = "beam-conformance:transform:nor_does_anybody_know_that:v1"
GROUPED = {"k": [1, 2, 3]}
#: More than gRPC's default limit of 4 MiB, in one payload.
LARGE = 6_000_000


@asserts("JOB01/ids-and-endpoint")
def test_ids_and_endpoint(runner: RunnerUnderTest) -> None:
    with contextlib.ExitStack() as stack:
        try:
            job = stack.enter_context(started(runner, run=False))
        except Refused as error:
            text = f"the staging endpoint does not take the token that came with it: {error}"
            holds(error.phase != Phase.STAGE, text, rule="P-JOB-01")
            raise
        holds(bool(job.prepared.preparation_id), "Prepare gave no preparation id", rule="P-JOB-01")
        url = job.prepared.artifact_staging_endpoint.url
        # The staging stream was served with the token when the job was started; an empty URL would have left it out.
        holds(bool(url), "Prepare named no artifact staging endpoint", rule="P-JOB-01")


@asserts("JOB01/ids-are-fresh")
def test_ids_are_fresh(runner: RunnerUnderTest) -> None:
    with started(runner, run=False) as job:
        again = job.client.prepare(job.pipeline, runner.job_options(), "conformance-probe")
        holds(
            again.preparation_id != job.prepared.preparation_id,
            f"two Prepare calls gave the same id {again.preparation_id!r}",
            rule="P-JOB-01",
        )


def _with_unknown_leaves(program: Program, *unknown: str) -> None:
    created = program.create([1, 2, 3])
    created.observe("before")
    for number, urn in enumerate(unknown):
        made = program.raw(f"unknown{number}", urn, b"\x01", inputs={"in": created}, outputs={"out": coders.VARINT})
        made["out"].observe(f"after{number}")


@asserts("JOB02/unknown-primitive-refused", any_outcome=True)
def test_unknown_primitive_refused(case: Case) -> Scenario:
    _with_unknown_leaves(case.program, UNKNOWN)
    run = yield
    if isinstance(run.outcome.error, Refused):
        return
    run.outcome.raise_for_error()
    same(run.outcome.state, "FAILED", "the end of a job with a transform that nobody knows", rule="M-REJ-01")


@asserts("JOB02/reason-names-it", any_outcome=True)
def test_reason_names_it(case: Case) -> Scenario:
    _with_unknown_leaves(case.program, UNKNOWN)
    run = yield
    refused_naming(run, [UNKNOWN, "unknown0"], rule="P-JOB-13")


@asserts("JOB02/refused-early", any_outcome=True)
def test_refused_early(case: Case) -> Scenario:
    _with_unknown_leaves(case.program, UNKNOWN)
    run = yield
    error = run.outcome.error
    early = isinstance(error, Refused) and error.phase in (Phase.PREPARE, Phase.START)
    holds(early, f"the pipeline was taken; the job ended {run.outcome.state or 'nowhere'}", rule="P-JOB-13")
    same(run.values("before"), [], "what was run of it", rule="P-JOB-13")


@asserts("JOB02/all-reasons-at-once", any_outcome=True)
def test_all_reasons_at_once(case: Case) -> Scenario:
    _with_unknown_leaves(case.program, UNKNOWN, UNKNOWN_TOO)
    run = yield
    refused_naming(run, [UNKNOWN, "unknown0"], rule="P-JOB-13")
    refused_naming(run, [UNKNOWN_TOO, "unknown1"], rule="P-JOB-13")


@asserts("JOB02/missing-roots-not-ignored")
def test_missing_roots_not_ignored(runner: RunnerUnderTest) -> None:
    def forget_roots(pipeline: pb.Pipeline) -> None:
        del pipeline.root_transform_ids[:]

    run = run_program(runner, plain, label="no-roots", change=forget_roots, any_outcome=True)
    if run.outcome.state == "DONE":
        same(run.groups("out"), GROUPED, "the results of a job that ended DONE", rule="P-PIPE-01")
    elif not isinstance(run.outcome.error, Refused) and run.outcome.state != "FAILED":
        run.outcome.raise_for_error()


def _results(job: Job) -> dict[str, list[int]]:
    """What the job's observer saw, as {key: sorted values}; panes of one key joined."""
    return job.as_run().groups("out")


@asserts("JOB03/prepared-twice")
def test_prepared_twice(runner: RunnerUnderTest) -> None:
    with started(runner, name="twins") as first:
        same(first.end(), "DONE", "the end of the first job", rule="P-JOB-01")
        same(_results(first), GROUPED, "the results of the first job", rule="P-JOB-01")
        prepared = first.client.prepare(first.pipeline, runner.job_options(), "twins")
        first.client.stage(prepared, first.pipeline)
        job_id = first.client.run(prepared.preparation_id)
        holds(job_id != first.job_id, f"both jobs have the id {job_id!r}", rule="P-JOB-01")
        second = Job(runner, first.client, first.session, first.pipeline, prepared, job_id)
        same(second.end(), "DONE", "the end of the second job", rule="P-JOB-01")
        # Both jobs ran in one session, which has now seen everything twice.
        same(_results(first), {"k": [1, 1, 2, 2, 3, 3]}, "the results of both jobs", rule="P-JOB-01")


@asserts("JOB03/run-twice")
def test_run_twice(runner: RunnerUnderTest) -> None:
    with started(runner) as job:
        again = ""
        with contextlib.suppress(Refused):
            again = job.client.run(job.prepared.preparation_id)
        same(job.end(job.hung), "DONE", "the end of the job", rule="P-JOB-01")
        if again in ("", job.job_id):
            same(_results(job), GROUPED, "the results of the job", rule="P-JOB-01")
        still_serves(runner, job.client, "P-JOB-01")


@asserts("JOB04/token-accepted")
def test_token_accepted(runner: RunnerUnderTest) -> None:
    with started(runner, run=False) as job:
        job_id = job.client.run(job.prepared.preparation_id, "__no_artifacts_staged__")
        ran = Job(runner, job.client, job.session, job.pipeline, job.prepared, job_id)
        same(ran.end(), "DONE", "the end of the job", rule="P-JOB-01")
        same(_results(ran), GROUPED, rule="P-JOB-01")


@asserts("JOB24/six-megabytes", alone=True)
def test_six_megabytes(case: Case) -> Scenario:
    created = case.program.create(["x" * LARGE, "short"], coder=coders.STRING)
    created.par_do(Fn("map", expr=["len", ["value"]]), coders.VARINT).observe("out")
    run = yield
    assert run.pipeline.ByteSize() > LARGE
    same(run.sorted_values("out"), [5, LARGE], "the lengths of the elements", rule="P-CH-08")


@asserts("JOB25/ends-done")
def test_empty_ends_done(runner: RunnerUnderTest) -> None:
    session = runner.session()
    with session, probing(runner, session) as client:
        pipeline = build(session, lambda program: None)
        prepared = client.prepare(pipeline, runner.job_options(), "empty")
        client.stage(prepared, pipeline)
        job = Job(runner, client, session, pipeline, prepared, client.run(prepared.preparation_id))
        runner.last_run = job.as_run()
        same(job.end(), "DONE", "the end of a job without transforms", rule="M-DRAIN-02")
