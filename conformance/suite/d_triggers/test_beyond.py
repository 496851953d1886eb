"""What a row cannot say: triggers behind another grouping, aligned delays, panes on their way through functions, retractions."""

from __future__ import annotations

from attrs import evolve

from conformance.harness import Session
from conformance.pipeline import Fn, Program, coders, triggers, windowing
from conformance.suite.assertions import asserts
from conformance.suite.case import Case, Scenario
from conformance.suite.checks import holds, refused_naming, same, same_multiset
from conformance.suite.d_triggers.rows import lines
from conformance.suite.execution import RunnerUnderTest
from conformance.suite.scripting import PAIRS, add, tick, wm
from conformance.wire.api import pipeline_pb2 as pb

STREAMING = ("streaming",)
TEN = windowing.fixed(10)
EACH, SECOND = triggers.repeatedly(triggers.after_count(1)), triggers.repeatedly(triggers.after_processing_time(1000))
#: A pane → one pair: its key, and 100 more than the sum of its values.
SUMMED = Fn("map", expr=["kv", ["key"], ["+", 100, ["sum", ["val"]]]])
STEP, PERIOD = 10_000, 60_000


@asserts("TRIG09/fires-on-the-grid", modes=STREAMING)
def test_fires_on_the_grid(case: Case) -> Scenario:
    """An element every ten seconds; where the grid of a minute lies is not known (M-TS-04), but between two firings there is a minute."""
    moments = [event for number in range(30) for event in (add((number, 1)), tick(STEP))]
    aligned = triggers.repeatedly(triggers.after_processing_time(triggers.align_to(PERIOD)))
    case.played([*moments, wm(10)]).window_into(TEN, trigger=aligned).group_by_key().observe("out")
    run = yield
    panes = sorted((sorted(values) for _, values in run.values("out") if values), key=min)
    same([value for pane in panes for value in pane], list(range(30)), "the elements, by pane", rule="M-TRIG-20")
    sizes = [len(pane) for pane in panes]
    # at the ends panes are cut short; whether an element at a grid point still belongs to the pane before is open
    holds(
        len(sizes) >= 3 and all(size >= PERIOD // STEP - 1 for size in sizes[1:-1]),
        f"panes of {sizes} elements, one every ten seconds, are not a minute apart",
        expected="six elements a pane, but for the first and the last",
        observed=sizes,
        rule="M-TRIG-20",
    )


@asserts("TRIG10/loses-nothing", modes=STREAMING)
def test_synchronized_loses_nothing(case: Case) -> Scenario:
    trigger = triggers.repeatedly(triggers.after_synchronized_processing_time())
    script = case.played([add((1, 1)), tick(1000), wm(2), add((2, 3)), tick(1000), wm(4), wm(10)])
    script.window_into(TEN, trigger=trigger).group_by_key().observe("out")
    run = yield
    same(run.groups("out"), {"k": [1, 2]}, "all panes together", rule="M-TRIG-22")


@asserts("TRIG10/behind-a-processing-time-trigger", modes=STREAMING)
def test_synchronized_behind_processing_time(case: Case) -> Scenario:
    """The continuation of a processing-time trigger, as SDKs write it for the second grouping."""
    script = case.played([add((1, 1)), tick(5000), wm(2), add((2, 3)), tick(5000), wm(4), wm(10), wm(12)])
    first = script.window_into(TEN, trigger=SECOND).group_by_key().par_do(SUMMED, PAIRS)
    first.group_by_key().observe("out")
    run = yield
    found = {key: [value for value in values if value > 100] for key, values in run.groups("out").items()}
    same(found, {"k": [101, 102]}, "sums of the panes of the first grouping", rule="M-TRIG-37")


@asserts("TRIG17/fires-for-each-pane", modes=STREAMING)
def test_fires_for_each_pane(case: Case) -> Scenario:
    """A count of two becomes a count of one behind the grouping: each of its panes comes through by itself."""
    two = triggers.repeatedly(triggers.after_count(2))
    script = case.played([add((1, 1)), add((2, 1)), wm(2), wm(3), add((3, 4)), add((4, 4)), wm(5), wm(6), wm(12), wm(13)])
    first = script.window_into(TEN, trigger=two, on_time="if_nonempty").group_by_key().par_do(SUMMED, PAIRS)
    first.group_by_key().observe("out")
    run = yield
    same([line for line in lines(run, show="values") if line], ["103", "107"], "panes of the second grouping", rule="M-TRIG-37")


@asserts("TRIG17/counts-each-pane-once", modes=STREAMING)
def test_counts_each_pane_once(case: Case) -> Scenario:
    """Behind a grouping that fires for every element, a count of two takes two panes."""
    events = [event for number in range(1, 4) for event in (add((number, 1)), wm(2 * number), wm(2 * number + 1))]
    script = case.played([*events, wm(12), wm(13)])
    first = script.window_into(TEN, trigger=EACH, on_time="if_nonempty").group_by_key().par_do(SUMMED, PAIRS)
    two = evolve(first.strategy, trigger=triggers.repeatedly(triggers.after_count(2)))
    first.with_strategy(two).group_by_key().observe("out")
    run = yield
    same(
        [line for line in lines(run, show="values") if line], ["101 102", "103"], "panes of the second grouping", rule="M-TRIG-13"
    )


@asserts("TRIG31/panes-unchanged", modes=STREAMING)
def test_panes_unchanged(case: Case) -> Scenario:
    """Functions, a flatten and another grouping's redistribution leave the panes of a grouping as they are."""
    both = triggers.after_watermark(triggers.after_count(2), triggers.after_count(1))
    script = case.played([add((1, 1)), add((2, 2)), wm(3), add((3, 4)), wm(10), wm(11), add((4, 4)), wm(31)])
    grouped = script.window_into(TEN, trigger=both, allowed_lateness=20).group_by_key()
    grouped.observe("direct")
    passed = grouped.par_do(Fn("sorted_values"), grouped.coder).par_do(Fn("identity"), grouped.coder)
    case.program.flatten([passed]).observe("behind")
    run = yield
    panes = {name: [(sorted(seen.value[1]), seen.pane) for seen in run.seen(name)] for name in ("direct", "behind")}
    same_multiset(panes["behind"], panes["direct"], "values and panes behind two functions", rule="M-PANE-01")
    told = [f"{pane.timing.name} {values}" for values, pane in sorted(panes["behind"], key=lambda each: each[1].index)]
    same(told, ["EARLY [1, 2]", "ON_TIME [3]", "LATE [4]"], "the panes", rule="M-PANE-01")


@asserts("TRIG20/refused", any_outcome=True)
def test_retracting_refused(case: Case) -> Scenario:
    created = case.program.create([("k", 1), ("k", 2)], coders.kv(coders.STRING, coders.VARINT))
    created.window_into(windowing.global_windows(), trigger=EACH, accumulation="retracting").group_by_key().observe("out")
    run = yield
    refused_naming(run, ["retract", "accumulation"], rule="M-PANE-11")


@asserts("TRIG01/unset-refused")
def test_unset_refused(runner: RunnerUnderTest) -> None:
    def build(session: Session) -> pb.Pipeline:
        program = Program("unset-trigger")
        created = program.create([("k", 1), ("k", 2)], coders.kv(coders.STRING, coders.VARINT))
        created.window_into(windowing.global_windows(), trigger=pb.Trigger()).group_by_key().observe("out")
        return program.build(session.environment(), check=False)

    run = runner.run_pipeline(build, label="TRIG01/unset-refused", any_outcome=True)
    refused_naming(run, ["trigger"], rule="M-TRIG-28")
