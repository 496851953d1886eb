"""Workers that break the protocol, and what every runner owes then: an end, a true result or none, and a server that goes on.

What a runner makes of such a worker is its freedom: it may fail the job, try again elsewhere, or not mind. It should not hang, must not
end DONE with less (or more) than the program's outcome, and must not let another job suffer. Where no SDK may do such a thing the assertion
is a SHOULD: the rule that is broken binds the SDK. A worker that is lost, or data that cannot be whole, is a MUST.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from conformance.harness import Session
from conformance.pipeline import Program
from conformance.suite.b_lifecycle.reading import run_with
from conformance.suite.checks import Wrong, holds, same
from conformance.suite.execution import RunnerUnderTest
from conformance.suite.m_job_api.driving import plain, run_program
from conformance.suite.outcomes import JobEndedBadly
from conformance.suite.run import Run

__all__ = ["PATIENCE", "ends_well", "misbehave"]

GROUPS = {"k": [1, 2, 3]}
#: Seconds for a job to end whose worker broke the protocol; a runner that hangs costs so much.
PATIENCE = 10.0


def ends_well(run: Run, right: Callable[[Run], object], what: str, rule: str, *, may_be_done: bool = True) -> None:
    """The job ended FAILED with a word about it, or DONE with what `right` accepts; whatever kept the client from an end is raised."""
    __tracebackhide__ = True
    outcome = run.outcome
    if outcome.state == "DONE":
        if not may_be_done:
            raise Wrong(f"the job ended DONE although {what}", expected="FAILED", observed="DONE", rule=rule)
        right(run)
        return
    if outcome.state != "FAILED":
        outcome.raise_for_error()
        raise JobEndedBadly(f"the job was left in state {outcome.state or 'unknown'}; expected FAILED or DONE")
    holds(bool(outcome.error_text.strip()), f"the job FAILED without a word, after {what}", rule="P-JOB-05")


def misbehave(
    runner: RunnerUnderTest,
    label: str,
    program: Callable[[Program], object],
    fault: Callable[[Session], object],
    what: str,
    rule: str,
    *,
    right: Callable[[Run], object] | None = None,
    may_be_done: bool = True,
    **fields: Any,
) -> Run:
    """Run `program` with a worker that misbehaves, judge its end, and see the next job through.

    `right` is what a DONE job must show; by default `plain`'s groups.
    """
    __tracebackhide__ = True

    def default(run: Run) -> None:
        same(run.groups("out"), GROUPS, f"the outcome of a job that ended DONE after {what}", rule=rule)

    run = run_with(runner, label, program, fault, patience=PATIENCE)
    holds(bool(run.session.script.log), f"the fault was never injected: {what}", rule=rule)
    ends_well(run, right or default, what, rule, may_be_done=may_be_done)
    after = run_program(runner, plain, label=f"after-{label}", patience=PATIENCE)
    same(after.groups("out"), GROUPS, f"the outcome of the next job, after {what}", rule=rule)
    return run
