"""The scripted SDK harness: runs named functions for any runner, records every message, misbehaves when told to."""

from __future__ import annotations

from conformance.harness.api import CombineFn, DoFn, Resume, SplittableDoFn, WindowFn
from conformance.harness.context import Context
from conformance.harness.errors import LocalProtocolError, RemoteProtocolError
from conformance.harness.functions import combine_fn, dofn, mapping_fn, window_fn
from conformance.harness.observations import LifecycleEvent, Observation, Observations
from conformance.harness.session import Session
from conformance.harness.transcript import End, Event, Note, Open, Transcript

__all__ = [
    "CombineFn",
    "Context",
    "DoFn",
    "End",
    "Event",
    "LifecycleEvent",
    "LocalProtocolError",
    "Note",
    "Observation",
    "Observations",
    "Open",
    "RemoteProtocolError",
    "Resume",
    "Session",
    "SplittableDoFn",
    "Transcript",
    "WindowFn",
    "combine_fn",
    "dofn",
    "mapping_fn",
    "window_fn",
]
