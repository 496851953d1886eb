"""Stateful ParDos under a script: which callbacks may come in each beat, and what they put out.

For one key and window, a beat has two halves. In the first its elements come, at the watermark that the beat before left, in any order
(M-BNDL-09); in the second watermark or clock move. A timer that is past (`T < watermark`, `T < clock`) has fired before the
beat ends, one that is not reached has not (M-TIMER-10, M-TIMER-25, M-TS-01); at equality either may be (A-1, A-2). When the watermark is
past the window's expiry the expiration is called and all state goes (M-STATE-13, M-STATE-18), and elements that come later are dropped
(M-LATE-05); at the millisecond after the expiry both may already be so (A-8).

The search follows the callbacks only as long as what they put out was seen. An outcome that no order of them explains is explained
by the first `Fault` that does.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import Any

import attrs
from attrs import frozen

from conformance.oracle.callbacks import Call, Fault, Timer, World, begin, call_of_element, call_of_timer, run
from conformance.oracle.content import Item, freeze
from conformance.oracle.errors import UnsupportedProgram
from conformance.oracle.finding import Finding, show_items
from conformance.oracle.flows import Flow, History
from conformance.oracle.observed import Seen, canonical, show_value, show_window
from conformance.oracle.program import ClearTimer, Op, Stateful, WhenSize
from conformance.oracle.stateful import MOST_FIRINGS, stranger
from conformance.oracle.windows import end_timestamps, expiry, max_timestamp
from conformance.wire.timestamps import MAX, MIN
from conformance.wire.values import NO_FIRING, Window

__all__ = ["judge_stateful_flow"]

#: Elements of one key and window in one event: their orders are all tried.
_MOST_AT_ONCE = 5
_MOST_MOMENTS = 50_000

_NOTES = {
    "A-1": "an event-time timer fired, or did not, at a watermark of exactly its time (A-1)",
    "A-8": "an element came at a watermark of exactly the end of its lateness (A-8)",
    "A-20": "a processing-time timer fired, or did not, at the end of input (A-20)",
    "A-22": "timers of different families fired out of order (A-22)",
}

#: The domains whose timers are not owed under a fault.
_UNHEEDED = {
    Fault.TIMERS_LOST: ("event", "processing"),
    Fault.TIMERS_BEHIND: ("event",),
    Fault.CLOCK_IGNORED: ("processing",),
}


@frozen
class _Place:
    """One key and window of a stateful ParDo, and what is asked of it."""

    step: Stateful
    key: Any
    window: Window
    lateness: int
    flow: Flow
    #: what came out, to be explained; None: anything may
    seen: tuple[Item, ...] | None
    fault: Fault | None = None
    #: whether it matters in which beat something came out
    timed: bool = False

    @property
    def expiry(self) -> int:
        return expiry(self.window, self.lateness)


@frozen
class _Moment:
    """One key and window between two callbacks."""

    world: World
    #: elements of this beat that have not been processed
    left: tuple[Item, ...] = ()
    #: elements that wait for the watermark (M-STATE-16)
    waiting: tuple[Item, ...] = ()
    #: which of the seen are explained, as bits
    explained: int = 0
    touched: bool = False
    expired: bool = False
    firings: int = 0
    notes: frozenset[str] = frozenset()
    #: (beat, index of a seen item), and the hold after each beat
    placed: tuple[tuple[int, int], ...] = ()
    holds: tuple[int, ...] = ()

    def noting(self, note: str) -> _Moment:
        return attrs.evolve(self, notes=self.notes | {note})


@frozen
class _Clocks:
    watermark: int
    clock: int
    beat: int
    last: bool


def judge_stateful_flow(
    step: Stateful, lateness: int, flow: Flow, seen: Sequence[Seen], *, timed: bool
) -> tuple[list[Finding], list[list[History]]]:
    """What is wrong with the output of a stateful ParDo; else the histories of each key and window."""
    outputs: dict[tuple[Any, Window], list[Item]] = defaultdict(list)
    for item in freeze(seen):
        outputs[item.value[0] if isinstance(item.value, tuple) else item.value, item.window].append(item)
    given = dict.fromkeys((item.value[0], item.window) for beat in flow for item in beat.items)
    histories: list[list[History]] = []
    for (key, window), items in outputs.items():
        if (key, window) not in given:
            return [stranger(step, key, window, [item.value for item in items])], []
    for key, window in given:
        own = tuple(
            attrs.evolve(beat, items=tuple(item for item in beat.items if (item.value[0], item.window) == (key, window)))
            for beat in flow
        )
        if any(len(beat.items) > _MOST_AT_ONCE for beat in own):
            raise UnsupportedProgram(f"one event brings {step.id} too many elements for one key; give it at most {_MOST_AT_ONCE}")
        place = _Place(step, key, window, lateness, own, tuple(outputs.get((key, window), ())), timed=timed)
        some = _histories(place)
        if not some:
            return [_finding(place)], []
        histories.append(some)
    return [], histories


def _histories(place: _Place) -> list[History]:
    """The courses that put out just what was seen; those with the least to remark first."""
    assert place.seen is not None
    whole = (1 << len(place.seen)) - 1
    ends = [moment for moment in _ends(place) if moment.explained == whole]
    found: dict[tuple[Any, Any], History] = {}
    for moment in sorted(ends, key=lambda moment: (len(moment.notes), sorted(moment.notes))):
        items = tuple(
            tuple(place.seen[index] for at, index in moment.placed if at == beat) for beat in range(len(place.flow) * place.timed)
        )
        notes = frozenset(_NOTES[note] for note in moment.notes)
        found.setdefault((items, moment.holds), History(items, moment.holds, notes))
    return list(found.values())


def _ends(place: _Place) -> list[_Moment]:
    """Every moment that a run may end in."""
    moments = [_Moment(begin(place.step))]
    before, clock = MIN, 0
    for index, beat in enumerate(place.flow):
        last = index == len(place.flow) - 1
        arrived = [each for moment in moments for each in _arrive(place, moment, beat.items, before)]
        settled = _settle(place, arrived, _Clocks(before, clock, index, last=False))
        settled = _settle(place, settled, _Clocks(beat.watermark, beat.clock, index, last))
        moments = list(dict.fromkeys(then for moment in settled for then in _close(place, moment, beat.watermark, index)))
        before, clock = beat.watermark, beat.clock
    return moments


# ------------------------------------------------------------------------------------------------------------- within a beat


def _arrive(place: _Place, moment: _Moment, items: tuple[Item, ...], watermark: int) -> Iterator[_Moment]:
    """Which of the elements of a beat are let in (M-LATE-05)."""
    past = watermark - place.expiry
    if place.fault is Fault.DROPPED_ALIVE and watermark > max_timestamp(place.window):
        past = 2
    if place.fault is Fault.EXPIRED_PROCESSED:
        past = 0
    if not items:
        yield moment
        return
    if past > 1 or (past == 1 and moment.expired):
        yield moment
        return
    if past == 1:
        yield moment.noting("A-8")
        moment = moment.noting("A-8")
    if place.step.time_sorted and place.fault is not Fault.UNSORTED:
        items = tuple(item for item in items if min(item.timestamps) >= watermark)  # M-STATE-16: element-wise
    yield attrs.evolve(moment, left=items)


def _settle(place: _Place, moments: Sequence[_Moment], clocks: _Clocks) -> list[_Moment]:
    """Where the callbacks of half a beat may lead: every moment in which none is owed."""
    seen = dict.fromkeys(moments)
    todo, ends = list(seen), []
    while todo:
        moment = todo.pop()
        if not _owes(place, moment, clocks):
            ends.append(moment)
        for then in _next(place, moment, clocks):
            if then not in seen:
                seen[then] = None
                todo.append(then)
        if len(seen) > _MOST_MOMENTS:
            raise UnsupportedProgram(f"{place.step.id} may be run in too many orders; give it fewer elements and timers")
    return ends


def _owes(place: _Place, moment: _Moment, clocks: _Clocks) -> bool:
    if moment.left or any(min(item.timestamps) < clocks.watermark for item in moment.waiting):
        return True
    due = {"event": clocks.watermark, "processing": clocks.clock}
    for domain in _UNHEEDED.get(place.fault, ()) if place.fault else ():
        due[domain] = MIN
    return any(timer.time < due[timer.domain] for timer in moment.world.timers)


def _next(place: _Place, moment: _Moment, clocks: _Clocks) -> Iterator[_Moment]:
    """The callbacks that may come now."""
    for index, item in enumerate(moment.left):
        rest = attrs.evolve(moment, left=(*moment.left[:index], *moment.left[index + 1 :]))
        if place.step.time_sorted and place.fault is not Fault.UNSORTED:
            waiting = tuple(sorted((*moment.waiting, item), key=lambda each: (min(each.timestamps), repr(each.value))))
            yield attrs.evolve(rest, waiting=waiting)
            return  # their order is made by time alone
        yield from _element(place, rest, item, clocks)
    first = min((min(item.timestamps) for item in moment.waiting), default=None)
    for index, item in enumerate(moment.waiting):
        if min(item.timestamps) == first and first <= clocks.watermark:
            rest = attrs.evolve(moment, waiting=(*moment.waiting[:index], *moment.waiting[index + 1 :]))
            yield from _element(place, rest, item, clocks)
    for timer in moment.world.timers:
        may = _may_fire(place, moment, timer, clocks, first)
        if may is not None:
            yield from _fire(place, attrs.evolve(moment, notes=moment.notes | may), timer, clocks)


def _may_fire(place: _Place, moment: _Moment, timer: Timer, clocks: _Clocks, first_waiting: int | None) -> frozenset[str] | None:
    """Whether a timer may fire now, and what is to be remarked of it."""
    if place.fault is Fault.TIMERS_LOST:
        return None
    if timer.domain == "processing":
        if timer.time >= clocks.clock and clocks.last:
            return frozenset({"A-20"})
        return frozenset() if timer.time <= clocks.clock or place.fault is Fault.CLOCK_AHEAD else None
    if first_waiting is not None and first_waiting <= timer.time:
        return None  # M-TIMER-18
    others = [other for other in moment.world.timers if other.domain == "event" and other.time < timer.time]
    if any(other.family == timer.family for other in others) and place.fault is not Fault.TIMERS_OUT_OF_ORDER:
        return None  # M-TIMER-17
    if timer.time > clocks.watermark and place.fault is not Fault.TIMERS_AHEAD:
        return None
    notes = {"A-22"} if others else set[str]()
    return frozenset(notes | {"A-1"} if timer.time == clocks.watermark else notes)


def _element(place: _Place, moment: _Moment, item: Item, clocks: _Clocks) -> Iterator[_Moment]:
    call = call_of_element(place.key, place.window, item, place.lateness, clocks.clock)
    world = moment.world.emptied() if place.fault is Fault.STATE_LOST else moment.world
    world = run(place.step, place.step.on_element, call, world, place.fault)
    yield from _explained(place, attrs.evolve(moment, touched=True), world, clocks.beat)


def _fire(place: _Place, moment: _Moment, timer: Timer, clocks: _Clocks) -> Iterator[_Moment]:
    if moment.firings >= MOST_FIRINGS:
        raise UnsupportedProgram(f"{place.step.id} fires timers without end; bound the loop with a WhenSize")
    # At the end of input the clock may have jumped to the timer.
    now = max(clocks.clock, timer.time) if timer.domain == "processing" else clocks.clock
    call = call_of_timer(place.key, place.window, timer, place.lateness, now, place.fault)
    world = run(place.step, place.step.on_timer, call, moment.world.without(timer), place.fault)
    yield from _explained(place, attrs.evolve(moment, firings=moment.firings + 1), world, clocks.beat)


def _explained(place: _Place, moment: _Moment, world: World, beat: int) -> Iterator[_Moment]:
    """The moment after a callback, for each way in which what it put out was seen; none if it was not."""
    ways = [(moment.explained, moment.placed)]
    if place.seen is not None:
        for item in world.out:
            ways = [
                (explained | 1 << index, (*placed, (beat, index)) if place.timed else placed)
                for explained, placed in ways
                for index in _as_seen(place.seen, item, explained)
            ]
    quiet = attrs.evolve(world, out=() if place.seen is not None else world.out)
    for explained, placed in ways:
        yield attrs.evolve(moment, world=quiet, explained=explained, placed=tuple(sorted(placed)))


def _as_seen(seen: Sequence[Item], item: Item, explained: int) -> list[int]:
    """The seen items that may be this one; of equal ones the first."""
    found: dict[Item, int] = {}
    for index, other in enumerate(seen):
        fits = other.value == item.value and other.timestamps <= item.timestamps and other.panes <= item.panes
        if fits and not explained >> index & 1:
            found.setdefault(other, index)
    return list(found.values())


def _close(place: _Place, moment: _Moment, watermark: int, beat: int) -> Iterator[_Moment]:
    """The end of a beat: the window expires, or may, or not yet."""
    past = watermark - place.expiry
    if place.fault is Fault.EXPIRATION_EARLY and watermark > max_timestamp(place.window):
        past = 2
    if place.fault is Fault.STATE_GONE and watermark > max_timestamp(place.window):
        moment = attrs.evolve(moment, world=moment.world.emptied())
    if past <= 1 or moment.expired:
        yield _held(place, moment)
    if past < 1 or moment.expired:
        return
    times = 1 if moment.touched else 0
    times = {Fault.NO_EXPIRATION: 0, Fault.EXPIRATION_TWICE: 2 * times}.get(place.fault, times) if place.fault else times
    panes = frozenset({NO_FIRING}).union(*(item.panes for beat_of in place.flow for item in beat_of.items))
    stamps = end_timestamps(place.window)
    call = Call(place.key, place.window, stamps, panes, max(stamps), place.lateness)
    ways = [attrs.evolve(moment, expired=True, touched=False)]
    for _ in range(times):
        ways = [
            then
            for way in ways
            for then in _explained(place, way, run(place.step, place.step.on_expiration, call, way.world, place.fault), beat)
        ]
    for way in ways:
        out = way.world.out
        yield _held(place, attrs.evolve(way, world=attrs.evolve(begin(place.step), out=out)))


def _held(place: _Place, moment: _Moment) -> _Moment:
    """M-TIMER-12, M-STATE-16, M-STATE-18: where the output watermark is held after the beat."""
    if not place.timed:
        return moment
    holds = [timer.hold for timer in moment.world.timers]
    holds += [min(item.timestamps) for item in moment.waiting]
    if place.step.on_expiration and moment.touched and not moment.expired:
        holds.append(max_timestamp(place.window))
    return attrs.evolve(moment, holds=(*moment.holds, min(holds, default=MAX)))


# ------------------------------------------------------------------------------------------------------------- naming faults


def _finding(place: _Place) -> Finding:
    assert place.seen is not None
    name = f"key {show_value(place.key)} in {show_window(place.window)} of {place.step.id}"
    wanted = show_items(_usual(place))
    shown = tuple(f"{show_value(canonical(item.value))} at {min(item.timestamps)}" for item in place.seen[:8])
    place = attrs.evolve(place, timed=False)
    for fault in Fault:
        if any(_histories(attrs.evolve(other, fault=fault)) for other in _faulty(place, fault)):
            rule, sentence = fault.value
            return Finding(rule, f"{name}: {sentence}", wanted, shown)
    seen = place.seen or ()
    uncalled = tuple(item for item in seen if not _of_timers(item, _cleared_timers(place.step.on_element)))
    if len(uncalled) < len(seen) and _histories(attrs.evolve(place, seen=uncalled)):
        return Finding("M-TIMER-04", f"{name}: a timer fired that was cleared, set before or not", wanted, shown)
    loose = tuple(attrs.evolve(item, timestamps=frozenset[int](), panes=frozenset[Any]()) for item in seen)
    if _histories(attrs.evolve(place, seen=loose)):
        sentence = "the timestamps or panes of its outputs are not those of the element or timer"
        return Finding("M-TIME-07", f"{name}: {sentence}", wanted, shown)
    return Finding("M-STATE-04", f"{name}: no order of its elements and timers gives these outputs", wanted, shown)


def _cleared_timers(ops: Sequence[Op]) -> frozenset[tuple[str, str]]:
    inner = [op.ops for op in ops if isinstance(op, WhenSize)]
    own = frozenset((op.family, op.tag) for op in ops if isinstance(op, ClearTimer))
    return own.union(*(_cleared_timers(some) for some in inner))


def _of_timers(item: Item, timers: frozenset[tuple[str, str]]) -> bool:
    """Whether an output names one of these timers as its callback's."""
    words = str(item.value[1][0]).split(":") if isinstance(item.value[1], tuple) else []
    return len(words) > 1 and (words[-2] if len(words) > 2 else "timers", words[-1]) in timers


