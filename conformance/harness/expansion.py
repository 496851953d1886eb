"""An expansion service: what another language's SDK offers to clients that build pipelines (protocol 11, P-XP-01 to P-XP-07).

A real server of ExpansionService and, on the same port, of ArtifactRetrievalService for the dependencies of its environment. What it
expands to runs named functions in the environment that it was given. The transforms themselves are in `offers`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from types import TracebackType
from typing import Any

import grpc
from attrs import field, frozen

from conformance.harness.errors import LocalProtocolError
from conformance.pipeline.builder import Graph, PCollection, Program
from conformance.pipeline.coders import CoderSpec
from conformance.pipeline.windowing import Strategy
from conformance.wire import rpc, urns
from conformance.wire.api import artifact_pb2, expansion_pb2, external_pb2, schema_pb2
from conformance.wire.api import pipeline_pb2 as pb
from conformance.wire.coders import row

__all__ = ["Expanding", "ExpansionService", "Offer", "client_files"]

EXPANSION = "org.apache.beam.model.expansion.v1.ExpansionService"
RETRIEVAL = "org.apache.beam.model.job_management.v1.ArtifactRetrievalService"
#: The local part of the id of the environment in what comes back.
ENVIRONMENT = "environment"
_PAYLOADS = urns.Expansion
_CHUNK = 1 << 20


@frozen
class Expanding:
    """One expansion in progress: a builder whose transforms run in the service's environment, the inputs, the configuration."""

    program: Program
    inputs: Mapping[str, PCollection]
    config: Mapping[str, Any]
    #: Asked-for coders by output name (P-XP-03).
    wanted: Mapping[str, CoderSpec] = field(factory=dict)

    @property
    def only(self) -> PCollection:
        """The input of a transform that has one. Raises LocalProtocolError if it has another number."""
        if len(self.inputs) != 1:
            raise LocalProtocolError(f"this transform takes one input, not {sorted(self.inputs)}")
        return next(iter(self.inputs.values()))


@frozen
class Offer:
    """A transform that the service can expand: by URN or identifier, and what its configuration looks like."""

    name: str
    expand: Callable[[Expanding], Mapping[str, PCollection]]
    config: schema_pb2.Schema = field(factory=schema_pb2.Schema)
    inputs: tuple[str, ...] = ()
    outputs: tuple[str, ...] = ()
    description: str = ""


def _values(schema: schema_pb2.Schema, data: bytes) -> dict[str, Any]:
    """A row in outer context as values by field name (P-COD-01)."""
    values = row(schema).decode(data, nested=False) if data or schema.fields else ()
    return {each.name: value for each, value in zip(schema.fields, values, strict=True)}


class _Refused(Exception):
    """What the service cannot do; told in the answer's `error`, the call itself succeeds (P-XP-06)."""


