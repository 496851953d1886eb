"""`Program` builds a pipeline of primitives; `PCollection` is the handle that transforms hang on. Composites: `composites`."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Literal, TypedDict, Unpack, overload

from attrs import field, frozen

from conformance.pipeline import coders as c
from conformance.pipeline import composites, teststream, windowing
from conformance.pipeline.coders import CoderSpec
from conformance.pipeline.errors import PipelineError
from conformance.pipeline.fn import Fn
from conformance.pipeline.state import SideView, StateCell
from conformance.pipeline.validation import violations
from conformance.pipeline.values import to_json
from conformance.pipeline.windowing import Accumulation, Closing, OnTime, OutputTime, Strategy, WindowFn
from conformance.wire import urns
from conformance.wire.api import pipeline_pb2 as pb

__all__ = ["ENVIRONMENT", "OUT", "PCollection", "Program", "Scope", "display"]

#: The id of the environment that transforms run in unless they name another.
ENVIRONMENT = "harness"
#: The local name of a transform's only, or main, output.
OUT = "out"

_DOMAINS: dict[str, Any] = {"event": pb.TimeDomain.EVENT_TIME, "processing": pb.TimeDomain.PROCESSING_TIME}
_REQUIREMENTS = urns.Requirement


def display(label: str, value: str | bool | int | float, key: str = "", namespace: str = "") -> pb.DisplayData:
    """One labelled item of display data."""
    payload = pb.LabelledPayload(label=label, key=key, namespace=namespace)
    kind = {bool: "bool_value", int: "int_value", float: "double_value", str: "string_value"}[type(value)]
    setattr(payload, kind, value)
    return pb.DisplayData(urn=urns.DisplayData.LABELLED, payload=payload.SerializeToString(deterministic=True))


class Graph:
    """The pipeline under construction, shared by a program and its branches."""

    def __init__(self, environment: str = ENVIRONMENT, namespace: str = "") -> None:
        self.pipeline = pb.Pipeline()
        #: Where transforms run unless they name another environment.
        self.environment = environment
        #: Begins every id that is made here; an expansion's ids must not meet those of its client (P-XP-02).
        self.namespace = namespace
        #: Use a coder that is there already, whatever its id, where it equals one that is wanted.
        self.shares_coders = False
        self.stack: list[str] = []
        #: What the pipeline requires beside what its payloads show: an expansion tells (P-XP-06).
        self.requirements: list[str] = []

    @property
    def components(self) -> pb.Components:
        return self.pipeline.components

    def coder(self, spec: CoderSpec) -> str:
        if not self.shares_coders:
            return spec.register(self.components, self.namespace)
        for known in self.components.coders:
            if CoderSpec.from_components(known, self.components) == spec:
                return str(known)
        parts = [self.coder(part) for part in spec.components]
        coder_id = f"{self.namespace}c{len(self.components.coders)}"
        proto = pb.Coder(spec=pb.FunctionSpec(urn=spec.urn, payload=spec.payload), component_coder_ids=parts)
        self.components.coders[coder_id].CopyFrom(proto)
        return coder_id

    def strategy(self, strategy: Strategy) -> str:
        custom = not strategy.window_fn.urn.startswith("beam:")
        environment = strategy.environment or (self.environment if custom else "")
        proto = strategy.to_proto(self.coder(strategy.window_fn.window_coder), environment)
        known = self.components.windowing_strategies
        for strategy_id, other in known.items():
            if other == proto:
                return strategy_id
        strategy_id = f"{self.namespace}w{len(known)}"
        known[strategy_id].CopyFrom(proto)
        return strategy_id

    def unique_name(self, prefix: str, name: str) -> str:
        """A unique name, which is a path below the open composite, that nothing has yet."""
        base = f"{self.components.transforms[self.stack[-1]].unique_name}/{name}" if self.stack else prefix + name
        unique, number = base, 2
        names = {transform.unique_name for transform in self.components.transforms.values()}
        while unique in names:
            unique, number = f"{base}_{number}", number + 1
        return unique

    def transform(self, prefix: str, name: str, **fields: Any) -> tuple[str, pb.PTransform]:
        """A new transform below the open composite; its id is made of its unique name."""
        return self.place(pb.PTransform(unique_name=self.unique_name(prefix, name), **fields))

    def place(self, transform: pb.PTransform) -> tuple[str, pb.PTransform]:
        """Put `transform`, whose unique name is right, below the open composite; its id and the proto that is now in the pipeline."""
        transform_id = self.namespace + re.sub(r"[^\w.-]+", ".", transform.unique_name)
        proto = self.components.transforms[transform_id]
        proto.CopyFrom(transform)
        parent = self.components.transforms[self.stack[-1]] if self.stack else None
        (parent.subtransforms if parent else self.pipeline.root_transform_ids).append(transform_id)
        return transform_id, proto


@frozen
class Scope:
    """An open composite: name its outputs before it closes."""

    transform_id: str
    proto: pb.PTransform = field(eq=False, repr=False)

    def output(self, collection: PCollection, name: str = OUT) -> PCollection:
        """`collection`, also as the composite's output `name`."""
        self.proto.outputs[name] = collection.id
        return collection


