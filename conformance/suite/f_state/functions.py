"""The functions that tests of state, timers and side inputs use: above all a DoFn that does what a list of steps says.

A test then reads as the program that it is: ["state", "cell", "clear"], ["state", "cell", "read"]. What the steps answer is reported
under an observer, with key, timestamp and window of the call, so that no coder stands between the function and the test.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Unpack

from conformance.harness.api import DoFn, SplittableDoFn
from conformance.harness.context import Context
from conformance.harness.functions import dofn
from conformance.harness.functions.expressions import evaluate
from conformance.harness.trackers import OffsetTracker
from conformance.pipeline import Fn, PCollection, coders
from conformance.pipeline.builder import ParDoOptions
from conformance.pipeline.values import to_json
from conformance.suite.case import Case
from conformance.wire.values import WindowedValue

__all__ = ["READS", "counted", "scripted"]

#: Methods of cells and side inputs whose answers are reported.
READS = frozenset({"read", "get", "keys", "entries", "contains", "values", "items"})

#: Steps, each a list of a word and its operands.
Steps = Sequence[Any]


def scripted(
    case: Case,
    keyed: PCollection,
    process: Steps = (),
    *,
    timer: Steps | Mapping[str, Steps] = (),
    expire: Steps = (),
    observer: str = "out",
    coder: coders.CoderSpec = coders.BYTES,
    **options: Unpack[ParDoOptions],
) -> PCollection:
    """A ParDo that runs `process` for every element, `timer` (all families, or by family) for every timer, `expire` for every
    window that expires. Elements report (key, answers) under `observer`, timers (key, family, tag, fire timestamp, answers)
    under "fired", expirations (key, answers) under "expired".
    """
    by_family = timer if isinstance(timer, Mapping) else {"": timer}
    fn = Fn(
        "suite_steps",
        prefix=case.program.prefix,
        observer=observer,
        process=_json(list(process)),
        timer={family: _json(list(steps)) for family, steps in by_family.items()},
        expire=_json(list(expire)),
    )
    return keyed.par_do(fn, coder, **options)


def counted(case: Case, keyed: PCollection, observer: str = "out", **options: Unpack[ParDoOptions]) -> PCollection:
    """A ParDo that counts the elements of its value state "count" and reports (key, count) under `observer`."""
    return keyed.par_do(Fn("suite_count", observer=case.program.prefix + observer), coders.BYTES, **options)


def _json(item: Any) -> Any:
    """Lists stay lists (steps and expressions); tuples, bytes and floats inside take their JSON forms."""
    return [_json(part) for part in item] if isinstance(item, list) else to_json(item)


#: What a step may name beside the expressions of the harness: the timer at hand.
_TIMER: dict[str, Callable[[Context], Any]] = {
    "tag": lambda ctx: ctx.timer.tag if ctx.timer else None,
    "fire": lambda ctx: ctx.timer.fire_timestamp if ctx.timer else None,
    "family": lambda ctx: ctx.family,
    "now": lambda ctx: ctx.now,
}


def _value(ctx: Context, expression: Any) -> Any:
    return evaluate(_bound(ctx, expression), ctx)


def _bound(ctx: Context, expression: Any) -> Any:
    """The expression with what it says of the timer at hand put in."""
    if not isinstance(expression, list) or not expression or expression[0] == "const":
        return expression
    name, *operands = expression
    return _TIMER[name](ctx) if name in _TIMER else [name, *(_bound(ctx, operand) for operand in operands)]


def _on(target: Any, method: str, ctx: Context, operands: list[Any]) -> list[Any]:
    answer = getattr(target, method)(*(_value(ctx, operand) for operand in operands))
    return [answer] if method in READS else []


def _set(ctx: Context, family: str, fire: Any, tag: Any = "", hold: Any = None) -> list[Any]:
    ctx.timers(family).set(_value(ctx, fire), _value(ctx, hold), _value(ctx, tag))
    return []


def _clear(ctx: Context, family: str, tag: Any = "") -> list[Any]:
    ctx.timers(family).clear(_value(ctx, tag))
    return []


def _emit(ctx: Context, value: Any, tag: str | None = None) -> list[Any]:
    ctx.output(_value(ctx, value), tag)
    return []


def _when(ctx: Context, condition: Any, steps: list[Any]) -> list[Any]:
    return _run(ctx, steps) if _value(ctx, condition) else []


#: What a step can do: a word to a function that answers what is to be reported.
_STEPS: dict[str, Callable[..., list[Any]]] = {
    "state": lambda ctx, cell, method, *operands: _on(ctx.state(cell), method, ctx, list(operands)),
    "side": lambda ctx, name, method, *operands: _on(ctx.side(name), method, ctx, list(operands)),
    "set": _set,
    "clear": _clear,
    "emit": _emit,
    "when": _when,
    "note": lambda ctx, expression: [_value(ctx, expression)],
}


def _run(ctx: Context, steps: list[Any]) -> list[Any]:
    return [answer for word, *operands in steps for answer in _STEPS[word](ctx, *operands)]


@dofn("suite_steps")
class Scripted(DoFn):
    """Runs steps for elements, timers and expirations; see `scripted`."""

    observes_windows = True

    def __init__(self, prefix: str, observer: str, process: list[Any], timer: dict[str, list[Any]], expire: list[Any]) -> None:
        self.prefix, self.observer = prefix, observer
        self.steps, self.timer_steps, self.expire_steps = process, timer, expire

    def process(self, ctx: Context) -> None:
        key = ctx.value[0] if isinstance(ctx.value, tuple) else ctx.value
        ctx.observe(self.prefix + self.observer, (key, _run(ctx, self.steps)))

    def on_timer(self, ctx: Context) -> None:
        assert ctx.timer is not None
        answers = _run(ctx, self.timer_steps.get(ctx.family, self.timer_steps.get("", [])))
        ctx.observe(self.prefix + "fired", (ctx.key, ctx.family, ctx.timer.tag, ctx.timer.fire_timestamp, answers))

    def on_window_expiration(self, ctx: Context) -> None:
        ctx.observe(self.prefix + "expired", (ctx.key, _run(ctx, self.expire_steps)))


@dofn("suite_count")
def state_count(ctx: Context, observer: str) -> None:
    """Counts the elements of each key and window in the value state "count"; reports (key, count so far)."""
    cell = ctx.state("count")
    count = (cell.read() or 0) + 1
    cell.write(count)
    ctx.observe(observer, (ctx.key, count))


@dofn("suite_fill")
def state_fill(ctx: Context, observer: str, appends: int, entries: int, size: int) -> None:
    """Fills the bag "bag" with `appends` × `entries` values of `size` bytes that are all different, and reports what is read:
    (key, (number of values, number of different ones, total size))."""
    bag = ctx.state("bag")
    for append in range(appends):
        bag.extend(f"{append}.{entry}.".encode().ljust(size, b"x") for entry in range(entries))
    values = bag.read()
    ctx.observe(observer, (ctx.key, (len(values), len(set(values)), sum(len(value) for value in values))))


@dofn("suite_fill_map")
def state_fill_map(ctx: Context, observer: str, entries: int) -> None:
    """Puts `entries` keys into the multimap "map" and reports (key, (keys listed, different ones, values found by key))."""
    cell = ctx.state("map")
    for entry in range(entries):
        cell.put(entry, entry * 7)
    keys = cell.keys()
    found = sum(cell.get(entry) == [entry * 7] for entry in range(0, entries, 50))
    ctx.observe(observer, (ctx.key, (len(keys), len(set(keys)), found)))


@dofn("suite_first_and_later")
def state_first_and_later(ctx: Context) -> None:
    """The first element of each key to the output "first", the others to "later"."""
    cell = ctx.state("count")
    seen = cell.read() or 0
    cell.write(seen + 1)
    ctx.output(ctx.value, "later" if seen else "first")


@dofn("suite_splittable")
class StateSplittable(SplittableDoFn):
    """A splittable function of one position that also counts the elements of each key, in "count"."""

    def __init__(self, observer: str) -> None:
        self.observer = observer

    def initial_restriction(self, element: WindowedValue, ctx: Context) -> tuple[tuple[int, int], int]:
        return (0, 1), 0

    def process_range(self, ctx: Context, tracker: OffsetTracker) -> None:
        if tracker.try_claim(0):
            state_count(ctx, self.observer)
