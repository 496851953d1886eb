"""Which cell is which: by key, window, transform and id (M-STATE-01), kept over elements and bundles, undone with a failed bundle."""

from __future__ import annotations

from typing import Any

import pytest

from conformance.pipeline import Fn, Program, coders, state, windowing
from conformance.pipeline.state import StateCell
from conformance.suite.assertions import asserts
from conformance.suite.c_windowing.reading import SECOND
from conformance.suite.case import Case, Scenario
from conformance.suite.checks import same
from conformance.suite.execution import RunnerUnderTest, raise_unless_done
from conformance.suite.f_state.functions import counted, scripted
from conformance.suite.f_state.reading import FAR, answers, counts, counts_by_window, unordered
from conformance.suite.outcomes import NotExercised
from conformance.suite.run import Run

COUNT = {"count": state.value(coders.VARINT)}
PAIRS = coders.kv(coders.STRING, coders.VARINT)


@asserts("STATE03/fixed-windows-apart")
def test_fixed_windows_apart(case: Case) -> Scenario:
    moments = [1000, 2000, 11_000, 12_000, 13_000, 25_000]
    pairs = [("k", number) for number in range(6)]
    keyed = case.program.create(pairs, timestamps=moments, window=windowing.fixed(10 * SECOND))
    counted(case, keyed, state=COUNT)
    run = yield
    expected = {("k", 0): [1, 2], ("k", 10_000): [1, 2, 3], ("k", 20_000): [1]}
    same(counts_by_window(run), expected, "elements counted by key and window", rule="M-STATE-15")


@asserts("STATE03/each-window-of-an-element")
def test_each_window_of_an_element(case: Case) -> Scenario:
    # windows of 30 s every 10 s: 12 s and 22 s share those that begin at 0 and at 10 s
    keyed = case.program.create([("k", 1), ("k", 2)], timestamps=[12_000, 22_000], window=windowing.sliding(30_000, 10_000))
    counted(case, keyed, state=COUNT)
    run = yield
    expected = {("k", -10_000): [1], ("k", 0): [1, 2], ("k", 10_000): [1, 2], ("k", 20_000): [1]}
    same(counts_by_window(run), expected, "elements counted by key and window", rule="M-STATE-15")


@asserts("STATE03/windows-of-several-keys")
def test_windows_of_several_keys(case: Case) -> Scenario:
    pairs = [("j", 1), ("k", 2), ("j", 3), ("k", 4), ("k", 5)]
    moments = [1000, 2000, 11_000, 12_000, 3000]
    keyed = case.program.create(pairs, timestamps=moments, window=windowing.fixed(10 * SECOND))
    counted(case, keyed, state=COUNT)
    run = yield
    expected = {("j", 0): [1], ("k", 0): [1, 2], ("j", 10_000): [1], ("k", 10_000): [1]}
    same(counts_by_window(run), expected, "elements counted by key and window", rule="M-STATE-01")


@asserts("STATE04/keys-apart")
def test_keys_apart(case: Case) -> Scenario:
    pairs = [(key, number) for number in range(3) for key in ("a", "b", "", "ab")] + [("a", 9)]
    counted(case, case.program.create(pairs), state=COUNT)
    run = yield
    expected = {"a": [1, 2, 3, 4], "b": [1, 2, 3], "": [1, 2, 3], "ab": [1, 2, 3]}
    same(counts(run), expected, "elements counted by key", rule="M-STATE-01")


@asserts("STATE04/fifty-keys")
def test_fifty_keys(case: Case) -> Scenario:
    pairs = [(key, number) for number in range(3) for key in range(50)]
    counted(case, case.program.create(pairs), state=COUNT)
    run = yield
    same(counts(run), {key: [1, 2, 3] for key in range(50)}, "elements counted by key", rule="M-STATE-01")


@asserts("STATE05/same-id-in-two-transforms")
def test_same_id_in_two_transforms(case: Case) -> Scenario:
    keyed = case.program.create([("k", 1), ("k", 2), ("j", 3)])
    counted(case, keyed, "first", state=COUNT, name="first")
    counted(case, keyed, "second", state=COUNT, name="second")
    run = yield
    for observer in ("first", "second"):
        same(counts(run, observer), {"k": [1, 2], "j": [1]}, f"elements counted by {observer}", rule="M-STATE-01")


