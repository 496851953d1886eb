"""Rows: schemas, their fields' types and logical types (8.2, P-COD-11, P-COD-12).

A row value is a tuple in the order of the schema's fields, whatever order the bytes have. A logical type's value is that of its
representation (seconds and micros for micros_instant, days for date), except where its bytes are not those of the
representation: decimal (`decimal.Decimal`) and millis_instant (`int` milliseconds).
"""

from __future__ import annotations

import decimal
import struct
from collections.abc import Callable
from typing import Any, Final

from conformance.wire.api import schema_pb2
from conformance.wire.coders._atoms import FixedStruct, boolean, bytes_coder, double, string_utf8, varint
from conformance.wire.coders._base import (
    MAX_DEPTH,
    Coder,
    CoderError,
    InvalidCoder,
    UnknownCoder,
    UnwritableValue,
    read_length,
    read_varint,
    write_varint,
)
from conformance.wire.coders._containers import iterable, nullable
from conformance.wire.coders._windowed import timestamp
from conformance.wire.urns import Coder as Urn
from conformance.wire.urns import LogicalType

__all__ = ["row"]

_INT32 = struct.Struct(">i")
_2_31, _2_32, _2_64 = 1 << 31, 1 << 32, 1 << 64
#: A decimal of more bytes is refused: turning it into digits costs time quadratic in its length.
_MAX_UNSCALED_BYTES = 16_384
_EXACT = decimal.Context(prec=decimal.MAX_PREC, Emin=decimal.MIN_EMIN, Emax=decimal.MAX_EMAX)


def _read_int32(data: bytes, pos: int, end: int, coder: str) -> tuple[int, int]:
    value, after = read_varint(data, pos, end, coder)
    if -_2_31 <= value < _2_31:  # a negative one in ten bytes is what 64-bit writers make of it
        return value, after
    if value < _2_32 and value > 0:
        return value - _2_32, after
    raise CoderError(coder, pos, f"{value} has more than 32 bits")


class _Int32(Coder):
    """A varint of the 32-bit two's complement: -1 has five bytes here, not ten (P-COD-07)."""

    __slots__ = ()

    def read(self, data: bytes, pos: int, end: int, nested: bool) -> tuple[int, int]:
        return _read_int32(data, pos, end, self.urn)

    def write(self, value: Any, out: bytearray, nested: bool) -> None:
        if not -_2_31 <= value < _2_31:
            raise UnwritableValue(self.urn, len(out), f"{value} has more than 32 bits")
        write_varint(value % _2_32, out, self.urn)


class _Decimal(Coder):
    """Varint scale, then the unscaled integer as nested two's complement bytes, big endian."""

    __slots__ = ()

    def read(self, data: bytes, pos: int, end: int, nested: bool) -> tuple[decimal.Decimal, int]:
        scale, after = _read_int32(data, pos, end, self.urn)
        start, stop = read_length(data, after, end, self.urn)
        if not 0 < stop - start <= _MAX_UNSCALED_BYTES:
            raise CoderError(self.urn, after, f"unscaled integer of {stop - start} bytes; 1 to {_MAX_UNSCALED_BYTES} are read")
        unscaled = int.from_bytes(data[start:stop], "big", signed=True)
        return decimal.Decimal(unscaled).scaleb(-scale, _EXACT), stop

    def write(self, value: Any, out: bytearray, nested: bool) -> None:
        if not isinstance(value, decimal.Decimal) or not value.is_finite():
            raise UnwritableValue(self.urn, len(out), f"{value!r} is not a finite Decimal")
        sign, digits, exponent = value.as_tuple()
        assert isinstance(exponent, int)
        # SDKs disagree on the bytes of a negative scale (1E+3), so none is written: trailing zeros say the same.
        trailing, scale = (exponent, 0) if exponent > 0 else (0, -exponent)
        if len(digits) + trailing > 2 * _MAX_UNSCALED_BYTES or scale >= _2_31:
            raise UnwritableValue(self.urn, len(out), f"decimal of {len(digits) + trailing} digits, scale {scale}, is too long")
        unscaled = int(decimal.Decimal((sign, digits, trailing)).to_integral_value(context=_EXACT))
        size = ((unscaled + 1 if unscaled < 0 else unscaled).bit_length() + 8) // 8
        write_varint(scale, out, self.urn)
        write_varint(size, out, self.urn)
        out += unscaled.to_bytes(size, "big", signed=True)


