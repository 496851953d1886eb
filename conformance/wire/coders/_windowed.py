"""Timestamps, windows, panes, and the three coders that carry them: windowed values (full and parametrised) and timers.

Runners read windowed values more often than anything else, so the header that almost all of them carry (one global window, no
firing) has a path of its own in `read` and `skip`.
"""

from __future__ import annotations

import struct
from typing import Any, Final

from conformance.wire.coders._atoms import bytes_coder, string_utf8
from conformance.wire.coders._base import (
    Coder,
    CoderError,
    InvalidCoder,
    UnwritableValue,
    read_length,
    read_varint,
    skip_varint,
    write_varint,
)
from conformance.wire.coders._containers import iterable
from conformance.wire.urns import Coder as Urn
from conformance.wire.values import (
    GLOBAL_WINDOW,
    NO_FIRING,
    CustomWindow,
    GlobalWindow,
    IntervalWindow,
    Pane,
    Timer,
    Timing,
    WindowedValue,
)

__all__ = [
    "custom_window",
    "global_window",
    "interval_window",
    "pane",
    "param_windowed_value",
    "timer",
    "timestamp",
    "windowed_value",
]

_UINT64 = struct.Struct(">Q")
_FLIP = 1 << 63
#: One window of no bytes and the pane 0f: what follows the timestamp of an element that no windowing touched.
_GLOBAL_NO_FIRING = b"\x00\x00\x00\x01\x0f"
_TIMESTAMP = "timestamp"
_PANE = "pane"


def _read_timestamp(data: bytes, pos: int, end: int, coder: str) -> int:
    if end - pos < 8:
        raise CoderError(coder, pos, f"truncated: a timestamp has 8 bytes, {end - pos} are left")
    value: int = _UINT64.unpack_from(data, pos)[0]
    return value - _FLIP


def _write_timestamp(milliseconds: int, out: bytearray, coder: str) -> None:
    try:
        out += _UINT64.pack(milliseconds + _FLIP)
    except (struct.error, TypeError):
        raise UnwritableValue(coder, len(out), f"{milliseconds!r} is no timestamp of 64 bits") from None


class _Timestamp(Coder):
    """Not a coder of its own in Beam, but the layout inside several, and that of millis_instant (P-COD-02)."""

    __slots__ = ()

    def read(self, data: bytes, pos: int, end: int, nested: bool) -> tuple[int, int]:
        return _read_timestamp(data, pos, end, self.urn), pos + 8

    def write(self, value: Any, out: bytearray, nested: bool) -> None:
        _write_timestamp(value, out, self.urn)

    def skip(self, data: bytes, pos: int, end: int, nested: bool) -> int:
        if end - pos < 8:
            raise CoderError(self.urn, pos, f"truncated: a timestamp has 8 bytes, {end - pos} are left")
        return pos + 8


class _GlobalWindow(Coder):
    __slots__ = ()

    def read(self, data: bytes, pos: int, end: int, nested: bool) -> tuple[GlobalWindow, int]:
        return GLOBAL_WINDOW, pos

    def write(self, value: Any, out: bytearray, nested: bool) -> None:
        if not isinstance(value, GlobalWindow):
            raise UnwritableValue(self.urn, len(out), f"{type(value).__name__} is not GlobalWindow")

    def skip(self, data: bytes, pos: int, end: int, nested: bool) -> int:
        return pos


class _IntervalWindow(Coder):
    __slots__ = ()

    def read(self, data: bytes, pos: int, end: int, nested: bool) -> tuple[IntervalWindow, int]:
        stop = _read_timestamp(data, pos, end, self.urn)
        span, after = read_varint(data, pos + 8, end, self.urn)
        if span < 0:
            raise CoderError(self.urn, pos + 8, f"negative span {span}")
        return IntervalWindow(stop - span, stop), after

    def write(self, value: Any, out: bytearray, nested: bool) -> None:
        if not isinstance(value, IntervalWindow):
            raise UnwritableValue(self.urn, len(out), f"{type(value).__name__} is not IntervalWindow")
        if value.end < value.start:
            raise UnwritableValue(self.urn, len(out), f"{value} ends before it starts")
        _write_timestamp(value.end, out, self.urn)
        write_varint(value.end - value.start, out, self.urn)

    def skip(self, data: bytes, pos: int, end: int, nested: bool) -> int:
        return skip_varint(data, pos + 8, end, self.urn)


