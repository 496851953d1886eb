"""Event-time timers: that they fire, at what they were set to, once, and what set and clear make of one another (M-TIMER-01..04)."""

from __future__ import annotations

import pytest

from conformance.pipeline import Fn, coders, state, windowing
from conformance.suite.assertions import asserts
from conformance.suite.c_windowing.reading import SECOND
from conformance.suite.case import Case, Scenario
from conformance.suite.checks import holds, same, same_multiset
from conformance.suite.f_state.functions import scripted
from conformance.suite.f_state.reading import FAR, firings
from conformance.suite.g_timers import functions as functions

COUNT = {"count": state.value(coders.VARINT)}
BAG = {"bag": state.bag(coders.STRING)}
PAIRS = coders.kv(coders.STRING, coders.VARINT)
TEN = windowing.fixed(10 * SECOND)


@asserts("TIMER01/fires-once")
def test_fires_once(case: Case) -> Scenario:
    keyed = case.program.create([("k", 1), ("j", 2)], timestamps=[1000, 2000])
    scripted(case, keyed, [["set", "t", FAR]], timers={"t": "event"})
    run = yield
    same_multiset(firings(run), [("k", "", FAR), ("j", "", FAR)], "key, tag and fire timestamp", rule="M-TIMER-10")


@asserts("TIMER01/set-in-the-past")
def test_set_in_the_past(case: Case) -> Scenario:
    keyed = case.program.create([("k", 1)], timestamps=[50_000])
    scripted(case, keyed, [["set", "t", 40_000, "", 40_000]], timers={"t": "event"})
    run = yield
    same([(key, tag) for key, tag, _ in firings(run)], [("k", "")], "keys and tags of firings", rule="M-TIMER-16")


@asserts("TIMER01/emits")
def test_emits(case: Case) -> Scenario:
    keyed = case.program.create([("k", 1), ("j", 2)], timestamps=[1000, 1000])
    process = [["set", "t", FAR]]
    out = scripted(case, keyed, process, timer=[["emit", ["key"]]], coder=coders.STRING, timers={"t": "event"})
    out.par_do(Fn("with_key", key="all"), coders.kv(coders.STRING, coders.STRING)).group_by_key().observe("grouped")
    run = yield
    same(run.groups("grouped"), {"all": ["j", "k"]}, "what the callbacks emitted", rule="M-BATCH-09")


@asserts("TIMER02/end-of-each-window")
def test_end_of_each_window(case: Case) -> Scenario:
    pairs = [("k", 1), ("k", 2), ("j", 3), ("k", 4)]
    keyed = case.program.create(pairs, timestamps=[1000, 2000, 3000, 14_000], window=TEN)
    scripted(case, keyed, [["set", "t", ["-", ["window_end"], 1]]], timers={"t": "event"})
    run = yield
    expected = [("k", "", 9999), ("j", "", 9999), ("k", "", 19_999)]
    same_multiset(firings(run), expected, "key, tag and fire timestamp", rule="M-TIMER-01")


@asserts("TIMER03/each-at-its-own-time")
def test_each_at_its_own_time(case: Case) -> Scenario:
    moments = [number * 1000 for number in range(8)]
    keyed = case.program.create([(f"k{number}", number) for number in range(8)], timestamps=moments)
    scripted(case, keyed, [["set", "t", ["+", ["timestamp"], 4500]]], timers={"t": "event"})
    run = yield
    expected = [(f"k{number}", "", number * 1000 + 4500) for number in range(8)]
    same_multiset(firings(run), expected, "key, tag and fire timestamp", rule="P-TMR-05")


@pytest.mark.parametrize("times", [(FAR, FAR + 500), (FAR + 500, FAR)], ids=["later", "earlier"])
@asserts("TIMER05/last-set-wins")
def test_last_set_wins(case: Case, times: tuple[int, int]) -> Scenario:
    keyed = case.program.create([("k", 1)], timestamps=[1000])
    scripted(case, keyed, [["set", "t", FAR - 10], *(["set", "t", time] for time in times)], timers={"t": "event"})
    run = yield
    same(firings(run), [("k", "", times[1])], "key, tag and fire timestamp", rule="M-TIMER-03")