@asserts("STATE05/same-id-in-a-chain")
def test_same_id_in_a_chain(case: Case) -> Scenario:
    # both may run in one stage, in one bundle, for the same key
    keyed = case.program.create([("k", 1), ("k", 2)])
    cells = {"bag": state.bag(coders.STRING)}
    steps = [["state", "bag", "add", "one"], ["state", "bag", "read"], ["emit", ["value"]]]
    passed = scripted(case, keyed, steps, observer="one", coder=PAIRS, state=cells, name="one")
    scripted(case, passed, [["state", "bag", "read"], ["state", "bag", "add", "two"]], observer="two", state=cells, name="two")
    run = yield
    one = sorted(read for _, [read] in run.values("one"))
    two = sorted(read for _, [read] in run.values("two"))
    same(one, [["one"], ["one", "one"]], "reads of the first transform", rule="M-STATE-01")
    same(two, [[], ["two"]], "reads of the second transform", rule="M-STATE-01")


@asserts("STATE27/survives-elements-of-several-sources")
def test_survives_elements_of_several_sources(case: Case) -> Scenario:
    direct = [case.program.create([("k", number), ("j", number)], name=f"c{number}") for number in range(4)]
    grouped = case.program.create([("k", 8), ("k", 9), ("j", 8)]).group_by_key()
    counted(case, case.program.flatten([*direct, grouped.par_do(Fn("ungroup"), PAIRS)]), state=COUNT)
    run = yield
    expected = {"k": [1, 2, 3, 4, 5, 6], "j": [1, 2, 3, 4, 5]}
    same(counts(run), expected, "elements counted by key", rule="M-BNDL-10")


@asserts("STATE27/survives-to-later-timers")
def test_survives_to_later_timers(case: Case) -> Scenario:
    # a timer never fires in the bundle that sets it before that bundle's end, so its state comes from another bundle
    keyed = case.program.create([("k", 5), ("j", 6)], timestamps=[1000, 1000])
    process = [["state", "bag", "add", ["val"]], ["set", "t", FAR]]
    timer = [["state", "bag", "read"], ["state", "bag", "add", 100], ["when", ["==", ["key"], "k"], [["set", "u", FAR + 1]]]]
    later = [["state", "bag", "read"]]
    scripted(
        case,
        keyed,
        process,
        timer={"t": timer, "u": later},
        state={"bag": state.bag(coders.VARINT)},
        timers={"t": "event", "u": "event"},
    )
    run = yield
    reads = sorted((key, family, sorted(read)) for key, family, _, _, [read] in run.values("fired"))
    expected = [("j", "t", [6]), ("k", "t", [5]), ("k", "u", [5, 100])]
    same(reads, expected, "what the timers' callbacks read", rule="M-STATE-01")


#: For each kind of state: what is written in one bundle, how it is read in another, and what that must give.
KINDS: dict[str, tuple[StateCell, list[Any], list[Any], Any]] = {
    "value": (state.value(coders.VARINT), [["write", 1], ["write", 300]], ["read"], 300),
    "bag": (state.bag(coders.VARINT), [["add", 1], ["add", 300], ["add", 1]], ["read"], [1, 1, 300]),
    "combining": (state.combining(Fn("sum"), coders.VARINT), [["add", 1], ["add", 300]], ["read"], 301),
    "set": (state.set_(coders.STRING), [["add", "a"], ["add", "b"], ["add", "a"]], ["read"], ["a", "b"]),
    "map": (state.map_(coders.STRING, coders.VARINT), [["put", "a", 1], ["put", "a", 2]], ["get", "a"], 2),
    "multimap": (state.multimap(coders.STRING, coders.VARINT), [["put", "a", 1], ["put", "a", 2]], ["get", "a"], [1, 2]),
    "ordered list": (state.ordered_list(coders.BYTES), [["add", 2, b"x"], ["add", 1, b"y"]], ["read"], [(1, b"y"), (2, b"x")]),
}


