"""Timestamps: their bytes are those of the timestamp layout in the coders, sort as time does, and have the bounds of the model."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from conformance.wire import coders, timestamps, values

INT64 = st.integers(-(2**63), 2**63 - 1)


@pytest.mark.parametrize(
    ("milliseconds", "hex_"),
    [
        (0, "8000000000000000"),
        (-1, "7fffffffffffffff"),
        (timestamps.MIN, "7fdf3b645a1cac09"),
        (timestamps.MAX, "8020c49ba5e353f7"),
        (timestamps.GLOBAL_WINDOW_MAX, "8020c49ba0bcf7f7"),
    ],
)
def test_known_bytes(milliseconds: int, hex_: str) -> None:
    """P-COD-02."""
    assert timestamps.encode_timestamp(milliseconds).hex() == hex_
    assert timestamps.decode_timestamp(bytes.fromhex("ff" + hex_), 1) == milliseconds


@given(INT64, INT64)
def test_byte_order_is_time_order(one: int, two: int) -> None:
    first, second = timestamps.encode_timestamp(one), timestamps.encode_timestamp(two)
    assert (first < second) == (one < two)
    assert timestamps.decode_timestamp(first) == one
    assert coders.timestamp().encode(one) == first


def test_too_few_bytes() -> None:
    with pytest.raises(struct.error):
        timestamps.decode_timestamp(b"\x80\x00")


def test_windows_know_their_last_instant() -> None:
    assert values.GLOBAL_WINDOW.max_timestamp == timestamps.GLOBAL_WINDOW_MAX == timestamps.MAX - 24 * 60 * 60 * 1000
    assert values.IntervalWindow(0, 10_000).max_timestamp == 9_999
