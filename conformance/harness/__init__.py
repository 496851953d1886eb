"""The scripted SDK harness: runs named functions for any runner, records every message, misbehaves when told to."""

from __future__ import annotations

from conformance.harness.errors import LocalProtocolError, RemoteProtocolError
from conformance.harness.observations import LifecycleEvent, Observation, Observations
from conformance.harness.session import Session
from conformance.harness.transcript import End, Event, Note, Open, Transcript

__all__ = [
    "End",
    "Event",
    "LifecycleEvent",
    "LocalProtocolError",
    "Note",
    "Observation",
    "Observations",
    "Open",
    "RemoteProtocolError",
    "Session",
    "Transcript",
]
