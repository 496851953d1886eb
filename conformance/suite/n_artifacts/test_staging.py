"""Staging: the handshake, what the runner asks for, tokens."""

from __future__ import annotations

from typing import Any

from conformance.pipeline import Fn, Program, coders
from conformance.suite.assertions import asserts
from conformance.suite.checks import same
from conformance.suite.execution import RunnerUnderTest
from conformance.suite.m_job_api.driving import build, plain, probing, refusal, still_serves
from conformance.suite.n_artifacts.staging import SECOND, Two, embedded, file, run_in_two
from conformance.suite.run import Run
from conformance.wire.api import job_pb2
from conformance.wire.api import pipeline_pb2 as pb

PAIRS = coders.kv(coders.STRING, coders.VARINT)


def in_both(program: Program) -> None:
    """A program whose two stages run in the two environments."""
    keyed = program.create([1, 2, 3]).par_do(Fn("with_key", key="k"), PAIRS)
    grouped = keyed.group_by_key().par_do(Fn("identity"), environment=SECOND)
    grouped.par_do(Fn("observe", observer="out"), coders.BYTES, environment=SECOND)


def _asked(run: Run) -> list[Any]:
    """The artifacts that the runner asked the client for."""
    return [
        event.message.get_artifact.artifact
        for event in run.transcript.events("artifact", "ReverseArtifactRetrievalService", "R->C")
        if event.kind == "ArtifactRequestWrapper" and event.message.WhichOneof("request") == "get_artifact"
    ]


@asserts("ART01/nothing-to-stage")
def test_nothing_to_stage(runner: RunnerUnderTest) -> None:
    session = runner.session()
    with session, probing(runner, session) as client:
        pipeline = build(session, plain)
        prepared = client.prepare(pipeline, runner.job_options(), "nothing-to-stage")
        staged = client.stage(prepared, pipeline)
        same(list(staged.artifacts), [], "the artifacts that were asked for", rule="P-ART-06")


@asserts("ART01/every-environment-asked")
def test_every_environment_asked(runner: RunnerUnderTest) -> None:
    two = run_in_two(
        runner,
        in_both,
        [file("a.txt"), file("b.txt")],
        [file("c.txt")],
        {"a.txt": b"A", "b.txt": b"B", "c.txt": b"C"},
        label="two-environments",
    )
    asked = {
        pb.ArtifactFilePayload.FromString(artifact.type_payload).path.rpartition("/")[2] for artifact in _asked(two.first.run)
    }
    same(sorted(asked), ["a.txt", "b.txt", "c.txt"], "the files that were asked for", rule="P-ART-01")


def _one_name(runner: RunnerUnderTest) -> Two:
    return run_in_two(
        runner,
        in_both,
        [file("one.txt", staged="same.txt")],
        [file("two.txt", staged="same.txt")],
        {"one.txt": b"of the first environment", "two.txt": b"of the second environment"},
        label="same-name",
    )


@asserts("ART01/same-name-does-not-collide")
def test_same_name_does_not_collide(runner: RunnerUnderTest) -> None:
    two = _one_name(runner)
    same(two.first.fetched(), {"same.txt": b"of the first environment"}, "what the first environment got", rule="P-ART-01")
    same(two.second.fetched(), {"same.txt": b"of the second environment"}, "what the second environment got", rule="P-ART-01")


@asserts("ART01/unknown-token-refused")
def test_unknown_token_refused(runner: RunnerUnderTest) -> None:
    session = runner.session()
    with session, probing(runner, session) as client:
        environment = session.environment(dependencies=[embedded("a.txt", b"A")])
        pipeline = build(session, plain, environment)
        prepared = client.prepare(pipeline, runner.job_options(), "unknown-token")
        forged = job_pb2.PrepareJobResponse()
        forged.CopyFrom(prepared)
        forged.staging_session_token = "beam-conformance-no-such-token"
        refusal(lambda: client.stage(forged, pipeline), "staging with an unknown token", "P-JOB-12")
        still_serves(runner, client, "P-JOB-12")
