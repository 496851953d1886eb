"""What comes out: exactly once, complete at the end, with any parallelism, whatever the boundedness."""

from __future__ import annotations

import pytest

from conformance.pipeline import Fn, coders, windowing
from conformance.suite.a_core.functions import COUNT_UP, FLAT_VALUES, add, key_modulo
from conformance.suite.assertions import asserts
from conformance.suite.c_windowing.reading import SECOND, window_groups
from conformance.suite.case import Case, Scenario
from conformance.suite.checks import holds, same

PAIRS = coders.kv(coders.VARINT, coders.VARINT)


@asserts("MISC01/order-within-a-bundle")
def test_order_within_a_bundle(case: Case) -> Scenario:
    case.program.create([100]).par_do(COUNT_UP).par_do(Fn("identity")).observe("out")
    run = yield
    same(run.values("out"), list(range(100)), "the elements in order of arrival", rule="M-BNDL-09")


@asserts("MISC01/all-arrive")
def test_all_arrive(case: Case) -> Scenario:
    """Order is free, and so is what a bundle holds: elements are not (M-BNDL-09)."""
    keyed = case.program.create([100]).par_do(COUNT_UP).par_do(key_modulo(3), PAIRS)
    keyed.par_do(Fn("identity"), name="fused").observe("out")
    run = yield
    same(run.sorted_values("out"), sorted((number % 3, number) for number in range(100)), "the elements", rule="M-BNDL-09")


@asserts("MISC02/values-of-key-across-shuffle")
def test_values_of_key_across_shuffle(case: Case) -> Scenario:
    keyed = case.program.create([1000]).par_do(COUNT_UP).par_do(key_modulo(7), PAIRS)
    keyed.group_by_key().observe("out")
    run = yield
    expected = {key: list(range(key, 1000, 7)) for key in range(7)}
    same(run.groups("out"), expected, "the values of each key", rule="M-BNDL-09")


@asserts("MISC03/each-element-once")
def test_each_element_once(case: Case) -> Scenario:
    keyed = case.program.create([1000]).par_do(COUNT_UP).par_do(key_modulo(10), PAIRS)
    first = keyed.group_by_key().par_do(FLAT_VALUES, coders.VARINT)
    again = first.par_do(key_modulo(3), PAIRS).group_by_key(name="again")
    second = again.par_do(FLAT_VALUES, coders.VARINT).par_do(add(1000))
    case.program.flatten([first, second]).observe("out")
    run = yield
    same(run.sorted_values("out"), list(range(2000)), rule="M-BNDL-05")


@asserts("MISC08/any-parallelism", alone=True)
@pytest.mark.parametrize("parallelism", [1, 3])
def test_any_parallelism(case: Case, parallelism: int) -> Scenario:
    case.options = {"parallelism": parallelism, "sdk_worker_parallelism": parallelism}
    keyed = case.program.create([300]).par_do(COUNT_UP)
    keyed.par_do(key_modulo(20), PAIRS).group_by_key().observe("out")
    run = yield
    expected = {key: list(range(key, 300, 20)) for key in range(20)}
    same(run.groups("out"), expected, "the groups", rule="M-BNDL-01")


@asserts("MISC08/many-keys")
def test_many_keys(case: Case) -> Scenario:
    keyed = case.program.create([3000]).par_do(COUNT_UP).par_do(key_modulo(300), PAIRS)
    keyed.group_by_key().observe("out")
    run = yield
    expected = {key: list(range(key, 3000, 300)) for key in range(300)}
    same(run.groups("out"), expected, "the groups", rule="M-BNDL-01")
    same(len(run.values("out")), 300, "the number of groups", rule="M-BNDL-01")


@asserts("MISC09/ends-done", alone=True)
def test_ends_done(case: Case) -> Scenario:
    case.program.create([("a", 1)]).group_by_key().observe("out")
    run = yield
    states = [event.state for event in run.outcome.states]
    holds(bool(states) and states[-1] == "DONE", f"the states are {states}, expected DONE last", observed=states, rule="M-WM-09")
    same(states.count("DONE"), 1, "how often the state stream says DONE", rule="P-JOB-06")


@asserts("MISC09/all-output-before-done", alone=True)
def test_all_output_before_done(case: Case) -> Scenario:
    numbers = case.program.create([200]).par_do(COUNT_UP)
    numbers.observe("first")
    groups = numbers.par_do(key_modulo(5), PAIRS).group_by_key()
    groups.par_do(FLAT_VALUES, coders.VARINT).observe("last")
    run = yield
    same(run.sorted_values("first"), list(range(200)), "what the first transform saw", rule="M-WM-09")
    same(run.sorted_values("last"), list(range(200)), "what the last transform saw", rule="M-WM-09")


@asserts("MISC10/bounded-source-called-unbounded")
def test_bounded_source_called_unbounded(case: Case) -> Scenario:
    created = case.program.create([("a", 1), ("b", 2), ("a", 3)], timestamps=[1000, 2000, 12_000])
    unbounded = created.par_do(Fn("identity"), bounded=False)
    unbounded.window_into(windowing.fixed(10 * SECOND)).group_by_key().observe("out")
    run = yield
    expected = {("a", 0, 10_000): [1], ("b", 0, 10_000): [2], ("a", 10_000, 20_000): [3]}
    same(window_groups(run, "out"), expected, "the groups by key and window", rule="M-WM-12")


@asserts("MISC11/streaming-option-on-bounded-program", alone=True)
@pytest.mark.parametrize("streaming", [False, True], ids=["batch", "streaming"])
def test_streaming_option(case: Case, streaming: bool) -> Scenario:
    case.options = {"streaming": streaming}
    window = windowing.fixed(10 * SECOND)
    created = case.program.create([("a", 1), ("b", 2), ("a", 3)], timestamps=[1000, 2000, 12_000], window=window)
    created.group_by_key().observe("out")
    run = yield
    expected = {("a", 0, 10_000): [1], ("b", 0, 10_000): [2], ("a", 10_000, 20_000): [3]}
    same(window_groups(run, "out"), expected, "the groups by key and window", rule="M-BATCH-03")
