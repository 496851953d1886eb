"""Stateful ParDos on bounded input: every order of elements and timers that the model allows, and what each puts out.

The elements of one key and window come in any order (M-BNDL-09; by timestamp where the program asks for it, M-STATE-16). A
pending timer may fire as soon as every element with a timestamp up to its own has been processed (M-TIMER-10, M-TIMER-18),
and must once there are no more elements (M-BATCH-09); of several the earliest goes first (M-TIMER-17). What comes out must be
the outcome of one such order.

How contents are emitted, for every kind of cell: a list of `(rank, (k, value))`. `k` is the map key of a multimap, the sort
key of an ordered list, else 0. `rank` is 0 but for an ordered list, where it counts how often the sort key changed before
this entry *in the order read*: so a list read in the wrong order shows although lists compare as multisets.

What is wrong with an impossible outcome is found by giving the interpreter one `Fault` after the other: the first that
explains what was seen names the rule.
"""

from __future__ import annotations

import enum
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, assert_never

import attrs
from attrs import frozen

from conformance.oracle.content import Content, Item, match
from conformance.oracle.errors import UnsupportedProgram
from conformance.oracle.finding import Finding, show_items
from conformance.oracle.observed import Bag, Seen, canonical, show_value, show_window
from conformance.oracle.program import Add, Clear, ClearTimer, Emit, EmitElement, Op, SetTimer, Stateful, WhenSize
from conformance.oracle.windows import end_timestamps, max_timestamp
from conformance.wire.values import NO_FIRING, Pane, Window

__all__ = ["MOST_ELEMENTS", "Fault", "judge_stateful", "outcomes"]

#: Elements of one key and window: their orders are all tried.
MOST_ELEMENTS = 5
_MOST_FIRINGS = 60


class Fault(enum.Enum):
    """A way to break one rule, and the rule with a sentence for it."""

    UNSORTED = ("M-STATE-16", "elements were not processed in order of their timestamps")
    TIMERS_OUT_OF_ORDER = ("M-TIMER-17", "timers did not fire in order of their timestamps")
    TIMERS_EARLY = ("M-TIMER-18", "a timer fired before elements that come before it")
    CLEAR_TIMER_IGNORED = ("M-TIMER-04", "a timer fired that had been cleared")
    TIMERS_PILE_UP = ("M-TIMER-02", "a timer that was set again fired for the old setting too")
    TIMERS_LOST = ("M-TIMER-10", "timers that were set never fired")
    RESET_LOST = ("M-TIMER-02", "a timer that its callback set again did not fire again")
    CLEAR_IGNORED = ("M-STATE-04", "a cell that was cleared kept its contents")
    ONE_PER_SORT_KEY = ("M-STATE-12", "an ordered list kept one value for a sort key")
    DUPLICATES_IN_SET = ("M-STATE-11", "a set kept duplicates")
    STATE_LOST = ("M-STATE-07", "what one element wrote was not there for the next")
    NO_EXPIRATION = ("M-STATE-18", "the window's expiration was not called")
    EXPIRATION_TWICE = ("M-STATE-18", "the window's expiration was called twice")
    ELEMENT_LOST = ("M-XF-18", "an element was not processed")
    ELEMENT_TWICE = ("M-XF-18", "an element was processed twice")


@frozen
class _Timer:
    tag: str
    time: int
    panes: frozenset[Pane]


@frozen
class _World:
    """One key and window at a moment."""

    left: tuple[Item, ...]
    cells: tuple[tuple[str, tuple[Any, ...]], ...]
    timers: tuple[_Timer, ...] = ()
    out: tuple[Item, ...] = ()
    firings: int = 0

    def cell(self, name: str) -> tuple[Any, ...]:
        return dict(self.cells)[name]

    def with_cell(self, name: str, entries: Iterable[Any]) -> _World:
        made = tuple(entries)
        return attrs.evolve(self, cells=tuple((n, made if n == name else old) for n, old in self.cells))


@frozen
class _Call:
    """What a callback knows: of an element (`value` set), a timer (`tag` set) or the expiration (neither)."""

    key: Any
    window: Window
    stamps: frozenset[int]
    panes: frozenset[Pane]
    value: Any = None
    tag: str | None = None

    @property
    def time(self) -> int:
        return max(self.stamps)


def outcomes(
    step: Stateful, key: Any, window: Window, items: Sequence[Item], fault: Fault | None = None
) -> list[tuple[Item, ...]]:
    """Every multiset of outputs that the elements of one key and window may lead to."""
    if len(items) > MOST_ELEMENTS + (fault is Fault.ELEMENT_TWICE):
        raise UnsupportedProgram(f"{step.id} gets {len(items)} elements for one key and window; give it at most {MOST_ELEMENTS}")
    begin = _World(tuple(items), tuple((cell.name, ()) for cell in step.cells))
    seen, todo = {begin}, [begin]
    ends: dict[frozenset[tuple[Item, int]], tuple[Item, ...]] = {}
    while todo:
        world = todo.pop()
        following = _steps(step, key, window, world, fault)
        if not following:
            done = _expire(step, key, window, items, world, fault)
            ends[frozenset(Counter(done.out).items())] = done.out
        for then in following:
            # The order of outputs is free, so worlds that differ in it only are one.
            then = attrs.evolve(then, out=tuple(sorted(then.out, key=repr)))
            if then not in seen:
                seen.add(then)
                todo.append(then)
    return list(ends.values())


