"""A naive interpreter of programs with a Script: one legal run, event by event, its choices made at random.

It runs the whole program forward, all keys together, and carries watermarks and holds from step to step. With the judge it shares the
grouping machine and the function tables; state, timers, side inputs and the walk are its own.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

from conformance.oracle.analysis import Analysis, analyse
from conformance.oracle.grouping import Arrival, Choices, Firing, Grouping
from conformance.oracle.observed import Seen, canonical, plain
from conformance.oracle.program import (
    AddElements,
    AdvanceProcessingTime,
    AdvanceWatermark,
    Bounded,
    Combine,
    GroupByKey,
    Observe,
    Program,
    Script,
    SideInput,
    Stateful,
    Step,
    Windowing,
    inputs_of,
    outputs_of,
)
from conformance.oracle.side_script import fires_at_end
from conformance.oracle.windows import expiry, map_main_window
from conformance.wire.timestamps import MAX, MIN
from conformance.wire.values import Window
from tests.oracle.naive import Cells, outputs, value_of

__all__ = ["execute_script"]


class _Groups:
    """A grouping: one machine for all keys."""

    def __init__(self, step: GroupByKey | Combine, windowing: Windowing, rng: random.Random) -> None:
        self.step, self.rng = step, rng
        late = windowing.allowed_lateness > 0
        self.machine = Grouping(
            windowing,
            Choices(
                empty_on_time=rng.random() < 0.7,
                empty_final=rng.random() < 0.7,
                leftover_at_end=late and rng.random() < 0.2,
                lenient_expiry=rng.random() < 0.2,
                lagging_output=late and rng.random() < 0.2,
                hold_to_expiry=rng.random() < 0.8,
            ),
        )

    def beat(self, given: list[Seen], watermark: int, clock: int) -> tuple[list[Seen], int]:
        fired: list[Firing] = []
        waiting = self.rng.sample(given, len(given))
        while waiting:
            size = self.rng.randint(1, len(waiting))
            bundle, waiting = waiting[:size], waiting[size:]
            fired += self.machine.arrive(
                [Arrival(canonical(s.value[0]), canonical(s.value[1]), s.timestamp, s.window) for s in bundle]
            )
        if watermark > self.machine.watermark:
            fired += self.machine.advance_watermark(watermark)
        if clock > self.machine.processing_time:
            fired += self.machine.advance_processing_time(clock - self.machine.processing_time)
        made = [
            Seen((plain(f.key), value_of(self.step, [plain(v) for v in f.values])), f.timestamp, f.window, f.pane) for f in fired
        ]
        return made, self.machine.output_watermark


class _States:
    """A stateful ParDo: its keys and windows, each with cells and timers."""

    def __init__(self, step: Stateful, windowing: Windowing, rng: random.Random) -> None:
        self.step, self.rng, self.lateness = step, rng, windowing.allowed_lateness
        self.places: dict[tuple[Any, Window], Cells] = {}
        self.waiting: dict[tuple[Any, Window], list[Seen]] = {}
        self.before, self.output = MIN, MIN
        self.equal_fires, self.clock_fires = rng.random() < 0.5, rng.random() < 0.5

    def beat(self, given: list[Seen], watermark: int, clock: int) -> tuple[list[Seen], int]:
        self.last = watermark == MAX
        out: list[Seen] = []
        for s in self.rng.sample(given, len(given)):
            if self.before > expiry(s.window, self.lateness) or (self.step.time_sorted and self.before > s.timestamp):
                continue
            place = (s.value[0], s.window)
            if self.step.time_sorted:
                self.waiting.setdefault(place, []).append(s)
                continue
            self._cells(place).element(s, clock)
            if self.rng.random() < 0.5:
                self._fire(self._cells(place), self.before, clock)
        for place in {*self.places, *self.waiting}:
            cells = self._cells(place) if place in self.places else None
            if cells is not None:
                self._fire(cells, self.before, clock)
            self._advance(place, watermark, clock)
        for place, cells in list(self.places.items()):
            out += cells.out
            cells.out = []
            if watermark > expiry(place[1], self.lateness):
                cells.expire(self.rng)
                out += cells.out
                del self.places[place]
        self.before = watermark
        holds = [hold for cells in self.places.values() for _, hold, _ in cells.timers.values()]
        holds += [s.timestamp for some in self.waiting.values() for s in some]
        holds += [window.max_timestamp for _, window in self.places if self.step.on_expiration]
        self.output = max(self.output, min([watermark, *holds]))
        return out, self.output

    def _cells(self, place: tuple[Any, Window]) -> Cells:
        return self.places.setdefault(place, Cells(self.step, *place, self.lateness))

    def _advance(self, place: tuple[Any, Window], watermark: int, clock: int) -> None:
        """What waits for the watermark comes in order of time, timers between elements."""
        for s in sorted(self.waiting.pop(place, []), key=lambda s: s.timestamp):
            if s.timestamp < watermark:
                self._fire(self._cells(place), min(watermark, s.timestamp), clock, equal=False)
                self._cells(place).element(s, clock)
            else:
                self.waiting.setdefault(place, []).append(s)
        if place in self.places:
            self._fire(self.places[place], watermark, clock, equal=place not in self.waiting)

    def _fire(self, cells: Cells, watermark: int, clock: int, *, equal: bool = True) -> None:
        while True:
            event, processing = cells.due("event"), cells.due("processing")
            at = cells.timers[event[0]][0] if event else MAX
            if event and (at < watermark or (equal and self.equal_fires and at == watermark)):
                cells.fire(event[0], self.rng, clock)
            elif processing and (cells.timers[processing[0]][0] < clock or (watermark == MAX and self.clock_fires)):
                cells.fire(processing[0], self.rng, max(clock, cells.timers[processing[0]][0]))
            else:
                return


class _Sides:
    """A side input: a view a window, and main elements that wait for it."""

    def __init__(self, step: SideInput, side: Windowing, rng: random.Random) -> None:
        self.step, self.side, self.rng = step, side, rng
        self.machine = Grouping(side, Choices(empty_on_time=rng.random() < 0.7, empty_final=rng.random() < 0.7))
        self.panes: dict[Window, list[tuple[Any, ...]]] = {}
        self.waiting: list[Seen] = []
        self.together = rng.random() < 0.5

    def beat(self, main: list[Seen], side: list[Seen], watermark: int, clock: int) -> list[Seen]:
        self.waiting += main
        ready = self._ready() if self.rng.random() < 0.5 else []
        waiting = self.rng.sample(side, len(side))
        while waiting:
            size = self.rng.randint(1, len(waiting))
            bundle, waiting = waiting[:size], waiting[size:]
            self._fired(self.machine.arrive([Arrival(0, canonical(s.value), s.timestamp, s.window) for s in bundle]))
        if watermark > self.machine.watermark:
            self._fired(self.machine.advance_watermark(watermark))
        if clock > self.machine.processing_time:
            self._fired(self.machine.advance_processing_time(clock - self.machine.processing_time))
        return ready + self._ready()

    def _fired(self, fired: Sequence[Firing]) -> None:
        for firing in fired:
            self.panes.setdefault(firing.window, []).append(firing.values)

    def _ready(self) -> list[Seen]:
        done: list[Seen] = []
        for s in list(self.waiting):
            window = map_main_window(s.window, self.side.fn)
            assert window is not None
            panes = self.panes.get(window, [])
            end = window.max_timestamp if fires_at_end(self.side.trigger) else expiry(window, self.side.allowed_lateness)
            if not panes and self.machine.watermark <= end:
                continue
            if self.machine.watermark < MAX and self.rng.random() < 0.2:
                continue  # waiting longer is legal
            self.waiting.remove(s)
            union = self.together and self.side.accumulation == "discarding"
            shown = [v for pane in panes for v in pane] if union else list(panes[-1]) if panes else []
            if self.step.view == "multimap":
                shown = [v[1] for v in shown if v[0] == s.value[0]]
            done.append(Seen((s.value, [plain(v) for v in shown]), s.timestamp, s.window, s.pane))
        return done


_Machine = _Groups | _States | _Sides


def execute_script(program: Program, rng: random.Random) -> dict[str, list[Seen]]:
    """One legal outcome of a program with a Script."""
    analysis = analyse(program)
    machines = {step.id: _machine(step, analysis, rng) for step in program}
    (script,) = (step for step in program if isinstance(step, Script))
    names = outputs_of(script)
    watermarks = dict.fromkeys(names, MIN)
    clock = 0
    seen: dict[str, list[Seen]] = {observer.id: [] for observer in program.observers}
    for index, event in enumerate([*script.events, *names]):
        arrived: dict[str, list[Seen]] = {name: [] for name in names}
        match event:
            case AddElements(elements, output):
                arrived[names[output]] = [Seen(e.value, e.timestamp) for e in elements]
            case AdvanceWatermark(to, output):
                watermarks[names[output]] = to
            case AdvanceProcessingTime(by):
                clock += by
            case str():
                watermarks[event] = MAX
        held = dict(arrived)
        at = dict(watermarks)
        for step in program:
            _step(step, analysis, machines[step.id], held, at, clock, seen, rng, first=index == 0)
    return seen


def _machine(step: Step, analysis: Analysis, rng: random.Random) -> _Machine | None:
    match step:
        case GroupByKey() | Combine():
            return _Groups(step, analysis.windowing_of(step.input), rng)
        case Stateful():
            return _States(step, analysis.windowing_of(step.input), rng)
        case SideInput():
            return _Sides(step, analysis.windowing_of(step.side), rng)
        case _:
            return None


def _step(
    step: Step,
    analysis: Analysis,
    machine: _Machine | None,
    held: dict[str, list[Seen]],
    at: dict[str, int],
    clock: int,
    seen: dict[str, list[Seen]],
    rng: random.Random,
    *,
    first: bool,
) -> None:
    """What one step makes of one event: items and watermark of its outputs."""
    inputs = [rng.sample(held[name], len(held[name])) for name in inputs_of(step)]
    watermark = min((at[name] for name in inputs_of(step)), default=MAX)
    if isinstance(machine, _Sides):
        assert isinstance(step, SideInput)
        held[step.id], at[step.id] = machine.beat(inputs[0], inputs[1], at[step.side], clock), at[step.input]
    elif machine is not None:
        held[step.id], at[step.id] = machine.beat(inputs[0], watermark, clock)
    elif isinstance(step, Observe):
        seen[step.id] += inputs[0]
    elif not isinstance(step, Script):
        made = outputs(step, inputs, analysis, rng)
        if isinstance(step, Bounded) and not first:
            made = {step.id: []}
        held.update(made)
        at.update(dict.fromkeys(outputs_of(step), watermark))
