"""Laws that hold for every coder, value and byte string; errors that name coder and offset; the way from and to protos."""

from __future__ import annotations

import contextlib
import pickle
import time
from typing import Any

import pytest
from coder_strategies import TYPED, coder_and_value, coder_and_values
from hypothesis import example, given, settings
from hypothesis import strategies as st

from conformance.wire import coders, values
from conformance.wire.api import pipeline_pb2, schema_pb2
from conformance.wire.values import Unsized

EXAMPLES = settings(max_examples=150, deadline=None)
CONTEXTS = st.booleans()


@EXAMPLES
@given(coder_and_value(), CONTEXTS)
def test_decode_undoes_encode(pair: tuple[coders.Coder, Any], nested: bool) -> None:
    coder, value = pair
    data = coder.encode(value, nested)
    assert coder.decode(data, nested) == value
    assert coder.encode(coder.decode(data, nested), nested) == data
    assert coder.skip(data, 0, len(data), nested) == len(data)


@EXAMPLES
@given(coder_and_value(), st.binary(max_size=5), st.binary(max_size=5))
def test_a_nested_value_delimits_itself(pair: tuple[coders.Coder, Any], before: bytes, behind: bytes) -> None:
    coder, value = pair
    own = coder.encode(value)
    data = before + own + behind
    stop = len(before) + len(own)
    assert coder.read(data, len(before), len(data), True) == (value, stop)
    assert coder.skip(data, len(before), len(data), True) == stop
    assert coders.raw(coder).read(data, len(before), len(data), True) == (own, stop)
    assert len(own) >= coder.min_size
    assert coder.fixed_size in (None, len(own))


@EXAMPLES
@given(coder_and_values())
def test_a_concatenation_is_cut_into_its_elements(pair: tuple[coders.Coder, list[Any]]) -> None:
    coder, elements = pair
    parts = [coder.encode(element) for element in elements]
    data = b"".join(parts)
    assert coder.decode_all(data) == elements
    assert coder.split_all(data) == parts
    assert [data[start:stop] for start, stop in coder.iter_spans(data)] == parts


@EXAMPLES
@given(coder_and_value(), st.data())
def test_truncated_bytes_are_refused(pair: tuple[coders.Coder, Any], data: st.DataObject) -> None:
    coder, value = pair
    whole = coder.encode(value)
    if not whole:
        return
    cut = whole[: data.draw(st.integers(0, len(whole) - 1))]
    for operation in (coder.read, coder.skip):
        with pytest.raises(coders.CoderError) as caught:
            operation(cut, 0, len(cut), True)
        error = caught.value
        assert 0 <= error.offset <= len(cut)
        assert error.coder
        assert f"{error.coder} at byte {error.offset}" in str(error)


@EXAMPLES
@given(coder_and_value(), CONTEXTS, st.data())
def test_mutated_bytes_are_read_or_refused_but_nothing_else(
    pair: tuple[coders.Coder, Any], nested: bool, data: st.DataObject
) -> None:
    coder, value = pair
    mutated = bytearray(coder.encode(value, nested))
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(mutated)))
        mutated[at : at + data.draw(st.integers(0, 2))] = data.draw(st.sampled_from([b"", b"\xff", b"\x7f\xff\xff\xff", b"\x80"]))
    _read_or_refuse(coder, bytes(mutated), nested)


@EXAMPLES
@given(TYPED, st.binary(max_size=100), CONTEXTS)
def test_any_bytes_are_read_or_refused_but_nothing_else(typed: Any, data: bytes, nested: bool) -> None:
    _read_or_refuse(typed.coder, data, nested)


def _read_or_refuse(coder: coders.Coder, data: bytes, nested: bool) -> None:
    started = time.process_time()
    try:
        value, stop = coder.read(data, 0, len(data), nested)
    except coders.CoderError as error:
        offset = error.offset
    else:
        offset = stop
        assert coder.skip(data, 0, len(data), nested) == stop
        # What was read can be written, but for rows of an older schema (P-COD-12); what was written stays as it is.
        with contextlib.suppress(coders.UnwritableValue):
            written = coder.encode(value, nested)
            assert coder.encode(coder.decode(written, nested), nested) == written
    assert 0 <= offset <= len(data)
    assert time.process_time() - started < 1


@given(st.integers(-(2**63), 2**63 - 1))
@example(2**63 - 1)
@example(-(2**63))
def test_varint(number: int) -> None:
    data = coders.encode_varint(number)
    assert coders.decode_varint(data) == number
    assert len(data) == 10 if number < 0 else len(data) <= 9


