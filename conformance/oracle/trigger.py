"""Triggers as pure state machines: section 3.2 and the trigger half of 3.5.

A machine's state is a `State`: finished or not, one number, and the states of its parts. `start`, `arrive`, `ready`, `fire`
and `merge` answer with new states and never change one. Each reads as its rule; the choice points of the model (when a runner
evaluates, how it batches arrivals) are the caller's.
"""

from __future__ import annotations

from collections.abc import Sequence

import attrs
from attrs import frozen

from conformance.oracle.program import (
    AfterAll,
    AfterAny,
    AfterCount,
    AfterEach,
    AfterEndOfWindow,
    AfterProcessingTime,
    AfterSynchronizedProcessingTime,
    Always,
    DefaultTrigger,
    Never,
    OrFinally,
    Repeat,
    Trigger,
)

__all__ = [
    "Clock",
    "State",
    "arrive",
    "can_close",
    "can_finish_early",
    "can_fire_early",
    "continuation",
    "fire",
    "merge",
    "ready",
    "start",
    "targets",
]


@frozen
class Clock:
    """What a trigger may look at: whether the watermark is past the window's last instant, and the processing time."""

    end_of_window: bool
    processing_time: int = 0


@frozen
class State:
    """`number` is a count, a target, or a phase, by the kind of trigger; None where nothing has arrived yet."""

    finished: bool = False
    number: int | None = None
    parts: tuple[State, ...] = ()


def _parts(trigger: Trigger) -> tuple[Trigger, ...]:
    match trigger:
        case AfterEndOfWindow(early, late):
            return (early or Never(), late or Never())  # M-TRIG-17: a missing part is one that never fires
        case AfterAll(parts) | AfterAny(parts) | AfterEach(parts):
            return parts
        case OrFinally(main, until):
            return (main, until)
        case Repeat(sub):
            return (sub,)
        case _:
            return ()


def start(trigger: Trigger) -> State:
    """The state of a window that nothing has reached yet."""
    return State(parts=tuple(start(part) for part in _parts(trigger)))


def _current(state: State) -> int:
    """The first unfinished part of an AfterEach; the last if all are finished."""
    return next((i for i, part in enumerate(state.parts) if not part.finished), len(state.parts) - 1)


def _with_part(state: State, index: int, part: State) -> State:
    return attrs.evolve(state, parts=(*state.parts[:index], part, *state.parts[index + 1 :]))


def _late_phase(state: State) -> bool:
    return state.number == 1


def arrive(trigger: Trigger, state: State, count: int, clock: Clock) -> State:
    """`count` elements are added to the window."""
    if state.finished:
        return state
    parts = _parts(trigger)
    match trigger:
        case AfterCount():
            return attrs.evolve(state, number=(state.number or 0) + count)
        case AfterProcessingTime(delay):
            # M-TRIG-18: the first element since the reset sets the target, later ones do not move it.
            return state if state.number is not None else attrs.evolve(state, number=clock.processing_time + delay)
        case AfterSynchronizedProcessingTime():
            return attrs.evolve(state, number=1)
        case AfterEndOfWindow():
            index = 1 if _late_phase(state) else 0
            return _with_part(state, index, arrive(parts[index], state.parts[index], count, clock))
        case AfterEach():
            index = _current(state)  # M-TRIG-25: elements feed only the current part
            return _with_part(state, index, arrive(parts[index], state.parts[index], count, clock))
        case AfterAll() | AfterAny() | OrFinally() | Repeat():
            fed = tuple(arrive(part, sub, count, clock) for part, sub in zip(parts, state.parts, strict=True))
            return attrs.evolve(state, parts=fed)
        case _:
            return state


def ready(trigger: Trigger, state: State, clock: Clock) -> bool:
    """shouldFire: whether the window may fire now."""
    if state.finished:
        return False
    subs = list(zip(_parts(trigger), state.parts, strict=True))
    match trigger:
        case DefaultTrigger():
            return clock.end_of_window  # M-TRIG-10
        case Never():
            return False  # M-TRIG-11
        case Always():
            return True  # M-TRIG-12
        case AfterCount(n):
            return (state.number or 0) >= n  # M-TRIG-13
        case AfterProcessingTime():
            return state.number is not None and clock.processing_time > state.number  # M-TRIG-18, strict
        case AfterSynchronizedProcessingTime():
            return state.number is not None  # M-TRIG-22
        case AfterEndOfWindow():
            if _late_phase(state):
                return ready(*subs[1], clock)
            return clock.end_of_window or ready(*subs[0], clock)  # M-TRIG-15
        case AfterAll():
            return all(sub.finished or ready(part, sub, clock) for part, sub in subs)  # M-TRIG-23
        case AfterAny():
            return any(sub.finished or ready(part, sub, clock) for part, sub in subs)  # M-TRIG-24
        case AfterEach():
            return ready(*subs[_current(state)], clock)  # M-TRIG-25
        case OrFinally():
            return any(ready(part, sub, clock) for part, sub in subs)  # M-TRIG-26
        case Repeat():
            return ready(*subs[0], clock)  # M-TRIG-27


