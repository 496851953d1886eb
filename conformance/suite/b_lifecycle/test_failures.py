"""Failures: of functions, of bundles, of workers. The job fails with the reason, or recovers without a trace; it never hangs."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from conformance.endpoints import JobClient
from conformance.endpoints.outcome import Timeouts
from conformance.harness import Session
from conformance.pipeline import Fn, Program, coders, state
from conformance.suite.assertions import asserts
from conformance.suite.b_lifecycle.reading import ended_failed, recovered, run_with, told
from conformance.suite.case import Case, Scenario
from conformance.suite.checks import holds, same
from conformance.suite.execution import RunnerUnderTest
from conformance.suite.run import Run

PAIRS = coders.kv(coders.STRING, coders.VARINT)
#: Seconds in which a runner notices that a worker or its data stream is gone; one that hangs costs so much.
LOST = 10.0
REASON = "meant to fail: papaya 7c1é"


def _failing(program: Program, place: str, *, behind_grouping: bool = False) -> None:
    """Pairs through a function that fails at `place`, then a grouping; what comes of it is observed as "out"."""
    pairs = program.create([("a", 1), ("b", 2), ("a", 3)])
    if behind_grouping:
        pairs = pairs.group_by_key(name="before").par_do(Fn("ungroup"), PAIRS)
    pairs.par_do(Fn("fail", text=REASON, on=place)).group_by_key().observe("out")


@asserts("LIFE01/failing-setup-fails-the-job", any_outcome=True)
def test_failing_setup(case: Case) -> Scenario:
    _failing(case.program, "setup")
    run = yield
    ended_failed(run)


@asserts("LIFE07/failing-process-fails-the-job", any_outcome=True)
@pytest.mark.parametrize("behind_grouping", [False, True], ids=["first-stage", "behind-grouping"])
def test_failing_process(case: Case, behind_grouping: bool) -> Scenario:
    _failing(case.program, "process", behind_grouping=behind_grouping)
    run = yield
    ended_failed(run)


@asserts("LIFE07/nothing-of-the-failed-bundle-is-grouped", any_outcome=True)
def test_nothing_is_grouped(case: Case) -> Scenario:
    """The grouping may only fire when all input is there, and the failed bundle's never comes (M-TRIG-10, M-BNDL-03)."""
    pairs = case.program.create([("a", 1), ("b", 2), ("a", 3)])
    pairs.par_do(Fn("fail", text=REASON, expr=["==", ["val"], 3])).group_by_key().observe("out")
    run = yield
    ended_failed(run)
    same(run.values("out"), [], "groups behind a bundle that failed", rule="M-BNDL-03")


@asserts("LIFE07/failing-branch-fails-the-job", any_outcome=True)
def test_failing_branch(case: Case) -> Scenario:
    case.program.create([1, 2], name="healthy").observe("healthy")
    case.program.create([1, 2], name="sick").par_do(Fn("fail", text=REASON))
    run = yield
    ended_failed(run)


@asserts("LIFE07/failing-early-in-a-long-bundle", any_outcome=True)
def test_failing_early(case: Case) -> Scenario:
    """The runner still has megabytes to send when the bundle is answered with an error; it must stop (P-DATA-15)."""
    many = case.program.create(["k"]).par_do(Fn("large", size=100_000, count=60), coders.BYTES)
    keyed = many.par_do(Fn("key_by", expr=["value"]), coders.kv(coders.BYTES, coders.BYTES))
    keyed.group_by_key().par_do(Fn("fail", text=REASON, at=0)).par_do(Fn("drop"), coders.BYTES)
    run = yield
    ended_failed(run)


@asserts("LIFE08/failing-start-fails-the-job", any_outcome=True)
@pytest.mark.parametrize("behind_grouping", [False, True], ids=["first-stage", "behind-grouping"])
def test_failing_start(case: Case, behind_grouping: bool) -> Scenario:
    _failing(case.program, "start", behind_grouping=behind_grouping)
    run = yield
    ended_failed(run)
    same(run.values("out"), [], "groups behind a bundle that failed", rule="M-BNDL-03")


@asserts("LIFE09/failing-finish-fails-the-job", any_outcome=True)
@pytest.mark.parametrize("behind_grouping", [False, True], ids=["first-stage", "behind-grouping"])
def test_failing_finish(case: Case, behind_grouping: bool) -> Scenario:
    _failing(case.program, "finish", behind_grouping=behind_grouping)
    run = yield
    ended_failed(run)
    same(run.values("out"), [], "groups behind a bundle that failed", rule="M-BNDL-03")


@asserts("LIFE10/reason-reaches-the-client", any_outcome=True)
@pytest.mark.parametrize("place", ["setup", "start", "process", "finish"])
def test_reason_reaches_client(case: Case, place: str) -> Scenario:
    _failing(case.program, place)
    run = yield
    ended_failed(run)
    told(run, REASON, rule="P-JOB-05")


@asserts("LIFE10/reason-is-an-error-message", any_outcome=True)
def test_reason_is_error_message(case: Case) -> Scenario:
    _failing(case.program, "process")
    run = yield
    ended_failed(run)
    errors = [message.text for message in run.outcome.messages if message.importance == 5]
    holds(
        any(REASON in text for text in errors),
        "no message of importance ERROR tells the reason of the failure",
        expected=REASON,
        observed=errors,
        rule="P-JOB-05",
    )


