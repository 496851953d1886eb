"""Whole jobs over real gRPC with the scripted harness; every transcript is held against the always-on invariants."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from conformance.pipeline import Fn, Program, coders, windowing
from conformance.pipeline import state as cells
from conformance.suite.c_windowing import functions as functions
from conformance.wire.values import IntervalWindow

KV = coders.kv(coders.STRING, coders.VARINT)
JSON_KV = coders.kv(coders.STRING, coders.JSON)


def counted(values: list[Any]) -> Counter[str]:
    return Counter(repr(each) for each in values)


def test_groups_by_key(ran):
    program = Program()
    program.create([("a", 1), ("b", 2), ("a", 3)]).group_by_key().par_do(Fn("sorted_values"), name="sorted").observe("o")
    assert counted(ran(program).observations.values_of("o")) == counted([("a", [1, 3]), ("b", [2])])


@pytest.mark.parametrize("size", [0, 1, 4_000])
def test_side_inputs_in_pages(ran, size):
    program = Program()
    side = program.create(list(range(size)), coder=coders.VARINT, name="side")
    main = program.create([0], name="main").par_do(
        Fn("side_values", side="s"), coders.JSON, name="read", side_inputs={"s": side.as_iterable()}
    )
    main.par_do(Fn("map", expr=["len", ["get", ["value"], 1]]), coders.VARINT, name="count").observe("o")
    assert ran(program, state_page_bytes=64).observations.values_of("o") == [size]


@pytest.mark.parametrize("key", [coders.STRING, coders.JSON], ids=str)
def test_multimap_side_inputs_by_window(ran, key):
    program = Program()
    fixed = windowing.fixed(10)
    side = program.create([("a", 1), ("a", 2), ("b", 3)], coders.kv(key, coders.VARINT), [1, 12, 3], fixed, name="side")
    main = program.create(["a", "b", "c"], coders.STRING, [2, 13, 4], fixed, name="main")
    looked = main.par_do(
        Fn("side_lookup", side="s", expr=["value"]), coders.JSON, name="look", side_inputs={"s": side.as_multimap()}
    )
    items = main.par_do(Fn("side_items", side="s"), coders.JSON, name="items", side_inputs={"s": side.as_multimap()})
    looked.observe("looked")
    items.observe("items")
    seen = ran(program).observations
    assert counted(seen.values_of("looked")) == counted([("a", [1]), ("b", []), ("c", [])])
    assert counted(seen.values_of("items")) == counted(
        [("a", [["a", [1]], ["b", [3]]]), ("b", [["a", [2]]]), ("c", [["a", [1]], ["b", [3]]])]
    )


def test_flatten_transcodes_and_keeps_duplicates(ran):
    program = Program()
    numbers = program.create([1, 2], coders.VARINT, name="numbers")
    others = program.create([3], coders.JSON, name="others")
    program.flatten([numbers, others, numbers], coder=coders.JSON, name="all").observe("o")
    assert counted(ran(program).observations.values_of("o")) == counted([1, 2, 3, 1, 2])


def test_combines_lifted_and_not(ran):
    program = Program()
    made = program.create([("a", 1), ("b", 2), ("a", 3)])
    made.combine_per_key(Fn("sum"), coders.VARINT, coders.VARINT, name="lifted").observe("lifted")
    sessions = program.create([("a", 1), ("a", 2), ("a", 5)], KV, [0, 9, 50], windowing.sessions(10), name="in_sessions")
    sessions.combine_per_key(Fn("sum"), coders.VARINT, coders.VARINT, name="plain").observe("plain")
    seen = ran(program).observations
    assert counted(seen.values_of("lifted")) == counted([("a", 4), ("b", 2)])
    assert {(each.value, each.window) for each in seen["plain"]} == {
        (("a", 3), IntervalWindow(0, 19)),
        (("a", 5), IntervalWindow(50, 60)),
    }


def test_custom_windows_merged_by_the_sdk(ran):
    program = Program()
    gaps = windowing.custom(Fn("value_gap"), coders.INTERVAL_WINDOW, merging=True)
    made = program.create([("k", 10), ("k", 5), ("k", 3), ("j", 4)], KV, [0, 8, 30, 8]).window_into(gaps)
    made.group_by_key().par_do(Fn("sorted_values"), name="sorted").observe("o")
    assert {(each.value[0], tuple(each.value[1]), each.window) for each in ran(program).observations["o"]} == {
        ("k", (10, 5), IntervalWindow(0, 13)),
        ("k", (3,), IntervalWindow(30, 33)),
        ("j", (4,), IntervalWindow(8, 12)),
    }


def test_a_window_merged_into_two_fails_the_job(client, session):
    """M-WIN-15: a merge function that breaks its contract is told so; nothing is put out twice."""
    program = Program()
    twice = windowing.custom(Fn("merge_twice"), coders.INTERVAL_WINDOW, merging=True)
    program.create([("k", 1), ("k", 2), ("k", 3)], KV, [0, 100, 200]).window_into(twice).group_by_key().observe("o")
    outcome = client.run(program.build(session.environment()))
    assert outcome.state == "FAILED"
    assert any("merged one window into two" in error for error in outcome.errors)


def test_custom_windows_that_do_not_merge(ran):
    program = Program()
    named = windowing.custom(Fn("named", size=10), coders.custom_window(coders.STRING))
    made = program.create([("k", 1), ("k", 2), ("k", 3)], KV, [1, 2, 3]).window_into(named)
    made.group_by_key().par_do(Fn("sorted_values"), name="sorted").observe("o")
    assert counted([each.value for each in ran(program).observations["o"]]) == counted([("k", [1, 3]), ("k", [2])])


def test_reshuffle_keeps_everything(ran):
    program = Program()
    made = program.create([1, 2], coders.VARINT, [3, 14], windowing.fixed(10))
    made.redistribute_arbitrarily().observe("spread")
    made.reshuffle().observe("reshuffled")
    seen = ran(program).observations
    for observer in ("spread", "reshuffled"):
        assert {(each.value, each.timestamp, each.window) for each in seen[observer]} == {
            (1, 3, IntervalWindow(0, 10)),
            (2, 14, IntervalWindow(10, 20)),
        }


# ---- state and timers


def program_of(on_element: list[Any], state: dict[str, cells.StateCell], values: list[Any], **more: Any) -> Program:
    program = Program()
    fn = Fn("program", on_element=on_element, **{key: more.pop(key) for key in ("on_timer", "on_expiration") if key in more})
    made = program.create(values, coders.kv(coders.STRING, coders.VARINT), more.pop("timestamps", None), more.pop("window", None))
    made.par_do(fn, JSON_KV, name="keyed", state=state, **more).observe("o")
    return program


def test_bags_page_through(ran):
    program = program_of(
        [["do", "s", "add", ["val"]], ["read", "n", "s", "read"]],
        {"s": cells.bag(coders.VARINT)},
        [("k", number) for number in range(50)],
    )
    seen = ran(program, state_page_bytes=8).observations.values_of("o")
    assert sorted(len(record["reads"][0][1]) for _, record in seen) == list(range(1, 51))


def test_a_window_expires_after_its_timers_with_state_intact(ran):
    program = program_of(
        [["do", "s", "add", ["val"]], ["set", "t", ["max"]]],
        {"s": cells.bag(coders.VARINT)},
        [("k", 1), ("k", 2), ("k", 3)],
        timestamps=[1, 2, 13],
        window=windowing.fixed(10),
        timers={"t": "event"},
        on_timer={"t": [["do", "s", "add", 100]]},
        on_expiration=[["read", "all", "s", "read"]],
        on_window_expiration="over",
    )
    seen = [record["reads"] for _, record in ran(program).observations.values_of("o")]
    assert sorted(sorted(reads[0][1]) for reads in seen) == [[1, 2, 100], [3, 100]]


def test_timer_loops(ran):
    program = Program()
    made = program.create([("a", 0), ("b", 0)], KV, [0, 5])
    looped = made.par_do(
        Fn("timer_loop", family="t", first=10, period=7, count=4),
        KV,
        name="loop",
        state={"left": cells.value(coders.VARINT)},
        timers={"t": "event"},
    )
    looped.observe("o")
    assert sorted(ran(program).observations.values_of("o")) == [("a", 10 + 7 * n) for n in range(4)] + [
        ("b", 15 + 7 * n) for n in range(4)
    ]


def test_multimaps_and_ordered_lists(ran):
    program = program_of(
        [
            ["do", "m", "put", ["str", ["%", ["val"], 2]], ["val"]],
            ["read", "keys", "m", "keys"],
            ["read", "odd", "m", "get", "1"],
        ],
        {"m": cells.multimap(coders.STRING, coders.VARINT)},
        [("k", 1), ("k", 2), ("k", 3)],
    )
    last = max(
        (dict(record["reads"]) for _, record in ran(program).observations.values_of("o")), key=lambda reads: len(reads["odd"])
    )
    assert sorted(last["odd"]) == [1, 3]


# ---- restrictions


def test_restrictions_are_split_checkpointed_and_resumed(ran):
    program = Program()
    made = program.create([5, 7], coders.VARINT)
    made.par_do(
        Fn("range", splits=2, every=2, delay=20),
        coders.kv(coders.VARINT, coders.VARINT),
        name="sdf",
        restriction_coder=coders.OFFSET_RANGE,
    ).observe("o")
    expected = [(size, position) for size in (5, 7) for position in range(size)]
    assert sorted(ran(program).observations.values_of("o")) == expected


def test_finalization_follows_each_bundle_that_asked(ran):
    program = Program()
    program.create([1, 2, 3]).par_do(Fn("finalizer", observer="final"), name="ask", requests_finalization=True).observe("o")
    seen = ran(program).observations
    assert [count for _, count in seen.values_of("final")] == [3]


@pytest.mark.parametrize("elements", [1, 200])
def test_large_values_cross_whole(ran, elements):
    program = Program()
    made = program.impulse().par_do(Fn("large", size=5_000_000 // elements, count=elements), coders.BYTES, name="large")
    made.par_do(Fn("with_key", key="k"), coders.kv(coders.STRING, coders.BYTES), name="key").group_by_key().par_do(
        Fn("map", expr=["sum", ["list", 1]]), coders.VARINT, name="one"
    ).observe("o")
    assert ran(program).observations.values_of("o") == [1]


def test_what_has_nothing_to_do_with_each_other_waits_for_nothing(client, session):
    """A branch that waits for the clock goes on while another one's bundle takes as long as it likes."""
    program = Program()
    slow, delayed = program.branch("slow"), program.branch("delayed")
    slow.create([1], coders.VARINT).par_do(Fn("wait_at", gate="g"), name="wait").observe("slow")
    made = delayed.create([5], coders.VARINT)
    pairs = coders.kv(coders.VARINT, coders.VARINT)
    counted = made.par_do(Fn("range", every=1, delay=10), pairs, name="sdf", restriction_coder=coders.OFFSET_RANGE)
    counted.redistribute_arbitrarily().par_do(Fn("wait_at", gate="h", expr=["==", ["val"], 4]), pairs, name="last").observe(
        "delayed"
    )
    job = client.start(program.build(session.environment()))
    assert session.gates.arrived("g")
    assert session.gates.arrived("h")
    for gate in "gh":
        session.gates.open(gate)
    assert client.wait(job).state == "DONE"
    assert len(session.observations.values_of("delayed/delayed")) == 5
