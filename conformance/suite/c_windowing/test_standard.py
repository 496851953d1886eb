"""The standard window functions in bounded execution: global, fixed and sliding windows, and what groups of them carry."""

from __future__ import annotations

import pytest
from attrs import evolve

from conformance.pipeline import Fn, coders, windowing
from conformance.pipeline.state import value
from conformance.suite.a_core.functions import WITH_SIDE
from conformance.suite.assertions import asserts
from conformance.suite.c_windowing.reading import END_OF_GLOBAL, SECOND, bounds, in_windows, window_groups
from conformance.suite.case import Case, Scenario
from conformance.suite.checks import holds, same, same_multiset
from conformance.wire import timestamps
from conformance.wire.values import GLOBAL_WINDOW, Timing

TEN = windowing.fixed(10 * SECOND)


@asserts("WIN01/one-window-for-all-timestamps")
def test_one_window_for_all_timestamps(case: Case) -> Scenario:
    moments = [timestamps.MIN, -1, 0, 10**12, timestamps.GLOBAL_WINDOW_MAX]
    pairs = [("k", number) for number in range(len(moments))]
    case.program.create(pairs, timestamps=moments).group_by_key().observe("out")
    run = yield
    same(run.groups("out"), {"k": list(range(len(moments)))}, "the group", rule="M-WIN-01")
    same({seen.window for seen in run.seen("out")}, {GLOBAL_WINDOW}, "the windows", rule="M-WIN-01")


@asserts("WIN01/group-at-end-of-global-window")
def test_group_at_end_of_global_window(case: Case) -> Scenario:
    case.program.create([("k", 1), ("k", 2)], timestamps=[0, 5000]).group_by_key().observe("out")
    run = yield
    moments = [seen.timestamp for seen in run.seen("out")]
    holds(
        len(moments) == 1 and moments[0] in END_OF_GLOBAL,
        f"the group of the global window is at {moments}, expected its end, {END_OF_GLOBAL[0]} (or a millisecond less)",
        expected=END_OF_GLOBAL,
        observed=moments,
        rule="M-BATCH-07",
    )


@asserts("WIN02/half-open-windows")
def test_half_open_windows(case: Case) -> Scenario:
    case.program.create(["a", "b", "c", "d"], timestamps=[0, 9999, 10_000, 19_999], window=TEN).observe("out")
    run = yield
    expected = [("a", (0, 10_000)), ("b", (0, 10_000)), ("c", (10_000, 20_000)), ("d", (10_000, 20_000))]
    same_multiset(in_windows(run, "out"), expected, "values and windows", rule="M-WIN-04")


@asserts("WIN02/group-at-last-millisecond")
def test_group_at_last_millisecond(case: Case) -> Scenario:
    case.program.create([("k", 1), ("k", 2)], timestamps=[3000, 14_000], window=TEN).group_by_key().observe("out")
    run = yield
    seen = [(bounds(seen.window), seen.timestamp) for seen in run.seen("out")]
    same_multiset(seen, [((0, 10_000), 9999), ((10_000, 20_000), 19_999)], "windows and timestamps of groups", rule="M-HOLD-04")


@asserts("WIN02/window-of-group")
def test_window_of_group(case: Case) -> Scenario:
    pairs = [("k", 1), ("k", 2), ("j", 3)]
    case.program.create(pairs, timestamps=[0, 25_000, 27_000], window=TEN).group_by_key().observe("out")
    run = yield
    expected = {("k", 0, 10_000): [1], ("k", 20_000, 30_000): [2], ("j", 20_000, 30_000): [3]}
    same(window_groups(run, "out"), expected, "the groups by key and window", rule="M-TRIG-03")


@asserts("WIN02/earliest-in-pane")
def test_earliest_in_pane(case: Case) -> Scenario:
    created = case.program.create([("k", 1), ("k", 2), ("k", 3)], timestamps=[4000, 2000, 8000])
    created.window_into(TEN, timestamp_combiner="earliest").group_by_key().observe("out")
    run = yield
    same([seen.timestamp for seen in run.seen("out")], [2000], "timestamps of the groups", rule="M-HOLD-01")


@asserts("WIN02/latest-in-pane")
def test_latest_in_pane(case: Case) -> Scenario:
    created = case.program.create([("k", 1), ("k", 2), ("k", 3)], timestamps=[4000, 8000, 2000])
    created.window_into(TEN, timestamp_combiner="latest").group_by_key().observe("out")
    run = yield
    same([seen.timestamp for seen in run.seen("out")], [8000], "timestamps of the groups", rule="M-HOLD-01")


