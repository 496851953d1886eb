"""Where late data is dropped and where it is not: at groupings, by the windows that elements are in there (M-LATE-06)."""

from __future__ import annotations

from conformance.pipeline import Fn, coders, windowing
from conformance.suite.assertions import asserts
from conformance.suite.case import Case, Scenario
from conformance.suite.checks import same, same_multiset
from conformance.suite.d_triggers.rows import lines
from conformance.suite.scripting import PAIRS, add, wm

STREAMING = ("streaming",)
TEN = windowing.fixed(10)


@asserts("TRIG22/kept-by-stateless-transforms", modes=STREAMING)
def test_kept_by_stateless_transforms(case: Case) -> Scenario:
    script = case.played([add((1, 1)), wm(50), add((2, 2)), wm(60)])
    script.window_into(TEN).par_do(Fn("identity"), PAIRS).observe("out")
    run = yield
    seen = [(each.value[1], each.timestamp) for each in run.seen("out")]
    same_multiset(seen, [(1, 1), (2, 2)], "values and timestamps", rule="M-LATE-06")


@asserts("TRIG22/kept-where-windows-come-in", modes=STREAMING)
def test_kept_where_windows_come_in(case: Case) -> Scenario:
    """A shuffle stands between, so that elements come to the function in windows that are over already."""
    script = case.played([wm(50), add((1, 1)), wm(60)])
    script.window_into(TEN).reshuffle().par_do(Fn("identity"), PAIRS).observe("out")
    run = yield
    same([each.value[1] for each in run.seen("out")], [1], "values that came behind their window", rule="M-LATE-06")


@asserts("TRIG22/alive-in-another-window", modes=STREAMING)
def test_alive_in_another_window(case: Case) -> Scenario:
    script = case.played([wm(50), add((1, 1)), wm(60)])
    script.window_into(TEN).par_do(Fn("identity"), PAIRS).window_into(windowing.fixed(100)).group_by_key().observe("out")
    run = yield
    same(run.groups("out"), {"k": [1]}, "the groups", rule="M-LATE-06")


@asserts("TRIG23/late-behind-a-splittable-function", modes=STREAMING)
def test_late_behind_a_splittable_function(case: Case) -> Scenario:
    script = case.played([add((1, 1)), wm(10), wm(11), add((2, 2)), wm(31), wm(32), add((3, 3)), wm(50)])
    passed = script.par_do(Fn("range", end=1), coders.kv(PAIRS, coders.VARINT), restriction_coder=coders.OFFSET_RANGE)
    passed = passed.par_do(Fn("map", expr=["get", ["value"], 0]), PAIRS)
    passed.window_into(TEN, allowed_lateness=20).group_by_key().observe("out")
    run = yield
    same(lines(run), ["ON_TIME 1", "LATE 2"], "panes behind a splittable function", rule="M-LATE-06")
