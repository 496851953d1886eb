"""Faults of windows: which ones an element is in, how they merge, where they end, and the timestamps of what comes out of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from conformance.runner import cutting
from conformance.runner.cutting import Element
from conformance.runner.mutants.registry import mutant
from conformance.runner.rules import Rules
from conformance.wire import timestamps
from conformance.wire.api import pipeline_pb2 as pb


@mutant("WIN-01")
class MergesWhateverTheGap(Rules):
    def overlap(self, one: tuple[int, int], other: tuple[int, int]) -> bool:
        return True


@mutant("WIN-07")
class FirstWindowOnly(Rules):
    def explode(self, element: Element) -> Sequence[bytes]:
        return element.windows[:1]


@mutant("WIN-09")
class MaxTimestampFromWindow(Rules):
    def window_max(self, kind: str, window: bytes) -> int:
        if kind == "custom":  # read behind the prefix, where the SDK's own encoding stands
            return timestamps.decode_timestamp(window[8:16].ljust(8, b"\0"))
        return super().window_max(kind, window)


@mutant("WIN-10")
class EarliestIsEndOfWindow(Rules):
    def pane_timestamp(self, output_time: int, hold: int | None, window_max: int) -> int:
        return (
            window_max if output_time == pb.OutputTime.EARLIEST_IN_PANE else super().pane_timestamp(output_time, hold, window_max)
        )


@mutant("WIN-12")
class StampedWithEnd(Rules):
    def pane_timestamp(self, output_time: int, hold: int | None, window_max: int) -> int:
        return super().pane_timestamp(output_time, hold, window_max) + (output_time == pb.OutputTime.END_OF_WINDOW)


@mutant("WIN-13")
class WindowSetIsOneWindow(Rules):
    """All windows of an element are stamped with the end of the first of them."""

    def window_max(self, kind: str, window: bytes) -> int:
        return super().window_max(kind, self.__dict__.setdefault("first", {}).get(window, window))

    def explode(self, element: Element) -> Sequence[bytes]:
        for window in element.windows[1:]:
            self.__dict__.setdefault("first", {}).setdefault(window, element.windows[0])
        return super().explode(element)


@mutant("WIN-50")
class TouchingSessionsMerge(Rules):
    def overlap(self, one: tuple[int, int], other: tuple[int, int]) -> bool:
        return one[0] <= other[1] and other[0] <= one[1]


@mutant("WIN-51")
class LatestIsEarliest(Rules):
    def combined_hold(self, output_time: int, hold: int | None, other: int) -> int:
        return other if hold is None else min(hold, other)


@mutant("WIN-52")
class EarliestIsLatest(Rules):
    def combined_hold(self, output_time: int, hold: int | None, other: int) -> int:
        return other if hold is None else max(hold, other)


@mutant("WIN-53")
class WindowEndsInclusive(Rules):
    def window_max(self, kind: str, window: bytes) -> int:
        return super().window_max(kind, window) + (kind == "interval")


@mutant("WIN-54")
class SessionsNeverMerge(Rules):
    def overlap(self, one: tuple[int, int], other: tuple[int, int]) -> bool:
        return False


@mutant("WIN-55")
class HullIsTheLast(Rules):
    def merge_sessions(self, windows: object) -> list[tuple[bytes, list[bytes]]]:
        merged = super().merge_sessions(windows)  # type: ignore[arg-type]
        return [(max(members, key=cutting.read_interval), members) for _, members in merged]


@mutant("WIN-56")
class WindowCountedTwice(Rules):
    def explode(self, element: Element) -> Sequence[bytes]:
        return [*element.windows, *element.windows[:1]]


@mutant("WIN-59")
class CustomWindowsEndNever(Rules):
    def window_max(self, kind: str, window: bytes) -> int:
        return timestamps.GLOBAL_WINDOW_MAX if kind == "custom" else super().window_max(kind, window)


@mutant("WIN-03")
class OldWindowsStay(Rules):
    def merged_places(self, window: bytes, result: bytes) -> Sequence[bytes]:
        return [*dict.fromkeys((window, result))]


@mutant("WIN-04")
class KeysMergeTogether(Rules):
    def merge_candidates(self, live: dict[bytes, None], others: Mapping[bytes, Any]) -> dict[bytes, None]:
        return live | {window: None for elements in others.values() for window, _, _ in elements}
