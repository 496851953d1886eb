"""The standard coders against vectors: our own, and those that Beam publishes and ships in its wheel."""

from __future__ import annotations

import decimal
import json
import re
import struct
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import apache_beam
import coder_vectors
import pytest
import yaml
from apache_beam.coders import coder_impl
from apache_beam.portability.api import beam_runner_api_pb2
from apache_beam.runners.pipeline_context import PipelineContext
from coder_vectors import same

from conformance.wire import coders, values
from conformance.wire.api import pipeline_pb2, schema_pb2

VECTORS = coder_vectors.tables("vector")
REFUSED = coder_vectors.tables("refused")
FLOAT = struct.Struct(">f")


def test_ids_are_unique() -> None:
    ids = [table["id"] for table in VECTORS + REFUSED]
    assert len(ids) == len(set(ids))


def test_every_standard_coder_has_vectors() -> None:
    text = json.dumps([vector["coder"] for vector in VECTORS])
    names = {"row", "param_windowed_value", *coder_vectors.CONSTRUCTORS}
    assert {name for name in names if f'"{name}"' not in text} == set()


def test_every_vector_cites_a_rule_of_the_protocol() -> None:
    protocol = (Path(__file__).parents[2] / "docs" / "protocol.md").read_text("utf-8")
    rules = set(re.findall(r"\*\*(P-[A-Z]+-\d+)", protocol))
    assert {table["rule"] for table in VECTORS + REFUSED} <= rules


@pytest.mark.parametrize("vector", VECTORS, ids=[vector["id"] for vector in VECTORS])
def test_vector(vector: dict[str, Any]) -> None:
    coder, value = coder_vectors.coder(vector["coder"]), coder_vectors.value(vector["value"])
    for nested, data in coder_vectors.contexts(vector):
        assert same(coder.decode(data, nested), value)
        assert coder.skip(data, 0, len(data), nested) == len(data)
        # In the midst of other bytes the same is read.
        assert coder.read(b"\xff" + data, 1, 1 + len(data), nested)[1] == 1 + len(data)
        # Where both contexts look the same, the value itself says where it ends.
        if nested or "both" in vector:
            for operation in (coder.skip, lambda *at: coder.read(*at)[1]):
                assert operation(data + b"\x01", 0, len(data) + 1, nested) == len(data)
        if not vector.get("read_only"):
            assert coder.encode(value, nested).hex(" ") == data.hex(" ")


def beam_impl(coder: coders.Coder) -> Any:
    """What apache-beam for Python builds from the same proto."""
    components: dict[str, pipeline_pb2.Coder] = {}
    coder_id = coders.add_to(components, coder)
    theirs = beam_runner_api_pb2.Components()
    for id_, proto in components.items():
        theirs.coders[id_].ParseFromString(proto.SerializeToString())
    return PipelineContext(theirs).coders.get_by_id(coder_id).get_impl()


def beam_rewrites(impl: Any, data: bytes, nested: bool) -> bytes | str:
    """`data` as apache-beam for Python writes what it reads there, or its error."""
    out = coder_impl.create_OutputStream()
    try:
        impl.encode_to_stream(impl.decode_from_stream(coder_impl.create_InputStream(data), nested), out, nested)
    except Exception as error:  # whatever it is: its coders have no error class of their own
        return repr(error)
    return bytes(out.get())


@pytest.mark.parametrize("vector", VECTORS, ids=[vector["id"] for vector in VECTORS])
def test_vector_holds_for_beams_python_coders(vector: dict[str, Any]) -> None:
    try:
        impl = beam_impl(coder_vectors.coder(vector["coder"]))
    except ValueError:
        assert "beam_python" in vector
        return
    for nested, data in coder_vectors.contexts(vector):
        rewritten = beam_rewrites(impl, data, nested)
        if "beam_python" in vector:  # the excuse must still be true
            assert rewritten != data
        elif vector.get("read_only"):
            assert isinstance(rewritten, bytes), rewritten
        else:
            assert rewritten == data


@pytest.mark.parametrize("table", REFUSED, ids=[table["id"] for table in REFUSED])
def test_refused(table: dict[str, Any]) -> None:
    coder = coder_vectors.coder(table["coder"])
    started = time.process_time()
    with pytest.raises(coders.CoderError) as caught:
        coder.decode(bytes.fromhex(table["hex"]), table["context"] == "nested")
    assert (caught.value.offset, caught.value.coder != "") == (table["at"], True)
    assert table["why"] in caught.value.reason
    assert caught.value.coder in str(caught.value)
    assert f"at byte {table['at']}" in str(caught.value)
    assert time.process_time() - started < 0.1


# Beam's own vectors ------------------------------------------------------------------------------------------------------


def beam_cases() -> list[Any]:
    path = Path(apache_beam.__file__).parent / "portability" / "api" / "standard_coders.yaml"
    cases = []
    for number, spec in enumerate(yaml.safe_load_all(path.read_text("utf-8"))):
        name = spec["coder"]["urn"].removeprefix("beam:coder:").removesuffix(":v1")
        for index, (data, expected) in enumerate(spec["examples"].items()):
            cases.append(pytest.param(spec, data.encode("latin-1"), expected, id=f"{number}-{name}-{index}"))
    return cases


