"""When metrics can be asked for: while a job runs, and after a bad end."""

from __future__ import annotations

from conformance.pipeline import Fn, Program
from conformance.suite.assertions import asserts
from conformance.suite.checks import holds, same
from conformance.suite.execution import RunnerUnderTest
from conformance.suite.l_metrics.reading import read, user
from conformance.suite.l_metrics.test_user_metrics import metered
from conformance.suite.m_job_api.driving import HELD, held, started
from conformance.suite.m_job_api.test_states import fails
from conformance.suite.outcomes import NotExercised


def _held_behind_a_counter(program: Program) -> None:
    """A counter of 3 in a stage that is finished when the next one waits at the gate."""
    pairs = metered(program.create([("a", 1), ("b", 2), ("a", 3)]), ["counter", "before", 1])
    pairs.group_by_key().par_do(Fn("wait_at", gate=HELD)).observe("out")


@asserts("MET13/answered-while-running")
def test_answered_while_running(runner: RunnerUnderTest) -> None:
    with started(runner, _held_behind_a_counter) as job:
        job.is_held()
        found = job.client.metrics(job.job_id)
        for info in user(found.committed, "counter", "before"):
            holds(
                read(info) <= 3, f"the committed counter is {read(info)} although only 3 elements were counted", rule="P-MET-04"
            )
        job.release()
        same(job.end(), "DONE", "the end of the job", rule="P-JOB-15")


@asserts("MET13/finished-bundles-visible")
def test_finished_bundles_visible(runner: RunnerUnderTest) -> None:
    with started(runner, _held_behind_a_counter) as job:
        job.is_held()
        found = job.client.metrics(job.job_id)
        entries = user(found.committed, "counter", "before") or user(found.attempted, "counter", "before")
        same(
            [read(info) for info in entries], [3], "the counter of the finished stage while the next one is held", rule="P-JOB-15"
        )


@asserts("MET14/answered-after-failed")
def test_answered_after_failed(runner: RunnerUnderTest) -> None:
    with started(runner, fails) as job:
        same(job.end(), "FAILED", "the end of the job", rule="P-JOB-10")
        job.client.metrics(job.job_id)


@asserts("MET14/answered-after-cancelled")
def test_answered_after_cancelled(runner: RunnerUnderTest) -> None:
    with started(runner, held) as job:
        job.is_held()
        job.client.cancel(job.job_id)
        job.release()
        end = job.end()
        if end != "CANCELLED":
            raise NotExercised(f"the job that was cancelled ended {end}")
        job.client.metrics(job.job_id)
