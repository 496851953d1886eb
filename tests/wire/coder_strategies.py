"""Hypothesis strategies for coders and for values that they can write."""

from __future__ import annotations

from decimal import Decimal
from typing import Any, NamedTuple

from hypothesis import strategies as st

from conformance.wire import coders, timestamps, values
from conformance.wire.api import schema_pb2

A = schema_pb2.AtomicType


class Typed(NamedTuple):
    """A coder and the values that it writes."""

    coder: coders.Coder
    values: st.SearchStrategy[Any]


INT64 = st.integers(-(2**63), 2**63 - 1)
TIMES = st.integers(timestamps.MIN, timestamps.MAX)
INTERVALS = st.builds(lambda end, span: values.IntervalWindow(end - span, end), TIMES, st.integers(0, 2**50))
CUSTOMS = st.builds(values.CustomWindow, TIMES, INTERVALS)

WINDOWS = (
    Typed(coders.global_window(), st.just(values.GLOBAL_WINDOW)),
    Typed(coders.interval_window(), INTERVALS),
    Typed(coders.custom_window(coders.interval_window()), CUSTOMS),
)
ATOMS = (
    Typed(coders.bytes_coder(), st.binary(max_size=200)),
    Typed(coders.string_utf8(), st.text(max_size=50)),
    Typed(coders.boolean(), st.booleans()),
    Typed(coders.varint(), INT64),
    Typed(coders.double(), st.floats(allow_nan=False)),
)


def _pane(first: bool, last: bool, timing: values.Timing, index: int, on_time: int) -> values.Pane:
    """Only panes that the canonical forms keep: UNKNOWN has no indices, EARLY no nonspeculative one (M-PANE-01)."""
    if timing is values.Timing.UNKNOWN:
        return values.Pane(first, last, timing, 0, 0)
    return values.Pane(first, last, timing, index, -1 if timing is values.Timing.EARLY else on_time)


INDICES = st.integers(0, 2**40)
PANES = st.builds(_pane, st.booleans(), st.booleans(), st.sampled_from(values.Timing), INDICES, INDICES) | st.just(
    values.NO_FIRING
)

# Rows --------------------------------------------------------------------------------------------------------------------

ROW_ATOMS: dict[int, st.SearchStrategy[Any]] = {
    A.BYTE: st.integers(-128, 127),
    A.INT16: st.integers(-(2**15), 2**15 - 1),
    A.INT32: st.integers(-(2**31), 2**31 - 1),
    A.INT64: INT64,
    A.FLOAT: st.floats(allow_nan=False, width=32),
    A.DOUBLE: st.floats(allow_nan=False),
    A.STRING: st.text(max_size=20),
    A.BOOLEAN: st.booleans(),
    A.BYTES: st.binary(max_size=20),
}


class Field(NamedTuple):
    """A field type and the values of such a field."""

    type: schema_pb2.FieldType
    values: st.SearchStrategy[Any]


def _with_null(field: Field, nullable: bool) -> Field:
    type_ = schema_pb2.FieldType()
    type_.CopyFrom(field.type)
    type_.nullable = nullable
    return Field(type_, st.none() | field.values if nullable else field.values)


def _atomic(kind: int) -> Field:
    return Field(schema_pb2.FieldType(atomic_type=kind), ROW_ATOMS[kind])


def _logical(urn: str, representation: Field | None, value: st.SearchStrategy[Any]) -> Field:
    type_ = schema_pb2.FieldType()
    type_.logical_type.urn = f"beam:logical_type:{urn}:v1"
    if representation is not None:
        type_.logical_type.representation.CopyFrom(representation.type)
    return Field(type_, value)


def _array(item: Field, kind: str) -> Field:
    type_ = schema_pb2.FieldType()
    getattr(type_, kind).element_type.CopyFrom(item.type)
    return Field(type_, st.lists(item.values, max_size=4))


def _map(key: Field, value: Field) -> Field:
    type_ = schema_pb2.FieldType()
    type_.map_type.key_type.CopyFrom(key.type)
    type_.map_type.value_type.CopyFrom(value.type)
    return Field(type_, st.dictionaries(key.values, value.values, max_size=3))


def _row_field(row: tuple[schema_pb2.Schema, st.SearchStrategy[Any]]) -> Field:
    type_ = schema_pb2.FieldType()
    type_.row_type.schema.CopyFrom(row[0])
    return Field(type_, row[1])


@st.composite
def _schema(draw: st.DrawFn, fields: st.SearchStrategy[Field]) -> tuple[schema_pb2.Schema, st.SearchStrategy[Any]]:
    drawn = draw(st.lists(fields, max_size=10))
    schema = schema_pb2.Schema(encoding_positions_set=draw(st.booleans()))
    positions = draw(st.permutations(range(len(drawn))))
    for number, field in enumerate(drawn):
        schema.fields.add(name=f"f{number}", type=field.type, encoding_position=positions[number])
    return schema, st.tuples(*(field.values for field in drawn))


