"""GroupByKey: groups elements by encoded key and window, merges windows, fires panes (M-TRIG 3.1, M-PANE, M-HOLD). Pure.

What lives here is the bookkeeping of one grouping. A *cell* is what one (key, window) holds: its values, what its trigger has
seen, the numbering of its panes and what it holds the output watermark at. Three things happen to a grouping:

1. **arrival** (`take`, `admit`): elements are exploded into windows, droppable ones dropped, windows merged, values added, and
   each touched window whose trigger is ready fires, once or after each element (M-TRIG-13);
2. **time goes by** (`advance`): windows whose end the watermark passed and triggers whose instant the clock reached are asked;
   a window that the watermark left for good (past gc) emits its final pane and is forgotten;
3. **a pane fires** (`_fire`): the trigger moves on, the pane gets its label and timestamp, holds are let go.

In bounded execution nothing is asked before all input is there; then every window is past gc, and its final pane is its only
one, whatever the trigger (M-BATCH-01). It is the same code with the same rules, only arrival skips the triggers.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable, Mapping, Sequence

from attrs import define, field, frozen

from conformance.runner.bulk import Run
from conformance.runner.cutting import Element
from conformance.runner.holds import Holds
from conformance.runner.plan import Collection
from conformance.runner.rules import Rules
from conformance.runner.triggers import Moment, State, Trigger, compile_trigger
from conformance.wire import timestamps
from conformance.wire.api import pipeline_pb2 as pb
from conformance.wire.values import Pane

__all__ = ["Arrivals", "Clocks", "Grouping", "MergeError", "Merges"]

MIN, MAX = timestamps.MIN, timestamps.MAX
_AT_END = pb.OutputTime.END_OF_WINDOW

#: Key → (window, timestamp, value) of what arrived together.
Arrivals = Mapping[bytes, Sequence[tuple[bytes, int, bytes]]]
#: (merged window, the windows that it consumes) of one key.
Merges = Sequence[tuple[bytes, Sequence[bytes]]]
#: key, window, timestamp, pane, values
Emit = Callable[[bytes, bytes, int, Pane, list[bytes]], None]


class MergeError(ValueError):
    """A WindowFn merged windows that it was not asked to merge (M-WIN-15)."""


@frozen
class Clocks:
    """Where time stands at a grouping: its input and output watermark, and processing time."""

    watermark: int
    output: int
    now: int


@define(eq=False)
class Cell:
    """What one (key, window) holds."""

    values: list[bytes] = field(factory=list)
    #: Elements since the last firing (n).
    new: int = 0
    #: What the pane's timestamp is made of; None when nothing could be held since the last firing (M-HOLD-02).
    hold: int | None = None
    #: Something is owed that has no hold of its own: hold at gc (M-HOLD-06).
    owes: bool = False
    #: What is entered in the grouping's holds.
    held: int | None = None
    state: State | None = None
    #: The instant of processing time for which the grouping has an alarm.
    alarm: int | None = None
    #: The root trigger finished: nothing more is taken (M-TRIG-35).
    closed: bool = False
    #: The next pane's index and non-speculative index (M-PANE-04).
    index: int = 0
    ns: int = 0

    @property
    def was_on_time(self) -> bool:
        """Whether a pane that was not EARLY was emitted."""
        return self.ns > 0


class Grouping:
    """The contents of one GroupByKey, or of a side input's view (then with one empty key)."""

    def __init__(self, collection: Collection, rules: Rules, streaming: bool, emit: Emit) -> None:
        self._collection = collection
        self._strategy = collection.strategy
        self._rules = rules
        self._streaming = streaming
        self._emit = emit
        self._merging = self._strategy.merging != "none"
        self._trigger: Trigger = compile_trigger(self._strategy.proto.trigger, rules)
        #: Windows that merge are merged for all arrivals at once, so a window must not close between two of them (M-TRIG-46).
        self._one_by_one = streaming and not self._merging and rules.asks_after_each(self._trigger.counts)
        self._cells: dict[bytes, dict[bytes, Cell]] = {}
        self._holds = Holds()
        #: (instant of event time, key, window): when the watermark is past it a window is asked again.
        self._ends: list[tuple[int, bytes, bytes]] = []
        #: The same for the clock of processing time.
        self._alarms: list[tuple[int, bytes, bytes]] = []
        self.dropped = 0

    @property
    def empty(self) -> bool:
        """Whether nothing waits to be emitted."""
        return not any(not cell.closed for windows in self._cells.values() for cell in windows.values())

    def hold(self) -> int:
        """Where the output watermark must wait; MAX for nowhere."""
        if not self._streaming:
            return MIN if self._cells else MAX
        least = self._holds.least()
        return MAX if least is None else least

    def wake_at(self) -> int | None:
        """When the clock alone may fire a pane."""
        return self._alarms[0][0] if self._alarms else None

    def certain(self, window: bytes) -> int:
        """The watermark behind which a window can no longer get its first pane in time (M-SIDE-05)."""
        last, expiry = self._ends_of(window)
        return min(self._trigger.certain(last, expiry), expiry)

    def _ends_of(self, window: bytes) -> tuple[int, int]:
        last = self._rules.window_max(self._strategy.windows, window)
        return last, self._rules.expiry(last, self._strategy.allowed_lateness)

    # ---- arrival

    def take(self, chunks: Iterable[bytes], watermark: int, key_of: Callable[[bytes], tuple[bytes, bytes]]) -> Arrivals:
        """Elements by key and window; droppable ones are dropped by the window that they come in (M-LATE-03, M-LATE-07)."""
        rules = self._rules
        arrivals: dict[bytes, list[tuple[bytes, int, bytes]]] = {}
        dropped: dict[bytes, bool] = {}
        for chunk in chunks:
            for element in self._collection.cut.elements(chunk):
                key, value = key_of(element.value)
                for window in rules.explode(element):
                    if window not in dropped:
                        dropped[window] = rules.is_dropped(self._ends_of(window)[1], watermark, window)
                    if dropped[window]:
                        self.dropped += 1
                    else:
                        arrivals.setdefault(rules.group_key(key), []).append((window, element.timestamp, value))
        return arrivals

    def store(self, chunks: Iterable[bytes]) -> None:
        """Arrival where nothing can be late, no trigger is asked and no window merges: bounded execution's short way."""
        rules, cut, output_time = self._rules, self._collection.cut, self._strategy.output_time
        for chunk in chunks:
            runs = cut.runs(chunk)
            if runs is not None:
                self._store_runs(runs)
                continue
            for element in cut.elements(chunk):
                key, value = cut.key_of(element.value)
                windows = rules.explode(element)
                if not windows:
                    continue
                cells = self._cells.setdefault(rules.group_key(key), {})
                for window in windows:
                    cell = cells.get(window)
                    if cell is None:
                        cell = cells[window] = Cell()
                    cell.values.append(value)
                    cell.new += 1
                    if output_time != _AT_END:
                        cell.hold = rules.combined_hold(output_time, cell.hold, element.timestamp)

    def _store_runs(self, runs: Iterable[Run]) -> None:
        """The same for pairs that came cut, with one window each: a key at a time."""
        rules, output_time = self._rules, self._strategy.output_time
        for run in runs:
            windows = rules.explode(Element(run.timestamp, (run.window,), b"", b"", b""))
            if not windows:
                continue
            for key, values in run.groups.items():
                cells = self._cells.setdefault(rules.group_key(key), {})
                for window in windows:
                    cell = cells.get(window)
                    if cell is None:
                        cell = cells[window] = Cell()
                    cell.values += values
                    cell.new += len(values)
                    if output_time != _AT_END:
                        cell.hold = rules.combined_hold(output_time, cell.hold, run.timestamp)

    def to_merge(self, arrivals: Arrivals) -> dict[bytes, list[bytes]]:
        """The windows of each key that may have to be merged now: live ones and those that come (M-TRIG-40)."""
        questions = {}
        for key, elements in arrivals.items():
            cells = self._cells.get(key, {})
            live = {window: None for window, cell in cells.items() if not cell.closed}
            live.update((window, None) for window, _, _ in elements if window not in cells)
            live = self._rules.merge_candidates(live, arrivals)
            if len(live) > 1:
                questions[key] = list(live)
        return questions

    def sessions(self, questions: Mapping[bytes, list[bytes]]) -> dict[bytes, Merges]:
        """The runner's own answers, for session windows."""
        return {key: self._rules.merge_sessions(windows) for key, windows in questions.items()}

    def admit(self, arrivals: Arrivals, merges: Mapping[bytes, Merges], clocks: Clocks) -> None:
        """Adds elements that arrived together, windows merged, and fires what becomes ready."""
        for key, elements in arrivals.items():
            goes_to = self._merge(key, merges[key], clocks) if key in merges else {}
            cells = self._cells.setdefault(key, {})
            touched: dict[bytes, Cell] = {}
            for window, timestamp, value in self._placed(elements, goes_to):
                cell = cells.get(window)
                if cell is None or (cell.closed and not self._rules.closed_drops()):
                    cell = cells[window] = self._open(key, window)
                if cell.closed:
                    self.dropped += 1
                    continue
                self._add(cell, window, timestamp, value, clocks)
                if self._one_by_one:
                    self._settle(key, window, cell, clocks)
                    self._ask(key, window, cell, clocks)
                else:
                    touched[window] = cell
            if self._streaming:
                for window, cell in touched.items():
                    self._settle(key, window, cell, clocks)
                for window, cell in touched.items():
                    if self._cell(key, window) is cell and not cell.closed:
                        self._ask(key, window, cell, clocks)

    def _placed(
        self, elements: Iterable[tuple[bytes, int, bytes]], goes_to: Mapping[bytes, bytes]
    ) -> Iterable[tuple[bytes, int, bytes]]:
        """Elements in the windows that those they came in were merged into (M-TRIG-45)."""
        if not goes_to:
            return elements
        return [
            (place, timestamp, value)
            for window, timestamp, value in elements
            for place in self._rules.merged_places(window, goes_to.get(window, window))
        ]

    def _open(self, key: bytes, window: bytes) -> Cell:
        if not self._streaming:
            return Cell()
        last, expiry = self._ends_of(window)
        for at in {last, expiry}:
            heapq.heappush(self._ends, (at, key, window))
        siblings = self._cells.get(key, {})
        return Cell(state=self._rules.trigger_state(self._trigger.fresh, siblings), index=self._rules.first_index(siblings))

    def _add(self, cell: Cell, window: bytes, timestamp: int, value: bytes, clocks: Clocks) -> None:
        rules, strategy = self._rules, self._strategy
        cell.values.append(value)
        cell.new += 1
        last = rules.window_max(strategy.windows, window)
        if not self._streaming:
            cell.hold = rules.combined_hold(strategy.output_time, cell.hold, min(timestamp, last))
            return
        would = rules.element_hold(strategy.output_time, timestamp, last)
        if rules.can_hold(would, last, clocks.watermark, clocks.output):
            cell.hold = rules.combined_hold(strategy.output_time, cell.hold, would)
        else:
            cell.owes = True
        assert cell.state is not None
        self._trigger.element(cell.state, self._moment(window, clocks))

    def _settle(self, key: bytes, window: bytes, cell: Cell, clocks: Clocks) -> None:
        """Enters a cell's hold and its trigger's alarm."""
        held = cell.hold
        if cell.owes:
            expiry = self._ends_of(window)[1]
            held = expiry if held is None else min(held, expiry)
        self._holds.move(cell.held, held)
        cell.held = held
        wake = self._trigger.wake(cell.state) if cell.state is not None else None
        if wake is not None and wake != cell.alarm:
            heapq.heappush(self._alarms, (wake, key, window))
        cell.alarm = wake

    def _moment(self, window: bytes, clocks: Clocks) -> Moment:
        last = self._rules.window_max(self._strategy.windows, window)
        return Moment(self._rules, last, clocks.watermark, clocks.now, self._merging)

    # ---- merging

    def _merge(self, key: bytes, merges: Merges, clocks: Clocks) -> dict[bytes, bytes]:
        """Applies what a WindowFn answered; where elements of consumed windows go now."""
        cells = self._cells.setdefault(key, {})
        self._check(cells, merges)
        goes_to: dict[bytes, bytes] = {}
        consumed_cells: list[tuple[bytes, list[tuple[bytes, Cell]]]] = []
        for result, consumed in merges:
            goes_to.update((window, result) for window in consumed)
            consumed_cells.append((result, [(window, cells.pop(window)) for window in consumed if window in cells]))
        for result, parts in consumed_cells:
            if parts:
                self._become(key, result, parts, clocks)
        return goes_to

    def _check(self, cells: Mapping[bytes, Cell], merges: Merges) -> None:
        seen: set[bytes] = set()
        for result, consumed in merges:
            for window in consumed:
                if window in seen:
                    raise MergeError(f"window {window.hex()} is in two merge results; put each window into one")
                if window in cells and cells[window].closed:
                    raise MergeError(f"window {window.hex()} is closed and was not to be merged")
                seen.add(window)
            if result not in consumed and result in cells and not cells[result].closed:
                raise MergeError(f"the merge result {result.hex()} is another live window")

    def _become(self, key: bytes, result: bytes, parts: list[tuple[bytes, Cell]], clocks: Clocks) -> None:
        """Cells of consumed windows become the one of the merged window (M-TRIG-45, M-HOLD-08, M-PANE-12)."""
        rules, strategy = self._rules, self._strategy
        for _, part in parts:
            self._holds.move(part.held, None)
            part.held = None
        there = self._cells[key].get(result)
        if there is not None and there.closed:  # exactly the bounds of a closed one (M-TRIG-46)
            self.dropped += sum(part.new for _, part in parts)
            return
        if len(parts) == 1 and parts[0][0] == result:
            self._cells[key][result] = parts[0][1]
            if self._streaming:
                self._settle(key, result, parts[0][1], clocks)
            return
        cell = self._cells[key][result] = self._open(key, result)
        for _, part in parts:
            cell.values += rules.merged_values(part.values)
            cell.new += part.new
            cell.owes = cell.owes or part.owes
        holds = [part.hold for _, part in parts if part.hold is not None]
        last = rules.window_max(strategy.windows, result)
        cell.hold = rules.merged_hold(strategy.output_time, holds, last) if holds else None
        for window, part in parts:
            if window == result:
                cell.index, cell.ns = part.index, part.ns
        if self._streaming:
            states = [part.state for _, part in parts if part.state is not None]
            cell.state = self._trigger.merge(states, self._moment(result, clocks))
            self._settle(key, result, cell, clocks)

    # ---- time

    def advance(self, clocks: Clocks) -> None:
        """Asks every window that time may have made ready; lets go of those that are over."""
        if not self._streaming:
            if clocks.watermark >= MAX:
                for key, windows in list(self._cells.items()):
                    for window, cell in list(windows.items()):
                        self._expire(key, window, cell, clocks)
            return
        while self._ends and self._rules.end_of_window(self._ends[0][0], clocks.watermark):
            self._again(heapq.heappop(self._ends), clocks)
        due = []
        while self._alarms and self._rules.alarm_rings(self._alarms[0][0], clocks.now):
            due.append(heapq.heappop(self._alarms))
        for each in dict.fromkeys(due):
            self._again(each, clocks)

    def _again(self, wake: tuple[int, bytes, bytes], clocks: Clocks) -> None:
        _, key, window = wake
        cell = self._cell(key, window)
        if cell is None:
            return
        if self._rules.is_expired(self._ends_of(window)[1], clocks.watermark):
            self._expire(key, window, cell, clocks)
        elif not cell.closed:
            self._ask(key, window, cell, clocks)

    def _cell(self, key: bytes, window: bytes) -> Cell | None:
        return self._cells.get(key, {}).get(window)

    def _ask(self, key: bytes, window: bytes, cell: Cell, clocks: Clocks) -> None:
        assert cell.state is not None
        moment = self._moment(window, clocks)
        if self._rules.may_fire(self._trigger.ready(cell.state, moment), cell.new, cell.was_on_time, moment.at_end):
            self._fire(key, window, cell, clocks, final=False)

    # ---- firing

    def _expire(self, key: bytes, window: bytes, cell: Cell, clocks: Clocks) -> None:
        """The window is over: its final pane, then nothing of it is left (M-PANE-08, M-LATE-09)."""
        if not cell.closed:
            self._fire(key, window, cell, clocks, final=True)
        self._holds.move(cell.held, None)
        windows = self._cells[key]
        del windows[window]
        if not windows:
            del self._cells[key]

    def _fire(self, key: bytes, window: bytes, cell: Cell, clocks: Clocks, final: bool) -> None:
        rules, strategy = self._rules, self._strategy
        moment = self._moment(window, clocks)
        finished = False
        if not final and cell.state is not None:
            self._trigger.fire(cell.state, moment)
            finished = cell.state.finished
        last = rules.pane_is_last(finished, final)
        timing = rules.pane_timing(cell.was_on_time, moment.window_max, clocks.watermark, clocks.output)
        if rules.emits(cell.new, timing, last, strategy.on_time_always, strategy.closing_always):
            pane = rules.pane(cell.index, cell.ns, timing, last)
            timestamp = rules.pane_timestamp(strategy.output_time, cell.hold, moment.window_max)
            values = rules.pane_values(cell.values)
            if values is cell.values and not (finished or final) and rules.keeps_values(strategy.accumulation):
                values = list(values)
            self._emit(key, window, timestamp, pane, values)
            cell.index += 1
            if pane.nonspeculative_index >= 0:
                cell.ns = pane.nonspeculative_index + 1
        if finished or not rules.keeps_values(strategy.accumulation):
            cell.values = []
        else:
            cell.values = rules.kept_values(cell.values)
        cell.new, cell.hold = 0, None
        cell.owes = rules.owes_final_pane(strategy.closing_always) and not finished
        if finished:
            cell.closed, cell.state = True, None
            cell.values = []
        if not final and self._streaming:
            self._settle(key, window, cell, clocks)
