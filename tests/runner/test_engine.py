"""The engine alone: an event in, commands out."""

from __future__ import annotations

import itertools

import pytest

from conformance.pipeline import Fn, Program, coders, windowing
from conformance.pipeline import state as cells
from conformance.runner.engine_events import (
    BundleFailed,
    BundleSplit,
    CancelRequested,
    Finalize,
    JobCancelled,
    JobDone,
    JobFailed,
    Residual,
    RunBundle,
    Tick,
    WakeAt,
)
from conformance.runner.variants import Unfused
from conformance.wire.api import fn_pb2
from conformance.wire.timestamps import MIN
from tests.runner.lab import GMAX, Lab, element, kv, string, timer, window

KV = coders.kv(coders.STRING, coders.VARINT)
IMPULSE = bytes.fromhex("7fdf3b645a1cac09000000010f00")


def source(program: Program, name: str = "make", coder: coders.CoderSpec = KV):
    return program.impulse(f"{name}/impulse").par_do(Fn("identity"), coder, name=name)


# ---- the simplest jobs


def test_an_impulse_is_one_element_at_the_beginning_of_time():
    program = Program()
    source(program)
    lab = Lab(program)
    assert lab.next("make").data == (IMPULSE,)
    assert lab.answer("make") == [JobDone()]


def test_an_impulse_with_two_consumers_that_cannot_be_fused_is_emitted_once_to_each():
    program = Program()
    impulse = program.impulse()
    impulse.par_do(Fn("identity"), coders.BYTES, name="one")
    impulse.par_do(Fn("identity"), coders.BYTES, name="two")
    lab = Lab(program, Unfused())
    assert lab.next("one").data == lab.next("two").data == (IMPULSE,)


def test_a_pipeline_of_impulse_alone_is_done_at_once():
    program = Program()
    program.impulse()
    assert Lab(program).log == [JobDone()]


def test_nothing_follows_the_end():
    program = Program()
    source(program)
    lab = Lab(program)
    lab.answer("make")
    assert lab.send(Tick()) == []
    assert lab.send(CancelRequested()) == []


def test_a_failed_bundle_is_tried_again_with_the_same_input_and_a_clean_state():
    program = Program()
    source(program).par_do(Fn("drop"), coders.BYTES, name="keyed", state={"s": cells.bag(coders.VARINT)})
    lab = Lab(program)
    lab.answer("make", {"make.out": [element(kv("k", 1))]})
    first = lab.next("keyed")
    append = fn_pb2.StateRequest(append=fn_pb2.StateAppendRequest(data=b"\x01"))
    append.state_key.bag_user_state.transform_id, append.state_key.bag_user_state.user_state_id = "keyed", "s"
    lab.engine.state(first.bundle).answer(append)
    del lab.open[first.bundle]
    (again,) = lab.send(BundleFailed(first.bundle, "division by zero"))
    assert (again.data, again.bundle == first.bundle, again.state_token == first.state_token) == (first.data, False, False)
    read = fn_pb2.StateRequest(get=fn_pb2.StateGetRequest(), state_key=append.state_key)
    assert lab.engine.state(again.bundle).answer(read).get.data == b""


def test_a_bundle_that_always_fails_fails_the_job_with_its_text():
    program = Program()
    source(program)
    lab = Lab(program)
    for _ in range(2):
        (again,) = lab.send(BundleFailed(lab.open.popitem()[0], "division by zero"))
        assert isinstance(again, RunBundle)
    assert lab.send(BundleFailed(lab.open.popitem()[0], "division by zero")) == [JobFailed("division by zero")]


def test_a_lost_worker_is_not_tried_again():
    program = Program()
    source(program)
    lab = Lab(program)
    assert lab.send(BundleFailed(lab.next("make").bundle, "gone", lost=True)) == [JobFailed("gone")]


def test_cancel_ends_the_job_whatever_runs():
    program = Program()
    source(program)
    assert Lab(program).send(CancelRequested()) == [JobCancelled()]


def test_a_bundle_is_finalized_only_if_it_asked():
    program = Program()
    source(program)
    lab = Lab(program)
    bundle = lab.next("make").bundle
    assert lab.answer("make", finalize=True) == [Finalize(bundle), JobDone()]


# ---- grouping


FIXED = windowing.fixed(10)
SESSIONS = windowing.sessions(10)


