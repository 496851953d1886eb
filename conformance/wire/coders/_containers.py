"""What wraps other coders: pairs, iterables (inline and state-backed), length prefixes, nullables, sharded keys."""

from __future__ import annotations

import struct
from typing import Any

from conformance.wire.coders._base import (
    MAX_EMPTY_ELEMENTS,
    Coder,
    CoderError,
    UnwritableValue,
    read_length,
    read_varint,
    write_varint,
)
from conformance.wire.urns import Coder as Urn
from conformance.wire.values import ShardedKey, StateBackedIterable, Unsized

__all__ = ["iterable", "kv", "length_prefix", "nullable", "sharded_key", "state_backed_iterable"]

_INT32 = struct.Struct(">i")
_UNKNOWN_LENGTH = b"\xff\xff\xff\xff"
#: Instead of the 0 that ends the batches of a state-backed iterable: a token follows (P-COD-03).
_TOKEN_FOLLOWS = -1
#: Elements after each count of a list that is written without its length.
UNSIZED_BATCH = 2


class _Kv(Coder):
    __slots__ = ("_read_key", "_read_value", "_skip_key", "_skip_value", "_write_key", "_write_value")

    def __init__(self, key: Coder, value: Coder) -> None:
        fixed = None if key.fixed_size is None or value.fixed_size is None else key.fixed_size + value.fixed_size
        super().__init__(Urn.KV, (key, value), min_size=key.min_size + value.min_size, fixed_size=fixed)
        self._read_key, self._skip_key, self._write_key = key.read, key.skip, key.write
        self._read_value, self._skip_value, self._write_value = value.read, value.skip, value.write

    def read(self, data: bytes, pos: int, end: int, nested: bool) -> tuple[tuple[Any, Any], int]:
        key, pos = self._read_key(data, pos, end, True)
        value, pos = self._read_value(data, pos, end, nested)
        return (key, value), pos

    def write(self, value: Any, out: bytearray, nested: bool) -> None:
        if not isinstance(value, tuple) or len(value) != 2:
            raise UnwritableValue(self.urn, len(out), f"{type(value).__name__} is not a tuple of two")
        self._write_key(value[0], out, True)
        self._write_value(value[1], out, nested)

    def skip(self, data: bytes, pos: int, end: int, nested: bool) -> int:
        return self._skip_value(data, self._skip_key(data, pos, end, True), end, nested)


class _Iterable(Coder):
    """Both iterables: a count and elements, or batches that end with 0, or (state-backed only) with a token."""

    __slots__ = ("_batch", "_fixed", "_least", "_read_element", "_skip_element", "_state_backed", "_write_element")

    def __init__(self, urn: str, element: Coder, state_backed: bool, batch: int | None) -> None:
        super().__init__(urn, (element,), min_size=4, variant=batch)
        if batch is not None and batch < 1:
            raise ValueError(f"batch is {batch}; give the number of elements between two counts, at least 1")
        self._read_element, self._skip_element, self._write_element = element.read, element.skip, element.write
        self._fixed = element.fixed_size
        self._least = element.min_size
        self._state_backed = state_backed
        self._batch = batch

    def _check_count(self, count: int, seen: int, pos: int, left: int) -> None:
        """Refuse a count that cannot be true before anything is built from it."""
        if count < 0:
            raise CoderError(self.urn, pos, f"negative count {count}")
        if count * self._least > left:
            raise CoderError(self.urn, pos, f"truncated: {count} elements announced, {left} bytes left")
        if not self._least and seen + count > MAX_EMPTY_ELEMENTS:
            raise CoderError(self.urn, pos, f"{seen + count} elements that may be empty; at most {MAX_EMPTY_ELEMENTS} are read")

    def read(self, data: bytes, pos: int, end: int, nested: bool) -> tuple[Any, int]:
        if end - pos < 4:
            raise CoderError(self.urn, pos, "truncated: an iterable starts with four bytes")
        count = _INT32.unpack_from(data, pos)[0]
        read = self._read_element
        values: list[Any] = []
        if count != -1:
            self._check_count(count, 0, pos, end - pos - 4)
            pos += 4
            for _ in range(count):
                value, pos = read(data, pos, end, True)
                values.append(value)
            return values, pos
        pos += 4
        while True:
            count, after = read_varint(data, pos, end, self.urn)
            if not count:
                return values, after
            if count == _TOKEN_FOLLOWS and self._state_backed:
                start, stop = read_length(data, after, end, self.urn)
                return StateBackedIterable(tuple(values), data[start:stop]), stop
            self._check_count(count, len(values), pos, end - after)
            pos = after
            for _ in range(count):
                value, pos = read(data, pos, end, True)
                values.append(value)

    def skip(self, data: bytes, pos: int, end: int, nested: bool) -> int:
        if end - pos < 4:
            raise CoderError(self.urn, pos, "truncated: an iterable starts with four bytes")
        count = _INT32.unpack_from(data, pos)[0]
        if count != -1:
            self._check_count(count, 0, pos, end - pos - 4)
            return self._skip_elements(data, pos + 4, end, count)
        pos += 4
        seen = 0
        while True:
            count, after = read_varint(data, pos, end, self.urn)
            if not count:
                return after
            if count == _TOKEN_FOLLOWS and self._state_backed:
                return read_length(data, after, end, self.urn)[1]
            self._check_count(count, seen, pos, end - after)
            seen += count
            pos = self._skip_elements(data, after, end, count)

    def _skip_elements(self, data: bytes, pos: int, end: int, count: int) -> int:
        if self._fixed is not None:  # _check_count saw that they fit
            return pos + count * self._fixed
        skip = self._skip_element
        for _ in range(count):
            pos = skip(data, pos, end, True)
        return pos

    def write(self, value: Any, out: bytearray, nested: bool) -> None:
        token: bytes | None = None
        if isinstance(value, StateBackedIterable):
            if not self._state_backed:
                raise UnwritableValue(self.urn, len(out), "only state_backed_iterable carries a token (P-COD-03)")
            value, token = value.prefix, value.token
        values = value if isinstance(value, list | tuple) else list(value)
        if not self._least and len(values) > MAX_EMPTY_ELEMENTS:
            raise UnwritableValue(self.urn, len(out), f"{len(values)} elements that may be empty; at most {MAX_EMPTY_ELEMENTS}")
        write = self._write_element
        most = UNSIZED_BATCH if isinstance(values, Unsized) else self._batch
        if token is None and most is None:
            out += _INT32.pack(len(values))
            for element in values:
                write(element, out, True)
            return
        out += _UNKNOWN_LENGTH
        step = most or len(values) or 1
        for first in range(0, len(values), step):
            batch = values[first : first + step]
            write_varint(len(batch), out)
            for element in batch:
                write(element, out, True)
        if token is None:
            out.append(0)
        else:
            write_varint(_TOKEN_FOLLOWS, out)
            write_varint(len(token), out)
            out += token


