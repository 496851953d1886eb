"""TestStream payloads: what is wrong with one, and how its events are read.

Elements of a TestStream are the one place where bytes are in the outer context (P-COD-01), in the coder that the payload names;
Beam's Go SDK alone writes them nested. `encoder` brings them into the wire coder of their PCollection: where the runner reads all of
the coder it decodes and encodes; of anything else it knows no more than that a length prefix holds an outer encoding, so such an
output leaves the TestStream behind a length prefix, and the SDK unpacks it (`graph`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from conformance.runner import cutting
from conformance.runner.plan import Add, Move, Pass, ScriptEvent
from conformance.wire import coders, timestamps, urns

__all__ = ["ScriptError", "encoder", "output_of", "problem", "reader"]

#: The Go SDK's coder of its own; nested, it is behind a length prefix.
GO_CUSTOM = "beam:go:coder:custom:v1"


class ScriptError(ValueError):
    """An event of a TestStream that cannot be played."""


def output_of(tag: str, outputs: Mapping[str, str]) -> str:
    """The PCollection that a tag names; the only one if it names none. Raises ScriptError."""
    if tag in outputs:
        return outputs[tag]
    if len(outputs) == 1:
        return next(iter(outputs.values()))
    raise ScriptError(f"tag {tag!r} is none of the outputs {', '.join(sorted(map(repr, outputs)))}")


def encoder(coder_id: str, wire_id: str, protos: Mapping[str, Any], nested: bool = False) -> Callable[[bytes], bytes]:
    """From a payload's encoding to the nested one in the wire coder. Raises ScriptError on bytes that do not decode.

    `nested`: the payload was written by the Go SDK (P-COD-01).
    """
    urn = protos[coder_id].spec.urn
    if protos[wire_id].spec.urn == urns.Coder.LENGTH_PREFIX != urn and not (nested and urn == GO_CUSTOM):
        return lambda data: cutting.encode_varint(len(data)) + data
    if nested and not _readable(coder_id, protos):
        return bytes
    table = coders.CoderTable(protos, lambda proto: coders.opaque(proto.spec.urn))
    coder, wire = table[coder_id], table[wire_id]

    def encode(data: bytes) -> bytes:
        try:
            return wire.encode(coder.decode(data, nested=nested))
        except coders.CoderError as error:
            raise ScriptError(f"an element does not decode in the coder {coder_id!r} of the payload: {error}") from None

    return encode


def reader(outputs: Mapping[str, str], encoders: Mapping[str, Callable[[bytes], bytes]]) -> Callable[[Any], ScriptEvent]:
    """Reads one Event message. `outputs`: tag → PCollection, `encoders`: PCollection → encoder."""

    def read(event: Any) -> ScriptEvent:
        case = event.WhichOneof("event")
        if case == "watermark_event":
            inner = event.watermark_event
            mark = min(max(inner.new_watermark, timestamps.MIN), timestamps.MAX)
            return Move(output_of(inner.tag, outputs), mark)
        if case == "processing_time_event":
            return Pass(event.processing_time_event.advance_duration)
        if case == "element_event":
            inner = event.element_event
            collection = output_of(inner.tag, outputs)
            encode = encoders[collection]
            elements = (  # in the global window, no firing (M-TS-02)
                cutting.windowed_value(each.timestamp, [b""], b"\x0f", encode(each.encoded_element)) for each in inner.elements
            )
            return Add(collection, (b"".join(elements),) if inner.elements else ())
        raise ScriptError("an event that is neither elements nor a move of watermark or processing time")

    return read


def problem(payload: Any, outputs: Mapping[str, str], protos: Mapping[str, Any], nested: bool = False) -> str | None:
    """What makes a payload unplayable."""
    if payload.coder_id not in protos:
        return f"dangling id: coder {payload.coder_id!r}"
    encode: Callable[[bytes], bytes] = bytes
    if _readable(payload.coder_id, protos):
        encode = encoder(payload.coder_id, payload.coder_id, protos, nested)
    if payload.endpoint.url:  # its events come from there, those of the payload do not count; an SDK may leave the url empty
        return None
    read = reader(outputs, dict.fromkeys(outputs.values(), encode))
    marks: dict[str, int] = {}
    try:
        for event in map(read, payload.events):
            if isinstance(event, Pass) and event.by < 0:
                return f"processing time moves back by {-event.by} ms"
            if isinstance(event, Move):
                if event.watermark < marks.get(event.collection, timestamps.MIN):
                    return f"the watermark of {event.collection!r} moves back to {event.watermark}"
                marks[event.collection] = event.watermark
    except ScriptError as error:
        return str(error)
    return None


def _readable(coder_id: str, protos: Mapping[str, Any]) -> bool:
    coder = protos[coder_id]
    if coder.spec.urn == urns.Coder.LENGTH_PREFIX:
        return True
    return coder.spec.urn in cutting.KNOWN_CODERS and all(_readable(each, protos) for each in coder.component_coder_ids)