def test_hostile_counts_cost_nothing() -> None:
    """A megabyte of counts that lie, at several depths."""
    many = coders.iterable(coders.iterable(coders.global_window()))
    deep = coders.bytes_coder()
    for _ in range(50):
        deep = coders.iterable(deep)
    started = time.process_time()
    for coder, data in [
        (many, b"\x00\x04\x00\x00" + b"\x7f\xff\xff\xff" * 250_000),
        (many, b"\x00\x03\xd0\x90" + b"\x00\x00\x00\x10" * 249_999),
        (many, b"\xff\xff\xff\xff" + b"\xff\xff\xff\xff\x07" * 200_000),
        (deep, b"\x00\x00\x00\x01" * 49 + b"\x7f\xff\xff\xff" * 250_000),
        (coders.length_prefix(coders.bytes_coder()), b"\xff" * 1_000_000),
        (coders.timer(coders.bytes_coder(), coders.global_window()), b"\x00\x00\x7f\xff\xff\xff" * 100_000),
    ]:
        for operation in (coder.read, coder.skip):
            with pytest.raises(coders.CoderError):
                operation(data, 0, len(data), True)
    assert time.process_time() - started < 1


def test_elements_without_bytes_cannot_be_concatenated() -> None:
    coder = coders.param_windowed_value(
        coders.global_window(), coders.global_window(), bytes.fromhex("7fdf3b645a1cac09 00000001 0f")
    )
    for cut in (coder.decode_all, coder.split_all):
        with pytest.raises(coders.CoderError, match="P-DATA-06"):
            cut(b"\x00")


@pytest.mark.parametrize(
    ("coder", "value"),
    [
        (coders.bytes_coder(), "text"),
        (coders.bytes_coder(), [1, 2]),
        (coders.string_utf8(), b"bytes"),
        (coders.string_utf8(), "\ud800"),
        (coders.boolean(), 1),
        (coders.varint(), 2**63),
        (coders.varint(), 1.0),
        (coders.double(), "1"),
        (coders.kv(coders.varint(), coders.varint()), [1, 2]),
        (coders.iterable(coders.varint()), 5),
        (coders.iterable(coders.varint()), values.StateBackedIterable((), b"t")),
        (coders.interval_window(), values.GLOBAL_WINDOW),
        (coders.interval_window(), values.IntervalWindow(2, 1)),
        (coders.windowed_value(coders.varint(), coders.global_window()), 5),
        (coders.windowed_value(coders.varint(), coders.global_window()), values.WindowedValue(5, 2**63)),
        (
            coders.windowed_value(coders.varint(), coders.global_window()),
            values.WindowedValue(5, 0, (values.IntervalWindow(0, 1),)),
        ),
        (coders.opaque("beam:coder:pickled_python:v1"), b"x"),
    ],
)
def test_a_value_that_does_not_fit_is_refused(coder: coders.Coder, value: Any) -> None:
    with pytest.raises(coders.UnwritableValue) as caught:
        coder.encode(value)
    assert caught.value.coder.startswith("beam:coder:")


def test_errors_survive_pickling() -> None:
    for error in (
        coders.CoderError("beam:coder:varint:v1", 3, "reason"),
        coders.UnwritableValue("beam:coder:varint:v1", 3, "reason"),
        coders.InvalidCoder("id", "urn", "reason"),
        coders.UnknownCoder("id", "urn", "reason"),
    ):
        copy = pickle.loads(pickle.dumps(error))
        assert (type(copy), str(copy)) == (type(error), str(error))


def test_element_metadata_is_stepped_over_when_asked_for() -> None:
    asked = coders.windowed_value(coders.varint(), coders.global_window(), metadata=True)
    data = bytes.fromhex("8000000000000000 00000001 8f 02 0802 05")
    assert asked.decode(data) == values.WindowedValue(5, 0)
    assert asked.skip(data, 0, len(data), True) == len(data)


def test_an_opaque_coder_is_its_bytes_within_a_length_prefix() -> None:
    coder = coders.length_prefix(coders.opaque("beam:coder:pickled_python:v1"))
    assert coder.decode(coder.encode(b"abc")) == b"abc"
    with pytest.raises(coders.CoderError, match="length prefix"):
        coder.components[0].decode(b"abc", nested=True)


# From and to protos ------------------------------------------------------------------------------------------------------


