"""What the functions of generated programs do, as the harness executes them. Written from the language's definitions alone.

`program_map` and its like are the user code of generated programs; the oracle has its own statement of what each name means
(`conformance.oracle.functions`), and the two share nothing but the names.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from conformance.harness.api import CombineFn, DoFn
from conformance.harness.context import Context
from conformance.harness.functions import combine_fn, dofn
from conformance.harness.functions.sdfs import Range
from conformance.wire import timestamps
from conformance.wire.values import WindowedValue

__all__ = ["MAPS"]

#: name → (value, arg) → values
MAPS: dict[str, Callable[[Any, int], Iterable[Any]]] = {
    "identity": lambda value, arg: (value,),
    "add": lambda value, arg: (value + arg,),
    "negate": lambda value, arg: (-value,),
    "add_to_value": lambda value, arg: ((value[0], value[1] + arg),),
    "swap": lambda value, arg: ((value[1], value[0]),),
    "key_mod": lambda value, arg: ((value % arg, value),),
    "key_constant": lambda value, arg: ((arg, value),),
    "values": lambda value, arg: (value[1],),
    "keys": lambda value, arg: (value[0],),
    "spell": lambda value, arg: (str(value),),
    "octets": lambda value, arg: (b"%d" % value,),
    "ungroup": lambda value, arg: ((value[0], each) for each in value[1]),
    "group_size": lambda value, arg: ((value[0], len(list(value[1]))),),
    "group_sum": lambda value, arg: ((value[0], sum(value[1])),),
    "duplicate": lambda value, arg: (value,) * arg,
    "drop_odd": lambda value, arg: (value,) if value % 2 == 0 else (),
    "keep_below": lambda value, arg: (value,) if value < arg else (),
}


@dofn("program_map")
class ProgramMap(DoFn):
    """A stateless function by name; `shift_timestamp` moves the element's timestamp by `arg`."""

    def __init__(self, fn: str, arg: int = 0) -> None:
        self.fn, self.arg = fn, arg

    def process(self, ctx: Context) -> Iterable[Any] | None:
        if self.fn == "shift_timestamp":
            ctx.output(ctx.value, timestamp=ctx.timestamp + self.arg)
            return None
        return MAPS[self.fn](ctx.value, self.arg)


@dofn("program_partition")
class ProgramPartition(DoFn):
    """Integers, or pairs by their first member, to the tag of their residue."""

    def __init__(self, ways: int) -> None:
        self.ways = ways

    def process(self, ctx: Context) -> None:
        number = ctx.value[0] if isinstance(ctx.value, tuple) else ctx.value
        ctx.output(ctx.value, tag=str(number % self.ways))


@dofn("program_side_input")
class ProgramSideInput(DoFn):
    """The element with the side input's values: all of them, or those of its key."""

    observes_windows = True

    def __init__(self, view: str) -> None:
        self.view = view

    def process(self, ctx: Context) -> Iterable[Any]:
        side = ctx.side("side")
        values = side.values() if self.view == "iterable" else side.get(ctx.value[0])
        return [(ctx.value, list(values))]


@dofn("program_positions")
class ProgramPositions(Range):
    """A splittable function: n to (n, 0) … (n, n-1), at `base` + position * `step`, reported as watermark; none for a negative n."""

    def __init__(self, splits: int, every: int, delay: int, base: int, step: int) -> None:
        super().__init__(splits=splits, every=every, delay=delay, base=base, step=step, estimator=True)

    def initial_restriction(self, element: WindowedValue, ctx: Context) -> tuple[tuple[int, int], int]:
        return (0, max(0, element.value)), timestamps.MIN


class _Fold(CombineFn):
    """A CombineFn over integers from an identity and an associative, commutative operation."""

    identity: Any = 0

    def create(self) -> Any:
        return self.identity

    def add(self, accumulator: Any, value: Any) -> Any:
        return self.join(accumulator, value)

    def merge(self, accumulators: Sequence[Any]) -> Any:
        result = self.create()
        for accumulator in accumulators:
            result = self.join(result, accumulator)
        return result

    def join(self, left: Any, right: Any) -> Any:
        return left + right


@combine_fn("program_combine_sum")
class Sum(_Fold):
    """The sum of the values."""


@combine_fn("program_combine_count")
class Count(_Fold):
    """The number of values; accumulators are added, values count one each."""

    def add(self, accumulator: Any, value: Any) -> Any:
        return accumulator + 1


@combine_fn("program_combine_min")
class Min(_Fold):
    """The least value."""

    identity = 1 << 62

    def join(self, left: Any, right: Any) -> Any:
        return min(left, right)


@combine_fn("program_combine_max")
class Max(_Fold):
    """The greatest value."""

    identity = -(1 << 62)

    def join(self, left: Any, right: Any) -> Any:
        return max(left, right)


@combine_fn("program_combine_sum_squared")
class SumSquared(_Fold):
    """The square of the sum: extracting twice, or from a part, shows."""

    def extract(self, accumulator: Any) -> Any:
        return accumulator * accumulator


@combine_fn("program_combine_collect")
class Collect(_Fold):
    """The values themselves; accumulators are lists."""

    def create(self) -> Any:
        return []

    def add(self, accumulator: Any, value: Any) -> Any:
        return [*accumulator, value]


