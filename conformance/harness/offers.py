"""The transforms that our expansion service offers: those of Beam's cross-language tests, and a few that such tests lack.

Each is written with the usual builder and named functions; where they run is decided by the service that expands them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from conformance.harness.expansion import Expanding, Offer
from conformance.pipeline import Fn, PCollection, coders, state
from conformance.wire.api import schema_pb2

__all__ = ["OFFERS", "TEST", "schema"]

#: What the URNs of Beam's cross-language tests begin with.
TEST = "beam:transforms:xlang:test:"

_A = schema_pb2.AtomicType
_TYPES: dict[Any, Any] = {str: _A.STRING, int: _A.INT64, float: _A.DOUBLE, bool: _A.BOOLEAN, bytes: _A.BYTES}
_Expand = Callable[[Expanding], Mapping[str, PCollection]]


def schema(**fields: Any) -> schema_pb2.Schema:
    """A schema of fields by name: a type of Python for a required field, [type] for an array, a schema for a nested row."""
    made = schema_pb2.Schema(id=coders.schema_id(" ".join(fields)))
    for number, (name, kind) in enumerate(fields.items()):
        made.fields.add(name=name, id=number, encoding_position=number, type=_type(kind))
    return made


def _type(kind: Any) -> schema_pb2.FieldType:
    if isinstance(kind, list):
        return schema_pb2.FieldType(array_type=schema_pb2.ArrayType(element_type=_type(kind[0])))
    if isinstance(kind, schema_pb2.Schema):
        return schema_pb2.FieldType(row_type=schema_pb2.RowType(schema=kind))
    return schema_pb2.FieldType(atomic_type=_TYPES[kind])


#: Offers by the URN, identifier or class that asks for them.
OFFERS: dict[str, Offer] = {}


def _offer(
    name: str,
    config: schema_pb2.Schema | None = None,
    inputs: tuple[str, ...] = ("input",),
    outputs: tuple[str, ...] = ("output",),
) -> Callable[[_Expand], _Expand]:
    def register(expand: _Expand) -> _Expand:
        described = " ".join((expand.__doc__ or "").split())
        OFFERS[name] = Offer(name, expand, config or schema_pb2.Schema(), inputs, outputs, described)
        return expand

    return register


@_offer("beam:schematransform:beam-conformance:affix:v1", schema(prefix=str, times=int, suffixes=[str]))
@_offer("org.beam.conformance.Affix")
@_offer(TEST + "prefix", schema(data=str))
def affix(asked: Expanding) -> Mapping[str, PCollection]:
    """Puts `prefix` (or `data`) `times` (1) before each string, and all `suffixes` behind it."""
    config = asked.config
    prefix = (config.get("prefix") or config.get("data") or "") * config.get("times", 1)
    expr = ["+", ["+", prefix, ["value"]], "".join(config.get("suffixes") or [])]
    return {"output": asked.only.par_do(Fn("map", expr=expr), asked.wanted.get("output") or coders.STRING, name="affix")}


@_offer(TEST + "multi", inputs=("main1", "main2", "side"), outputs=("main", "side"))
def multi(asked: Expanding) -> Mapping[str, PCollection]:
    """ "main" has each element of "main1" and "main2" with all of "side", "side" each element of "side" doubled."""
    union = asked.program.flatten([asked.inputs["main1"], asked.inputs["main2"]])
    side = asked.inputs["side"]
    beside = coders.kv(coders.STRING, coders.iterable(coders.STRING))
    main = union.par_do(Fn("side_values", side="side"), beside, name="beside", side_inputs={"side": side.as_iterable()})
    return {"main": main, "side": side.par_do(Fn("map", expr=["+", ["value"], ["value"]]), name="double")}


@_offer(TEST + "gbk")
def grouped(asked: Expanding) -> Mapping[str, PCollection]:
    """GroupByKey, and nothing else: where its output is read is the client's affair."""
    return {"output": asked.only.group_by_key()}


@_offer(TEST + "cgbk", inputs=("col1", "col2"))
def joined(asked: Expanding) -> Mapping[str, PCollection]:
    """CoGroupByKey of "col1" and "col2": KV<K, values of both, sorted>."""
    both = asked.inputs["col1"].co_group_by_key({"col2": asked.inputs["col2"]}, tag="col1")
    values = ["sorted", ["+", ["get", ["val"], "col1"], ["get", ["val"], "col2"]]]
    coder = coders.kv(both.key_coder, coders.iterable(asked.inputs["col1"].value_coder))
    return {"output": both.par_do(Fn("map", expr=["kv", ["key"], values]), coder, name="concatenate")}


@_offer(TEST + "comgl")
def combined_globally(asked: Expanding) -> Mapping[str, PCollection]:
    """The sum of all elements; accumulators have a coder that only the service's language knows."""
    return {"output": asked.only.combine_globally(Fn("strict_sum"), coders.JSON, coders.VARINT)}


@_offer(TEST + "compk")
def combined_per_key(asked: Expanding) -> Mapping[str, PCollection]:
    """The sum of the values of each key; accumulators have a coder that only the service's language knows."""
    return {"output": asked.only.combine_per_key(Fn("strict_sum"), coders.JSON, coders.VARINT)}


@_offer(TEST + "flatten", inputs=("i0", "i1"))
def flattened(asked: Expanding) -> Mapping[str, PCollection]:
    """The union of all inputs."""
    return {"output": asked.program.flatten(list(asked.inputs.values()))}


@_offer(TEST + "partition", outputs=("0", "1"))
def partitioned(asked: Expanding) -> Mapping[str, PCollection]:
    """Even numbers to "0", odd ones to "1"."""
    routed = asked.only.par_do(
        Fn("route", tags=["0", "1"], expr=["str", ["%", ["value"], 2]]),
        {"0": coders.VARINT, "1": coders.VARINT},
        name="partition",
    )
    return dict(routed)


@_offer("beam-conformance:transform:count_by_key:v1")
def counted(asked: Expanding) -> Mapping[str, PCollection]:
    """Numbers the values of each key by state: an expansion with a requirement of its own."""
    return {"output": asked.only.par_do(Fn("count_by_key"), state={"count": state.value(coders.VARINT)}, name="count")}


@_offer("beam-conformance:transform:passed_through:v1")
def passed_through(asked: Expanding) -> Mapping[str, PCollection]:
    """Each element as it is, through a function of the service's language and a grouping by the whole element."""
    element = asked.only.coder
    keyed = asked.only.par_do(Fn("key_by", expr=["value"]), coders.kv(element, element), name="key")
    alike = keyed.group_by_key().par_do(Fn("ungroup"), coders.kv(element, element), name="ungroup")
    return {"output": alike.par_do(Fn("values"), element, name="unkey")}


@_offer("beam:schematransform:org.apache.beam:iceberg_read:v1", schema(table=str), inputs=())
def managed_read(asked: Expanding) -> Mapping[str, PCollection]:
    """A source under the identifier of a managed one: three strings made of the table's name."""
    made = asked.program.create([f"{asked.config['table']}-{number}" for number in range(3)], coders.STRING, name="rows")
    return {"output": made}
