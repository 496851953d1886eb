"""What a worker may do and leave out: its streams, its id, the descriptors that it asks for, and how it is let go."""

from __future__ import annotations

import contextlib
import threading

import grpc
import pytest

from conformance.harness import Session
from conformance.harness.streams import CHANNELS, Duplex, unary
from conformance.harness.transcript import Transcript
from conformance.suite.assertions import asserts
from conformance.suite.checks import Wrong, holds, same
from conformance.suite.execution import RunnerUnderTest
from conformance.suite.m_job_api.driving import Job, held, plain, run_program, started
from conformance.suite.o_control.watching import BRIEF, bundles, descriptors, until
from conformance.wire.api import fn_pb2

GROUPS = {"k": [1, 2, 3]}


def _without_logging(session: Session) -> None:
    session.logging = False


def _without_provision(session: Session) -> None:
    session.use_provision = False


@asserts("CTRL01/logging-not-awaited")
def test_logging_not_awaited(runner: RunnerUnderTest) -> None:
    run = run_program(runner, plain, label="no-logging", setup=_without_logging)
    same(run.groups("out"), GROUPS, "the outcome of a job whose worker never connects Logging", rule="P-CH-07")


@asserts("CTRL01/provision-not-awaited")
def test_provision_not_awaited(runner: RunnerUnderTest) -> None:
    run = run_program(runner, plain, label="no-provision", setup=_without_provision)
    same(run.groups("out"), GROUPS, "the outcome of a job whose worker never asks for provision", rule="P-ENV-05")


@asserts("CTRL01/stranger-gets-no-work")
def test_stranger_gets_no_work(runner: RunnerUnderTest) -> None:
    with started(runner, held) as job:
        job.is_held()
        transcript, url = Transcript(), job.session.workers[0].endpoints.control
        stranger = Duplex(
            CHANNELS.acquire(url),
            transcript,
            service="BeamFnControl",
            method="Control",
            plane="control",
            worker_id="no-such-worker",
            url=url,
        )
        threading.Thread(target=lambda: list(stranger), daemon=True).start()
        try:
            stranger.ended.wait(BRIEF)
            job.release()
            same(job.end(), "DONE", "the end of a job beside which a stranger connected", rule="P-CH-01")
        finally:
            stranger.cancel()
            stranger.ended.wait(job.soon)
            CHANNELS.release(url)
        work = transcript.events(direction="R->S", kind="InstructionRequest")
        same([str(event.message) for event in work], [], "instructions sent to a worker that nobody asked for", rule="P-CH-01")


def _fetch(job: Job, descriptor_id: str) -> fn_pb2.ProcessBundleDescriptor:
    """Ask for a descriptor as the job's first worker. Raises grpc.RpcError."""
    worker = job.session.workers[0]
    url = worker.endpoints.control
    try:
        answer: fn_pb2.ProcessBundleDescriptor = unary(
            CHANNELS.acquire(url),
            Transcript(),
            service="BeamFnControl",
            method="GetProcessBundleDescriptor",
            plane="control",
            worker_id=worker.worker_id,
            url=url,
            request=fn_pb2.GetProcessBundleDescriptorRequest(process_bundle_descriptor_id=descriptor_id),
            timeout=job.soon,
        )
    finally:
        CHANNELS.release(url)
    return answer


@asserts("CTRL03/second-fetch-equal")
def test_second_fetch_equal(runner: RunnerUnderTest) -> None:
    with started(runner, held) as job:
        job.is_held()
        first = descriptors(job.session)
        for descriptor_id, descriptor in first.items():
            try:
                again = _fetch(job, descriptor_id)
            except grpc.RpcError as error:
                raise Wrong(
                    f"descriptor {descriptor_id!r} is not given out again while its bundle runs: {error.code().name}",
                    expected=str(descriptor),
                    observed=error.details(),
                    rule="P-CTL-07",
                ) from None
            holds(
                again == descriptor,
                f"descriptor {descriptor_id!r}, fetched again while its bundle runs, has other contents",
                expected=str(descriptor),
                observed=str(again),
                rule="P-CTL-07",
            )
        job.release()
        same(job.end(), "DONE", "the end of a job whose descriptors were fetched twice", rule="P-CTL-07")