class _Map(Coder):
    """A count and alternating keys and values. Keys that are lists are read as tuples, so that they hash."""

    __slots__ = ("_key", "_value")

    def __init__(self, key: Coder, value: Coder) -> None:
        super().__init__("row field map", (key, value), min_size=4)
        self._key, self._value = key, value

    def _count(self, data: bytes, pos: int, end: int) -> int:
        if end - pos < 4:
            raise CoderError(self.urn, pos, "truncated: a map starts with a count of four bytes")
        count: int = _INT32.unpack_from(data, pos)[0]
        # Every key and every value of a row field has at least one byte.
        if count < 0 or count * 2 > end - pos - 4:
            raise CoderError(self.urn, pos, f"truncated: {count} entries announced, {end - pos - 4} bytes left")
        return count

    def read(self, data: bytes, pos: int, end: int, nested: bool) -> tuple[dict[Any, Any], int]:
        count = self._count(data, pos, end)
        pos += 4
        entries: dict[Any, Any] = {}
        for _ in range(count):
            start = pos
            key, pos = self._key.read(data, pos, end, True)
            value, pos = self._value.read(data, pos, end, True)
            try:
                entries[_hashable(key)] = value
            except TypeError:
                raise CoderError(self.urn, start, f"{type(key).__name__} cannot be the key of a map") from None
        return entries, pos

    def write(self, value: Any, out: bytearray, nested: bool) -> None:
        if not isinstance(value, dict):
            raise UnwritableValue(self.urn, len(out), f"{type(value).__name__} is not dict")
        out += _INT32.pack(len(value))
        for key, item in value.items():
            self._key.write(key, out, True)
            self._value.write(item, out, True)

    def skip(self, data: bytes, pos: int, end: int, nested: bool) -> int:
        count = self._count(data, pos, end)
        pos += 4
        for _ in range(count):
            pos = self._value.skip(data, self._key.skip(data, pos, end, True), end, True)
        return pos


def _hashable(value: Any) -> Any:
    return tuple(map(_hashable, value)) if isinstance(value, list | tuple) else value


