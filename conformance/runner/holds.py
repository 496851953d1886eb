"""Bags of instants with a cheap minimum: what holds a watermark back. Pure.

A watermark is a promise of what will not come any more; whatever still owes output at an earlier instant must be able to hold it
(M-WM-01, M-WM-08, M-HOLD-05). Holds come and go with every element and timer, so the minimum is kept by a heap from which
entries that are gone are dropped only when they reach its top.
"""

from __future__ import annotations

import heapq
from collections import Counter

__all__ = ["Holds"]


class Holds:
    """A multiset of instants (ms)."""

    def __init__(self) -> None:
        self._count: Counter[int] = Counter()
        self._heap: list[int] = []

    def add(self, at: int) -> None:
        """One more hold."""
        self._count[at] += 1
        if self._count[at] == 1:
            heapq.heappush(self._heap, at)

    def remove(self, at: int) -> None:
        """One that was added is released."""
        self._count[at] -= 1
        if not self._count[at]:
            del self._count[at]

    def move(self, old: int | None, new: int | None) -> None:
        """One hold instead of another; None is no hold."""
        if old != new:
            if old is not None:
                self.remove(old)
            if new is not None:
                self.add(new)

    def least(self) -> int | None:
        """The earliest hold; None if there is none."""
        while self._heap and self._heap[0] not in self._count:
            heapq.heappop(self._heap)
        return self._heap[0] if self._heap else None