@asserts("CTRL03/unknown-id-refused")
def test_unknown_id_refused(runner: RunnerUnderTest) -> None:
    with started(runner, held) as job:
        job.is_held()
        try:
            answer = _fetch(job, "no-such-descriptor")
        except grpc.RpcError as error:
            code = error.code().name
        else:
            raise Wrong(
                "a descriptor was given for an id that no bundle named",
                expected="an error",
                observed=str(answer)[:500] or "an empty descriptor",
                rule="P-CH-13",
            )
        holds(
            code not in ("DEADLINE_EXCEEDED", "UNAVAILABLE"),
            f"the fetch of an unknown descriptor ended with {code}",
            expected="an answer with an error",
            observed=code,
            rule="P-CH-13",
        )


@asserts("CTRL03/job-survives-unknown-id")
def test_job_survives_unknown_id(runner: RunnerUnderTest) -> None:
    with started(runner, held) as job:
        job.is_held()
        with contextlib.suppress(grpc.RpcError):  # what is answered is another assertion's matter
            _fetch(job, "no-such-descriptor")
        job.release()
        same(job.end(), "DONE", "the end of a job whose worker asked for an unknown descriptor", rule="P-CH-13")
        same(_grouped(job), GROUPS, rule="P-CH-13")


def _grouped(job: Job) -> dict[str, list[int]]:
    return job.as_run().groups("out")


@asserts("CTRL17/let-go")
@pytest.mark.parametrize("state", ["DONE", "FAILED"])
def test_let_go(runner: RunnerUnderTest, state: str) -> None:
    session = runner.session()
    if state == "FAILED":
        session.script.add("error", transform="with_key", times=1000, text="this bundle shall fail")
    with started(runner, session=session) as job:
        same(job.end(), state, "the job's end", rule="P-CTL-19")
        holds(
            until(lambda: all(worker.ended.is_set() for worker in session.workers), job.soon),
            f"a worker still has its Control stream {job.soon:g} s after its job was {state}",
            expected="an end of Control",
            observed=[worker.worker_id for worker in session.workers if not worker.ended.is_set()],
            rule="P-CH-11",
        )


@asserts("CTRL17/orderly-end")
@pytest.mark.parametrize("state", ["DONE", "FAILED"])
def test_orderly_end(runner: RunnerUnderTest, state: str) -> None:
    session = runner.session()
    if state == "FAILED":
        session.script.add("error", transform="with_key", times=1000, text="this bundle shall fail")
    with started(runner, session=session) as job:
        same(job.end(), state, "the job's end", rule="P-CTL-19")
        until(lambda: all(worker.ended.is_set() for worker in session.workers), job.soon)
        ends = session.transcript.events("control", "Control", "R->S", kind="end")
        same({event.message.status for event in ends}, {"OK"}, f"how Control ended after a job that was {state}", rule="P-CH-11")


@asserts("CTRL16/workers-serve-on")
def test_workers_serve_on(runner: RunnerUnderTest) -> None:
    """Where a failed bundle is tried again, the stream that carried the error carries the next attempt, or a new worker does."""
    session = runner.session()
    session.script.add("error", transform="with_key", times=1, text="this bundle fails once")
    with started(runner, session=session) as job:
        state = job.end()
        same(state in ("DONE", "FAILED"), True, f"the end {state} of a job with one failed bundle", rule="P-CTL-19")
        if state == "DONE":
            holds(len(bundles(session, "with_key")) > 1, "DONE although the failed bundle was never tried again", rule="P-CTL-19")
            same(_grouped(job), GROUPS, "the outcome of a job whose bundle failed once", rule="P-CTL-19")
