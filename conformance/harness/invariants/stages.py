"""Descriptors, walked once: ports, timer families, stateful transforms, shapes of coders.

Here live Stage and Port, and `shape`, with which two coders are compared. A Stage tolerates what is broken in a descriptor; the
rules in `descriptors` say what is.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

import attrs
from google.protobuf.message import DecodeError

from conformance.wire import coders, urns
from conformance.wire.api import fn_pb2, windows_pb2
from conformance.wire.api import pipeline_pb2 as pb

__all__ = [
    "COMBINE_URNS",
    "PAR_DO_URNS",
    "RUNNER_ONLY",
    "SDK_URNS",
    "STANDARD_CODERS",
    "Port",
    "Stage",
    "par_do",
    "shape",
    "window_size",
]

T = urns.Transform
PAR_DO_URNS: Final = frozenset(
    {
        T.PAR_DO,
        T.PAIR_WITH_RESTRICTION,
        T.SPLIT_AND_SIZE_RESTRICTIONS,
        T.PROCESS_SIZED_ELEMENTS_AND_RESTRICTIONS,
        T.TRUNCATE_SIZED_RESTRICTION,
    }
)
COMBINE_URNS: Final = frozenset(
    {
        T.COMBINE_PER_KEY_PRECOMBINE,
        T.COMBINE_PER_KEY_MERGE_ACCUMULATORS,
        T.COMBINE_PER_KEY_EXTRACT_OUTPUTS,
        T.COMBINE_PER_KEY_CONVERT_TO_ACCUMULATORS,
        T.COMBINE_GROUPED_VALUES,
    }
)
#: Transforms that any environment may run, so that they say nothing about whose stage it is (P-PIPE table 3.2).
ANYBODYS: Final = frozenset({T.FLATTEN, T.ASSIGN_WINDOWS, T.MAP_WINDOWS, T.MERGE_WINDOWS})
SDK_URNS: Final = PAR_DO_URNS | COMBINE_URNS | ANYBODYS | {T.TO_STRING}
#: What a runner must execute itself.
RUNNER_ONLY: Final = frozenset({T.IMPULSE, T.GROUP_BY_KEY, T.TEST_STREAM})
STANDARD_CODERS: Final = frozenset(value for name, value in vars(urns.Coder).items() if name.isupper())

Shape = tuple[Any, ...]


def par_do(transform: pb.PTransform) -> pb.ParDoPayload | None:
    """The payload of a ParDo or a part of a splittable one; None if it is none or cannot be read."""
    if transform.spec.urn not in PAR_DO_URNS:
        return None
    try:
        return pb.ParDoPayload.FromString(transform.spec.payload)
    except DecodeError:
        return None


def shape(coder_id: str, table: Mapping[str, pb.Coder], *, keep_prefixes: bool, _depth: int = 0) -> Shape:
    """The tree of urns of a coder. Components of coders that are not standard are not its parts (P-COD-06).

    Without `keep_prefixes`, length prefixes and the custom_window wrapper (P-PIPE-13) fall away, and both iterables are one
    (P-PIPE-14), so that what a runner may rewrite compares equal.
    """
    coder = table.get(coder_id)
    if coder is None or _depth > 50:
        return ("?", coder_id)
    urn = coder.spec.urn
    parts = [shape(part, table, keep_prefixes=keep_prefixes, _depth=_depth + 1) for part in coder.component_coder_ids]
    if not keep_prefixes and urn in (urns.Coder.LENGTH_PREFIX, urns.Coder.CUSTOM_WINDOW) and len(parts) == 1:
        return parts[0]
    if urn not in STANDARD_CODERS:
        return (urn, coder.spec.payload)
    if not keep_prefixes and urn == urns.Coder.STATE_BACKED_ITERABLE:
        urn = urns.Coder.ITERABLE
    if urn in (urns.Coder.ROW, urns.Coder.SCHEMA):
        return (urn, coder.spec.payload)
    return (urn, *parts)


def window_size(strategy: pb.WindowingStrategy) -> tuple[int, int, int] | None:
    """(size, period, offset) in milliseconds of fixed or sliding windows; None for others."""
    urn, payload = strategy.window_fn.urn, strategy.window_fn.payload
    try:
        if urn == urns.WindowFn.FIXED:
            fixed = windows_pb2.FixedWindowsPayload.FromString(payload)
            size = fixed.size.ToMilliseconds()
            return (size, size, fixed.offset.ToMilliseconds()) if size > 0 else None
        if urn == urns.WindowFn.SLIDING:
            sliding = windows_pb2.SlidingWindowsPayload.FromString(payload)
            size, period = sliding.size.ToMilliseconds(), sliding.period.ToMilliseconds()
            return (size, period, sliding.offset.ToMilliseconds()) if size > 0 and period > 0 else None
    except DecodeError:
        return None
    return None


@attrs.define(eq=False)
class Port:
    """A source or sink of a stage (`family` None), or a timer family."""

    transform: str
    family: str | None
    pcollection: str
    coder_id: str
    url: str
    #: Coders of element and window, or None if there are none that can cut bytes.
    element: coders.Coder | None = None
    window: coders.Coder | None = None
    #: Of timers.
    key: coders.Coder | None = None
    strategy: pb.WindowingStrategy | None = None
    #: param_windowed_value: no timestamp, windows or pane on the wire.
    bare: bool = False
    problem: str = ""

    @property
    def is_keyed(self) -> bool:
        return self.element is not None and self.element.urn == urns.Coder.KV

    @property
    def is_grouped(self) -> bool:
        """KV<K, Iterable<V>>."""
        return self.is_keyed and _is_iterable(self.element.components[1] if self.element else None)


def _is_iterable(coder: coders.Coder | None) -> bool:
    while coder is not None and coder.urn == urns.Coder.LENGTH_PREFIX:
        coder = coder.components[0]
    return coder is not None and coder.urn in (urns.Coder.ITERABLE, urns.Coder.STATE_BACKED_ITERABLE)


def _opaque(coder: pb.Coder) -> coders.Coder:
    return coders.opaque(coder.spec.urn)


class Stage:
    """A ProcessBundleDescriptor with its structure worked out."""

    def __init__(self, descriptor: fn_pb2.ProcessBundleDescriptor, seq: int) -> None:
        self.proto = descriptor
        self.id: str = descriptor.id
        self.seq = seq
        self.transforms: dict[str, pb.PTransform] = dict(descriptor.transforms)
        self.coders: dict[str, pb.Coder] = dict(descriptor.coders)
        self.pcollections: dict[str, pb.PCollection] = dict(descriptor.pcollections)
        self.payloads: dict[str, pb.ParDoPayload] = {}
        self.sources: dict[str, Port] = {}
        self.sinks: dict[str, Port] = {}
        self.families: dict[tuple[str, str], Port] = {}
        self.domains: dict[tuple[str, str], int] = {}
        self.expiration: dict[str, str] = {}
        self._table = coders.CoderTable(self.coders, _opaque)
        for name, transform in self.transforms.items():
            if transform.spec.urn == urns.Runner.DATA_SOURCE:
                self.sources[name] = self._data_port(name, transform, list(transform.outputs.values()))
            elif transform.spec.urn == urns.Runner.DATA_SINK:
                self.sinks[name] = self._data_port(name, transform, list(transform.inputs.values()))
            payload = par_do(transform)
            if payload is not None:
                self.payloads[name] = payload
                for family, spec in payload.timer_family_specs.items():
                    self.families[(name, family)] = self._timer_port(name, family, spec.timer_family_coder_id)
                    self.domains[(name, family)] = spec.time_domain
                if payload.on_window_expiration_timer_family_spec:
                    self.expiration[name] = payload.on_window_expiration_timer_family_spec
        self.work: frozenset[str] = frozenset(self.transforms) - set(self.sources) - set(self.sinks)
        self.stateful: frozenset[str] = frozenset(
            name for name, payload in self.payloads.items() if payload.state_specs or payload.timer_family_specs
        )
        self.splittable: bool = any(
            t.spec.urn in (T.PROCESS_SIZED_ELEMENTS_AND_RESTRICTIONS, T.TRUNCATE_SIZED_RESTRICTION)
            for t in self.transforms.values()
        )

    # -- structure ---------------------------------------------------------------------------------------------------------

    def main_input(self, name: str) -> str | None:
        """The PCollection that a ParDo reads as its main input (P-PIPE-07)."""
        transform, payload = self.transforms[name], self.payloads.get(name)
        sides = set(payload.side_inputs) if payload else set()
        mains = [pcollection for local, pcollection in transform.inputs.items() if local not in sides]
        return mains[0] if mains else None

    def side_inputs(self) -> Iterator[tuple[str, str, str]]:
        """(transform, side input id, PCollection) for each side input whose local name is an input."""
        for name, payload in self.payloads.items():
            for local in payload.side_inputs:
                if local in self.transforms[name].inputs:
                    yield name, local, self.transforms[name].inputs[local]

    def source_of(self, name: str) -> Port | None:
        """The source that directly feeds the main input of `name`, if one does."""
        wanted = self.main_input(name)
        return next((port for port in self.sources.values() if port.pcollection == wanted), None)

    def keyed_sources(self) -> list[tuple[str, Port]]:
        """(stateful transform, source) where the source's elements are the stateful transform's."""
        found = [(name, self.source_of(name)) for name in sorted(self.stateful)]
        return [(name, port) for name, port in found if port is not None and port.is_keyed]

    def strategy_of(self, pcollection: str) -> pb.WindowingStrategy | None:
        held = self.pcollections.get(pcollection)
        if held is None or held.windowing_strategy_id not in self.proto.windowing_strategies:
            return None
        return self.proto.windowing_strategies[held.windowing_strategy_id]

    def coder(self, coder_id: str) -> coders.Coder | None:
        """The coder of an id, opaque parts included; None if it cannot be built."""
        try:
            return self._table[coder_id]
        except (coders.UnknownCoder, coders.InvalidCoder, KeyError):
            return None

    # -- ports -------------------------------------------------------------------------------------------------------------

    def _data_port(self, name: str, transform: pb.PTransform, pcollections: list[str]) -> Port:
        pcollection = pcollections[0] if pcollections else ""
        try:
            grpc = fn_pb2.RemoteGrpcPort.FromString(transform.spec.payload)
        except DecodeError:
            return Port(name, None, pcollection, "", "", problem="its payload is no RemoteGrpcPort")
        port = Port(name, None, pcollection, grpc.coder_id, grpc.api_service_descriptor.url)
        port.strategy = self.strategy_of(pcollection)
        coder = self.coder(grpc.coder_id)
        if coder is None or coder.urn not in (urns.Coder.WINDOWED_VALUE, urns.Coder.PARAM_WINDOWED_VALUE):
            port.problem = f"coder {grpc.coder_id!r} is not a windowed value"
            return port
        port.bare = coder.urn == urns.Coder.PARAM_WINDOWED_VALUE
        port.element, port.window = coder.components[0], coder.components[1]
        return port

    def _timer_port(self, name: str, family: str, coder_id: str) -> Port:
        main = self.main_input(name) or ""
        port = Port(name, family, main, coder_id, self.proto.timer_api_service_descriptor.url)
        port.strategy = self.strategy_of(main)
        coder = self.coder(coder_id)
        if coder is None or coder.urn != urns.Coder.TIMER:
            port.problem = f"coder {coder_id!r} is not a timer coder"
            return port
        port.key, port.window = coder.components[0], coder.components[1]
        return port
