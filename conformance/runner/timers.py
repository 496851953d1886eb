"""Pending timers of one stage: set, cleared, due. Pure; what is due and in which order is `rules`'."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from attrs import frozen

from conformance.runner import cutting
from conformance.runner.cutting import TimerValue
from conformance.runner.holds import Holds
from conformance.runner.plan import TimerFamily
from conformance.runner.rules import Rules
from conformance.wire import timestamps

__all__ = ["PendingTimer", "TimerStore"]

Identity = tuple[str, str, bytes, bytes, bytes]


@frozen
class PendingTimer:
    """One setting that has not been delivered."""

    transform: str
    family: str
    event_time: bool
    key: bytes
    tag: bytes
    window: bytes
    fire: int
    hold: int
    pane: bytes
    #: When it is due: `fire`, or for processing time that instant by the job's clock (M-TIMER-26).
    due: int

    def encoded(self, fire: int, hold: int) -> bytes:
        """The timer message that fires it, with these two instants."""
        return cutting.encode_timer(self.key, self.tag, self.window, fire, hold, self.pane)


class TimerStore:
    """At most one pending firing for each identity (M-TIMER-02)."""

    def __init__(self, rules: Rules) -> None:
        self._rules = rules
        self._pending: dict[Identity, PendingTimer] = {}
        self._holds = Holds()

    def __len__(self) -> int:
        return len(self._pending)

    def __iter__(self) -> Iterator[PendingTimer]:
        return iter(self._pending.values())

    def _set(self, identity: Identity, timer: PendingTimer | None) -> None:
        """Instead of what was pending, if anything."""
        old = self._pending.pop(identity, None)
        self._holds.move(None if old is None else self._hold(old), None if timer is None else self._hold(timer))
        if timer is not None:
            self._pending[identity] = timer

    def _hold(self, timer: PendingTimer) -> int:
        return self._rules.timer_hold(timer.event_time, timer.fire, timer.hold)

    def apply(self, family: TimerFamily, settings: Iterable[TimerValue], rebased: Callable[[int], int]) -> None:
        """Settings of one family in stream order: the last one for an identity wins (M-TIMER-03, P-TMR-04).

        `rebased` tells when a processing-time timer is due by the job's clock.
        """
        rules = self._rules
        for timer in settings:
            for window in timer.windows:
                identity = rules.timer_identity(family.transform, family.name, timer, window)
                if rules.timer_clears(timer):
                    self._set(identity, None)
                    continue
                due = timer.fire if family.event_time else rebased(timer.fire)
                made = PendingTimer(
                    family.transform,
                    family.name,
                    family.event_time,
                    timer.key,
                    timer.tag,
                    window,
                    timer.fire,
                    timer.hold,
                    timer.pane,
                    due,
                )
                self._set(identity, made)

    def take_due(self, expiry: Callable[[bytes], int], watermark: int, now: int) -> list[PendingTimer]:
        """Timers to deliver in the next bundle, removed from the store: of each key those that fire first (M-TIMER-17).

        Event time goes before processing time; one bundle holds timers of one domain, so that a callback's new, earlier
        timer still fires before the rest of its key.
        """
        rules = self._rules
        due = [
            (identity, timer)
            for identity, timer in self._pending.items()
            if timer.event_time and rules.event_timer_due(timer.fire, expiry(timer.window), watermark)
        ]
        if not due:
            due = [
                (identity, timer)
                for identity, timer in self._pending.items()
                if not timer.event_time and rules.processing_timer_due(timer.due, now, watermark)
            ]
        by_key: dict[bytes, list[tuple[Identity, PendingTimer]]] = {}
        for identity, timer in due:
            by_key.setdefault(timer.key, []).append((identity, timer))
        taken = []
        for timers in by_key.values():
            first = rules.timer_order(timer.fire for _, timer in timers)
            for identity, timer in timers:
                if rules.fires_with(timer.fire, first):
                    self._set(identity, None)
                    taken.append(timer)
        return taken

    def drop(self, is_over: Callable[[bytes], bool]) -> bool:
        """Forgets the timers of windows that are over; whether there were any (M-LATE-09, M-TIMER-21)."""
        over = [identity for identity, timer in self._pending.items() if is_over(timer.window)]
        for identity in over:
            self._set(identity, None)
        return bool(over)

    def hold(self) -> int:
        """Where pending timers hold the output watermark; MAX for nowhere (M-TIMER-12)."""
        least = self._holds.least()
        return timestamps.MAX if least is None else least

    def next_processing_time(self) -> int | None:
        """When the clock makes the next timer due."""
        return min((timer.due for timer in self._pending.values() if not timer.event_time), default=None)
