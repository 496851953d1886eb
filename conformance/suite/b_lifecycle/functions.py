"""DoFns of these tests that the harness's library does not have."""

from __future__ import annotations

from conformance.harness.api import DoFn
from conformance.harness.context import Context
from conformance.harness.functions import dofn
from conformance.wire.values import GLOBAL_WINDOW

__all__ = ["EmitAtStart"]


@dofn("emit_at_start")
class EmitAtStart(DoFn):
    """Emits ("start", 1) at `timestamp` in the global window when a bundle starts, and ("element", 1) for each element."""

    def __init__(self, timestamp: int) -> None:
        self.timestamp = timestamp

    def start_bundle(self, ctx: Context) -> None:
        ctx.output(("start", 1), timestamp=self.timestamp, windows=(GLOBAL_WINDOW,))

    def process(self, ctx: Context) -> None:
        ctx.output(("element", 1))
