"""The contract of every coder, its errors, and the varints that lengths are written in. No coder of its own lives here.

`read` and `skip` take the whole buffer with `pos` and `end`, so that nothing is copied on the way down. In the *outer* context
(`nested=False`) a value owns the bytes up to `end`; in the *nested* one it must say itself where it stops (P-COD-01).
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Any

__all__ = [
    "MAX_DEPTH",
    "MAX_EMPTY_ELEMENTS",
    "Coder",
    "CoderError",
    "InvalidCoder",
    "UnknownCoder",
    "UnwritableValue",
    "decode_varint",
    "encode_varint",
    "read_length",
    "read_varint",
    "skip_varint",
    "write_varint",
]

#: Coders nest no deeper than this (real pipelines stay below 20); each level costs a Python frame or two on reading.
MAX_DEPTH = 64
#: Elements without bytes can be counted by the billion in four bytes; no honest writer has more than one (the global window).
MAX_EMPTY_ELEMENTS = 16

_SIGN = 1 << 63
_WRAP = 1 << 64
_MASK = _WRAP - 1


class CoderError(ValueError):
    """Bytes that are no encoding of `coder`; `offset` is the place in the buffer where that showed."""

    def __init__(self, coder: str, offset: int, reason: str) -> None:
        super().__init__(f"{coder} at byte {offset}: {reason}; compare the bytes with docs/protocol.md section 8")
        self.coder = coder
        self.offset = offset
        self.reason = reason

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.coder, self.offset, self.reason)


class UnwritableValue(CoderError):
    """A value that `coder` has no bytes for; `offset` is how much was written before it."""


class InvalidCoder(ValueError):
    """A coder specification that breaks P-COD-04: component count, missing component, cycle, bad payload."""

    def __init__(self, coder_id: str, urn: str, reason: str) -> None:
        super().__init__(f"coder {coder_id!r} ({urn or 'no urn'}): {reason}; correct it in Components.coders (P-COD-04)")
        self.coder_id = coder_id
        self.urn = urn
        self.reason = reason

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.coder_id, self.urn, self.reason)


class UnknownCoder(ValueError):
    """A coder that is not a standard one, hence opaque (P-COD-06)."""

    def __init__(self, coder_id: str, urn: str, reason: str = "not a standard coder") -> None:
        super().__init__(f"coder {coder_id!r} ({urn or 'no urn'}): {reason}; wrap it in length_prefix, or give on_unknown")
        self.coder_id = coder_id
        self.urn = urn
        self.reason = reason

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.coder_id, self.urn, self.reason)


class Coder:
    """Reads and writes values of one type. Equal coders (class, urn, components, payload, variant) write equal bytes.

    `variant` is a choice of ours that no proto carries. `min_size` is the least number of bytes of a nested value, `fixed_size`
    the number if all have the same, else None.
    """

    __slots__ = ("_hash", "components", "depth", "fixed_size", "min_size", "payload", "urn", "variant")

    def __init__(
        self,
        urn: str,
        components: tuple[Coder, ...] = (),
        payload: bytes = b"",
        *,
        min_size: int = 0,
        fixed_size: int | None = None,
        variant: object = None,
    ) -> None:
        self.urn = urn
        self.components = components
        self.payload = payload
        self.min_size = min_size
        self.fixed_size = fixed_size
        self.variant = variant
        self.depth: int = 1 + max((c.depth for c in components), default=0)
        if self.depth > MAX_DEPTH:
            raise InvalidCoder("", urn, f"nests more than {MAX_DEPTH} coders")
        self._hash = hash((type(self), urn, components, payload, variant))

    def read(self, data: bytes, pos: int, end: int, nested: bool) -> tuple[Any, int]:
        """The value at `pos` and where the next one starts. Raises CoderError."""
        raise NotImplementedError(type(self).__name__)

    def write(self, value: Any, out: bytearray, nested: bool) -> None:
        """Append the encoding of `value`. Raises UnwritableValue, or TypeError and the like for a value of another type."""
        raise NotImplementedError(type(self).__name__)

    def skip(self, data: bytes, pos: int, end: int, nested: bool) -> int:
        """Where the value at `pos` ends, found without building it and without checking what lies inside a known length."""
        return self.read(data, pos, end, nested)[1]

    def encode(self, value: Any, nested: bool = True) -> bytes:
        """The bytes of `value`. Raises UnwritableValue whatever is wrong with it."""
        out = bytearray()
        try:
            self.write(value, out, nested)
        except CoderError:
            raise
        except (TypeError, AttributeError, ValueError, OverflowError, struct.error) as error:
            raise UnwritableValue(self.urn, len(out), f"cannot write {_short(value)} ({error})") from error
        return bytes(out)

    def decode(self, data: bytes, nested: bool = True) -> Any:
        """The one value that `data` holds. Raises CoderError, also if bytes are left over."""
        value, pos = self.read(data, 0, len(data), nested)
        if pos != len(data):
            raise CoderError(self.urn, pos, f"{len(data) - pos} bytes left over")
        return value

    def decode_all(self, data: bytes) -> list[Any]:
        """The values of a concatenation in nested context (P-DATA-05)."""
        values: list[Any] = []
        pos, end, read = 0, len(data), self.read
        while pos < end:
            value, after = read(data, pos, end, True)
            if after == pos:
                raise CoderError(self.urn, pos, "an element without bytes cannot be told from none (P-DATA-06)")
            values.append(value)
            pos = after
        return values

    def iter_spans(self, data: bytes) -> Iterator[tuple[int, int]]:
        """Start and end of each element of a concatenation, without building values."""
        pos, end, skip = 0, len(data), self.skip
        while pos < end:
            after = skip(data, pos, end, True)
            if after == pos:
                raise CoderError(self.urn, pos, "an element without bytes cannot be told from none (P-DATA-06)")
            yield pos, after
            pos = after

    def split_all(self, data: bytes) -> list[bytes]:
        """The elements of a concatenation, each as its own bytes."""
        return [data[start:stop] for start, stop in self.iter_spans(data)]

    def __eq__(self, other: object) -> bool:
        if self is other:
            return True
        if type(self) is not type(other) or not isinstance(other, Coder) or self._hash != other._hash:
            return False
        mine = (self.urn, self.payload, self.variant, self.components)
        return mine == (other.urn, other.payload, other.variant, other.components)

    def __hash__(self) -> int:
        return self._hash

    def __repr__(self) -> str:
        name = self.urn.removeprefix("beam:coder:").removesuffix(":v1") or "(no urn)"
        return f"{name}<{', '.join(map(repr, self.components))}>" if self.components else name


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "..."


def read_varint(data: bytes, pos: int, end: int, coder: str = "varint") -> tuple[int, int]:
    """The signed 64-bit integer at `pos` and where it ends. At most ten bytes; more are an error, not a bigger number."""
    start = pos
    if pos >= end:
        raise CoderError(coder, end, "truncated: a varint should start here")
    byte = data[pos]
    if byte < 0x80:
        return byte, pos + 1
    result = byte & 0x7F
    shift = 7
    pos += 1
    while pos < end:
        byte = data[pos]
        pos += 1
        if byte < 0x80:
            result |= byte << shift
            if result > _MASK:
                raise CoderError(coder, start, "varint has more than 64 bits")
            return (result - _WRAP if result & _SIGN else result), pos
        if shift == 63:
            raise CoderError(coder, start, "varint has more than ten bytes")
        result |= (byte & 0x7F) << shift
        shift += 7
    raise CoderError(coder, end, "truncated: a varint does not end")


def skip_varint(data: bytes, pos: int, end: int, coder: str = "varint") -> int:
    """Where the varint at `pos` ends."""
    if pos < end and data[pos] < 0x80:
        return pos + 1
    return read_varint(data, pos, end, coder)[1]


def read_length(data: bytes, pos: int, end: int, coder: str) -> tuple[int, int]:
    """A varint length at `pos` that fits in what is left: (start, end) of the run that it announces."""
    if pos < end and data[pos] < 0x80:  # fast path: most lengths are below 128
        length = data[pos]
        start = pos + 1
    else:
        length, start = read_varint(data, pos, end, coder)
    stop = start + length
    if length < 0:
        raise CoderError(coder, pos, f"negative length {length}")
    if stop > end:
        raise CoderError(coder, pos, f"truncated: length {length}, but {end - start} bytes are left")
    return start, stop


def write_varint(value: int, out: bytearray, coder: str = "varint") -> None:
    """Append the shortest varint of a signed 64-bit integer (a negative one has ten bytes)."""
    if 0 <= value < 0x80:
        out.append(value)
        return
    if not -_SIGN <= value < _SIGN:
        raise UnwritableValue(coder, len(out), f"{value} has more than 64 bits")
    value &= _MASK
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)


def encode_varint(value: int) -> bytes:
    """The varint of a signed 64-bit integer."""
    out = bytearray()
    write_varint(value, out)
    return bytes(out)


def decode_varint(data: bytes) -> int:
    """The signed 64-bit integer that is all of `data`."""
    value, pos = read_varint(data, 0, len(data))
    if pos != len(data):
        raise CoderError("varint", pos, f"{len(data) - pos} bytes left over")
    return value
