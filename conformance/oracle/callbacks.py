"""What one callback of a stateful ParDo does: its operations on cells, timers and outputs, for one key and window.

Which callbacks come, and in which order, is decided by `oracle.stateful` (bounded input) and `oracle.stateful_script` (scripts).

How contents are emitted, for every kind of cell: a list of `(rank, (k, value))`. `k` is the map key of a map or multimap, the sort
key of an ordered list, else 0. `rank` is 0 but for an ordered list, where it counts how often the sort key changed before
this entry *in the order read*: so a list read in the wrong order shows although lists compare as multisets.

What is wrong with an impossible outcome is found by interpreting with one `Fault` after the other: the first that explains what was
seen names the rule.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final, assert_never

import attrs
from attrs import frozen

from conformance.oracle.content import Item
from conformance.oracle.errors import UnsupportedProgram
from conformance.oracle.observed import Bag
from conformance.oracle.program import (
    Add,
    Clear,
    ClearPart,
    ClearTimer,
    Emit,
    EmitElement,
    EmitKeys,
    EmitPart,
    Op,
    SetTimer,
    Stateful,
    WhenSize,
)
from conformance.oracle.windows import end_timestamps, expiry, max_timestamp
from conformance.wire.values import NO_FIRING, GlobalWindow, Pane, Window

__all__ = ["OF_SCRIPTS", "PART_BEFORE", "Call", "Fault", "Timer", "World", "begin", "call_of_element", "call_of_timer", "run"]

#: How far back the part of an ordered list reaches that ClearPart and EmitPart mean.
PART_BEFORE: Final = 5


class Fault(enum.Enum):
    """A way to break one rule, and the rule with a sentence for it."""

    UNSORTED = ("M-STATE-16", "elements were not processed in order of their timestamps")
    TIMERS_OUT_OF_ORDER = ("M-TIMER-17", "timers did not fire in order of their timestamps")
    TIMERS_EARLY = ("M-TIMER-18", "a timer fired before elements that come before it")
    CLEAR_TIMER_IGNORED = ("M-TIMER-04", "a timer fired that had been cleared")
    TIMERS_PILE_UP = ("M-TIMER-02", "a timer that was set again fired for the old setting too")
    TIMERS_LOST = ("M-TIMER-10", "timers that were set never fired")
    RESET_LOST = ("M-TIMER-02", "a timer that its callback set again did not fire again")
    TAGS_SHARED = ("M-TIMER-01", "timers of different tags or families were taken for one")
    HOLD_IGNORED = ("M-TIMER-20", "a timer's output is not stamped with its hold")
    CLEAR_IGNORED = ("M-STATE-04", "a cell that was cleared kept its contents")
    CLEAR_PART_IGNORED = ("M-STATE-10", "a part of a cell that was cleared was still there")
    CLEAR_PART_CLEARS_ALL = ("M-STATE-10", "clearing a part of a cell cleared more than that")
    ONE_PER_SORT_KEY = ("M-STATE-12", "an ordered list kept one value for a sort key")
    DUPLICATES_IN_SET = ("M-STATE-11", "a set kept duplicates")
    DUPLICATES_IN_MAP = ("M-STATE-11", "a map kept the old value beside the new one")
    STATE_LOST = ("M-STATE-07", "what one element wrote was not there for the next")
    NO_EXPIRATION = ("M-STATE-18", "the window's expiration was not called")
    EXPIRATION_TWICE = ("M-STATE-18", "the window's expiration was called twice")
    # Of scripts only: what happens at which watermark and time.
    TIMERS_AHEAD = ("M-TIMER-10", "a timer fired before the watermark reached it")
    CLOCK_AHEAD = ("M-TIMER-25", "a timer fired before the processing time reached it")
    CLOCK_IGNORED = ("M-TS-01", "a processing-time timer that was due did not fire before the next event")
    TIMERS_BEHIND = ("M-TIMER-10", "an event-time timer that was due did not fire before the next event")
    STATE_GONE = ("M-STATE-13", "state was gone at the end of its window, before the window expired")
    DROPPED_ALIVE = ("M-LATE-05", "an element was dropped although its window had not expired")
    EXPIRED_PROCESSED = ("M-LATE-05", "an element of an expired window was processed")
    EXPIRATION_EARLY = ("M-STATE-18", "the window's expiration was called before it expired")
    EVENTS_MIXED = ("M-TS-01", "elements of one event were processed before those of an earlier one")
    # Least sharp, so last: anything that was left out or done twice.
    ELEMENT_LOST = ("M-XF-18", "an element was not processed")
    ELEMENT_TWICE = ("M-XF-18", "an element was processed twice")


#: Faults that need a script to show.
OF_SCRIPTS: Final = frozenset(
    {
        Fault.TIMERS_AHEAD,
        Fault.CLOCK_AHEAD,
        Fault.CLOCK_IGNORED,
        Fault.TIMERS_BEHIND,
        Fault.STATE_GONE,
        Fault.DROPPED_ALIVE,
        Fault.EXPIRED_PROCESSED,
        Fault.EXPIRATION_EARLY,
        Fault.EVENTS_MIXED,
    }
)


@frozen
class Timer:
    """A pending timer."""

    family: str
    domain: str
    tag: str
    time: int
    hold: int
    panes: frozenset[Pane]

    @property
    def identity(self) -> tuple[str, str]:
        return (self.family, self.tag)


@frozen
class World:
    """State, pending timers and outputs of one key and window. `out` is what was put out since somebody last took it away."""

    cells: tuple[tuple[str, tuple[Any, ...]], ...]
    timers: tuple[Timer, ...] = ()
    out: tuple[Item, ...] = ()

    def cell(self, name: str) -> tuple[Any, ...]:
        return dict(self.cells)[name]

    def with_cell(self, name: str, entries: Iterable[Any]) -> World:
        made = tuple(entries)
        return attrs.evolve(self, cells=tuple((n, made if n == name else old) for n, old in self.cells))

    def emptied(self) -> World:
        return attrs.evolve(self, cells=tuple((name, ()) for name, _ in self.cells))

    def without(self, timer: Timer) -> World:
        timers = list(self.timers)
        timers.remove(timer)
        return attrs.evolve(self, timers=tuple(timers))


@frozen
class Call:
    """What a callback knows: of an element (`value` set), a timer (`timer` set) or the expiration (neither)."""

    key: Any
    window: Window
    stamps: frozenset[int]
    panes: frozenset[Pane]
    #: the timestamp of the element, the firing time of an event-time timer
    time: int
    lateness: int = 0
    #: processing time
    now: int = 0
    value: Any = None
    timer: Timer | None = None


def begin(step: Stateful) -> World:
    return World(tuple((cell.name, ()) for cell in step.cells))


def call_of_element(key: Any, window: Window, item: Item, lateness: int = 0, now: int = 0) -> Call:
    return Call(key, window, item.timestamps, item.panes, max(item.timestamps), lateness, now, value=item.value[1])


def call_of_timer(key: Any, window: Window, timer: Timer, lateness: int = 0, now: int = 0, fault: Fault | None = None) -> Call:
    """M-TIMER-20: a callback puts out at the timer's hold. M-TIMER-07: with the pane of the setting element or none."""
    stamp = timer.time if fault is Fault.HOLD_IGNORED and timer.domain == "event" else timer.hold
    at_end = isinstance(window, GlobalWindow) and stamp >= min(end_timestamps(window))
    stamps = end_timestamps(window) if at_end else frozenset({stamp})
    return Call(key, window, stamps, timer.panes | {NO_FIRING}, timer.time, lateness, now, timer=timer)


