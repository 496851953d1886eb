"""Stateful DoFns: an interpreter of programs that are data, timer loops, and batching.

A program is a list of statements, each a list:

    ["do", state, method, arg…]            call a method of a state cell (see conformance.harness.cells)
    ["read", label, state, method, arg…]   call it and record what it answers under `label`
    ["let", name, e]                       keep a value for ["var", name]
    ["set", family, fire, hold?, tag?]     set a timer; `hold` null for the default
    ["clear", family, tag?]                clear a timer
    ["emit", e] ["emit_at", e, timestamp]  emit a value
    ["observe", observer, e]               report a value
    ["when", condition, [then…], [else…]]
    ["fail", text]

Arguments are expressions (conformance.harness.functions.expressions), to which programs add ["var", name], ["cell", state, method, arg…],
["tag"], ["family"], ["fire"], ["max"] (the window's last instant) and ["now"]. What `read` recorded is emitted at the end of the call as
{"on": "element" | "timer" | "expiration", "value": …, "tag": …, "family": …, "reads": [[label, answer], …]}; key in front.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from conformance.harness.api import DoFn
from conformance.harness.context import Context
from conformance.harness.errors import FunctionError
from conformance.harness.functions.expressions import evaluate
from conformance.harness.functions.registry import dofn

__all__ = ["Batch", "StateProgram", "TimerLoop"]


def _answer(value: Any) -> Any:
    """An accessor's answer as a JSON-able value."""
    if isinstance(value, list):
        return [_answer(each) for each in value]
    return value


class Call:
    """One run of a program: its variables and what it read."""

    def __init__(self, ctx: Context) -> None:
        self.ctx = ctx
        self.variables: dict[str, Any] = {}
        self.reads: list[list[Any]] = []
        timer = ctx.timer
        self.extra: dict[str, Callable[..., Any]] = {
            "var": lambda name: self.variables[name],
            "cell": lambda state, method, *args: getattr(ctx.state(state), method)(*args),
            "tag": lambda: timer.tag if timer else "",
            "family": lambda: ctx.family,
            "fire": lambda: timer.fire_timestamp if timer else None,
            "max": lambda: ctx.window.max_timestamp,
            "now": lambda: ctx.now,
        }
        self._statements: dict[str, Callable[..., None]] = {
            "do": self._do,
            "read": self._read,
            "let": lambda name, e: self.variables.__setitem__(name, self.value(e)),
            "set": self._set,
            "clear": lambda family, tag="": ctx.timers(family).clear(self.value(tag)),
            "emit": lambda e: ctx.output(self.value(e)),
            "emit_at": lambda e, timestamp: ctx.output(self.value(e), timestamp=self.value(timestamp)),
            "observe": lambda observer, e: ctx.observe(observer, self.value(e)),
            "when": lambda condition, then, otherwise=(): self.run(then if self.value(condition) else otherwise),
            "fail": self._fail,
        }

    def value(self, expression: Any) -> Any:
        return evaluate(expression, self.ctx, self.extra)

    def run(self, program: Any) -> None:
        """Execute statement by statement. Raises FunctionError for a statement that is none."""
        for name, *operands in program:
            statement = self._statements.get(name)
            if statement is None:
                raise FunctionError(f"no statement is called {name!r}; known: {sorted(self._statements)}")
            statement(*operands)

    def _do(self, state: str, method: str, *args: Any) -> None:
        getattr(self.ctx.state(state), method)(*(self.value(arg) for arg in args))

    def _read(self, label: str, state: str, method: str, *args: Any) -> None:
        found = getattr(self.ctx.state(state), method)(*(self.value(arg) for arg in args))
        self.reads.append([label, _answer(found)])

    def _set(self, family: str, fire: Any, hold: Any = None, tag: Any = "") -> None:
        at = None if hold is None else self.value(hold)
        self.ctx.timers(family).set(self.value(fire), at, self.value(tag))

    def _fail(self, text: str) -> None:
        raise FunctionError(text)


