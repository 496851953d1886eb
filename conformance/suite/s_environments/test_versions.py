"""Versions of SDKs: what a worker needs to find out that it is not the one that the pipeline was built for."""

from __future__ import annotations

from typing import Any

from conformance.harness import Session
from conformance.pipeline import Fn, Program, coders
from conformance.suite.assertions import asserts
from conformance.suite.checks import same
from conformance.suite.execution import RunnerUnderTest
from conformance.suite.m_job_api.driving import plain, run_program
from conformance.suite.n_artifacts.staging import SECOND, run_in_two
from conformance.suite.outcomes import NotExercised

VERSION = "beam:version:sdk_base:beam-conformance"
REFUSAL = "this worker has another version of its SDK than the pipeline"


def _versions(descriptor: Any) -> set[str]:
    """The versions of the environments that the transforms of a descriptor name."""
    named = {each.environment_id for each in descriptor.transforms.values()} & set(descriptor.environments)
    found = (capability for each in named for capability in descriptor.environments[each].capabilities)
    return {capability for capability in found if capability.startswith(VERSION)}


def _through_both(program: Program) -> None:
    created = program.create([1, 2, 3])
    there = created.par_do(Fn("observe_through", observer="there"), environment=SECOND)
    there.par_do(Fn("observe", observer="back"), coders.BYTES)


@asserts("ENV12/one-version-a-stage")
def test_one_version_a_stage(runner: RunnerUnderTest) -> None:
    sessions: list[Session] = []

    def give_version(session: Session) -> None:
        session.capabilities |= {f"{VERSION}_{len(sessions)}"}
        sessions.append(session)

    two = run_in_two(runner, _through_both, label="two-versions", setup=give_version)
    own = {worker.worker_id: f"{VERSION}_{index}" for index, session in enumerate(sessions) for worker in session.workers}
    transcript = two.first.run.transcript
    seen = [
        (own[event.worker_id], _versions(event.message))
        for event in transcript.events("control", "GetProcessBundleDescriptor", "R->S", kind="ProcessBundleDescriptor")
    ]
    if not any(versions for _, versions in seen):
        raise NotExercised("no descriptor tells the environments of its transforms, so that no worker can compare versions")
    for version, versions in seen:
        if versions:
            same(versions, {version}, "the versions of the transforms that a worker was given", rule="P-SDK-01")


@asserts("ENV12/mismatch-fails-job")
def test_mismatch_fails_job(runner: RunnerUnderTest) -> None:
    def refuse(session: Session) -> None:
        session.script.add("error", on="process_bundle", text=REFUSAL, times=1000)

    run = run_program(runner, plain, label="other-version", setup=refuse, any_outcome=True)
    run.outcome.raise_for_error()
    same(run.outcome.state, "FAILED", "the end of a job whose worker has another version", rule="M-BNDL-04")