@asserts("TIMER05/set-by-several-elements")
def test_set_by_several_elements(case: Case) -> Scenario:
    keyed = case.program.create([("k", number) for number in range(6)], timestamps=6 * [1000])
    scripted(case, keyed, [["set", "t", ["+", FAR, ["val"]]]], timers={"t": "event"})
    run = yield
    fired = [fire for _, _, fire in firings(run)]
    same(len(fired), 1, "number of firings", rule="M-TIMER-02")
    holds(fired[0] in range(FAR, FAR + 6), "fired when no element had set it", observed=fired, rule="P-TMR-05")


@asserts("TIMER05/other-keys-not-overwritten")
def test_other_keys_not_overwritten(case: Case) -> Scenario:
    keyed = case.program.create([("j", 1), ("k", 2), ("j", 3)], timestamps=[1000, 1000, 15_000], window=TEN)
    scripted(case, keyed, [["set", "t", ["+", ["timestamp"], ["val"]]]], timers={"t": "event"})
    run = yield
    expected = [("j", "", 1001), ("k", "", 1002), ("j", "", 15_003)]
    same_multiset(firings(run), expected, "key, tag and fire timestamp", rule="M-TIMER-01")


@asserts("TIMER06/cleared-does-not-fire")
def test_cleared_does_not_fire(case: Case) -> Scenario:
    keyed = case.program.create([("k", 1), ("j", 2)], timestamps=[1000, 1000])
    steps = [["set", "t", FAR], ["when", ["==", ["key"], "k"], [["clear", "t"]]]]
    scripted(case, keyed, steps, timers={"t": "event"})
    run = yield
    same(firings(run), [("j", "", FAR)], "key, tag and fire timestamp", rule="M-TIMER-02")


@asserts("TIMER06/cleared-by-a-later-element")
def test_cleared_by_a_later_element(case: Case) -> Scenario:
    # each element sets the timer, and clears it if it is not the first: with two elements a key, nothing is left
    keyed = case.program.create([("k", 1), ("k", 2), ("j", 3)], timestamps=3 * [1000])
    fn = Fn("suite_set_or_clear", observer=case.program.prefix + "fired", fire=FAR)
    keyed.par_do(fn, coders.BYTES, state=COUNT, timers={"t": "event"})
    run = yield
    same(run.values("fired"), ["j"], "keys of firings", rule="M-TIMER-04")


@asserts("TIMER07/clear-of-unset")
def test_clear_of_unset(case: Case) -> Scenario:
    keyed = case.program.create([("k", 1), ("j", 2)], timestamps=[1000, 1000])
    steps = [["clear", "t"], ["clear", "t", "other"], ["when", ["==", ["key"], "j"], [["set", "t", FAR, "mine"]]]]
    scripted(case, keyed, steps, timers={"t": "event"})
    run = yield
    same(firings(run), [("j", "mine", FAR)], "key, tag and fire timestamp", rule="M-TIMER-02")


@asserts("TIMER08/set-after-clear")
def test_set_after_clear(case: Case) -> Scenario:
    keyed = case.program.create([("k", 1)], timestamps=[1000])
    steps = [["set", "t", FAR], ["clear", "t"], ["set", "t", FAR + 7]]
    scripted(case, keyed, steps, timers={"t": "event"})
    run = yield
    same(firings(run), [("k", "", FAR + 7)], "key, tag and fire timestamp", rule="M-TIMER-03")


@asserts("TIMER09/loops-to-its-bound")
def test_loops_to_its_bound(case: Case) -> Scenario:
    keyed = case.program.create([("k", 1), ("j", 2)], timestamps=[1000, 1000])
    fn = Fn("suite_loop", observer=case.program.prefix + "fired", first=FAR, step=1000, times=6)
    keyed.par_do(fn, coders.BYTES, state=COUNT, timers={"t": "event"})
    run = yield
    expected = [(key, FAR + number * 1000, number + 1) for key in "jk" for number in range(6)]
    same(run.sorted_values("fired"), expected, "key, fire timestamp and count", rule="M-TIMER-22")