_DECIMALS = st.decimals(allow_nan=False, allow_infinity=False) | st.sampled_from([Decimal("1E+3"), Decimal("-0.000")])
_PLAIN = st.one_of(
    st.sampled_from(sorted(ROW_ATOMS)).map(_atomic),
    st.just(_logical("decimal", None, _DECIMALS)),
    st.just(_logical("millis_instant", _atomic(A.INT64), TIMES)),
    st.just(_logical("date", _atomic(A.INT64), INT64)),
    st.just(_logical("var_char", _atomic(A.STRING), st.text(max_size=9))),
)
FIELDS: st.SearchStrategy[Field] = st.recursive(
    st.builds(_with_null, _PLAIN, st.booleans()),
    lambda inner: st.builds(
        _with_null,
        st.one_of(
            st.builds(_array, inner, st.sampled_from(["array_type", "iterable_type"])),
            st.builds(_map, st.sampled_from([A.STRING, A.INT64, A.BOOLEAN]).map(_atomic), inner),
            _schema(inner).map(_row_field),
        ),
        st.booleans(),
    ),
    max_leaves=5,
)
ROWS = _schema(FIELDS).map(lambda row: Typed(coders.row(row[0]), row[1]))

# Everything --------------------------------------------------------------------------------------------------------------


def _windowed(element: Typed, window: Typed) -> Typed:
    return Typed(
        coders.windowed_value(element.coder, window.coder),
        st.builds(values.WindowedValue, element.values, TIMES, st.lists(window.values, max_size=3).map(tuple), PANES),
    )


def _param_windowed(element: Typed, header: values.WindowedValue) -> Typed:
    payload = coders.windowed_value(coders.bytes_coder(), coders.interval_window()).encode(header, nested=False)
    coder = coders.param_windowed_value(element.coder, coders.interval_window(), payload)
    fixed = header.timestamp, header.windows, header.pane
    return Typed(coder, element.values.map(lambda value: values.WindowedValue(value, *fixed)))


def _timer(key: Typed, window: Typed) -> Typed:
    windows = st.lists(window.values, max_size=2).map(tuple)
    tags = st.text(max_size=5)
    set_ = st.builds(values.Timer, key.values, tags, windows, st.just(False), TIMES, TIMES, PANES)
    return Typed(coders.timer(key.coder, window.coder), set_ | st.builds(values.Timer, key.values, tags, windows, st.just(True)))


def _state_backed(element: Typed) -> Typed:
    lists = st.lists(element.values, max_size=4)
    tokens = st.builds(values.StateBackedIterable, lists.map(tuple), st.binary(max_size=5))
    return Typed(coders.state_backed_iterable(element.coder), lists | tokens)


_HEADERS = st.builds(values.WindowedValue, st.just(b""), TIMES, st.lists(INTERVALS, max_size=2).map(tuple), PANES)
_LEAVES: st.SearchStrategy[Typed] = st.sampled_from(ATOMS + WINDOWS) | ROWS


def _wrap(inner: st.SearchStrategy[Typed]) -> st.SearchStrategy[Typed]:
    windows = st.sampled_from(WINDOWS)
    return st.one_of(
        st.builds(lambda k, v: Typed(coders.kv(k.coder, v.coder), st.tuples(k.values, v.values)), inner, inner),
        st.builds(
            lambda e, batch: Typed(coders.iterable(e.coder, batch=batch), st.lists(e.values, max_size=5)),
            inner,
            st.none() | st.integers(1, 3),
        ),
        inner.map(_state_backed),
        inner.map(lambda e: Typed(coders.length_prefix(e.coder), e.values)),
        inner.map(lambda e: Typed(coders.nullable(e.coder), st.none() | e.values)),
        inner.map(lambda e: Typed(coders.sharded_key(e.coder), st.builds(values.ShardedKey, e.values, st.binary(max_size=9)))),
        st.builds(_windowed, inner, windows),
        st.builds(_param_windowed, inner, _HEADERS),
        st.builds(_timer, inner, windows),
    )


TYPED: st.SearchStrategy[Typed] = st.recursive(_LEAVES, _wrap, max_leaves=4)


@st.composite
def coder_and_value(draw: st.DrawFn) -> tuple[coders.Coder, Any]:
    typed = draw(TYPED)
    return typed.coder, draw(typed.values)


@st.composite
def coder_and_values(draw: st.DrawFn) -> tuple[coders.Coder, list[Any]]:
    """A coder whose elements have bytes, and several of its values."""
    typed = draw(TYPED.filter(lambda typed: typed.coder.min_size > 0))
    return typed.coder, draw(st.lists(typed.values, max_size=5))