class _CustomWindow(Coder):
    __slots__ = ("_read", "_skip", "_write")

    def __init__(self, window: Coder) -> None:
        super().__init__(Urn.CUSTOM_WINDOW, (window,), min_size=8 + window.min_size)
        self._read, self._skip, self._write = window.read, window.skip, window.write

    def read(self, data: bytes, pos: int, end: int, nested: bool) -> tuple[CustomWindow, int]:
        max_timestamp = _read_timestamp(data, pos, end, self.urn)
        window, after = self._read(data, pos + 8, end, True)
        return CustomWindow(max_timestamp, window), after

    def write(self, value: Any, out: bytearray, nested: bool) -> None:
        if not isinstance(value, CustomWindow):
            raise UnwritableValue(self.urn, len(out), f"{type(value).__name__} is not CustomWindow")
        _write_timestamp(value.max_timestamp, out, self.urn)
        self._write(value.window, out, True)

    def skip(self, data: bytes, pos: int, end: int, nested: bool) -> int:
        if end - pos < 8:
            raise CoderError(self.urn, pos, f"truncated: a timestamp has 8 bytes, {end - pos} are left")
        return self._skip(data, pos + 8, end, True)


# Pane byte: bit 7 metadata follows, bits 6-4 form, bits 3-2 timing, bit 1 last, bit 0 first.
_METADATA = 0x80
_TIMINGS: Final = tuple(Timing)
_FORM_0: Final = tuple(Pane(bool(b & 1), bool(b & 2), _TIMINGS[b >> 2], 0, 0) for b in range(16))


def _read_pane(data: bytes, pos: int, end: int, coder: str = _PANE, metadata: bool = False) -> tuple[Pane, int]:
    if pos >= end:
        raise CoderError(coder, pos, "truncated: a pane should be here")
    first = data[pos]
    if first < 0x10:
        return _FORM_0[first], pos + 1
    start, pos = pos, pos + 1
    if first & _METADATA and not metadata:
        raise CoderError(coder, start, f"pane byte {first:#04x} announces element metadata, which nobody asked for (P-COD-09)")
    form, timing = first >> 4 & 7, _TIMINGS[first >> 2 & 3]
    index = nonspeculative = 0
    if form == 1:
        index, pos = read_varint(data, pos, end, coder)
        nonspeculative = -1 if timing is Timing.EARLY else index
    elif form == 2:
        index, pos = read_varint(data, pos, end, coder)
        nonspeculative, pos = read_varint(data, pos, end, coder)
    elif form:
        raise CoderError(coder, start, f"pane byte {first:#04x} has form {form}; there are 0, 1 and 2")
    if index < 0 or nonspeculative < -1:
        raise CoderError(coder, start, f"pane has the negative index {index}/{nonspeculative}")
    if first & _METADATA:
        pos = read_length(data, pos, end, coder)[1]
    return Pane(bool(first & 1), bool(first & 2), timing, index, nonspeculative), pos


def _write_pane(value: Pane, out: bytearray) -> None:
    """The canonical form (P-COD-08). An UNKNOWN pane loses its indices, an EARLY one its nonspeculative index, as everywhere."""
    byte = value.is_first | value.is_last << 1 | value.timing << 2
    index, nonspeculative = value.index, value.nonspeculative_index
    if not (index or nonspeculative) or value.timing is Timing.UNKNOWN:
        out.append(byte)
    elif index == nonspeculative or value.timing is Timing.EARLY:
        out.append(byte | 0x10)
        write_varint(index, out, _PANE)
    else:
        out.append(byte | 0x20)
        write_varint(index, out, _PANE)
        write_varint(nonspeculative, out, _PANE)


class _Pane(Coder):
    """Not a coder of its own in Beam, but the layout inside windowed values and timers (8.1)."""

    __slots__ = ()

    def read(self, data: bytes, pos: int, end: int, nested: bool) -> tuple[Pane, int]:
        return _read_pane(data, pos, end)

    def write(self, value: Any, out: bytearray, nested: bool) -> None:
        _write_pane(value, out)


