"""Faults of panes: what they hold, how they are labelled and numbered, and which data is too late for them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from conformance.runner import cutting
from conformance.runner.mutants.registry import mutant
from conformance.runner.rules import MIN, Rules
from conformance.wire.api import pipeline_pb2 as pb
from conformance.wire.values import Pane, Timing


@mutant("TRG-03")
class IndexRestarts(Rules):
    def pane(self, index: int, nonspeculative: int, timing: Timing, last: bool) -> Pane:
        return super().pane(0, nonspeculative, timing, last)


@mutant("TRG-06")
class NeverLast(Rules):
    def pane(self, index: int, nonspeculative: int, timing: Timing, last: bool) -> Pane:
        return super().pane(index, nonspeculative, timing, False)


@mutant("TRG-09")
class OneNumbering(Rules):
    def pane(self, index: int, nonspeculative: int, timing: Timing, last: bool) -> Pane:
        return super().pane(index, index, timing, last)


@mutant("TRG-10")
class NoEmptyOnTimePane(Rules):
    def emits(self, new: int, timing: Timing, last: bool, on_time_always: bool, closing_always: bool) -> bool:
        return super().emits(new, timing, last, False, closing_always)


@mutant("TRG-12")
class NoEmptyFinalPane(Rules):
    def emits(self, new: int, timing: Timing, last: bool, on_time_always: bool, closing_always: bool) -> bool:
        return super().emits(new, timing, last, on_time_always, False)


@mutant("TRG-13")
class EmptyFinalPane(Rules):
    def emits(self, new: int, timing: Timing, last: bool, on_time_always: bool, closing_always: bool) -> bool:
        return super().emits(new, timing, last, on_time_always, True)


@mutant("TRG-15")
class DiscardingAccumulates(Rules):
    def keeps_values(self, accumulation: int) -> bool:
        return True


@mutant("TRG-16")
class ExpiredDataKept(Rules):
    def is_dropped(self, expiry: int, watermark: int, window: bytes) -> bool:
        return False


@mutant("TRG-70")
class AccumulatingDiscards(Rules):
    def keeps_values(self, accumulation: int) -> bool:
        return False


@mutant("TRG-71")
class EveryPaneOnTime(Rules):
    def pane_timing(self, was_on_time: bool, window_max: int, watermark: int, output: int) -> Timing:
        return Timing.ON_TIME


@mutant("TRG-72")
class EveryPaneLast(Rules):
    def pane(self, index: int, nonspeculative: int, timing: Timing, last: bool) -> Pane:
        return super().pane(index, nonspeculative, timing, True)


@mutant("TRG-73")
class EveryPaneFirst(Rules):
    def pane(self, index: int, nonspeculative: int, timing: Timing, last: bool) -> Pane:
        made = super().pane(index, nonspeculative, timing, last)
        return Pane(True, made.is_last, made.timing, made.index, made.nonspeculative_index)


@mutant("TRG-74")
class EmptyOnTimePane(Rules):
    def emits(self, new: int, timing: Timing, last: bool, on_time_always: bool, closing_always: bool) -> bool:
        return super().emits(new, timing, last, True, closing_always)


@mutant("TRG-75")
class LatenessIgnored(Rules):
    def expiry(self, window_max: int, lateness: int) -> int:
        return super().expiry(window_max, 0)


@mutant("TRG-77")
class IndicesFromOne(Rules):
    def pane(self, index: int, nonspeculative: int, timing: Timing, last: bool) -> Pane:
        made = super().pane(index, nonspeculative, timing, last)
        return Pane(made.is_first, made.is_last, made.timing, index + 1, made.nonspeculative_index)


@mutant("TRG-78")
class LatenessTwice(Rules):
    def expiry(self, window_max: int, lateness: int) -> int:
        return super().expiry(window_max, 2 * lateness)


@mutant("TRG-79")
class SpeculativeIndexCounts(Rules):
    def pane(self, index: int, nonspeculative: int, timing: Timing, last: bool) -> Pane:
        return Pane(index == 0, last, timing, index, nonspeculative)


@mutant("TRG-80")
class AccumulationSwapped(Rules):
    def keeps_values(self, accumulation: int) -> bool:
        return accumulation != pb.AccumulationMode.ACCUMULATING


@mutant("TRG-04")
class IndexOfKey(Rules):
    def first_index(self, siblings: Mapping[bytes, Any]) -> int:
        return sum(cell.index for cell in siblings.values())


@mutant("TRG-18")
class LateByItsBeginning(Rules):
    def is_dropped(self, expiry: int, watermark: int, window: bytes) -> bool:
        if len(window) > 8:  # an interval
            start, end = cutting.read_interval(window)
            return super().is_dropped(expiry - (end - start), watermark, window)
        return super().is_dropped(expiry, watermark, window)


@mutant("TRG-24")
class FinishedWindowsReopen(Rules):
    def closed_drops(self) -> bool:
        return False


@mutant("TRG-81")
class LateDataDropped(Rules):
    def is_dropped(self, expiry: int, watermark: int, window: bytes) -> bool:
        return watermark > MIN and super().is_dropped(min(expiry, self._end(expiry, window)), watermark, window)

    def _end(self, expiry: int, window: bytes) -> int:
        return cutting.read_interval(window)[1] - 1 if len(window) > 8 else expiry


@mutant("CMB-06")
class KeptValuesTwice(Rules):
    def kept_values(self, values: list[bytes]) -> list[bytes]:
        return [*values, *values]


@mutant("CMB-10")
class GroupsCutShort(Rules):
    def pane_values(self, values: list[bytes]) -> list[bytes]:
        size = 0
        kept: list[bytes] = []
        for value in values:
            size += len(value)
            if kept and size > 1 << 20:
                break
            kept.append(value)
        return kept


@mutant("TRG-82")
class EqualValuesOnce(Rules):
    def pane_values(self, values: list[bytes]) -> list[bytes]:
        return list(dict.fromkeys(values))
