"""How workers and jobs part: nothing is cut off before it was answered, nothing begins when all is over."""

from __future__ import annotations

from conformance.pipeline import Fn, Program
from conformance.suite.assertions import asserts
from conformance.suite.b_lifecycle.reading import recorded
from conformance.suite.case import Case, Scenario
from conformance.suite.checks import holds, same
from conformance.suite.execution import RunnerUnderTest
from conformance.suite.m_job_api.driving import PAIRS, started
from conformance.suite.o_control.test_instructions import two_groupings
from conformance.suite.o_control.watching import BRIEF

GROUPS = {"k": [1, 2, 3]}


@asserts("LIFE03/let-go-behind-the-last-answer", alone=True)
def test_let_go_behind_the_last_answer(case: Case) -> Scenario:
    two_groupings(case.program)
    run = yield
    transcript = recorded(run)
    answers = transcript.events("control", direction="S->R", kind="InstructionResponse")
    for end in transcript.events("control", "Control", "R->S", kind="end"):
        late = [event.message.instruction_id for event in answers if event.worker_id == end.worker_id and event.seq > end.seq]
        same(late, [], f"instructions that worker {end.worker_id!r} answered after its Control had been ended", rule="P-CH-11")
    same(run.groups("out"), GROUPS, "the outcome", rule="P-CH-11")


def _fails(program: Program) -> None:
    groups = program.create([("a", 1), ("b", 2)]).group_by_key()
    groups.par_do(Fn("ungroup"), PAIRS).par_do(Fn("fail", text="meant to fail")).group_by_key(name="behind").observe("out")


@asserts("LIFE04/nothing-begins-behind-failed")
def test_nothing_begins_behind_failed(runner: RunnerUnderTest) -> None:
    """All of the program is one chain, so that nothing else can have been on its way."""
    with started(runner, _fails) as job:
        same(job.end(), "FAILED", "the end of the job", rule="M-BNDL-04")
        transcript = job.session.transcript
        [*_, told] = transcript.events("job", "GetStateStream", "R->C")
        job.session.wait_ended(BRIEF)
        requests = transcript.events("control", direction="R->S", kind="InstructionRequest")
        later = [
            event.message.instruction_id
            for event in requests
            if event.seq > told.seq and event.message.WhichOneof("request") == "process_bundle"
        ]
        same(later, [], "bundles that began after the client was told FAILED", rule="P-JOB-06")
        holds(not job.as_run().values("out"), "something came of the failed bundle", rule="M-BNDL-03")
