"""Whose timer it is: key, window, tag, family (M-TIMER-01, M-TIMER-07), and what a callback sees and emits (M-TIMER-12, M-TIMER-20)."""

from __future__ import annotations

import pytest

from conformance.pipeline import Fn, coders, state, windowing
from conformance.suite.assertions import asserts
from conformance.suite.c_windowing.reading import SECOND
from conformance.suite.case import Case, Scenario
from conformance.suite.checks import holds, same, same_multiset
from conformance.suite.f_state.functions import scripted
from conformance.suite.f_state.reading import FAR, firings
from conformance.wire import timestamps

PAIRS = coders.kv(coders.STRING, coders.VARINT)
TEN = windowing.fixed(10 * SECOND)


@asserts("TIMER12/default-is-fire-timestamp")
def test_default_is_fire_timestamp(case: Case) -> Scenario:
    keyed = case.program.create([("k", 1), ("k", 2)], timestamps=[1000, 12_000], window=TEN)
    steps = [["set", "t", ["+", ["window_start"], 5000]]]
    out = scripted(case, keyed, steps, timer=[["emit", ["key"]]], coder=coders.STRING, timers={"t": "event"})
    out.observe("emitted")
    run = yield
    same(sorted(seen.timestamp for seen in run.seen("emitted")), [5000, 15_000], "timestamps of outputs", rule="M-TIMER-20")


@asserts("TIMER12/output-timestamp-carried")
def test_output_timestamp_carried(case: Case) -> Scenario:
    keyed = case.program.create([("k", 1), ("j", 2)], timestamps=[1000, 2000])
    steps = [["set", "t", FAR, "", ["+", ["timestamp"], 10]]]
    out = scripted(case, keyed, steps, timer=[["emit", ["key"]]], coder=coders.STRING, timers={"t": "event"})
    out.observe("emitted")
    run = yield
    found = sorted((seen.value, seen.timestamp) for seen in run.seen("emitted"))
    same(found, [("j", 2010), ("k", 1010)], "key and timestamp of outputs", rule="M-TIMER-20")
    same_multiset(firings(run), [("k", "", FAR), ("j", "", FAR)], "key, tag and fire timestamp", rule="P-TMR-05")


@asserts("TIMER12/output-in-window-when-grouped")
def test_output_in_window_when_grouped(case: Case) -> Scenario:
    # the watermark is held at the output timestamp, so that the grouping behind takes the output for its window
    keyed = case.program.create([("k", 1)], timestamps=[1000], window=TEN)
    steps = [["set", "t", 9000, "", 2000]]
    out = scripted(case, keyed, steps, timer=[["emit", ["kv", ["key"], 7]]], coder=PAIRS, timers={"t": "event"})
    out.group_by_key().observe("grouped")
    run = yield
    found = [(seen.value[0], list(seen.value[1]), seen.window.start) for seen in run.seen("grouped")]  # type: ignore[union-attr]
    same(found, [("k", [7], 0)], "key, values and window start of groups", rule="M-TIMER-12")


@asserts("TIMER13/no-output-timestamp")
def test_no_output_timestamp(case: Case) -> Scenario:
    keyed = case.program.create([("k", 1)], timestamps=[1000])
    scripted(case, keyed, [["set", "t", FAR, "", timestamps.MAX + 1]], timers={"t": "event"})
    run = yield
    same(firings(run), [("k", "", FAR)], "key, tag and fire timestamp", rule="M-TIMER-14")


@asserts("TIMER14/just-past-expiry-sees-state")
def test_just_past_expiry_sees_state(case: Case) -> Scenario:
    # Python's GroupIntoBatches flushes by a timer at the end of the window, which is one past its last instant
    keyed = case.program.create([("k", 1)], timestamps=[1000], window=TEN)
    steps = [["state", "bag", "add", ["val"]], ["set", "t", ["window_end"]]]
    timer = [["state", "bag", "read"]]
    scripted(case, keyed, steps, timer=timer, state={"bag": state.bag(coders.VARINT)}, timers={"t": "event"})
    run = yield
    same([read for *_, [read] in run.values("fired")], [[1]], "what the callback read", rule="M-TIMER-15")


