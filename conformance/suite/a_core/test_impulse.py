"""Impulse, and what is made from it."""

from __future__ import annotations

from conformance.pipeline import Fn, coders
from conformance.suite.assertions import asserts
from conformance.suite.case import Case, Scenario
from conformance.suite.checks import same, same_multiset
from conformance.wire import timestamps
from conformance.wire.values import GLOBAL_WINDOW, NO_FIRING


@asserts("CORE01/one-empty-element")
def test_one_empty_element(case: Case) -> Scenario:
    case.program.impulse().observe("out")
    run = yield
    same(run.values("out"), [b""], rule="M-XF-10")


@asserts("CORE01/at-minimum-in-global-window")
def test_at_minimum_in_global_window(case: Case) -> Scenario:
    case.program.impulse().observe("out")
    run = yield
    places = [(seen.timestamp, seen.window) for seen in run.seen("out")]
    same(places, [(timestamps.MIN, GLOBAL_WINDOW)], "timestamp and window of the element", rule="M-XF-10")


@asserts("CORE01/no-firing-pane")
def test_no_firing_pane(case: Case) -> Scenario:
    case.program.impulse().observe("out")
    run = yield
    same([seen.pane for seen in run.seen("out")], [NO_FIRING], "the pane of the element", rule="M-PANE-01")


@asserts("CORE01/once-for-each-consumer")
def test_once_for_each_consumer(case: Case) -> Scenario:
    source = case.program.impulse()
    for name in ("first", "second"):
        source.observe(name)
    source.par_do(Fn("with_key", key="k"), coders.kv(coders.STRING, coders.BYTES)).group_by_key().observe("third")
    run = yield
    for name in ("first", "second"):
        same(run.values(name), [b""], f"what consumer {name!r} saw", rule="M-XF-10")
    same(run.values("third"), [("k", [b""])], "what the grouping saw", rule="M-XF-10")


@asserts("CORE02/fan-out-arrives-whole")
def test_fan_out_arrives_whole(case: Case) -> Scenario:
    case.program.create(list(range(1000))).observe("out")
    run = yield
    same(run.sorted_values("out"), list(range(1000)), rule="M-XF-18")


@asserts("CORE02/at-minimum-unless-stamped")
def test_at_minimum_unless_stamped(case: Case) -> Scenario:
    case.program.create(["unstamped"], name="plain").observe("plain")
    case.program.create(["stamped"], timestamps=[5000], name="stamped").observe("stamped")
    run = yield
    same_multiset([(seen.value, seen.timestamp) for seen in run.seen("plain")], [("unstamped", timestamps.MIN)], rule="M-TIME-11")
    same_multiset([(seen.value, seen.timestamp) for seen in run.seen("stamped")], [("stamped", 5000)], rule="M-TIME-11")
