"""Self-checkpoints: what a function defers is run later, with what it left in the restriction; watermarks wait for it."""

from __future__ import annotations

import pytest

from conformance.harness.invariants import discarded
from conformance.pipeline import Fn, windowing
from conformance.suite.assertions import asserts
from conformance.suite.b_lifecycle.reading import recorded
from conformance.suite.c_windowing.reading import SECOND, window_groups
from conformance.suite.case import Case, Scenario
from conformance.suite.checks import holds, same, same_multiset
from conformance.suite.i_splittable.functions import state_at
from conformance.suite.i_splittable.test_bounded import PAIRS, RANGE, positions

#: How far the clocks of bundles may be off, in milliseconds.
TOLERANCE = 50


@asserts("SDF08/deferred-rest-is-run")
@pytest.mark.parametrize(("end", "every"), [(10, 4), (4, 2), (25, 1)])
def test_deferred_rest(case: Case, end: int, every: int) -> Scenario:
    case.program.create([end]).par_do(Fn("range", every=every), PAIRS, restriction_coder=RANGE).observe("out")
    run = yield
    same(run.sorted_values("out"), positions(end), "(element, position)", rule="M-SDF-03")


@asserts("SDF08/before-anything-behind-is-final")
def test_before_grouping(case: Case) -> Scenario:
    ranged = case.program.create([6, 4]).par_do(Fn("range", every=1), PAIRS, restriction_coder=RANGE)
    ranged.group_by_key().observe("out")
    run = yield
    groups = sorted((key, sorted(values)) for key, values in run.values("out"))
    same(groups, [(4, [0, 1, 2, 3]), (6, [0, 1, 2, 3, 4, 5])], "one group an element, with all positions", rule="M-SDF-10")


@asserts("SDF28/several-restrictions-in-progress")
@pytest.mark.parametrize("splits", [1, 3])
def test_several_in_progress(case: Case, splits: int) -> Scenario:
    ends = [7, 1, 12, 2, 9]
    ranged = case.program.create(ends).par_do(Fn("range", every=2, splits=splits), PAIRS, restriction_coder=RANGE)
    ranged.observe("out")
    run = yield
    same(run.sorted_values("out"), positions(*ends), "(element, position)", rule="M-SDF-03")


@asserts("SDF02/finite-unbounded-restriction")
def test_finite_unbounded(case: Case) -> Scenario:
    created = case.program.create([9, 3])
    created.par_do(Fn("range", every=2), PAIRS, restriction_coder=RANGE, bounded=False).observe("out")
    run = yield
    same(run.sorted_values("out"), positions(9, 3), "(element, position)", rule="M-SDF-10")


@asserts("SDF09/delayed-rest-is-run")
@pytest.mark.parametrize("delay", [1, 300, 900])
def test_delayed_rest(case: Case, delay: int) -> Scenario:
    case.program.create([5]).par_do(Fn("range", every=3, delay=delay), PAIRS, restriction_coder=RANGE).observe("out")
    run = yield
    same(run.sorted_values("out"), positions(5), "(element, position)", rule="M-SDF-03")


@asserts("SDF09/not-before-the-delay")
@pytest.mark.parametrize("delay", [400, 900])
def test_not_before_delay(case: Case, delay: int) -> Scenario:
    clocked = case.program.create([3]).par_do(Fn("clocked_range", every=1, delay=delay), PAIRS, restriction_coder=RANGE)
    clocked.observe("out")
    run = yield
    times = dict(run.values("out"))
    same(sorted(times), [0, 1, 2], "positions", rule="M-SDF-03")
    waited = [times[position + 1] - times[position] for position in range(2)]
    holds(
        min(waited) >= delay - TOLERANCE,
        f"a rest that asked for {delay} ms was run after {min(waited)} ms",
        expected=f"at least {delay} ms",
        observed=waited,
        rule="M-SDF-04",
    )


@asserts("SDF19/state-comes-back", alone=True)
def test_state_comes_back(case: Case) -> Scenario:
    ends = [30, 5]
    fn = Fn("keeps_state", observer=case.program.prefix + "given")
    case.program.create(ends).par_do(fn, PAIRS, restriction_coder=RANGE).observe("out")
    run = yield
    same(run.sorted_values("out"), positions(*ends), "(element, position)", rule="M-SDF-03")
    responses = recorded(run).events(plane="control", direction="S->R", kind="InstructionResponse")
    split = any(event.message.process_bundle_split.residual_roots for event in responses)
    for element, start, found in run.values("given"):
        # A split by the runner leaves the state where the function was, so that it belongs to an earlier position.
        allowed = [state_at(position) for position in range(start + 1)] if split else [state_at(start)]
        holds(
            found in allowed,
            f"the restriction of {element} came back at {start} with state {found}",
            expected=allowed[-1],
            observed=found,
            rule="M-SDF-07",
        )


@asserts("SDF17/reported-watermark-makes-nothing-late")
@pytest.mark.parametrize("every", [1, 4])
def test_reported_watermark(case: Case, every: int) -> Scenario:
    fn = Fn("range", every=every, base=1000, step=3000, estimator=True)
    created = case.program.create([12]).par_do(fn, PAIRS, restriction_coder=RANGE)
    created.window_into(windowing.fixed(10 * SECOND)).group_by_key().observe("out")
    run = yield
    expected: dict[tuple[int, int, int], list[int]] = {}
    for position in range(12):
        start = (1000 + 3000 * position) // 10_000 * 10_000
        expected.setdefault((12, start, start + 10_000), []).append(position)
    same(window_groups(run, "out"), expected, "positions by window", rule="M-SDF-07")


@asserts("SDF20/window-waits-for-the-rest")
def test_window_waits(case: Case) -> Scenario:
    """All outputs are at one timestamp, which the function also reports as its watermark until it is done."""
    fn = Fn("range", every=1, base=2000, step=0, estimator=True)
    ranged = case.program.create([8]).par_do(fn, PAIRS, restriction_coder=RANGE)
    ranged.window_into(windowing.fixed(10 * SECOND)).group_by_key().observe("out")
    run = yield
    groups = [(key, sorted(values)) for key, values in run.values("out")]
    same_multiset(groups, [(8, list(range(8)))], "groups of a window that is filled in several steps", rule="M-SDF-07")


@asserts("SDF25/finalized-after-each-step", alone=True)
def test_finalized(case: Case) -> Scenario:
    fn = Fn("finalized_range", observer=case.program.prefix + "finalized", every=2)
    ranged = case.program.create([6]).par_do(fn, PAIRS, restriction_coder=RANGE, requests_finalization=True)
    ranged.observe("out")
    run = yield
    same(run.sorted_values("out"), positions(6), "(element, position)", rule="M-SDF-03")
    responses = recorded(run).events(plane="control", direction="S->R", kind="InstructionResponse")
    lost = {bundle for _, bundle in discarded(run.transcript)}
    asked = sum(event.message.process_bundle.requires_finalization for event in responses)
    # The last callback may still be at it when the job is DONE.
    run.session.observations.wait_for(f"{run.prefix}finalized", asked, timeout=2.0)
    done = {seen.bundle for seen in run.seen("finalized")}
    same(done & lost, set(), "finalized bundles whose answer was thrown away", rule="M-BNDL-06")
    if not lost:  # a harness that was told of replays asks for finalization of every bundle
        same(len(done), asked, "finalized bundles, of those that asked", rule="M-BNDL-06")
    holds(
        2 in run.values("finalized"), "no bundle that resumed was finalized", observed=run.values("finalized"), rule="M-BNDL-06"
    )
