"""How long state lives while the watermark moves: to the expiry of its window, not beyond (M-STATE-13)."""

from __future__ import annotations

from conformance.pipeline import Fn, coders, state, windowing
from conformance.suite.assertions import asserts
from conformance.suite.case import Case, Scenario
from conformance.suite.checks import holds, same
from conformance.suite.f_state.functions import counted, scripted
from conformance.suite.f_state.reading import counts
from conformance.suite.scripting import PAIRS, add, wm

STREAMING = ("streaming",)
COUNT = {"count": state.value(coders.VARINT)}
BAG = {"bag": state.bag(coders.VARINT)}
TEN = windowing.fixed(10)


@asserts("STATE24/kept-for-late-elements", modes=STREAMING)
def test_kept_for_late_elements(case: Case) -> Scenario:
    keyed = case.played([add((1, 1)), wm(12), wm(13), add((2, 2)), wm(40)]).window_into(TEN, allowed_lateness=20)
    counted(case, keyed, state=COUNT)
    run = yield
    same(counts(run), {"k": [1, 2]}, "elements counted", rule="M-STATE-13")


@asserts("STATE24/dropped-behind-expiry", modes=STREAMING)
def test_dropped_behind_expiry(case: Case) -> Scenario:
    keyed = case.played([add((1, 1)), wm(12), wm(20), add((2, 2)), wm(40)]).window_into(TEN)
    counted(case, keyed, state=COUNT)
    run = yield
    same(counts(run), {"k": [1]}, "elements counted", rule="M-LATE-05")


@asserts("TRIG32/no-state-behind-expiry", modes=STREAMING)
def test_no_state_behind_expiry(case: Case) -> Scenario:
    """Whether the element is dropped is another question (A-9): if it is processed, it finds nothing of before."""
    keyed = case.played([add((1, 1)), wm(12), wm(20), add((2, 2)), wm(40)]).window_into(TEN)
    counted(case, keyed, state=COUNT)
    run = yield
    found = counts(run)
    holds(
        found in ({"k": [1]}, {"k": [1, 1]}),
        "an element that came behind the expiry of its window found state of before",
        expected="{'k': [1]}, or [1, 1]",
        observed=found,
        rule="M-LATE-09",
    )


@asserts("TRIG32/no-contents-behind-expiry", modes=STREAMING)
def test_no_contents_behind_expiry(case: Case) -> Scenario:
    """Accumulated contents are gone too: no pane that comes of a late element holds them."""
    keyed = case.played([add((1, 1)), wm(12), wm(20), add((2, 2)), wm(40)])
    keyed.window_into(TEN, accumulation="accumulating").group_by_key().observe("out")
    run = yield
    found = [sorted(values) for _, values in run.values("out")]
    holds([1, 2] not in found, "a window that had expired came back", expected=[[1]], observed=found, rule="M-LATE-09")


@asserts("STATE26/held-until-released", modes=STREAMING)
def test_held_until_released(case: Case) -> Scenario:
    """A timer holds the output watermark at 5 until it fires at 50, and emits nothing: the element 2 is on time behind it, 3 is not."""
    events = [add((1, 1)), wm(20), wm(21), add((2, 7)), wm(60), wm(61), add((3, 8)), wm(70)]
    keyed = case.played(events).window_into(windowing.fixed(100))
    steps = [["when", ["==", ["val"], 1], [["set", "t", 50, "", 5]]], ["emit", ["kv", ["key"], ["val"]]]]
    out = scripted(case, keyed, steps, coder=PAIRS, timers={"t": "event"})
    out.window_into(TEN).par_do(Fn("identity"), PAIRS).group_by_key().observe("grouped")
    run = yield
    same(run.groups("grouped"), {"k": [1, 2]}, "the window behind the hold", rule="M-WM-08")


@asserts("STATE26/released-by-clearing", modes=STREAMING)
def test_released_by_clearing(case: Case) -> Scenario:
    events = [add((1, 1)), wm(20), wm(21), add((2, 30)), wm(35), wm(36), add((3, 8)), wm(70)]
    keyed = case.played(events).window_into(windowing.fixed(100))
    first, second = ["==", ["val"], 1], ["==", ["val"], 2]
    steps = [["when", first, [["set", "t", 50, "", 5]]], ["when", second, [["clear", "t"]]], ["emit", ["kv", ["key"], ["val"]]]]
    out = scripted(case, keyed, steps, coder=PAIRS, timers={"t": "event"})
    out.window_into(TEN).par_do(Fn("identity"), PAIRS).group_by_key().observe("grouped")
    run = yield
    same(run.groups("grouped"), {"k": [1, 2]}, "all groups: 3 is dropped, as nothing holds its window", rule="M-WM-08")
