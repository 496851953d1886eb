"""Timers while the watermark and the clock move: not before their time, by the next event behind it, once (M-TIMER-10, M-TIMER-25).

Each element reports what the callbacks have left in a bag before it. Watermarks keep a step off the timers (A-1), clocks many seconds
(M-TIMER-26); elements that must find a timer pending are older than it (M-TIMER-18). A watermark step stands behind each group of
elements, so that every runner has processed them before the next event.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from conformance.pipeline import Fn, PCollection, coders, state, windowing
from conformance.pipeline.teststream import Event
from conformance.suite.assertions import asserts
from conformance.suite.case import Case, Scenario
from conformance.suite.checks import same
from conformance.suite.f_state.functions import scripted
from conformance.suite.g_timers import functions as functions
from conformance.suite.run import Run
from conformance.suite.scripting import add, tick, wm

STREAMING = ("streaming",)
BAG = {"bag": state.bag(coders.VARINT)}
MINUTE = 60_000


def _first(*steps: Any) -> list[Any]:
    """Steps of the element 1 only."""
    return ["when", ["==", ["val"], 1], list(steps)]


def _timed(case: Case, events: Sequence[Event], *steps: Any, timer: Sequence[Any] = (), domain: Any = "event") -> PCollection:
    """Elements run `steps` and report (value, bag); callbacks put their fire timestamp into the bag and run `timer`."""
    report = [["note", ["val"]], ["state", "bag", "read"], *steps]
    callback = [["state", "bag", "add", ["fire"] if domain == "event" else 1], *timer]
    return scripted(case, case.played(events), report, timer=callback, state=BAG, timers={"t": domain})


def _reads(run: Run) -> dict[int, list[int]]:
    """{element: what it read, sorted}."""
    return {value: sorted(bag) for _, (value, bag) in run.values("out")}


@asserts("TIMER01/not-before-its-time", modes=STREAMING)
def test_not_before_its_time(case: Case) -> Scenario:
    _timed(case, [add((1, 1)), wm(47), wm(48), add((2, 49)), wm(49), wm(55)], _first(["set", "t", 50]))
    run = yield
    same(_reads(run), {1: [], 2: []}, "timers that had fired before each element", rule="M-TIMER-10")


@asserts("TIMER01/by-the-next-event", modes=STREAMING)
def test_by_the_next_event(case: Case) -> Scenario:
    _timed(case, [add((1, 1)), wm(49), wm(52), wm(53), add((2, 60)), wm(55)], _first(["set", "t", 50]))
    run = yield
    same(_reads(run), {1: [], 2: [50]}, "timers that had fired before each element", rule="M-TIMER-10")


@asserts("TIMER01/fire-timestamp-as-set", modes=STREAMING)
def test_fire_timestamp_as_set(case: Case) -> Scenario:
    _timed(case, [add((1, 1)), wm(10), wm(80), wm(81)], _first(["set", "t", 50]))
    run = yield
    same([fire for _, _, _, fire, _ in run.values("fired")], [50], "the fire timestamps delivered", rule="P-TMR-05")


@asserts("TIMER05/not-at-the-old-time", modes=STREAMING)
def test_not_at_the_old_time(case: Case) -> Scenario:
    events = [add((1, 1)), wm(5), add((2, 6)), wm(25), wm(26), add((3, 30)), wm(27), wm(45), wm(46), add((4, 60)), wm(70)]
    _timed(case, events, _first(["set", "t", 20]), ["when", ["==", ["val"], 2], [["set", "t", 40]]])
    run = yield
    same(_reads(run), {1: [], 2: [], 3: [], 4: [40]}, "timers that had fired before each element", rule="M-TIMER-02")


@asserts("TIMER06/cleared-in-a-later-bundle", modes=STREAMING)
def test_cleared_in_a_later_bundle(case: Case) -> Scenario:
    events = [add((1, 1)), wm(5), add((2, 6)), wm(25), wm(26), add((3, 60)), wm(70)]
    _timed(case, events, _first(["set", "t", 20]), ["when", ["==", ["val"], 2], [["clear", "t"]]])
    run = yield
    same(_reads(run), {1: [], 2: [], 3: []}, "timers that had fired before each element", rule="M-TIMER-04")


@asserts("TIMER09/as-far-as-the-watermark", modes=STREAMING)
def test_loops_as_far_as_the_watermark(case: Case) -> Scenario:
    events = [add((1, 1)), wm(25), wm(26), add((2, 28)), wm(27), wm(60), wm(61), add((3, 70)), wm(80)]
    again = ["when", ["<", ["fire"], 50], [["set", "t", ["+", ["fire"], 10]]]]
    _timed(case, events, _first(["set", "t", 10]), timer=[again])
    run = yield
    expected = {1: [], 2: [10, 20], 3: [10, 20, 30, 40, 50]}
    same(_reads(run), expected, "timers that had fired before each element", rule="M-TIMER-22")


@asserts("TIMER11/as-the-watermark-jumps", modes=STREAMING)
def test_order_as_the_watermark_jumps(case: Case) -> Scenario:
    steps = [["set", "t", 30, "c"], ["set", "t", 10, "a"], ["set", "t", 20, "b"]]
    timer = [["state", "bag", "read"], ["state", "bag", "add", ["fire"]]]
    keyed = case.played([add((1, 1)), wm(5), wm(60), wm(61)])
    scripted(case, keyed, steps, timer=timer, state=BAG, timers={"t": "event"})
    run = yield
    found = [tag for _, tag in sorted((len(read), tag) for _, _, tag, _, [read] in run.values("fired"))]
    same(found, ["a", "b", "c"], "the order of callbacks", rule="M-TIMER-17")


@asserts("TIMER24/fires-without-elements", modes=STREAMING)
def test_fires_without_elements(case: Case) -> Scenario:
    """Nothing but the watermark moves, in steps, over a timer that sets the next one."""
    events = [add((1, 1)), wm(10), wm(20), wm(35), wm(52), wm(53), add((2, 60)), wm(70)]
    again = ["when", ["<", ["fire"], 50], [["set", "t", ["+", ["fire"], 20]]]]
    _timed(case, events, _first(["set", "t", 30]), timer=[again])
    run = yield
    same(_reads(run), {1: [], 2: [30, 50]}, "timers that had fired before each element", rule="M-TIMER-10")


@asserts("TIMER04/not-before-its-time", modes=STREAMING)
def test_clock_not_before_its_time(case: Case) -> Scenario:
    events = [add((1, 1)), wm(2), tick(MINUTE // 3), wm(3), add((2, 5)), wm(6)]
    _timed(case, events, _first(["set", "t", ["+", ["now"], MINUTE]]), domain="processing")
    run = yield
    same(_reads(run), {1: [], 2: []}, "timers that had fired before each element", rule="M-TIMER-25")


@asserts("TIMER04/when-the-clock-has-passed", modes=STREAMING)
def test_when_the_clock_has_passed(case: Case) -> Scenario:
    events = [add((1, 1)), wm(2), tick(MINUTE // 3), tick(MINUTE), wm(3), add((2, 5)), wm(6)]
    _timed(case, events, _first(["set", "t", ["+", ["now"], MINUTE]]), domain="processing")
    run = yield
    same(_reads(run), {1: [], 2: [1]}, "timers that had fired before each element", rule="M-TIMER-26")


@asserts("TIMER21/state-at-the-last-instant", modes=STREAMING)
def test_state_at_the_last_instant(case: Case) -> Scenario:
    """The watermark jumps over a timer within allowed lateness and over the expiry of its window."""
    keyed = case.played([add((1, 1)), wm(5), wm(60), wm(61)]).window_into(windowing.fixed(10), allowed_lateness=5)
    steps = [["state", "bag", "add", ["val"]], ["set", "t", 14]]
    scripted(case, keyed, steps, timer=[["state", "bag", "read"]], state=BAG, timers={"t": "event"})
    run = yield
    same([(fire, read) for *_, fire, [read] in run.values("fired")], [(14, [1])], "the timer and what it read", rule="M-STATE-13")


@asserts("TIMER22/once-when-the-window-expires", modes=STREAMING)
def test_expiration_once(case: Case) -> Scenario:
    keyed = case.played([add((1, 1)), wm(2), add((2, 3)), wm(5), wm(12), wm(13)]).window_into(windowing.fixed(10))
    steps = [["state", "bag", "add", ["val"]]]
    out = scripted(
        *(case, keyed, steps), expire=[["state", "bag", "read"]], coder=coders.BYTES, state=BAG, on_window_expiration="expiry"
    )
    out.par_do(Fn("with_key", key="all"), coders.kv(coders.STRING, coders.BYTES)).group_by_key().observe("grouped")
    run = yield
    found = [(key, sorted(read)) for key, [read] in run.values("expired")]
    same(found, [("k", [1, 2])], "key and state in the calls", rule="M-STATE-18")


@asserts("TIMER22/output-is-on-time", modes=STREAMING)
def test_expiration_output_on_time(case: Case) -> Scenario:
    """What the call emits is at the end of its window, so a grouping by the same windows must not have expired them."""
    pairs = coders.kv(coders.STRING, coders.VARINT)
    keyed = case.played([add((1, 1)), wm(2), wm(12), wm(13)]).window_into(windowing.fixed(10))
    steps = [["state", "bag", "add", ["val"]]]
    expire = [["emit", ["kv", ["key"], 7]]]
    out = scripted(case, keyed, steps, expire=expire, coder=pairs, state=BAG, on_window_expiration="expiry")
    out.group_by_key().observe("grouped")
    run = yield
    same(run.groups("grouped"), {"k": [7]}, "groups of what the call emitted", rule="M-STATE-18")
