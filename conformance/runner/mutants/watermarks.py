"""Faults of sources and watermarks."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence

from conformance.runner import cutting
from conformance.runner.mutants.registry import mutant
from conformance.runner.rules import MAX, MIN, Rules


@mutant("WM-01")
class OpenBundlesForgotten(Rules):
    def input_watermark(self, upstream: Sequence[int], pending: int) -> int:
        return super().input_watermark(upstream, MAX)


@mutant("WM-04")
class LatestOfTwoInputs(Rules):
    def input_watermark(self, upstream: Sequence[int], pending: int) -> int:
        return min(max(upstream, default=MAX), pending)


@mutant("WM-09")
class ImpulseIsNow(Rules):
    def impulse(self) -> bytes:
        return cutting.windowed_value(int(time.time() * 1000), [b""], b"\x0f", b"\x00")


@mutant("WM-10")
class ImpulseTwice(Rules):
    def impulse(self) -> bytes:
        return 2 * super().impulse()


@mutant("WM-50")
class BoundedIsStreaming(Rules):
    def output_watermark(self, watermark_in: int, holds: Iterable[int]) -> int:
        return watermark_in


@mutant("WM-51")
class ImpulseNotEmpty(Rules):
    def impulse(self) -> bytes:
        return cutting.windowed_value(MIN, [b""], b"\x0f", b"\x01\x00")


@mutant("WM-52")
class ImpulsePaneOnTime(Rules):
    def impulse(self) -> bytes:
        return cutting.windowed_value(MIN, [b""], b"\x07", b"\x00")


@mutant("WM-53")
class ResidualHoldsNothing(Rules):
    def residual_hold(self, outputs: Iterable[str], reported: Mapping[str, int]) -> int:
        return MAX