def run(step: Stateful, ops: tuple[Op, ...], call: Call, world: World, fault: Fault | None = None) -> World:
    """Do the operations of one callback in their order: a cell reads what was written before (M-STATE-04)."""
    kinds = {cell.name: cell.kind for cell in step.cells}
    for op in ops:
        match op:
            case Add(cell):
                world = world.with_cell(cell, _added(kinds[cell], world.cell(cell), call, fault))
            case Clear(cell):
                world = world if fault is Fault.CLEAR_IGNORED else world.with_cell(cell, ())
            case ClearPart(cell):
                world = world.with_cell(cell, _cleared(kinds[cell], world.cell(cell), call, fault))
            case Emit(cell, label):
                world = _output(world, call, label, _contents(kinds[cell], world.cell(cell)))
            case EmitPart(cell, label):
                part = tuple(filter(_of_part(kinds[cell], call), world.cell(cell)))
                world = _output(world, call, label, _contents(kinds[cell], part))
            case EmitKeys(cell, label):
                keys = {key for key, _ in world.cell(cell)}  # M-STATE-10: each present key once
                world = _output(world, call, label, Bag.of((0, (key, 0)) for key in keys))
            case EmitElement(label):
                world = _output(world, call, label, Bag.of([(0, (0, call.value))]))
            case SetTimer():
                world = _set_timer(step, world, call, op, fault)
            case ClearTimer(tag, family):
                if fault is not Fault.CLEAR_TIMER_IGNORED:
                    kept = tuple(timer for timer in world.timers if timer.identity != (family, tag))
                    world = attrs.evolve(world, timers=kept)
            case WhenSize(cell, inner, at_least, at_most):
                if at_least <= len(world.cell(cell)) <= at_most:
                    world = run(step, inner, call, world, fault)
            case _:
                assert_never(op)
    return world