@asserts("TIMER14/beyond-expiry-ends")
def test_beyond_expiry_ends(case: Case) -> Scenario:
    # when it fires, or whether, is free; but the job ends, and state that has expired does not come back
    keyed = case.program.create([("k", 1)], timestamps=[1000], window=TEN)
    steps = [["state", "bag", "add", ["val"]], ["set", "t", ["+", ["window_end"], 50 * SECOND]]]
    timer = [["state", "bag", "read"]]
    scripted(case, keyed, steps, timer=timer, state={"bag": state.bag(coders.VARINT)}, timers={"t": "event"})
    keyed.observe("elements")
    run = yield
    same(run.values("elements"), [("k", 1)], "the elements that set it", rule="M-XF-17")
    found = [read for *_, [read] in run.values("fired")]
    holds(
        found in ([], [[]], [[1]]), "fired twice, or with state of another", expected="once or never", observed=found, rule="A-24"
    )


@asserts("TIMER15/tags-apart")
def test_tags_apart(case: Case) -> Scenario:
    keyed = case.program.create([("k", 1), ("j", 2)], timestamps=[1000, 1000])
    tags = ["", "a", "b", "a longer tag with spaces"]
    scripted(case, keyed, [["set", "t", FAR + number, tag] for number, tag in enumerate(tags)], timers={"t": "event"})
    run = yield
    expected = [(key, tag, FAR + number) for key in "jk" for number, tag in enumerate(tags)]
    same_multiset(firings(run), expected, "key, tag and fire timestamp", rule="M-TIMER-01")


@asserts("TIMER15/one-tag-cleared")
def test_one_tag_cleared(case: Case) -> Scenario:
    keyed = case.program.create([("k", 1)], timestamps=[1000])
    steps = [["set", "t", FAR, tag] for tag in ("a", "b", "c")] + [["clear", "t", "b"], ["set", "t", FAR + 5, "c"]]
    scripted(case, keyed, steps, timers={"t": "event"})
    run = yield
    same_multiset(firings(run), [("k", "a", FAR), ("k", "c", FAR + 5)], "key, tag and fire timestamp", rule="M-TIMER-01")


@asserts("TIMER16/families-apart")
def test_families_apart(case: Case) -> Scenario:
    keyed = case.program.create([("k", 1)], timestamps=[1000])
    steps = [
        ["set", "s", FAR, "x"],
        ["set", "t", FAR + 10, "x"],
        ["set", "u", FAR + 20, "x"],
        ["clear", "t", "x"],
        ["set", "s", FAR + 1],
    ]
    scripted(case, keyed, steps, timers={"s": "event", "t": "event", "u": "event"})
    run = yield
    found = [(family, tag, fire) for _, family, tag, fire, _ in run.values("fired")]
    same_multiset(
        found, [("s", "x", FAR), ("s", "", FAR + 1), ("u", "x", FAR + 20)], "family, tag and fire timestamp", rule="M-TIMER-01"
    )


@asserts("TIMER17/in-its-own-window")
def test_in_its_own_window(case: Case) -> Scenario:
    window = windowing.sliding(30 * SECOND, 10 * SECOND)
    keyed = case.program.create([("k", 1)], timestamps=[12_000], window=window)
    steps = [["state", "bag", "add", ["window_start"]], ["set", "t", ["-", ["window_end"], 1]]]
    timer = [["note", ["window_start"]], ["state", "bag", "read"]]
    scripted(case, keyed, steps, timer=timer, state={"bag": state.bag(coders.VARINT)}, timers={"t": "event"})
    run = yield
    found = [(fire, start, read) for _, _, _, fire, (start, read) in run.values("fired")]
    expected = [(19_999, -10_000, [-10_000]), (29_999, 0, [0]), (39_999, 10_000, [10_000])]
    same_multiset(found, expected, "fire timestamp, window start, and state of the window", rule="M-TIMER-07")


@asserts("TIMER17/output-in-its-window")
def test_output_in_its_window(case: Case) -> Scenario:
    window = windowing.sliding(20 * SECOND, 10 * SECOND)
    keyed = case.program.create([("k", 1)], timestamps=[12_000], window=window)
    steps = [["set", "t", 15_000]]
    out = scripted(case, keyed, steps, timer=[["emit", ["key"]]], coder=coders.STRING, timers={"t": "event"})
    out.observe("emitted")
    run = yield
    found = sorted((seen.window.start, seen.timestamp) for seen in run.seen("emitted"))  # type: ignore[union-attr]
    same(found, [(0, 15_000), (10_000, 15_000)], "window start and timestamp of outputs", rule="M-TIMER-20")


