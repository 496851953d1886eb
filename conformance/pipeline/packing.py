"""Merges independent pipelines into one job: every id and unique name prefixed, environments and requirements shared.

Nothing else is changed, so a program means the same alone and packed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from conformance.pipeline.errors import PipelineError
from conformance.wire import urns
from conformance.wire.api import pipeline_pb2 as pb

__all__ = ["pack"]


def pack(parts: Sequence[tuple[str, pb.Pipeline]]) -> pb.Pipeline:
    """One pipeline of all `parts`, given as (prefix, pipeline). Environments of the same id must be the same.

    Raises PipelineError for prefixes that are not distinct and for environments that differ.
    """
    prefixes = [prefix for prefix, _ in parts]
    if len(set(prefixes)) != len(prefixes):
        raise PipelineError([f"the prefixes {prefixes} are not distinct"])
    merged = pb.Pipeline()
    requirements: dict[str, None] = {}
    for prefix, pipeline in parts:
        _add(merged, pipeline, f"{prefix}.", f"{prefix}/")
        requirements.update(dict.fromkeys(pipeline.requirements))
        merged.display_data.extend(pipeline.display_data)
    merged.requirements.extend(requirements)
    return merged


def _add(merged: pb.Pipeline, part: pb.Pipeline, prefix: str, path: str) -> None:
    source, target = part.components, merged.components
    for environment_id, environment in source.environments.items():
        if environment_id in target.environments and target.environments[environment_id] != environment:
            raise PipelineError([f"two parts have an environment {environment_id!r} each, and they differ"])
        target.environments[environment_id].CopyFrom(environment)
    for coder_id, coder in source.coders.items():
        renamed = target.coders[prefix + coder_id]
        renamed.CopyFrom(coder)
        _rename(renamed.component_coder_ids, prefix)
    for strategy_id, strategy in source.windowing_strategies.items():
        copy = target.windowing_strategies[prefix + strategy_id]
        copy.CopyFrom(strategy)
        copy.window_coder_id = prefix + strategy.window_coder_id
    for collection_id, collection in source.pcollections.items():
        made = target.pcollections[prefix + collection_id]
        made.CopyFrom(collection)
        made.unique_name = path + collection.unique_name
        made.coder_id = prefix + collection.coder_id
        made.windowing_strategy_id = prefix + collection.windowing_strategy_id
    for transform_id, transform in source.transforms.items():
        placed = target.transforms[prefix + transform_id]
        placed.CopyFrom(transform)
        placed.unique_name = path + transform.unique_name
        _rename(placed.subtransforms, prefix)
        for ports in (placed.inputs, placed.outputs):
            for local in ports:
                ports[local] = prefix + ports[local]
        rewrite = _PAYLOADS.get(transform.spec.urn)
        if rewrite is not None and transform.spec.payload:
            placed.spec.payload = rewrite(transform.spec.payload, prefix)
    merged.root_transform_ids.extend(prefix + root for root in part.root_transform_ids)


def _rename(ids: Iterable[str], prefix: str) -> None:
    """Prefix a repeated field of ids in place."""
    renamed = [prefix + each for each in ids]
    del ids[:]  # type: ignore[attr-defined]
    ids.extend(renamed)  # type: ignore[attr-defined]


def _par_do(payload: bytes, prefix: str) -> bytes:
    par_do = pb.ParDoPayload.FromString(payload)
    if par_do.restriction_coder_id:
        par_do.restriction_coder_id = prefix + par_do.restriction_coder_id
    for family in par_do.timer_family_specs.values():
        family.timer_family_coder_id = prefix + family.timer_family_coder_id
    for spec in par_do.state_specs.values():
        kind = spec.WhichOneof("spec")
        if kind is None:
            continue
        body = getattr(spec, kind)
        for field in body.DESCRIPTOR.fields:
            if field.name.endswith("coder_id") and getattr(body, field.name):
                setattr(body, field.name, prefix + getattr(body, field.name))
    return par_do.SerializeToString(deterministic=True)


def _combine(payload: bytes, prefix: str) -> bytes:
    combine = pb.CombinePayload.FromString(payload)
    if combine.accumulator_coder_id:
        combine.accumulator_coder_id = prefix + combine.accumulator_coder_id
    return combine.SerializeToString(deterministic=True)


def _test_stream(payload: bytes, prefix: str) -> bytes:
    stream = pb.TestStreamPayload.FromString(payload)
    stream.coder_id = prefix + stream.coder_id
    return stream.SerializeToString(deterministic=True)


_T = urns.Transform
#: The payloads that name coders.
_PAYLOADS: dict[str, Callable[[bytes, str], bytes]] = {
    _T.PAR_DO: _par_do,
    _T.TEST_STREAM: _test_stream,
    **dict.fromkeys(
        (
            _T.COMBINE_PER_KEY,
            _T.COMBINE_GLOBALLY,
            _T.COMBINE_PER_KEY_PRECOMBINE,
            _T.COMBINE_PER_KEY_MERGE_ACCUMULATORS,
            _T.COMBINE_PER_KEY_EXTRACT_OUTPUTS,
            _T.COMBINE_PER_KEY_CONVERT_TO_ACCUMULATORS,
            _T.COMBINE_GROUPED_VALUES,
        ),
        _combine,
    ),
}
