"""Whole streaming jobs over real gRPC with the scripted harness: TestStream, timers, side inputs, restrictions, drain."""

from __future__ import annotations

from typing import Any

import pytest

from conformance.harness import invariants
from conformance.harness.capabilities import DEFAULT
from conformance.harness.session import Session
from conformance.pipeline import Fn, Program, coders, triggers, windowing
from conformance.pipeline import state as cells
from conformance.pipeline.teststream import Elements, ProcessingTime, Watermark
from conformance.wire import urns
from conformance.wire.api import job_pb2
from conformance.wire.values import IntervalWindow, Timing
from tests.runner.conftest import TIMEOUT

KV = coders.kv(coders.STRING, coders.VARINT)
JSON_KV = coders.kv(coders.STRING, coders.JSON)
FIXED = windowing.fixed(10)


def add(*pairs: tuple[Any, int], tag: str = "") -> Elements:
    return Elements(pairs, tag)


def k(timestamp: int, tag: str = "") -> Elements:
    """One element of key k whose value is its timestamp."""
    return add((("k", timestamp), timestamp), tag=tag)


def panes(session: Any, observer: str = "o") -> list[tuple[Any, ...]]:
    return [
        (sorted(each.value[1]), each.pane.timing.name, each.pane.index, each.timestamp) for each in session.observations[observer]
    ]


def test_early_on_time_and_late_panes(ran):
    program = Program()
    stream = program.test_stream([k(1), k(2), k(3), Watermark(12), k(4), Watermark(40), k(5)], KV)
    strategy = {"trigger": triggers.after_watermark(triggers.after_count(2), triggers.after_count(1)), "allowed_lateness": 10}
    stream.window_into(FIXED, **strategy).group_by_key().observe("o")
    assert panes(ran(program)) == [([1, 2], "EARLY", 0, 9), ([3], "ON_TIME", 1, 9), ([4], "LATE", 2, 9)]


@pytest.mark.parametrize("coder", [coders.VARINT, coders.JSON, coders.STRING, coders.kv(coders.JSON, coders.VARINT), KV], ids=str)
def test_elements_of_any_coder_leave_a_test_stream(ran, coder):
    values = {coders.VARINT: [1, 300], coders.JSON: [{"a": 1}, []], coders.STRING: ["", "xy"]}.get(coder, [("a", 1), ("b", 2)])
    program = Program()
    stream = program.test_stream([add(*((value, 5) for value in values)), Watermark(7)], coder)
    stream.observe("o")
    if coder.components:
        stream.window_into(FIXED).group_by_key().observe("grouped")
    seen = ran(program).observations
    assert [(each.value, each.timestamp) for each in seen["o"]] == [(value, 5) for value in values]
    if coder.components:
        assert sorted(seen.values_of("grouped")) == [("a", [1]), ("b", [2])]


def test_a_flatten_of_two_outputs_waits_for_the_slower(ran):
    program = Program()
    events = [k(3, "a"), Watermark(20, "a"), k(4, "b"), Watermark(10, "b"), k(5, "b")]
    outputs = program.test_stream(events, {"a": KV, "b": KV})
    program.flatten([outputs["a"], outputs["b"]]).window_into(FIXED).group_by_key().observe("o")
    assert panes(ran(program)) == [([3, 4], "ON_TIME", 0, 9)]


def test_two_test_streams_take_turns(ran):
    program = Program()
    one = program.test_stream([k(1), Watermark(20)], KV, name="one")
    other = program.test_stream([k(2), ProcessingTime(5), Watermark(10)], KV, name="other")
    program.flatten([one, other]).window_into(FIXED).group_by_key().observe("o")
    assert panes(ran(program)) == [([1, 2], "ON_TIME", 0, 9)]


def test_an_early_pane_is_seen_before_the_next_event(ran):
    program = Program()
    stream = program.test_stream([k(1), k(2), k(3)], KV)
    grouped = stream.window_into(FIXED, trigger=triggers.repeatedly(triggers.after_count(1))).group_by_key()
    grouped.par_do(Fn("identity"), name="read").redistribute_arbitrarily().observe("o")
    assert [values for values, *_ in panes(ran(program))] == [[1], [2], [3], []]


