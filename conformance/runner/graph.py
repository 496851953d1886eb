"""From a valid pipeline to a Plan: wire coders, transcoding before Flatten, fusion, one closed descriptor for each stage.

Pure. Semantics of nodes are the engine's; which pipelines get this far is `validate`'s.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Set
from typing import Any

from attrs import evolve

from conformance.runner import script, windowing
from conformance.runner.coders_rewrite import WireCoders
from conformance.runner.cutting import Skip
from conformance.runner.environments import nests_test_streams
from conformance.runner.expand import DELEGATED, IDENTITIES, Expansion, Step, expand
from conformance.runner.fusion import Unit, alone, fuse, topological, upstream_environment
from conformance.runner.habits import Habits
from conformance.runner.plan import (
    Collection,
    FlattenNode,
    GroupNode,
    ImpulseNode,
    Node,
    Plan,
    ScriptNode,
    SideInput,
    StageNode,
    StateCell,
    Strategy,
    TimerFamily,
)
from conformance.wire import urns
from conformance.wire.api import fn_pb2
from conformance.wire.api import pipeline_pb2 as pb

__all__ = ["Planner", "plan"]

T = urns.Transform
#: SDKs take such a coder of a PCollection for that of its port: where elements really are windowed values, it is wrapped once more.
_WINDOWED = {urns.Coder.WINDOWED_VALUE, urns.Coder.PARAM_WINDOWED_VALUE}
STATE_KINDS = {urns.UserState.BAG: "bag", urns.UserState.MULTIMAP: "multimap", urns.UserState.ORDERED_LIST: "ordered_list"}


def plan(pipeline: Any, environments: Mapping[str, Any], url: str, habits: Habits | None = None) -> Plan:
    """The plan of a valid pipeline; `url` is where all planes are served, `environments` the resolved ones."""
    habits = habits or Habits()
    expansion = expand(pipeline, habits.lifts, habits.part(WireCoders))
    return habits.part(Planner)(expansion, environments, url).build(habits.fuses())


class Planner:
    """Makes the plan of one job."""

    def __init__(self, expansion: Expansion, environments: Mapping[str, Any], url: str) -> None:
        self.steps = topological(expansion.steps)
        self.raw = expansion.collections
        self.protos = dict(expansion.strategies)
        self.coders: WireCoders = expansion.coders
        self.environments = environments
        self.url = url
        self.nests = nests_test_streams(environments.values())
        self.producer = {collection: step for step in self.steps for collection in step.outputs.values()}
        self.elements: dict[str, str] = {}
        self.strategies: dict[str, Strategy] = {}
        self.collections: dict[str, Collection] = {}
        self.descriptors: dict[str, Any] = {}
        self.used: set[str] = set()
        self.unbounded: set[str] = set()

    def build(self, fusing: bool) -> Plan:
        for step in self.steps:
            self._wire_outputs(step)
        self.steps = topological([each for step in self.steps for each in self._transcoded(step)])
        self.producer = {collection: step for step in self.steps for collection in step.outputs.values()}
        self._find_unbounded()
        units = fuse(self.steps, self.alone, fusing=fusing)
        outside = self._read_outside(units)
        nodes: list[Node] = [self._node(unit, outside) for unit in units]
        used = {each: self.environments[each] for each in sorted(self.used)}
        return Plan(tuple(nodes), self.collections, self.descriptors, used)

    def _find_unbounded(self) -> None:
        """What is unbounded, by declaration or because its producer or main input is (M-BATCH-01, M-BATCH-03)."""
        for step in self.steps:
            mains = set(step.transform.inputs.values()) - set(step.sides.values())
            endless = step.urn == T.TEST_STREAM or bool(mains & self.unbounded)
            for collection in step.outputs.values():
                if endless or self.raw[collection].is_bounded == pb.IsBounded.UNBOUNDED:
                    self.unbounded.add(collection)

    def alone(self, step: Step) -> bool:
        """Whether a step must be the one consumer of its stage's source."""
        return alone(step)

    # ---- coders of PCollections

    def _wire_outputs(self, step: Step) -> None:
        for collection in step.outputs.values():
            self.elements[collection] = self.coders.wire(self.raw[collection].coder_id)
        if step.urn == T.GROUP_BY_KEY:  # what the runner writes: key and values in the very bytes that it read
            (source,) = step.transform.inputs.values()
            (result,) = step.outputs.values()
            key, value = self.coders.components(self.elements[source])
            values = self.coders.add(urns.Coder.ITERABLE, value, hint="iterable")
            grouped = self.coders.add(urns.Coder.KV, key, values, hint="kv")
            if not self.coders.same(grouped, self.elements[result]):
                self.elements[result] = grouped

    def _transcoded(self, step: Step) -> list[Step]:
        """A Flatten, behind a step for each input that comes in another coder: the SDK re-encodes it (P-PIPE-20)."""
        if step.urn == T.TEST_STREAM:
            return self._unpacked(step)
        if step.urn != T.FLATTEN and step.urn not in IDENTITIES:
            return [step]
        (result,) = step.outputs.values()
        made: list[Step] = []
        for name, source in sorted(step.transform.inputs.items()):
            window = self._strategy(source).proto.window_coder_id
            same_window = self.coders.same(
                self.coders.window(window), self.coders.window(self._strategy(result).proto.window_coder_id)
            )
            if self.coders.same(self.elements[source], self.elements[result]) and same_window:
                continue
            step_id = f"{step.id}/transcode/{name}"
            self._like(result, step_id, self.elements[result])
            environment = upstream_environment(step, self.producer) or self._any_environment()
            made.append(_transcoder(step_id, source, step_id, environment))
            step.transform.inputs[name] = step_id
        return [*made, step]

    def _like(self, collection: str, name: str, element: str) -> None:
        """One PCollection more, of another wire coder."""
        copy = pb.PCollection()
        copy.CopyFrom(self.raw[collection])
        copy.unique_name = name
        self.raw[name] = copy
        self.elements[name] = element

    def _unpacked(self, step: Step) -> list[Step]:
        """A TestStream, before a step for each output whose elements this runner cannot bring into their wire coder (`script`)."""
        submitted = pb.TestStreamPayload.FromString(step.transform.spec.payload).coder_id
        wire = self.coders.wire(submitted)
        prefixed = self.coders.urn(wire) == urns.Coder.LENGTH_PREFIX
        made: list[Step] = []
        for tag, collection in sorted(step.outputs.items()):
            if (self.nests or prefixed or wire == submitted) and self.coders.same(wire, self.elements[collection]):
                continue
            step_id = f"{step.id}/unpack/{tag}"
            whole = wire if prefixed else self.coders.add(urns.Coder.LENGTH_PREFIX, submitted, hint="length_prefix")
            self._like(collection, step_id, whole)
            step.transform.outputs[tag] = step_id
            readers = (each.environment for each in self.steps if each.main == collection and each.environment)
            made.append(_transcoder(step_id, step_id, collection, next(readers, "") or self._any_environment()))
        return [step, *made]

    def _any_environment(self) -> str:
        return next((step.environment for step in self.steps if step.environment), "")

    def _strategy(self, collection: str) -> Strategy:
        strategy_id = self.raw[collection].windowing_strategy_id
        if strategy_id not in self.strategies:
            proto = self.protos[strategy_id]
            self.strategies[strategy_id] = windowing.strategy(
                strategy_id, proto, self.coders.urn(self.coders.window(proto.window_coder_id))
            )
        return self.strategies[strategy_id]

    def _collection(self, collection_id: str) -> Collection:
        if collection_id not in self.collections:
            strategy = self._strategy(collection_id)
            window = self.coders.window(strategy.proto.window_coder_id)
            element = self.elements[collection_id]
            self.collections[collection_id] = Collection(
                collection_id,
                element,
                window,
                self.coders.windowed(element, window),
                self.coders.cut(element, window),
                strategy,
                collection_id not in self.unbounded,
            )
        return self.collections[collection_id]

    # ---- nodes

    def _read_outside(self, units: Iterable[Unit]) -> set[str]:
        """PCollections that some unit other than their producer's reads."""
        owner: dict[str, str] = {}
        read: set[str] = set()
        for unit in units:
            for step in unit.steps:
                owner.update(dict.fromkeys(step.outputs.values(), unit.id))
                for collection in step.transform.inputs.values():
                    if owner.get(collection) != unit.id or unit.native:
                        read.add(collection)
        return read

    def _node(self, unit: Unit, outside: set[str]) -> Node:
        if not unit.native:
            return self._stage(unit, outside)
        (step,) = unit.steps
        for collection in [*step.transform.inputs.values(), *step.outputs.values()]:
            self._collection(collection)
        if step.urn == T.TEST_STREAM:
            return self._script(step)
        (result,) = step.outputs.values()
        if step.urn == T.IMPULSE:
            return ImpulseNode(step.id, result)
        if step.urn == T.GROUP_BY_KEY:
            (source,) = step.transform.inputs.values()
            return GroupNode(step.id, source, result, self._merger(step, source))
        return FlattenNode(step.id, tuple(step.transform.inputs.values()), result)

    def _script(self, step: Step) -> ScriptNode:
        payload = pb.TestStreamPayload.FromString(step.transform.spec.payload)
        coders = self.coders.coders
        outputs = step.outputs
        encoders = {each: script.encoder(payload.coder_id, self.elements[each], coders, self.nests) for each in outputs.values()}
        read = script.reader(outputs, encoders)
        if payload.endpoint.url:
            return ScriptNode(step.id, outputs, (), payload.endpoint.url, read)
        return ScriptNode(step.id, outputs, tuple(map(read, payload.events)))

    def _stage(self, unit: Unit, outside: set[str]) -> StageNode:
        root = unit.root
        self._collection(root)
        names = {step.id for step in unit.steps}
        source = _fresh(f"{unit.id}/source", names)
        sinks: dict[str, str] = {}
        for step in unit.steps:
            for collection in step.outputs.values():
                if collection in outside:
                    self._collection(collection)
                    sinks[_fresh(f"{unit.id}/sink/{len(sinks)}", names)] = collection
        sides, states, timers = [], [], []
        time_sorted = False
        for step in unit.steps:
            for name, collection in step.sides.items():
                self._collection(collection)
                pattern = step.pardo.side_inputs[name].access_pattern.urn
                mapper = self._mapper(step, name, collection)
                sides.append(SideInput(step.id, name, collection, pattern == urns.SideInput.MULTIMAP, mapper))
            if step.pardo is not None:
                states += self._states(step)
                timers += self._timers(step)
                time_sorted = time_sorted or step.pardo.requires_time_sorted_input
        self.used.add(unit.environment)
        process = next((step for step in unit.steps if step.urn == T.PROCESS_SIZED_ELEMENTS_AND_RESTRICTIONS), None)
        for collection in process.outputs.values() if process else ():
            self._collection(collection)
        node = StageNode(
            unit.id,
            unit.environment,
            root,
            source,
            sinks,
            tuple(step.id for step in unit.steps),
            tuple(sides),
            tuple(states),
            tuple(timers),
            bool(states or timers),
            time_sorted,
            process is not None,
            process.outputs if process else {},
            self._truncator(process) if process else None,
        )
        transforms = {step.id: self._executable(step) for step in unit.steps}
        inside = self._inside(unit, sinks.values())
        self._describe(node, transforms, {name: self.raw[name] for name in _ids(transforms.values())}, inside)
        if process is None or node.truncator is None:
            return node
        (left,) = node.truncator.sinks.values()
        drained = evolve(node, id=f"{node.id}/drained", input=left, truncator=None)
        main = next(name for name, each in process.transform.inputs.items() if each == process.main and name not in process.sides)
        transforms[process.id].inputs[main] = left
        self._describe(drained, transforms, {name: self.raw[name] for name in _ids(transforms.values())}, inside)
        return evolve(node, drained=drained)

    def _states(self, step: Step) -> list[StateCell]:
        cells = []
        for name, spec in sorted(step.pardo.state_specs.items()):
            kind = STATE_KINDS[spec.protocol.urn]
            cells.append(StateCell(step.id, name, kind, self._state_value(spec)))
        return cells

    def _state_value(self, spec: Any) -> Skip | None:
        case = spec.WhichOneof("spec")
        if case in ("map_spec", "multimap_spec"):
            return self.coders.skip(self.coders.wire(getattr(spec, case).value_coder_id))
        if case == "ordered_list_spec":
            return self.coders.skip(self.coders.wire(spec.ordered_list_spec.element_coder_id))
        return None

    def _timers(self, step: Step) -> list[TimerFamily]:
        expiration = step.pardo.on_window_expiration_timer_family_spec
        return [
            TimerFamily(
                step.id,
                name,
                spec.time_domain == pb.TimeDomain.EVENT_TIME,
                self.coders.timer_cut(self.coders.wire(spec.timer_family_coder_id)),
                name == expiration,
            )
            for name, spec in sorted(step.pardo.timer_family_specs.items())
        ]

    # ---- descriptors

    def _executable(self, step: Step) -> Any:
        """The transform as the SDK gets it: the coder ids of its payload point at wire coders (P-PIPE-12, I-CTL-13)."""
        transform = pb.PTransform()
        transform.CopyFrom(step.transform)
        if step.pardo is None or not (step.pardo.state_specs or step.pardo.timer_family_specs):
            return transform
        payload = pb.ParDoPayload()
        payload.CopyFrom(step.pardo)
        for family in payload.timer_family_specs.values():
            family.timer_family_coder_id = self.coders.wire(family.timer_family_coder_id)
        for spec in payload.state_specs.values():
            inner = getattr(spec, spec.WhichOneof("spec") or "bag_spec")
            for field in inner.DESCRIPTOR.fields:
                if field.name.endswith("coder_id") and getattr(inner, field.name):
                    setattr(inner, field.name, self.coders.wire(getattr(inner, field.name)))
        transform.spec.payload = payload.SerializeToString(deterministic=True)
        return transform

    def _inside(self, unit: Unit, sinks: Iterable[str]) -> set[str]:
        """PCollections that nobody outside a stage sees, not even by the keys of state: their coders stay as submitted.

        Java's harness looks into them: schemas of outputs are those of their coders.
        """
        made = {collection for step in unit.steps for collection in step.outputs.values()}
        keyed = {step.main for step in unit.steps if step.pardo and (step.pardo.state_specs or step.pardo.timer_family_specs)}
        return made - set(sinks) - keyed

    def _describe(
        self, node: StageNode, transforms: dict[str, Any], raw: Mapping[str, Any], inside: Set[str] = frozenset()
    ) -> None:
        descriptor = fn_pb2.ProcessBundleDescriptor(id=node.id)
        for transform_id, transform in transforms.items():
            descriptor.transforms[transform_id].CopyFrom(transform)
        used = set()
        for collection_id, proto in raw.items():
            copy = descriptor.pcollections[collection_id]
            copy.CopyFrom(proto)
            if collection_id not in inside:
                copy.coder_id = self.elements[collection_id]
            strategy_id = proto.windowing_strategy_id
            if self.coders.urn(copy.coder_id) in _WINDOWED:
                window = self.coders.window(self.protos[strategy_id].window_coder_id)
                copy.coder_id = self.coders.windowed(copy.coder_id, window)
            used.add(copy.coder_id)
            if strategy_id not in descriptor.windowing_strategies:
                strategy = descriptor.windowing_strategies[strategy_id]
                strategy.CopyFrom(self.protos[strategy_id])
                strategy.window_coder_id = self.coders.window(strategy.window_coder_id)
                used.add(strategy.window_coder_id)
                if strategy.environment_id in self.environments:
                    descriptor.environments[strategy.environment_id].CopyFrom(self.environments[strategy.environment_id])
        ports: list[tuple[str, str, dict[str, str], dict[str, str], str]] = [
            (node.source, urns.Runner.DATA_SOURCE, {}, {"out": node.input}, node.input)
        ]
        ports += [(name, urns.Runner.DATA_SINK, {"in": sunk}, {}, sunk) for name, sunk in node.sinks.items()]
        for name, urn, inputs, outputs, collection_id in ports:
            port = fn_pb2.RemoteGrpcPort(coder_id=self.collections[collection_id].port)
            port.api_service_descriptor.url = self.url
            used.add(port.coder_id)
            transform = pb.PTransform(unique_name=name, inputs=inputs, outputs=outputs)
            transform.spec.urn, transform.spec.payload = urn, port.SerializeToString()
            descriptor.transforms[name].CopyFrom(transform)
        used.update(_payload_coders(transforms.values()))
        for coder_id, coder in self.coders.closure(used).items():
            descriptor.coders[coder_id].CopyFrom(coder)
        descriptor.environments[node.environment].CopyFrom(self.environments[node.environment])
        descriptor.state_api_service_descriptor.url = self.url
        if node.timers:
            descriptor.timer_api_service_descriptor.url = self.url
        self.descriptors[node.id] = descriptor

    def _merger(self, step: Step, source: str) -> StageNode | None:
        """A stage that merges windows of a custom WindowFn in its environment (M-WIN-14, P-PIPE-19)."""
        strategy = self._strategy(source)
        if strategy.merging != "custom":
            return None
        coders = self.coders
        environment = strategy.proto.environment_id or upstream_environment(step, self.producer) or self._any_environment()
        window = coders.window(strategy.proto.window_coder_id)
        several = coders.add(urns.Coder.ITERABLE, window, hint="iterable")
        merged = coders.add(urns.Coder.ITERABLE, coders.add(urns.Coder.KV, window, several, hint="kv"), hint="iterable")
        answer = coders.add(urns.Coder.KV, several, merged, hint="kv")
        return self._answerer(f"merge/{step.id}", T.MERGE_WINDOWS, strategy.proto.window_fn, environment, several, answer)

    def _mapper(self, step: Step, name: str, side: str) -> StageNode | None:
        """A stage that maps main windows to those of an unbounded side input (M-WIN-21, P-PIPE-18).

        Elements wait for the windows that it tells. Global windows are mapped without asking.
        """
        if side not in self.unbounded or self._strategy(side).windows == "global":
            return None
        main, target = (self.coders.window(self._strategy(each).proto.window_coder_id) for each in (step.main, side))
        spec = step.pardo.side_inputs[name].window_mapping_fn
        return self._answerer(f"map/{step.id}/{name}", T.MAP_WINDOWS, spec, step.environment, main, target)

    def _answerer(self, stage_id: str, urn: str, spec: Any, environment: str, question: str, answer: str) -> StageNode:
        """A stage of one transform, KV<nonce, question> to KV<nonce, answer> in the global window."""
        coders = self.coders
        nonce = coders.add(urns.Coder.BYTES, hint="bytes")
        global_id = f"{stage_id}/windowing"
        self.protos[global_id] = windowing.global_proto(coders.add(urns.Coder.GLOBAL_WINDOW, hint="global_window"), environment)
        ends = {}
        for end, content in (("in", question), ("out", answer)):
            name = f"{stage_id}/{end}"
            self.raw[name] = pb.PCollection(unique_name=name, windowing_strategy_id=global_id, is_bounded=pb.IsBounded.BOUNDED)
            self.elements[name] = coders.add(urns.Coder.KV, nonce, content, hint="kv")
            self.raw[name].coder_id = self.elements[name]
            self._collection(name)
            ends[end] = name
        transform = pb.PTransform(unique_name=stage_id, inputs={"in": ends["in"]}, outputs={"out": ends["out"]})
        transform.environment_id = environment
        transform.spec.urn = urn
        transform.spec.payload = spec.SerializeToString()
        self.used.add(environment)
        node = StageNode(
            stage_id, environment, ends["in"], f"{stage_id}/source", {f"{stage_id}/sink": ends["out"]}, (f"{stage_id}/windows",)
        )
        self._describe(node, {f"{stage_id}/windows": transform}, {name: self.raw[name] for name in ends.values()})
        return node

    def _truncator(self, process: Step) -> StageNode | None:
        """A stage that tells what is left of restrictions when the job drains, if the SDK does that (P-PIPE-16)."""
        if T.TRUNCATE_SIZED_RESTRICTION not in self.environments[process.environment].capabilities:
            return None
        stage_id = f"truncate/{process.id}"
        name, output = f"{process.id}/truncate", f"{process.id}/truncated"
        self._like(process.main, output, self.elements[process.main])
        if process.main in self.unbounded:
            self.unbounded.add(output)
        for collection in (process.main, output):
            self._collection(collection)
        transform = self._executable(process)
        transform.spec.urn = T.TRUNCATE_SIZED_RESTRICTION
        transform.unique_name = f"{process.transform.unique_name}/truncate"
        transform.outputs.clear()
        transform.outputs["out"] = output
        sides = tuple(
            SideInput(name, each, source, process.pardo.side_inputs[each].access_pattern.urn == urns.SideInput.MULTIMAP)
            for each, source in process.sides.items()
        )
        node = StageNode(
            stage_id,
            process.environment,
            process.main,
            f"{stage_id}/source",
            {f"{stage_id}/sink": output},
            (name,),
            sides,
        )
        self._describe(node, {name: transform}, {each: self.raw[each] for each in _ids([transform])})
        return node


