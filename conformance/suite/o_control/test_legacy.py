"""Older forms of the protocol, and questions about short ids."""

from __future__ import annotations

from conformance.harness import Session, capabilities
from conformance.pipeline import Fn
from conformance.suite.assertions import asserts
from conformance.suite.b_lifecycle.reading import recorded
from conformance.suite.case import Case, Scenario
from conformance.suite.checks import same
from conformance.suite.execution import RunnerUnderTest
from conformance.suite.m_job_api.driving import plain, run_program
from conformance.suite.o_control.test_instructions import two_groupings
from conformance.suite.o_control.watching import descriptors, requests
from conformance.suite.outcomes import NotExercised
from conformance.wire import urns

GROUPS = {"k": [1, 2, 3]}
_P = urns.Protocol


@asserts("CTRL04/every-descriptor-given", alone=True)
def test_every_descriptor_given(case: Case) -> Scenario:
    """Whether a runner lets workers fetch descriptors or registers them beforehand, each bundle names one that the worker has."""
    two_groupings(case.program)
    run = yield
    recorded(run)
    known = set(descriptors(run.session))
    for request in requests(run.session, "register"):
        known |= {descriptor.id for descriptor in request.register.process_bundle_descriptor}
    named = {request.process_bundle.process_bundle_descriptor_id for request in requests(run.session, "process_bundle")}
    same(sorted(named - known), [], "descriptors that bundles name and no worker was given", rule="P-CTL-07")
    same(run.groups("out"), GROUPS, "the outcome", rule="P-CTL-07")


@asserts("CTRL10/declared-alone-runs", alone=True)
def test_legacy_progress(case: Case) -> Scenario:
    """Python's SDK declares this form to this day (P-SDK-13)."""
    case.capabilities = tuple(capabilities.DEFAULT - {_P.PROGRESS_REPORTING} | {_P.LEGACY_PROGRESS_REPORTING})
    two_groupings(case.program)
    run = yield
    same(run.groups("out"), GROUPS, "the outcome where only the old form of progress is declared", rule="P-SDK-13")


def _asked(session: Session) -> list[str]:
    return [short for each in requests(session, "monitoring_infos") for short in each.monitoring_infos.monitoring_info_id]


@asserts("CTRL14/only-what-was-reported", alone=True)
def test_only_what_was_reported(case: Case) -> Scenario:
    case.program.create([1, 2, 3]).par_do(Fn("metrics", updates=[["counter", "n", 1]])).observe("out")
    run = yield
    asked = _asked(run.session)
    if not asked:
        raise NotExercised("the runner asked for the meaning of no short id")
    reported = {
        short
        for event in run.transcript.events("control", direction="S->R", kind="InstructionResponse")
        for body in (event.message.process_bundle, event.message.process_bundle_progress)
        for short in body.monitoring_data
    }
    same(sorted(set(asked) - reported), [], "short ids that were asked for and never reported", rule="P-CTL-25")


@asserts("CTRL14/refused-answer-tolerated")
def test_refused_answer(runner: RunnerUnderTest) -> None:
    def refuse(session: Session) -> None:
        session.script.add("error", on="monitoring_infos", times=1000, text="no such short id")

    run = run_program(runner, plain, label="short-ids-refused", setup=refuse, any_outcome=True)
    if not _asked(run.session):
        raise NotExercised("the runner asked for the meaning of no short id")
    same(run.outcome.state, "DONE", "the end of a job whose worker did not explain its short ids", rule="P-CTL-25")
    same(run.groups("out"), GROUPS, "the outcome", rule="P-CTL-25")
