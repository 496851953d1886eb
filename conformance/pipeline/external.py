"""Transforms of another SDK, from the client's side: what to ask an expansion service for, and how its answer becomes part of a program.

Pure: who carries the question to a service and the answer back is the caller's business (P-XP-01 to P-XP-07).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from conformance.pipeline.builder import PCollection, Program
from conformance.pipeline.coders import CoderSpec
from conformance.pipeline.errors import PipelineError
from conformance.pipeline.windowing import Strategy
from conformance.wire import urns
from conformance.wire.api import expansion_pb2, external_pb2, schema_pb2
from conformance.wire.api import pipeline_pb2 as pb
from conformance.wire.coders import row

__all__ = ["Ask", "class_lookup", "configuration", "expand", "request", "schema_transform", "splice"]

#: Carries one request to a service and brings the answer.
Ask = Callable[[expansion_pb2.ExpansionRequest], expansion_pb2.ExpansionResponse]

#: The ids of stand-in producers begin so, as those of Python's SDK do; they come back and are dropped.
STAND_IN = "impulse_of_"


# Payloads


def _row(schema: schema_pb2.Schema, values: Mapping[str, Any]) -> bytes:
    """A row in outer context, as payloads of expansions hold it (P-COD-01)."""
    fields = tuple(values.get(field.name) for field in schema.fields)
    return bytes(row(schema).encode(fields, nested=False))


def configuration(schema: schema_pb2.Schema, **values: Any) -> bytes:
    """The payload of a transform that is asked for by its URN: a row of `schema`."""
    payload = external_pb2.ExternalConfigurationPayload(schema=schema, payload=_row(schema, values))
    return payload.SerializeToString(deterministic=True)


def schema_transform(identifier: str, schema: schema_pb2.Schema, **values: Any) -> bytes:
    """The payload of `beam:expansion:payload:schematransform:v1`."""
    payload = external_pb2.SchemaTransformPayload(
        identifier=identifier, configuration_schema=schema, configuration_row=_row(schema, values)
    )
    return payload.SerializeToString(deterministic=True)


def class_lookup(
    class_name: str,
    constructor: tuple[schema_pb2.Schema, Mapping[str, Any]],
    *calls: tuple[str, schema_pb2.Schema, Mapping[str, Any]],
    constructor_method: str = "",
) -> bytes:
    """The payload of `beam:expansion:payload:java_class_lookup:v1`: what to construct, and the methods to call on it in turn."""
    schema, values = constructor
    payload = external_pb2.JavaClassLookupPayload(
        class_name=class_name,
        constructor_method=constructor_method,
        constructor_schema=schema,
        constructor_payload=_row(schema, values),
        builder_methods=[
            external_pb2.BuilderMethod(name=name, schema=asked, payload=_row(asked, given)) for name, asked, given in calls
        ],
    )
    return payload.SerializeToString(deterministic=True)


# The question


def request(
    program: Program,
    name: str,
    urn: str,
    payload: bytes,
    inputs: Mapping[str, PCollection],
    namespace: str,
    output_coders: Mapping[str, CoderSpec] | None = None,
) -> expansion_pb2.ExpansionRequest:
    """What to ask a service for: the transform, and every component that its inputs need, with stand-ins for their producers."""
    graph = program.graph
    wanted = {local: graph.coder(coder) for local, coder in (output_coders or {}).items()}
    asked = expansion_pb2.ExpansionRequest(
        transform=pb.PTransform(
            unique_name=graph.unique_name(program.prefix, name),
            spec=pb.FunctionSpec(urn=urn, payload=payload),
            inputs={local: collection.id for local, collection in inputs.items()},
        ),
        namespace=namespace,
        output_coder_requests=wanted,
        requirements=graph.requirements,
    )
    for coder_id in wanted.values():
        _take_coder(coder_id, graph.components, asked.components)
    for collection in inputs.values():
        _take_collection(collection.id, graph.components, asked.components)
        stand_in = asked.components.transforms[STAND_IN + collection.id]
        stand_in.CopyFrom(pb.PTransform(unique_name=STAND_IN + collection.id, spec=pb.FunctionSpec(urn=urns.Transform.IMPULSE)))
        stand_in.outputs["out"] = collection.id
    return asked


def _take_coder(coder_id: str, source: pb.Components, target: pb.Components) -> None:
    target.coders[coder_id].CopyFrom(source.coders[coder_id])
    for part in source.coders[coder_id].component_coder_ids:
        _take_coder(part, source, target)


def _take_collection(collection_id: str, source: pb.Components, target: pb.Components) -> None:
    collection = source.pcollections[collection_id]
    target.pcollections[collection_id].CopyFrom(collection)
    _take_coder(collection.coder_id, source, target)
    strategy = source.windowing_strategies[collection.windowing_strategy_id]
    target.windowing_strategies[collection.windowing_strategy_id].CopyFrom(strategy)
    _take_coder(strategy.window_coder_id, source, target)


# The answer


def splice(
    program: Program, asked: expansion_pb2.ExpansionRequest, answer: expansion_pb2.ExpansionResponse
) -> dict[str, PCollection]:
    """Make the expansion part of the program; the outputs by local name.

    Raises PipelineError if the service answered with an error, or with ids that break P-XP-02.
    """
    if answer.error:
        raise PipelineError([f"the expansion service refused {asked.transform.unique_name!r}: {answer.error}"])
    components, found = program.graph.components, answer.components
    broken: list[str] = []
    for kind in ("coders", "windowing_strategies", "pcollections", "environments", "transforms"):
        broken += _merge(kind, getattr(components, kind), getattr(found, kind), asked.namespace)
    if broken:
        raise PipelineError(broken)
    root = pb.PTransform()
    root.CopyFrom(answer.transform)
    root.unique_name = asked.transform.unique_name
    program.graph.place(root)
    program.graph.requirements += [urn for urn in answer.requirements if urn not in program.graph.requirements]
    return {
        local: _handle(program, collection_id, found.pcollections[collection_id], components)
        for local, collection_id in answer.transform.outputs.items()
    }


def _merge(kind: str, into: Any, found: Any, namespace: str) -> list[str]:
    broken = []
    for component_id, proto in found.items():
        if component_id in into:
            if into[component_id] != proto:
                broken.append(f"P-XP-02: the expansion changed {kind} {component_id!r}, which is the client's")
        elif component_id.startswith(STAND_IN):
            continue
        elif not component_id.startswith(namespace):
            broken.append(f"P-XP-02: the expansion's new id {component_id!r} ({kind}) does not begin with {namespace!r}")
        else:
            into[component_id].CopyFrom(proto)
    return broken


def _handle(program: Program, collection_id: str, proto: pb.PCollection, components: pb.Components) -> PCollection:
    return PCollection(
        program,
        collection_id,
        CoderSpec.from_components(proto.coder_id, components),
        Strategy.from_components(proto.windowing_strategy_id, components),
        proto.is_bounded != pb.IsBounded.UNBOUNDED,
    )


def expand(
    program: Program,
    ask: Ask,
    name: str,
    urn: str,
    payload: bytes = b"",
    inputs: Mapping[str, PCollection] | None = None,
    output_coders: Mapping[str, CoderSpec] | None = None,
    namespace: str = "",
) -> dict[str, PCollection]:
    """Ask a service to expand a transform, and make what it answers part of the program; the outputs by local name.

    `namespace` defaults to one made of the name. Raises what `ask` and `splice` raise.
    """
    prefix = namespace or f"{program.graph.unique_name(program.prefix, name)}_expanded_"
    asked = request(program, name, urn, payload, inputs or {}, prefix, output_coders)
    return splice(program, asked, ask(asked))
