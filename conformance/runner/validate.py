"""What a pipeline has that is malformed or that this runner does not do: all of it, each with the feature and the id.

Prepare refuses with the whole list (M-REJ-01, P-JOB-13). Pure.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from google.protobuf.message import DecodeError

from conformance.runner import environments, script
from conformance.runner.cutting import KNOWN_CODERS
from conformance.runner.expand import DELEGATED, IDENTITIES, NATIVE, PAR_DO_LIKE, Leaf, leaves
from conformance.wire import urns
from conformance.wire.api import pipeline_pb2 as pb

__all__ = ["REQUIREMENTS", "problems", "refusal"]

T = urns.Transform
R = urns.Requirement

#: What this runner does of what a pipeline may require.
REQUIREMENTS = {
    R.REQUIRES_STATEFUL_PROCESSING,
    R.REQUIRES_BUNDLE_FINALIZATION,
    R.REQUIRES_STABLE_INPUT,
    R.REQUIRES_TIME_SORTED_INPUT,
    R.REQUIRES_SPLITTABLE_DOFN,
    R.REQUIRES_ON_WINDOW_EXPIRATION,
}
_STATE_PROTOCOLS = {urns.UserState.BAG, urns.UserState.MULTIMAP, urns.UserState.ORDERED_LIST}
_SIDE_PATTERNS = {urns.SideInput.ITERABLE, urns.SideInput.MULTIMAP}
_COMPONENTS = {urn: count for urn, (count, _) in KNOWN_CODERS.items()} | {urns.Coder.TIMER: 2}


def refusal(found: list[str]) -> str:
    """The text of a refusal."""
    return "\n".join([f"this pipeline cannot run here, for {len(found)} reason(s):", *(f"  - {each}" for each in found)])


def problems(pipeline: Any, default_environment: Any = None) -> list[str]:
    """Every reason to refuse a pipeline; empty for one that can run."""
    checker = _Checker(pipeline, default_environment)
    found = list(dict.fromkeys(checker.structure()))
    if not found:  # the graph can be walked only once its ids resolve
        found = list(dict.fromkeys(checker.features()))
    else:
        found += [each for each in dict.fromkeys(checker.requirements()) if each not in found]
        found += [each for each in dict.fromkeys(checker.environments()) if each not in found]
    return found


class _Checker:
    def __init__(self, pipeline: Any, default_environment: Any) -> None:
        self.pipeline = pipeline
        self.components = pipeline.components
        self.default = default_environment
        self.reached = self._reached()
        self.nests = environments.nests_test_streams(self.components.environments.values())

    def _reached(self) -> list[str]:
        """Transforms under the roots, composites too."""
        seen: dict[str, None] = {}
        todo = list(reversed(self.pipeline.root_transform_ids))
        while todo:
            one = todo.pop()
            if one not in seen:
                seen[one] = None
                if one in self.components.transforms:
                    todo.extend(reversed(self.components.transforms[one].subtransforms))
        return list(seen)

    # ---- ids resolve (P-PIPE-01)

    def structure(self) -> Iterator[str]:
        c = self.components
        for root in self.pipeline.root_transform_ids:
            if root not in c.transforms:
                yield f"dangling id: root transform {root!r} is not in the components"
        if c.transforms and not self.pipeline.root_transform_ids:
            yield "no root transforms: the pipeline has transforms, and root_transform_ids names none of them"
        yield from self._transform_ids()
        for name, collection in c.pcollections.items():
            if collection.coder_id not in c.coders:
                yield f"dangling id: coder {collection.coder_id!r} of PCollection {name!r}"
            if collection.windowing_strategy_id not in c.windowing_strategies:
                yield f"dangling id: windowing strategy {collection.windowing_strategy_id!r} of PCollection {name!r}"
        for name, strategy in c.windowing_strategies.items():
            if strategy.window_coder_id not in c.coders:
                yield f"dangling id: window coder {strategy.window_coder_id!r} of windowing strategy {name!r}"
        yield from self._coder_ids()

    def _transform_ids(self) -> Iterator[str]:
        c = self.components
        for name in self.reached:
            if name not in c.transforms:
                continue
            transform = c.transforms[name]
            for child in transform.subtransforms:
                if child not in c.transforms:
                    yield f"dangling id: subtransform {child!r} of transform {name!r}"
            for kind, ends in (("input", transform.inputs), ("output", transform.outputs)):
                for local, collection in ends.items():
                    if collection not in c.pcollections:
                        yield f"dangling id: PCollection {collection!r}, {kind} {local!r} of transform {name!r}"
            if transform.environment_id and transform.environment_id not in c.environments:
                yield f"dangling id: environment {transform.environment_id!r} of transform {name!r}"
        yield from self._composite_cycles()

    def _composite_cycles(self) -> Iterator[str]:
        state: dict[str, int] = {}

        def visit(name: str) -> Iterator[str]:
            if state.get(name) == 1:
                yield f"composite {name!r} contains itself"
                return
            if state.get(name) == 2 or name not in self.components.transforms:
                return
            state[name] = 1
            for child in self.components.transforms[name].subtransforms:
                yield from visit(child)
            state[name] = 2

        for root in self.pipeline.root_transform_ids:
            yield from visit(root)

    def _coder_ids(self) -> Iterator[str]:
        c = self.components
        for name, coder in c.coders.items():
            for component in coder.component_coder_ids:
                if component not in c.coders:
                    yield f"dangling id: component coder {component!r} of coder {name!r}"
            count = _COMPONENTS.get(coder.spec.urn)
            if count is not None and len(coder.component_coder_ids) != count:
                got = len(coder.component_coder_ids)
                yield f"coder shape: {coder.spec.urn} takes {count} component(s), coder {name!r} has {got}"
        state: dict[str, int] = {}
        for start in c.coders:
            stack = [(start, iter(c.coders[start].component_coder_ids))] if start not in state else []
            state.setdefault(start, 1)
            while stack:
                name, rest = stack[-1]
                child = next(rest, None)
                if child is None:
                    state[name] = 2
                    stack.pop()
                elif child in c.coders and state.get(child) == 1:
                    yield f"coder shape: coder {child!r} contains itself"
                elif child in c.coders and child not in state:
                    state[child] = 1
                    stack.append((child, iter(c.coders[child].component_coder_ids)))

    # ---- features

    def requirements(self) -> Iterator[str]:
        for requirement in self.pipeline.requirements:
            if requirement not in REQUIREMENTS:
                yield f"requirement {requirement!r} is not known to this runner"

    def environments(self) -> Iterator[str]:
        for name, environment in self.components.environments.items():
            try:
                environments.resolve(environment, self.default)
            except environments.UnsupportedEnvironment as error:
                yield f"environment {name!r}: {error}"

    def features(self) -> Iterator[str]:
        yield from self.requirements()
        yield from self.environments()
        try:
            found = list(leaves(self.components, list(self.pipeline.root_transform_ids)))
        except DecodeError as error:
            yield f"a payload does not parse: {error}"
            return
        produced: dict[str, str] = {}
        strategies: dict[str, None] = {}
        for leaf in found:
            for collection in leaf.transform.outputs.values():
                if collection in produced:
                    yield f"PCollection {collection!r} has two producers: {produced[collection]!r} and {leaf.id!r}"
                produced[collection] = leaf.id
            for collection in [*leaf.transform.inputs.values(), *leaf.transform.outputs.values()]:
                strategies[self.components.pcollections[collection].windowing_strategy_id] = None
        for leaf in found:
            for local, collection in leaf.transform.inputs.items():
                if collection not in produced:
                    yield f"PCollection {collection!r}, input {local!r} of transform {leaf.id!r}, has no producer"
            try:
                yield from self._leaf(leaf)
            except DecodeError:
                yield f"{leaf.transform.spec.urn}: the payload of transform {leaf.id!r} does not parse"
        for name in strategies:
            yield from self._strategy(name)
        yield from self._cycle(found, produced)

    def _cycle(self, found: list[Leaf], produced: Mapping[str, str]) -> Iterator[str]:
        needs = {leaf.id: {produced[each] for each in leaf.transform.inputs.values() if each in produced} for leaf in found}
        while ready := [name for name, before in needs.items() if not before & needs.keys()]:
            for name in ready:
                del needs[name]
        if needs:
            yield f"cycle: transforms {', '.join(sorted(map(repr, needs)))} wait for each other"

    def _leaf(self, leaf: Leaf) -> Iterator[str]:
        transform, urn = leaf.transform, leaf.transform.spec.urn
        if urn == T.TEST_STREAM:
            payload = pb.TestStreamPayload.FromString(transform.spec.payload)
            problem = "it must have no input and some output" if transform.inputs or not transform.outputs else None
            problem = problem or script.problem(payload, transform.outputs, self.components.coders, self.nests)
            if problem:
                yield f"{urn}: transform {leaf.id!r}: {problem}"
        elif urn == T.IMPULSE:
            if transform.inputs or len(transform.outputs) != 1:
                yield f"{urn}: transform {leaf.id!r} must have no input and one output"
        elif urn == T.GROUP_BY_KEY:
            yield from self._group(leaf)
        elif urn == T.FLATTEN or urn in IDENTITIES:
            if len(transform.outputs) != 1:
                yield f"{urn}: transform {leaf.id!r} must have one output"
        elif urn in NATIVE:
            yield f"{urn}: transform {leaf.id!r} is not supported"
        elif urn in DELEGATED or urn == T.COMBINE_PER_KEY:
            if not leaf.environment:
                yield f"{urn}: transform {leaf.id!r} names no environment that could run it"
            if urn in PAR_DO_LIKE:
                yield from self._par_do(leaf)
            elif len(transform.inputs) != 1:
                yield f"{urn}: transform {leaf.id!r} must have one input"
        else:
            yield f"{urn or '(no urn)'}: transform {leaf.id!r} is a leaf that this runner does not know"

    def _coder(self, collection: str) -> Any:
        return self.components.coders[self.components.pcollections[collection].coder_id]

    def _strategy_of(self, collection: str) -> Any:
        return self.components.windowing_strategies[self.components.pcollections[collection].windowing_strategy_id]

    def _group(self, leaf: Leaf) -> Iterator[str]:
        transform = leaf.transform
        if len(transform.inputs) != 1 or len(transform.outputs) != 1:
            yield f"{T.GROUP_BY_KEY}: transform {leaf.id!r} must have one input and one output"
            return
        (source,) = transform.inputs.values()
        (result,) = transform.outputs.values()
        if self._coder(source).spec.urn != urns.Coder.KV:
            yield f"coder shape: input {source!r} of {T.GROUP_BY_KEY} {leaf.id!r} is {self._coder(source).spec.urn}, not a KV"
        coders = self.components.coders
        output = self._coder(result)
        iterables = (urns.Coder.ITERABLE, urns.Coder.STATE_BACKED_ITERABLE)
        if output.spec.urn != urns.Coder.KV or coders[output.component_coder_ids[1]].spec.urn not in iterables:
            yield f"coder shape: output {result!r} of {T.GROUP_BY_KEY} {leaf.id!r} is not a KV of key and iterable"

    def _par_do(self, leaf: Leaf) -> Iterator[str]:
        transform = leaf.transform
        payload = pb.ParDoPayload.FromString(transform.spec.payload)
        mains = [local for local in transform.inputs if local not in payload.side_inputs]
        if len(mains) != 1:
            yield f"ParDo {leaf.id!r} has {len(mains)} main inputs; it needs exactly one"
            return
        main = transform.inputs[mains[0]]
        for local, side in payload.side_inputs.items():
            if local not in transform.inputs:
                yield f"side input {local!r} of ParDo {leaf.id!r} is not among its inputs"
                continue
            yield from self._side_input(leaf, local, side)
        keyed = bool(payload.state_specs or payload.timer_family_specs)
        if keyed and self._coder(main).spec.urn != urns.Coder.KV:
            yield f"coder shape: main input {main!r} of stateful ParDo {leaf.id!r} is {self._coder(main).spec.urn}, not a KV"
        if keyed and self._strategy_of(main).merge_status == pb.MergeStatus.NEEDS_MERGE:
            yield f"state or timers in merging windows: ParDo {leaf.id!r}"
        if payload.restriction_coder_id:
            if keyed:
                yield f"splittable DoFn with state or timers: ParDo {leaf.id!r}"
            if payload.restriction_coder_id not in self.components.coders:
                yield f"dangling id: restriction coder {payload.restriction_coder_id!r} of ParDo {leaf.id!r}"
        for name, spec in payload.state_specs.items():
            yield from self._state(leaf, name, spec)
        for name, family in payload.timer_family_specs.items():
            yield from self._timer(leaf, name, family)
        expiration = payload.on_window_expiration_timer_family_spec
        if expiration and expiration not in payload.timer_family_specs:
            yield f"on_window_expiration of ParDo {leaf.id!r} names timer family {expiration!r}, which is not declared"

    def _side_input(self, leaf: Leaf, local: str, side: Any) -> Iterator[str]:
        collection = leaf.transform.inputs[local]
        pattern = side.access_pattern.urn
        if pattern not in _SIDE_PATTERNS:
            yield f"side input access pattern {pattern!r}: {local!r} of ParDo {leaf.id!r}"
        if pattern == urns.SideInput.MULTIMAP and self._coder(collection).spec.urn != urns.Coder.KV:
            yield f"coder shape: multimap side input {local!r} of ParDo {leaf.id!r} is {self._coder(collection).spec.urn}, not a KV"
        if self._strategy_of(collection).window_fn.urn == urns.WindowFn.SESSION:
            yield f"side input in session windows: {local!r} of ParDo {leaf.id!r}"

    def _state(self, leaf: Leaf, name: str, spec: Any) -> Iterator[str]:
        if spec.protocol.urn not in _STATE_PROTOCOLS:
            yield f"user state protocol {spec.protocol.urn!r}: state {name!r} of ParDo {leaf.id!r}"
        case = spec.WhichOneof("spec")
        inner = getattr(spec, case) if case else spec
        for each in inner.DESCRIPTOR.fields:
            if each.name.endswith("coder_id") and getattr(inner, each.name) not in self.components.coders:
                yield f"dangling id: {each.name} {getattr(inner, each.name)!r} of state {name!r} of ParDo {leaf.id!r}"

    def _timer(self, leaf: Leaf, name: str, family: Any) -> Iterator[str]:
        if family.time_domain not in (pb.TimeDomain.EVENT_TIME, pb.TimeDomain.PROCESSING_TIME):
            yield f"time domain {family.time_domain}: timer family {name!r} of ParDo {leaf.id!r}"
        coder = self.components.coders.get(family.timer_family_coder_id)
        if coder is None:
            yield f"dangling id: timer coder {family.timer_family_coder_id!r} of family {name!r} of ParDo {leaf.id!r}"
        elif coder.spec.urn != urns.Coder.TIMER:
            yield f"coder shape: timer family {name!r} of ParDo {leaf.id!r} has {coder.spec.urn}, not {urns.Coder.TIMER}"

    # ---- windowing strategies

    def _strategy(self, name: str) -> Iterator[str]:
        strategy = self.components.windowing_strategies[name]
        if strategy.accumulation_mode == pb.AccumulationMode.RETRACTING:
            yield f"accumulation mode RETRACTING: windowing strategy {name!r}"
        if strategy.environment_id and strategy.environment_id not in self.components.environments:
            yield f"dangling id: environment {strategy.environment_id!r} of windowing strategy {name!r}"
        window_coder = self.components.coders[strategy.window_coder_id].spec.urn
        session = strategy.window_fn.urn == urns.WindowFn.SESSION
        if session and window_coder != urns.Coder.INTERVAL_WINDOW:
            yield f"coder shape: session windows of windowing strategy {name!r} are coded by {window_coder}"
        if session and strategy.merge_status == pb.MergeStatus.UNSPECIFIED:
            yield f"merge_status is unset: windowing strategy {name!r} has session windows"
        if not strategy.window_fn.urn:
            yield f"window_fn is unset: windowing strategy {name!r}"
        for text in _trigger_problems(strategy.trigger):
            yield f"{text}: windowing strategy {name!r}"


def _trigger_problems(trigger: Any) -> Iterator[str]:
    """What is wrong with a trigger (M-TRIG-28); unset early and late firings are no fault (M-TRIG-17)."""
    case = trigger.WhichOneof("trigger")
    if case is None:
        yield "trigger is unset or unknown"
    elif case in ("after_all", "after_any", "after_each"):
        subs = getattr(trigger, case).subtriggers
        if not subs:
            yield f"trigger {case} without subtriggers"
        for sub in subs:
            yield from _trigger_problems(sub)
    elif case == "after_end_of_window":
        inner = trigger.after_end_of_window
        for name in ("early_firings", "late_firings"):
            if inner.HasField(name) and getattr(inner, name).WhichOneof("trigger"):
                yield from _trigger_problems(getattr(inner, name))
    elif case == "or_finally":
        yield from _trigger_problems(trigger.or_finally.main)
        yield from _trigger_problems(getattr(trigger.or_finally, "finally"))
    elif case == "repeat":
        yield from _trigger_problems(trigger.repeat.subtrigger)