class Program:
    """Builds one pipeline; `branch(prefix)` is the same pipeline with prefixed names, for an independent part of it."""

    def __init__(self, name: str = "p", *, prefix: str = "", graph: Graph | None = None) -> None:
        self.name = name
        self.prefix = prefix
        self.graph = graph or Graph()

    def branch(self, prefix: str) -> Program:
        """A builder of the same pipeline whose ids and unique names begin with `prefix`."""
        return Program(self.name, prefix=f"{self.prefix}{prefix}/", graph=self.graph)

    # Transforms of every kind

    def raw(
        self,
        name: str,
        urn: str,
        payload: bytes = b"",
        inputs: Mapping[str, PCollection] | None = None,
        outputs: Mapping[str, CoderSpec] | None = None,
        *,
        environment: str | None = None,
        strategy: Strategy | None = None,
        strategies: Mapping[str, Strategy] | None = None,
        bounded: bool | None = None,
        annotations: Mapping[str, bytes] | None = None,
        display_data: Iterable[pb.DisplayData] = (),
    ) -> dict[str, PCollection]:
        """A leaf of any URN and payload; strategy and boundedness default to those of the first input."""
        inputs = inputs or {}
        first = next(iter(inputs.values()), None)
        transform_id, proto = self.graph.transform(
            self.prefix,
            name,
            spec=pb.FunctionSpec(urn=urn, payload=payload),
            inputs={local: collection.id for local, collection in inputs.items()},
            environment_id=environment or "",
            annotations=dict(annotations or {}),
            display_data=list(display_data),
        )
        results = {}
        for local, coder in (outputs or {}).items():
            given = (strategies or {}).get(local) or strategy
            chosen = given or (first.strategy if first else windowing.GLOBAL)
            is_bounded = bounded if bounded is not None else (first.bounded if first else True)
            results[local] = self._collection(transform_id, proto, local, coder, chosen, is_bounded)
        return results

    def _collection(
        self, transform_id: str, proto: pb.PTransform, local: str, coder: CoderSpec, strategy: Strategy, bounded: bool
    ) -> PCollection:
        collection_id = f"{transform_id}.{local}"
        self.graph.components.pcollections[collection_id].CopyFrom(
            pb.PCollection(
                unique_name=f"{proto.unique_name}.{local}",
                coder_id=self.graph.coder(coder),
                is_bounded=pb.IsBounded.BOUNDED if bounded else pb.IsBounded.UNBOUNDED,
                windowing_strategy_id=self.graph.strategy(strategy),
            )
        )
        proto.outputs[local] = collection_id
        return PCollection(self, collection_id, coder, strategy, bounded)

    @contextmanager
    def composite(
        self,
        name: str,
        urn: str = "",
        payload: bytes = b"",
        inputs: Mapping[str, PCollection] | None = None,
        environment: str | None = None,
        annotations: Mapping[str, bytes] | None = None,
        display_data: Iterable[pb.DisplayData] = (),
    ) -> Iterator[Scope]:
        """A composite around the transforms that are made inside the `with`."""
        transform_id, proto = self.graph.transform(
            self.prefix,
            name,
            inputs={local: collection.id for local, collection in (inputs or {}).items()},
            environment_id=environment or "",
            annotations=dict(annotations or {}),
            display_data=list(display_data),
        )
        if urn or payload:
            proto.spec.CopyFrom(pb.FunctionSpec(urn=urn, payload=payload))
        self.graph.stack.append(transform_id)
        try:
            yield Scope(transform_id, proto)
        finally:
            self.graph.stack.pop()

    # Roots

    def impulse(self, name: str = "impulse") -> PCollection:
        return self.raw(name, urns.Transform.IMPULSE, outputs={OUT: c.BYTES})[OUT]

    def create(
        self,
        values: Sequence[Any],
        coder: CoderSpec | None = None,
        timestamps: Sequence[int] | None = None,
        window: WindowFn | None = None,
        name: str = "create",
        environment: str | None = None,
    ) -> PCollection:
        """Impulse and a ParDo that emits `values`, at MIN or at `timestamps` (M-TIME-11); into `window` if it is given."""
        args: dict[str, Any] = {"values": [to_json(value) for value in values]}
        if timestamps is not None:
            if len(timestamps) != len(values):
                raise PipelineError([f"create {name!r} has {len(values)} values and {len(timestamps)} timestamps"])
            args["timestamps"] = list(timestamps)
        source = self.impulse(f"{name}/impulse")
        created = source.par_do(Fn("create", **args), coder or c.infer(values), name=name, environment=environment)
        return created.window_into(window, name=f"{name}/window") if window else created

    def test_stream(
        self, events: Iterable[teststream.Event], coder: CoderSpec | Mapping[str, CoderSpec], name: str = "test_stream"
    ) -> Any:
        """A TestStream of elements, watermark and processing-time moves; several outputs if `coder` is a mapping by tag.

        With several outputs all must share one coder: the payload has one (P-PIPE-08's TestStreamPayload).
        """
        outputs = dict(coder) if isinstance(coder, Mapping) else {OUT: coder}
        if len(set(outputs.values())) != 1:
            raise PipelineError([f"test_stream {name!r} has outputs with different coders; its payload has room for one"])
        element = next(iter(outputs.values()))
        payload = teststream.payload(events, element, self.graph.coder(element))
        made = self.raw(
            name, urns.Transform.TEST_STREAM, payload.SerializeToString(deterministic=True), outputs=outputs, bounded=False
        )
        return made if isinstance(coder, Mapping) else made[OUT]

    def flatten(
        self,
        collections: Sequence[PCollection],
        coder: CoderSpec | None = None,
        name: str = "flatten",
        environment: str | None = None,
        strategy: Strategy | None = None,
    ) -> PCollection:
        """The union; coder and strategy are the first input's unless given. No inputs need a coder."""
        if not collections and coder is None:
            raise PipelineError([f"flatten {name!r} of nothing needs a coder"])
        inputs = {f"i{number}": collection for number, collection in enumerate(collections)}
        return self.raw(
            name,
            urns.Transform.FLATTEN,
            inputs=inputs,
            outputs={OUT: coder or collections[0].coder},
            environment=environment,
            strategy=strategy,
            bounded=all(collection.bounded for collection in collections),
        )[OUT]

    # Building

    def build(
        self,
        environment: pb.Environment,
        others: Mapping[str, pb.Environment] | None = None,
        requirements: Iterable[str] | None = None,
        display_data: Iterable[pb.DisplayData] = (),
        check: bool = True,
    ) -> pb.Pipeline:
        """The pipeline with its environments. Requirements are those that its payloads use (P-PIPE-05) unless given.

        Raises PipelineError unless `check` is off.
        """
        pipeline = pb.Pipeline()
        pipeline.CopyFrom(self.graph.pipeline)
        pipeline.components.environments[ENVIRONMENT].CopyFrom(environment)
        for environment_id, other in (others or {}).items():
            pipeline.components.environments[environment_id].CopyFrom(other)
        found = sorted({*required(pipeline), *self.graph.requirements}) if requirements is None else list(requirements)
        pipeline.requirements.extend(found)
        pipeline.display_data.extend(display_data)
        if check and (broken := violations(pipeline)):
            raise PipelineError(broken)
        return pipeline


