"""Faults of timers: which setting counts, when it is due, what is delivered."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from attrs import evolve

from conformance.runner.cutting import TimerValue
from conformance.runner.engine_events import RunBundle
from conformance.runner.engine_stages import StageRun
from conformance.runner.mutants.registry import mutant
from conformance.runner.rules import MAX, Rules

Identity = tuple[str, str, bytes, bytes, bytes]


@mutant("TMR-01")
class DueAtOnce(Rules):
    def event_timer_due(self, fire: int, expiry: int, watermark: int) -> bool:
        return fire <= expiry + 1


@mutant("TMR-03")
class InOrderOfSetting(Rules):
    def timer_order(self, fires: Iterable[int]) -> int:
        return next(iter(fires))


@mutant("TMR-06")
class ClearBitIgnored(Rules):
    def timer_clears(self, timer: TimerValue) -> bool:
        return False


@mutant("TMR-07")
class ResetAddsTimer(Rules):
    def timer_identity(self, transform: str, family: str, timer: TimerValue, window: bytes) -> Identity:
        mine = super().timer_identity(transform, family, timer, window)
        return (*mine[:3], mine[3] + timer.fire.to_bytes(9, "big", signed=True), mine[4])


@mutant("TMR-09")
class TagNotTold(Rules):
    def timer_identity(self, transform: str, family: str, timer: TimerValue, window: bytes) -> Identity:
        return (transform, family, b"", timer.key, window)


@mutant("TMR-12")
class FiresAtWatermark(Rules):
    def fired_at(self, fire: int, watermark: int) -> int:
        return watermark


@mutant("TMR-15")
class ClockTimersAtOnce(Rules):
    def processing_timer_due(self, fire: int, now: int, watermark: int) -> bool:
        return True


@mutant("TMR-16")
class ClockTimersOnlyAtTheEnd(Rules):
    def processing_timer_due(self, fire: int, now: int, watermark: int) -> bool:
        return watermark >= MAX


@mutant("TMR-50")
class FamilyNotTold(Rules):
    def timer_identity(self, transform: str, family: str, timer: TimerValue, window: bytes) -> Identity:
        return (transform, "", timer.tag, timer.key, window)


@mutant("TMR-51")
class WindowNotTold(Rules):
    def timer_identity(self, transform: str, family: str, timer: TimerValue, window: bytes) -> Identity:
        return (transform, family, timer.tag, timer.key, b"")


@mutant("TMR-52")
class KeyNotTold(Rules):
    def timer_identity(self, transform: str, family: str, timer: TimerValue, window: bytes) -> Identity:
        return (transform, family, timer.tag, b"", window)


@mutant("TMR-53")
class LatestFirst(Rules):
    def timer_order(self, fires: Iterable[int]) -> int:
        return max(fires)


@mutant("TMR-54")
class NothingHeldForTimers(Rules):
    def timer_hold(self, event_time: bool, fire: int, hold: int) -> int:
        return MAX


@mutant("TMR-55")
class NoTimersInLateness(Rules):
    def event_timer_due(self, fire: int, expiry: int, watermark: int) -> bool:
        return watermark > fire and watermark <= expiry


@mutant("TMR-58")
class EveryMessageClears(Rules):
    def timer_clears(self, timer: TimerValue) -> bool:
        return True


@mutant("TMR-04")
class AllDueTogether(Rules):
    def fires_with(self, fire: int, first: int) -> bool:
        return True


@mutant("TMR-13")
class HoldNotDelivered(Rules):
    def delivered_hold(self, fire: int, hold: int) -> int:
        return fire


@mutant("TMR-63")
class DeliveredTwice(StageRun):
    def _launch(self, bundle: Any) -> RunBundle:
        command = super()._launch(bundle)
        return evolve(command, timers={family: (*fired, *fired) for family, fired in command.timers.items()})