def proto(urn: str, *components: str, payload: bytes = b"") -> pipeline_pb2.Coder:
    return pipeline_pb2.Coder(spec=pipeline_pb2.FunctionSpec(urn=urn, payload=payload), component_coder_ids=components)


@EXAMPLES
@given(TYPED)
def test_protos_keep_coders(typed: Any) -> None:
    for table in ({}, pipeline_pb2.Components().coders):
        coder_id = coders.add_to(table, typed.coder, "x/")
        assert coders.add_to(table, typed.coder, "x/") == coder_id
        again = coders.from_proto(coder_id, table)
        assert again.urn == typed.coder.urn
        assert repr(again) == repr(typed.coder)
        assert all(id_.startswith("x/") for id_ in table)


def test_a_table_builds_equal_coders_once() -> None:
    protos = {
        "a": proto("beam:coder:varint:v1"),
        "b": proto("beam:coder:varint:v1"),
        "x": proto("beam:coder:kv:v1", "a", "b"),
        "y": proto("beam:coder:kv:v1", "b", "a"),
    }
    table = coders.CoderTable(protos)
    assert table["x"] is table["y"]
    assert table["x"] == coders.kv(coders.varint(), coders.varint())


def test_unknown_coders() -> None:
    protos = {
        "mine": proto("beam:coder:pickled_python:v1"),
        "none": proto(""),
        "pair": proto("beam:coder:kv:v1", "mine", "none"),
        "schema": proto("beam:coder:row:v1", payload=b"\x0a\x05\x0a\x01x\x1a\x00"),
    }
    for coder_id, blamed in (("mine", "mine"), ("pair", "mine"), ("schema", "schema")):
        with pytest.raises(coders.UnknownCoder) as caught:
            coders.from_proto(coder_id, protos)
        assert (caught.value.coder_id, caught.value.urn) == (blamed, protos[blamed].spec.urn)
    built = coders.from_proto("pair", protos, lambda p: coders.length_prefix(coders.opaque(p.spec.urn)))
    assert built.decode(b"\x01a\x02bc") == (b"a", b"bc")


@pytest.mark.parametrize(
    ("protos", "reason"),
    [
        ({}, "no such coder"),
        ({"c": proto("beam:coder:kv:v1", "c", "c")}, "component of itself"),
        ({"c": proto("beam:coder:kv:v1", "v"), "v": proto("beam:coder:varint:v1")}, "1 components, needs 2"),
        ({"c": proto("beam:coder:varint:v1", "c")}, "1 components, needs 0"),
        ({"c": proto("beam:coder:iterable:v1", "gone")}, "no such coder"),
        ({"c": proto("beam:coder:row:v1", payload=b"\xff")}, "payload is no Schema"),
        (
            {
                "c": proto("beam:coder:param_windowed_value:v1", "w", "w", payload=b"\x01"),
                "w": proto("beam:coder:global_window:v1"),
            },
            "payload is no windowed value",
        ),
        (
            {f"{'c' if i == 0 else i}": proto("beam:coder:nullable:v1", str(i + 1)) for i in range(10_000)},
            "nests deeper",
        ),
    ],
)
def test_invalid_coders(protos: dict[str, pipeline_pb2.Coder], reason: str) -> None:
    with pytest.raises(coders.InvalidCoder, match=reason):
        coders.from_proto("c", protos, lambda p: coders.opaque(p.spec.urn))


def test_coders_differ_by_what_they_write() -> None:
    element = coders.varint()
    assert coders.iterable(element) == coders.iterable(coders.varint())
    assert coders.iterable(element) != coders.iterable(element, batch=2)
    assert coders.iterable(element) != coders.state_backed_iterable(element)
    assert coders.raw(element) != element
    one, two = schema_pb2.Schema(), schema_pb2.Schema()
    two.fields.add(name="f").type.atomic_type = schema_pb2.AtomicType.INT64
    assert coders.row(one) != coders.row(two)
    assert len({coders.row(one), coders.row(one), coders.row(two)}) == 2


def test_an_unsized_list_is_written_without_its_length() -> None:
    coder = coders.iterable(coders.varint())
    assert coder.encode(Unsized([1, 2, 300])).hex(" ") == "ff ff ff ff 02 01 02 01 ac 02 00"
    assert coder.encode(Unsized()).hex(" ") == "ff ff ff ff 00"
    assert coder.decode(coder.encode(Unsized([1, 2, 300]))) == [1, 2, 300]