class _WindowedValue(Coder):
    __slots__ = ("_global", "_metadata", "_read_value", "_skip_value", "_windows", "_write_value")

    def __init__(self, element: Coder, window: Coder, metadata: bool) -> None:
        super().__init__(Urn.WINDOWED_VALUE, (element, window), min_size=13 + element.min_size, variant=metadata)
        self._read_value, self._skip_value, self._write_value = element.read, element.skip, element.write
        self._windows = iterable(window)
        self._global = isinstance(window, _GlobalWindow)
        self._metadata = metadata

    def read(self, data: bytes, pos: int, end: int, nested: bool) -> tuple[WindowedValue, int]:
        if self._global and data.startswith(_GLOBAL_NO_FIRING, pos + 8, end):
            time = _UINT64.unpack_from(data, pos)[0] - _FLIP
            value, pos = self._read_value(data, pos + 13, end, nested)
            return WindowedValue(value, time), pos
        time, windows, pane_, pos = self.read_header(data, pos, end)
        value, pos = self._read_value(data, pos, end, nested)
        return WindowedValue(value, time, windows, pane_), pos

    def read_header(self, data: bytes, pos: int, end: int) -> tuple[int, tuple[Any, ...], Pane, int]:
        """Timestamp, windows and pane, and where the value starts."""
        time = _read_timestamp(data, pos, end, self.urn)
        windows, pos = self._windows.read(data, pos + 8, end, True)
        pane_, pos = _read_pane(data, pos, end, self.urn, self._metadata)
        return time, tuple(windows), pane_, pos

    def write_header(self, time: int, windows: tuple[Any, ...], pane_: Pane, out: bytearray) -> None:
        """All that goes before the value."""
        _write_timestamp(time, out, self.urn)
        if self._global and pane_ is NO_FIRING and len(windows) == 1 and windows[0] is GLOBAL_WINDOW:
            out += _GLOBAL_NO_FIRING
            return
        self._windows.write(windows, out, True)
        _write_pane(pane_, out)

    def write(self, value: Any, out: bytearray, nested: bool) -> None:
        if not isinstance(value, WindowedValue):
            raise UnwritableValue(self.urn, len(out), f"{type(value).__name__} is not WindowedValue")
        self.write_header(value.timestamp, value.windows, value.pane, out)
        self._write_value(value.value, out, nested)

    def skip(self, data: bytes, pos: int, end: int, nested: bool) -> int:
        if self._global and data.startswith(_GLOBAL_NO_FIRING, pos + 8, end):
            return self._skip_value(data, pos + 13, end, nested)
        if end - pos < 13:
            raise CoderError(self.urn, pos, f"truncated: a windowed value has 13 bytes before its value, {end - pos} are left")
        pos = self._windows.skip(data, pos + 8, end, True)
        if pos < end and data[pos] < 0x10:
            return self._skip_value(data, pos + 1, end, nested)
        return self._skip_value(data, _read_pane(data, pos, end, self.urn, self._metadata)[1], end, nested)


class _ParamWindowedValue(Coder):
    """Only values are on the wire; timestamp, windows and pane are the same for all and stand in the coder's payload."""

    __slots__ = ("_header", "_read", "_skip", "_write")

    def __init__(self, element: Coder, window: Coder, payload: bytes) -> None:
        super().__init__(
            Urn.PARAM_WINDOWED_VALUE,
            (element, window),
            payload,
            min_size=element.min_size,
            fixed_size=element.fixed_size,
        )
        template = _WindowedValue(bytes_coder(), window, False)
        try:
            time, windows, pane_, pos = template.read_header(payload, 0, len(payload))
        except CoderError as error:
            raise InvalidCoder("", self.urn, f"payload is no windowed value: {error}") from None
        # The empty bytes at the end are written in outer context (nothing) or in the nested one (00): released SDKs do both.
        if payload[pos:] not in (b"", b"\x00"):
            raise InvalidCoder("", self.urn, f"payload has {len(payload) - pos} bytes behind its pane; the value in it is empty")
        self._header = (time, windows, pane_)
        self._read, self._skip, self._write = element.read, element.skip, element.write

    def read(self, data: bytes, pos: int, end: int, nested: bool) -> tuple[WindowedValue, int]:
        value, pos = self._read(data, pos, end, nested)
        return WindowedValue(value, *self._header), pos

    def write(self, value: Any, out: bytearray, nested: bool) -> None:
        if not isinstance(value, WindowedValue):
            raise UnwritableValue(self.urn, len(out), f"{type(value).__name__} is not WindowedValue")
        if (value.timestamp, value.windows, value.pane) != self._header:
            raise UnwritableValue(
                self.urn, len(out), "timestamp, windows or pane differ from the coder's payload; use windowed_value"
            )
        self._write(value.value, out, nested)

    def skip(self, data: bytes, pos: int, end: int, nested: bool) -> int:
        return self._skip(data, pos, end, nested)