# Bundles that fail once: the harness answers with an error after all of the bundle's output was sent.


def _once(transform: str, times: int = 1) -> Callable[[Session], object]:
    return lambda session: session.script.add("error", transform=transform, text=REASON, times=times)


@asserts("LIFE11/retry-counts-once")
def test_retry_counts_once(runner: RunnerUnderTest) -> None:
    def build(program: Program) -> None:
        program.create([("a", 1), ("b", 2), ("a", 3)]).par_do(Fn("identity"), name="victim").group_by_key().observe("out")

    run = run_with(runner, "LIFE11/retry-counts-once", build, _once("victim"))
    recovered(run)
    same(run.groups("out"), {"a": [1, 3], "b": [2]}, "the groups after a bundle ran again", rule="M-BNDL-05")


@asserts("LIFE11/retry-sees-no-state-of-failed-attempt")
def test_retry_sees_no_state(runner: RunnerUnderTest) -> None:
    def build(program: Program) -> None:
        pairs = program.create([("a", 1), ("b", 2), ("a", 3)])
        cells = {"count": state.value(coders.VARINT)}
        pairs.par_do(Fn("count_by_key"), PAIRS, state=cells, name="victim").group_by_key().observe("out")

    run = run_with(runner, "LIFE11/retry-sees-no-state-of-failed-attempt", build, _once("victim"))
    recovered(run)
    same(run.groups("out"), {"a": [1, 2], "b": [1]}, "counts from state after a bundle ran again", rule="M-BNDL-03")


@asserts("LIFE12/repeated-failures-leave-no-trace")
def test_repeated_failures(runner: RunnerUnderTest) -> None:
    def build(program: Program) -> None:
        first = program.create([("a", 1), ("b", 2), ("a", 3)]).group_by_key(name="first")
        first.par_do(Fn("ungroup"), PAIRS, name="victim").group_by_key(name="second").observe("out")

    run = run_with(runner, "LIFE12/repeated-failures-leave-no-trace", build, _once("victim|create", times=2))
    recovered(run)
    same(run.groups("out"), {"a": [1, 3], "b": [2]}, "the groups after bundles ran again", rule="M-BNDL-05")


# Workers that go away


@asserts("LIFE13/lost-worker-fails-or-recovers")
@pytest.mark.parametrize("how", ["dies", "loses-data-stream"])
def test_lost_worker(runner: RunnerUnderTest, how: str) -> None:
    def build(program: Program) -> None:
        groups = program.create([("a", 1), ("b", 2), ("a", 3)]).group_by_key(name="before")
        groups.par_do(Fn("ungroup"), PAIRS, name="victim").group_by_key().observe("out")

    def prepare(session: Session) -> None:
        if how == "dies":
            session.script.add("exit", transform="victim", at=0)
        else:
            session.script.add("drop", transform="victim", at=0, plane="data")

    run = run_with(runner, "LIFE13/lost-worker-fails-or-recovers", build, prepare, patience=LOST)
    holds(bool(run.session.script.log), "the worker never got to lose anything", rule="P-CH-12")
    if run.outcome.state == "DONE":
        same(run.groups("out"), {"a": [1, 3], "b": [2]}, "the groups after a worker was lost", rule="M-BNDL-05")
    else:
        ended_failed(run)


@asserts("LIFE14/refused-worker-fails-the-job")
def test_refused_worker(runner: RunnerUnderTest) -> None:
    def prepare(session: Session) -> None:
        session.script.add("error", on="start_worker", text=REASON, times=1000)

    run = run_with(runner, "LIFE14/refused-worker-fails-the-job", lambda program: program.create([1]).observe("out"), prepare)
    ended_failed(run, "P-ENV-04")


@asserts("LIFE14/refusal-reaches-the-client")
def test_refusal_is_told(runner: RunnerUnderTest) -> None:
    def prepare(session: Session) -> None:
        session.script.add("error", on="start_worker", text=REASON, times=1000)

    run = run_with(runner, "LIFE14/refusal-reaches-the-client", lambda program: program.create([1]).observe("out"), prepare)
    ended_failed(run, "P-ENV-04")
    told(run, REASON, "P-ENV-04")


@asserts("LIFE14/worker-that-never-connects")
def test_worker_never_connects(runner: RunnerUnderTest) -> None:
    """Prism waits 60 s for a worker, Flink and Spark without an end (P-CH-07); the reference runner as long as it is told.

    How long it is worth to wait for them is in their profiles.
    """
    program = Program("LIFE14/worker-that-never-connects")
    program.create([1]).observe("out")
    options = runner.job_options({"worker_start_timeout": 1})
    patience = Timeouts(run=runner.endpoint.profile.worker_wait)
    scale = runner.settings.timeout_scale
    with Session() as session, JobClient(runner.endpoint, timeouts=patience, timeout_scale=scale) as client:
        session.script.add("never", on="start_worker", times=1000)
        pipeline = program.build(session.environment())
        outcome = client.run_job(pipeline, options=options, transcript=session.transcript)
    run = Run("", outcome, session, pipeline)
    ended_failed(run, "P-CH-07")
    holds(bool(outcome.error_text.strip()), "the job FAILED without a word about the worker", rule="P-JOB-05")
