"""How tests read the end of a job that was meant to fail, and the life of function instances."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable

from conformance.harness import Session
from conformance.harness.observations import LifecycleEvent
from conformance.harness.transcript import Transcript
from conformance.pipeline import Program
from conformance.suite.checks import Wrong, holds
from conformance.suite.execution import RunnerUnderTest
from conformance.suite.outcomes import JobEndedBadly, NotExercised
from conformance.suite.run import Run
from conformance.wire.api import pipeline_pb2 as pb

__all__ = ["ended_failed", "lives", "recorded", "recovered", "run_with", "told"]


def ended_failed(run: Run, rule: str = "M-BNDL-04") -> None:
    """The job ended FAILED. DONE is wrong; whatever kept the client from seeing an end is raised as it is."""
    __tracebackhide__ = True
    outcome = run.outcome
    if outcome.state == "DONE":
        raise Wrong("the job ended DONE although a bundle failed for good", expected="FAILED", observed="DONE", rule=rule)
    if outcome.state != "FAILED":
        outcome.raise_for_error()
        raise JobEndedBadly(f"the job was left in state {outcome.state or 'unknown'}; expected FAILED")


def told(run: Run, text: str, rule: str = "M-BNDL-04") -> None:
    """The client was told `text`."""
    __tracebackhide__ = True
    said = "\n".join([run.outcome.error_text, *(message.text for message in run.outcome.messages)])
    holds(text in said, f"no message of the job holds {text!r}", expected=text, observed=said[-1000:], rule=rule)


def recovered(run: Run) -> None:
    """The job went on to DONE. Raises NotExercised if it FAILED instead, which is as legal (M-BNDL-03)."""
    __tracebackhide__ = True
    if run.outcome.state == "FAILED":
        raise NotExercised("this runner does not try a failed bundle again: the job ended FAILED")
    if run.outcome.state != "DONE":
        run.outcome.raise_for_error()
        raise JobEndedBadly(f"the job was left in state {run.outcome.state or 'unknown'}; expected DONE or FAILED")


def run_with(
    runner: RunnerUnderTest,
    label: str,
    build: Callable[[Program], object],
    prepare: Callable[[Session], object] = lambda session: None,
    patience: float | None = None,
) -> Run:
    """Run what `build` makes as a job of its own, however it ends; `prepare` may script faults of its session.

    `patience` is `RunnerUnderTest.submit`'s.
    """
    __tracebackhide__ = True
    program = Program(label)
    build(program)

    def with_session(session: Session) -> pb.Pipeline:
        prepare(session)
        return program.build(session.environment())

    return runner.run_pipeline(with_session, label=label, any_outcome=True, patience=patience)


def recorded(run: Run) -> Transcript:
    """The job's transcript. Raises NotExercised if the workers ran elsewhere, where nobody recorded their messages."""
    __tracebackhide__ = True
    if not run.transcript.events(plane="control"):
        raise NotExercised(
            "the workers ran in processes of their own, whose messages are not recorded; use --environment loopback"
        )
    return run.transcript


def lives(run: Run) -> dict[int, list[LifecycleEvent]]:
    """The events of every function instance, in order."""
    found: dict[int, list[LifecycleEvent]] = defaultdict(list)
    for event in run.session.observations.events:
        found[event.instance].append(event)
    return found
