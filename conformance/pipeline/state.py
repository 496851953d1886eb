"""State cells and side input views as a ParDo declares them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

from attrs import frozen

from conformance.pipeline.coders import CoderSpec
from conformance.pipeline.fn import Fn
from conformance.wire import urns
from conformance.wire.api import pipeline_pb2 as pb

__all__ = ["SideView", "StateCell", "bag", "combining", "map_", "multimap", "ordered_list", "set_", "value"]

Kind = Literal["value", "bag", "combining", "map", "multimap", "set", "ordered_list"]


@frozen
class StateCell:
    """One cell: its kind as the SDK sees it, its coders, its protocol on the wire (M-STATE-03), a CombineFn if combining."""

    kind: Kind
    coders: tuple[CoderSpec, ...]
    protocol: str
    combine_fn: Fn | None = None

    def to_proto(self, register: Callable[[CoderSpec], str]) -> pb.StateSpec:
        ids = [register(coder) for coder in self.coders]
        build: dict[str, Callable[[], pb.StateSpec]] = {
            "value": lambda: pb.StateSpec(read_modify_write_spec=pb.ReadModifyWriteStateSpec(coder_id=ids[0])),
            "bag": lambda: pb.StateSpec(bag_spec=pb.BagStateSpec(element_coder_id=ids[0])),
            "combining": lambda: pb.StateSpec(
                combining_spec=pb.CombiningStateSpec(
                    accumulator_coder_id=ids[0], combine_fn=self.combine_fn.to_spec() if self.combine_fn else None
                )
            ),
            "map": lambda: pb.StateSpec(map_spec=pb.MapStateSpec(key_coder_id=ids[0], value_coder_id=ids[1])),
            "multimap": lambda: pb.StateSpec(multimap_spec=pb.MultimapStateSpec(key_coder_id=ids[0], value_coder_id=ids[1])),
            "set": lambda: pb.StateSpec(set_spec=pb.SetStateSpec(element_coder_id=ids[0])),
            "ordered_list": lambda: pb.StateSpec(ordered_list_spec=pb.OrderedListStateSpec(element_coder_id=ids[0])),
        }
        spec = build[self.kind]()
        spec.protocol.urn = self.protocol
        return spec


def value(coder: CoderSpec) -> StateCell:
    """At most one value; a bag on the wire."""
    return StateCell("value", (coder,), urns.UserState.BAG)


def bag(coder: CoderSpec) -> StateCell:
    return StateCell("bag", (coder,), urns.UserState.BAG)


def combining(fn: Fn, accumulator: CoderSpec) -> StateCell:
    """A bag of accumulators on the wire (M-STATE-09)."""
    return StateCell("combining", (accumulator,), urns.UserState.BAG, fn)


def map_(key: CoderSpec, coder: CoderSpec) -> StateCell:
    """At most one value a key; a multimap on the wire."""
    return StateCell("map", (key, coder), urns.UserState.MULTIMAP)


def multimap(key: CoderSpec, coder: CoderSpec) -> StateCell:
    return StateCell("multimap", (key, coder), urns.UserState.MULTIMAP)


def set_(coder: CoderSpec, protocol: Literal["multimap", "bag"] = "multimap") -> StateCell:
    """A set: a multimap without values as Java has it, or a bag as Python has it (M-STATE-03)."""
    return StateCell("set", (coder,), {"multimap": urns.UserState.MULTIMAP, "bag": urns.UserState.BAG}[protocol])


def ordered_list(coder: CoderSpec) -> StateCell:
    """Entries by sort key; use a bytes or length-prefixed coder, the one shape that all runners agree on (P-STATE-10)."""
    return StateCell("ordered_list", (coder,), urns.UserState.ORDERED_LIST)


@frozen
class SideView:
    """A PCollection as a side input: access pattern on the wire, view kind for the harness, an optional window mapping."""

    collection: Any
    access: str
    view: Fn
    mapping: Fn

    def to_proto(self) -> pb.SideInput:
        return pb.SideInput(
            access_pattern=pb.FunctionSpec(urn=self.access),
            view_fn=self.view.to_spec(),
            window_mapping_fn=self.mapping.to_spec(),
        )
