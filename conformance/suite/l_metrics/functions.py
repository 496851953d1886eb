"""Functions that report metrics where others do not: while they split their restrictions."""

from __future__ import annotations

from collections.abc import Iterable

from conformance.harness.context import Context
from conformance.harness.functions import dofn
from conformance.harness.functions.sdfs import Range, Restriction
from conformance.wire.values import WindowedValue

__all__ = ["CountsInSplit"]


@dofn("counts_in_split")
class CountsInSplit(Range):
    """A range of two initial parts that counts "parts" while it splits and "positions" while it is processed."""

    def __init__(self) -> None:
        super().__init__(splits=2)

    def split(self, element: WindowedValue, restriction: Restriction, ctx: Context) -> Iterable[Restriction]:
        parts = list(super().split(element, restriction, ctx))
        ctx.metrics.update("counter", "parts", len(parts))
        return parts
