"""The transcript of a job: every message on every plane, in the order in which this process saw it.

Messages are kept by reference and never changed after they were appended; everything that judges a job (invariants, reports,
sequence diagrams) reads from here.
"""

from __future__ import annotations

import base64
import threading
import time
from collections.abc import Iterator, Mapping, MutableSequence
from typing import Any, Literal

from attrs import frozen
from google.protobuf import json_format
from google.protobuf.descriptor import FieldDescriptor

from conformance.wire import _pool

__all__ = ["Direction", "End", "Event", "Note", "Open", "Plane", "Transcript"]

Plane = Literal["control", "data", "state", "logging", "provision", "artifact", "pool", "job", "status"]
#: Runner to SDK, SDK to runner, client to runner, runner to client.
Direction = Literal["R->S", "S->R", "C->R", "R->C"]


@frozen
class Open:
    """The start of a call or stream: where to, and with which metadata."""

    target: str = ""
    metadata: tuple[tuple[str, str], ...] = ()


@frozen
class End:
    """The end of a call or stream: a gRPC status name ("OK", "CANCELLED", …) and its text."""

    status: str
    detail: str = ""


@frozen
class Note:
    """Something the recorder wants to be seen beside the messages: a fault that was injected, a local error."""

    text: str


@frozen
class Event:
    """One thing that crossed the wire.

    `stream` tells the streams of one plane and worker apart (the address that was dialled, and a suffix when there are
    several to it); unary calls leave request and answer as two events of the same `stream`.
    """

    seq: int
    time: float
    plane: Plane
    method: str
    direction: Direction
    worker_id: str
    message: Any
    stream: str = ""

    @property
    def kind(self) -> str:
        """The message's type name, or open, end, note."""
        if isinstance(self.message, Open | End | Note):
            return type(self.message).__name__.lower()
        return str(self.message.DESCRIPTOR.name)

    def to_json(self) -> dict[str, Any]:
        """The event as JSON-able values; bytes inside messages are base64 as protobuf's JSON form has them."""
        message = self.message
        body: Any
        if isinstance(message, Open):
            body = {"target": message.target, "metadata": dict(message.metadata)}
        elif isinstance(message, End):
            body = {"status": message.status, "detail": message.detail}
        elif isinstance(message, Note):
            body = {"text": message.text}
        else:
            body = _readable(message)
        result = {
            "seq": self.seq,
            "time": round(self.time, 6),
            "plane": self.plane,
            "method": self.method,
            "direction": self.direction,
            "worker_id": self.worker_id,
            "kind": self.kind,
            "message": body,
        }
        if self.stream:
            result["stream"] = self.stream
        return result


def _readable(message: Any) -> Any:
    """The message in protobuf's JSON form. That has no timestamps before year 1 or after 9999, where Beam's ends of time are: a
    message that holds one is rendered field by field, and such a timestamp as its seconds and nanos."""
    try:
        return json_format.MessageToDict(message, preserving_proto_field_name=True, descriptor_pool=_pool.POOL)
    except (json_format.SerializeToJsonError, ValueError):
        return {field.name: _field(field, value) for field, value in message.ListFields()}


def _field(field: FieldDescriptor, value: Any) -> Any:
    if field.message_type is not None and field.message_type.GetOptions().map_entry:
        inner = field.message_type.fields_by_name["value"]
        return {str(key): _field(inner, value[key]) for key in value}
    if isinstance(value, MutableSequence):
        return [_single(field, item) for item in value]
    return _single(field, value)


def _single(field: FieldDescriptor, value: Any) -> Any:
    if field.message_type is not None:
        return _readable(value)
    if field.enum_type is not None:
        known = field.enum_type.values_by_number.get(value)
        return known.name if known is not None else value
    return base64.b64encode(value).decode() if isinstance(value, bytes) else value


class Transcript:
    """An append-only list of events; appending is safe from any thread, and iterating sees what was there at the start."""

    def __init__(self) -> None:
        self._events: list[Event] = []
        self._lock = threading.Lock()

    def append(self, plane: Plane, method: str, direction: Direction, worker_id: str, message: Any, stream: str = "") -> Event:
        """Record one message now; the answer is its event."""
        with self._lock:
            event = Event(len(self._events), time.time(), plane, method, direction, worker_id, message, stream)
            self._events.append(event)
        return event

    def events(
        self,
        plane: Plane | None = None,
        method: str | None = None,
        direction: Direction | None = None,
        worker_id: str | None = None,
        kind: str | None = None,
    ) -> list[Event]:
        """The events so far, in order; each argument that is given must match."""
        wanted: Mapping[str, str] = {
            name: value
            for name, value in (
                ("plane", plane),
                ("method", method),
                ("direction", direction),
                ("worker_id", worker_id),
                ("kind", kind),
            )
            if value is not None
        }
        return [event for event in self if all(getattr(event, name) == value for name, value in wanted.items())]

    def __iter__(self) -> Iterator[Event]:
        return iter(self._events[:])

    def __len__(self) -> int:
        return len(self._events)

    def __getitem__(self, seq: int) -> Event:
        return self._events[seq]

    def to_json(self) -> list[dict[str, Any]]:
        """All events as JSON-able values."""
        return [event.to_json() for event in self]