def required(pipeline: pb.Pipeline) -> list[str]:
    """The requirements that the ParDo payloads of `pipeline` use, in the order of their URNs."""
    found: set[str] = set()
    for transform in pipeline.components.transforms.values():
        if transform.spec.urn != urns.Transform.PAR_DO:
            continue
        payload = pb.ParDoPayload.FromString(transform.spec.payload)
        uses = {
            _REQUIREMENTS.REQUIRES_STATEFUL_PROCESSING: bool(payload.state_specs or payload.timer_family_specs),
            _REQUIREMENTS.REQUIRES_BUNDLE_FINALIZATION: payload.requests_finalization,
            _REQUIREMENTS.REQUIRES_STABLE_INPUT: payload.requires_stable_input,
            _REQUIREMENTS.REQUIRES_TIME_SORTED_INPUT: payload.requires_time_sorted_input,
            _REQUIREMENTS.REQUIRES_SPLITTABLE_DOFN: bool(payload.restriction_coder_id),
            _REQUIREMENTS.REQUIRES_ON_WINDOW_EXPIRATION: bool(payload.on_window_expiration_timer_family_spec),
        }
        found.update(urn for urn, used in uses.items() if used)
    return sorted(found)


class ParDoOptions(TypedDict, total=False):
    """What a ParDo may say beside its function and output coders."""

    name: str | None
    side_inputs: Mapping[str, SideView]
    state: Mapping[str, StateCell]
    #: Timer families by domain.
    timers: Mapping[str, Literal["event", "processing"]]
    #: Makes the ParDo splittable.
    restriction_coder: CoderSpec | None
    requests_finalization: bool
    requires_stable_input: bool
    requires_time_sorted_input: bool
    #: The timer family that the runner fires when a window expires; declared as an event family if `timers` does not.
    on_window_expiration: str | None
    environment: str | None
    #: The outputs' strategy, where it is not the input's.
    strategy: Strategy | None
    bounded: bool | None
    annotations: Mapping[str, bytes] | None
    display_data: Iterable[pb.DisplayData]


