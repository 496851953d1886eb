"""The grouping of section 3.1 as a machine: elements, watermarks and processing time in, panes out.

It makes the choices of the model in one plain way: each call of `arrive` is one bundle, a ready window fires at once, a clock at
a trigger's target is not past it. `Choices` holds those that runners make differently; everything else in it is a rule. The
worked sequences of section 3.3, the session tables of 3.5 and the hold table of section 6 are its tests; scripts are judged with
it (`oracle.streaming`).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import attrs
from attrs import define, frozen

from conformance.oracle import trigger as triggers
from conformance.oracle.program import Sessions, Windowing
from conformance.oracle.trigger import Clock, State
from conformance.oracle.windows import expiry, max_timestamp, merge
from conformance.wire.timestamps import MAX, MIN
from conformance.wire.values import IntervalWindow, Pane, Timing, Window

__all__ = ["Arrival", "Choices", "Firing", "Grouping"]


@frozen
class Arrival:
    """One element in one window, on its way into the grouping."""

    key: Any
    value: Any
    timestamp: int
    window: Window


@frozen
class Firing:
    """One pane."""

    key: Any
    values: tuple[Any, ...]
    timestamp: int
    window: Window
    pane: Pane
    #: the timestamps of all its elements, those that could not be held too (A-18)
    element_timestamps: tuple[int, ...] = ()
    #: fired because the window expired, not because its trigger was ready (M-PANE-08)
    final: bool = False
    #: ON_TIME only if other keys and windows hold the output watermark back, else LATE (M-PANE-03)
    unless_held: bool = False
    #: the timestamps of the elements that are new in it
    new_timestamps: tuple[int, ...] = ()


@frozen
class Choices:
    """Where runners differ, and the model lets them."""

    #: emit the ON_TIME pane without new data that FIRE_ALWAYS asks for (A-3)
    empty_on_time: bool = True
    #: emit the final pane without new data that EMIT_ALWAYS asks for (A-3)
    empty_final: bool = True
    #: emit what is left over at the end of the window, whatever the trigger, and not only at expiry (M-PANE-09, A-11)
    leftover_at_end: bool = False
    #: a window expires one millisecond later, so that an element at the very watermark `end + L` is accepted (A-8)
    lenient_expiry: bool = False
    #: the output watermark lags behind, held by other keys and windows, so that a pane need not be LATE on its account (M-PANE-03)
    lagging_output: bool = False
    #: hold the watermark at the expiry while a late or a final pane is owed (M-HOLD-06 is a SHOULD)
    hold_to_expiry: bool = True
    #: late panes of a grouping upstream come after its watermark has moved and not before (M-HOLD-11)
    late_panes_after: bool = False


@define
class _Held:
    """What is kept for one key and window."""

    state: State
    contents: list[Any] = attrs.field(factory=list)
    element_timestamps: list[int] = attrs.field(factory=list)
    #: elements since the last firing, and their timestamps
    new: int = 0
    new_timestamps: list[int] = attrs.field(factory=list)
    #: timestamps that count for the output (M-HOLD-02)
    stamps: list[int] = attrs.field(factory=list)
    #: an element came that could not be held at its own time, so the expiry is (M-HOLD-06)
    held_to_expiry: bool = False
    last_pane: Pane | None = None
    fired_non_early: bool = False
    closed: bool = False

    def copy(self) -> _Held:
        return attrs.evolve(
            self,
            contents=list(self.contents),
            element_timestamps=list(self.element_timestamps),
            new_timestamps=list(self.new_timestamps),
            stamps=list(self.stamps),
        )

    def snapshot(self) -> tuple[Any, ...]:
        contents = tuple(sorted(zip(map(repr, self.contents), self.element_timestamps, strict=True)))
        stamps = tuple(sorted(self.stamps))
        new = tuple(sorted(self.new_timestamps))
        return (self.state, contents, new, stamps, self.held_to_expiry, self.last_pane, self.fired_non_early, self.closed)


@define
class Grouping:
    """The state of one grouping; `arrive`, `advance_watermark` and `advance_processing_time` answer with the panes they cause."""

    windowing: Windowing
    choices: Choices = Choices()
    watermark: int = MIN
    output_watermark: int = MIN
    processing_time: int = 0
    dropped: list[Arrival] = attrs.field(factory=list)
    _held: dict[tuple[Any, Window], _Held] = attrs.field(factory=dict, init=False)

    def copy(self) -> Grouping:
        """A machine in the same state that goes its own way."""
        other = Grouping(
            self.windowing, self.choices, self.watermark, self.output_watermark, self.processing_time, list(self.dropped)
        )
        other._held = {place: held.copy() for place, held in self._held.items()}
        return other

    def snapshot(self) -> tuple[Any, ...]:
        """What the machine will do depends on this alone; the order of elements in it is no matter."""
        held = tuple((place, held.snapshot()) for place, held in sorted(self._held.items(), key=lambda entry: repr(entry[0])))
        return (self.watermark, self.output_watermark, self.processing_time, held)

    # ------------------------------------------------------------------------------------------------------------ events

    def arrive(self, arrivals: Sequence[Arrival]) -> list[Firing]:
        """Step 1: one set of elements, in one evaluation."""
        live: list[Arrival] = []
        for arrival in arrivals:
            # M-LATE-03: the window decides, not the element's timestamp.
            gone = self._expiry(arrival.window) < self.watermark
            (self.dropped if gone else live).append(arrival)
        targets: dict[tuple[Any, Window], Window] = {(a.key, a.window): a.window for a in live}
        if isinstance(self.windowing.fn, Sessions):
            targets = self._merge(live)
        touched: dict[tuple[Any, Window], None] = {}
        added: dict[tuple[Any, Window], int] = {}
        for arrival in live:
            place = (arrival.key, targets[arrival.key, arrival.window])
            held = self._held.setdefault(place, _Held(triggers.start(self.windowing.trigger)))
            if held.closed:
                self.dropped.append(arrival)  # M-TRIG-35
                continue
            held.contents.append(arrival.value)
            held.element_timestamps.append(arrival.timestamp)
            held.new += 1
            held.new_timestamps.append(arrival.timestamp)
            self._hold(held, arrival.timestamp, place[1])
            touched[place] = None
            added[place] = added.get(place, 0) + 1
        for place in touched:
            held = self._held[place]
            held.state = triggers.arrive(self.windowing.trigger, held.state, added[place], self._clock(place[1]))
        fired = [firing for place in touched if (firing := self._evaluate(*place))]
        self._move_output_watermark()
        return fired

    def advance_watermark(self, to: int) -> list[Firing]:
        """Step 2 for every window, then the output watermark follows."""
        self.watermark = max(self.watermark, to)
        return self._wake_all()

    def advance_processing_time(self, by: int) -> list[Firing]:
        self.processing_time += by
        return self._wake_all()

    def _wake_all(self) -> list[Firing]:
        fired: list[Firing] = []
        for key, window in list(self._held):
            if self.watermark > self._expiry(window):
                # 2a: the final pane, then everything of the window goes, the closed flag too (M-PANE-08, M-LATE-09).
                if not self._held[key, window].closed and (final := self._fire(key, window, final=True)):
                    fired.append(final)
                del self._held[key, window]
            elif firing := self._evaluate(key, window):
                fired.append(firing)
        self._move_output_watermark()
        return fired

    # ------------------------------------------------------------------------------------------------------------ firing

    def _evaluate(self, key: Any, window: Window) -> Firing | None:
        held = self._held[key, window]
        if held.closed:
            return None
        if triggers.ready(self.windowing.trigger, held.state, self._clock(window)):
            return self._fire(key, window, final=False)
        if self.choices.leftover_at_end and held.new > 0 and self.watermark > max_timestamp(window) and not held.fired_non_early:
            return self._fire(key, window, final=False, leftover=True)
        return None

    def _fire(self, key: Any, window: Window, *, final: bool, leftover: bool = False) -> Firing | None:
        """Step 3."""
        held = self._held[key, window]
        if not final and not leftover:
            held.state = triggers.fire(self.windowing.trigger, held.state, self._clock(window))
        last = final or held.state.finished
        timing = self._timing(held, window)
        on_time = timing is Timing.ON_TIME and self.windowing.on_time == "always" and self.choices.empty_on_time
        at_last = last and self.windowing.closing == "always" and self.choices.empty_final
        firing = None
        if held.new > 0 or on_time or at_last:  # M-PANE-06
            pane = _next_pane(held.last_pane, timing, last)
            held.last_pane = pane
            held.fired_non_early |= timing is not Timing.EARLY
            stamp = self._output_timestamp(held, window)
            unless_held = timing is Timing.ON_TIME and self._passed(window)
            stamps = tuple(held.element_timestamps)
            new = tuple(held.new_timestamps)
            firing = Firing(key, tuple(held.contents), stamp, window, pane, stamps, final, unless_held, new)
        held.new = 0
        held.new_timestamps = []
        held.stamps = []
        held.held_to_expiry = False
        if self.windowing.accumulation == "discarding" or last:
            held.contents = []
            held.element_timestamps = []
        held.closed = last
        return firing

    def _timing(self, held: _Held, window: Window) -> Timing:
        """M-PANE-03, in its order."""
        if held.fired_non_early or (self._passed(window) and not self.choices.lagging_output):
            return Timing.LATE
        return Timing.EARLY if self.watermark <= max_timestamp(window) else Timing.ON_TIME

    def _passed(self, window: Window) -> bool:
        return max_timestamp(window) < self.output_watermark

    def _clock(self, window: Window) -> Clock:
        return Clock(self.watermark > max_timestamp(window), self.processing_time)

    def _expiry(self, window: Window) -> int:
        return expiry(window, self.windowing.allowed_lateness) + self.choices.lenient_expiry

    # ------------------------------------------------------------------------------------------------------------ holds

    def _hold(self, held: _Held, timestamp: int, window: Window) -> None:
        """M-HOLD-02: what could be held contributes to the output timestamp; M-HOLD-06: the rest holds the expiry."""
        would_be = max_timestamp(window) if self.windowing.output_time == "end_of_window" else timestamp
        if would_be < self.output_watermark or max_timestamp(window) < self.watermark:
            held.held_to_expiry = True
        else:
            held.stamps.append(would_be)

    def _output_timestamp(self, held: _Held, window: Window) -> int:
        if self.windowing.output_time == "end_of_window" or not held.stamps:
            return max_timestamp(window)
        return min(held.stamps) if self.windowing.output_time == "earliest" else max(held.stamps)

    def hold(self) -> int:
        """The least of the holds of every window."""
        holds = [MAX]
        for (_, window), held in self._held.items():
            if held.stamps:
                holds.append(self._output_timestamp(held, window))
            owed = held.held_to_expiry or self.windowing.closing == "always"
            if not held.closed and owed and self.choices.hold_to_expiry:
                holds.append(self._expiry(window))
        return min(holds)

    def _move_output_watermark(self) -> None:
        """M-WM-01."""
        self.output_watermark = max(self.output_watermark, min(self.watermark, self.hold()))

    # ------------------------------------------------------------------------------------------------------------ merging

    def _merge(self, arrivals: Iterable[Arrival]) -> dict[tuple[Any, Window], Window]:
        """Merge the live windows of each key with the new ones (M-WIN-08..10, M-TRIG-40); where each new window went."""
        targets: dict[tuple[Any, Window], Window] = {}
        fresh: dict[Any, set[Window]] = {}
        for arrival in arrivals:
            fresh.setdefault(arrival.key, set()).add(arrival.window)
        for key, new in fresh.items():
            live = [window for (k, window), held in self._held.items() if k == key and not held.closed]
            # A window with the bounds of a closed one goes into it, to be dropped there (M-TRIG-46).
            closed = {window for (k, window), held in self._held.items() if k == key and held.closed}
            intervals = [w for w in {*live, *(new - closed)} if isinstance(w, IntervalWindow)]
            for whole, members in merge(intervals):
                self._unite(key, whole, members)
                targets.update({(key, member): whole for member in members if member in new})
            targets.update({(key, window): window for window in new & closed})
        return targets

    def _unite(self, key: Any, whole: IntervalWindow, members: Sequence[IntervalWindow]) -> None:
        """One held window of several (M-TRIG-41..45, M-HOLD-08)."""
        if tuple(members) == (whole,):
            return
        sources = [self._held.pop((key, member), None) for member in members]
        same = next((source for member, source in zip(members, sources, strict=True) if member == whole), None)
        closed = self._held.get((key, whole))
        if closed is not None:
            return  # M-TRIG-46: a merge result with the bounds of a closed session is dropped
        states = [source.state if source else triggers.start(self.windowing.trigger) for source in sources]
        held = [source for source in sources if source is not None]
        united = _Held(triggers.merge(self.windowing.trigger, states, self._clock(whole)))
        united.contents = [value for source in held for value in source.contents]
        united.element_timestamps = [stamp for source in held for stamp in source.element_timestamps]
        united.new = sum(source.new for source in held)
        united.new_timestamps = [stamp for source in held for stamp in source.new_timestamps]
        stamps = [stamp for source in held for stamp in source.stamps]
        at_end = self.windowing.output_time == "end_of_window"
        united.stamps = [max_timestamp(whole) for _ in stamps] if at_end else stamps
        united.held_to_expiry = any(source.held_to_expiry for source in held)
        if same is not None:  # M-PANE-12: a result equal to one of its inputs keeps the numbering, a new one starts anew
            united.last_pane, united.fired_non_early = same.last_pane, same.fired_non_early
        self._held[key, whole] = united


def _next_pane(before: Pane | None, timing: Timing, last: bool) -> Pane:
    """M-PANE-04."""
    early = timing is Timing.EARLY
    if before is None:
        return Pane(True, last, timing, 0, -1 if early else 0)
    return Pane(False, last, timing, before.index + 1, -1 if early else before.nonspeculative_index + 1)