class _Timer(Coder):
    """P-TMR-01: key, tag, windows, clear bit, and unless cleared two timestamps and a pane."""

    __slots__ = ("_key", "_tag", "_windows")

    def __init__(self, key: Coder, window: Coder) -> None:
        super().__init__(Urn.TIMER, (key, window), min_size=key.min_size + 6)
        self._key = key
        self._tag = string_utf8()
        self._windows = iterable(window)

    def _cleared(self, data: bytes, pos: int, end: int) -> bool:
        if pos >= end:
            raise CoderError(self.urn, pos, "truncated: the clear bit should be here")
        if data[pos] > 1:
            raise CoderError(self.urn, pos, f"clear bit {data[pos]:#04x} is neither 00 nor 01")
        return data[pos] == 1

    def read(self, data: bytes, pos: int, end: int, nested: bool) -> tuple[Timer, int]:
        key, pos = self._key.read(data, pos, end, True)
        tag, pos = self._tag.read(data, pos, end, True)
        windows, pos = self._windows.read(data, pos, end, True)
        if self._cleared(data, pos, end):
            return Timer(key, tag, tuple(windows), True), pos + 1
        fire = _read_timestamp(data, pos + 1, end, self.urn)
        hold = _read_timestamp(data, pos + 9, end, self.urn)
        pane_, pos = _read_pane(data, pos + 17, end, self.urn)
        return Timer(key, tag, tuple(windows), False, fire, hold, pane_), pos

    def write(self, value: Any, out: bytearray, nested: bool) -> None:
        if not isinstance(value, Timer):
            raise UnwritableValue(self.urn, len(out), f"{type(value).__name__} is not Timer")
        self._key.write(value.key, out, True)
        self._tag.write(value.tag, out, True)
        self._windows.write(value.windows, out, True)
        out.append(value.clear)
        if not value.clear:
            _write_timestamp(value.fire_timestamp, out, self.urn)
            _write_timestamp(value.hold_timestamp, out, self.urn)
            _write_pane(value.pane, out)

    def skip(self, data: bytes, pos: int, end: int, nested: bool) -> int:
        pos = self._key.skip(data, pos, end, True)
        pos = self._tag.skip(data, pos, end, True)
        pos = self._windows.skip(data, pos, end, True)
        if self._cleared(data, pos, end):
            return pos + 1
        return _read_pane(data, min(pos + 17, end), end, self.urn)[1]


_THE_TIMESTAMP: Final = _Timestamp(_TIMESTAMP, min_size=8, fixed_size=8)
_THE_PANE: Final = _Pane(_PANE, min_size=1)
_THE_GLOBAL_WINDOW: Final = _GlobalWindow(Urn.GLOBAL_WINDOW, min_size=0, fixed_size=0)
_THE_INTERVAL_WINDOW: Final = _IntervalWindow(Urn.INTERVAL_WINDOW, min_size=9)


def timestamp() -> Coder:
    """`int` milliseconds in eight bytes: a layout without a urn, for headers and millis_instant."""
    return _THE_TIMESTAMP


def pane() -> Coder:
    """`Pane`: a layout without a urn."""
    return _THE_PANE


def global_window() -> Coder:
    """`GLOBAL_WINDOW`, no bytes."""
    return _THE_GLOBAL_WINDOW


def interval_window() -> Coder:
    """`IntervalWindow`: its end, then its span."""
    return _THE_INTERVAL_WINDOW


def custom_window(window: Coder) -> Coder:
    """`CustomWindow`: its maximum timestamp, then whatever `window` makes of the rest."""
    return _CustomWindow(window)


def windowed_value(element: Coder, window: Coder, *, metadata: bool = False) -> Coder:
    """`WindowedValue`. With `metadata` an element metadata block (P-COD-09) is stepped over, without it is an error."""
    return _WindowedValue(element, window, metadata)


def param_windowed_value(element: Coder, window: Coder, payload: bytes) -> Coder:
    """`WindowedValue`s that share the timestamp, windows and pane in `payload`. Raises InvalidCoder if it cannot be read."""
    return _ParamWindowedValue(element, window, payload)


def timer(key: Coder, window: Coder) -> Coder:
    """`Timer` of a user key."""
    return _Timer(key, window)