def fire(trigger: Trigger, state: State, clock: Clock) -> State:
    """onFire of a ready trigger. A finished result closes the window."""
    subs = list(zip(_parts(trigger), state.parts, strict=True))
    done = State(finished=True, parts=tuple(start(part) for part in _parts(trigger)))
    match trigger:
        case DefaultTrigger() | Never() | Always():
            return state
        case AfterEndOfWindow(_, late):
            if _late_phase(state):
                return _with_part(state, 1, start(subs[1][0]))  # the implicit repeat of the late part
            if not clock.end_of_window:
                return _with_part(state, 0, start(subs[0][0]))  # the implicit repeat of the early part
            return done if late is None else State(number=1, parts=done.parts)
        case AfterEach():
            index = _current(state)  # M-TRIG-25: one firing advances at most one part
            moved = _with_part(state, index, fire(*subs[index], clock))
            return attrs.evolve(moved, finished=all(part.finished for part in moved.parts))
        case OrFinally():
            if ready(*subs[1], clock):
                return done
            main = fire(*subs[0], clock)
            # M-TRIG-26: `until` keeps counting. A main that finishes ends the whole in Java only: programs repeat it.
            return attrs.evolve(_with_part(state, 0, main), finished=main.finished)
        case Repeat(sub):
            after = fire(*subs[0], clock)
            return _with_part(state, 0, start(sub) if after.finished else after)
        case _:
            return done  # AfterCount, both processing times, AfterAll and AfterAny finish by firing


def targets(trigger: Trigger, state: State) -> frozenset[int]:
    """The processing times that some part of the trigger waits for."""
    below = [targets(part, sub) for part, sub in zip(_parts(trigger), state.parts, strict=True)]
    own = {state.number} if isinstance(trigger, AfterProcessingTime) and state.number is not None else set[int]()
    return frozenset(own).union(*below)


def merge(trigger: Trigger, states: Sequence[State], clock: Clock) -> State:
    """The state of a window merged of several live ones; `clock` is that of the merged window (M-TRIG-41..43)."""
    parts = _parts(trigger)
    columns = [[state.parts[i] for state in states] for i in range(len(parts))]
    merged = tuple(merge(part, column, clock) for part, column in zip(parts, columns, strict=True))
    numbers = [state.number for state in states if state.number is not None]
    any_finished = any(state.finished for state in states)
    match trigger:
        case DefaultTrigger() | Never() | Always():
            return State()
        case AfterCount():
            return State(finished=any_finished, number=sum(numbers))
        case AfterProcessingTime() | AfterSynchronizedProcessingTime():
            return State(finished=any_finished, number=min(numbers, default=None))
        case AfterEndOfWindow(early, late):
            if early is None and late is None:
                return State(finished=clock.end_of_window and all(state.finished for state in states), parts=merged)
            if not clock.end_of_window or not all(_late_phase(state) for state in states):
                return State(parts=(merged[0], start(parts[1])))  # M-TRIG-42: back to the early phase
            return State(number=1, parts=(start(parts[0]), merged[1]))
        case AfterAll():
            return State(finished=all(part.finished for part in merged), parts=merged)
        case AfterAny() | OrFinally():
            return State(finished=any(part.finished for part in merged), parts=merged)
        case AfterEach():
            first = next((i for i, part in enumerate(merged) if not part.finished), len(merged))
            kept = tuple(part if i <= first else start(parts[i]) for i, part in enumerate(merged))
            return State(finished=first == len(merged), parts=kept)
        case Repeat():
            return State(parts=merged)


def can_fire_early(trigger: Trigger) -> bool:
    """Whether the trigger can be ready before the end of the window, however the data come."""
    match trigger:
        case DefaultTrigger() | Never():
            return False
        case AfterEndOfWindow(early, _):
            return early is not None and can_fire_early(early)
        case AfterAll(parts):
            return all(can_fire_early(part) for part in parts)
        case AfterAny(parts):
            return any(can_fire_early(part) for part in parts)
        case AfterEach(parts):
            return can_fire_early(parts[0])
        case OrFinally(main, until):
            return can_fire_early(main) or can_fire_early(until)
        case Repeat(sub):
            return can_fire_early(sub)
        case _:
            return True


def can_finish_early(trigger: Trigger) -> bool:
    """Whether the trigger can finish, and so close its window, before the end of the window."""
    match trigger:
        case AfterCount() | AfterProcessingTime() | AfterSynchronizedProcessingTime():
            return True
        case AfterAll() | AfterAny():
            return can_fire_early(trigger)
        case AfterEach(parts):
            return all(can_finish_early(part) for part in parts)
        case OrFinally(main, until):
            return can_fire_early(until) or can_finish_early(main)
        case _:
            return False


def can_close(trigger: Trigger) -> bool:
    """Whether the trigger can finish at all, so that data within the lateness may be dropped (M-TRIG-35)."""
    match trigger:
        case AfterEndOfWindow(_, late):
            return late is None
        case AfterAll(parts) | AfterEach(parts):
            return all(can_close(part) for part in parts)
        case DefaultTrigger() | Never() | Always() | Repeat():
            return False
        case _:
            return True


def continuation(trigger: Trigger) -> Trigger:
    """The trigger of the grouping's output, as an SDK writes it into the pipeline (M-TRIG-37)."""
    match trigger:
        case AfterCount():
            return AfterCount(1)
        case AfterProcessingTime():
            return AfterSynchronizedProcessingTime()
        case AfterEndOfWindow(early, late):
            return AfterEndOfWindow(early and continuation(early), late and continuation(late))
        case AfterEach(parts):
            return Repeat(AfterAny(tuple(continuation(part) for part in parts)))
        case AfterAll(parts):
            return AfterAll(tuple(continuation(part) for part in parts))
        case AfterAny(parts):
            return AfterAny(tuple(continuation(part) for part in parts))
        case OrFinally(main, until):
            return Repeat(OrFinally(continuation(main), continuation(until)))
        case Repeat(sub):
            return Repeat(continuation(sub))
        case _:
            return trigger