def test_an_on_time_pane_is_on_time_at_the_next_grouping(ran):
    program = Program()
    stream = program.test_stream([k(1), Watermark(10), Watermark(100)], KV)
    first = stream.window_into(FIXED).group_by_key("first")
    counted = first.par_do(Fn("map", expr=["kv", ["key"], ["len", ["val"]]]), KV, name="count")
    counted.group_by_key("second").observe("o")
    assert panes(ran(program)) == [([1], "ON_TIME", 0, 9)]


def test_a_combine_in_panes(ran):
    program = Program()
    stream = program.test_stream([k(1), k(2), k(3), Watermark(12)], KV)
    windowed = stream.window_into(
        FIXED, trigger=triggers.after_watermark(early=triggers.repeatedly(triggers.after_count(2))), accumulation="accumulating"
    )
    windowed.combine_per_key(Fn("sum"), coders.VARINT, coders.VARINT).observe("o")
    seen = ran(program).observations["o"]
    assert [(each.value, each.pane.timing) for each in seen] == [(("k", 3), Timing.EARLY), (("k", 6), Timing.ON_TIME)]


def test_custom_windows_are_merged_as_they_come(ran):
    program = Program()
    stream = program.test_stream([k(1), k(15), k(8), Watermark(24), k(20), Watermark(100)], KV)
    sessions = windowing.custom(Fn("sessions", gap=10), coders.INTERVAL_WINDOW, merging=True)
    stream.window_into(sessions).group_by_key().observe("o")
    seen = ran(program).observations["o"]
    assert [(sorted(each.value[1]), each.window) for each in seen] == [([1, 8, 15, 20], IntervalWindow(1, 30))]


# ---- state and timers


def keyed(events: list[Any], on_element: list[Any], window: Any = FIXED, **more: Any) -> Program:
    program = Program()
    stream = program.test_stream(events, KV).window_into(window, **more.pop("windowing", {}))
    fn = Fn("program", on_element=on_element, **{key: more.pop(key) for key in ("on_timer", "on_expiration") if key in more})
    stream.par_do(fn, JSON_KV, name="keyed", **more).observe("o")
    return program


def reads(session: Any) -> list[Any]:
    return [(record["on"], *(answer for _, answer in record["reads"])) for _, record in session.observations.values_of("o")]


def test_event_timers_fire_between_the_right_watermarks(ran):
    program = keyed(
        [k(3), Watermark(4), k(4), Watermark(6), k(5), Watermark(7)],
        [["read", "val", "s", "read"], ["do", "s", "add", ["val"]], ["when", ["==", ["val"], 3], [["set", "t", 5]]]],
        state={"s": cells.bag(coders.VARINT)},
        timers={"t": "event"},
        on_timer={"t": [["read", "fire", "s", "read"]]},
    )
    assert reads(ran(program)) == [("element", []), ("element", [3]), ("timer", [3, 4]), ("element", [3, 4])]


def test_processing_timers_follow_the_scripts_clock(ran):
    program = keyed(
        [k(1), ProcessingTime(60_000), k(2), ProcessingTime(60_000), k(3)],
        [
            ["read", "s", "s", "read"],
            ["do", "s", "add", ["val"]],
            ["when", ["==", ["val"], 1], [["set", "p", ["+", ["now"], 90_000]]]],
        ],
        state={"s": cells.bag(coders.VARINT)},
        timers={"p": "processing"},
        on_timer={"p": [["do", "s", "clear"], ["read", "s", "s", "read"]]},
    )
    assert reads(ran(program)) == [("element", []), ("element", [1]), ("timer", []), ("element", [])]


def test_a_looping_timer_stops_when_its_window_is_over(ran):
    program = keyed(
        [k(1), Watermark(50)],
        [["set", "t", 2]],
        state={"s": cells.bag(coders.VARINT)},
        timers={"t": "event"},
        on_timer={"t": [["read", "at", "s", "read"], ["do", "s", "add", ["fire"]], ["set", "t", ["+", ["fire"], 3]]]},
    )
    assert reads(ran(program)) == [("timer", []), ("timer", [2]), ("timer", [2, 5])]


