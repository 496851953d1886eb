"""From a coder of a pipeline to one that reads and writes bytes, our own JSON coder included."""

from __future__ import annotations

import json
from typing import Any

from conformance.pipeline.coders import JSON_URN, CoderSpec
from conformance.pipeline.values import from_json, to_json
from conformance.wire import coders, urns
from conformance.wire.api import pipeline_pb2 as pb
from conformance.wire.api import schema_pb2

__all__ = ["JsonCoder", "decode", "encode", "own_coder", "resolve"]


_BYTES = coders.bytes_coder()


class JsonCoder(coders.Coder):
    """Any value of `conformance.pipeline.values`, as compact JSON; nested it carries its length in front."""

    __slots__ = ()

    def __init__(self) -> None:
        super().__init__(JSON_URN)

    def write(self, value: Any, out: bytearray, nested: bool) -> None:
        text = json.dumps(to_json(value), separators=(",", ":"), sort_keys=True)
        _BYTES.write(text.encode(), out, nested)

    def read(self, data: bytes, pos: int, end: int, nested: bool) -> tuple[Any, int]:
        text, after = _BYTES.read(data, pos, end, nested)
        try:
            return from_json(json.loads(text)), after
        except (ValueError, UnicodeDecodeError) as error:
            raise coders.CoderError(JSON_URN, pos, f"no JSON form of a value ({error})") from error


_JSON = JsonCoder()


def own_coder(proto: pb.Coder) -> coders.Coder | None:
    """A coder that is ours: that of a private URN, and the schema coder, whose layout Beam has not published: rows of the schema in its
    payload. None for any other. Made for `from_proto`'s `on_unknown`."""
    if proto.spec.urn == urns.Coder.SCHEMA:
        return coders.row(schema_pb2.Schema.FromString(proto.spec.payload))
    return _JSON if proto.spec.urn == JSON_URN else None


def resolve(spec: CoderSpec) -> coders.Coder:
    """The working coder of `spec`."""
    components = pb.Components()
    return coders.from_proto(spec.register(components), components.coders, own_coder)


def encode(spec: CoderSpec, value: Any, nested: bool = True) -> bytes:
    """`value` in the bytes of `spec`."""
    return resolve(spec).encode(value, nested)


def decode(spec: CoderSpec, data: bytes, nested: bool = True) -> Any:
    """The value that `data` holds."""
    return resolve(spec).decode(data, nested)
