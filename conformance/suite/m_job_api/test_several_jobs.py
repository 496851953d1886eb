"""Jobs that are open at the same time."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from conformance.pipeline import Fn, Program
from conformance.suite.assertions import asserts
from conformance.suite.checks import same
from conformance.suite.execution import RunnerUnderTest
from conformance.suite.m_job_api.driving import HELD, PAIRS, Job, held, started
from conformance.suite.m_job_api.test_states import fails

#: Seconds that a second job gets to end while the first one is held; a runner that runs one job at a time needs the first to end.
OVERLAP = 5.0


@contextmanager
def _beside(runner: RunnerUnderTest) -> Iterator[tuple[Job, ExitStack]]:
    """A job that is held, and a stack for others."""
    with ExitStack() as stack:
        job = stack.enter_context(started(runner, held, name="twin"))
        job.is_held()
        yield job, stack


def _ends_well(job: Job) -> None:
    __tracebackhide__ = True
    job.release()
    same(job.end(), "DONE", "the end of the job that was held", rule="P-JOB-07")
    same(job.as_run().groups("out"), {"k": [1, 2, 3]}, "the results of the job that was held", rule="P-JOB-07")


def _await(job: Job, other: Job) -> None:
    """Wait for the end of `other` while `job` is held; if it takes too long, the held job may be in its way."""
    watch = other.watch_states()
    watch.wait_for(lambda: watch.has_state("DONE", "FAILED", "CANCELLED"), OVERLAP * job.runner.settings.timeout_scale)
    watch.stop()


def _same_shape_other_values(program: Program) -> None:
    pairs = program.create([10, 20]).par_do(Fn("wait_at", gate=HELD))
    pairs.par_do(Fn("with_key", key="k"), PAIRS, name="key1").group_by_key(name="group1").observe("out")


@asserts("JOB20/results-isolated")
def test_results_isolated(runner: RunnerUnderTest) -> None:
    with _beside(runner) as (job, stack):
        other = stack.enter_context(started(runner, _same_shape_other_values, name="twin"))
        other.release()
        _await(job, other)
        _ends_well(job)
        same(other.end(), "DONE", "the end of the other job", rule="P-JOB-07")
        same(other.as_run().groups("out"), {"k": [10, 20]}, "the results of the other job", rule="P-JOB-07")


@asserts("JOB20/failure-does-not-spread")
def test_failure_does_not_spread(runner: RunnerUnderTest) -> None:
    with _beside(runner) as (job, stack):
        other = stack.enter_context(started(runner, fails, name="twin"))
        _await(job, other)
        _ends_well(job)
        same(other.end(), "FAILED", "the end of the job that fails", rule="P-JOB-07")


@asserts("JOB20/cancel-does-not-spread")
def test_cancel_does_not_spread(runner: RunnerUnderTest) -> None:
    with _beside(runner) as (job, stack):
        other = stack.enter_context(started(runner, held, name="twin"))
        other.client.cancel(other.job_id)
        _ends_well(job)