@pytest.mark.parametrize("kind", KINDS)
@asserts("STATE27/each-kind-survives")
def test_each_kind_survives(case: Case, kind: str) -> Scenario:
    cell, writes, read, expected = KINDS[kind]
    keyed = case.program.create([("k", 1), ("j", 2)], timestamps=[1000, 1000])
    process = [["set", "t", FAR], ["when", ["==", ["key"], "k"], [["state", "cell", *write] for write in writes]]]
    timer = [["when", ["==", ["key"], "k"], [["state", "cell", *read]]]]
    scripted(case, keyed, process, timer=timer, state={"cell": cell}, timers={"t": "event"})
    run = yield
    found = sorted((key, unordered(reads)) for key, *_, reads in run.values("fired"))
    same(found, [("j", []), ("k", [expected])], "what the timers' callbacks read", rule="M-STATE-07")


@asserts("STATE27/clear-then-add-survives")
def test_clear_then_add_survives(case: Case) -> Scenario:
    # a runner that applies clears last, when the bundle commits, shows it only to later bundles
    keyed = case.program.create([("k", 1)], timestamps=[1000])
    cells = {"bag": state.bag(coders.VARINT), "value": state.value(coders.VARINT)}
    process = [["state", "bag", "add", 1], ["state", "bag", "clear"], ["state", "bag", "add", 2], ["state", "value", "write", 3]]
    timer = [["state", "bag", "read"], ["state", "value", "read"]]
    scripted(case, keyed, [*process, ["set", "t", FAR]], timer=timer, state=cells, timers={"t": "event"})
    run = yield
    same([reads for *_, reads in run.values("fired")], [[[2], 3]], "bag and value in a later bundle", rule="P-STATE-05")


@asserts("STATE28/failed-bundle-leaves-nothing")
def test_failed_bundle_leaves_nothing(runner: RunnerUnderTest) -> None:
    session = runner.session()
    # the bundle answers with an error after it has run, its writes made and acknowledged
    session.script.add("error", transform="counter", text="this bundle fails once")
    program = Program("rollback")
    keyed = program.create([("k", number) for number in range(4)])
    keyed.par_do(Fn("suite_count", observer="out"), coders.BYTES, state=COUNT, name="counter")
    pipeline = program.build(session.environment())
    outcome = runner.submit(pipeline, session, label="STATE28/failed-bundle-leaves-nothing", options={})
    run = Run("", outcome, session, pipeline)
    runner.last_run = run
    if not session.script.log:
        raise NotExercised("no bundle of the stateful transform ran, so none could fail")
    if outcome.state == "FAILED":
        raise NotExercised("this runner fails the job with its first failed bundle (M-BNDL-04), so nothing runs again")
    raise_unless_done(outcome, session)
    same(counts(run), {"k": [1, 2, 3, 4]}, "elements counted", rule="M-STATE-07")


@asserts("STATE07/per-window-clear")
def test_per_window_clear(case: Case) -> Scenario:
    # one element in two windows: what it clears in one is not what it added in the other
    keyed = case.program.create([("k", 1)], timestamps=[15_000], window=windowing.sliding(20_000, 10_000))
    steps = [
        ["state", "bag", "add", ["window_start"]],
        ["when", ["==", ["window_start"], 0], [["state", "bag", "clear"]]],
        ["state", "bag", "read"],
    ]
    scripted(case, keyed, steps, state={"bag": state.bag(coders.VARINT)})
    run = yield
    found = {seen.window.start: seen.value[1] for seen in run.seen("out")}  # type: ignore[union-attr]
    same(found, {0: [[]], 10_000: [[10_000]]}, "the bag by window", rule="M-STATE-15")


@asserts("STATE04/cleared-for-one-key")
def test_cleared_for_one_key(case: Case) -> Scenario:
    # both keys add; j clears: nothing of k may go
    keyed = case.program.create([("k", 1), ("j", 2)])
    steps = [["state", "bag", "add", ["val"]], ["when", ["==", ["key"], "j"], [["state", "bag", "clear"]]], ["set", "t", FAR]]
    timer = [["state", "bag", "read"]]
    scripted(case, keyed, steps, timer=timer, state={"bag": state.bag(coders.VARINT)}, timers={"t": "event"})
    run = yield
    same(
        sorted((key, read) for key, *_, [read] in run.values("fired")),
        [("j", []), ("k", [1])],
        "the bags at the end",
        rule="M-STATE-01",
    )
    same(len(answers(run)), 2, "elements processed", rule="M-STATE-01")
