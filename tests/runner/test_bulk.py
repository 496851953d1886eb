"""Pairs cut at once are the pairs that the loop cuts, and what the expression cannot read is left to the loop."""

from __future__ import annotations

from collections import defaultdict

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from conformance.runner import bulk, cutting
from conformance.runner.cutting import CutError, WindowedCut
from conformance.wire import urns
from conformance.wire.api import pipeline_pb2 as pb

C = urns.Coder


def coder(urn: str, *components: str) -> pb.Coder:
    return pb.Coder(spec=pb.FunctionSpec(urn=urn), component_coder_ids=components)


CODERS = {
    "bytes": coder(C.BYTES),
    "string": coder(C.STRING_UTF8),
    "varint": coder(C.VARINT),
    "double": coder(C.DOUBLE),
    "bool": coder(C.BOOL),
    "opaque": coder(C.LENGTH_PREFIX, "bytes"),
    "pair": coder(C.KV, "string", "varint"),
    "list": coder(C.ITERABLE, "varint"),
    "global": coder(C.GLOBAL_WINDOW),
    "interval": coder(C.INTERVAL_WINDOW),
}


def cut_of(key: str, value: str, window: str) -> WindowedCut:
    coders = {**CODERS, "kv": coder(C.KV, key, value)}
    element, key_skip = cutting.skipper("kv", coders), cutting.skipper(key, coders)
    return WindowedCut(element, cutting.skipper(window, coders), key_skip, cutting.pair_cutter(key, value, window, coders))


def prefixed(data: bytes) -> bytes:
    return cutting.encode_varint(len(data)) + data


short = st.binary(max_size=127).map(prefixed)
VALUES = {
    "bytes": short,
    "string": short,
    "opaque": short,
    "varint": st.integers(0, 2**64 - 1).map(cutting.encode_varint),
    "double": st.binary(min_size=8, max_size=8),
    "bool": st.sampled_from([b"\x00", b"\x01"]),
    "pair": st.builds(
        lambda one, other: prefixed(one) + cutting.encode_varint(other), st.binary(max_size=9), st.integers(0, 500)
    ),
}
PANES = st.sampled_from([b"\x0f", b"\x00", b"\x11\x05", b"\x10\x85\x01", b"\x24\x07\x06"])


@st.composite
def chunks(draw: st.DrawFn) -> tuple[WindowedCut, bytes]:
    key, value, window = draw(st.sampled_from(sorted(VALUES))), draw(st.sampled_from(sorted(VALUES))), draw(st.sampled_from("gi"))
    windows = {
        "g": st.just(b""),
        "i": st.builds(
            lambda start, size: cutting.interval_window(start, start + size), st.integers(-500, 500), st.integers(0, 500)
        ),
    }
    head = st.tuples(st.integers(-(2**40), 2**40), windows[window], PANES)
    heads = draw(st.lists(head, min_size=1, max_size=3))
    pairs = draw(st.lists(st.tuples(st.sampled_from(heads), VALUES[key], VALUES[value]), min_size=1, max_size=20))
    parts = [cutting.windowed_value(stamp, [win], pane, one + other) for (stamp, win, pane), one, other in pairs]
    data = b"".join(parts)
    return cut_of(key, value, "global" if window == "g" else "interval"), data * (bulk.LEAST // len(data) + 1)


def by_loop(cut: WindowedCut, data: bytes) -> dict[tuple[int, bytes, bytes], list[bytes]]:
    found = defaultdict(list)
    for element in cut.elements(data):
        key, value = cut.key_of(element.value)
        found[element.timestamp, element.windows[0], key].append(value)
    return found


def at_once(runs: list[bulk.Run]) -> dict[tuple[int, bytes, bytes], list[bytes]]:
    found = defaultdict(list)
    for run in runs:
        for key, values in run.groups.items():
            found[run.timestamp, run.window, key] += values
    return found


@settings(deadline=None)
@given(chunks())
def test_the_same_pairs_as_the_loop(case: tuple[WindowedCut, bytes]) -> None:
    cut, data = case
    runs = cut.runs(data)
    assert runs is not None
    one, other = at_once(runs), by_loop(cut, data)
    assert {key: sorted(values) for key, values in one.items()} == {key: sorted(values) for key, values in other.items()}


@settings(deadline=None)
@given(chunks(), st.data())
def test_damaged_chunks_are_left_to_the_loop_or_read_as_the_loop_reads_them(
    case: tuple[WindowedCut, bytes], data: st.DataObject
) -> None:
    cut, chunk = case
    at = data.draw(st.integers(0, len(chunk) - 1))
    damaged = chunk[:at] + data.draw(st.sampled_from([b"", b"\x00", b"\xff", b"\x80\x01"])) + chunk[at + 1 :]
    runs = cut.runs(damaged)
    try:
        expected = by_loop(cut, damaged)
    except (CutError, IndexError):
        expected = None
    if runs is not None and expected is not None:
        assert {key: sorted(found) for key, found in at_once(runs).items()} == {
            key: sorted(found) for key, found in expected.items()
        }


def test_what_it_cannot_read() -> None:
    cut = cut_of("bytes", "bytes", "global")
    element = cutting.windowed_value(0, [b""], b"\x0f", prefixed(b"key") + prefixed(b"value"))
    assert cut.runs(element) is None, "too small to be worth it"
    assert cut.runs(element * 200) is not None
    assert cut.runs(element * 200 + cutting.windowed_value(0, [b""], b"\x0f", prefixed(b"key") + prefixed(b"v" * 128))) is None
    assert cut.runs(element * 200 + cutting.windowed_value(0, [b"", b""], b"\x0f", prefixed(b"key") + prefixed(b"v"))) is None
    assert cut.runs((element * 200)[:-1]) is None
    assert cut_of("bytes", "list", "global").runs(element * 200) is None


def test_a_chunk_that_was_cut_as_it_came_is_the_same_bytes() -> None:
    cut = cut_of("bytes", "varint", "global")
    assert cut.pairs is not None
    data = cutting.windowed_value(0, [b""], b"\x0f", prefixed(b"key") + b"\x05") * 200
    chunk = cut.pairs.cut(data)
    assert chunk == data
    assert cut.runs(chunk) is cut.runs(chunk)
    assert cut.pairs.cut(b"short") == b"short"


@pytest.mark.parametrize("key", sorted(VALUES))
def test_every_layout_has_a_pattern(key: str) -> None:
    assert cut_of(key, key, "interval").pairs is not None