@asserts("WIN02/pane-of-only-firing")
def test_pane_of_only_firing(case: Case) -> Scenario:
    case.program.create([("k", 1), ("k", 2), ("j", 3)], timestamps=[0, 1, 12_000], window=TEN).group_by_key().observe("out")
    run = yield
    panes = [seen.pane for seen in run.seen("out")]
    same(len(panes), 2, "the number of panes", rule="M-BATCH-06")
    for pane in panes:
        holds(
            pane.is_first and pane.index == 0 and pane.timing in (Timing.ON_TIME, Timing.UNKNOWN),
            f"the only pane of a window is {pane}",
            expected="first, index 0, ON_TIME or UNKNOWN",
            observed=pane,
            rule="M-BATCH-06",
        )


@asserts("WIN03/offset-shifts-windows")
def test_offset_shifts_windows(case: Case) -> Scenario:
    window = windowing.fixed(10 * SECOND, offset=3 * SECOND)
    created = case.program.create(["a", "b", "c"], timestamps=[2000, 3000, 13_000], window=window)
    created.observe("out")
    created.par_do(Fn("with_key", key="k"), coders.kv(coders.STRING, coders.STRING)).group_by_key().observe("grouped")
    run = yield
    expected = [("a", (-7000, 3000)), ("b", (3000, 13_000)), ("c", (13_000, 23_000))]
    same_multiset(in_windows(run, "out"), expected, "values and windows", rule="M-WIN-02")
    groups = {("k", *span): [value] for value, span in expected}
    same(window_groups(run, "grouped"), groups, "the groups by window", rule="M-WIN-02")


@asserts("WIN04/every-window-that-covers")
def test_every_window_that_covers(case: Case) -> Scenario:
    window = windowing.sliding(10 * SECOND, 5 * SECOND)
    created = case.program.create([("k", 1), ("k", 2)], timestamps=[7000, 12_000], window=window)
    created.observe("out")
    created.group_by_key().observe("grouped")
    run = yield
    one, two = ("k", 1), ("k", 2)
    expected = [(one, (0, 10_000)), (one, (5000, 15_000)), (two, (5000, 15_000)), (two, (10_000, 20_000))]
    same_multiset(in_windows(run, "out"), expected, "values and windows", rule="M-WIN-06")
    groups = {("k", 0, 10_000): [1], ("k", 5000, 15_000): [1, 2], ("k", 10_000, 20_000): [2]}
    same(window_groups(run, "grouped"), groups, "the groups by window", rule="M-WIN-06")


@asserts("WIN04/period-not-dividing-size")
def test_period_not_dividing_size(case: Case) -> Scenario:
    window = windowing.sliding(10 * SECOND, 3 * SECOND, offset=1 * SECOND)
    case.program.create(["a"], timestamps=[7000], window=window).observe("out")
    run = yield
    starts = [-2000, 1000, 4000, 7000]
    same_multiset(
        in_windows(run, "out"), [("a", (start, start + 10_000)) for start in starts], "values and windows", rule="M-WIN-06"
    )


@asserts("WIN04/gap-drops-element")
def test_gap_drops_element(case: Case) -> Scenario:
    window = windowing.sliding(5 * SECOND, 10 * SECOND)
    created = case.program.create([("k", 1), ("k", 2), ("k", 3)], timestamps=[4000, 7000, 11_000], window=window)
    created.group_by_key().observe("out")
    run = yield
    groups = {("k", 0, 5000): [1], ("k", 10_000, 15_000): [3]}
    same(window_groups(run, "out"), groups, "the groups by window", rule="M-WIN-06")


@asserts("WIN04/timestamps-of-groups")
def test_timestamps_of_groups(case: Case) -> Scenario:
    window = windowing.sliding(10 * SECOND, 5 * SECOND)
    case.program.create([("k", 1)], timestamps=[7000], window=window).group_by_key().observe("out")
    run = yield
    seen = [(bounds(seen.window), seen.timestamp) for seen in run.seen("out")]
    same_multiset(seen, [((0, 10_000), 9999), ((5000, 15_000), 14_999)], "windows and timestamps", rule="M-HOLD-04")


@asserts("WIN11/before-epoch")
@pytest.mark.parametrize("moment", [-1, -10_000])
def test_before_epoch(case: Case, moment: int) -> Scenario:
    case.program.create([("k", 1), ("k", 2)], timestamps=[moment, 0], window=TEN).group_by_key().observe("out")
    run = yield
    groups = {("k", -10_000, 0): [1], ("k", 0, 10_000): [2]}
    same(window_groups(run, "out"), groups, "the groups by window", rule="M-WIN-02")