@frozen
class PCollection:
    """A handle of one PCollection: what it holds, how it is windowed, and the transforms that may follow."""

    program: Program = field(eq=False, repr=False)
    id: str
    coder: CoderSpec
    strategy: Strategy = field(repr=False)
    bounded: bool = True

    @overload
    def par_do(self, fn: Fn, coder: CoderSpec | None = None, **options: Unpack[ParDoOptions]) -> PCollection: ...
    @overload
    def par_do(self, fn: Fn, coder: Mapping[str, CoderSpec], **options: Unpack[ParDoOptions]) -> dict[str, PCollection]: ...
    def par_do(
        self, fn: Fn, coder: CoderSpec | Mapping[str, CoderSpec] | None = None, **options: Unpack[ParDoOptions]
    ) -> PCollection | dict[str, PCollection]:
        """A ParDo of `fn`. One coder: one output; a mapping: an output a tag. Without a coder the output has the input's."""
        graph = self.program.graph
        outputs = dict(coder) if isinstance(coder, Mapping) else {OUT: coder or self.coder}
        on_window_expiration = options.get("on_window_expiration")
        restriction_coder = options.get("restriction_coder")
        side_inputs = options.get("side_inputs") or {}
        families = dict(options.get("timers") or {})
        if on_window_expiration is not None:
            families.setdefault(on_window_expiration, "event")
        payload = pb.ParDoPayload(
            do_fn=fn.to_spec(),
            side_inputs={local: view.to_proto() for local, view in side_inputs.items()},
            state_specs={state_id: cell.to_proto(graph.coder) for state_id, cell in (options.get("state") or {}).items()},
            timer_family_specs={
                family: pb.TimerFamilySpec(time_domain=_DOMAINS[domain], timer_family_coder_id=graph.coder(self._timer_coder()))
                for family, domain in families.items()
            },
            restriction_coder_id=graph.coder(restriction_coder) if restriction_coder else "",
            requests_finalization=options.get("requests_finalization", False),
            requires_stable_input=options.get("requires_stable_input", False),
            requires_time_sorted_input=options.get("requires_time_sorted_input", False),
            on_window_expiration_timer_family_spec=on_window_expiration or "",
        )
        sides = {local: view.collection for local, view in side_inputs.items()}
        made = self.program.raw(
            options.get("name") or fn.name,
            urns.Transform.PAR_DO,
            payload.SerializeToString(deterministic=True),
            inputs={"in": self, **sides},
            outputs=outputs,
            environment=options.get("environment") or graph.environment,
            strategy=options.get("strategy"),
            bounded=options.get("bounded"),
            annotations=options.get("annotations"),
            display_data=options.get("display_data", ()),
        )
        return made if isinstance(coder, Mapping) else made[OUT]

    def _timer_coder(self) -> CoderSpec:
        return c.timer(self.key_coder, self.strategy.window_fn.window_coder)

    @property
    def key_coder(self) -> CoderSpec:
        """The key's coder. Raises PipelineError if the elements are not KVs."""
        return self._component(0)

    @property
    def value_coder(self) -> CoderSpec:
        """The value's coder. Raises PipelineError if the elements are not KVs."""
        return self._component(1)

    def _component(self, index: int) -> CoderSpec:
        if self.coder.urn != urns.Coder.KV:
            raise PipelineError(
                [f"P-PIPE-07: {self.id} has coder {self.coder}; keyed transforms need KVs (use Fn('with_key', …))"]
            )
        return self.coder.components[index]

    def group_by_key(self, name: str = "group_by_key") -> PCollection:
        """KV<K, Iterable<V>> per key and window; the strategy continues (M-TRIG-37, M-WIN-12)."""
        coder = c.kv(self.key_coder, c.iterable(self.value_coder))
        return self.program.raw(
            name, urns.Transform.GROUP_BY_KEY, inputs={"in": self}, outputs={OUT: coder}, strategy=self.strategy.after_grouping()
        )[OUT]

    def window_into(
        self,
        window_fn: WindowFn | Strategy,
        *,
        trigger: pb.Trigger | None = None,
        accumulation: Accumulation = "discarding",
        allowed_lateness: int = 0,
        closing: Closing = "if_nonempty",
        on_time: OnTime = "always",
        timestamp_combiner: OutputTime = "end_of_window",
        merge_status: int | None = None,
        name: str = "window_into",
        environment: str | None = None,
    ) -> PCollection:
        """Assigns windows; all fields of the strategy are written out."""
        strategy = (
            window_fn
            if isinstance(window_fn, Strategy)
            else Strategy(
                window_fn,
                **({"trigger": trigger} if trigger is not None else {}),
                accumulation=accumulation,
                allowed_lateness=allowed_lateness,
                closing=closing,
                on_time=on_time,
                output_time=timestamp_combiner,
                merge_status=merge_status,
                environment=environment,
            )
        )
        payload = pb.WindowIntoPayload(window_fn=strategy.window_fn.to_spec())
        return self.program.raw(
            name,
            urns.Transform.ASSIGN_WINDOWS,
            payload.SerializeToString(deterministic=True),
            inputs={"in": self},
            outputs={OUT: self.coder},
            environment=environment or self.program.graph.environment,
            strategy=strategy,
        )[OUT]

    def with_strategy(self, strategy: Strategy, name: str = "restrategize") -> PCollection:
        """The same elements in a PCollection with another strategy, for programs no SDK would write."""
        return self.par_do(Fn("identity"), self.coder, name=name, strategy=strategy)

    def _default_mapping(self) -> Fn:
        """Tells the window function, since a runner may have windows mapped without the rest of the pipeline (M-WIN-21)."""
        window_fn = self.strategy.window_fn
        return Fn("default_mapping", urn=window_fn.urn, payload=window_fn.payload.hex())

    def as_iterable(self, mapping: Fn | None = None, view: Fn | None = None) -> SideView:
        """A side input of all elements of a window."""
        return SideView(self, urns.SideInput.ITERABLE, view or Fn("iterable_view"), mapping or self._default_mapping())

    def as_multimap(self, mapping: Fn | None = None, view: Fn | None = None) -> SideView:
        """A side input of values by key."""
        if self.coder.urn != urns.Coder.KV:
            raise PipelineError([f"P-PIPE-18: {self.id} has coder {self.coder}; a multimap side input needs KVs"])
        return SideView(self, urns.SideInput.MULTIMAP, view or Fn("multimap_view"), mapping or self._default_mapping())

    def observe(self, observer: str, name: str | None = None) -> PCollection:
        """Reports every element to the harness as an observation of `observer` (with the program's prefix); emits nothing."""
        return self.par_do(Fn("observe", observer=self.program.prefix + observer), c.BYTES, name=name or f"observe_{observer}")

    combine_per_key = composites.combine_per_key
    combine_globally = composites.combine_globally
    combine_leaf = composites.combine_leaf
    reshuffle = composites.reshuffle
    redistribute_by_key = composites.redistribute_by_key
    redistribute_arbitrarily = composites.redistribute_arbitrarily
    group_into_batches = composites.group_into_batches
    co_group_by_key = composites.co_group_by_key
