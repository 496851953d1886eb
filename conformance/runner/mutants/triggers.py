"""Faults of triggers: when a pane fires, and what is left to wait for."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from conformance.runner.mutants.registry import mutant
from conformance.runner.rules import MAX, Rules
from conformance.wire.values import Timing


@mutant("TRG-64")
class MergeTakesLargestCount(Rules):
    def merged_count(self, counts: Iterable[int]) -> int:
        return max(counts)


@mutant("TRG-37")
class MergeForgetsCounts(Rules):
    def merged_count(self, counts: Iterable[int]) -> int:
        return 0


@mutant("TRG-50")
class CountOneTooMany(Rules):
    def count_reached(self, count: int, wanted: int) -> bool:
        return count > wanted


@mutant("TRG-51")
class CountOneTooFew(Rules):
    def count_reached(self, count: int, wanted: int) -> bool:
        return count >= max(1, wanted - 1)


@mutant("TRG-52")
class DelayNotAwaited(Rules):
    def trigger_target_reached(self, target: int, now: int) -> bool:
        return True


@mutant("TRG-53")
class OnlyFirstTransform(Rules):
    def trigger_target(self, now: int, transforms: Iterable[Any]) -> int:
        return super().trigger_target(now, list(transforms)[:1])


@mutant("TRG-54")
class AllIsAny(Rules):
    def all_ready(self, parts: Iterable[bool]) -> bool:
        return any(parts)


@mutant("TRG-55")
class AnyIsAll(Rules):
    def any_ready(self, parts: Iterable[bool]) -> bool:
        return all(parts)


@mutant("TRG-56")
class RepeatsOnce(Rules):
    def repeats(self) -> bool:
        return False


@mutant("TRG-57")
class FinallyAtOnce(Rules):
    def finally_ends(self, ready: bool) -> bool:
        return True


@mutant("TRG-58")
class EndsOneEarly(Rules):
    def end_of_window(self, window_max: int, watermark: int) -> bool:
        return watermark >= window_max


@mutant("TRG-31")
class NotAligned(Rules):
    def aligned(self, now: int, period: int, offset: int) -> int:
        return now


@mutant("TRG-63")
class LateUntilWindowEnd(Rules):
    def pane_timing(self, was_on_time: bool, window_max: int, watermark: int, output: int) -> Timing:
        return Timing.ON_TIME if watermark > window_max else Timing.EARLY


@mutant("TRG-01")
class OnTimePaneUnasked(Rules):
    def may_fire(self, ready: bool, new: int, was_on_time: bool, at_end: bool) -> bool:
        return ready or (at_end and not was_on_time)


@mutant("TRG-21")
class OneStateForAllWindows(Rules):
    def trigger_state(self, fresh: Callable[[], Any], siblings: Mapping[bytes, Any]) -> Any:
        return next((cell.state for cell in siblings.values() if cell.state is not None), None) or fresh()


@mutant("TRG-22")
class RepeatFiresAtEnd(Rules):
    def repeat_ready(self, ready: bool, at_end: bool) -> bool:
        return ready or at_end


@mutant("TRG-25")
class EachAdvancesTwo(Rules):
    def advanced_to(self, current: int, parts: int) -> int:
        return min(current + 2, parts)


@mutant("TRG-27")
class FinallyIgnored(Rules):
    def finally_ends(self, ready: bool) -> bool:
        return False


@mutant("TRG-28")
class EarlyAndLateSwapped(Rules):
    def firing_phases(self) -> tuple[str, str]:
        early, late = super().firing_phases()
        return (late, early)


@mutant("TRG-30")
class ClockNeedsWatermark(Rules):
    def alarm_rings(self, target: int, now: int) -> bool:
        return False


@mutant("TRG-33")
class DefaultOnlyAtTheEnd(Rules):
    def default_ready(self, at_end: bool, watermark: int) -> bool:
        return watermark >= MAX


@mutant("TRG-34")
class ElementsCountTwice(Rules):
    def counts_as(self) -> int:
        return 2