class _Row(Coder):
    """Field count, null bitmap in order of the schema, then the fields that are not null in encoding order."""

    __slots__ = ("_fields", "_names", "_nullable", "_order")

    def __init__(self, schema: schema_pb2.Schema, fields: tuple[Coder, ...]) -> None:
        # The fields' types are in the payload; as for every row in Components.coders there are no components.
        super().__init__(Urn.ROW, (), schema.SerializeToString(deterministic=True), min_size=2)
        self.depth = 1 + max((field.depth for field in fields), default=0)
        self._fields = fields
        self._names = tuple(field.name for field in schema.fields)
        self._nullable = tuple(field.type.nullable for field in schema.fields)
        order = list(range(len(fields)))
        if schema.encoding_positions_set:
            positions = [field.encoding_position for field in schema.fields]
            if sorted(positions) != order:
                raise InvalidCoder("", self.urn, f"encoding positions {positions} are no permutation of 0..{len(order) - 1}")
            order.sort(key=positions.__getitem__)
        self._order = tuple(order)

    def _plan(self, data: bytes, pos: int, end: int, nested: bool) -> tuple[int, int, int, bool]:
        """How many of our fields are here, which are null (as bits), where they start, whether more follow them."""
        count, after = read_varint(data, pos, end, self.urn)
        if count < 0:
            raise CoderError(self.urn, pos, f"negative number of fields {count}")
        start, stop = read_length(data, after, end, self.urn)
        nulls = int.from_bytes(data[start : min(stop, start + (len(self._fields) + 7) // 8)], "little")
        surplus = count > len(self._fields)
        if not surplus and (nulls >> count or data[start + (count + 7) // 8 : stop].strip(b"\0")):
            raise CoderError(self.urn, start, f"null bitmap marks fields beyond the {count} that there are")
        if surplus and nested:
            # P-COD-12 wants it tolerated, but without their types nobody knows where the surplus fields end.
            raise CoderError(self.urn, pos, f"{count} fields, the schema has {len(self._fields)}, so the row's end is unknown")
        return min(count, len(self._fields)), nulls, stop, surplus

    def read(self, data: bytes, pos: int, end: int, nested: bool) -> tuple[tuple[Any, ...], int]:
        count, nulls, after, surplus = self._plan(data, pos, end, nested)
        # Fields that the writer's older schema did not have stay null (P-COD-12).
        values: list[Any] = [None] * len(self._fields)
        for index in self._order[:count]:
            if nulls >> index & 1:
                if not self._nullable[index]:
                    raise CoderError(self.urn, pos, f"field {self._names[index]!r} is null but not nullable")
                continue
            values[index], after = self._fields[index].read(data, after, end, True)
        return tuple(values), end if surplus else after

    def skip(self, data: bytes, pos: int, end: int, nested: bool) -> int:
        count, nulls, after, surplus = self._plan(data, pos, end, nested)
        for index in self._order[:count]:
            if not nulls >> index & 1:
                after = self._fields[index].skip(data, after, end, True)
        return end if surplus else after

    def write(self, value: Any, out: bytearray, nested: bool) -> None:
        if not isinstance(value, tuple) or len(value) != len(self._fields):
            raise UnwritableValue(self.urn, len(out), f"{value!r} is not a tuple of {len(self._fields)} fields")
        nulls = 0
        for index, item in enumerate(value):
            if item is None:
                if not self._nullable[index]:
                    raise UnwritableValue(self.urn, len(out), f"field {self._names[index]!r} is not nullable")
                nulls |= 1 << index
        # Trailing zero bytes of the bitmap are cut, as Java and Go do and Python does not.
        bitmap = nulls.to_bytes((nulls.bit_length() + 7) // 8, "little")
        write_varint(len(self._fields), out, self.urn)
        write_varint(len(bitmap), out, self.urn)
        out += bitmap
        for index in self._order:
            if value[index] is not None:
                self._fields[index].write(value[index], out, True)


_ATOMIC: Final[dict[int, Coder]] = {
    schema_pb2.AtomicType.BYTE: FixedStruct("row field BYTE", struct.Struct(">b")),
    schema_pb2.AtomicType.INT16: FixedStruct("row field INT16", struct.Struct(">h")),
    schema_pb2.AtomicType.INT32: _Int32("row field INT32", min_size=1),
    schema_pb2.AtomicType.INT64: varint(),
    schema_pb2.AtomicType.FLOAT: FixedStruct("row field FLOAT", struct.Struct(">f")),
    schema_pb2.AtomicType.DOUBLE: double(),
    schema_pb2.AtomicType.STRING: string_utf8(),
    schema_pb2.AtomicType.BOOLEAN: boolean(),
    schema_pb2.AtomicType.BYTES: bytes_coder(),
}

#: Logical types whose bytes are not those of their representation (P-COD-11).
_SPECIAL: Final[dict[str, Coder]] = {
    LogicalType.DECIMAL: _Decimal("row field decimal", min_size=2),
    LogicalType.MILLIS_INSTANT: timestamp(),
}


def _array(type_: schema_pb2.FieldType, depth: int) -> Coder:
    return iterable(_item(type_.array_type.element_type, depth))


def _iterable(type_: schema_pb2.FieldType, depth: int) -> Coder:
    return iterable(_item(type_.iterable_type.element_type, depth))


def _map(type_: schema_pb2.FieldType, depth: int) -> Coder:
    return _Map(_item(type_.map_type.key_type, depth), _item(type_.map_type.value_type, depth))


def _nested_row(type_: schema_pb2.FieldType, depth: int) -> Coder:
    return _row(type_.row_type.schema, depth)


def _logical(type_: schema_pb2.FieldType, depth: int) -> Coder:
    logical = type_.logical_type
    if (special := _SPECIAL.get(logical.urn)) is not None:
        return special
    if not logical.HasField("representation"):
        raise UnknownCoder("", Urn.ROW, f"logical type {logical.urn!r} has no representation")
    return _field(logical.representation, depth)


def _atomic(type_: schema_pb2.FieldType, depth: int) -> Coder:
    if (coder := _ATOMIC.get(type_.atomic_type)) is not None:
        return coder
    raise UnknownCoder("", Urn.ROW, f"atomic type {type_.atomic_type} is not known")


_BUILDERS: Final[dict[str, Callable[[schema_pb2.FieldType, int], Coder]]] = {
    "atomic_type": _atomic,
    "array_type": _array,
    "iterable_type": _iterable,
    "map_type": _map,
    "row_type": _nested_row,
    "logical_type": _logical,
}


def _field(type_: schema_pb2.FieldType, depth: int) -> Coder:
    """The coder of a type without regard to `nullable`: of a field the bitmap says it."""
    if depth > MAX_DEPTH:
        raise InvalidCoder("", Urn.ROW, f"types nest deeper than {MAX_DEPTH}")
    kind = type_.WhichOneof("type_info")
    if kind is None:
        raise UnknownCoder("", Urn.ROW, "a field has no type")
    return _BUILDERS[kind](type_, depth + 1)


def _item(type_: schema_pb2.FieldType, depth: int) -> Coder:
    """The coder of an array's element or a map's key or value, which say themselves whether they are null."""
    coder = _field(type_, depth)
    return nullable(coder) if type_.nullable else coder


def _row(schema: schema_pb2.Schema, depth: int) -> Coder:
    return _Row(schema, tuple(_field(field.type, depth) for field in schema.fields))


def row(schema: schema_pb2.Schema) -> Coder:
    """Tuples in order of `schema.fields`. Raises InvalidCoder or UnknownCoder for a schema that rows cannot have."""
    return _row(schema, 0)