def test_state_lives_to_gc_and_late_elements_reach_no_user_code(ran):
    program = keyed(
        [k(1), Watermark(14), k(2), Watermark(20), k(3)],
        [["read", "s", "s", "read"], ["do", "s", "add", ["val"]]],
        state={"s": cells.bag(coders.VARINT)},
        windowing={"allowed_lateness": 5},
        on_expiration=[["read", "all", "s", "read"]],
        on_window_expiration="over",
    )
    assert reads(ran(program)) == [("element", []), ("element", [1]), ("expiration", [1, 2])]


def test_a_hold_keeps_the_next_grouping_back(ran):
    program = Program()
    stream = program.test_stream([k(1), Watermark(15), k(12), Watermark(30)], KV).window_into(FIXED)
    fn = Fn("program", on_element=[["when", ["==", ["val"], 1], [["set", "t", 9, 5]]]], on_timer={"t": [["emit", 7]]})
    made = stream.par_do(fn, coders.VARINT, name="keyed", timers={"t": "event"})
    made = made.par_do(Fn("with_key", key="k"), KV, name="key")
    made.group_by_key().observe("o")
    assert [(each.value, each.pane.timing) for each in ran(program).observations["o"]] == [(("k", [7]), Timing.ON_TIME)]


def test_time_sorted_input_follows_the_watermark(ran):
    events = [k(7), k(3), k(5), Watermark(4), Watermark(6), k(2), Watermark(8)]
    program = keyed(
        events,
        [["read", "s", "s", "read"], ["do", "s", "add", ["val"]]],
        windowing.fixed(100),
        state={"s": cells.bag(coders.VARINT)},
        requires_time_sorted_input=True,
    )
    assert reads(ran(program)) == [("element", []), ("element", [3]), ("element", [3, 5])]


# ---- side inputs


def side_program(events: list[Any], side: dict[str, Any], mapping: Fn | None = None, main: Any = FIXED) -> Program:
    program = Program()
    outputs = program.test_stream(events, {"main": coders.STRING, "side": coders.STRING})
    view = outputs["side"].window_into(name="side", **side).as_iterable(mapping)
    outputs["main"].window_into(main, name="main").par_do(
        Fn("side_values", side="s"), coders.JSON, name="look", side_inputs={"s": view}
    ).observe("o")
    return program


def m(text: str, timestamp: int) -> Elements:
    return add((text, timestamp), tag="main")


def s(text: str, timestamp: int) -> Elements:
    return add((text, timestamp), tag="side")


def test_main_elements_wait_for_a_pane_or_the_end_of_the_side_window(ran):
    events = [m("m", 4), m("n", 14), Watermark(30, "main"), s("s", 6), Watermark(10, "side"), m("o", 5), Watermark(20, "side")]
    assert ran(side_program(events, {"window_fn": FIXED})).observations.values_of("o") == [("m", ["s"]), ("o", ["s"]), ("n", [])]


def test_a_triggered_side_input_shows_its_newest_pane(ran):
    events = [m("a", 1), s("x", 1), m("b", 2), s("y", 2), m("c", 3)]
    each = triggers.repeatedly(triggers.after_count(1))
    accumulating = {"window_fn": windowing.global_windows(), "trigger": each, "accumulation": "accumulating"}
    assert ran(side_program(events, accumulating)).observations.values_of("o") == [("a", ["x"]), ("b", ["x"]), ("c", ["x", "y"])]


def test_a_triggered_discarding_side_input_shows_its_newest_pane(ran):
    events = [m("a", 1), s("x", 1), m("b", 2), s("y", 2), m("c", 3)]
    discarding = {"window_fn": windowing.global_windows(), "trigger": triggers.repeatedly(triggers.after_count(1))}
    assert ran(side_program(events, discarding)).observations.values_of("o") == [("a", ["x"]), ("b", ["x"]), ("c", ["y"])]