def grouped(strategy: windowing.WindowFn, elements: list[bytes], **options: str) -> list[tuple[bytes, bytes, int, list[int]]]:
    """(key, window, timestamp, sorted values) of what a GroupByKey emits."""
    program = Program()
    pairs = source(program).window_into(strategy, name="window", **options)
    pairs.group_by_key("group").par_do(Fn("drop"), coders.BYTES, name="read")
    lab = Lab(program)
    lab.answer("make", {pairs.id: elements})
    if lab.done:
        return []
    collection = lab.plan.collections["group.out"]
    result = []
    for chunk in lab.next("read").data:
        for each in collection.cut.elements(chunk):
            key, values = collection.cut.key_of(each.value)
            assert each.pane == b"\x07"  # ON_TIME, first, last, 0/0
            assert int.from_bytes(values[:4], "big") == len(values) - 4
            (only,) = each.windows
            result.append((key, only, each.timestamp, sorted(values[4:])))
    assert lab.answer("read") == [JobDone()]
    return sorted(result)


def at(key: str, timestamp: int, *windows: bytes) -> bytes:
    """An element whose value tells its timestamp."""
    return element(kv(key, timestamp), timestamp, *windows)


@pytest.mark.parametrize(
    ("strategy", "elements", "expected"),
    [
        (windowing.global_windows(), [at("k", 1), at("j", 2), at("k", 3)], [("j", b"", GMAX, [2]), ("k", b"", GMAX, [1, 3])]),
        (
            FIXED,
            [at("k", 1, window(0, 10)), at("k", 12, window(10, 20)), at("k", 9, window(0, 10))],
            [("k", window(0, 10), 9, [1, 9]), ("k", window(10, 20), 19, [12])],
        ),
        # one element in two windows is two elements (M-WIN-07)
        (
            windowing.sliding(10, 5),
            [at("k", 7, window(5, 15), window(0, 10))],
            [("k", window(0, 10), 9, [7]), ("k", window(5, 15), 14, [7])],
        ),
        # an element in no window is no element (M-WIN-06)
        (windowing.sliding(5, 10), [element(kv("k", 1), 7)[:8] + bytes(4) + b"\x0f" + kv("k", 1)], []),
        # the table of M-WIN-08
        (SESSIONS, [at("k", 0, window(0, 10)), at("k", 9, window(9, 19))], [("k", window(0, 19), 18, [0, 9])]),
        (
            SESSIONS,
            [at("k", 0, window(0, 10)), at("k", 10, window(10, 20))],
            [("k", window(0, 10), 9, [0]), ("k", window(10, 20), 19, [10])],
        ),
        (SESSIONS, [at("k", each, window(each, each + 10)) for each in (0, 14, 7)], [("k", window(0, 24), 23, [0, 7, 14])]),
        # merging stays within a key (M-WIN-09)
        (
            SESSIONS,
            [at("j", 0, window(0, 10)), at("k", 5, window(5, 15))],
            [("j", window(0, 10), 9, [0]), ("k", window(5, 15), 14, [5])],
        ),
    ],
)
def test_grouping(strategy, elements, expected):
    want = sorted((string(key), where, timestamp, values) for key, where, timestamp, values in expected)
    assert grouped(strategy, elements) == want
    assert grouped(strategy, [b"".join(elements)]) == want


def test_sessions_do_not_depend_on_the_order_of_arrival():
    elements = [at("k", each, window(each, each + 10)) for each in (0, 7, 14, 40)]
    results = [grouped(SESSIONS, list(order)) for order in itertools.permutations(elements)]
    assert all(result == results[0] for result in results)


@pytest.mark.parametrize(("combiner", "timestamp"), [("end_of_window", 9), ("earliest", 2), ("latest", 7)])
def test_timestamp_of_a_pane(combiner, timestamp):
    elements = [at("k", each, window(0, 10)) for each in (5, 2, 7)]
    assert grouped(FIXED, elements, timestamp_combiner=combiner) == [(string("k"), window(0, 10), timestamp, [2, 5, 7])]


def test_bytes_that_do_not_decode_fail_the_job():
    program = Program()
    source(program).group_by_key("group")
    lab = Lab(program)
    (failed,) = lab.answer("make", {"make.out": [b"\x80\x00"]})
    assert isinstance(failed, JobFailed)
    assert "cut off" in failed.reason


