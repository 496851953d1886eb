"""The semantic decisions of the engine, one small named method each, so that a mutant overrides exactly one.

`Rules` inherits the runner's free choices from `habits`: one class, and one object for each job, holds all that may be overridden.
Everything is pure: values in, values out. Times are milliseconds; windows, keys and panes are encoded bytes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TypeVar

from conformance.runner import cutting
from conformance.runner.cutting import Element, TimerValue
from conformance.runner.habits import Habits
from conformance.wire import timestamps
from conformance.wire.api import pipeline_pb2 as pb
from conformance.wire.values import Pane, Timing

__all__ = ["Rules"]

T = TypeVar("T")

MIN, MAX, GMAX = timestamps.MIN, timestamps.MAX, timestamps.GLOBAL_WINDOW_MAX


class Rules(Habits):
    """The model as this runner reads it."""

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

    def merge_candidates(self, live: dict[bytes, None], others: Mapping[bytes, Any]) -> dict[bytes, None]:
        """The windows of a key that are asked to merge: its own, whatever came under other keys (M-WIN-08)."""
        return live

    def merged_places(self, window: bytes, result: bytes) -> Sequence[bytes]:
        """Where an element goes whose window was merged: into the result, and nowhere else (M-TRIG-45)."""
        return (result,)

    # ---- lateness and expiry

    def expiry(self, window_max: int, lateness: int) -> int:
        """gc(w): the last watermark at which a window still takes data (M-LATE-02)."""
        return min(window_max + lateness, GMAX)

    def is_expired(self, expiry: int, watermark: int) -> bool:
        """Whether a window is over: the watermark is past gc(w) (M-LATE-03)."""
        return watermark > expiry

    def is_dropped(self, expiry: int, watermark: int, window: bytes) -> bool:
        """Whether elements of a window are droppably late, at a grouping or a stateful ParDo (M-LATE-03, M-LATE-05)."""
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

    def closed_drops(self) -> bool:
        """Whether data behind a finished trigger is dropped (M-TRIG-35)."""
        return True

    # ---- triggers

    def may_fire(self, ready: bool, new: int, was_on_time: bool, at_end: bool) -> bool:
        """Whether a pane fires: if the root trigger is ready, and for no other reason (M-TRIG-02)."""
        return ready

    def trigger_state(self, fresh: Callable[[], Any], siblings: Mapping[bytes, Any]) -> Any:
        """What the trigger of a new window has seen: nothing, whatever other windows of its key have (M-TRIG-03)."""
        return fresh()

    def default_ready(self, at_end: bool, watermark: int) -> bool:
        """The default trigger: from the end of the window on (M-TRIG-10)."""
        return at_end

    def end_of_window(self, window_max: int, watermark: int) -> bool:
        """Whether the end of a window is reached: the watermark is past its last instant (M-TRIG-10)."""
        return watermark > window_max

    def count_reached(self, count: int, wanted: int) -> bool:
        """Whether enough elements came since the last reset (M-TRIG-13)."""
        return count >= wanted

    def asks_after_each(self, counts: bool) -> bool:
        """Whether a trigger is asked after each of the elements that arrive together, or once after all of them: free (M-TRIG-13)."""
        return counts

    def counts_as(self) -> int:
        """How many elements one element is (M-TRIG-13)."""
        return 1

    def trigger_target(self, now: int, transforms: Iterable[Any]) -> int:
        """The instant that AfterProcessingTime waits for, from an arrival at `now` (M-TRIG-18, M-TRIG-19, M-TRIG-20)."""
        for each in transforms:
            if each.WhichOneof("timestamp_transform") == "align_to":
                now = self.aligned(now, each.align_to.period, each.align_to.offset)
            else:
                now += each.delay.delay_millis
        return now

    def aligned(self, now: int, period: int, offset: int) -> int:
        """The first point of a grid at or after `now`; one on the grid stays (M-TRIG-20)."""
        return now + (offset - now) % period if period > 0 else now

    def trigger_target_reached(self, target: int, now: int) -> bool:
        """Whether the clock makes AfterProcessingTime ready (M-TRIG-18)."""
        return now >= target

    def alarm_rings(self, target: int, now: int) -> bool:
        """Whether the clock alone makes a trigger be asked again, though no element and no watermark came (M-TRIG-18)."""
        return self.trigger_target_reached(target, now)

    def all_ready(self, parts: Iterable[bool]) -> bool:
        """AfterAll: every part is ready or was (M-TRIG-23)."""
        return all(parts)

    def any_ready(self, parts: Iterable[bool]) -> bool:
        """AfterAny: some part is ready or was (M-TRIG-24)."""
        return any(parts)

    def advanced_to(self, current: int, parts: int) -> int:
        """AfterEach: the part whose turn it is once the current one fired (M-TRIG-25)."""
        return current + 1

    def firing_phases(self) -> tuple[str, str]:
        """AfterEndOfWindow: the part that fires before the end of the window, and the one that does afterwards (M-TRIG-14)."""
        return ("early_firings", "late_firings")

    def finally_ends(self, ready: bool) -> bool:
        """OrFinally: whether there is a firing that is its last (M-TRIG-26)."""
        return ready

    def repeat_ready(self, ready: bool, at_end: bool) -> bool:
        """Repeat: ready when its part is (M-TRIG-27)."""
        return ready

    def repeats(self) -> bool:
        """Repeat: whether a finished part begins anew (M-TRIG-27)."""
        return True

    def merged_count(self, counts: Iterable[int]) -> int:
        """How many elements a merged window has had: all of them (M-TRIG-41)."""
        return sum(counts)

    def merged_target(self, targets: Sequence[int]) -> int | None:
        """What a merged window waits for: the earliest (M-TRIG-41)."""
        return min(targets, default=None)

    def rewinds_to_early(self, on_time: Sequence[bool], at_end: bool) -> bool:
        """Whether a merged window is before its end again, though windows that it is made of were past theirs (M-TRIG-42)."""
        return not at_end or not all(on_time)

    # ---- panes

    def pane_timing(self, was_on_time: bool, window_max: int, watermark: int, output: int) -> Timing:
        """EARLY* ON_TIME? LATE* (M-PANE-03)."""
        if was_on_time or window_max < output:
            return Timing.LATE
        return Timing.ON_TIME if watermark > window_max else Timing.EARLY

    def pane_is_last(self, finished: bool, final: bool) -> bool:
        """Whether no pane can follow: the trigger finished, or the window is over (M-PANE-05)."""
        return finished or final

    def emits(self, new: int, timing: Timing, last: bool, on_time_always: bool, closing_always: bool) -> bool:
        """Whether a firing becomes a pane; one without new elements only if the strategy asks for it (M-PANE-06)."""
        return new > 0 or (timing == Timing.ON_TIME and on_time_always) or (last and closing_always)

    def pane(self, index: int, nonspeculative: int, timing: Timing, last: bool) -> Pane:
        """The label of a pane; indices count panes that are emitted (M-PANE-04)."""
        return Pane(index == 0, last, timing, index, -1 if timing == Timing.EARLY else nonspeculative)

    def first_index(self, siblings: Mapping[bytes, Any]) -> int:
        """The index of a window's first pane, whatever other windows of its key have emitted (M-PANE-04)."""
        return 0

    def pane_values(self, values: list[bytes]) -> list[bytes]:
        """What a pane holds of the elements that are in its window: all (M-PANE-11)."""
        return values

    def kept_values(self, values: list[bytes]) -> list[bytes]:
        """What stays in a window after an accumulating pane: the elements, each once (M-PANE-11)."""
        return values

    def keeps_values(self, accumulation: int) -> bool:
        """Whether elements stay in a window after a pane (M-PANE-11)."""
        return accumulation == pb.AccumulationMode.ACCUMULATING

    def merged_values(self, values: list[bytes]) -> list[bytes]:
        """What a window that is merged away gives to the new one: everything (M-TRIG-45)."""
        return values

    # ---- timestamps of panes, and holds

    def element_hold(self, output_time: int, timestamp: int, window_max: int) -> int:
        """Where an element would hold the output watermark: at the timestamp that its pane would get from it (M-HOLD-05)."""
        return window_max if output_time == pb.OutputTime.END_OF_WINDOW else min(timestamp, window_max)

    def can_hold(self, hold: int, window_max: int, watermark: int, output: int) -> bool:
        """Whether an element still contributes to its pane's timestamp (M-HOLD-02)."""
        return hold >= output and window_max >= watermark

    def combined_hold(self, output_time: int, hold: int | None, other: int) -> int:
        """One element more: the earliest, or the latest (M-HOLD-01, M-HOLD-07)."""
        if hold is None:
            return other
        return max(hold, other) if output_time == pb.OutputTime.LATEST_IN_PANE else min(hold, other)

    def merged_hold(self, output_time: int, holds: Sequence[int], window_max: int) -> int:
        """The hold of a merged window (M-HOLD-08)."""
        if output_time == pb.OutputTime.END_OF_WINDOW:
            return window_max
        return max(holds) if output_time == pb.OutputTime.LATEST_IN_PANE else min(holds)

    def owes_final_pane(self, closing_always: bool) -> bool:
        """Whether a window that fired holds on for its final pane (M-HOLD-06)."""
        return closing_always

    def pane_timestamp(self, output_time: int, hold: int | None, window_max: int) -> int:
        """The timestamp of a pane; of one to which nothing could contribute the end of the window (M-HOLD-01 to M-HOLD-04)."""
        if hold is None or output_time == pb.OutputTime.END_OF_WINDOW:
            return window_max
        return min(hold, window_max)

    # ---- side inputs

    def side_input_ready(self, watermark: int) -> bool:
        """Whether main elements may see a bounded side input: it is complete (M-SIDE-06)."""
        return watermark >= MAX

    def side_window_ready(self, has_pane: bool, certain: int, watermark: int) -> bool:
        """Whether main elements may see a window of an unbounded one: it had a pane, or gets none in time any more (M-SIDE-05)."""
        return has_pane or watermark > certain

    def shown_in_view(self, before: list[bytes], pane: list[bytes], accumulating: bool) -> list[bytes]:
        """What a view shows of a window after a pane: that pane, unless it brought nothing (M-SIDE-08)."""
        return pane or before

    def side_input_windows(self, element: Element) -> Sequence[bytes]:
        """The windows of the view in which a side element shows."""
        return element.windows

    # ---- what a bundle's end brings

    def consumers(self, consumers: list[T]) -> list[T]:
        """Who gets what comes into a PCollection: every consumer, all of it (M-XF-17)."""
        return consumers

    def is_finalized(self, asked: bool, residuals: bool) -> bool:
        """Whether a committed bundle is finalized: if it asked, whatever it left to do (P-CTL-22)."""
        return asked

    def owed(self, residuals: Sequence[T]) -> Sequence[T]:
        """Which of the restrictions that a bundle gave up are run: each, once (M-SDF-04)."""
        return residuals

    def first_owed(self, first_residual: int) -> int:
        """From which element on a bundle that was split is owed once more (P-SPL-04)."""
        return first_residual

    def takes_settings(self, in_callbacks: bool, watermark: int) -> bool:
        """Whether timers that a bundle set are set, those of callbacks at the end of time too (M-TIMER-22)."""
        return True

    # ---- keyed state and order

    def may_run_beside(self, keyed: bool, running: int) -> bool:
        """Whether another bundle of a stage may start: one key is never in two at once (M-BNDL-10, M-STATE-02)."""
        return running == 0 or not keyed

    def time_sorted(self, elements: Iterable[tuple[int, bytes]]) -> list[tuple[int, bytes]]:
        """(timestamp, element) for a DoFn that requires time-sorted input: by timestamp (M-STATE-16)."""
        return sorted(elements, key=lambda element: element[0])

    def sorted_release(self, until: int, watermark: int) -> bool:
        """Whether nothing that belongs before an element can come any more; what comes even later is dropped (M-STATE-16)."""
        return watermark > until

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
        """Event time: the watermark is past T; T = gc + 1 fires as the window ends, later ones never (M-TIMER-10, M-TIMER-15)."""
        return watermark > min(fire, expiry) and fire <= expiry + 1

    def processing_timer_due(self, fire: int, now: int, watermark: int) -> bool:
        """Processing time: the clock reached T, or the input is over (M-TIMER-25, M-TIMER-30)."""
        return now >= fire or watermark >= MAX

    def timer_order(self, fires: Iterable[int]) -> int:
        """Which of the due fire times of one key and domain goes first (M-TIMER-17)."""
        return min(fires)

    def timer_hold(self, event_time: bool, fire: int, hold: int) -> int:
        """Where a pending timer holds the output watermark; one of event time not beyond T (M-TIMER-12, M-TIMER-14)."""
        return min(hold, fire) if event_time else min(hold, MAX)

    def fires_with(self, fire: int, first: int) -> bool:
        """Whether a due timer goes with the one of its key that fires first: one of the same instant (M-TIMER-17, M-TIMER-18)."""
        return fire == first

    def delivered_hold(self, fire: int, hold: int) -> int:
        """The hold timestamp that is delivered: as set (P-TMR-05)."""
        return hold

    def fired_at(self, fire: int, watermark: int) -> int:
        """The fire timestamp that is delivered: as set (P-TMR-05)."""
        return fire

    # ---- residuals and the end

    def residual_hold(self, outputs: Iterable[str], reported: Mapping[str, int]) -> int:
        """Where a restriction in progress holds the output watermark; an output it says nothing of stays (M-SDF-07, M-WM-07)."""
        return min((reported.get(name, MIN) for name in outputs), default=MIN)

    def residual_due(self, at: int, now: int) -> bool:
        """Whether a self-checkpointed residual may run again (M-SDF-04)."""
        return now >= at

    def splits(self, keyed: bool, timers: bool) -> bool:
        """Whether a running bundle may be split: one key stays in one bundle, timers are never split (P-SPL-12, M-SDF-06)."""
        return not keyed and not timers
