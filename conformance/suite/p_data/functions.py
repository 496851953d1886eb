"""Functions that have a say in how their outputs travel: in messages of one element, among empty entries, in turns with others."""

from __future__ import annotations

from conformance.harness.api import DoFn
from conformance.harness.context import Context
from conformance.harness.functions import dofn

__all__ = ["CHUNKS", "SIZE_OF", "TWO_FAMILIES"]

CHUNKS, SIZE_OF, TWO_FAMILIES = "suite_chunks", "suite_size_of", "suite_two_families"


@dofn(CHUNKS)
def chunks(ctx: Context, empty: bool = False, gate: str = "") -> None:
    """Passes each element on in a message of its own; with `empty` between entries that hold nothing; with `gate` waits behind it."""
    run = ctx.run
    assert run.processor is not None
    ports = [sink.port for sink in run.processor.sinks] if empty else []
    for port in ports:
        run.send_data(port, b"")
    ctx.output(ctx.value)
    run.flush()
    for port in ports:
        run.send_data(port, b"")
        run.flush()
    if gate:
        ctx.gate(gate)


@dofn(SIZE_OF)
def size_of(ctx: Context, observer: str) -> None:
    """Reports (first eight bytes as a number, length) of each byte string: what is large stays out of the evidence."""
    ctx.observe(observer, (int.from_bytes(ctx.value[:8], "big"), len(ctx.value)))


@dofn(TWO_FAMILIES)
class TwoFamilies(DoFn):
    """Sets a timer of family "a" at the element's value and one of "b" at ten times that; a callback reports (key, family, fire)."""

    def __init__(self, observer: str) -> None:
        self.observer = observer

    def process(self, ctx: Context) -> None:
        value = ctx.value[1]
        ctx.timers("a").set(value)
        ctx.timers("b").set(value * 10)

    def on_timer(self, ctx: Context) -> None:
        assert ctx.timer is not None
        ctx.observe(self.observer, (ctx.key, ctx.family, ctx.timer.fire_timestamp))
