"""Cutting encoded elements apart agrees with the coders that wrote them."""

from __future__ import annotations

import pytest

from conformance.runner import cutting
from conformance.runner.coders_rewrite import WireCoders
from conformance.wire import coders as wire
from conformance.wire import urns
from conformance.wire.api import pipeline_pb2 as pb
from conformance.wire.values import (
    GLOBAL_WINDOW,
    CustomWindow,
    IntervalWindow,
    Pane,
    ShardedKey,
    Timer,
    Timing,
    WindowedValue,
)

C = urns.Coder


def register(table: WireCoders, coder: wire.Coder) -> str:
    return table.add(coder.urn, *(register(table, each) for each in coder.components))


VALUES = [
    (wire.bytes_coder(), [b"", b"abc", bytes(300)]),
    (wire.string_utf8(), ["", "é"]),
    (wire.varint(), [0, 300, -1]),
    (wire.double(), [1.5]),
    (wire.boolean(), [True]),
    (wire.kv(wire.string_utf8(), wire.bytes_coder()), [("k", b"v"), ("", b"")]),
    (wire.iterable(wire.varint()), [[], [1, 300]]),
    (wire.kv(wire.varint(), wire.iterable(wire.string_utf8())), [(1, ["a", "bc"])]),
    (wire.nullable(wire.string_utf8()), [None, "x"]),
    (wire.length_prefix(wire.kv(wire.varint(), wire.varint())), [(1, 2)]),
    (wire.sharded_key(wire.string_utf8()), [ShardedKey("k", b""), ShardedKey("k", b"\x11")]),
]
WINDOWS = [
    (wire.global_window(), (GLOBAL_WINDOW,)),
    (wire.interval_window(), (IntervalWindow(0, 10), IntervalWindow(-5, 5))),
    (wire.interval_window(), ()),
    (wire.custom_window(wire.length_prefix(wire.bytes_coder())), (CustomWindow(99, b"w"),)),
]
PANES = [
    Pane(),
    Pane(True, False, Timing.EARLY, 0, -1),
    Pane(False, True, Timing.LATE, 300, 200),
    Pane(True, True, Timing.ON_TIME, 0, 0),
]


@pytest.mark.parametrize(("window", "windows"), WINDOWS)
@pytest.mark.parametrize(("coder", "values"), VALUES, ids=lambda each: getattr(each, "urn", ""))
def test_elements_end_where_their_coder_ends_them(coder, values, window, windows):
    table = WireCoders({})
    cut = table.cut(register(table, coder), register(table, window))
    whole = wire.windowed_value(coder, window)
    written = [WindowedValue(value, 1000 + n, windows, pane) for value in values for n, pane in enumerate(PANES)]
    parts = [whole.encode(each) for each in written]
    found = list(cut.elements(b"".join(parts)))
    assert [each.whole for each in found] == parts
    assert [each.timestamp for each in found] == [each.timestamp for each in written]
    assert [each.value for each in found] == [coder.encode(each.value) for each in written]
    assert [each.windows for each in found] == [tuple(window.encode(one) for one in each.windows) for each in written]
    assert [each.pane for each in found] == [cutting.encode_pane(each.pane) for each in written]
    if coder.urn == C.KV:
        assert [cut.key_of(each.value)[0] for each in found] == [coder.components[0].encode(each.value[0]) for each in written]


def test_timers_are_read_and_written_as_the_coder_does():
    coder = wire.timer(wire.string_utf8(), wire.interval_window())
    table = WireCoders({})
    timers = [
        Timer("k", "", (IntervalWindow(0, 10_000),), False, 5000, 5000, Pane()),
        Timer("k", "tag", (IntervalWindow(0, 10_000),), True),
        Timer("j", "tag", (IntervalWindow(0, 10), IntervalWindow(5, 15)), False, 1, 2, Pane(False, False, Timing.LATE, 3, 2)),
    ]
    data = b"".join(coder.encode(each) for each in timers)
    found = list(table.timer_cut(register(table, coder)).timers(data))
    assert [(each.key, each.clear, len(each.windows), each.fire, each.hold) for each in found] == [
        (b"\x01k", False, 1, 5000, 5000),
        (b"\x01k", True, 1, 0, 0),
        (b"\x01j", False, 2, 1, 2),
    ]
    first = found[0]
    assert cutting.encode_timer(first.key, first.tag, first.windows[0], first.fire, first.hold, first.pane) == coder.encode(
        timers[0]
    )


@pytest.mark.parametrize("cut_off", range(1, 24))
def test_what_is_cut_off_is_refused(cut_off):
    table = WireCoders({})
    cut = table.cut(table.add(C.STRING_UTF8), table.add(C.INTERVAL_WINDOW))
    data = wire.windowed_value(wire.string_utf8(), wire.interval_window()).encode(
        WindowedValue("abc", 1, (IntervalWindow(0, 10),))
    )
    with pytest.raises(cutting.CutError):
        list(cut.elements(data[: len(data) - cut_off]))


def test_unknown_length_iterables_are_read():
    data = bytes.fromhex("ffffffff" + "02" + "0102" + "01" + "03" + "00")
    skip = cutting.skipper(
        "i", {"i": pb.Coder(spec={"urn": C.ITERABLE}, component_coder_ids=["v"]), "v": pb.Coder(spec={"urn": C.VARINT})}
    )
    assert skip(data, 0) == len(data)
    assert cutting.split_iterable(data, 0, lambda data, pos: pos + 1)[0] == [b"\x01", b"\x02", b"\x03"]
