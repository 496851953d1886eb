"""Merges independent pipelines into one, so that many programs share a job: ids and unique names get a prefix, environments are shared."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from conformance.pipeline.errors import PipelineError
from conformance.wire import urns
from conformance.wire.api import pipeline_pb2 as pb

__all__ = ["pack"]

_T = urns.Transform
#: Which payloads name coders, and where.
_COMBINES = {
    _T.COMBINE_PER_KEY,
    _T.COMBINE_GLOBALLY,
    _T.COMBINE_GROUPED_VALUES,
    _T.COMBINE_PER_KEY_PRECOMBINE,
    _T.COMBINE_PER_KEY_MERGE_ACCUMULATORS,
    _T.COMBINE_PER_KEY_EXTRACT_OUTPUTS,
    _T.COMBINE_PER_KEY_CONVERT_TO_ACCUMULATORS,
}


def _par_do(payload: bytes, rename: Callable[[str], str]) -> bytes:
    message = pb.ParDoPayload.FromString(payload)
    message.restriction_coder_id = rename(message.restriction_coder_id)
    for timer in message.timer_family_specs.values():
        timer.timer_family_coder_id = rename(timer.timer_family_coder_id)
    for state in message.state_specs.values():
        kind = state.WhichOneof("spec")
        if kind is not None:
            spec = getattr(state, kind)
            for name, value in spec.ListFields():
                if name.name.endswith("coder_id"):
                    setattr(spec, name.name, rename(value))
    return message.SerializeToString(deterministic=True)


def _payload(spec: pb.FunctionSpec, rename: Callable[[str], str]) -> bytes:
    if spec.urn == _T.PAR_DO:
        return _par_do(spec.payload, rename)
    if spec.urn in _COMBINES:
        combine = pb.CombinePayload.FromString(spec.payload)
        combine.accumulator_coder_id = rename(combine.accumulator_coder_id)
        return combine.SerializeToString(deterministic=True)
    if spec.urn == _T.TEST_STREAM:
        stream = pb.TestStreamPayload.FromString(spec.payload)
        stream.coder_id = rename(stream.coder_id)
        return stream.SerializeToString(deterministic=True)
    return spec.payload


class _Merge:
    """The pipeline that grows, and the environments that it has by their content."""

    def __init__(self) -> None:
        self.result = pb.Pipeline()
        self._environments: dict[bytes, str] = {}
        #: Coders and strategies are told by content too: a hundred branches need them once (P-COD-05).
        self._coders: dict[bytes, str] = {}
        self._strategies: dict[bytes, str] = {}

    def add(self, prefix: str, pipeline: pb.Pipeline) -> None:
        parts, target = pipeline.components, self.result.components
        environments = {key: self._environment(prefix, key, value) for key, value in parts.environments.items()}
        coders: dict[str, str] = {}

        def coder(coder_id: str) -> str:
            if coder_id not in parts.coders:
                return coder_id  # empty, or dangling on purpose
            if coder_id not in coders:
                proto = pb.Coder()
                proto.CopyFrom(parts.coders[coder_id])
                components = [coder(part) for part in proto.component_coder_ids]
                del proto.component_coder_ids[:]
                proto.component_coder_ids.extend(components)
                content = proto.SerializeToString(deterministic=True)
                known = self._coders.setdefault(content, f"{prefix}.{coder_id}")
                target.coders[known].CopyFrom(proto)
                coders[coder_id] = known
            return coders[coder_id]

        for coder_id in parts.coders:
            coder(coder_id)
        strategies: dict[str, str] = {}
        for strategy_id, strategy in parts.windowing_strategies.items():
            proto = pb.WindowingStrategy()
            proto.CopyFrom(strategy)
            proto.window_coder_id = coder(proto.window_coder_id)
            proto.environment_id = environments.get(proto.environment_id, proto.environment_id)
            known = self._strategies.setdefault(proto.SerializeToString(deterministic=True), f"{prefix}.{strategy_id}")
            target.windowing_strategies[known].CopyFrom(proto)
            strategies[strategy_id] = known
        for collection_id, collection in parts.pcollections.items():
            moved = target.pcollections[f"{prefix}.{collection_id}"]
            moved.CopyFrom(collection)
            moved.unique_name = f"{prefix}/{collection.unique_name}"
            moved.coder_id = coder(collection.coder_id)
            moved.windowing_strategy_id = strategies.get(collection.windowing_strategy_id, collection.windowing_strategy_id)
        for transform_id, transform in parts.transforms.items():
            placed = target.transforms[f"{prefix}.{transform_id}"]
            placed.CopyFrom(transform)
            placed.unique_name = f"{prefix}/{transform.unique_name}"
            placed.environment_id = environments.get(transform.environment_id, transform.environment_id)
            for ends in (placed.inputs, placed.outputs):
                for local in list(ends):
                    ends[local] = f"{prefix}.{ends[local]}"
            del placed.subtransforms[:]
            placed.subtransforms.extend(f"{prefix}.{child}" for child in transform.subtransforms)
            if transform.spec.urn:
                placed.spec.payload = _payload(transform.spec, coder)
        self.result.root_transform_ids.extend(f"{prefix}.{root}" for root in pipeline.root_transform_ids)
        self.result.display_data.extend(pipeline.display_data)
        self.result.requirements.extend(urn for urn in pipeline.requirements if urn not in self.result.requirements)

    def _environment(self, prefix: str, environment_id: str, environment: pb.Environment) -> str:
        content = environment.SerializeToString(deterministic=True)
        known = self._environments.get(content)
        if known is None:
            taken = environment_id in self.result.components.environments
            known = self._environments[content] = f"{prefix}.{environment_id}" if taken else environment_id
            self.result.components.environments[known].CopyFrom(environment)
        return known


def pack(pipelines: Iterable[tuple[str, pb.Pipeline]]) -> pb.Pipeline:
    """One pipeline of all: `prefix.` before each id and `prefix/` before each unique name. Equal environments, coders and strategies
    become one. Raises PipelineError if a prefix comes twice."""
    merge = _Merge()
    seen: set[str] = set()
    for prefix, pipeline in pipelines:
        if prefix in seen:
            raise PipelineError([f"P-PIPE-01: prefix {prefix!r} is given to two pipelines, whose ids would collide"])
        seen.add(prefix)
        merge.add(prefix, pipeline)
    return merge.result