class ExpansionService:
    """Serves `offers` on a free port of this machine; a context manager.

    `environment` is where expansions run, `files` the contents of its FILE dependencies by path, `requirements` what every answer
    adds. With `own_coders` answers name every coder anew, as they may (P-COD-05); without, a coder that the client has is used
    again, as the services of Beam's SDKs do. `asked` keeps every request.
    """

    def __init__(
        self,
        offers: Mapping[str, Offer],
        environment: pb.Environment,
        files: Mapping[str, bytes] | None = None,
        requirements: tuple[str, ...] = (),
        own_coders: bool = False,
    ) -> None:
        self.offers, self.environment, self.files, self.requirements = offers, environment, dict(files or {}), requirements
        self.own_coders = own_coders
        self.asked: list[expansion_pb2.ExpansionRequest] = []
        self._server = rpc.server(4)
        self._server.add_generic_rpc_handlers((rpc.service_handler(EXPANSION, self), rpc.service_handler(RETRIEVAL, self)))
        self.url = f"localhost:{self._server.add_insecure_port('localhost:0')}"
        self._server.start()
        self._channel = rpc.insecure_channel(self.url)

    def __enter__(self) -> ExpansionService:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        self._channel.close()
        self._server.stop(None)

    # The client's way in

    def ask(self, request: expansion_pb2.ExpansionRequest) -> expansion_pb2.ExpansionResponse:
        """One Expand call over the wire. Raises grpc.RpcError."""
        answer: expansion_pb2.ExpansionResponse = rpc.stub(self._channel, EXPANSION).Expand(request, timeout=30.0)
        return answer

    def discover(self) -> dict[str, expansion_pb2.SchemaTransformConfig]:
        """What DiscoverSchemaTransform lists, over the wire. Raises grpc.RpcError."""
        request = expansion_pb2.DiscoverSchemaTransformRequest()
        return dict(rpc.stub(self._channel, EXPANSION).DiscoverSchemaTransform(request, timeout=30.0).schema_transform_configs)

    # ExpansionService

    def Expand(self, request: expansion_pb2.ExpansionRequest, context: grpc.ServicerContext) -> expansion_pb2.ExpansionResponse:
        self.asked.append(request)
        try:
            return self._expand(request)
        except Exception as error:  # whatever went wrong is the client's answer, not the call's end
            return expansion_pb2.ExpansionResponse(error=f"{type(error).__name__}: {error}")

    def DiscoverSchemaTransform(
        self, request: expansion_pb2.DiscoverSchemaTransformRequest, context: grpc.ServicerContext
    ) -> expansion_pb2.DiscoverSchemaTransformResponse:
        answer = expansion_pb2.DiscoverSchemaTransformResponse()
        for name, offer in self.offers.items():
            answer.schema_transform_configs[name].CopyFrom(
                expansion_pb2.SchemaTransformConfig(
                    config_schema=offer.config,
                    input_pcollection_names=offer.inputs,
                    output_pcollection_names=offer.outputs,
                    description=offer.description,
                )
            )
        return answer

    def _expand(self, request: expansion_pb2.ExpansionRequest) -> expansion_pb2.ExpansionResponse:
        asked = request.transform
        offer, config = self._offer(asked.spec)
        graph = Graph(request.namespace + ENVIRONMENT, request.namespace)
        graph.components.CopyFrom(request.components)
        graph.shares_coders = not self.own_coders
        graph.components.environments[graph.environment].CopyFrom(self.environment)
        program = Program(offer.name, graph=graph)
        inputs = {
            local: PCollection(
                program,
                collection_id,
                CoderSpec.from_components(proto.coder_id, graph.components),
                Strategy.from_components(proto.windowing_strategy_id, graph.components),
                proto.is_bounded != pb.IsBounded.UNBOUNDED,
            )
            for local, collection_id in asked.inputs.items()
            for proto in [graph.components.pcollections[collection_id]]
        }
        wanted = {
            local: CoderSpec.from_components(coder_id, graph.components)
            for local, coder_id in request.output_coder_requests.items()
        }
        root_id, root = graph.place(
            pb.PTransform(
                unique_name=asked.unique_name,
                spec=asked.spec,
                inputs=asked.inputs,
                environment_id=graph.environment,
                annotations=_annotations(asked.spec),
            )
        )
        graph.stack.append(root_id)
        for local, collection in offer.expand(Expanding(program, inputs, config, wanted)).items():
            root.outputs[local] = collection.id
        answer = expansion_pb2.ExpansionResponse(transform=root, requirements=self.requirements)
        answer.components.CopyFrom(graph.components)
        del answer.components.transforms[root_id]
        return answer

    def _offer(self, spec: pb.FunctionSpec) -> tuple[Offer, dict[str, Any]]:
        """The transform that a spec names, by its URN, its identifier or its class, and its configuration (P-XP-07)."""
        if spec.urn == _PAYLOADS.SCHEMA_TRANSFORM:
            schema = external_pb2.SchemaTransformPayload.FromString(spec.payload)
            return self._named(schema.identifier), _values(schema.configuration_schema, schema.configuration_row)
        if spec.urn == _PAYLOADS.JAVA_CLASS_LOOKUP:
            lookup = external_pb2.JavaClassLookupPayload.FromString(spec.payload)
            config = _values(lookup.constructor_schema, lookup.constructor_payload)
            for call in lookup.builder_methods:
                if not call.name.startswith("with"):
                    raise _Refused(f"{lookup.class_name} has no method {call.name!r} that a client may call")
                config |= _values(call.schema, call.payload)
            return self._named(lookup.class_name), config
        external = external_pb2.ExternalConfigurationPayload.FromString(spec.payload)
        return self._named(spec.urn), _values(external.schema, external.payload)

    def _named(self, name: str) -> Offer:
        if name not in self.offers:
            raise _Refused(f"nothing here is called {name!r}; there are {', '.join(sorted(self.offers))}")
        return self.offers[name]

    # ArtifactRetrievalService, for clients that resolve the environment's dependencies

    def ResolveArtifacts(
        self, request: artifact_pb2.ResolveArtifactsRequest, context: grpc.ServicerContext
    ) -> artifact_pb2.ResolveArtifactsResponse:
        return artifact_pb2.ResolveArtifactsResponse(replacements=request.artifacts)

    def GetArtifact(
        self, request: artifact_pb2.GetArtifactRequest, context: grpc.ServicerContext
    ) -> Iterator[artifact_pb2.GetArtifactResponse]:
        path = pb.ArtifactFilePayload.FromString(request.artifact.type_payload).path
        if request.artifact.type_urn != urns.Artifact.FILE or path not in self.files:
            context.abort(grpc.StatusCode.NOT_FOUND, f"no artifact {path!r} is held here")
        data = self.files[path]
        for start in range(0, max(len(data), 1), _CHUNK):
            yield artifact_pb2.GetArtifactResponse(data=data[start : start + _CHUNK])


