"""Coders as a pipeline names them: URN, components, payload. What the bytes look like is `conformance.wire.coders`' business."""

from __future__ import annotations

import re
import uuid
from collections.abc import Iterable, Sequence
from typing import Any

from attrs import frozen

from conformance.wire import urns
from conformance.wire.api import pipeline_pb2 as pb
from conformance.wire.api import schema_pb2

__all__ = [
    "BOOL",
    "BYTES",
    "DOUBLE",
    "GLOBAL_WINDOW",
    "INTERVAL_WINDOW",
    "JSON",
    "JSON_URN",
    "OFFSET_RANGE",
    "STRING",
    "VARINT",
    "CoderSpec",
    "custom",
    "custom_window",
    "infer",
    "iterable",
    "kv",
    "length_prefix",
    "nullable",
    "row",
    "schema_id",
    "sharded_key",
    "state_backed_iterable",
    "timer",
    "windowed_value",
]

#: In which ids of schemas are made.
_SCHEMAS = uuid.UUID("6f1d9c4e-2f0b-5a57-9a6c-3b1f0c7a9e11")
#: A coder that no runner knows: the JSON form of `conformance.pipeline.values`, UTF-8.
JSON_URN = "beam-conformance:coder:json:v1"


@frozen
class CoderSpec:
    """A coder as data; equal specs become one coder of the pipeline."""

    urn: str
    components: tuple[CoderSpec, ...] = ()
    payload: bytes = b""

    def __str__(self) -> str:
        short = self.urn.removeprefix("beam:coder:").removeprefix("beam-conformance:coder:").removesuffix(":v1")
        return f"{short}<{', '.join(map(str, self.components))}>" if self.components else short

    def register(self, components: pb.Components, prefix: str = "") -> str:
        """The id of this coder in `components`, added with its component coders if it is not there yet."""
        component_ids = [component.register(components, prefix) for component in self.components]
        proto = pb.Coder(spec=pb.FunctionSpec(urn=self.urn, payload=self.payload), component_coder_ids=component_ids)
        base = prefix + "c_" + "_".join(re.findall(r"\w+", str(self)))
        coder_id, number = base, 2
        while coder_id in components.coders and components.coders[coder_id] != proto:
            coder_id, number = f"{base}{number}", number + 1
        components.coders[coder_id].CopyFrom(proto)
        return coder_id

    @classmethod
    def from_components(cls, coder_id: str, components: pb.Components) -> CoderSpec:
        """The spec of a coder that stands in `components`."""
        proto = components.coders[coder_id]
        parts = tuple(cls.from_components(part, components) for part in proto.component_coder_ids)
        return cls(proto.spec.urn, parts, proto.spec.payload)


BYTES = CoderSpec(urns.Coder.BYTES)
STRING = CoderSpec(urns.Coder.STRING_UTF8)
BOOL = CoderSpec(urns.Coder.BOOL)
VARINT = CoderSpec(urns.Coder.VARINT)
DOUBLE = CoderSpec(urns.Coder.DOUBLE)
GLOBAL_WINDOW = CoderSpec(urns.Coder.GLOBAL_WINDOW)
INTERVAL_WINDOW = CoderSpec(urns.Coder.INTERVAL_WINDOW)
JSON = CoderSpec(JSON_URN)


def kv(key: CoderSpec, value: CoderSpec) -> CoderSpec:
    return CoderSpec(urns.Coder.KV, (key, value))


def iterable(element: CoderSpec) -> CoderSpec:
    return CoderSpec(urns.Coder.ITERABLE, (element,))


def state_backed_iterable(element: CoderSpec) -> CoderSpec:
    return CoderSpec(urns.Coder.STATE_BACKED_ITERABLE, (element,))


def length_prefix(value: CoderSpec) -> CoderSpec:
    return CoderSpec(urns.Coder.LENGTH_PREFIX, (value,))


def nullable(value: CoderSpec) -> CoderSpec:
    return CoderSpec(urns.Coder.NULLABLE, (value,))


def sharded_key(key: CoderSpec) -> CoderSpec:
    return CoderSpec(urns.Coder.SHARDED_KEY, (key,))


def windowed_value(value: CoderSpec, window: CoderSpec) -> CoderSpec:
    return CoderSpec(urns.Coder.WINDOWED_VALUE, (value, window))


def timer(key: CoderSpec, window: CoderSpec) -> CoderSpec:
    return CoderSpec(urns.Coder.TIMER, (key, window))


def custom_window(window: CoderSpec) -> CoderSpec:
    return CoderSpec(urns.Coder.CUSTOM_WINDOW, (window,))


def schema_id(name: str) -> str:
    """The id of a schema: an RFC 4122 UUID made of its name, since some runners fail on any other form (P-COD-12)."""
    return str(uuid.uuid5(_SCHEMAS, name))


def row(schema: schema_pb2.Schema) -> CoderSpec:
    return CoderSpec(urns.Coder.ROW, (), schema.SerializeToString(deterministic=True))


def custom(urn: str, components: Sequence[CoderSpec] = (), payload: bytes = b"") -> CoderSpec:
    """A coder by any URN, known or not."""
    return CoderSpec(urn, tuple(components), payload)


#: Restrictions of the offset-range SDFs: KV<KV<start, end>, estimator state>.
OFFSET_RANGE = kv(kv(VARINT, VARINT), VARINT)


def _infer_one(value: Any) -> CoderSpec:
    # bool before int: True is an int.
    for kind, spec in ((bool, BOOL), (int, VARINT), (float, DOUBLE), (str, STRING), (bytes, BYTES)):
        if isinstance(value, kind):
            return spec
    if isinstance(value, tuple) and len(value) == 2:
        return kv(_infer_one(value[0]), _infer_one(value[1]))
    if isinstance(value, list) and value:
        return iterable(infer(value))
    return JSON


def infer(values: Iterable[Any]) -> CoderSpec:
    """The narrowest standard coder that fits all of `values`; JSON when none does or there are none."""
    found: CoderSpec | None = None
    for value in values:
        found = _infer_one(value) if found is None else _join(found, _infer_one(value))
    return found or JSON


def _join(left: CoderSpec, right: CoderSpec) -> CoderSpec:
    if left == right:
        return left
    if left.urn == right.urn and len(left.components) == len(right.components) and left.components:
        return CoderSpec(left.urn, tuple(_join(a, b) for a, b in zip(left.components, right.components, strict=True)))
    return JSON
