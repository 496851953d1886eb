"""Staging by clients that go away in the middle, or that send more at once than gRPC's default limit lets through."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import grpc
import pytest

from conformance.endpoints.errors import Refused
from conformance.suite.assertions import asserts
from conformance.suite.checks import Wrong, holds, same
from conformance.suite.execution import RunnerUnderTest
from conformance.suite.m_job_api.driving import Job, build, plain, probing, run_program
from conformance.suite.n_artifacts.misuse import leave_early, stage_at_once
from conformance.suite.n_artifacts.staging import LARGE, Fetching, file
from conformance.suite.o_control.misbehaving import GROUPS, PATIENCE
from conformance.suite.outcomes import NotExercised


@contextmanager
def _prepared(runner: RunnerUnderTest, name: str) -> Iterator[tuple[Job, Fetching]]:
    """A job that was prepared and not staged, whose environment has one file."""
    session, fetching = runner.session(), Fetching()
    session.fetch_artifacts = fetching
    with session, probing(runner, session) as client:
        pipeline = build(session, plain, session.environment(dependencies=[file("artifact.bin")]))
        prepared = client.prepare(pipeline, runner.job_options(), name)
        if not prepared.artifact_staging_endpoint.url:
            raise NotExercised("the runner names no endpoint for staging")
        job = Job(runner, client, session, pipeline, prepared)
        runner.last_run = job.as_run()
        yield job, fetching


@asserts("ART01/unstaged-is-no-success")
@pytest.mark.parametrize("sent", ["nothing", "half"])
def test_left_early(runner: RunnerUnderTest, sent: str) -> None:
    """The client ends its stream before the file is whole: whatever the runner makes of that, the worker cannot have the file."""
    with _prepared(runner, f"left-early-{sent}") as (job, fetching):
        seconds = PATIENCE * runner.settings.timeout_scale
        ended = leave_early(job.prepared, first=b"half of it" if sent == "half" else b"", seconds=seconds)
        if ended == "nothing asked":
            raise NotExercised("the runner asked for no artifact")
        holds(ended != "DEADLINE_EXCEEDED", "staging never ended after its client had gone", observed=ended, rule="P-ART-01")
        try:
            state = job.run().end(PATIENCE * runner.settings.timeout_scale)
        except Refused:
            state = "refused"
        if state == "DONE":
            faults = fetching.faults or [f"the worker was given {artifact.data!r}" for artifact in fetching.artifacts]
            raise Wrong(
                "the job ended DONE although the client left before its artifact was staged",
                expected="a refusal, or FAILED",
                observed=f"DONE; {faults or 'the worker was told of no artifact'}",
                rule="P-ART-07",
            )
    after = run_program(runner, plain, label="after-left-early", patience=PATIENCE)
    same(after.groups("out"), GROUPS, "the outcome of the next job", rule="P-ART-01")


@asserts("ART06/one-large-chunk")
def test_one_large_chunk(runner: RunnerUnderTest) -> None:
    with _prepared(runner, "one-large-chunk") as (job, fetching):
        try:
            stage_at_once(job.prepared, LARGE, job.client.timeouts.stage)
        except grpc.RpcError as error:
            raise Wrong(
                f"a chunk of {len(LARGE)} bytes ended staging with {error.code().name}: {error.details()}",
                expected="any size of chunk",
                observed=error.code().name,
                rule="P-CH-08",
            ) from error
        same(job.run().end(), "DONE", "the end of a job whose artifact came in one chunk", rule="P-CH-08")
        same(fetching.faults, [], "what went wrong while the worker fetched the artifact", rule="P-ART-07")
        if not fetching.artifacts:
            raise NotExercised("no worker was told of its artifacts")
        holds(
            fetching.artifacts[0].data == LARGE, "the bytes that the worker fetched are not those of the client", rule="P-ART-07"
        )
