"""Timestamps: signed milliseconds since the epoch, and their eight bytes on the wire (M-TIME-01..05, P-COD-02)."""

from __future__ import annotations

import struct

__all__ = ["GLOBAL_WINDOW_MAX", "MAX", "MIN", "decode_timestamp", "encode_timestamp"]

#: The earliest and latest instants of the model, milliseconds (BeamConstants).
MIN = -9_223_372_036_854_775
MAX = 9_223_372_036_854_775
#: The last instant of the global window: one day before MAX, so that a watermark at MAX is past every window.
GLOBAL_WINDOW_MAX = MAX - 86_400_000

_UINT64 = struct.Struct(">Q")


def encode_timestamp(milliseconds: int) -> bytes:
    """Eight bytes, big endian, sign bit flipped, so that byte order is time order."""
    return _UINT64.pack((milliseconds + 0x8000_0000_0000_0000) & 0xFFFF_FFFF_FFFF_FFFF)


def decode_timestamp(data: bytes, pos: int = 0) -> int:
    """The milliseconds of the eight bytes at `pos`. Raises struct.error if there are fewer."""
    value: int = _UINT64.unpack_from(data, pos)[0]
    return value - 0x8000_0000_0000_0000
