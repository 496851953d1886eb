"""Events of a TestStream as data. Times are milliseconds."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from attrs import field, frozen

from conformance.pipeline.coders import CoderSpec
from conformance.pipeline.encoding import encode
from conformance.wire import timestamps
from conformance.wire.api import pipeline_pb2 as pb

__all__ = ["Elements", "Event", "ProcessingTime", "Watermark", "payload", "to_infinity"]

_Events = pb.TestStreamPayload.Event


def _pairs(elements: Iterable[tuple[Any, int]]) -> tuple[tuple[Any, int], ...]:
    return tuple((value, timestamp) for value, timestamp in elements)


@frozen
class Elements:
    """(value, timestamp) pairs, arriving together; `tag` names the output when there are several."""

    elements: Sequence[tuple[Any, int]] = field(converter=_pairs)
    tag: str = ""


@frozen
class Watermark:
    """The watermark moves to this instant."""

    to: int
    tag: str = ""


@frozen
class ProcessingTime:
    """The synthetic clock moves on by this much."""

    by: int


Event = Elements | Watermark | ProcessingTime


def to_infinity(tag: str = "") -> Watermark:
    """The watermark at the end of time."""
    return Watermark(timestamps.MAX, tag)


def _event(event: Event, coder: CoderSpec) -> pb.TestStreamPayload.Event:
    if isinstance(event, Elements):
        elements = [
            # The one place where elements are encoded in the outer context (P-COD-01).
            pb.TestStreamPayload.TimestampedElement(encoded_element=encode(coder, value, nested=False), timestamp=timestamp)
            for value, timestamp in event.elements
        ]
        return _Events(element_event=_Events.AddElements(elements=elements, tag=event.tag))
    if isinstance(event, Watermark):
        return _Events(watermark_event=_Events.AdvanceWatermark(new_watermark=event.to, tag=event.tag))
    return _Events(processing_time_event=_Events.AdvanceProcessingTime(advance_duration=event.by))


def payload(events: Iterable[Event], coder: CoderSpec, coder_id: str) -> pb.TestStreamPayload:
    """The payload of a TestStream transform."""
    return pb.TestStreamPayload(coder_id=coder_id, events=[_event(event, coder) for event in events])
