"""A bundle descriptor, read once: coders, order of execution, consumers, ports. Pure; complains where the descriptor is not closed."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping

from attrs import frozen

from conformance.harness.errors import RemoteProtocolError
from conformance.pipeline.encoding import own_coder
from conformance.wire import coders, urns
from conformance.wire.api import fn_pb2
from conformance.wire.api import pipeline_pb2 as pb

__all__ = ["Node", "Plan", "Port"]

_PAR_DO_LIKE = {
    urns.Transform.PAR_DO,
    urns.Transform.PAIR_WITH_RESTRICTION,
    urns.Transform.SPLIT_AND_SIZE_RESTRICTIONS,
    urns.Transform.PROCESS_SIZED_ELEMENTS_AND_RESTRICTIONS,
    urns.Transform.TRUNCATE_SIZED_RESTRICTION,
}


@frozen
class Port:
    """A source or sink: where it is and how its elements are written."""

    transform_id: str
    collection: str
    url: str
    coder: coders.Coder


@frozen
class Node:
    """One transform of the stage, with its ParDoPayload if it has one; `main` is the local name of the main input."""

    transform_id: str
    proto: pb.PTransform
    payload: pb.ParDoPayload | None
    main: str

    @property
    def main_collection(self) -> str:
        return self.proto.inputs[self.main]


class Plan:
    """Everything about a descriptor that does not change from bundle to bundle.

    `metadata`: elements may come with metadata, since the worker declared that it reads them (P-COD-09).
    """

    def __init__(self, descriptor: fn_pb2.ProcessBundleDescriptor, metadata: bool = False) -> None:
        self.descriptor = descriptor
        self._metadata = metadata
        self.coders = coders.CoderTable(descriptor.coders, own_coder)
        self.nodes: dict[str, Node] = {}
        self.consumers: dict[str, list[Node]] = defaultdict(list)
        for transform_id, proto in descriptor.transforms.items():
            if not proto.spec.urn and not proto.subtransforms and not proto.outputs:
                continue
            if any(part in descriptor.transforms for part in proto.subtransforms):
                continue  # a composite (P-CTL-09), whose parts are here too; one without its parts is run by its own URN
            node = self._node(transform_id, proto)
            self.nodes[transform_id] = node
            sides = node.payload.side_inputs if node.payload else {}
            for local, collection in proto.inputs.items():
                if local not in sides:
                    self.consumers[collection].append(node)
        self.sources = {
            transform_id: self._port(node, node.proto.outputs)
            for transform_id, node in self.nodes.items()
            if node.proto.spec.urn == urns.Runner.DATA_SOURCE
        }
        self.sinks = {
            transform_id: self._port(node, node.proto.inputs)
            for transform_id, node in self.nodes.items()
            if node.proto.spec.urn == urns.Runner.DATA_SINK
        }
        self.order = self._order()
        #: (transform, family) of every timer family of the stage.
        self.families = [
            (transform_id, family)
            for transform_id, node in self.nodes.items()
            if node.payload
            for family in sorted(node.payload.timer_family_specs)
        ]
        self.stateful = any(node.payload and node.payload.state_specs for node in self.nodes.values())
        self.timer_url = descriptor.timer_api_service_descriptor.url
        self.state_url = descriptor.state_api_service_descriptor.url

    def _node(self, transform_id: str, proto: pb.PTransform) -> Node:
        payload = pb.ParDoPayload.FromString(proto.spec.payload) if proto.spec.urn in _PAR_DO_LIKE else None
        sides = payload.side_inputs if payload else {}
        main = [local for local in proto.inputs if local not in sides]
        if payload is not None and len(main) != 1:
            raise RemoteProtocolError(f"ParDo {transform_id!r} of the descriptor has main inputs {main}, not one (P-PIPE-07)")
        return Node(transform_id, proto, payload, main[0] if main else "")

    def _port(self, node: Node, ends: Mapping[str, str]) -> Port:
        grpc_port = fn_pb2.RemoteGrpcPort.FromString(node.proto.spec.payload)
        if len(ends) != 1:
            raise RemoteProtocolError(f"port {node.transform_id!r} has {len(ends)} ends, not one (P-PIPE-10)")
        coder = self.coder(grpc_port.coder_id, f"port {node.transform_id!r}")
        if self._metadata and coder.urn == urns.Coder.WINDOWED_VALUE:
            coder = coders.windowed_value(*coder.components, metadata=True)
        return Port(node.transform_id, next(iter(ends.values())), grpc_port.api_service_descriptor.url, coder)

    def coder(self, coder_id: str, owner: str) -> coders.Coder:
        """The coder `coder_id`. Raises RemoteProtocolError if the descriptor does not hold it (P-CTL-08)."""
        try:
            return self.coders[coder_id]
        except (coders.InvalidCoder, coders.UnknownCoder) as error:
            raise RemoteProtocolError(f"{owner} of the descriptor has no usable coder: {error}") from error

    def collection(self, collection_id: str) -> pb.PCollection:
        if collection_id not in self.descriptor.pcollections:
            raise RemoteProtocolError(f"the descriptor names PCollection {collection_id!r} without holding it (P-CTL-08)")
        return self.descriptor.pcollections[collection_id]

    def element_coder(self, collection_id: str) -> coders.Coder:
        return self.coder(self.collection(collection_id).coder_id, f"PCollection {collection_id!r}")

    def strategy(self, collection_id: str) -> pb.WindowingStrategy:
        strategy_id = self.collection(collection_id).windowing_strategy_id
        if strategy_id not in self.descriptor.windowing_strategies:
            raise RemoteProtocolError(
                f"PCollection {collection_id!r} has strategy {strategy_id!r}, not in the descriptor (P-CTL-08)"
            )
        return self.descriptor.windowing_strategies[strategy_id]

    def window_coder(self, collection_id: str) -> coders.Coder:
        return self.coder(self.strategy(collection_id).window_coder_id, f"windowing strategy of {collection_id!r}")

    def input_coder(self, node: Node) -> coders.Coder:
        """The windowed coder of what reaches `node`: the source's if it stands right behind one (P-PIPE-17)."""
        for port in self.sources.values():
            if port.collection == node.main_collection:
                return port.coder
        return coders.windowed_value(self.element_coder(node.main_collection), self.window_coder(node.main_collection))

    def source_of(self, node: Node) -> Port | None:
        """The source that feeds `node` directly."""
        return next((port for port in self.sources.values() if port.collection == node.main_collection), None)

    def _order(self) -> list[str]:
        """Producers before consumers. Raises RemoteProtocolError for a cycle (P-CTL-12)."""
        order: list[str] = []
        state: dict[str, bool] = {}

        def visit(node: Node) -> None:
            done = state.get(node.transform_id)
            if done:
                return
            if done is False:
                raise RemoteProtocolError(f"the descriptor has a cycle through {node.transform_id!r} (P-CTL-12)")
            state[node.transform_id] = False
            for collection in node.proto.outputs.values():
                for consumer in self.consumers.get(collection, ()):
                    if consumer is not node:
                        visit(consumer)
            state[node.transform_id] = True
            order.append(node.transform_id)

        for node in self.nodes.values():
            visit(node)
        return order[::-1]