def _annotations(spec: pb.FunctionSpec) -> dict[str, bytes]:
    """What SDKs note at a schema transform, so that it can be expanded again from its configuration."""
    if spec.urn != _PAYLOADS.SCHEMA_TRANSFORM:
        return {}
    payload = external_pb2.SchemaTransformPayload.FromString(spec.payload)
    return {
        "config_row": payload.configuration_row,
        "config_row_schema": payload.configuration_schema.SerializeToString(deterministic=True),
        "schematransform_urn": payload.identifier.encode(),
    }


def client_files(url: str, environment: pb.Environment, directory: str) -> tuple[pb.Environment, dict[str, bytes]]:
    """What a client makes of an expansion's environment: its dependencies fetched from the service and listed as the client's own files
    below `directory`; their contents by path. Raises grpc.RpcError.
    """
    ours, files = pb.Environment(), dict[str, bytes]()
    ours.CopyFrom(environment)
    channel = rpc.insecure_channel(url)
    try:
        retrieval = rpc.stub(channel, RETRIEVAL)
        request = artifact_pb2.ResolveArtifactsRequest(artifacts=environment.dependencies)
        del ours.dependencies[:]
        for number, artifact in enumerate(retrieval.ResolveArtifacts(request, timeout=30.0).replacements):
            chunks = retrieval.GetArtifact(artifact_pb2.GetArtifactRequest(artifact=artifact), timeout=30.0)
            path = f"{directory}/{number}"
            files[path] = b"".join(chunk.data for chunk in chunks)
            payload = pb.ArtifactFilePayload(path=path).SerializeToString(deterministic=True)
            ours.dependencies.add(
                type_urn=urns.Artifact.FILE,
                type_payload=payload,
                role_urn=artifact.role_urn,
                role_payload=artifact.role_payload,
            )
    finally:
        channel.close()
    return ours, files
