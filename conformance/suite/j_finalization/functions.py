"""Functions that ask for finalization where a test wants it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from conformance.harness.api import DoFn
from conformance.harness.context import Context
from conformance.harness.errors import FunctionError
from conformance.harness.functions import dofn
from conformance.harness.observations import Observation
from conformance.wire.values import GLOBAL_WINDOW

__all__ = ["Finalizing"]


@dofn("finalizing")
class Finalizing(DoFn):
    """Registers a callback on each of `on` ("start", "process", "finish"), which reports that word under `observer`, or raises `fail`.

    Passes elements on; with `side` as (element, sorted values of that side input), with `cell` as (key, how many elements the key
    has had, by that value state).
    """

    def __init__(self, observer: str, on: list[str], fail: str = "", side: str = "", cell: str = "") -> None:
        self.observer, self.on, self.fail, self.side, self.cell = observer, on, fail, side, cell

    def _register(self, ctx: Context, when: str) -> None:
        if when not in self.on:
            return
        done = Observation(self.observer, when, 0, GLOBAL_WINDOW, bundle=ctx.bundle, worker=ctx.worker)
        sink = ctx.op.registry.sink

        def callback() -> None:
            if self.fail:
                raise FunctionError(self.fail)
            sink.bundle_done([done], True)

        ctx.finalize(callback)

    def start_bundle(self, ctx: Context) -> None:
        self._register(ctx, "start")

    def process(self, ctx: Context) -> Iterator[Any]:
        self._register(ctx, "process")
        if self.side:
            yield ctx.value, sorted(ctx.side(self.side).values())
        elif self.cell:
            cell = ctx.state(self.cell)
            count = (cell.read() or 0) + 1
            cell.write(count)
            yield ctx.key, count
        else:
            yield ctx.value

    def finish_bundle(self, ctx: Context) -> None:
        self._register(ctx, "finish")
