"""Functions that need more than a list of steps: timers that loop, that set each other."""

from __future__ import annotations

from conformance.harness.api import DoFn
from conformance.harness.context import Context
from conformance.harness.functions import dofn

__all__ = ["Loop", "PingPong", "SetOrClear"]


@dofn("suite_loop")
class Loop(DoFn):
    """Sets a timer of "t" at `first`; its callback counts in "count" and sets it again `step` later until it was called `times` times.

    With `wall` both are relative to the wall clock. Reports (key, fire timestamp, count) under `observer`.
    """

    def __init__(self, observer: str, first: int, step: int, times: int, wall: bool = False) -> None:
        self.observer, self.first, self.step, self.times, self.wall = observer, first, step, times, wall

    def process(self, ctx: Context) -> None:
        ctx.timers("t").set(self.first + (ctx.now if self.wall else 0))

    def on_timer(self, ctx: Context) -> None:
        assert ctx.timer is not None
        cell = ctx.state("count")
        count = (cell.read() or 0) + 1
        cell.write(count)
        fired = ctx.timer.fire_timestamp
        if count < self.times:
            ctx.timers("t").set((ctx.now if self.wall else fired) + self.step)
        ctx.observe(self.observer, (ctx.key, fired, count))


@dofn("suite_ping_pong")
class PingPong(DoFn):
    """Sets a timer of "ping"; each callback sets one of the other family `step` later, until `times` were called in all.

    Reports (family, fire timestamp, how many were called before) under `observer`.
    """

    def __init__(self, observer: str, first: int, step: int, times: int) -> None:
        self.observer, self.first, self.step, self.times = observer, first, step, times

    def process(self, ctx: Context) -> None:
        ctx.timers("ping").set(self.first)

    def on_timer(self, ctx: Context) -> None:
        assert ctx.timer is not None
        cell = ctx.state("count")
        before = cell.read() or 0
        cell.write(before + 1)
        fired = ctx.timer.fire_timestamp
        if before + 1 < self.times:
            ctx.timers("pong" if ctx.family == "ping" else "ping").set(fired + self.step)
        ctx.observe(self.observer, (ctx.family, fired, before))


@dofn("suite_set_or_clear")
class SetOrClear(DoFn):
    """The first element of a key sets "t" at `fire`, every other one clears it. Reports the keys of callbacks under `observer`."""

    def __init__(self, observer: str, fire: int) -> None:
        self.observer, self.fire = observer, fire

    def process(self, ctx: Context) -> None:
        cell = ctx.state("count")
        seen = cell.read() or 0
        cell.write(seen + 1)
        if seen:
            ctx.timers("t").clear()
        else:
            ctx.timers("t").set(self.fire)

    def on_timer(self, ctx: Context) -> None:
        ctx.observe(self.observer, ctx.key)