def beam_coder(spec: dict[str, Any], table: dict[str, pipeline_pb2.Coder]) -> str:
    """Put the coder that the YAML describes into `table`, answer its id."""
    components = [beam_coder(component, table) for component in spec.get("components", ())]
    proto = pipeline_pb2.Coder(component_coder_ids=components)
    proto.spec.urn = spec["urn"]
    proto.spec.payload = spec.get("payload", "").encode("latin-1")
    table[f"c{len(table)}"] = proto
    return f"c{len(table) - 1}"


def beam_pane(x: dict[str, Any]) -> values.Pane:
    return values.Pane(x["is_first"], x["is_last"], values.Timing[x["timing"]], x["index"], x["on_time_index"])


def beam_timer(x: dict[str, Any], key: Any, windows: tuple[Any, ...]) -> values.Timer:
    if x["clearBit"]:
        return values.Timer(key, x["dynamicTimerTag"], windows, True)
    times = x["fireTimestamp"], x["holdTimestamp"]
    return values.Timer(key, x["dynamicTimerTag"], windows, False, *times, beam_pane(x["pane"]))


#: urn's name: (what the YAML holds, parsers of the components) -> value.
BEAM_VALUES: dict[str, Callable[..., Any]] = {
    "bytes": lambda x: x.encode(),
    "bool": lambda x: x,
    "string_utf8": lambda x: x,
    "varint": lambda x: x,
    "double": lambda x: float(x.replace("Infinity", "inf")),
    "kv": lambda x, k, v: (k(x["key"]), v(x["value"])),
    "iterable": lambda x, e: [e(item) for item in x],
    "nullable": lambda x, e: None if x is None else e(x),
    "sharded_key": lambda x, k: values.ShardedKey(k(x["key"]), x["shardId"].encode()),
    "global_window": lambda x: values.GLOBAL_WINDOW,
    "interval_window": lambda x: values.IntervalWindow(x["end"] - x["span"], x["end"]),
    "custom_window": lambda x, w: values.CustomWindow(w(x["window"]).max_timestamp, w(x["window"])),
    "windowed_value": lambda x, e, w: values.WindowedValue(
        e(x["value"]), x["timestamp"], tuple(map(w, x["windows"])), beam_pane(x["pane"])
    ),
    "timer": lambda x, k, w: beam_timer(x, k(x["userKey"]), tuple(map(w, x["windows"]))),
}
BEAM_VALUES["state_backed_iterable"] = BEAM_VALUES["iterable"]
BEAM_VALUES["param_windowed_value"] = BEAM_VALUES["windowed_value"]


def beam_value(spec: dict[str, Any], x: Any) -> Any:
    name = spec["urn"].removeprefix("beam:coder:").removesuffix(":v1")
    if name == "row":
        schema = schema_pb2.Schema.FromString(spec["payload"].encode("latin-1"))
        return tuple(beam_field(field.type, x[field.name]) for field in schema.fields)
    parts = [lambda y, c=component: beam_value(c, y) for component in spec.get("components", ())]
    return BEAM_VALUES[name](x, *parts)


def beam_field(type_: schema_pb2.FieldType, x: Any) -> Any:
    kind = type_.WhichOneof("type_info")
    if x is None:
        return None
    if kind == "array_type":
        return [beam_field(type_.array_type.element_type, item) for item in x]
    if kind == "map_type":
        return {beam_field(type_.map_type.key_type, k): beam_field(type_.map_type.value_type, v) for k, v in x.items()}
    if kind == "row_type":
        return tuple(beam_field(field.type, x[field.name]) for field in type_.row_type.schema.fields)
    if kind == "logical_type":
        if type_.logical_type.urn == "beam:logical_type:decimal:v1":
            return decimal.Decimal(x)
        if type_.logical_type.urn == "beam:logical_type:millis_instant:v1":
            return x + 2**63  # the YAML has the eight bytes as a plain integer
        return beam_field(type_.logical_type.representation, x)
    atomic = {
        schema_pb2.AtomicType.FLOAT: lambda: FLOAT.unpack(FLOAT.pack(float(x)))[0],
        schema_pb2.AtomicType.DOUBLE: lambda: float(x),
        schema_pb2.AtomicType.BYTES: lambda: x.encode(),
    }
    return atomic.get(type_.atomic_type, lambda: x)()


@pytest.mark.parametrize(("spec", "data", "expected"), beam_cases())
def test_beams_published_vector(spec: dict[str, Any], data: bytes, expected: Any) -> None:
    table: dict[str, pipeline_pb2.Coder] = {}
    coder = coders.from_proto(beam_coder(spec["coder"], table), table)
    for nested in [spec["nested"]] if "nested" in spec else [False, True]:
        value = coder.decode(data, nested)
        if isinstance(value, values.StateBackedIterable):
            # The YAML wants the whole iterable: follow the token as a runner's state plane would.
            tail = coder.components[0].decode_all(spec["coder"]["state"][value.token.decode()].encode("latin-1"))
            assert [*value.prefix, *tail] == beam_value(spec["coder"], expected)
        else:
            assert same(value, beam_value(spec["coder"], expected))
        if not spec.get("non_deterministic", spec["coder"].get("non_deterministic", False)) or isinstance(
            value, values.StateBackedIterable
        ):
            assert coder.encode(value, nested).hex(" ") == data.hex(" ")
