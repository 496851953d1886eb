"""Timestamps of elements: carried as they are, moved forward and back by user code, at both ends of time, combined where windows merge."""

from __future__ import annotations

import pytest

from conformance.pipeline import Fn, coders, state, windowing
from conformance.pipeline.windowing import OutputTime
from conformance.suite.a_core.functions import shift_timestamp
from conformance.suite.assertions import asserts
from conformance.suite.c_windowing.reading import SECOND, bounds, stamped, window_groups
from conformance.suite.case import Case, Scenario
from conformance.suite.checks import same, same_multiset
from conformance.suite.f_state.functions import scripted
from conformance.suite.f_state.reading import FAR
from conformance.wire import timestamps

TEN = windowing.fixed(10 * SECOND)
PAIRS = coders.kv(coders.STRING, coders.VARINT)


@asserts("TIME01/kept-on-the-way")
def test_kept_on_the_way(case: Case) -> Scenario:
    created = case.program.create(["a", "b"], timestamps=[1000, 25_000])
    passed = created.par_do(Fn("identity"), coders.STRING).window_into(TEN).reshuffle()
    case.program.flatten([passed.par_do(Fn("identity"), coders.STRING)]).observe("out")
    run = yield
    same_multiset(stamped(run, "out"), [("a", 1000), ("b", 25_000)], "elements and timestamps", rule="M-TIME-07")


@asserts("TIME02/later-timestamp-carried")
def test_later_timestamp_carried(case: Case) -> Scenario:
    shifted = case.program.create([("k", 1), ("k", 2)], timestamps=[1000, 8000]).par_do(shift_timestamp(5000), PAIRS)
    shifted.observe("shifted")
    shifted.window_into(TEN).group_by_key().observe("grouped")
    run = yield
    same_multiset(stamped(run, "shifted"), [(("k", 1), 6000), (("k", 2), 13_000)], "elements and timestamps", rule="M-TIME-07")
    expected = {("k", 0, 10_000): [1], ("k", 10_000, 20_000): [2]}
    same(window_groups(run, "grouped"), expected, "groups by the new timestamps", rule="M-WIN-18")


@asserts("TIME03/earlier-timestamp-neither-refused-nor-moved")
def test_earlier_timestamp(case: Case) -> Scenario:
    shifted = case.program.create([("k", 1), ("k", 2)], timestamps=[15_000, 28_000]).par_do(shift_timestamp(-15_000), PAIRS)
    shifted.observe("shifted")
    shifted.window_into(TEN).group_by_key().observe("grouped")
    run = yield
    same_multiset(stamped(run, "shifted"), [(("k", 1), 0), (("k", 2), 13_000)], "elements and timestamps", rule="M-TIME-09")
    expected = {("k", 0, 10_000): [1], ("k", 10_000, 20_000): [2]}
    same(window_groups(run, "grouped"), expected, "groups by the new timestamps", rule="M-TIME-09")


@asserts("TIME04/earlier-timestamp-of-a-timer")
def test_earlier_timestamp_of_a_timer(case: Case) -> Scenario:
    keyed = case.program.create([("k", 1)], timestamps=[1000])
    fn = Fn("program", on_element=[["set", "t", FAR]], on_timer={"t": [["emit_at", ["kv", ["key"], 7], 500]]})
    keyed.par_do(fn, PAIRS, timers={"t": "event"}).observe("out")
    run = yield
    same(stamped(run, "out"), [(("k", 7), 500)], "what the callback emitted, and its timestamp", rule="M-TIME-09")


@asserts("TIME04/earlier-timestamp-at-expiry")
def test_earlier_timestamp_at_expiry(case: Case) -> Scenario:
    keyed = case.program.create([("k", 1)], timestamps=[1000], window=TEN)
    fn = Fn("program", on_element=[["do", "bag", "add", ["val"]]], on_expiration=[["emit_at", ["kv", ["key"], 7], 500]])
    emitted = keyed.par_do(fn, PAIRS, state={"bag": state.bag(coders.VARINT)}, on_window_expiration="expiry")
    emitted.observe("out")
    emitted.group_by_key().observe("grouped")
    run = yield
    same(stamped(run, "out"), [(("k", 7), 500)], "what the call emitted, and its timestamp", rule="M-TIME-09")


@asserts("TIME08/combined-where-sessions-merge")
@pytest.mark.parametrize(("combiner", "expected"), [("earliest", 1000), ("latest", 15_000), ("end_of_window", 24_999)])
def test_combined_where_sessions_merge(case: Case, combiner: OutputTime, expected: int) -> Scenario:
    """Three sessions, the third of which joins the others: [1 s, 11 s), [15 s, 25 s), [8 s, 18 s)."""
    created = case.program.create([("k", 1), ("k", 2), ("k", 3)], timestamps=[1000, 15_000, 8000])
    created.window_into(windowing.sessions(10 * SECOND), timestamp_combiner=combiner).group_by_key().observe("out")
    run = yield
    found = [(bounds(seen.window), seen.timestamp) for seen in run.seen("out")]
    same(found, [((1000, 25_000), expected)], "the session and its timestamp", rule="M-HOLD-08")


@asserts("TIME13/everything-comes-to-its-end")
def test_everything_comes_to_its_end(case: Case) -> Scenario:
    """Groups of the global window and a timer at its last instant wait for the end of time, which bounded input reaches."""
    keyed = case.program.create([("k", 1), ("k", 2)], timestamps=[1000, 2000])
    keyed.group_by_key().observe("grouped")
    steps = [["set", "t", timestamps.GLOBAL_WINDOW_MAX - 1]]
    scripted(case, keyed, steps, timers={"t": "event"})
    run = yield
    same(run.groups("grouped"), {"k": [1, 2]}, "the group of the global window", rule="M-WM-09")
    same(len(run.values("fired")), 1, "timers that fired at the end of the global window", rule="M-WM-09")


@asserts("TIME14/ends-of-time-carried")
def test_ends_of_time_carried(case: Case) -> Scenario:
    moments = [timestamps.MIN, timestamps.MIN + 1, timestamps.GLOBAL_WINDOW_MAX]
    created = case.program.create([("k", number) for number in range(3)], timestamps=moments)
    passed = created.par_do(Fn("identity"), PAIRS)
    passed.observe("out")
    passed.group_by_key().observe("grouped")
    run = yield
    expected = [(("k", number), moment) for number, moment in enumerate(moments)]
    same_multiset(stamped(run, "out"), expected, "elements and timestamps", rule="M-TIME-01")
    same(run.groups("grouped"), {"k": [0, 1, 2]}, "the group of the global window", rule="M-TIME-02")


@asserts("TIME14/moved-to-the-ends-of-time")
@pytest.mark.parametrize("moment", [timestamps.MIN, timestamps.GLOBAL_WINDOW_MAX], ids=["first", "last"])
def test_moved_to_the_ends_of_time(case: Case, moment: int) -> Scenario:
    created = case.program.create(["a"], timestamps=[1000])
    created.par_do(Fn("timestamp", expr=moment), coders.STRING).observe("out")
    run = yield
    same(stamped(run, "out"), [("a", moment)], "element and timestamp", rule="M-TIME-01")
