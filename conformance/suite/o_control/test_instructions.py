"""Instructions and their answers: late ones, empty ones, errors; progress, splits and finalization while a bundle is held."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable
from typing import Any

import pytest

from conformance.endpoints.errors import EndpointError
from conformance.endpoints.outcome import TERMINAL
from conformance.harness import Session, capabilities
from conformance.harness.script import Fault
from conformance.pipeline import Fn, Program, coders
from conformance.suite.assertions import asserts
from conformance.suite.case import Case, Scenario
from conformance.suite.checks import Wrong, holds, same
from conformance.suite.execution import RunnerUnderTest
from conformance.suite.m_job_api.driving import HELD, PAIRS, Job, held, plain, run_program, started
from conformance.suite.o_control.watching import BRIEF, answer_to, bundles, requests, until
from conformance.suite.outcomes import Declined, NotExercised
from conformance.wire import urns
from conformance.wire.api import fn_pb2

GROUPS = {"k": [1, 2, 3]}
_P = urns.Protocol
#: Seconds in which a runner that asks running bundles for progress or splits has done so; Prism takes 0.1 and 0.3 s.
ASKED = 4.0


def _ends(job: Job, end: str, what: str, rule: str) -> None:
    __tracebackhide__ = True
    if end == "FAILED" and (feature := job.lacks()):
        raise Declined(f"the job FAILED, saying: {feature}")
    same(end, "DONE", f"the end of {what}", rule=rule)


def ends_done(job: Job, what: str, rule: str) -> None:
    """The job ends DONE with `plain`'s or `held`'s outcome. Raises Declined if the runner says what of it it does not support."""
    __tracebackhide__ = True
    _ends(job, job.end(), what, rule)
    same(job.as_run().groups("out"), GROUPS, f"the outcome of {what}", rule=rule)


# Bundles


@asserts("CTRL02/answer-awaited")
def test_answer_awaited(runner: RunnerUnderTest) -> None:
    session = runner.session()
    session.script.add("late", transform="with_key", gate="answer")
    with started(runner, plain, session=session) as job:
        holds(session.gates.arrived("answer", timeout=job.soon), "no bundle of the stage came", rule="P-CTL-18")
        early = until(lambda: job.state() in TERMINAL, BRIEF)
        holds(not early, f"the job is {job.state()} although a bundle is not answered", expected="RUNNING", rule="P-CTL-18")
        job.release("answer")
        ends_done(job, "a job with a late answer", "P-CTL-18")


@asserts("CTRL02/answer-before-outputs")
def test_answer_before_outputs(runner: RunnerUnderTest) -> None:
    session = runner.session()
    session.respond_first = True
    with started(runner, two_groupings, session=session) as job:
        ends_done(job, "a job whose worker answers before it sends outputs", "P-CTL-18")


def two_groupings(program: Program) -> None:
    """Two groupings: three stages."""
    pairs = program.create([1, 2, 3]).par_do(Fn("with_key", key="j"), PAIRS, name="key1")
    values = pairs.group_by_key(name="group1").par_do(Fn("flat_map", expr=["val"]), coders.VARINT, name="ungroup")
    values.par_do(Fn("with_key", key="k"), PAIRS, name="key2").group_by_key(name="group2").observe("out")


def _two_branches(program: Program) -> None:
    program.create([1], name="one").par_do(Fn("wait_at", gate=HELD), name="waits").observe("waited")
    program.create([2], name="two").par_do(Fn("identity"), name="free").observe("free")


@asserts("CTRL02/branches-both-end")
def test_branches_both_end(runner: RunnerUnderTest) -> None:
    with started(runner, _two_branches) as job:
        job.is_held()
        job.release()
        same(job.end(), "DONE", "the end of a job one branch of which waited", rule="P-CTL-05")
        run = job.as_run()
        same((run.values("waited"), run.values("free")), ([1], [2]), "the outcome of two branches", rule="P-CTL-05")


@asserts("CTRL15/undeclared-runs", alone=True)
def test_undeclared_runs(case: Case) -> Scenario:
    case.capabilities = tuple(capabilities.DEFAULT - {_P.MULTI_CORE_BUNDLE_PROCESSING})
    for name in ("a", "b", "c"):
        pairs = case.program.create([1, 2, 3], name=f"create-{name}").par_do(Fn("with_key", key="k"), PAIRS, name=f"key-{name}")
        pairs.group_by_key(name=f"group-{name}").observe(name)
    run = yield
    for name in ("a", "b", "c"):
        same(run.groups(name), GROUPS, f"branch {name}, with a worker that does not declare several cores", rule="P-CTL-05")


# What only declared capabilities permit


def _declaring(case: Case, capability: str) -> None:
    case.capabilities = tuple(capabilities.DEFAULT | {capability})
    two_groupings(case.program)


@asserts("CTRL05/declared-is-right", alone=True)
def test_request_embedding(case: Case) -> Scenario:
    _declaring(case, _P.CONTROL_REQUEST_ELEMENTS_EMBEDDING)
    run = yield
    same(run.groups("out"), GROUPS, "the outcome where elements may come inside requests", rule="P-CTL-14")


@asserts("CTRL05/undeclared-unused", alone=True)
def test_request_embedding_unused(case: Case) -> Scenario:
    case.capabilities = tuple(capabilities.DEFAULT - {_P.CONTROL_REQUEST_ELEMENTS_EMBEDDING})
    two_groupings(case.program)
    run = yield
    found = [each.instruction_id for each in bundles(run.session) if each.process_bundle.HasField("elements")]
    same(found, [], "bundles with embedded elements, to a worker that did not declare that it reads them", rule="P-CTL-14")


@asserts("CTRL08/declared-is-right", alone=True)
def test_named_streams(case: Case) -> Scenario:
    _declaring(case, _P.NAMED_DATA_STREAMS)
    run = yield
    same(run.groups("out"), GROUPS, "the outcome where bundles may name their data stream", rule="P-CTL-17")


@asserts("CTRL08/undeclared-unused", alone=True)
def test_named_streams_unused(case: Case) -> Scenario:
    case.capabilities = tuple(capabilities.DEFAULT - {_P.NAMED_DATA_STREAMS})
    two_groupings(case.program)
    run = yield
    found = [each.process_bundle.data_stream_id for each in bundles(run.session) if each.process_bundle.data_stream_id]
    same(found, [], "data streams named to a worker that did not declare them", rule="P-CTL-17")


def _embeds(session: Session) -> None:
    session.embed_outputs = True


@asserts("CTRL06/declared-is-read")
def test_response_embedding(runner: RunnerUnderTest) -> None:
    run = run_program(runner, two_groupings, label="embedded-outputs", setup=_embeds)
    declared = any(worker.runner_has(urns.RunnerProtocol.CONTROL_RESPONSE_ELEMENTS_EMBEDDING) for worker in run.session.workers)
    if not declared:
        raise NotExercised("the runner does not declare that it reads outputs inside answers")
    same(run.groups("out"), GROUPS, "the outcome where outputs came inside answers", rule="P-CTL-15")


# Progress

#: How a worker may answer a progress request: nothing, an error, metrics of nothing, or only when its bundle is long over.
PROGRESS: dict[str, dict[str, Any]] = {
    "empty": {"action": "empty_answer"},
    "error": {"action": "error", "text": "no progress to tell"},
    "after-the-bundle": {"action": "late", "gate": "progress"},
}


def _was_injected(session: Session, fault: Fault) -> Callable[[], bool]:
    return lambda: any(each is fault for each, _ in list(session.script.log))


def _metrics_asked(job: Job) -> None:
    """Ask for the job's metrics meanwhile: some runners ask their bundles for progress only then."""

    def ask() -> None:
        with contextlib.suppress(EndpointError):
            job.client.metrics(job.job_id)

    threading.Thread(target=ask, daemon=True).start()