def _transcoder(step_id: str, source: str, result: str, environment: str) -> Step:
    """A step in which the SDK changes nothing but the coder."""
    transform = pb.PTransform(unique_name=step_id, inputs={"in": source}, outputs={"out": result})
    transform.spec.urn = T.FLATTEN
    transform.environment_id = environment
    return Step(step_id, transform, environment, main=source)


def _fresh(name: str, taken: set[str]) -> str:
    while name in taken:
        name += "_"
    taken.add(name)
    return name


def _ids(transforms: Iterable[Any]) -> list[str]:
    """The PCollections that transforms read or write."""
    return sorted({each for one in transforms for each in [*one.inputs.values(), *one.outputs.values()]})


def _payload_coders(transforms: Iterable[Any]) -> set[str]:
    """Coder ids inside the payloads, which must resolve in the descriptor as well (I-CTL-05)."""
    found: set[str] = set()
    for transform in transforms:
        urn = transform.spec.urn
        if urn.startswith("beam:transform:combine_"):
            found.add(pb.CombinePayload.FromString(transform.spec.payload).accumulator_coder_id)
        elif urn in DELEGATED and urn not in (T.ASSIGN_WINDOWS, T.MAP_WINDOWS, T.MERGE_WINDOWS, T.TO_STRING):
            payload = pb.ParDoPayload.FromString(transform.spec.payload)
            found.add(payload.restriction_coder_id)
            found.update(family.timer_family_coder_id for family in payload.timer_family_specs.values())
            for spec in payload.state_specs.values():
                inner = getattr(spec, spec.WhichOneof("spec") or "bag_spec")
                found.update(getattr(inner, each.name) for each in inner.DESCRIPTOR.fields if each.name.endswith("coder_id"))
    return found - {""}
