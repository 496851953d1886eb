"""What a runner asks of a bundle that takes long: progress and splits. Where it never asks, there is nothing to judge."""

from __future__ import annotations

import pytest

from conformance.harness import Session
from conformance.pipeline import Fn, PCollection, Program, coders
from conformance.suite.assertions import asserts
from conformance.suite.b_lifecycle.reading import run_with
from conformance.suite.checks import same
from conformance.suite.execution import RunnerUnderTest, raise_unless_done
from conformance.suite.i_splittable.test_bounded import PAIRS, RANGE, positions
from conformance.suite.run import Run

#: How long a bundle waits to be split, in seconds; Prism asks after 0.3 s at the earliest (P-SPL-11).
PATIENCE = 1.5
#: For a split that is asked for and not given: the bundle lasts so long whatever the runner does.
IN_VAIN = 1.0


def _slow_range(program: Program) -> None:
    fn = Fn("range_until_split", patience=PATIENCE)
    program.create([40]).par_do(fn, PAIRS, restriction_coder=RANGE).observe("out")


def _unsplit_range(program: Program) -> None:
    fn = Fn("range_until_split", patience=IN_VAIN)
    program.create([40]).par_do(fn, PAIRS, restriction_coder=RANGE).observe("out")


def _elements(program: Program) -> PCollection:
    """Numbers that come to the next stage as elements of their own."""
    keyed = program.create([40]).par_do(Fn("flat_map", expr=["range", ["value"]]), coders.VARINT)
    return keyed.par_do(Fn("key_by", expr=["value"]), PAIRS).group_by_key().par_do(Fn("keys"), coders.VARINT)


def slow_elements(program: Program) -> None:
    _elements(program).par_do(Fn("slow_until_split", patience=PATIENCE)).observe("out")


def _responses(run: Run, kind: str) -> list[object]:
    events = run.transcript.events(plane="control", direction="S->R", kind="InstructionResponse")
    return [getattr(event.message, kind) for event in events if event.message.WhichOneof("response") == kind]


def _asked(run: Run, kind: str) -> int:
    events = run.transcript.events(plane="control", direction="R->S", kind="InstructionRequest")
    return sum(event.message.WhichOneof("request") == kind for event in events)


@asserts("SDF12/parts-of-a-split-make-up-the-whole")
def test_split_range(runner: RunnerUnderTest) -> None:
    runner.needs("split of a restriction")
    run = run_with(runner, "SDF12/parts-of-a-split-make-up-the-whole", _slow_range)
    raise_unless_done(run.outcome, run.session)
    same(run.sorted_values("out"), positions(40), "(element, position)", rule="M-SDF-05")
    if not any(each.residual_roots for each in _responses(run, "process_bundle_split")):  # type: ignore[attr-defined]
        runner.never_saw("split of a restriction", f"this runner split no restriction that took {PATIENCE:g} s")


@asserts("SDF13/parts-of-a-split-make-up-the-whole")
def test_split_elements(runner: RunnerUnderTest) -> None:
    runner.needs("split of elements")
    run = run_with(runner, "SDF13/parts-of-a-split-make-up-the-whole", slow_elements)
    raise_unless_done(run.outcome, run.session)
    same(run.sorted_values("out"), list(range(40)), "the elements", rule="P-SPL-07")
    if not any(each.channel_splits for each in _responses(run, "process_bundle_split")):  # type: ignore[attr-defined]
        runner.never_saw("split of elements", f"this runner split no bundle that took {PATIENCE:g} s")


def _answers(session: Session, action: str, kind: str) -> None:
    session.script.add(action, on=kind, times=100_000, text="not now")  # type: ignore[arg-type]


@asserts("SDF15/empty-answer-is-no-split")
def test_empty_answer(runner: RunnerUnderTest) -> None:
    runner.needs("split of a restriction")
    run = run_with(
        runner,
        "SDF15/empty-answer-is-no-split",
        _unsplit_range,
        lambda session: _answers(session, "empty_answer", "process_bundle_split"),
    )
    if not _asked(run, "process_bundle_split"):
        runner.never_saw("split of a restriction", f"this runner asked for no split of a bundle that took {IN_VAIN:g} s")
    raise_unless_done(run.outcome, run.session)
    same(run.sorted_values("out"), positions(40), "(element, position)", rule="P-SPL-03")


@asserts("SDF15/refused-split-is-no-failure")
def test_refused_split(runner: RunnerUnderTest) -> None:
    runner.needs("split of a restriction")
    run = run_with(
        runner,
        "SDF15/refused-split-is-no-failure",
        _unsplit_range,
        lambda session: _answers(session, "error", "process_bundle_split"),
    )
    if not _asked(run, "process_bundle_split"):
        runner.never_saw("split of a restriction", f"this runner asked for no split of a bundle that took {IN_VAIN:g} s")
    same(run.outcome.state, "DONE", "the state after a split was answered with an error", rule="M-SDF-05")
    same(run.sorted_values("out"), positions(40), "(element, position)", rule="M-SDF-05")


@asserts("SDF16/progress-is-advisory")
@pytest.mark.parametrize("answer", ["error", "empty_answer"])
def test_progress_is_advisory(runner: RunnerUnderTest, answer: str) -> None:
    runner.needs("progress")
    run = run_with(
        runner,
        "SDF16/progress-is-advisory",
        _slow_range,
        lambda session: _answers(session, answer, "process_bundle_progress"),
    )
    if not _asked(run, "process_bundle_progress"):
        runner.never_saw("progress", f"this runner asked for no progress of a bundle that took {PATIENCE:g} s")
    raise_unless_done(run.outcome, run.session)
    same(run.sorted_values("out"), positions(40), "(element, position)", rule="P-CTL-23")