def progress_answered(runner: RunnerUnderTest, action: Any, rule: str, **fields: Any) -> None:
    """A held bundle whose progress requests are answered so, and the job's end. Raises NotExercised if nobody asks."""
    runner.needs("progress of a held bundle")
    session = runner.session()
    fault = session.script.add(action, on="process_bundle_progress", times=1000, **fields)
    with started(runner, held, session=session) as job:
        job.is_held()
        _metrics_asked(job)
        asked = until(_was_injected(session, fault), ASKED)
        [bundle] = bundles(session, "wait_at")
        job.release()
        if action == "late":
            until(lambda: answer_to(session, bundle) is not None, job.soon)
            job.release("progress")
        ends_done(job, f"a job whose progress requests were answered so: {action}", rule)
        if not asked:
            runner.never_saw("progress of a held bundle", f"the runner did not ask a bundle for its progress in {ASKED:g} s")


@asserts("CTRL09/odd-answers-tolerated")
@pytest.mark.parametrize("answer", list(PROGRESS))
def test_odd_progress_tolerated(runner: RunnerUnderTest, answer: str) -> None:
    progress_answered(runner, rule="P-CTL-24" if answer == "after-the-bundle" else "P-CTL-23", **PROGRESS[answer])


@asserts("DATA06/not-consuming-tolerated")
def test_not_consuming_tolerated(runner: RunnerUnderTest) -> None:
    answer = fn_pb2.ProcessBundleProgressResponse(consuming_received_data=False)
    progress_answered(runner, "answer", "P-DATA-15", response=answer)