def _faulty(place: _Place, fault: Fault) -> Iterator[_Place]:
    """The place with the inputs that a fault may have made of its own."""
    if fault is Fault.EVENTS_MIXED:
        yield attrs.evolve(place, flow=_mixed(place.flow))
        return
    if fault not in (Fault.ELEMENT_LOST, Fault.ELEMENT_TWICE):
        yield place
        return
    for at, beat in enumerate(place.flow):
        for index, item in enumerate(beat.items):
            items = (*beat.items[:index], *beat.items[index + 1 :]) if fault is Fault.ELEMENT_LOST else (*beat.items, item)
            yield attrs.evolve(place, flow=(*place.flow[:at], attrs.evolve(beat, items=items), *place.flow[at + 1 :]))


def _mixed(flow: Flow) -> Flow:
    """Elements of consecutive events, with no watermark or clock between them, all in the last of these events."""
    beats = list(flow)
    for index in range(len(beats) - 1):
        here, there = beats[index], beats[index + 1]
        if here.items and (here.watermark, here.clock) == (there.watermark, there.clock):
            beats[index : index + 2] = [attrs.evolve(here, items=()), attrs.evolve(there, items=(*here.items, *there.items))]
    return tuple(beats)


def _usual(place: _Place) -> tuple[Item, ...]:
    """What one usual run puts out, to be shown."""
    try:
        ends = _ends(attrs.evolve(place, seen=None, timed=False))
    except UnsupportedProgram:
        return ()
    least = min(ends, key=lambda moment: len(moment.notes), default=None)
    return least.world.out if least is not None else ()
