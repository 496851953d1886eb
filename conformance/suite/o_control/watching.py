"""How probes watch the Fn API: wait for something to appear in a transcript, and find requests, answers and descriptors in it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

from conformance.harness import Session
from conformance.wire.api import fn_pb2

__all__ = ["BRIEF", "answer_to", "bundles", "descriptors", "names_of", "requests", "until"]

#: Seconds in which a wrong runner would have done what it must not do; a right one is kept waiting for so long.
BRIEF = 0.5
_STEP = 0.01


def until(condition: Callable[[], bool], seconds: float) -> bool:
    """Look again and again until `condition` holds or `seconds` are over; whether it held."""
    pause, end = threading.Event(), time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            return False
        pause.wait(_STEP)
    return True


def requests(session: Session, kind: str) -> list[fn_pb2.InstructionRequest]:
    """The instructions of one kind (a field of InstructionRequest) that came so far."""
    events = session.transcript.events("control", direction="R->S", kind="InstructionRequest")
    return [event.message for event in events if event.message.WhichOneof("request") == kind]


def descriptors(session: Session) -> dict[str, fn_pb2.ProcessBundleDescriptor]:
    """The descriptors that were fetched so far, by id."""
    events = session.transcript.events("control", direction="R->S", kind="ProcessBundleDescriptor")
    return {event.message.id: event.message for event in events}


def names_of(descriptor: fn_pb2.ProcessBundleDescriptor) -> list[str]:
    """The unique names of a stage's transforms."""
    return [transform.unique_name for transform in descriptor.transforms.values()]


def bundles(session: Session, transform: str = "") -> list[fn_pb2.InstructionRequest]:
    """The bundles so far of stages that have a transform with `transform` in its unique name."""
    known = descriptors(session)
    return [
        request
        for request in requests(session, "process_bundle")
        for descriptor in [known.get(request.process_bundle.process_bundle_descriptor_id)]
        if descriptor is not None and any(transform in name for name in names_of(descriptor))
    ]


def answer_to(session: Session, request: Any) -> fn_pb2.InstructionResponse | None:
    """What we answered to an instruction, if we did."""
    for event in session.transcript.events("control", direction="S->R", kind="InstructionResponse"):
        if event.message.instruction_id == request.instruction_id:
            return event.message  # type: ignore[no-any-return]
    return None
