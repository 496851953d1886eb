"""Watermarks as they are seen from behind: by what a grouping without allowed lateness still takes, and what it drops (M-WM-01).

An element behind its window's expiry is dropped, so what is missing in a group tells how far the watermark was. A watermark step
stands between elements and what depends on them, so that every runner has processed them (M-TS-01).
"""

from __future__ import annotations

from conformance.oracle.program import AfterCount, AfterEndOfWindow
from conformance.pipeline import Fn, PCollection, coders, windowing
from conformance.suite.assertions import asserts
from conformance.suite.c_windowing.reading import window_groups
from conformance.suite.case import Case, Scenario
from conformance.suite.checks import same, same_multiset
from conformance.suite.d_triggers.rows import Row, asked
from conformance.suite.f_state.functions import scripted
from conformance.suite.scripting import PAIRS, add, wm

STREAMING = ("streaming",)
TEN, HUNDRED = windowing.fixed(10), windowing.fixed(100)
#: A group → one pair: its key, and 100 more than the sum of its values.
SUMMED = Fn("map", expr=["kv", ["key"], ["+", 100, ["sum", ["val"]]]])

ROWS = [
    Row("TIME05/end-of-window", "1@1 2@5 wm10", ["at 9: 1 2"], show="timestamp values", given={"output_time": "end_of_window"}),
    Row("TIME06/earliest", "2@5 1@1 wm10", ["at 1: 1 2"], show="timestamp values", given={"output_time": "earliest"}),
    Row("TIME07/latest", "2@5 1@1 wm10", ["at 5: 1 2"], show="timestamp values", given={"output_time": "latest"}),
    Row(
        "TIME06/of-the-pane-alone",
        "1@1 2@2 3@5 wm10",
        ["at 1: 1 2", "at 5: 3"],
        AfterEndOfWindow(AfterCount(2)),
        show="timestamp values",
        given={"output_time": "earliest"},
    ),
]
globals().update(asked(ROWS))


def _grouped_in_tens(collection: PCollection, observer: str = "out") -> None:
    """Groups by windows [0, 10), [10, 20) … without allowed lateness, seen by `observer`."""
    collection.window_into(TEN).par_do(Fn("identity"), PAIRS).group_by_key().observe(observer)


def _held(case: Case, script: PCollection) -> PCollection:
    """The sum of each window [0, 100), stamped with the earliest of its elements."""
    grouped = script.window_into(HUNDRED, timestamp_combiner="earliest").group_by_key()
    return grouped.par_do(SUMMED, PAIRS)


@asserts("TIME03/behind-the-watermark-is-late", modes=STREAMING)
def test_behind_the_watermark(case: Case) -> Scenario:
    """The element is on time, but is sent back to a window that is over: it comes through as late data, not at all as a fault."""
    script = case.played([add((1, 1)), wm(20), wm(21), add((2, 25)), wm(40)])
    moved = script.par_do(Fn("timestamp", expr=["if", ["==", ["val"], 2], 3, ["timestamp"]]), PAIRS)
    moved.observe("moved")
    _grouped_in_tens(moved)
    run = yield
    seen = [(each.value[1], each.timestamp) for each in run.seen("moved")]
    same_multiset(seen, [(1, 1), (2, 3)], "values and timestamps", rule="M-TIME-09")
    same(window_groups(run, "out"), {("k", 0, 10): [1]}, "the groups: 2 is late", rule="M-TIME-09")


@asserts("TIME09/earliest-is-on-time-behind", modes=STREAMING)
def test_earliest_is_on_time_behind(case: Case) -> Scenario:
    _grouped_in_tens(_held(case, case.played([add((1, 1)), wm(50), wm(51), add((2, 60)), wm(100), wm(101)])))
    run = yield
    same(window_groups(run, "out"), {("k", 0, 10): [103]}, "groups of panes at their earliest timestamp", rule="M-HOLD-05")


@asserts("TIME09/released-with-the-pane", modes=STREAMING)
def test_released_with_the_pane(case: Case) -> Scenario:
    """Once the pane is out nothing holds the watermark: a second pane of the same time is late behind it."""
    script = case.played([add((1, 1)), wm(100), wm(101), wm(102), add((2, 2)), wm(110), wm(111)])
    grouped = script.window_into(HUNDRED, timestamp_combiner="earliest", allowed_lateness=1000).group_by_key()
    _grouped_in_tens(grouped.par_do(SUMMED, PAIRS))
    run = yield
    # the late pane is stamped with the end of its window (M-HOLD-03), which is over behind the grouping
    same(window_groups(run, "out"), {("k", 0, 10): [101]}, "groups behind the grouping", rule="M-HOLD-05")


@asserts("TIME10/output-of-a-timer-is-on-time", modes=STREAMING)
def test_output_of_a_timer(case: Case) -> Scenario:
    keyed = case.played([add((1, 1)), wm(40), wm(41), wm(60), wm(61)]).window_into(HUNDRED)
    steps = [["set", "t", 50, "", 1]]
    out = scripted(case, keyed, steps, timer=[["emit", ["kv", ["key"], 7]]], coder=PAIRS, timers={"t": "event"})
    out.observe("emitted")
    _grouped_in_tens(out, "grouped")
    run = yield
    same(
        [(seen.value, seen.timestamp) for seen in run.seen("emitted")], [(("k", 7), 1)], "output and timestamp", rule="M-TIMER-20"
    )
    same(window_groups(run, "grouped"), {("k", 0, 10): [7]}, "groups of what the timer emitted", rule="M-TIMER-12")


