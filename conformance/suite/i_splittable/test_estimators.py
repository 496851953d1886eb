"""Watermark estimators of the kinds that SDKs have: by the wall clock, and one that does not move; split points that a request allows."""

from __future__ import annotations

from conformance.pipeline import Fn, coders, windowing
from conformance.suite.assertions import asserts
from conformance.suite.b_lifecycle.reading import run_with
from conformance.suite.case import Case, Scenario
from conformance.suite.checks import holds, same
from conformance.suite.execution import RunnerUnderTest, raise_unless_done
from conformance.suite.i_splittable.test_bounded import PAIRS, RANGE, positions
from conformance.suite.i_splittable.test_splits import slow_elements
from conformance.suite.o_control.watching import requests
from conformance.wire.values import Timing

KEYED = coders.kv(coders.STRING, PAIRS)


@asserts("SDF18/wall-clock")
def test_wall_clock(case: Case) -> Scenario:
    ranged = case.program.create([12]).par_do(Fn("wall_clock_range", every=2, delay=5), PAIRS, restriction_coder=RANGE)
    windowed = ranged.par_do(Fn("with_key", key="k"), KEYED).window_into(windowing.fixed(10))
    windowed.group_by_key().observe("out")
    run = yield
    values = sorted(value for _, group in run.values("out") for value in group)
    same(values, positions(12), "the elements of all windows", rule="M-SDF-07")
    late = [seen.value for seen in run.seen("out") if seen.pane.timing is Timing.LATE]
    same(late, [], "late panes of a function that is never behind its watermark", rule="M-SDF-07")


@asserts("SDF18/does-not-move")
def test_does_not_move(case: Case) -> Scenario:
    fn = Fn("range", every=1, estimator=True, step=0, base=5)
    ranged = case.program.create([4]).par_do(fn, PAIRS, restriction_coder=RANGE)
    ranged.par_do(Fn("with_key", key="k"), KEYED).window_into(windowing.fixed(10)).group_by_key().observe("out")
    run = yield
    groups = [sorted(group) for _, group in run.values("out")]
    same(groups, [positions(4)], "the one group of a function whose watermark stands still until its end", rule="M-SDF-07")


@asserts("SDF14/points-of-the-input")
def test_allowed_points(runner: RunnerUnderTest) -> None:
    runner.needs("split of elements")
    run = run_with(runner, "SDF14/points-of-the-input", slow_elements)
    raise_unless_done(run.outcome, run.session)
    same(run.sorted_values("out"), list(range(40)), "the elements", rule="P-SPL-02")
    asked = requests(run.session, "process_bundle_split")
    if not asked:
        runner.never_saw("split of elements", "this runner asked for no split")
    for request in asked:
        for source, desired in request.process_bundle_split.desired_splits.items():
            points = list(desired.allowed_split_points)
            holds(
                points == sorted(set(points)) and all(0 <= point <= desired.estimated_input_elements for point in points),
                f"a split request of {source!r} allows points that are no indices of its input",
                expected=f"ascending, from 0 to {desired.estimated_input_elements}",
                observed=points,
                rule="P-SPL-02",
            )