def test_a_grouping_waits_for_all_of_its_input():
    program = Program()
    parts = [source(program, name) for name in ("one", "two")]
    program.flatten(parts).group_by_key("group").par_do(Fn("drop"), coders.BYTES, name="read")
    lab = Lab(program)
    lab.answer("one", {"one.out": [element(kv("k", 1))]})
    assert lab.waits("read")
    lab.answer("two", {"two.out": [element(kv("k", 2))]})
    assert len(lab.next("read").data) == 1


def test_flatten_of_the_same_input_twice_keeps_every_element_twice():
    program = Program()
    made = source(program)
    program.flatten([made, made], name="both").par_do(Fn("drop"), coders.BYTES, name="read")
    lab = Lab(program)
    one = element(kv("k", 1))
    lab.answer("make", {"make.out": [one]})
    assert lab.next("read").data == (one, one)


def test_flatten_of_nothing_is_empty_and_complete():
    program = Program()
    program.flatten([], KV, name="none").group_by_key()
    assert Lab(program).done


def test_reshuffle_keeps_windows_timestamps_and_panes():
    program = Program()
    source(program).window_into(FIXED, name="window").redistribute_arbitrarily(name="spread").par_do(
        Fn("drop"), coders.BYTES, name="read"
    )
    lab = Lab(program)
    one = element(kv("k", 1), 3, window(0, 10), pane=b"\x24\x02\x00")
    lab.answer("make", {"window.out": [one]})
    assert lab.next("read").data == (one,)


# ---- side inputs


def test_main_elements_wait_until_the_side_input_is_complete():
    program = Program()
    side = source(program, "side")
    source(program, "main").par_do(Fn("drop"), coders.BYTES, name="read", side_inputs={"s": side.as_iterable()})
    lab = Lab(program)
    lab.answer("main", {"main.out": [element(kv("k", 1))]})
    assert lab.waits("read")
    lab.answer("side", {"side.out": [element(kv("k", 2))]})
    assert lab.next("read").data == (element(kv("k", 1)),)


# ---- state and timers


def keyed(program: Program, **options):
    return source(program).par_do(Fn("identity"), KV, name="keyed", **options)


def test_a_stateful_stage_runs_one_bundle_at_a_time():
    program = Program()
    both = program.flatten([source(program, "one"), source(program, "two")])
    both.par_do(Fn("drop"), coders.BYTES, name="keyed", state={"s": cells.bag(coders.VARINT)})
    lab = Lab(program)
    lab.answer("one", {"one.out": [element(kv("k", 1))]})
    lab.answer("two", {"two.out": [element(kv("k", 2))]})
    assert lab.next("keyed").data == (element(kv("k", 1)),)
    lab.answer("keyed")
    assert lab.next("keyed").data == (element(kv("k", 2)),)


EVENT = {"timers": {"e": "event", "f": "event"}}


def with_timers(*settings: tuple[str, bytes], **options) -> Lab:
    program = Program()
    keyed(program, **(options or EVENT)).group_by_key("group").par_do(Fn("drop"), coders.BYTES, name="read")
    lab = Lab(program)
    lab.answer("make", {"make.out": [element(kv("k", 1))]})
    chunks: dict[str, list[bytes]] = {}
    for family, setting in settings:
        chunks.setdefault(family, []).append(setting)
    lab.answer("keyed", {}, chunks)
    return lab


def drain(lab: Lab) -> list[list[tuple[str, bytes, int]]]:
    """The timers of each bundle until no more come."""
    bundles = []
    while not lab.waits("keyed"):
        bundles.append(lab.fired("keyed"))
        lab.answer("keyed")
    return bundles


def test_timers_of_a_key_fire_in_order_over_families():
    lab = with_timers(("e", timer("k", 30)), ("f", timer("k", 10)), ("e", timer("k", 20, tag="t")))
    k = string("k")
    assert drain(lab) == [[("f", k, 10)], [("e", k, 20)], [("e", k, 30)]]
    assert lab.done


def test_timers_of_different_keys_share_a_bundle():
    lab = with_timers(("e", timer("j", 5)), ("e", timer("k", 7)))
    assert drain(lab) == [[("e", string("j"), 5), ("e", string("k"), 7)]]


