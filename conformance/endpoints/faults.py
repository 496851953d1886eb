"""Faults of the wire, planted by the proxy between the suite and any runner: messages dropped, repeated, reordered, damaged.

Each is told by the method that it touches, the direction, and what becomes of one message. What a fault means for an assertion
stands in the suite's list of mutants under the same id.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from attrs import frozen

from conformance.wire.api import artifact_pb2, fn_pb2, job_pb2

__all__ = ["FAULTS", "TO_RUNNER", "TO_SUITE", "Fault"]

#: Directions: what the suite (its client, its harness) sends, and what the runner sends.
TO_RUNNER, TO_SUITE = "to runner", "to suite"


@frozen
class Fault:
    """What becomes of the messages of one method in one direction; everything else passes untouched.

    `change` is given a message and says which take its place, in order: none drops it, two repeat it.
    """

    method: str
    direction: str
    message: Any
    change: Callable[[Any], list[Any]]
    #: Hold a message back until the next one has passed; the last one passes when the stream ends.
    swaps: Callable[[Any], bool] = lambda message: False


def _without_data(message: Any) -> list[Any]:
    for entry in message.data:
        entry.data = b""
    return [message]


def _entries_twice(message: Any) -> list[Any]:
    if not any(entry.data for entry in message.data):
        return [message]
    first = fn_pb2.Elements()
    first.CopyFrom(message)
    for entry in first.data:
        entry.is_last = False
    for timer in first.timers:
        timer.is_last = False
    return [first, message]


def _damaged(message: Any) -> list[Any]:
    for entry in message.data:
        if entry.data:  # the last byte is in a value: neither in the timestamp nor in a length
            entry.data = entry.data[:-1] + bytes([entry.data[-1] ^ 0x01])
    return [message]


def _has_data(message: Any) -> bool:
    return any(entry.data for entry in message.data) and not any(entry.is_last for entry in message.data)


def _is(request: str) -> Callable[[Any], bool]:
    return lambda message: message.WhichOneof("request") == request


def _dropped(which: Callable[[Any], bool]) -> Callable[[Any], list[Any]]:
    return lambda message: [] if which(message) else [message]


def _repeated(which: Callable[[Any], bool]) -> Callable[[Any], list[Any]]:
    return lambda message: [message, message] if which(message) else [message]


def _state_answers_damaged(message: Any) -> list[Any]:
    if message.get.data:
        message.get.data = message.get.data[:-1] + bytes([message.get.data[-1] ^ 0x01])
    return [message]


def _terminal(message: Any) -> bool:
    return message.state in (job_pb2.JobState.DONE, job_pb2.JobState.FAILED, job_pb2.JobState.CANCELLED)


def _first_part_lost(message: Any) -> list[Any]:
    message.data = message.data[1:]
    return [message]


CONTROL, DATA, STATE = "BeamFnControl/Control", "BeamFnData/Data", "BeamFnState/State"
E, I, R = fn_pb2.Elements, fn_pb2.InstructionRequest, fn_pb2.StateResponse

FAULTS: dict[str, Fault] = {
    "PXY-01": Fault(DATA, TO_RUNNER, E, _without_data),
    "PXY-02": Fault(DATA, TO_RUNNER, E, _entries_twice),
    "PXY-03": Fault(DATA, TO_SUITE, E, _without_data),
    "PXY-04": Fault(DATA, TO_SUITE, E, _entries_twice),
    "PXY-05": Fault(DATA, TO_SUITE, E, _damaged),
    "PXY-06": Fault(DATA, TO_SUITE, E, lambda message: [message], swaps=_has_data),
    "PXY-07": Fault(CONTROL, TO_SUITE, I, _dropped(_is("finalize_bundle"))),
    "PXY-08": Fault(CONTROL, TO_SUITE, I, _repeated(_is("finalize_bundle"))),
    "PXY-09": Fault(CONTROL, TO_SUITE, I, _repeated(_is("process_bundle"))),
    "PXY-10": Fault(STATE, TO_SUITE, R, _state_answers_damaged),
    "PXY-11": Fault(STATE, TO_SUITE, R, lambda message: [message, message]),
    "PXY-12": Fault("JobService/GetStateStream", TO_SUITE, job_pb2.JobStateEvent, _dropped(_terminal)),
    "PXY-13": Fault("ArtifactRetrievalService/GetArtifact", TO_SUITE, artifact_pb2.GetArtifactResponse, _first_part_lost),
    "PXY-14": Fault(
        "JobService/GetMessageStream",
        TO_SUITE,
        job_pb2.JobMessagesResponse,
        _dropped(lambda message: message.WhichOneof("response") == "message_response"),
    ),
}