@asserts("TIME11/output-at-the-end-of-a-bundle", modes=STREAMING)
def test_output_at_the_end_of_a_bundle(case: Case) -> Scenario:
    """The function keeps its elements until its bundle ends; the watermark moves right behind them."""
    script = case.played([add((1, 1), (2, 2)), wm(12), add((3, 15)), wm(30)])
    _grouped_in_tens(script.par_do(Fn("emit_at_finish"), PAIRS))
    run = yield
    expected = {("k", 0, 10): [1, 2], ("k", 10, 20): [3]}
    same(window_groups(run, "out"), expected, "groups of elements that were kept for a while", rule="M-WM-04")


@asserts("TIME12/through-two-groupings", modes=STREAMING)
def test_through_two_groupings(case: Case) -> Scenario:
    script = case.played([add((1, 1)), add((2, 12)), wm(10), wm(20), wm(21), wm(100), wm(101)])
    first = script.window_into(TEN).group_by_key().par_do(SUMMED, PAIRS)
    first.window_into(HUNDRED).par_do(Fn("identity"), PAIRS).group_by_key().observe("out")
    run = yield
    same(window_groups(run, "out"), {("k", 0, 100): [101, 102]}, "groups of groups", rule="M-WM-01")
    same(len(run.seen("out")), 1, "panes of the second grouping", rule="M-WM-01")


@asserts("TIME12/on-every-output", modes=STREAMING)
def test_on_every_output(case: Case) -> Scenario:
    """Elements behind the watermark are dropped behind both outputs: it came through on both."""
    script = case.played([add((1, 1), (2, 2)), wm(12), wm(13), add((3, 3), (4, 4)), wm(30)])
    parity = Fn("route", tags=["even", "odd"], expr=["if", ["%", ["val"], 2], "odd", "even"])
    for tag, output in script.par_do(parity, {"even": PAIRS, "odd": PAIRS}).items():
        _grouped_in_tens(output, tag)
    run = yield
    same(window_groups(run, "odd"), {("k", 0, 10): [1]}, "groups of output 'odd'", rule="M-WM-01")
    same(window_groups(run, "even"), {("k", 0, 10): [2]}, "groups of output 'even'", rule="M-WM-01")


@asserts("TIME12/waiting-elements-hold-it", modes=STREAMING)
def test_waiting_elements_hold_it(case: Case) -> Scenario:
    """The element waits for the side window [0, 100), which has no value before 100; its own window [0, 10) may not end before it."""
    script = case.played([add((1, 4)), wm(50), wm(51), wm(100), wm(101)])
    side = script.window_into(HUNDRED).par_do(Fn("values"), coders.VARINT)
    beside = coders.kv(PAIRS, coders.iterable(coders.VARINT))
    main = script.window_into(TEN).par_do(Fn("side_values", side="side"), beside, side_inputs={"side": side.as_iterable()})
    main.par_do(Fn("map", expr=["get", ["value"], 0]), PAIRS).group_by_key().observe("out")
    run = yield
    same(window_groups(run, "out"), {("k", 0, 10): [1]}, "groups of the element that waited", rule="M-WM-03")


@asserts("TIME15/moves-without-elements", modes=STREAMING)
def test_moves_without_elements(case: Case) -> Scenario:
    """Nothing comes from the source while its watermark goes on over the end of a window; what comes then is late."""
    _grouped_in_tens(case.played([add((1, 1)), wm(4), wm(8), wm(12), wm(13), add((2, 2)), wm(30)]))
    run = yield
    same(window_groups(run, "out"), {("k", 0, 10): [1]}, "the groups", rule="M-WM-01")


@asserts("TIME15/never-an-element", modes=STREAMING)
def test_never_an_element(case: Case) -> Scenario:
    """A source without any element neither stops the job nor holds up what another one has."""
    other = case.program.create([("k", 5)], timestamps=[3], name="other")
    both = case.program.flatten([other, case.played([wm(10), wm(30)])])
    _grouped_in_tens(both)
    run = yield
    same(window_groups(run, "out"), {("k", 0, 10): [5]}, "the groups", rule="M-WM-12")


@asserts("CORE17/slowest-input", modes=STREAMING)
def test_slowest_input(case: Case) -> Scenario:
    """One input is the script itself, at 20; the other is held at 1 by a window of 100: 2 is on time behind their union."""
    script = case.played([add((1, 1)), wm(20), wm(21), add((2, 2)), wm(100), wm(101)])
    direct = script.par_do(Fn("identity"), PAIRS)
    held = _held(case, script).window_into(windowing.global_windows()).par_do(Fn("identity"), PAIRS)
    _grouped_in_tens(case.program.flatten([direct, held]))
    run = yield
    same(window_groups(run, "out"), {("k", 0, 10): [1, 2, 103]}, "groups of the union", rule="M-WM-02")


@asserts("CORE17/goes-on-with-the-slowest", modes=STREAMING)
def test_goes_on_with_the_slowest(case: Case) -> Scenario:
    """When both inputs have passed the window, it is over behind their union."""
    script = case.played([add((1, 1)), wm(12), wm(13), add((2, 2)), wm(30)])
    parts = [script.par_do(Fn("identity"), PAIRS), script.par_do(Fn("drop"), PAIRS)]
    _grouped_in_tens(case.program.flatten(parts))
    run = yield
    same(window_groups(run, "out"), {("k", 0, 10): [1]}, "groups of the union", rule="M-WM-02")