def test_a_timer_set_by_a_callback_fires_before_later_ones():
    lab = with_timers(("e", timer("k", 10)), ("e", timer("k", 30, tag="later")))
    lab.answer("keyed", {}, {"e": [timer("k", 20)]})
    assert [fire for bundle in drain(lab) for _, _, fire in bundle] == [20, 30]


@pytest.mark.parametrize(
    ("settings", "fires"),
    [
        ([timer("k", 10), timer("k", 20)], [20]),
        ([timer("k", 10), timer("k", 20, clear=True)], []),
        ([timer("k", 20, clear=True), timer("k", 10)], [10]),
        ([timer("k", 10), timer("k", 20, tag="t")], [10, 20]),
        ([timer("k", GMAX)], [GMAX]),
        ([timer("k", GMAX + 1)], [GMAX + 1]),
        # far beyond the end of its window it never fires (M-TIMER-15), and the job ends all the same
        ([timer("k", GMAX + 2)], []),
    ],
)
def test_the_last_setting_of_an_identity_wins(settings, fires):
    lab = with_timers(*[("e", each) for each in settings])
    assert [fire for bundle in drain(lab) for _, _, fire in bundle] == fires
    assert lab.done


def test_timers_of_two_windows_are_two_timers():
    program = Program()
    pairs = source(program).window_into(FIXED, name="window")
    pairs.par_do(Fn("drop"), coders.BYTES, name="keyed", **EVENT)
    lab = Lab(program)
    lab.answer("make", {"window.out": [at("k", 1, window(0, 10)), at("k", 11, window(10, 20))]})
    lab.answer("keyed", {}, {"e": [timer("k", 9, at=window(0, 10)), timer("k", 19, at=window(10, 20))]})
    assert [fire for bundle in drain(lab) for _, _, fire in bundle] == [9, 19]


def test_a_looping_timer_ends_with_its_window():
    program = Program()
    source(program).window_into(FIXED, name="window").par_do(Fn("drop"), coders.BYTES, name="keyed", **EVENT)
    lab = Lab(program)
    lab.answer("make", {"window.out": [at("k", 1, window(0, 10))]})
    fires = []
    lab.answer("keyed", {}, {"e": [timer("k", 1, at=window(0, 10))]})
    while not lab.waits("keyed"):
        ((_, _, fire),) = lab.fired("keyed")
        fires.append(fire)
        lab.answer("keyed", {}, {"e": [timer("k", fire + 3, at=window(0, 10))]})
    assert fires == [1, 4, 7, 10]
    assert lab.done


def test_downstream_waits_for_timers():
    lab = with_timers(("e", timer("k", 10)))
    assert lab.waits("read")
    lab.answer("keyed", {"keyed.out": [element(kv("k", 5), 10)]})
    assert len(lab.next("read").data) == 1


def test_processing_time_timers_fire_at_the_end_of_bounded_input():
    lab = with_timers(("p", timer("k", 10**12, 5)), ("e", timer("k", 7)), timers={"e": "event", "p": "processing"})
    assert drain(lab) == [[("e", string("k"), 7)], [("p", string("k"), 10**12)]]
    assert lab.done


def test_a_window_expires_once_for_each_key_after_its_timers():
    program = Program()
    pairs = source(program).window_into(FIXED, name="window", allowed_lateness=5)
    pairs.par_do(Fn("drop"), coders.BYTES, name="keyed", timers={"e": "event"}, on_window_expiration="over")
    lab = Lab(program)
    lab.answer("make", {"window.out": [at("k", 1, window(0, 10)), at("k", 2, window(0, 10)), at("j", 11, window(10, 20))]})
    lab.answer("keyed", {}, {"e": [timer("k", 9, at=window(0, 10))]})
    assert lab.fired("keyed") == [("e", string("k"), 9)]
    lab.answer("keyed")
    assert sorted(lab.fired("keyed")) == [("over", string("j"), 24), ("over", string("k"), 14)]
    # what is set now is void (M-TIMER-21)
    assert lab.answer("keyed", {}, {"e": [timer("k", 9, at=window(0, 10))]}) == [JobDone()]