def _output(world: World, call: Call, label: str, contents: Bag) -> World:
    if call.timer is not None:
        family, tag = call.timer.identity
        label = f"{label}:{tag}" if family == "timers" else f"{label}:{family}:{tag}"
    return attrs.evolve(world, out=(*world.out, Item((call.key, (label, contents)), call.stamps, call.window, call.panes)))


def _set_timer(step: Stateful, world: World, call: Call, op: SetTimer, fault: Fault | None) -> World:
    domain = next(family.domain for family in step.families if family.name == op.family)
    own = call.timer is not None and call.timer.identity == (op.family, op.tag)
    if call.timer is not None and (not own or fault is Fault.RESET_LOST):
        return world
    if domain == "event":
        end = max_timestamp(call.window) if op.until == "window" else expiry(call.window, call.lateness)
        time = min(call.time + op.after, end)
        hold = time if op.hold is None else min(time, call.time + op.hold)
        if call.timer is not None and time <= call.time:
            return world
    else:
        # M-TIMER-12: a processing-time timer holds at the element's timestamp, or at the hold of the timer that set it.
        time, hold = call.now + op.after, max(call.stamps)
    made = Timer(op.family, domain, op.tag, time, hold, call.panes)
    same: Callable[[Timer], bool] = lambda timer: timer.identity == made.identity  # noqa: E731
    if fault is Fault.TAGS_SHARED:
        same = lambda timer: timer.domain == made.domain  # noqa: E731
    others = world.timers if fault is Fault.TIMERS_PILE_UP else tuple(timer for timer in world.timers if not same(timer))
    return attrs.evolve(world, timers=tuple(sorted((*others, made), key=_timer_order)))


def _timer_order(timer: Timer) -> tuple[int, str, str, int, str]:
    return (timer.time, timer.family, timer.tag, timer.hold, repr(timer.panes))


def _added(kind: str, entries: tuple[Any, ...], call: Call, fault: Fault | None) -> tuple[Any, ...]:
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
        case "map":
            others = [entry for entry in entries if entry[0] != value % 3 or fault is Fault.DUPLICATES_IN_MAP]
            return tuple(sorted((*others, (value % 3, value))))
        case "multimap":
            return tuple(sorted((*entries, (value % 3, value))))
        case "ordered_list":
            _certain(call)
            kept = [entry for entry in entries if fault is not Fault.ONE_PER_SORT_KEY or entry[0] != call.time]
            return tuple(sorted((*kept, (call.time, value))))
        case _:
            return tuple(sorted((*entries, value)))


def _certain(call: Call) -> None:
    if len(call.stamps) > 1:
        raise UnsupportedProgram(
            "an ordered list sorts by a timestamp that is not certain; keep elements off the end of time (A-6)"
        )


def _of_part(kind: str, call: Call) -> Callable[[Any], bool]:
    """Whether an entry is in the part of the cell that belongs to the element."""
    if kind == "ordered_list":
        _certain(call)
        return lambda entry: bool(call.time - PART_BEFORE <= entry[0] <= call.time)  # M-STATE-12: end exclusive is ts + 1
    if kind == "set":
        return lambda entry: bool(entry == call.value)
    return lambda entry: bool(entry[0] == call.value % 3)


def _cleared(kind: str, entries: tuple[Any, ...], call: Call, fault: Fault | None) -> tuple[Any, ...]:
    if fault is Fault.CLEAR_PART_IGNORED:
        return entries
    if fault is Fault.CLEAR_PART_CLEARS_ALL:
        return ()
    belongs = _of_part(kind, call)
    return tuple(entry for entry in entries if not belongs(entry))


#: How the entries of each kind that has keys are laid out.
_KEYED: Final[Mapping[str, Callable[[tuple[Any, ...]], Bag]]] = {
    "map": lambda entries: Bag.of((0, entry) for entry in entries),
    "multimap": lambda entries: Bag.of((0, entry) for entry in entries),
    "ordered_list": lambda entries: _ranked(entries),
}


def _ranked(entries: tuple[Any, ...]) -> Bag:
    ranks = {key: rank for rank, key in enumerate(sorted({key for key, _ in entries}))}
    return Bag.of((ranks[key], (key, value)) for key, value in entries)


def _contents(kind: str, entries: tuple[Any, ...]) -> Bag:
    return _KEYED[kind](entries) if kind in _KEYED else Bag.of((0, (0, entry)) for entry in entries)
