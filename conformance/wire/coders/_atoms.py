"""The leaves: bytes, strings, booleans, numbers, and the two that stand for bytes of other coders (opaque, raw)."""

from __future__ import annotations

import struct
from typing import Any, Final

from conformance.wire.coders._base import (
    Coder,
    CoderError,
    UnwritableValue,
    read_length,
    read_varint,
    skip_varint,
    write_varint,
)
from conformance.wire.urns import Coder as Urn

__all__ = ["boolean", "bytes_coder", "double", "opaque", "raw", "string_utf8", "varint"]

_DOUBLE = struct.Struct(">d")


class _Bytes(Coder):
    __slots__ = ()

    def read(self, data: bytes, pos: int, end: int, nested: bool) -> tuple[bytes, int]:
        if not nested:
            return data[pos:end], end
        start, stop = read_length(data, pos, end, self.urn)
        return data[start:stop], stop

    def write(self, value: Any, out: bytearray, nested: bool) -> None:
        if not isinstance(value, bytes | bytearray | memoryview):
            raise UnwritableValue(self.urn, len(out), f"{type(value).__name__} is not bytes")
        if nested:
            write_varint(len(value), out)
        out += value

    def skip(self, data: bytes, pos: int, end: int, nested: bool) -> int:
        if not nested:
            return end
        if pos < end and (stop := pos + 1 + data[pos]) <= end and data[pos] < 0x80:
            return stop
        return read_length(data, pos, end, self.urn)[1]


class _String(_Bytes):
    __slots__ = ()

    def read(self, data: bytes, pos: int, end: int, nested: bool) -> tuple[Any, int]:
        start, stop = read_length(data, pos, end, self.urn) if nested else (pos, end)
        try:
            return data[start:stop].decode("utf-8"), stop
        except UnicodeDecodeError as error:
            raise CoderError(self.urn, start + error.start, f"not UTF-8 ({error.reason})") from None

    def write(self, value: Any, out: bytearray, nested: bool) -> None:
        if not isinstance(value, str):
            raise UnwritableValue(self.urn, len(out), f"{type(value).__name__} is not str")
        encoded = value.encode("utf-8")
        if nested:
            write_varint(len(encoded), out)
        out += encoded


class _Bool(Coder):
    __slots__ = ()

    def read(self, data: bytes, pos: int, end: int, nested: bool) -> tuple[bool, int]:
        if pos >= end:
            raise CoderError(self.urn, pos, "truncated: a boolean should be here")
        byte = data[pos]
        if byte > 1:
            raise CoderError(self.urn, pos, f"{byte:#04x} is neither 00 nor 01")
        return byte == 1, pos + 1

    def write(self, value: Any, out: bytearray, nested: bool) -> None:
        if value is not True and value is not False:
            raise UnwritableValue(self.urn, len(out), f"{type(value).__name__} is not bool")
        out.append(value)


class _VarInt(Coder):
    __slots__ = ()

    def read(self, data: bytes, pos: int, end: int, nested: bool) -> tuple[int, int]:
        return read_varint(data, pos, end, self.urn)

    def write(self, value: Any, out: bytearray, nested: bool) -> None:
        if not isinstance(value, int):
            raise UnwritableValue(self.urn, len(out), f"{type(value).__name__} is not int")
        write_varint(value, out, self.urn)

    def skip(self, data: bytes, pos: int, end: int, nested: bool) -> int:
        return skip_varint(data, pos, end, self.urn)


class FixedStruct(Coder):
    """A number of fixed width, big endian. `layout` is one of `struct`; `name` distinguishes it in errors."""

    __slots__ = ("_layout", "_size")

    def __init__(self, urn: str, layout: struct.Struct) -> None:
        super().__init__(urn, min_size=layout.size, fixed_size=layout.size)
        self._layout = layout
        self._size = layout.size

    def read(self, data: bytes, pos: int, end: int, nested: bool) -> tuple[Any, int]:
        stop = pos + self._size
        if stop > end:
            raise CoderError(self.urn, pos, f"truncated: {self._size} bytes wanted, {end - pos} left")
        return self._layout.unpack_from(data, pos)[0], stop

    def write(self, value: Any, out: bytearray, nested: bool) -> None:
        try:
            out += self._layout.pack(value)
        except (struct.error, OverflowError) as error:
            raise UnwritableValue(self.urn, len(out), f"cannot write {value!r} ({error})") from None

    def skip(self, data: bytes, pos: int, end: int, nested: bool) -> int:
        stop = pos + self._size
        if stop > end:
            raise CoderError(self.urn, pos, f"truncated: {self._size} bytes wanted, {end - pos} left")
        return stop


class _Opaque(Coder):
    """Bytes that only an SDK understands: all of them in outer context, unreadable in the nested one (P-COD-06)."""

    __slots__ = ()

    def read(self, data: bytes, pos: int, end: int, nested: bool) -> tuple[bytes, int]:
        if nested:
            raise CoderError(self.urn, pos, "no standard coder, so its end is unknown; it needs a length prefix (P-PIPE-13)")
        return data[pos:end], end

    def write(self, value: Any, out: bytearray, nested: bool) -> None:
        if nested:
            raise UnwritableValue(self.urn, len(out), "no standard coder, so it needs a length prefix (P-PIPE-13)")
        if not isinstance(value, bytes | bytearray | memoryview):
            raise UnwritableValue(self.urn, len(out), f"{type(value).__name__} is not bytes")
        out += value


class _Raw(Coder):
    """Values of `inner` carried as the bytes that they arrived in: written back verbatim, never interpreted."""

    __slots__ = ("_skip",)

    def __init__(self, inner: Coder) -> None:
        super().__init__(inner.urn, inner.components, inner.payload, min_size=inner.min_size, fixed_size=inner.fixed_size)
        self._skip = inner.skip

    def read(self, data: bytes, pos: int, end: int, nested: bool) -> tuple[bytes, int]:
        stop = self._skip(data, pos, end, nested)
        return data[pos:stop], stop

    def write(self, value: Any, out: bytearray, nested: bool) -> None:
        if not isinstance(value, bytes | bytearray | memoryview):
            raise UnwritableValue(self.urn, len(out), f"{type(value).__name__} is not bytes")
        out += value

    def skip(self, data: bytes, pos: int, end: int, nested: bool) -> int:
        return self._skip(data, pos, end, nested)


_BYTES: Final = _Bytes(Urn.BYTES, min_size=1)
_STRING: Final = _String(Urn.STRING_UTF8, min_size=1)
_BOOL: Final = _Bool(Urn.BOOL, min_size=1, fixed_size=1)
_VARINT: Final = _VarInt(Urn.VARINT, min_size=1)
_FLOAT64: Final = FixedStruct(Urn.DOUBLE, _DOUBLE)


def bytes_coder() -> Coder:
    """`bytes`: raw in outer context, with a varint length in the nested one."""
    return _BYTES


def string_utf8() -> Coder:
    """`str`, as bytes in UTF-8."""
    return _STRING


def boolean() -> Coder:
    """`bool`, one byte."""
    return _BOOL


def varint() -> Coder:
    """`int` of 64 bits; a negative one has ten bytes (P-COD-07)."""
    return _VARINT


def double() -> Coder:
    """`float`, eight bytes."""
    return _FLOAT64


def opaque(urn: str) -> Coder:
    """A coder of an SDK's own: `bytes`, in outer context only, hence inside a length prefix."""
    return _Opaque(urn)


def raw(inner: Coder) -> Coder:
    """As `inner`, but values are the bytes of its encoding: for a runner that passes elements on."""
    return _Raw(inner)