def test_the_sdk_maps_windows(ran):
    events = [s("x", 5), Watermark(10, "side"), m("a", 15), Watermark(20, "side"), m("b", 25)]
    program = side_program(events, {"window_fn": FIXED}, Fn("previous", size=10))
    assert ran(program).observations.values_of("o") == [("a", ["x"]), ("b", [])]


# ---- restrictions


def test_a_watermark_estimator_lets_panes_out_while_the_source_goes_on(ran):
    program = Program()
    made = program.create([25]).par_do(
        Fn("range", step=1, every=5, estimator=True),
        coders.kv(coders.VARINT, coders.VARINT),
        name="sdf",
        restriction_coder=coders.OFFSET_RANGE,
        bounded=False,
    )
    keyed = made.par_do(Fn("map", expr=["kv", "k", ["val"]]), KV, name="key").window_into(FIXED)
    keyed.group_by_key().observe("o")
    session = ran(program)
    assert sorted(values for values, *_ in panes(session)) == [list(range(10)), list(range(10, 20)), list(range(20, 25))]
    assert [timing for _, timing, *_ in panes(session)] == ["ON_TIME"] * 3


def test_dropped_elements_are_told_of(client, session):
    events = [add(("a", 1)), Watermark(30), add(("late", 2), ("later", 3), ("b", 31)), add(("latest", 4))]
    program = Program()
    stream = program.test_stream(events, coders.STRING).window_into(FIXED)
    pairs = stream.par_do(Fn("with_key", key="k"), coders.kv(coders.STRING, coders.STRING), name="key")
    pairs.group_by_key("group").observe("o")
    fn = Fn("program", on_element=[["do", "s", "add", 1]])
    pairs.par_do(fn, JSON_KV, name="stateful", state={"s": cells.bag(coders.VARINT)}).observe("kept")
    outcome = client.run(program.build(session.environment()))
    assert outcome.state == "DONE"
    told = [each.partition(" dropped")[0] for each in outcome.messages if "dropped" in each]
    assert told == ["group: 3 elements were", "stage/stateful: 3 elements were"]


def test_beside_a_script_delays_go_by_its_clock(ran):
    program = Program()
    program.test_stream([add(("a", 1))], coders.STRING).observe("streamed")
    made = program.create([5], coders.VARINT)
    pairs = coders.kv(coders.VARINT, coders.VARINT)
    made.par_do(Fn("range", every=1, delay=60_000), pairs, name="sdf", restriction_coder=coders.OFFSET_RANGE).observe("o")
    assert len(ran(program).observations.values_of("o")) == 5


@pytest.mark.parametrize("truncates", [True, False])
def test_drain_truncates_and_finishes(client, truncates):
    declared = DEFAULT if truncates else DEFAULT - {urns.Transform.TRUNCATE_SIZED_RESTRICTION}
    with Session(capabilities=declared) as session:
        drained(client, session)


def drained(client, session):
    program = Program()
    made = program.create([1_000_000]).par_do(
        Fn("range", step=1, every=5, delay=20, estimator=True, truncate=3),
        coders.kv(coders.VARINT, coders.VARINT),
        name="sdf",
        restriction_coder=coders.OFFSET_RANGE,
        bounded=False,
    )
    made.par_do(Fn("map", expr=["kv", "k", ["val"]]), KV, name="key").window_into(
        windowing.fixed(1 << 40)
    ).group_by_key().observe("o")
    made.observe("positions")
    pipeline = program.build(session.environment())
    job_id = client.start(pipeline)
    session.observations.wait_for("positions", 20, TIMEOUT)
    client.jobs.Drain(job_pb2.DrainJobRequest(job_id=job_id), timeout=TIMEOUT)
    outcome = client.wait(job_id)
    assert outcome.state == "DRAINED", outcome.errors
    assert outcome.states[-2:] == ["DRAINING", "DRAINED"]
    positions = [position for _, position in session.observations.values_of("positions")]
    assert positions == list(range(len(positions)))
    assert [sorted(values) for _, values in session.observations.values_of("o")] == [positions]
    session.close()
    assert [each for each in invariants.check(session.transcript, pipeline) if each.level != "MAY"] == []