@pytest.mark.parametrize(
    ("coder", "keys"),
    [
        (coders.STRING, ["", "a", "ab"]),
        (coders.JSON, [["a", 1], ["a", 2], "a"]),
        (coders.kv(coders.STRING, coders.VARINT), [("a", 1), ("a", 300)]),
        (coders.BYTES, [b"", b"\x00", b"\xff"]),
    ],
    ids=["string", "unknown", "kv", "bytes"],
)
@asserts("TIMER18/key-of-the-setter")
def test_key_of_the_setter(case: Case, coder: coders.CoderSpec, keys: list[object]) -> Scenario:
    values = [(key, number) for number, key in enumerate(keys)]
    keyed = case.program.create(values, coders.kv(coder, coders.VARINT), timestamps=len(keys) * [1000])
    steps = [["set", "t", ["+", FAR, ["val"]]]]
    scripted(case, keyed, steps, timers={"t": "event"})
    run = yield
    expected = [(key, "", FAR + number) for number, key in enumerate(keys)]
    same_multiset(firings(run), expected, "key, tag and fire timestamp", rule="M-TIMER-07")


@asserts("TIMER19/side-input-in-callback")
def test_side_input_in_callback(case: Case) -> Scenario:
    side = case.program.create([10, 20], name="side")
    keyed = case.program.create([("k", 1), ("j", 2)], timestamps=[1000, 1000])
    timer = [["side", "side", "values"]]
    scripted(case, keyed, [["set", "t", FAR]], timer=timer, timers={"t": "event"}, side_inputs={"side": side.as_iterable()})
    run = yield
    found = sorted((key, sorted(values)) for key, *_, [values] in run.values("fired"))
    same(found, [("j", [10, 20]), ("k", [10, 20])], "what the callbacks read", rule="M-SIDE-06")


@asserts("TIMER19/side-input-of-the-window")
def test_side_input_of_the_window(case: Case) -> Scenario:
    side = case.program.create([10, 20], timestamps=[1000, 15_000], window=TEN, name="side")
    keyed = case.program.create([("k", 1), ("k", 2)], timestamps=[2000, 12_000], window=TEN)
    steps = [["set", "t", ["-", ["window_end"], 1]]]
    timer = [["side", "side", "values"]]
    scripted(case, keyed, steps, timer=timer, timers={"t": "event"}, side_inputs={"side": side.as_iterable()})
    run = yield
    found = sorted((fire, values) for _, _, _, fire, [values] in run.values("fired"))
    same(found, [(9999, [10]), (19_999, [20])], "fire timestamp and what the callback read", rule="M-SIDE-03")


@asserts("TIMER20/after-grouping")
def test_after_grouping(case: Case) -> Scenario:
    pairs = [(f"k{number % 3}", number) for number in range(9)]
    grouped = case.program.create(pairs, timestamps=9 * [1000], window=TEN).group_by_key()
    flat = grouped.par_do(Fn("ungroup"), PAIRS)
    scripted(case, flat, [["set", "t", 9000, ["str", ["val"]]]], timers={"t": "event"})
    run = yield
    found = [(key, tag) for key, tag, _ in firings(run)]
    same_multiset(found, [(key, str(number)) for key, number in pairs], "keys and tags of firings", rule="M-TIMER-01")


@asserts("TIMER21/within-allowed-lateness")
def test_within_allowed_lateness(case: Case) -> Scenario:
    created = case.program.create([("k", 1), ("k", 2)], timestamps=[1000, 12_000])
    keyed = created.window_into(TEN, allowed_lateness=60 * SECOND)
    scripted(case, keyed, [["set", "t", ["+", ["window_end"], 30 * SECOND]]], timers={"t": "event"})
    run = yield
    expected = [("k", "", 40_000), ("k", "", 50_000)]
    same_multiset(firings(run), expected, "key, tag and fire timestamp", rule="M-TIMER-16")


@asserts("TIMER23/fifty-keys")
def test_fifty_keys(case: Case) -> Scenario:
    keyed = case.program.create([(key, key) for key in range(50)], timestamps=50 * [1000])
    scripted(case, keyed, [["set", "t", ["+", FAR, ["val"]]]], timers={"t": "event"})
    run = yield
    same_multiset(firings(run), [(key, "", FAR + key) for key in range(50)], "key, tag and fire timestamp", rule="M-TIMER-01")
