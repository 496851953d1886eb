"""DoFns that carry encoded values: they decode what a payload holds as hex, and report what arrives as hex again.

The coder travels in the payload too, so that what a runner makes of the coders of its stages cannot hide a change.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from conformance.harness.api import DoFn
from conformance.harness.context import Context
from conformance.harness.functions import dofn
from conformance.pipeline import encoding
from conformance.pipeline.coders import CoderSpec
from conformance.wire.coders import Coder
from conformance.wire.values import Pane, Timing, Unsized

__all__ = ["coder_of", "to_json"]


def to_json(spec: CoderSpec) -> list[Any]:
    """A coder as a JSON argument: [urn, components, payload in hex]."""
    return [spec.urn, [to_json(component) for component in spec.components], spec.payload.hex()]


def _spec(data: list[Any]) -> CoderSpec:
    urn, components, payload = data
    return CoderSpec(urn, tuple(_spec(component) for component in components), bytes.fromhex(payload))


def coder_of(data: list[Any]) -> Coder:
    """The working coder of a JSON argument made by `to_json`."""
    return encoding.resolve(_spec(data))


@dofn("coded_source")
class CodedSource(DoFn):
    """Emits the values, given as hex, of `coder`: (number, value) or with `as_key` (value, number), at timestamp `at`."""

    def __init__(self, coder: list[Any], values: list[str], as_key: bool = False, at: int = 0) -> None:
        working = coder_of(coder)
        self.values = [working.decode(bytes.fromhex(value)) for value in values]
        self.as_key, self.at = as_key, at

    def process(self, ctx: Context) -> None:
        for number, value in enumerate(self.values):
            ctx.output((value, number) if self.as_key else (number, value), timestamp=self.at)


@dofn("coded_pairs")
class CodedPairs(DoFn):
    """Emits KVs of which both parts are given as hex of their coders."""

    def __init__(self, key: list[Any], value: list[Any], pairs: list[list[str]]) -> None:
        first, second = coder_of(key), coder_of(value)
        self.pairs = [(first.decode(bytes.fromhex(left)), second.decode(bytes.fromhex(right))) for left, right in pairs]

    def process(self, ctx: Context) -> None:
        for pair in self.pairs:
            ctx.output(pair)


@dofn("coded_groups", observes_windows=True)
class CodedGroups(DoFn):
    """Reports (key, values) of each group, those parts in hex whose coder is given; values sorted."""

    def __init__(self, observer: str, key: list[Any] | None = None, value: list[Any] | None = None) -> None:
        self.observer = observer
        self.key = coder_of(key) if key else None
        self.value = coder_of(value) if value else None

    def process(self, ctx: Context) -> None:
        key, values = ctx.value
        found = [self.value.encode(each).hex() if self.value else each for each in values]
        ctx.observe(self.observer, (self.key.encode(key).hex() if self.key else key, sorted(found)))


@dofn("coded_elements", observes_windows=True)
class CodedElements(DoFn):
    """Reports each (number, value), the value in hex."""

    def __init__(self, observer: str, coder: list[Any]) -> None:
        self.observer, self.coder = observer, coder_of(coder)

    def process(self, ctx: Context) -> None:
        number, value = ctx.value
        ctx.observe(self.observer, (number, self.coder.encode(value).hex()))


@dofn("coded_side", observes_windows=True)
class CodedSide(DoFn):
    """Reports the iterable side input "values" as sorted hex under `observer`, and under `observer`_keys what the multimap side
    input "keys" holds for each of `keys` (hex)."""

    def __init__(self, observer: str, coder: list[Any], keys: list[str]) -> None:
        self.observer, self.coder, self.keys = observer, coder_of(coder), keys

    def process(self, ctx: Context) -> None:
        values = [(number, self.coder.encode(value).hex()) for number, value in ctx.side("values").values()]
        ctx.observe(self.observer, sorted(values))
        found = [(key, sorted(ctx.side("keys").get(self.coder.decode(bytes.fromhex(key))))) for key in self.keys]
        ctx.observe(f"{self.observer}_keys", found)


@dofn("coded_state", observes_windows=True)
class CodedState(DoFn):
    """Keeps each value in the bag "values", sets a timer for the end of the window, and then reports (key, values of the bag),
    those parts in hex whose coder is given."""

    def __init__(self, observer: str, key: list[Any] | None = None, value: list[Any] | None = None) -> None:
        self.observer = observer
        self.key = coder_of(key) if key else None
        self.value = coder_of(value) if value else None

    def process(self, ctx: Context) -> None:
        ctx.state("values").add(ctx.value[1])
        ctx.timers("end").set(ctx.window.max_timestamp)

    def on_timer(self, ctx: Context) -> None:
        found = [self.value.encode(each).hex() if self.value else each for each in ctx.state("values").read()]
        ctx.observe(self.observer, (self.key.encode(ctx.key).hex() if self.key else ctx.key, sorted(found)))


@dofn("with_panes")
class WithPanes(DoFn):
    """Emits (number, number) with each of `panes`, [first, last, timing, index, nonspeculative index], at each of `times`."""

    def __init__(self, panes: list[list[Any]], times: list[int]) -> None:
        self.panes = [Pane(first, last, Timing[timing], index, other) for first, last, timing, index, other in panes]
        self.times = times

    def process(self, ctx: Context) -> None:
        for number, pane in enumerate(self.panes):
            for time in self.times:
                ctx.output((number, number), timestamp=time, pane=pane)


@dofn("timer_fields", observes_windows=True)
class TimerFields(DoFn):
    """Sets a timer for each (fire, hold, tag) of `timers` for each element; reports (key, tag, fire, hold) when it comes."""

    def __init__(self, observer: str, timers: list[list[Any]]) -> None:
        self.observer, self.settings = observer, timers

    def process(self, ctx: Context) -> None:
        for fire, hold, tag in self.settings:
            ctx.timers("t").set(fire, hold, tag)

    def on_timer(self, ctx: Context) -> None:
        assert ctx.timer is not None
        ctx.observe(self.observer, (ctx.key, ctx.timer.tag, ctx.timer.fire_timestamp, ctx.timer.hold_timestamp))


@dofn("unsized")
class UnsizedLists(DoFn):
    """Emits (number, list) with each of `lists`, written without its length."""

    def __init__(self, lists: list[list[Any]]) -> None:
        self.lists = lists

    def process(self, ctx: Context) -> None:
        for number, values in enumerate(self.lists):
            ctx.output((number, Unsized(values)))


@dofn("heads")
def heads(ctx: Context) -> Iterator[Any]:
    """(number, size) of what the library's `large` and `large_values` make."""
    yield int.from_bytes(ctx.value[:8], "big"), len(ctx.value)
