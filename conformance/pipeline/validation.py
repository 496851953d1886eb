"""Is a pipeline valid? Every rule of section 3.1 of the protocol is looked at; all violations are told at once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator

from google.protobuf.message import DecodeError

from conformance.pipeline.errors import PipelineError
from conformance.wire import urns
from conformance.wire.api import pipeline_pb2 as pb

__all__ = ["validate", "violations"]

_T = urns.Transform
#: Component counts of the standard coders (P-COD-04); the others have none.
_COMPONENTS = {
    urns.Coder.KV: 2,
    urns.Coder.ITERABLE: 1,
    urns.Coder.STATE_BACKED_ITERABLE: 1,
    urns.Coder.LENGTH_PREFIX: 1,
    urns.Coder.NULLABLE: 1,
    urns.Coder.SHARDED_KEY: 1,
    urns.Coder.CUSTOM_WINDOW: 1,
    urns.Coder.WINDOWED_VALUE: 2,
    urns.Coder.PARAM_WINDOWED_VALUE: 2,
    urns.Coder.TIMER: 2,
    urns.Coder.BYTES: 0,
    urns.Coder.STRING_UTF8: 0,
    urns.Coder.VARINT: 0,
    urns.Coder.BOOL: 0,
    urns.Coder.DOUBLE: 0,
    urns.Coder.GLOBAL_WINDOW: 0,
    urns.Coder.INTERVAL_WINDOW: 0,
    urns.Coder.ROW: 0,
}
_RUNNER_ONLY = {_T.IMPULSE, _T.GROUP_BY_KEY}
#: Leaves that a runner may execute itself; the others run in an SDK and need an environment.
_ENVIRONMENT_OPTIONAL = {*_RUNNER_ONLY, _T.TEST_STREAM, _T.FLATTEN, _T.ASSIGN_WINDOWS, _T.RESHUFFLE}
_COMBINE_PAYLOAD = {
    _T.COMBINE_PER_KEY,
    _T.COMBINE_GLOBALLY,
    _T.COMBINE_GROUPED_VALUES,
    _T.COMBINE_PER_KEY_PRECOMBINE,
    _T.COMBINE_PER_KEY_MERGE_ACCUMULATORS,
    _T.COMBINE_PER_KEY_EXTRACT_OUTPUTS,
    _T.COMBINE_PER_KEY_CONVERT_TO_ACCUMULATORS,
}
_KNOWN_REQUIREMENTS = {value for name, value in vars(urns.Requirement).items() if name.startswith("REQUIRES")}
_ARITIES: dict[str, tuple[int | None, int | None]] = {
    _T.IMPULSE: (0, 1),
    _T.GROUP_BY_KEY: (1, 1),
    _T.FLATTEN: (None, 1),
    _T.ASSIGN_WINDOWS: (1, 1),
    _T.TEST_STREAM: (0, None),
    _T.RESHUFFLE: (1, 1),
}


def violations(pipeline: pb.Pipeline) -> list[str]:
    """Every violation, each beginning with its rule; empty for a valid pipeline."""
    return [found for rule in _RULES for found in rule(pipeline)]


def validate(pipeline: pb.Pipeline) -> None:
    """Raises PipelineError with every violation of P-PIPE-01..08 and P-COD-04."""
    if found := violations(pipeline):
        raise PipelineError(found)


def _references(pipeline: pb.Pipeline) -> Iterator[str]:
    """P-PIPE-01: every id that something refers to exists."""
    parts = pipeline.components

    def missing(kind: str, known: object, owner: str, role: str, ids: object) -> Iterator[str]:
        for each in ids:  # type: ignore[attr-defined]
            if each not in known:  # type: ignore[operator]
                yield f"P-PIPE-01: {owner} names {role} {each!r}, which is not among the {kind}"

    yield from missing("transforms", parts.transforms, "the pipeline", "root", pipeline.root_transform_ids)
    for transform_id, transform in parts.transforms.items():
        owner = f"transform {transform_id!r}"
        yield from missing("transforms", parts.transforms, owner, "subtransform", transform.subtransforms)
        yield from missing("pcollections", parts.pcollections, owner, "input", transform.inputs.values())
        yield from missing("pcollections", parts.pcollections, owner, "output", transform.outputs.values())
        if transform.environment_id:
            yield from missing("environments", parts.environments, owner, "environment", [transform.environment_id])
    for collection_id, collection in parts.pcollections.items():
        owner = f"PCollection {collection_id!r}"
        yield from missing("coders", parts.coders, owner, "coder", [collection.coder_id])
        strategy = [collection.windowing_strategy_id]
        yield from missing("windowing strategies", parts.windowing_strategies, owner, "windowing strategy", strategy)
    for coder_id, coder in parts.coders.items():
        yield from missing("coders", parts.coders, f"coder {coder_id!r}", "component", coder.component_coder_ids)
    for strategy_id, strategy_proto in parts.windowing_strategies.items():
        owner = f"windowing strategy {strategy_id!r}"
        yield from missing("coders", parts.coders, owner, "window coder", [strategy_proto.window_coder_id])
        if strategy_proto.environment_id:
            yield from missing("environments", parts.environments, owner, "environment", [strategy_proto.environment_id])


def _names(pipeline: pb.Pipeline) -> Iterator[str]:
    """P-PIPE-01: unique names are unique a kind, and not empty."""
    parts = pipeline.components
    for kind, protos in (("transforms", parts.transforms), ("PCollections", parts.pcollections)):
        counts = Counter(proto.unique_name for proto in protos.values())
        for name, count in counts.items():
            if count > 1:
                yield f"P-PIPE-01: {count} {kind} share the unique name {name!r}"
            if not name:
                yield f"P-PIPE-01: one of the {kind} has no unique name"


def _leaf(transform: pb.PTransform) -> bool:
    # An empty composite returns its input; everything else without subtransforms is executed (P-PIPE-03).
    inputs = set(transform.inputs.values())
    returns_input = bool(transform.outputs) and all(output in inputs for output in transform.outputs.values())
    return not transform.subtransforms and not returns_input


def _producers(pipeline: pb.Pipeline) -> Iterator[str]:
    """P-PIPE-02: one producer leaf a PCollection, and one at least when something consumes it; no cycle, one parent each."""
    parts = pipeline.components
    leaves = {transform_id: proto for transform_id, proto in parts.transforms.items() if _leaf(proto)}
    made: dict[str, str] = {}
    for transform_id, transform in leaves.items():
        for output in transform.outputs.values():
            if output in made:
                yield f"P-PIPE-02: PCollection {output!r} is produced by {made[output]!r} and by {transform_id!r}"
            made[output] = transform_id
    for transform_id, transform in leaves.items():
        for local, collection in transform.inputs.items():
            if collection not in made and collection in parts.pcollections:
                yield f"P-PIPE-02: input {local!r} of {transform_id!r} is {collection!r}, which no transform produces"
    parents = Counter(child for transform in parts.transforms.values() for child in transform.subtransforms)
    parents.update(pipeline.root_transform_ids)
    for transform_id in parts.transforms:
        if parents[transform_id] != 1:
            yield f"P-PIPE-02: transform {transform_id!r} has {parents[transform_id]} parents (roots count as one), needs one"
    order = {leaf: {made[i] for i in proto.inputs.values() if i in made} for leaf, proto in leaves.items()}
    while ready := [leaf for leaf, waits in order.items() if not waits & order.keys()]:
        for leaf in ready:
            del order[leaf]
    if order:
        yield f"P-PIPE-02: the transforms {sorted(order)} wait for each other in a cycle"


def _shapes(pipeline: pb.Pipeline) -> Iterator[str]:
    """P-PIPE-03: leaves have a spec, and the number of inputs and outputs that their URN asks for."""
    for transform_id, transform in pipeline.components.transforms.items():
        if transform.subtransforms:
            continue
        if not transform.spec.urn and _leaf(transform):
            yield f"P-PIPE-03: leaf {transform_id!r} has no URN"
        arity = _ARITIES.get(transform.spec.urn)
        if arity is None:
            continue
        for kind, wanted, found in (("inputs", arity[0], transform.inputs), ("outputs", arity[1], transform.outputs)):
            if wanted is not None and len(found) != wanted:
                yield f"P-PIPE-03: {transform.spec.urn} {transform_id!r} has {len(found)} {kind}, needs {wanted}"


def _environments(pipeline: pb.Pipeline) -> Iterator[str]:
    """P-PIPE-04: an environment on each leaf that an SDK runs, none on those that only a runner can run."""
    for transform_id, transform in pipeline.components.transforms.items():
        urn = transform.spec.urn
        if urn in _RUNNER_ONLY and transform.environment_id:
            yield f"P-PIPE-04: {urn} {transform_id!r} has an environment; only runners execute it"
        if _leaf(transform) and urn.startswith("beam:") and urn not in _ENVIRONMENT_OPTIONAL and not transform.environment_id:
            yield f"P-PIPE-04: leaf {transform_id!r} ({urn}) has no environment"


def _requirements(pipeline: pb.Pipeline) -> Iterator[str]:
    """P-PIPE-05: what payloads use is listed, and what is listed is known."""
    from conformance.pipeline.builder import required  # the builder imports this module

    try:
        used = set(required(pipeline))
    except DecodeError:
        return  # told by _payloads
    listed = set(pipeline.requirements)
    for urn in sorted(used - listed):
        yield f"P-PIPE-05: a ParDo uses {urn}, which requirements do not list"
    for urn in sorted(listed - _KNOWN_REQUIREMENTS):
        yield f"P-PIPE-05: requirement {urn} is unknown"


def _pardo(transform_id: str, transform: pb.PTransform, pipeline: pb.Pipeline) -> Iterator[str]:
    parts = pipeline.components
    payload = pb.ParDoPayload.FromString(transform.spec.payload)
    if not payload.do_fn.urn:
        yield f"P-PIPE-07: ParDo {transform_id!r} has no do_fn"
    for local in payload.side_inputs:
        if local not in transform.inputs:
            yield f"P-PIPE-07: ParDo {transform_id!r} declares side input {local!r}, which is not among its inputs"
    main = [local for local in transform.inputs if local not in payload.side_inputs]
    if len(main) != 1:
        yield f"P-PIPE-07: ParDo {transform_id!r} has {len(main)} main inputs {main}, needs one"
    if len(main) == 1 and (payload.state_specs or payload.timer_family_specs):
        collection = parts.pcollections.get(transform.inputs[main[0]])
        coder = parts.coders.get(collection.coder_id) if collection is not None else None
        if coder is not None and coder.spec.urn != urns.Coder.KV:
            yield f"P-PIPE-07: stateful ParDo {transform_id!r} has main input coder {coder.spec.urn}, needs {urns.Coder.KV}"
    coder_ids: list[tuple[str, str]] = []
    if payload.restriction_coder_id:
        coder_ids.append(("restriction coder", payload.restriction_coder_id))
    for family, timer in payload.timer_family_specs.items():
        coder_ids.append((f"coder of timer family {family!r}", timer.timer_family_coder_id))
        if timer.time_domain == pb.TimeDomain.UNSPECIFIED:
            yield f"P-PIPE-07: timer family {family!r} of {transform_id!r} has no time domain"
    for state_id, spec in payload.state_specs.items():
        kind = spec.WhichOneof("spec")
        if kind is None:
            yield f"P-PIPE-07: state {state_id!r} of {transform_id!r} has no spec"
            continue
        if not spec.protocol.urn:
            yield f"P-PIPE-07: state {state_id!r} of {transform_id!r} has no protocol"
        for name, value in getattr(spec, kind).ListFields():
            if name.name.endswith("coder_id"):
                coder_ids.append((f"coder of state {state_id!r}", value))
    for role, coder_id in coder_ids:
        if coder_id not in parts.coders:
            yield f"P-PIPE-01: ParDo {transform_id!r} names {role} {coder_id!r}, which is not among the coders"
    expiry = payload.on_window_expiration_timer_family_spec
    if expiry and expiry not in payload.timer_family_specs:
        yield f"P-PIPE-07: ParDo {transform_id!r} expires windows by timer family {expiry!r}, which it does not declare"


def _payloads(pipeline: pb.Pipeline) -> Iterator[str]:
    """P-PIPE-07 and P-PIPE-08: payloads parse and are complete."""
    coders = pipeline.components.coders
    for transform_id, transform in pipeline.components.transforms.items():
        urn, payload = transform.spec.urn, transform.spec.payload
        try:
            if urn == _T.PAR_DO:
                yield from _pardo(transform_id, transform, pipeline)
            elif urn in _COMBINE_PAYLOAD:
                combine = pb.CombinePayload.FromString(payload)
                if not combine.combine_fn.urn:
                    yield f"P-PIPE-08: combine {transform_id!r} has no combine_fn"
                if combine.accumulator_coder_id not in coders:
                    yield f"P-PIPE-01: combine {transform_id!r} names accumulator coder {combine.accumulator_coder_id!r}"
            elif urn == _T.ASSIGN_WINDOWS:
                if not pb.WindowIntoPayload.FromString(payload).window_fn.urn:
                    yield f"P-PIPE-08: window_into {transform_id!r} has no window_fn"
            elif urn == _T.TEST_STREAM:
                stream = pb.TestStreamPayload.FromString(payload)
                if stream.coder_id not in coders:
                    yield f"P-PIPE-01: TestStream {transform_id!r} names coder {stream.coder_id!r}"
            elif urn in (_T.IMPULSE, _T.FLATTEN, _T.GROUP_BY_KEY) and payload:
                yield f"P-PIPE-08: {urn} {transform_id!r} has a payload of {len(payload)} bytes, needs none"
        except DecodeError:
            yield f"P-PIPE-08: the payload of {urn} {transform_id!r} does not parse"


def _groupings(pipeline: pb.Pipeline) -> Iterator[str]:
    """P-PIPE-14: a GroupByKey reads KV<K, V> and writes KV<K, Iterable<V>>."""
    parts = pipeline.components

    def coder_of(collection_id: str) -> pb.Coder | None:
        collection = parts.pcollections.get(collection_id)
        return parts.coders.get(collection.coder_id) if collection is not None else None

    for transform_id, transform in parts.transforms.items():
        if transform.spec.urn != _T.GROUP_BY_KEY or len(transform.inputs) != 1 or len(transform.outputs) != 1:
            continue
        for role, ends in (("input", transform.inputs), ("output", transform.outputs)):
            coder = coder_of(next(iter(ends.values())))
            if coder is not None and coder.spec.urn != urns.Coder.KV:
                yield f"P-PIPE-14: the {role} of GroupByKey {transform_id!r} has coder {coder.spec.urn}, needs {urns.Coder.KV}"


def _coders(pipeline: pb.Pipeline) -> Iterator[str]:
    """P-COD-04: standard coders have the right number of components."""
    for coder_id, coder in pipeline.components.coders.items():
        wanted = _COMPONENTS.get(coder.spec.urn)
        if wanted is not None and wanted != len(coder.component_coder_ids):
            found = len(coder.component_coder_ids)
            yield f"P-COD-04: coder {coder_id!r} ({coder.spec.urn}) has {found} components, needs {wanted}"


def _strategies(pipeline: pb.Pipeline) -> Iterator[str]:
    """Every enum of a strategy says something, and a trigger is there (M-TRIG-28)."""
    fields = ("merge_status", "accumulation_mode", "output_time", "closing_behavior", "on_time_behavior")
    for strategy_id, strategy in pipeline.components.windowing_strategies.items():
        for name in fields:
            if not getattr(strategy, name):
                yield f"M-TRIG-28: windowing strategy {strategy_id!r} leaves {name} unspecified"
        if not strategy.trigger.WhichOneof("trigger"):
            yield f"M-TRIG-28: windowing strategy {strategy_id!r} has no trigger"
        if not strategy.window_fn.urn:
            yield f"M-WIN-14: windowing strategy {strategy_id!r} has no window function"


_RULES: tuple[Callable[[pb.Pipeline], Iterator[str]], ...] = (
    _references,
    _names,
    _producers,
    _shapes,
    _environments,
    _requirements,
    _payloads,
    _groupings,
    _coders,
    _strategies,
)
