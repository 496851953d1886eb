"""Stateful ParDos on bounded input: every order of elements and timers that the model allows, and what each puts out.

The elements of one key and window come in any order (M-BNDL-09; by timestamp where the program asks for it, M-STATE-16). A
pending timer may fire as soon as every element with a timestamp up to its own has been processed (M-TIMER-10, M-TIMER-18),
and must once there are no more elements (M-BATCH-09); of several of one family the earliest goes first (M-TIMER-17, A-22). A
processing-time timer may fire at any time, or not at all (M-BATCH-10). What comes out must be the outcome of one such order.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import attrs
from attrs import frozen

from conformance.oracle.callbacks import OF_SCRIPTS, Call, Fault, World, begin, call_of_element, call_of_timer, run
from conformance.oracle.content import Content, Item, match
from conformance.oracle.errors import UnsupportedProgram
from conformance.oracle.finding import Finding, show_items
from conformance.oracle.observed import Seen, canonical, show_value, show_window
from conformance.oracle.program import Stateful
from conformance.oracle.windows import end_timestamps
from conformance.wire.values import NO_FIRING, Window

__all__ = ["MOST_ELEMENTS", "MOST_FIRINGS", "by_key_and_window", "judge_stateful", "outcomes", "stranger"]

#: Elements of one key and window: their orders are all tried.
MOST_ELEMENTS = 5
MOST_FIRINGS = 60


@frozen
class _Moment:
    """One key and window between two callbacks."""

    left: tuple[Item, ...]
    world: World
    firings: int = 0

    def then(self, world: World, **changes: Any) -> _Moment:
        # The order of outputs is free, so worlds that differ in it only are one.
        made = attrs.evolve(world, out=tuple(sorted(world.out, key=repr)))
        return attrs.evolve(self, world=made, **changes)


def outcomes(
    step: Stateful, key: Any, window: Window, items: Sequence[Item], fault: Fault | None = None, lateness: int = 0
) -> list[tuple[Item, ...]]:
    """Every multiset of outputs that the elements of one key and window may lead to."""
    if len(items) > MOST_ELEMENTS + (fault is Fault.ELEMENT_TWICE):
        raise UnsupportedProgram(f"{step.id} gets {len(items)} elements for one key and window; give it at most {MOST_ELEMENTS}")
    start = _Moment(tuple(items), begin(step))
    seen, todo = {start}, [start]
    ends: dict[frozenset[tuple[Item, int]], tuple[Item, ...]] = {}
    while todo:
        moment = todo.pop()
        following = _next(step, key, window, moment, fault, lateness)
        if (not moment.left and not any(timer.domain == "event" for timer in moment.world.timers)) or not following:
            done = _expire(step, key, window, items, moment.world, fault, lateness)
            ends[frozenset(Counter(done.out).items())] = done.out
        for then in following:
            if then not in seen:
                seen.add(then)
                todo.append(then)
    return list(ends.values())


def _next(step: Stateful, key: Any, window: Window, moment: _Moment, fault: Fault | None, lateness: int) -> list[_Moment]:
    """What may happen next: an element, or a timer."""
    following: list[_Moment] = []
    world = moment.world
    sorted_only = step.time_sorted and fault is not Fault.UNSORTED
    first = min((min(item.timestamps) for item in moment.left), default=None)
    for index, item in enumerate(moment.left):
        if sorted_only and min(item.timestamps) != first:
            continue
        rest = (*moment.left[:index], *moment.left[index + 1 :])
        call = call_of_element(key, window, item, lateness)
        before = world.emptied() if fault is Fault.STATE_LOST else world
        following.append(moment.then(run(step, step.on_element, call, before, fault), left=rest))
    if fault is Fault.TIMERS_LOST:
        return following
    earliest: dict[str, int] = {}
    for timer in world.timers:
        earliest[timer.family] = min(timer.time, earliest.get(timer.family, timer.time))
    for timer in world.timers:
        if timer.domain == "event":
            if timer.time != earliest[timer.family] and fault is not Fault.TIMERS_OUT_OF_ORDER:
                continue
            if first is not None and first <= timer.time and fault is not Fault.TIMERS_EARLY:
                continue
        if moment.firings >= MOST_FIRINGS:
            raise UnsupportedProgram(f"{step.id} fires timers without end; bound the loop with a WhenSize")
        # M-TIMER-02: unset before its callback.
        call = call_of_timer(key, window, timer, lateness, timer.time if timer.domain == "processing" else 0, fault)
        after = run(step, step.on_timer, call, world.without(timer), fault)
        following.append(moment.then(after, firings=moment.firings + 1))
    return following


def _expire(
    step: Stateful, key: Any, window: Window, items: Sequence[Item], world: World, fault: Fault | None, lateness: int
) -> World:
    """M-STATE-18: once, after all timers, stamped with the end of the window."""
    panes = frozenset({NO_FIRING}).union(*(item.panes for item in items))
    stamps = end_timestamps(window)
    call = Call(key, window, stamps, panes, max(stamps), lateness)
    for _ in range({Fault.NO_EXPIRATION: 0, Fault.EXPIRATION_TWICE: 2}.get(fault, 1) if fault else 1):
        world = run(step, step.on_expiration, call, world, fault)
    return attrs.evolve(world, out=tuple(sorted(world.out, key=repr)))


# --------------------------------------------------------------------------------------------------------------- judging


def judge_stateful(step: Stateful, given: Content, seen: Sequence[Seen], lateness: int = 0) -> list[Finding]:
    """What is wrong with the output of a stateful ParDo on bounded input."""
    groups = by_key_and_window(given)
    outputs: dict[tuple[Any, Window], list[Seen]] = defaultdict(list)
    for one in seen:
        value = canonical(one.value)
        outputs[value[0] if isinstance(value, tuple) else value, one.window].append(one)
    for place, strangers in outputs.items():
        if place not in groups:
            return [stranger(step, *place, [canonical(one.value) for one in strangers])]
    return [
        finding
        for (key, window), items in groups.items()
        if (finding := _judge(step, key, window, items, outputs.get((key, window), []), lateness))
    ]


def stranger(step: Stateful, key: Any, window: Window, values: Sequence[Any]) -> Finding:
    """Something was put out for a key and window that got nothing."""
    name = f"key {show_value(key)} in {show_window(window)}"
    shown = tuple(show_value(value) for value in values[:6])
    return Finding("M-STATE-01", f"{step.id} put out something for {name}, which got no element", (), shown)


def by_key_and_window(given: Content) -> Mapping[tuple[Any, Window], list[Item]]:
    groups: dict[tuple[Any, Window], list[Item]] = defaultdict(list)
    for item in given:
        groups[item.value[0], item.window].append(item)
    return dict(groups)


def _judge(
    step: Stateful, key: Any, window: Window, items: Sequence[Item], seen: Sequence[Seen], lateness: int
) -> Finding | None:
    ends = outcomes(step, key, window, items, lateness=lateness)
    misses = [match(end, seen) for end in ends]
    if None in misses:
        return None
    name = f"key {show_value(key)} in {show_window(window)} of {step.id}"
    nearest = min(ends, key=lambda end: _distance(end, seen))
    shown = tuple(f"{show_value(canonical(s.value))} at {s.timestamp}" for s in seen[:8])
    for fault in Fault:
        rule, sentence = fault.value
        if fault not in OF_SCRIPTS and any(
            match(end, seen) is None for end in _faulty(step, key, window, items, fault, lateness)
        ):
            return Finding(rule, f"{name}: {sentence}", show_items(nearest), shown)
    kinds = {miss.kind for miss in misses if miss is not None}
    if kinds & {"timestamp", "pane", "window"}:
        rule, what = ("M-TIME-07", "timestamps") if "timestamp" in kinds else ("M-PANE-01", "panes")
        return Finding(
            rule, f"{name}: the {what} of its outputs are not those of the element or timer", show_items(nearest), shown
        )
    return Finding("M-STATE-04", f"{name}: no order of its elements and timers gives these outputs", show_items(nearest), shown)


def _faulty(
    step: Stateful, key: Any, window: Window, items: Sequence[Item], fault: Fault, lateness: int
) -> list[tuple[Item, ...]]:
    given = [list(items)]
    if fault is Fault.ELEMENT_TWICE:
        given = [[*items, item] for item in items]
    if fault is Fault.ELEMENT_LOST:
        given = [[*items[:i], *items[i + 1 :]] for i in range(len(items))]
    return [end for some in given for end in outcomes(step, key, window, some, fault, lateness)]


def _distance(end: Iterable[Item], seen: Sequence[Seen]) -> int:
    wanted, got = Counter(item.value for item in end), Counter(canonical(s.value) for s in seen)
    return (wanted - got).total() + (got - wanted).total()