def _steps(step: Stateful, key: Any, window: Window, world: _World, fault: Fault | None) -> list[_World]:
    """What may happen next: an element, or a timer."""
    following: list[_World] = []
    sorted_only = step.time_sorted and fault is not Fault.UNSORTED
    first = min((min(item.timestamps) for item in world.left), default=None)
    for index, item in enumerate(world.left):
        if sorted_only and min(item.timestamps) != first:
            continue
        rest = (*world.left[:index], *world.left[index + 1 :])
        call = _Call(key, window, item.timestamps, item.panes, value=item.value[1])
        before = attrs.evolve(world, left=rest)
        if fault is Fault.STATE_LOST:
            before = attrs.evolve(before, cells=tuple((name, ()) for name, _ in before.cells))
        following.append(_run(step, step.on_element, call, before, fault))
        if fault is Fault.ELEMENT_LOST and len(world.left) == 1:
            following.append(attrs.evolve(before, left=()))
    if fault is Fault.TIMERS_LOST:
        return following
    earliest = min((timer.time for timer in world.timers), default=None)
    for timer in world.timers:
        if earliest is None or (timer.time != earliest and fault is not Fault.TIMERS_OUT_OF_ORDER):
            continue
        if first is not None and first <= timer.time and fault is not Fault.TIMERS_EARLY:
            continue
        if world.firings >= _MOST_FIRINGS:
            raise UnsupportedProgram(f"{step.id} fires timers without end; bound the loop with a WhenSize")
        # M-TIMER-02: unset before its callback. M-TIMER-20: it puts out at its hold, which is its time (M-TIMER-12).
        stamps = end_timestamps(window) if timer.time >= min(end_timestamps(window)) else frozenset({timer.time})
        call = _Call(key, window, stamps, timer.panes | {NO_FIRING}, tag=timer.tag)
        timers = list(world.timers)
        timers.remove(timer)
        before = attrs.evolve(world, timers=tuple(timers), firings=world.firings + 1)
        following.append(_run(step, step.on_timer, call, before, fault))
    return following


def _expire(step: Stateful, key: Any, window: Window, items: Sequence[Item], world: _World, fault: Fault | None) -> _World:
    """M-STATE-18: once, after all timers, stamped with the end of the window."""
    panes = frozenset({NO_FIRING}).union(*(item.panes for item in items))
    call = _Call(key, window, end_timestamps(window), panes)
    for _ in range({Fault.NO_EXPIRATION: 0, Fault.EXPIRATION_TWICE: 2}.get(fault, 1) if fault else 1):
        world = _run(step, step.on_expiration, call, world, fault)
    return attrs.evolve(world, out=tuple(sorted(world.out, key=repr)))


def _run(step: Stateful, ops: tuple[Op, ...], call: _Call, world: _World, fault: Fault | None) -> _World:
    """Do the ops of one callback in their order: a cell reads what was written before (M-STATE-04)."""
    kinds = {cell.name: cell.kind for cell in step.cells}
    for op in ops:
        match op:
            case Add(cell):
                world = world.with_cell(cell, _added(kinds[cell], world.cell(cell), call, fault))
            case Clear(cell):
                world = world if fault is Fault.CLEAR_IGNORED else world.with_cell(cell, ())
            case Emit(cell, label):
                shown = f"{label}:{call.tag}" if call.tag is not None else label
                world = _output(world, call, (call.key, (shown, _contents(kinds[cell], world.cell(cell)))))
            case EmitElement(label):
                world = _output(world, call, (call.key, (label, Bag.of([(0, (0, call.value))]))))
            case SetTimer():
                world = _set_timer(world, call, op, fault)
            case ClearTimer(tag):
                if fault is not Fault.CLEAR_TIMER_IGNORED:
                    world = attrs.evolve(world, timers=tuple(timer for timer in world.timers if timer.tag != tag))
            case WhenSize(cell, inner, at_least, at_most):
                if at_least <= len(world.cell(cell)) <= at_most:
                    world = _run(step, inner, call, world, fault)
            case _:
                assert_never(op)
    return world


def _output(world: _World, call: _Call, value: Any) -> _World:
    return attrs.evolve(world, out=(*world.out, Item(value, call.stamps, call.window, call.panes)))


