"""The semantic decisions of the engine, one small named method each, so that a mutant overrides exactly one.

Everything is pure: values in, values out. Times are milliseconds; windows, keys and panes are encoded bytes.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from conformance.runner import cutting
from conformance.runner.cutting import Element, TimerValue
from conformance.wire import timestamps
from conformance.wire.api import pipeline_pb2 as pb
from conformance.wire.values import Pane, Timing

__all__ = ["Rules"]

MIN, MAX, GMAX = timestamps.MIN, timestamps.MAX, timestamps.GLOBAL_WINDOW_MAX


class Rules:
    """The model as this runner reads it. Stateless."""

    # ---- sources and elements

    def impulse(self) -> bytes:
        """One empty element at the beginning of time in the global window (M-XF-10)."""
        return cutting.windowed_value(MIN, [b""], b"\x0f", b"\x00")

    def explode(self, element: Element) -> Sequence[bytes]:
        """The windows in which an element counts: all of them, each once (M-WIN-07)."""
        return element.windows

    def flattened(self, chunks: list[bytes]) -> list[bytes]:
        """What Flatten passes on of one input: everything as it is (M-XF-11)."""
        return chunks

    def reshuffled(self, chunks: list[bytes]) -> list[bytes]:
        """What Reshuffle and Redistribute pass on: value, timestamp, windows and pane as they are (M-XF-12)."""
        return chunks

    # ---- windows

    def window_max(self, kind: str, window: bytes) -> int:
        """The last instant of an encoded window (M-WIN-04, M-WIN-17); of a custom one it stands in front."""
        if kind == "global":
            return GMAX
        if kind == "interval":
            return timestamps.decode_timestamp(window) - 1
        return timestamps.decode_timestamp(window)

    def overlap(self, one: tuple[int, int], other: tuple[int, int]) -> bool:
        """Whether two sessions of one key merge: touching ones do not (M-WIN-08)."""
        return one[0] < other[1] and other[0] < one[1]

    def merge_sessions(self, windows: Iterable[bytes]) -> list[tuple[bytes, list[bytes]]]:
        """The sessions that remain, each with the windows it consumed; the hull of each group (M-WIN-08, M-WIN-09)."""
        groups: list[tuple[tuple[int, int], list[bytes]]] = []
        for start, end, window in sorted((*cutting.read_interval(window), window) for window in windows):
            if groups and self.overlap(groups[-1][0], (start, end)):
                (left, right), members = groups[-1]
                groups[-1] = ((left, max(right, end)), [*members, window])
            else:
                groups.append(((start, end), [window]))
        return [(cutting.interval_window(start, end), members) for (start, end), members in groups]

    # ---- lateness and expiry

    def expiry(self, window_max: int, lateness: int) -> int:
        """gc(w): the last watermark at which a window still takes data (M-LATE-02)."""
        return min(window_max + lateness, GMAX)

    def is_expired(self, expiry: int, watermark: int) -> bool:
        """Whether a window is over: the watermark is past gc(w) (M-LATE-03)."""
        return watermark > expiry

    def is_dropped(self, expiry: int, watermark: int) -> bool:
        """Whether an element of a window is droppably late at a grouping or a stateful ParDo (M-LATE-03, M-LATE-05)."""
        return self.is_expired(expiry, watermark)

    # ---- watermarks

    def input_watermark(self, upstream: Sequence[int], pending: int) -> int:
        """The minimum over main inputs, held by what is pending or in process (M-WM-01, M-WM-02)."""
        return min(min(upstream, default=MAX), pending)

    def output_watermark(self, watermark_in: int, holds: Iterable[int]) -> int:
        """The input watermark, held back by timers, running bundles and owed panes (M-WM-01, M-WM-08)."""
        return min(watermark_in, min(holds, default=MAX))

    def published(self, watermark: int, streaming: bool) -> int:
        """What consumers get to see. Bounded: one step from MIN to MAX, so that nothing is late (M-BATCH-01)."""
        if streaming:
            return watermark
        return MAX if watermark >= MAX else MIN

    # ---- grouping

    def group_key(self, key: bytes) -> bytes:
        """What makes two elements one group: the encoded key (M-WIN-16, P-PIPE-14)."""
        return key

    def may_fire(self, window_max: int, watermark: int) -> bool:
        """Whether the end of a window is reached (M-TRIG-10)."""
        return watermark > window_max

    def output_timestamp(self, output_time: int, window_max: int, earliest: int, latest: int) -> int:
        """The timestamp of a pane (M-HOLD-01, M-HOLD-04)."""
        if output_time == pb.OutputTime.EARLIEST_IN_PANE:
            return min(earliest, window_max)
        if output_time == pb.OutputTime.LATEST_IN_PANE:
            return min(latest, window_max)
        return window_max

    def bounded_pane(self) -> Pane:
        """The label of the one pane of bounded execution (M-PANE-15, M-BATCH-06)."""
        return Pane(True, True, Timing.ON_TIME, 0, 0)

    # ---- side inputs

    def side_input_ready(self, watermark: int) -> bool:
        """Whether main elements may see a side input: it is complete (M-SIDE-06)."""
        return watermark >= MAX

    def side_input_windows(self, element: Element) -> Sequence[bytes]:
        """The windows of the view in which a side element shows."""
        return element.windows

    # ---- keyed state and order

    def may_run_beside(self, keyed: bool, running: int) -> bool:
        """Whether another bundle of a stage may start: one key is never in two at once (M-BNDL-10, M-STATE-02)."""
        return running == 0 or not keyed

    def time_sorted(self, elements: Iterable[Element]) -> list[Element]:
        """Elements for a DoFn that requires time-sorted input: by timestamp (M-STATE-16)."""
        return sorted(elements, key=lambda element: element.timestamp)

    def state_over(self, expiry: int, watermark: int) -> bool:
        """Whether user state of a window is freed, its timers and OnWindowExpiration having run (M-STATE-13)."""
        return self.is_expired(expiry, watermark)

    def calls_on_expiration(self, expiry: int, watermark: int) -> bool:
        """Whether OnWindowExpiration is due for a (key, window) that was seen (M-STATE-18)."""
        return self.is_expired(expiry, watermark)

    # ---- timers

    def timer_identity(
        self, transform: str, family: str, timer: TimerValue, window: bytes
    ) -> tuple[str, str, bytes, bytes, bytes]:
        """What a later setting replaces (M-TIMER-01)."""
        return (transform, family, timer.tag, timer.key, window)

    def timer_clears(self, timer: TimerValue) -> bool:
        """Whether a message removes the timer (M-TIMER-02)."""
        return timer.clear

    def event_timer_due(self, fire: int, expiry: int, watermark: int) -> bool:
        """Event time: the watermark is past T; beyond gc + 1 it never fires (M-TIMER-10, M-TIMER-15, M-TIMER-22)."""
        return watermark > fire and fire <= expiry + 1

    def processing_timer_due(self, fire: int, now: int, watermark: int) -> bool:
        """Processing time: the clock reached T, or the bounded input is over (M-TIMER-25, M-TIMER-30)."""
        return now >= fire or watermark >= MAX

    def timer_order(self, fires: Iterable[int]) -> int:
        """Which of the due fire times of one key and domain goes first (M-TIMER-17)."""
        return min(fires)

    def timer_hold(self, fire: int, hold: int) -> int:
        """Where a pending timer holds the output watermark; beyond T it holds nothing more (M-TIMER-12, M-TIMER-14)."""
        return min(hold, fire)

    def fired_at(self, fire: int, watermark: int) -> int:
        """The fire timestamp that is delivered: as set (P-TMR-05)."""
        return fire

    # ---- residuals and the end

    def residual_due(self, at: int, now: int) -> bool:
        """Whether a self-checkpointed residual may run again (M-SDF-04)."""
        return now >= at

    def retries(self, attempts: int) -> bool:
        """Whether a bundle that failed runs again (M-BNDL-04): here never, the job fails."""
        return False