def test_time_sorted_input_comes_in_order_and_complete():
    program = Program()
    both = program.flatten([source(program, "one"), source(program, "two")])
    both.par_do(Fn("drop"), coders.BYTES, name="sorted", requires_time_sorted_input=True, state={"s": cells.bag(coders.VARINT)})
    lab = Lab(program)
    lab.answer("one", {"one.out": [at("k", 7) + at("k", 3)]})
    assert lab.waits("sorted")
    lab.answer("two", {"two.out": [at("k", 5)]})
    assert lab.next("sorted").data == (at("k", 3), at("k", 5), at("k", 7))


# ---- restrictions


def splittable() -> Lab:
    program = Program()
    made = source(program, coder=coders.VARINT)
    made.par_do(Fn("identity"), coders.VARINT, name="sdf", restriction_coder=coders.JSON).par_do(
        Fn("drop"), coders.BYTES, name="read"
    )
    return Lab(program)


def test_a_splittable_do_fn_is_paired_split_and_processed():
    lab = splittable()
    assert [each.transforms for each in lab.plan.stages()] == [("make", "sdf/pair", "sdf/split"), ("sdf", "read")]


def test_a_residual_comes_back_unchanged_after_its_delay_and_holds_the_end():
    lab = splittable()
    lab.now = 1000
    lab.answer("make", {"sdf/sized": [b"restriction"]})
    commands = lab.answer("sdf", residuals=(Residual("sdf", "in", b"rest", 700),))
    assert commands == [WakeAt(1700)]
    lab.now = 1699
    assert lab.send(Tick()) == [WakeAt(1700)]
    lab.now = 1700
    (again,) = lab.send(Tick())
    assert isinstance(again, RunBundle)
    assert again.data == (b"rest",)
    assert lab.answer("sdf") == [JobDone()]


def test_a_residual_that_names_no_transform_of_its_stage_fails_the_job():
    lab = splittable()
    lab.answer("make", {"sdf/sized": [b"restriction"]})
    (failed,) = lab.answer("sdf", residuals=(Residual("other", "in", b"rest"),))
    assert isinstance(failed, JobFailed)
    assert "'other'" in failed.reason


# ---- lifted combines


def test_a_combine_is_lifted_unless_its_trigger_counts():
    program = Program()
    source(program).combine_per_key(Fn("sum"), coders.VARINT, coders.VARINT, name="sum")
    stages = [each.transforms for each in Lab(program).plan.stages()]
    assert stages == [("make", "sum/precombine"), ("sum/merge", "sum/extract")]


@pytest.mark.parametrize("timestamp", [MIN, 0, GMAX])
def test_outputs_go_on_as_the_very_bytes_that_came(timestamp):
    program = Program()
    made = source(program)
    made.redistribute_arbitrarily(name="spread").par_do(Fn("drop"), coders.BYTES, name="read")
    lab = Lab(program)
    lab.answer("make", {"make.out": [element(kv("k", 300), timestamp)]})
    assert lab.next("read").data == (element(kv("k", 300), timestamp),)


# ---- splits


def test_what_a_split_takes_away_runs_once_the_rest_is_committed():
    lab = splittable()
    sized = b"".join(element(b"\x01" + b"\x01" + bytes([n]) + bytes(8)) for n in range(5))
    lab.answer("make", {"sdf/sized": [sized]})
    bundle = lab.next("sdf").bundle
    assert lab.engine.estimate(bundle) == 5
    assert lab.send(BundleSplit(bundle, 4)) == []
    assert lab.send(BundleSplit(bundle, 3, (Residual("sdf", "in", b"part of 2"),))) == []
    assert lab.engine.estimate(bundle) == 3
    lab.answer("sdf")
    rest = lab.next("sdf")
    parts = [element(b"\x01" + b"\x01" + bytes([n]) + bytes(8)) for n in range(5)]
    assert sorted(rest.data) == sorted([*parts[3:], b"part of 2"])
    assert lab.answer("sdf") == [JobDone()]


def test_a_failed_bundle_takes_back_what_it_gave_away():
    lab = splittable()
    sized = b"".join(element(b"\x01" + b"\x01" + bytes([n]) + bytes(8)) for n in range(2))
    lab.answer("make", {"sdf/sized": [sized]})
    bundle = lab.next("sdf").bundle
    lab.send(BundleSplit(bundle, 1))
    del lab.open[bundle]
    (again,) = lab.send(BundleFailed(bundle, "no"))
    assert again.data == (sized,)
    assert lab.answer("sdf") == [JobDone()]