# Splits

NUMBERS = list(range(8))


def held_groups(program: Program) -> None:
    """Eight groups, which a bundle works on one after the other behind a gate."""
    pairs = program.create([(number, number) for number in NUMBERS], coder=coders.kv(coders.VARINT, coders.VARINT))
    pairs.group_by_key().par_do(Fn("wait_at", gate=HELD)).observe("out")


def _split(runner: RunnerUnderTest, what: str, rule: str, arm: Callable[[Session], object] = lambda session: None) -> None:
    """A held bundle of eight elements, until its first split was answered; then every element came once."""
    runner.needs("split of elements")
    session = runner.session()
    with started(runner, held_groups, session=session) as job:
        job.is_held()
        arm(session)

        def answered() -> bool:
            return any(answer_to(session, request) is not None for request in requests(session, "process_bundle_split"))

        asked = until(answered, ASKED)
        job.release()
        same(job.end(), "DONE", f"the end of a job with {what}", rule=rule)
        if not asked:
            runner.never_saw("split of elements", f"the runner did not ask a bundle to split in {ASKED:g} s")
        seen = sorted(key for key, _ in job.as_run().values("out"))
        same(seen, NUMBERS, f"the elements of a job with {what}", rule=rule)


@asserts("CTRL11/split-honoured")
def test_split_honoured(runner: RunnerUnderTest) -> None:
    _split(runner, "a split between elements", "P-SPL-07")


def _answers_no_split(session: Session) -> None:
    session.script.add("empty_answer", on="process_bundle_split", times=1000)


def _answers_nameless(session: Session) -> None:
    session.script.add("nameless", on="process_bundle_split", times=1000)


@asserts("CTRL11/nameless-source")
def test_nameless_source(runner: RunnerUnderTest) -> None:
    _split(runner, "a split that does not name the only source", "P-SPL-06", _answers_nameless)


@asserts("CTRL11/late-answer-tolerated")
def test_late_split_answer(runner: RunnerUnderTest) -> None:
    """The answer, that nothing was split, comes when the bundle is long answered."""
    runner.needs("split of elements")
    session = runner.session()
    with started(runner, held_groups, session=session) as job:
        job.is_held()
        session.script.add("empty_answer", on="process_bundle_split", times=1000)
        late = session.script.add("late", on="process_bundle_split", times=1000, gate="split")
        asked = until(_was_injected(session, late), ASKED)
        job.release()

        def all_answered() -> bool:
            split = {each.process_bundle_split.instruction_id for each in requests(session, "process_bundle_split")}
            return all(answer_to(session, each) is not None for each in bundles(session) if each.instruction_id in split)

        until(all_answered, job.soon)
        job.release("split")
        same(job.end(), "DONE", "the end of a job with a split answer behind the bundle's", rule="P-CTL-24")
        if not asked:
            runner.never_saw("split of elements", f"the runner did not ask a bundle to split in {ASKED:g} s")
        seen = sorted(key for key, _ in job.as_run().values("out"))
        same(seen, NUMBERS, "the elements of a job with a split answer behind the bundle's", rule="P-CTL-24")


@asserts("CTRL11/empty-answer-respected")
def test_empty_split_respected(runner: RunnerUnderTest) -> None:
    _split(runner, "splits that were answered with nothing", "P-SPL-03", _answers_no_split)


def _answers_split_at_the_end(session: Session) -> None:
    session.script.add("behind_the_last", on="process_bundle_split")


@asserts("CTRL11/nothing-residual")
def test_nothing_residual(runner: RunnerUnderTest) -> None:
    _split(runner, "a split behind the last element", "P-SPL-04", _answers_split_at_the_end)


# Finalization


def _finalizing(program: Program) -> None:
    """The finalizer is the first of its stage: what becomes of one behind other functions is FIN01's matter."""
    grouped = program.create([("k", number) for number in (1, 2, 3)]).group_by_key()
    grouped.par_do(Fn("finalizer", observer="final"), requests_finalization=True).observe("out")