def _set_timer(world: _World, call: _Call, op: SetTimer, fault: Fault | None) -> _World:
    time = min(call.time + op.after, max_timestamp(call.window))
    if call.tag is not None and (op.tag != call.tag or time <= call.time or fault is Fault.RESET_LOST):
        return world
    others = world.timers if fault is Fault.TIMERS_PILE_UP else tuple(timer for timer in world.timers if timer.tag != op.tag)
    return attrs.evolve(world, timers=tuple(sorted((*others, _Timer(op.tag, time, call.panes)), key=repr)))


def _added(kind: str, entries: tuple[Any, ...], call: _Call, fault: Fault | None) -> tuple[Any, ...]:
    """The entries of a cell after the element's value is put in (M-STATE-05, 08..12). Their order carries nothing, so it is
    fixed."""
    value = call.value
    match kind:
        case "value":
            return (value,)
        case "combining":
            return (sum(entries) + value,)
        case "set" if fault is not Fault.DUPLICATES_IN_SET:
            return tuple(sorted({*entries, value}))
        case "multimap":
            return tuple(sorted((*entries, (value % 3, value))))
        case "ordered_list":
            if len(call.stamps) > 1:
                raise UnsupportedProgram(
                    "an ordered list sorts by a timestamp that is not certain; keep elements off the end of time (A-6)"
                )
            kept = [entry for entry in entries if fault is not Fault.ONE_PER_SORT_KEY or entry[0] != call.time]
            return tuple(sorted((*kept, (call.time, value))))
        case _:
            return tuple(sorted((*entries, value)))


def _contents(kind: str, entries: tuple[Any, ...]) -> Bag:
    if kind == "multimap":
        return Bag.of((0, entry) for entry in entries)
    if kind == "ordered_list":
        ranks = {key: rank for rank, key in enumerate(sorted({key for key, _ in entries}))}
        return Bag.of((ranks[key], (key, value)) for key, value in entries)
    return Bag.of((0, (0, entry)) for entry in entries)


# --------------------------------------------------------------------------------------------------------------- judging


def judge_stateful(step: Stateful, given: Content, seen: Sequence[Seen]) -> list[Finding]:
    """What is wrong with the output of a stateful ParDo on bounded input."""
    groups: Mapping[tuple[Any, Window], list[Item]] = _grouped(given)
    outputs: dict[tuple[Any, Window], list[Seen]] = defaultdict(list)
    for one in seen:
        value = canonical(one.value)
        key = value[0] if isinstance(value, tuple) else value
        outputs[key, one.window].append(one)
    for (key, window), strangers in outputs.items():
        if (key, window) not in groups:
            name = f"key {show_value(key)} in {show_window(window)}"
            shown = tuple(show_value(canonical(s.value)) for s in strangers[:6])
            return [Finding("M-STATE-01", f"{step.id} put out something for {name}, which got no element", (), shown)]
    return [
        finding
        for (key, window), items in groups.items()
        if (finding := _judge(step, key, window, items, outputs.get((key, window), [])))
    ]


def _grouped(given: Content) -> dict[tuple[Any, Window], list[Item]]:
    groups: dict[tuple[Any, Window], list[Item]] = defaultdict(list)
    for item in given:
        groups[item.value[0], item.window].append(item)
    return dict(groups)


def _judge(step: Stateful, key: Any, window: Window, items: Sequence[Item], seen: Sequence[Seen]) -> Finding | None:
    ends = outcomes(step, key, window, items)
    misses = [match(end, seen) for end in ends]
    if None in misses:
        return None
    name = f"key {show_value(key)} in {show_window(window)} of {step.id}"
    nearest = min(ends, key=lambda end: _distance(end, seen))
    shown = tuple(f"{show_value(canonical(s.value))} at {s.timestamp}" for s in seen[:8])
    for fault in Fault:
        rule, sentence = fault.value
        if any(match(end, seen) is None for end in _faulty(step, key, window, items, fault)):
            return Finding(rule, f"{name}: {sentence}", show_items(nearest), shown)
    kinds = {miss.kind for miss in misses if miss is not None}
    if kinds & {"timestamp", "pane", "window"}:
        rule, what = ("M-TIME-07", "timestamps") if "timestamp" in kinds else ("M-PANE-01", "panes")
        return Finding(
            rule, f"{name}: the {what} of its outputs are not those of the element or timer", show_items(nearest), shown
        )
    return Finding("M-STATE-04", f"{name}: no order of its elements and timers gives these outputs", show_items(nearest), shown)


def _faulty(step: Stateful, key: Any, window: Window, items: Sequence[Item], fault: Fault) -> list[tuple[Item, ...]]:
    if fault is Fault.ELEMENT_TWICE:
        return [end for item in items for end in outcomes(step, key, window, [*items, item], fault)]
    if fault is Fault.ELEMENT_LOST:
        return [end for i in range(len(items)) for end in outcomes(step, key, window, [*items[:i], *items[i + 1 :]])]
    return outcomes(step, key, window, items, fault)


def _distance(end: Iterable[Item], seen: Sequence[Seen]) -> int:
    wanted, got = Counter(item.value for item in end), Counter(canonical(s.value) for s in seen)
    return (wanted - got).total() + (got - wanted).total()