@asserts("WIN12/last-window-of-time")
def test_last_window_of_time(case: Case) -> Scenario:
    last = timestamps.GLOBAL_WINDOW_MAX
    created = case.program.create([("k", 1), ("k", 2)], timestamps=[last, last - 1], window=TEN)
    created.group_by_key().observe("out")
    run = yield
    same(run.groups("out"), {"k": [1, 2]}, "the group", rule="M-WIN-05")
    starts = [bounds(seen.window)[0] for seen in run.seen("out")]
    same(starts, [last - last % 10_000], "where its window begins", rule="M-WIN-05")
    ends = [bounds(seen.window)[1] for seen in run.seen("out")]
    holds(
        ends[0] in (last + 1, starts[0] + 10_000),
        f"its window ends at {ends[0]}",
        expected=(last + 1, starts[0] + 10_000),
        observed=ends[0],
        rule="M-WIN-05",
    )


@asserts("WIN16/wrong-hint-changes-nothing")
def test_wrong_hint_changes_nothing(case: Case) -> Scenario:
    window = evolve(windowing.sliding(10 * SECOND, 5 * SECOND), assigns_to_one_window=True)
    created = case.program.create([("k", 1), ("k", 2)], timestamps=[7000, 12_000], window=window)
    created.group_by_key().observe("out")
    run = yield
    groups = {("k", 0, 10_000): [1], ("k", 5000, 15_000): [1, 2], ("k", 10_000, 20_000): [2]}
    same(window_groups(run, "out"), groups, "the groups by window", rule="M-WIN-13")


@asserts("WIN17/one-element-a-window")
def test_one_element_a_window(case: Case) -> Scenario:
    window = windowing.sliding(15 * SECOND, 5 * SECOND)
    created = case.program.create(["a"], timestamps=[12_000], window=window)
    created.par_do(Fn("reify"), coders.JSON).observe("out")
    run = yield
    expected = [(start, start + 15_000) for start in (0, 5000, 10_000)]
    same_multiset(
        [(seen.value["window"], bounds(seen.window)) for seen in run.seen("out")],
        [([start, end], (start, end)) for start, end in expected],
        "the window that the function saw, and the window of what it emitted",
        rule="M-WIN-07",
    )


@asserts("WIN17/side-input-of-each-window")
def test_side_input_of_each_window(case: Case) -> Scenario:
    side = case.program.create([100, 200], timestamps=[1000, 12_000], window=TEN, name="side")
    main = case.program.create(["m"], timestamps=[7000], window=windowing.sliding(10 * SECOND, 5 * SECOND), name="main")
    main.par_do(
        WITH_SIDE, coders.kv(coders.STRING, coders.iterable(coders.VARINT)), side_inputs={"side": side.as_iterable()}
    ).observe("out")
    run = yield
    seen = [(bounds(seen.window), seen.value) for seen in run.seen("out")]
    expected = [((0, 10_000), ("m", [100])), ((5000, 15_000), ("m", [200]))]
    same_multiset(seen, expected, "window, element and side input", rule="M-SIDE-03")


@asserts("WIN17/state-of-each-window")
def test_state_of_each_window(case: Case) -> Scenario:
    window = windowing.sliding(10 * SECOND, 5 * SECOND)
    created = case.program.create([("k", 1), ("k", 2)], timestamps=[7000, 12_000], window=window)
    created.par_do(Fn("count_by_key"), created.coder, state={"count": value(coders.VARINT)}).observe("out")
    run = yield
    # the largest count of a window is how many elements it has, whatever their order
    counts = {span: [count for (_, count), each in in_windows(run, "out") if each == span] for _, span in in_windows(run, "out")}
    expected = {(0, 10_000): [1], (5000, 15_000): [1, 2], (10_000, 20_000): [1]}
    same({span: sorted(each) for span, each in counts.items()}, expected, "the counts of each window", rule="M-STATE-01")


@asserts("WIN18/window-that-was-assigned")
def test_window_that_was_assigned(case: Case) -> Scenario:
    created = case.program.create(["a", "b"], timestamps=[9999, 10_000], window=TEN)
    created.par_do(Fn("reify"), coders.JSON).observe("out")
    run = yield
    seen = [(value["value"], value["window"]) for value in run.values("out")]
    same_multiset(seen, [("a", [0, 10_000]), ("b", [10_000, 20_000])], "the windows that were seen", rule="M-WIN-02")


@asserts("WIN18/window-behind-grouping")
def test_window_behind_grouping(case: Case) -> Scenario:
    created = case.program.create([("k", 1), ("k", 2)], timestamps=[0, 4000], window=windowing.sessions(10 * SECOND))
    keys = created.group_by_key().par_do(Fn("keys"), coders.STRING)
    keys.par_do(Fn("reify"), coders.JSON).observe("out")
    run = yield
    seen = [(value["value"], value["window"]) for value in run.values("out")]
    same(seen, [("k", [0, 14_000])], "the windows that were seen", rule="M-TRIG-03")
