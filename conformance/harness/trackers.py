"""The restriction tracker of offset ranges: claims, splits at a fraction, checkpoints; safe between the two threads that use it."""

from __future__ import annotations

import threading

from conformance.harness.errors import FunctionError

__all__ = ["OffsetTracker"]


class OffsetTracker:
    """Positions [start, end). A claim below the current end succeeds; a split moves the end down, never below what is claimed."""

    def __init__(self, start: int, end: int, watermark: int) -> None:
        self._lock = threading.Lock()
        self.start, self.end = start, end
        self._claimed: int | None = None
        self._refused = False
        #: Estimator state: what later outputs will not be older than; set through the context.
        self.watermark = watermark

    def try_claim(self, position: int) -> bool:
        """Take `position`; False means stop. Raises FunctionError for a claim that goes backwards."""
        with self._lock:
            if self._claimed is not None and position <= self._claimed:
                raise FunctionError(f"claim of {position} after {self._claimed}: positions must increase (M-SDF-14)")
            if position >= self.end:
                self._refused = True
                return False
            self._claimed = position
            return True

    @property
    def next_position(self) -> int:
        """The first position that was not claimed."""
        return self.start if self._claimed is None else self._claimed + 1

    def progress(self) -> tuple[float, float]:
        """(done, left) in positions; the claimed one counts as done."""
        with self._lock:
            return float(self.next_position - self.start), float(max(self.end - self.next_position, 0))

    def try_split(self, fraction: float) -> tuple[int, int] | None:
        """Keep `fraction` of what is left; the residual range, or None if nothing can be given away."""
        with self._lock:
            first = self.next_position
            left = self.end - first
            if left <= 0:
                return None
            split = first + int(left * fraction)
            if split >= self.end:
                return None
            residual = (split, self.end)
            self.end = split
            return residual

    def check_done(self) -> None:
        """Raises FunctionError if the function stopped without having claimed everything (M-SDF-14)."""
        with self._lock:
            if not self._refused and self.next_position < self.end:
                raise FunctionError(
                    f"the function returned at {self.next_position} of [{self.start}, {self.end}) without claiming all"
                )
