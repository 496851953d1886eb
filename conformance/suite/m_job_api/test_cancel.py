"""Cancel and Drain: where a job ends, what is still done, and what is answered when there is nothing to cancel."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from conformance.endpoints.errors import PhaseTimeout
from conformance.endpoints.outcome import TERMINAL, state_name
from conformance.suite.assertions import asserts
from conformance.suite.checks import holds, same
from conformance.suite.execution import RunnerUnderTest
from conformance.suite.m_job_api.driving import Job, Watch, held, plain, refusal, run_program, started, still_serves
from conformance.suite.m_job_api.test_states import fails
from conformance.suite.outcomes import NotExercised

#: Seconds for which the held function is kept waiting after Cancel; then it is let go, for runners that let the bundle end first.
PATIENCE = 2.0
NOBODY = "beam-conformance-no-such-job"


@contextmanager
def _cancelled(runner: RunnerUnderTest, groupings: int) -> Iterator[tuple[Job, Watch, str]]:
    """A job that was cancelled while a bundle of it was held, seen CANCELLED, and whose workers were let go, or could have been.

    Gives the job, its states and what Cancel answered. Raises what kept it from CANCELLED.
    """
    with started(runner, lambda program: held(program, groupings)) as job:
        job.is_held()
        watch = job.watch_states()
        watch.wait_for_event(job.soon)
        answer = state_name(job.client.cancel(job.job_id))
        scale = runner.settings.timeout_scale
        watch.wait_for(lambda: watch.has_state("CANCELLED"), PATIENCE * scale)
        if not watch.has_state("CANCELLED"):
            job.release()
            watch.wait_for(lambda: watch.has_state(*TERMINAL), job.client.timeouts.cancel)
        yield job, watch, answer


def _reached(job: Job, watch: Watch) -> None:
    __tracebackhide__ = True
    reached = [state for state in watch.states if state in TERMINAL]
    if not reached and not watch.ended:
        waited = job.client.timeouts.cancel
        raise PhaseTimeout("cancel", f"CANCELLED after Cancel (the states were {' → '.join(watch.states)})", waited)
    # Some end the stream of a cancelled job before CANCELLED; GetState then knows.
    same(reached[0] if reached else job.end(), "CANCELLED", "the end of a job that was cancelled", rule="P-JOB-08")


@asserts("JOB11/reaches-cancelled")
def test_reaches_cancelled(runner: RunnerUnderTest) -> None:
    with _cancelled(runner, 1) as (job, watch, _):
        _reached(job, watch)


@asserts("JOB11/answer-tells-cancelling")
def test_answer_tells_cancelling(runner: RunnerUnderTest) -> None:
    with _cancelled(runner, 1) as (_, _, answer):
        holds(
            answer in ("CANCELLING", "CANCELLED"),
            f"Cancel of a running job answered {answer}",
            expected="CANCELLING or CANCELLED",
            observed=answer,
            rule="P-JOB-08",
        )


def _settle(job: Job) -> None:
    """Let the held function go, and wait until the runner has let all workers go, or will not."""
    job.release()
    job.session.wait_ended(PATIENCE * job.runner.settings.timeout_scale)


@asserts("JOB12/stays-cancelled")
def test_stays_cancelled(runner: RunnerUnderTest) -> None:
    with _cancelled(runner, 1) as (job, watch, _):
        _reached(job, watch)
        _settle(job)
        # Another job gives a runner that goes on with this one the time to change its state.
        run_program(runner, plain, label="after-cancel")
        same(job.state(), "CANCELLED", "GetState after the held bundle came to its end", rule="P-JOB-06")


@asserts("JOB12/work-stops")
def test_work_stops(runner: RunnerUnderTest) -> None:
    with _cancelled(runner, 2) as (job, watch, _):
        _reached(job, watch)
        _settle(job)
        run = job.as_run()
        same(run.values("behind2"), [], "what was done two groupings behind the held bundle", rule="P-JOB-08")


@asserts("JOB12/no-new-bundle")
def test_no_new_bundle(runner: RunnerUnderTest) -> None:
    with _cancelled(runner, 2) as (job, watch, _):
        _reached(job, watch)
        seen = [event.seq for event in job.session.transcript.events("job", "GetStateStream", "R->C")]
        _settle(job)
        later = [
            event.message.process_bundle.process_bundle_descriptor_id
            for event in job.session.transcript.events("control", direction="R->S", kind="InstructionRequest")
            if event.seq > seen[-1] and event.message.WhichOneof("request") == "process_bundle"
        ]
        same(later, [], "stages that were given bundles after CANCELLED was seen", rule="P-JOB-08")


@asserts("JOB13/done-stays-done")
def test_done_stays_done(runner: RunnerUnderTest) -> None:
    with started(runner, plain) as job:
        same(job.end(), "DONE", "the end of the job", rule="P-JOB-08")
        same(state_name(job.client.cancel(job.job_id)), "DONE", "the answer to Cancel of a job that is DONE", rule="P-JOB-08")
        same(job.state(), "DONE", "GetState after that Cancel", rule="P-JOB-08")


@asserts("JOB13/failed-stays-failed")
def test_failed_stays_failed(runner: RunnerUnderTest) -> None:
    with started(runner, fails) as job:
        same(job.end(), "FAILED", "the end of the job", rule="P-JOB-08")
        same(state_name(job.client.cancel(job.job_id)), "FAILED", "the answer to Cancel of a FAILED job", rule="P-JOB-08")
        same(job.state(), "FAILED", "GetState after that Cancel", rule="P-JOB-08")


@asserts("JOB13/unknown-refused")
def test_unknown_refused(runner: RunnerUnderTest) -> None:
    with started(runner, run=False) as job:
        refusal(lambda: state_name(job.client.cancel(NOBODY)), "Cancel of an unknown job", "P-JOB-12")
        still_serves(runner, job.client, "P-JOB-12")


@asserts("JOB14/drains")
def test_drains(runner: RunnerUnderTest) -> None:
    with started(runner, held) as job:
        job.is_held()
        job.drain()
        job.release()
        end = job.end()
        if end == "DONE":
            raise NotExercised("the job came to its natural end before the drain took hold")
        same(end, "DRAINED", "the end of a job that was drained", rule="P-JOB-09")
        same(job.as_run().groups("out"), {"k": [1, 2, 3]}, "what was done behind the held bundle", rule="M-DRAIN-04")