@dofn("program_stateful")
class ProgramStateful(DoFn):
    """Executes the ops of a generated stateful program (`conformance.oracle.program` defines each)."""

    observes_windows = True

    def __init__(
        self,
        cells: dict[str, str],
        on_element: list[dict[str, Any]],
        on_timer: list[dict[str, Any]],
        on_expiration: list[dict[str, Any]],
        domains: dict[str, str],
        lateness: int,
    ) -> None:
        self.kinds, self.domains, self.lateness = cells, domains, lateness
        self.on_element, self.on_timer_ops, self.on_expiration = on_element, on_timer, on_expiration

    def process(self, ctx: Context) -> None:
        self._do(self.on_element, ctx)

    def on_timer(self, ctx: Context) -> None:
        self._do(self.on_timer_ops, ctx)

    def on_window_expiration(self, ctx: Context) -> None:
        self._do(self.on_expiration, ctx, expiring=True)

    def _do(self, ops: Iterable[dict[str, Any]], ctx: Context, *, expiring: bool = False) -> None:
        for op in ops:
            match op["is"]:
                case "Add":
                    self._add(op["cell"], ctx)
                case "Clear":
                    ctx.state(op["cell"]).clear()
                case "ClearPart":
                    self._clear_part(op["cell"], ctx)
                case "Emit":
                    self._emit(ctx, op["label"], _ranked(self.kinds[op["cell"]], self._entries(op["cell"], ctx)), expiring)
                case "EmitPart":
                    self._emit(ctx, op["label"], _ranked(self.kinds[op["cell"]], self._part(op["cell"], ctx)), expiring)
                case "EmitKeys":
                    self._emit(ctx, op["label"], [(0, (key, 0)) for key in list(ctx.state(op["cell"]).keys())], expiring)
                case "EmitElement":
                    self._emit(ctx, op["label"], [(0, (0, ctx.value[1]))], expiring)
                case "SetTimer":
                    self._set_timer(op, ctx)
                case "ClearTimer":
                    ctx.timers(op["family"]).clear(op["tag"])
                case "WhenSize":
                    size = len(self._entries(op["cell"], ctx))
                    if op.get("at_least", 0) <= size <= op.get("at_most", 1_000_000):
                        self._do(op["ops"], ctx, expiring=expiring)
                case unknown:
                    raise ValueError(f"no such op: {unknown}")

    def _emit(self, ctx: Context, label: str, contents: list[tuple[int, tuple[int, Any]]], expiring: bool) -> None:
        if ctx.timer is not None and not expiring:
            own = [] if ctx.family == "timers" else [ctx.family]
            label = ":".join([label, *own, ctx.timer.tag])
        ctx.output((ctx.key, (label, contents)))

    def _add(self, name: str, ctx: Context) -> None:
        cell, value = ctx.state(name), ctx.value[1]
        match self.kinds[name]:
            case "value":
                cell.write(value)
            case "map" | "multimap":
                cell.put(value % 3, value)
            case "ordered_list":
                cell.add(ctx.timestamp, value)
            case _:
                cell.add(value)

    def _entries(self, name: str, ctx: Context) -> list[tuple[int, Any]]:
        """(map or sort key, value) of all that is in the cell, as read."""
        cell = ctx.state(name)
        match self.kinds[name]:
            case "value":
                return [(0, each) for each in _each(cell.read())]
            case "combining":
                return [(0, cell.read())] if cell.accumulators() else []
            case "map":
                return [(key, each) for key in list(cell.keys()) for each in _each(cell.get(key))]
            case "multimap":
                return [(key, value) for key in list(cell.keys()) for value in cell.get(key)]
            case "ordered_list":
                return list(cell.read())
            case _:
                return [(0, value) for value in cell.read()]

    def _part(self, name: str, ctx: Context) -> list[tuple[int, Any]]:
        """What is in the cell under the element's map key, of its value, or at sort keys from five before it to its own."""
        cell, value = ctx.state(name), ctx.value[1]
        match self.kinds[name]:
            case "map":
                return [(value % 3, each) for each in _each(cell.get(value % 3))]
            case "multimap":
                return [(value % 3, each) for each in cell.get(value % 3)]
            case "set":
                return [(0, value)] if cell.contains(value) else []
            case _:
                return list(cell.read(ctx.timestamp - 5, ctx.timestamp + 1))

    def _clear_part(self, name: str, ctx: Context) -> None:
        cell, value = ctx.state(name), ctx.value[1]
        match self.kinds[name]:
            case "map" | "multimap":
                cell.remove(value % 3)
            case "set":
                cell.remove(value)
            case _:
                cell.clear(ctx.timestamp - 5, ctx.timestamp + 1)

    def _set_timer(self, op: dict[str, Any], ctx: Context) -> None:
        family, tag = op["family"], op["tag"]
        if ctx.timer is not None and (family, tag) != (ctx.family, ctx.timer.tag):
            return
        if self.domains[family] == "processing":
            ctx.timers(family).set(ctx.now + op["after"], tag=tag)
            return
        now = ctx.timestamp if ctx.timer is None else ctx.timer.fire_timestamp
        end = ctx.window.max_timestamp
        if op["until"] == "expiry":
            end = min(end + self.lateness, timestamps.GLOBAL_WINDOW_MAX)
        fire = min(now + op["after"], end)
        if ctx.timer is not None and fire <= now:
            return
        ctx.timers(family).set(fire, None if op["hold"] is None else min(fire, now + op["hold"]), tag=tag)


def _each(held: Any) -> list[Any]:
    """A cell of at most one value as a list; harnesses show several as the list of them."""
    return [] if held is None else held if isinstance(held, list) else [held]


def _ranked(kind: str, entries: Sequence[tuple[int, Any]]) -> list[tuple[int, tuple[int, Any]]]:
    """Entries with a rank that, for an ordered list, counts the changes of the sort key in the order read."""
    if kind != "ordered_list":
        return [(0, entry) for entry in entries]
    ranked, rank = [], 0
    for index, entry in enumerate(entries):
        if index and entry[0] != entries[index - 1][0]:
            rank += 1
        ranked.append((rank, entry))
    return ranked
