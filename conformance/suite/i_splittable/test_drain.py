"""Drain: what becomes of restrictions that are not finished. A runner that does not offer Drain declines all of it (P-JOB-09)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from conformance.harness import Session
from conformance.harness.capabilities import DEFAULT
from conformance.pipeline import Fn, Program, coders
from conformance.suite.assertions import asserts
from conformance.suite.checks import holds, same
from conformance.suite.execution import RunnerUnderTest
from conformance.suite.i_splittable.test_bounded import PAIRS, RANGE
from conformance.suite.m_job_api.driving import HELD, Job, started
from conformance.suite.o_control.watching import descriptors
from conformance.suite.outcomes import NotExercised
from conformance.suite.run import Run
from conformance.wire import urns

__all__ = ["drained", "held_range"]

#: No restriction of this length is ever finished.
ENDLESS = 2**40
#: The position before which the function waits until the job is being drained.
HELD_AT = 3
TRUNCATE = urns.Transform.TRUNCATE_SIZED_RESTRICTION


def held_range(end: int, *, bounded: bool = True, **arguments: Any) -> Callable[[Program], object]:
    """Positions 0 to `end`; waits at a gate before position HELD_AT; "out" sees (element, position), "parts" each restriction's bounds."""

    def build(program: Program) -> None:
        fn = Fn("range", gate=HELD, gate_at=HELD_AT, observer="parts", **arguments)
        program.create([end]).par_do(fn, PAIRS, restriction_coder=RANGE, bounded=bounded).observe("out")

    return build


@contextmanager
def drained(
    runner: RunnerUnderTest, program: Callable[[Program], object], capabilities: frozenset[str] = DEFAULT
) -> Iterator[tuple[Job, Run]]:
    """A job that was drained while its function waited, and came to its end DRAINED.

    Raises Declined where Drain is not offered, NotExercised where the job was faster, Wrong for another end.
    """
    __tracebackhide__ = True
    session: Session = runner.session(capabilities=capabilities)
    with started(runner, program, session=session) as job:
        job.is_held()
        job.drain()
        job.release()
        end = job.end()
        if end == "DONE":
            raise NotExercised("the job came to its natural end before the drain took hold")
        same(end, "DRAINED", "the end of a job that was drained", rule="P-JOB-09")
        yield job, job.as_run()


def _positions(run: Run) -> list[int]:
    return sorted(position for _, position in run.values("out"))


@asserts("SDF21/bounded-kept")
def test_bounded_kept(runner: RunnerUnderTest) -> None:
    with drained(runner, held_range(8)) as (_, run):
        same(_positions(run), list(range(8)), "the positions of a bounded restriction", rule="M-SDF-12")


@asserts("SDF21/unbounded-ended")
def test_unbounded_ended(runner: RunnerUnderTest) -> None:
    with drained(runner, held_range(ENDLESS, bounded=False, every=1, truncate="stop")) as (_, run):
        found = _positions(run)
        same(found, list(range(len(found))), "the positions that were emitted before the end, each once", rule="M-SDF-12")
        holds(len(found) >= HELD_AT, "positions were lost that had been emitted", expected=f"{HELD_AT} at least", observed=found)


@asserts("SDF21/custom-obeyed")
def test_custom_obeyed(runner: RunnerUnderTest) -> None:
    """What is left is cut to two positions; every step is of two, so that no step of a truncated restriction wants to go on."""
    with drained(runner, held_range(ENDLESS, bounded=False, every=2, truncate=2)) as (_, run):
        found = _positions(run)
        same(found, list(range(len(found))), "the positions, each once", rule="M-SDF-12")
        cut = [part for part in run.values("parts") if part[1] - part[0] == 2]
        holds(
            bool(cut) and len(found) == cut[-1][1],
            "what truncation left of the restriction was not processed to its end",
            expected="the last restriction has two positions, which are the last ones emitted",
            observed=f"restrictions {run.values('parts')[-3:]}, {len(found)} positions",
            rule="M-SDF-12",
        )


@asserts("SDF22/comes-to-an-end")
def test_self_checkpointing(runner: RunnerUnderTest) -> None:
    """The function defers its rest for an hour, again and again: a drain does not wait for that."""

    def build(program: Program) -> None:
        fn = Fn("range", every=1, delay=3_600_000, truncate="stop")
        ranged = program.create([ENDLESS]).par_do(fn, PAIRS, restriction_coder=RANGE, bounded=False)
        ranged.par_do(Fn("observe_through", observer="seen")).par_do(Fn("with_key", key="k"), KEYED).group_by_key().observe("out")

    with started(runner, build) as job:
        holds(bool(job.session.observations.wait_for("seen", 1, job.soon)), "no step of the function was run", rule="M-SDF-03")
        job.drain()
        same(job.end(), "DRAINED", "the end of a drained job that defers its work", rule="M-DRAIN-04")
        groups = [values for _, values in job.as_run().values("out")]
        seen = job.session.observations.values_of("seen")
        same(groups, [seen], "the final pane of what had been emitted", rule="M-DRAIN-04")


KEYED = coders.kv(coders.STRING, PAIRS)


@asserts("SDF23/unasked-not-sent")
def test_no_metadata_unasked(runner: RunnerUnderTest) -> None:
    """A worker that did not declare element metadata cannot read them: each element that it got, it read."""

    def build(program: Program) -> None:
        fn = Fn("range", gate=HELD, gate_at=HELD_AT, every=1, truncate="keep")
        ranged = program.create([6]).par_do(fn, PAIRS, restriction_coder=RANGE)
        ranged.group_by_key().observe("out")

    with drained(runner, build) as (job, run):
        told = [str(error) for error in job.session.remote_errors]
        same(told, [], "what the worker could not read", rule="P-COD-09")
        groups = run.groups("out")
        holds(list(groups) == [6], "the group of a drained job is missing", observed=groups, rule="M-DRAIN-04")


@asserts("REQ11/undeclared-not-asked")
def test_undeclared_not_asked(runner: RunnerUnderTest) -> None:
    with drained(runner, held_range(8), DEFAULT - {TRUNCATE}) as (job, run):
        asked = [
            descriptor.id
            for descriptor in descriptors(job.session).values()
            if any(transform.spec.urn == TRUNCATE for transform in descriptor.transforms.values())
        ]
        same(asked, [], "stages that truncate, for an environment that did not declare it", rule="P-PIPE-16")
        same(_positions(run), list(range(8)), "the positions of a bounded restriction", rule="M-SDF-12")