@asserts("CTRL12/not-before-the-answer")
def test_finalize_not_before_answer(runner: RunnerUnderTest) -> None:
    session = runner.session()
    session.script.add("late", transform="finalizer", gate="answer")
    with started(runner, _finalizing, session=session) as job:
        holds(session.gates.arrived("answer", timeout=job.soon), "no bundle of the stage came", rule="P-CTL-22")

        def finalized() -> bool:
            """Is some bundle finalized that is not answered?"""
            named = {each.finalize_bundle.instruction_id for each in requests(session, "finalize_bundle")}
            return any(each.instruction_id in named and answer_to(session, each) is None for each in bundles(session))

        early = until(finalized, BRIEF)
        holds(not early, "a bundle was finalized before it was answered", rule="P-CTL-22")
        job.release("answer")
        ends_done(job, "a job with a finalizer", "P-CTL-22")


@asserts("CTRL12/asked-of-the-same-worker")
def test_finalize_same_worker(runner: RunnerUnderTest) -> None:
    with started(runner, _finalizing) as job:
        ends_done(job, "a job with a finalizer", "P-CTL-22")
        session = job.session
        until(lambda: bool(session.observations["final"]), ASKED)
        asked = session.transcript.events("control", direction="R->S", kind="InstructionRequest")
        sent = {
            (event.message.finalize_bundle.instruction_id, event.worker_id)
            for event in asked
            if event.message.WhichOneof("request") == "finalize_bundle"
        }
        bundle = {
            (event.message.instruction_id, event.worker_id)
            for event in asked
            if event.message.instruction_id in {each.instruction_id for each in bundles(session, "finalizer")}
        }
        holds(
            bool(bundle & sent),
            "no bundle that asked for finalization was finalized on its own worker",
            expected=sorted(bundle),
            observed=sorted(sent),
            rule="P-CTL-22",
        )


@asserts("CTRL12/unanswered-is-no-obstacle")
def test_unanswered_finalization(runner: RunnerUnderTest) -> None:
    """Finalization may be lost on the way (P-CTL-22): a job does not wait for it for ever."""
    session = runner.session()
    session.script.add("never", on="finalize_bundle", times=1000)
    with started(runner, _finalizing, session=session) as job:
        _ends(job, job.end(job.soon), "a job whose finalization is never answered", "P-CTL-22")


# Errors


def _fails(session: Session) -> None:
    session.script.add("error", transform="broken", text="error behind all outputs")


def _broken(program: Program) -> None:
    pairs = program.create([1, 2, 3]).par_do(Fn("with_key", key="k"), PAIRS, name="broken")
    pairs.group_by_key().observe("out")


@asserts("CTRL16/outputs-of-a-failed-bundle")
def test_outputs_of_a_failed_bundle(runner: RunnerUnderTest) -> None:
    """All outputs and their ends were there when the error came: none of them counts (P-CTL-19)."""
    run = run_program(runner, _broken, label="error-behind-outputs", setup=_fails, any_outcome=True)
    if run.outcome.state == "DONE":
        same(run.groups("out"), GROUPS, "the outcome of a job whose bundle was tried again", rule="P-CTL-19")
        return
    if run.outcome.state != "FAILED":
        run.outcome.raise_for_error()
        raise Wrong(f"a job with a failed bundle ended {run.outcome.state}", expected="FAILED or DONE", rule="P-CTL-19")
    holds(
        "error behind all outputs" in run.outcome.error_text,
        "the job FAILED, and the bundle's error is not in what it says",
        expected="error behind all outputs",
        observed=run.outcome.error_text,
        rule="P-CTL-19",
    )


def _one_fails_one_waits(program: Program) -> None:
    program.create([1], name="one").par_do(Fn("wait_at", gate=HELD), name="waits").observe("waited")
    program.create([2], name="two").par_do(Fn("wait_at", gate="fail"), name="failing").par_do(
        Fn("fail", text="this branch fails"), name="fails"
    ).observe("failed")


@asserts("CTRL16/failure-does-not-wait")
def test_failure_does_not_wait(runner: RunnerUnderTest) -> None:
    with started(runner, _one_fails_one_waits) as job:
        gates = job.session.gates
        if not (gates.arrived(HELD, timeout=ASKED) and gates.arrived("fail", timeout=ASKED)):
            raise NotExercised("the runner runs one bundle at a time")
        job.release("fail")
        failed = until(lambda: job.state() == "FAILED", job.soon)
        holds(
            failed,
            f"{job.soon:g} s after a bundle failed, the job waits for a bundle of another branch",
            expected="FAILED",
            observed=job.state(),
            rule="I-CTL-29",
        )