@dofn("program", observes_windows=True)
class StateProgram(DoFn):
    """Runs `on_element` for each element, `on_timer`[family] for each timer, `on_expiration` when a window expires; see the module."""

    observes_windows = True

    def __init__(
        self,
        on_element: list[Any] | None = None,
        on_timer: dict[str, list[Any]] | None = None,
        on_expiration: list[Any] | None = None,
    ) -> None:
        self._on_element = on_element or []
        self._on_timer = on_timer or {}
        self._on_expiration = on_expiration or []

    def _run(self, ctx: Context, program: list[Any], record: dict[str, Any]) -> None:
        call = Call(ctx)
        call.run(program)
        if call.reads:
            ctx.output((ctx.key, {**record, "reads": call.reads}))

    def process(self, ctx: Context) -> None:
        self._run(ctx, self._on_element, {"on": "element", "value": ctx.value[1]})

    def on_timer(self, ctx: Context) -> None:
        assert ctx.timer is not None
        program = self._on_timer.get(ctx.family, [])
        self._run(ctx, program, {"on": "timer", "family": ctx.family, "tag": ctx.timer.tag, "fire": ctx.timer.fire_timestamp})

    def on_window_expiration(self, ctx: Context) -> None:
        self._run(ctx, self._on_expiration, {"on": "expiration"})


@dofn("timer_loop", observes_windows=True)
class TimerLoop(DoFn):
    """For each element sets a timer `first` ms on (event time: after the element); each firing emits (key, fire timestamp) and sets
    the next one `period` later, `count` firings in all. Needs state "left" (value of varint) and the timer family `family`."""

    observes_windows = True

    def __init__(self, family: str = "timer", first: int = 0, period: int = 1, count: int = 1, processing: bool = False) -> None:
        self.family, self.first, self.period, self.count, self.processing = family, first, period, count, processing

    def process(self, ctx: Context) -> None:
        ctx.state("left").write(self.count)
        base = ctx.now if self.processing else ctx.timestamp
        ctx.timers(self.family).set(base + self.first)

    def on_timer(self, ctx: Context) -> Iterator[Any]:
        assert ctx.timer is not None
        left = (ctx.state("left").read() or 0) - 1
        ctx.state("left").write(left)
        if left > 0:
            ctx.timers(self.family).set(ctx.timer.fire_timestamp + self.period)
        yield ctx.key, ctx.timer.fire_timestamp


@dofn("count_by_key", observes_windows=True)
def count_by_key(ctx: Context) -> Iterator[Any]:
    """Emits (key, how many elements the key has had), from state "count" (value of varint)."""
    cell = ctx.state("count")
    count = (cell.read() or 0) + 1
    cell.write(count)
    yield ctx.key, count


@dofn("batch", observes_windows=True)
class Batch(DoFn):
    """GroupIntoBatches: KV<K, V> to KV<K, Iterable<V>> of at most `size` values or `bytes`; flushed at the window's end, or `buffering`
    ms after the first. Needs states batch, count, bytes and the timer families window, buffering."""

    observes_windows = True

    def __init__(self, size: int, bytes: int = 0, buffering: int = 0) -> None:
        self.size, self.bytes, self.buffering = size, bytes, buffering

    def process(self, ctx: Context) -> None:
        value = ctx.value[1]
        count = (ctx.state("count").read() or 0) + 1
        weight = (ctx.state("bytes").read() or 0) + _weight(value)
        ctx.state("batch").add(value)
        if count == 1:
            ctx.timers("window").set(ctx.window.max_timestamp)
            if self.buffering:
                ctx.timers("buffering").set(ctx.now + self.buffering)
        if (self.size and count >= self.size) or (self.bytes and weight >= self.bytes):
            self._flush(ctx)
        else:
            ctx.state("count").write(count)
            ctx.state("bytes").write(weight)

    def on_timer(self, ctx: Context) -> None:
        self._flush(ctx)

    def _flush(self, ctx: Context) -> None:
        values = ctx.state("batch").read()
        for cell in ("batch", "count", "bytes"):
            ctx.state(cell).clear()
        if self.buffering and ctx.family != "buffering":
            ctx.timers("buffering").clear()
        if values:
            ctx.output((ctx.key, values))


def _weight(value: Any) -> int:
    return len(value) if isinstance(value, bytes | str) else 8