class _LengthPrefix(Coder):
    __slots__ = ("_read", "_write")

    def __init__(self, inner: Coder) -> None:
        super().__init__(Urn.LENGTH_PREFIX, (inner,), min_size=1)
        self._read, self._write = inner.read, inner.write

    def read(self, data: bytes, pos: int, end: int, nested: bool) -> tuple[Any, int]:
        start, stop = read_length(data, pos, end, self.urn)
        value, after = self._read(data, start, stop, False)
        if after != stop:
            raise CoderError(self.urn, after, f"the value ends {stop - after} bytes before its length says")
        return value, stop

    def write(self, value: Any, out: bytearray, nested: bool) -> None:
        inner = bytearray()
        self._write(value, inner, False)
        write_varint(len(inner), out)
        out += inner

    def skip(self, data: bytes, pos: int, end: int, nested: bool) -> int:
        return read_length(data, pos, end, self.urn)[1]


class _Nullable(Coder):
    __slots__ = ("_read", "_skip", "_write")

    def __init__(self, inner: Coder) -> None:
        super().__init__(Urn.NULLABLE, (inner,), min_size=1)
        self._read, self._skip, self._write = inner.read, inner.skip, inner.write

    def _present(self, data: bytes, pos: int, end: int) -> bool:
        if pos >= end:
            raise CoderError(self.urn, pos, "truncated: the null marker should be here")
        if data[pos] > 1:
            raise CoderError(self.urn, pos, f"null marker {data[pos]:#04x} is neither 00 nor 01")
        return data[pos] == 1

    def read(self, data: bytes, pos: int, end: int, nested: bool) -> tuple[Any, int]:
        if self._present(data, pos, end):
            return self._read(data, pos + 1, end, nested)
        return None, pos + 1

    def write(self, value: Any, out: bytearray, nested: bool) -> None:
        if value is None:
            out.append(0)
            return
        out.append(1)
        self._write(value, out, nested)

    def skip(self, data: bytes, pos: int, end: int, nested: bool) -> int:
        return self._skip(data, pos + 1, end, nested) if self._present(data, pos, end) else pos + 1


class _ShardedKey(Coder):
    __slots__ = ("_read", "_skip", "_write")

    def __init__(self, key: Coder) -> None:
        super().__init__(Urn.SHARDED_KEY, (key,), min_size=1 + key.min_size)
        self._read, self._skip, self._write = key.read, key.skip, key.write

    def read(self, data: bytes, pos: int, end: int, nested: bool) -> tuple[ShardedKey, int]:
        start, stop = read_length(data, pos, end, self.urn)
        key, after = self._read(data, stop, end, True)
        return ShardedKey(key, data[start:stop]), after

    def write(self, value: Any, out: bytearray, nested: bool) -> None:
        if not isinstance(value, ShardedKey):
            raise UnwritableValue(self.urn, len(out), f"{type(value).__name__} is not ShardedKey")
        write_varint(len(value.shard_id), out)
        out += value.shard_id
        self._write(value.key, out, True)

    def skip(self, data: bytes, pos: int, end: int, nested: bool) -> int:
        return self._skip(data, read_length(data, pos, end, self.urn)[1], end, True)


def kv(key: Coder, value: Coder) -> Coder:
    """2-tuples: the key nested, the value in the context of the pair."""
    return _Kv(key, value)


def iterable(element: Coder, *, batch: int | None = None) -> Coder:
    """Lists. Reads both forms; writes the known length, or with `batch`, and of an `Unsized`, the unknown one, so many elements after
    each count."""
    return _Iterable(Urn.ITERABLE, element, False, batch)


def state_backed_iterable(element: Coder, *, batch: int | None = None) -> Coder:
    """As `iterable`; a `StateBackedIterable` stands for one whose tail is behind a token of the state plane (P-COD-03)."""
    return _Iterable(Urn.STATE_BACKED_ITERABLE, element, True, batch)


def length_prefix(inner: Coder) -> Coder:
    """A varint length and the value in outer context."""
    return _LengthPrefix(inner)


def nullable(inner: Coder) -> Coder:
    """None or a value."""
    return _Nullable(inner)


def sharded_key(key: Coder) -> Coder:
    """`ShardedKey`: the shard id as nested bytes, then the key, always nested."""
    return _ShardedKey(key)
