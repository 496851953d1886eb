"""Is there a run of section 3.1 that fires these panes? For one key and window on bounded input, every legal choice tried.

The elements of a bounded input are on time (M-BATCH-03), so all of a window arrive before its end, in any batches and order;
processing time passes as it likes; the watermark then passes the end of the window and its expiry, in one step or two. A
ready trigger may fire at each of these moments or later (M-TRIG-02), a pane without new data is emitted or not where the
strategy asks for it and never otherwise (M-PANE-06, A-3), and what is left over goes out at the end of the window or at
expiry (M-PANE-08, M-PANE-09).

Only sizes matter here: which elements are in which pane is decided by `oracle.panes`.
"""

from __future__ import annotations

from collections.abc import Sequence

import attrs
from attrs import frozen

from conformance.oracle import trigger as triggers
from conformance.oracle.program import Windowing
from conformance.oracle.trigger import Clock, State
from conformance.oracle.windows import expiry, max_timestamp
from conformance.wire.values import Timing, Window

__all__ = ["Fired", "Relaxed", "least_first_firing", "possible"]

#: More processing time than any delay.
_LONG = 10**12


@frozen
class Fired:
    """A pane as far as its run is concerned: how many elements were new in it, and its timing."""

    new: int
    timing: Timing


@frozen
class Relaxed:
    """Rules to leave out, to find the one that an impossible run breaks."""

    timing: bool = False
    empty_panes: bool = False
    closing: bool = False
    losing: bool = False


@frozen
class _At:
    """A moment of a run."""

    state: State
    #: elements that have not arrived
    waiting: int
    #: arrived since the last firing
    new: int = 0
    #: panes of the observed sequence already accounted for
    panes: int = 0
    #: 0 before the end of the window, 1 past it, 2 past its expiry
    phase: int = 0
    closed: bool = False
    non_early: bool = False
    processing_time: int = 0


def possible(windowing: Windowing, window: Window, total: int, panes: Sequence[Fired], relaxed: Relaxed | None = None) -> bool:
    """Whether `total` elements can give exactly these panes; those in none of them were dropped by a closed window."""
    relax = relaxed or Relaxed()
    wanted = [Fired(p.new, Timing.ON_TIME) if p.timing is Timing.UNKNOWN else p for p in panes]
    if len(wanted) == 1 and wanted[0].timing is Timing.ON_TIME:
        # M-BATCH-01: one pane with everything, whatever the trigger; M-BATCH-05: with no less than a finishing trigger wants.
        size = wanted[0].new
        if size == total:
            return True
        if triggers.can_finish_early(windowing.trigger) and size >= min(least_first_firing(windowing, window, total), total):
            return True
    return _search(windowing, window, total, wanted, relax)


def least_first_firing(windowing: Windowing, window: Window, total: int) -> int:
    """The fewest elements that a first pane before the end of the window can have; `total` if none can be."""
    for size in range(1, total):
        if _reachable(windowing, window, size):
            return size
    return total


def _reachable(windowing: Windowing, window: Window, size: int) -> bool:
    state = triggers.arrive(windowing.trigger, triggers.start(windowing.trigger), size, Clock(False, 0))
    return triggers.ready(windowing.trigger, state, Clock(False, _LONG))


def _search(windowing: Windowing, window: Window, total: int, wanted: Sequence[Fired], relax: Relaxed) -> bool:
    trigger = windowing.trigger
    expires_at_end = expiry(window, windowing.allowed_lateness) == max_timestamp(window)

    def clock(at: _At) -> Clock:
        return Clock(at.phase > 0, at.processing_time)

    def emit(at: _At, timings: set[Timing], *, last: bool) -> list[_At]:
        """What may follow a firing: the pane accounted for, or nothing where an empty one is not (or need not be) emitted."""
        fired = attrs.evolve(at, new=0, non_early=at.non_early or Timing.EARLY not in timings)
        follow: list[_At] = []
        asked_for = (Timing.ON_TIME in timings and windowing.on_time == "always") or (last and windowing.closing == "always")
        if at.panes < len(wanted) and (at.new > 0 or asked_for or relax.empty_panes):
            pane = wanted[at.panes]
            if pane.new == at.new and (relax.timing or pane.timing in timings):
                follow.append(attrs.evolve(fired, panes=at.panes + 1))
        if at.new == 0 or relax.losing:
            # not emitted, and then the label of the next pane is as if it had not been tried.
            follow.append(attrs.evolve(fired, non_early=at.non_early))
        return follow

    def timings(at: _At) -> set[Timing]:
        """M-PANE-03, on-time data."""
        if at.phase == 0:
            return {Timing.EARLY}
        return {Timing.LATE} if at.non_early else {Timing.ON_TIME}

    def firings(at: _At) -> list[_At]:
        """The trigger fires, if it is ready."""
        if at.closed or not triggers.ready(trigger, at.state, clock(at)):
            return []
        after = triggers.fire(trigger, at.state, clock(at))
        if after.finished and relax.closing:
            after = triggers.start(trigger)
        closed = after.finished
        return [attrs.evolve(then, state=after, closed=closed) for then in emit(at, timings(at), last=closed)]

    def moves(at: _At) -> list[_At]:
        """Arrivals and clocks."""
        out: list[_At] = []
        for size in range(1, at.waiting + 1):
            if at.closed:
                out.append(attrs.evolve(at, waiting=at.waiting - size))  # M-TRIG-35
                continue
            state = triggers.arrive(trigger, at.state, size, clock(at))
            out.append(attrs.evolve(at, state=state, waiting=at.waiting - size, new=at.new + size))
        # Only passing some target makes a difference; the clock stands still otherwise.
        waited_for = {target for target in triggers.targets(trigger, at.state) if target >= at.processing_time}
        out += [attrs.evolve(at, processing_time=target + 1) for target in waited_for]
        if at.waiting == 0 and at.phase == 0:
            if not expires_at_end:
                past_end = attrs.evolve(at, phase=1)
                out.append(past_end)
            out.extend(final(attrs.evolve(at, phase=2)))
        elif at.phase == 1:
            if at.new > 0 and not at.closed:
                out.extend(emit(at, timings(at), last=False))  # M-PANE-09: the leftover at the end of the window
            out.extend(final(attrs.evolve(at, phase=2)))
        return out

    def final(at: _At) -> list[_At]:
        """The final pane, once the window has expired (M-PANE-08)."""
        if at.closed:
            return [at]
        allowed = timings(at)
        if allowed == {Timing.ON_TIME} and not expires_at_end:
            allowed = {Timing.ON_TIME, Timing.LATE}  # M-PANE-10
        return [attrs.evolve(then, closed=True) for then in emit(at, allowed, last=True)]

    begin = _At(triggers.start(trigger), total)
    seen, todo = {begin}, [begin]
    while todo:
        at = todo.pop()
        if at.phase == 2:
            if at.panes == len(wanted):
                return True
            continue
        for then in (*firings(at), *moves(at)):
            if then not in seen:
                seen.add(then)
                todo.append(then)
    return False