@asserts("TIMER09/loops-in-each-window")
def test_loops_in_each_window(case: Case) -> Scenario:
    keyed = case.program.create([("k", 1)], timestamps=[500], window=windowing.sliding(20 * SECOND, 10 * SECOND))
    fn = Fn("suite_loop", observer=case.program.prefix + "fired", first=1000, step=1000, times=4)
    keyed.par_do(fn, coders.BYTES, state=COUNT, timers={"t": "event"})
    run = yield
    found = sorted((seen.window.start, seen.value[1]) for seen in run.seen("fired"))  # type: ignore[union-attr]
    expected = [(start, number * 1000) for start in (-10_000, 0) for number in range(1, 5)]
    same(found, expected, "window start and fire timestamp", rule="M-TIMER-22")


@asserts("TIMER10/set-each-other")
def test_set_each_other(case: Case) -> Scenario:
    keyed = case.program.create([("k", 1)], timestamps=[1000])
    fn = Fn("suite_ping_pong", observer=case.program.prefix + "fired", first=FAR, step=500, times=6)
    keyed.par_do(fn, coders.BYTES, state=COUNT, timers={"ping": "event", "pong": "event"})
    run = yield
    expected = [("pong" if number % 2 else "ping", FAR + number * 500, number) for number in range(6)]
    same_multiset(run.values("fired"), expected, "family, fire timestamp and number before", rule="M-TIMER-22")


def _order(found: list[tuple[object, str, str, int, list[list[str]]]]) -> list[str]:
    """Tags in the order in which callbacks ran, by how many each found in the bag before it."""
    return [tag for _, tag in sorted((len(read), tag) for _, _, tag, _, [read] in found)]


@asserts("TIMER11/by-fire-timestamp")
def test_by_fire_timestamp(case: Case) -> Scenario:
    keyed = case.program.create([("k", 1)], timestamps=[1000])
    steps = [["set", "t", FAR + offset, tag] for tag, offset in (("c", 30), ("a", 10), ("d", 40), ("b", 20))]
    timer = [["state", "bag", "read"], ["state", "bag", "add", ["tag"]]]
    scripted(case, keyed, steps, timer=timer, state=BAG, timers={"t": "event"})
    run = yield
    same(_order(run.values("fired")), ["a", "b", "c", "d"], "the order of callbacks", rule="M-TIMER-17")


@asserts("TIMER11/set-by-a-callback-in-between")
def test_set_by_a_callback_in_between(case: Case) -> Scenario:
    keyed = case.program.create([("k", 1)], timestamps=[1000])
    steps = [["set", "t", FAR + 10_000, "last"], ["set", "t", FAR, "first"]]
    timer = [
        ["state", "bag", "read"],
        ["state", "bag", "add", ["tag"]],
        ["when", ["==", ["fire"], FAR], [["set", "t", FAR + 5000, "middle"]]],
    ]
    scripted(case, keyed, steps, timer=timer, state=BAG, timers={"t": "event"})
    run = yield
    same(_order(run.values("fired")), ["first", "middle", "last"], "the order of callbacks", rule="M-TIMER-17")


@asserts("TIMER27/elements-first")
def test_elements_first(case: Case) -> Scenario:
    # every element of the key is before the timer, wherever it comes from
    parts = [case.program.create([("k", number)], timestamps=[number * 100], name=f"c{number}") for number in range(4)]
    late = case.program.create([("k", 8), ("k", 9)], timestamps=[500, 600], name="late").reshuffle()
    steps = [["state", "bag", "add", ["str", ["val"]]], ["set", "t", FAR]]
    timer = [["state", "bag", "read"]]
    scripted(case, case.program.flatten([*parts, late]), steps, timer=timer, state=BAG, timers={"t": "event"})
    run = yield
    found = [sorted(read) for *_, [read] in run.values("fired")]
    same(found, [["0", "1", "2", "3", "8", "9"]], "elements processed before the timer", rule="M-TIMER-18")
