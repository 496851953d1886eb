"""From submitted transforms to executable steps: composites opened or taken whole, combines lifted, splittable DoFns expanded.

Works on a pipeline that `validate` has passed. Ids of submitted transforms stay, so that labels and state keys name them;
ids that are made here contain a "/" suffix.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from attrs import define, field, frozen

from conformance.runner.coders_rewrite import WireCoders
from conformance.wire import urns
from conformance.wire.api import pipeline_pb2 as pb

__all__ = [
    "DELEGATED",
    "IDENTITIES",
    "Expansion",
    "Leaf",
    "Step",
    "counts_elements",
    "environments_of",
    "expand",
    "leaves",
    "side_input_names",
]

T = urns.Transform

#: Leaves that an SDK runs in a bundle (protocol.md 3.2).
DELEGATED = {
    T.PAR_DO,
    T.ASSIGN_WINDOWS,
    T.MAP_WINDOWS,
    T.MERGE_WINDOWS,
    T.TO_STRING,
    T.COMBINE_PER_KEY_PRECOMBINE,
    T.COMBINE_PER_KEY_MERGE_ACCUMULATORS,
    T.COMBINE_PER_KEY_EXTRACT_OUTPUTS,
    T.COMBINE_PER_KEY_CONVERT_TO_ACCUMULATORS,
    T.COMBINE_GROUPED_VALUES,
    T.PAIR_WITH_RESTRICTION,
    T.SPLIT_AND_SIZE_RESTRICTIONS,
    T.PROCESS_SIZED_ELEMENTS_AND_RESTRICTIONS,
    T.TRUNCATE_SIZED_RESTRICTION,
}
#: Composites that keep every element as it is, and break fusion (M-XF-12).
IDENTITIES = {T.RESHUFFLE, T.REDISTRIBUTE_BY_KEY, T.REDISTRIBUTE_ARBITRARILY}
NATIVE = {T.IMPULSE, T.GROUP_BY_KEY, T.FLATTEN, T.TEST_STREAM}
#: Those of DELEGATED whose payload is a ParDoPayload.
PAR_DO_LIKE = {
    T.PAR_DO,
    T.PAIR_WITH_RESTRICTION,
    T.SPLIT_AND_SIZE_RESTRICTIONS,
    T.PROCESS_SIZED_ELEMENTS_AND_RESTRICTIONS,
    T.TRUNCATE_SIZED_RESTRICTION,
}


@frozen
class Leaf:
    """A transform that is executed as a unit, and the environment that runs it ("" for the runner's own)."""

    id: str
    transform: Any
    environment: str


@define
class Step:
    """An executable transform with its payload as the SDK will get it (coder ids still as submitted)."""

    id: str
    transform: Any
    environment: str = ""
    main: str = ""
    sides: dict[str, str] = field(factory=dict)
    pardo: Any = None

    @property
    def urn(self) -> str:
        urn: str = self.transform.spec.urn
        return urn

    @property
    def outputs(self) -> dict[str, str]:
        return dict(self.transform.outputs)

    @property
    def native(self) -> bool:
        """Whether the runner executes it itself."""
        return self.urn in NATIVE or self.urn in IDENTITIES


@define
class Expansion:
    """Executable steps, and the PCollections and coders that they speak of."""

    steps: list[Step]
    collections: dict[str, Any]
    strategies: Mapping[str, Any]
    coders: WireCoders


def side_input_names(transform: Any) -> set[str]:
    """The local input names that are side inputs."""
    if transform.spec.urn not in PAR_DO_LIKE:
        return set()
    return set(pb.ParDoPayload.FromString(transform.spec.payload).side_inputs)


def leaves(components: Any, roots: list[str], lifts: Callable[[bool], bool] = bool) -> Iterator[Leaf]:
    """The transforms to execute in order of submission: composites opened unless they are taken whole (P-PIPE-03).

    `lifts` tells whether a Combine runs in parts, given whether that is legal.
    """
    transforms = components.transforms

    def environment_of(transform: Any) -> str:
        if transform.environment_id:
            return str(transform.environment_id)
        if transform.spec.urn == T.ASSIGN_WINDOWS and not transform.subtransforms:
            return _windowing_environment(transform, components)
        for child in transform.subtransforms:
            if found := environment_of(transforms[child]):
                return found
        return ""

    def whole(transform: Any) -> bool:
        """Whether the SDK gets a composite as it is."""
        if transform.spec.urn == T.COMBINE_PER_KEY:
            return bool(environment_of(transform)) and lifts(liftable(transform, components))
        return transform.spec.urn in DELEGATED and (not transform.subtransforms or bool(environment_of(transform)))

    def visit(transform_id: str) -> Iterator[Leaf]:
        transform = transforms[transform_id]
        urn = transform.spec.urn
        one_to_one = len(transform.inputs) == 1 and len(transform.outputs) == 1
        if urn in NATIVE or (urn in IDENTITIES and one_to_one):
            yield Leaf(transform_id, transform, "")
        elif whole(transform):
            yield Leaf(transform_id, transform, environment_of(transform))
        elif transform.subtransforms:
            for child in transform.subtransforms:
                yield from visit(child)
        elif not set(transform.outputs.values()) <= set(transform.inputs.values()):
            yield Leaf(transform_id, transform, str(transform.environment_id))

    for root in roots:
        yield from visit(root)


def environments_of(pipeline: Any) -> list[str]:
    """Environments that steps of a valid pipeline surely run in, in order; its plan may show that more are needed."""
    found = leaves(pipeline.components, list(pipeline.root_transform_ids))
    return list(dict.fromkeys(leaf.environment for leaf in found if leaf.environment))


def _windowing_environment(transform: Any, components: Any) -> str:
    """Who runs a WindowInto that names no environment (P-PIPE-04): that of its strategy, or the only one there is."""
    for collection in transform.outputs.values():
        strategy = components.windowing_strategies[components.pcollections[collection].windowing_strategy_id]
        if strategy.environment_id:
            return str(strategy.environment_id)
    return str(next(iter(components.environments))) if len(components.environments) == 1 else ""


def counts_elements(trigger: Any) -> bool:
    """Whether a trigger can tell how many elements came, so that pre-combining would change its panes (M-COMB-03)."""
    case = trigger.WhichOneof("trigger")
    if case == "element_count":
        return bool(trigger.element_count.element_count > 1)
    if case == "always":
        return True
    if case is None:
        return False
    inner = getattr(trigger, case)
    if case in ("after_all", "after_any", "after_each"):
        return any(counts_elements(sub) for sub in inner.subtriggers)
    if case == "after_end_of_window":
        return counts_elements(inner.early_firings) or counts_elements(inner.late_firings)
    if case == "or_finally":
        return counts_elements(inner.main) or counts_elements(getattr(inner, "finally"))
    return case == "repeat" and counts_elements(inner.subtrigger)


def liftable(transform: Any, components: Any) -> bool:
    """Whether Combine.perKey may run as precombine, group, merge, extract (M-COMB-02, P-PIPE-15)."""
    if len(transform.inputs) != 1 or len(transform.outputs) != 1:
        return False
    (main,) = transform.inputs.values()
    (out,) = transform.outputs.values()
    collection = components.pcollections[main]
    strategy = components.windowing_strategies[collection.windowing_strategy_id]
    payload = pb.CombinePayload.FromString(transform.spec.payload)
    kvs = [components.coders[components.pcollections[each].coder_id] for each in (main, out)]
    exact = strategy.output_time != pb.OutputTime.END_OF_WINDOW and collection.is_bounded == pb.IsBounded.UNBOUNDED
    return (
        not exact  # which timestamps count is decided element by element (M-HOLD-02); accumulators have but one
        and all(coder.spec.urn == urns.Coder.KV and len(coder.component_coder_ids) == 2 for coder in kvs)
        and payload.accumulator_coder_id in components.coders
        and strategy.merge_status != pb.MergeStatus.NEEDS_MERGE
        and not counts_elements(strategy.trigger)
    )


def expand(pipeline: Any, lifts: Callable[[bool], bool] = bool, wire_coders: type[WireCoders] = WireCoders) -> Expansion:
    """The executable steps of a valid pipeline; `lifts` as in `leaves`."""
    components = pipeline.components
    expansion = Expansion([], dict(components.pcollections), components.windowing_strategies, wire_coders(components.coders))
    for leaf in leaves(components, list(pipeline.root_transform_ids), lifts):
        if leaf.transform.spec.urn == T.COMBINE_PER_KEY:
            _lift(leaf, expansion)
        elif leaf.transform.spec.urn == T.PAR_DO:
            _par_do(leaf, expansion)
        else:
            expansion.steps.append(_step(leaf.id, leaf.transform, leaf.environment))
    return expansion


def _step(step_id: str, transform: Any, environment: str) -> Step:
    copy = pb.PTransform()
    copy.CopyFrom(transform)
    del copy.subtransforms[:]
    step = Step(step_id, copy, environment)
    if step.urn in PAR_DO_LIKE:
        step.pardo = pb.ParDoPayload.FromString(copy.spec.payload)
    names = side_input_names(copy)
    step.sides = {name: copy.inputs[name] for name in sorted(names)}
    mains = [name for name in copy.inputs if name not in names]
    if not step.native and mains:
        step.main = copy.inputs[mains[0]]
    if not step.native:
        copy.environment_id = environment
    return step


def _collection(expansion: Expansion, like: str, collection_id: str, coder_id: str) -> str:
    collection = pb.PCollection()
    collection.CopyFrom(expansion.collections[like])
    collection.coder_id = coder_id
    collection.unique_name = collection_id
    expansion.collections[collection_id] = collection
    return collection_id


def _derived(expansion: Expansion, leaf: Leaf, suffix: str, urn: str, inputs: dict[str, str], outputs: dict[str, str]) -> None:
    transform = pb.PTransform(inputs=inputs, outputs=outputs, unique_name=leaf.transform.unique_name + suffix)
    transform.spec.urn = urn
    if urn != T.GROUP_BY_KEY:
        transform.spec.payload = leaf.transform.spec.payload
    step_id = leaf.id + suffix
    expansion.steps.append(_step(step_id, transform, "" if urn == T.GROUP_BY_KEY else leaf.environment))


def _lift(leaf: Leaf, expansion: Expansion) -> None:
    (source,) = leaf.transform.inputs.values()
    (result,) = leaf.transform.outputs.values()
    accumulator = pb.CombinePayload.FromString(leaf.transform.spec.payload).accumulator_coder_id
    coders = expansion.coders
    key = coders.components(expansion.collections[source].coder_id)[0]
    partial = coders.add(urns.Coder.KV, key, accumulator, hint="kv")
    grouped = coders.add(urns.Coder.KV, key, coders.add(urns.Coder.ITERABLE, accumulator, hint="iterable"), hint="kv")
    accumulators = _collection(expansion, source, f"{leaf.id}/accumulators", partial)
    groups = _collection(expansion, result, f"{leaf.id}/groups", grouped)
    merged = _collection(expansion, result, f"{leaf.id}/merged", partial)
    for suffix, urn, one, other in (
        ("/precombine", T.COMBINE_PER_KEY_PRECOMBINE, source, accumulators),
        ("/group", T.GROUP_BY_KEY, accumulators, groups),
        ("/merge", T.COMBINE_PER_KEY_MERGE_ACCUMULATORS, groups, merged),
        ("/extract", T.COMBINE_PER_KEY_EXTRACT_OUTPUTS, merged, result),
    ):
        _derived(expansion, leaf, suffix, urn, {"in": one}, {"out": other})


def _par_do(leaf: Leaf, expansion: Expansion) -> None:
    step = _step(leaf.id, leaf.transform, leaf.environment)
    if not step.pardo.restriction_coder_id:
        expansion.steps.append(step)
        return
    # A splittable DoFn: pair, split and size, process (P-PIPE-16). The last keeps the submitted id.
    coders = expansion.coders
    main_name = next(name for name in step.transform.inputs if name not in step.sides)
    element = expansion.collections[step.main].coder_id
    pair = coders.add(urns.Coder.KV, element, step.pardo.restriction_coder_id, hint="kv")
    double = coders.add(urns.Coder.DOUBLE, hint="double")
    sized = coders.add(urns.Coder.KV, pair, double, hint="kv")
    paired = _collection(expansion, step.main, f"{leaf.id}/paired", pair)
    restrictions = _collection(expansion, step.main, f"{leaf.id}/sized", sized)
    sides = step.sides
    _derived(expansion, leaf, "/pair", T.PAIR_WITH_RESTRICTION, {main_name: step.main, **sides}, {"out": paired})
    _derived(expansion, leaf, "/split", T.SPLIT_AND_SIZE_RESTRICTIONS, {main_name: paired, **sides}, {"out": restrictions})
    step.transform.spec.urn = T.PROCESS_SIZED_ELEMENTS_AND_RESTRICTIONS
    step.transform.inputs[main_name] = restrictions
    step.main = restrictions
    expansion.steps.append(step)
