"""A naive interpreter of bounded programs that makes each of the model's choices at random: a legal runner to try the oracle on.

It works on concrete elements, step by step, and shares with the judge only the function tables, window assignment and, for triggered
groupings, the grouping machine (the judge searches for runs by `oracle.runs` instead).
"""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from conformance.oracle.analysis import Analysis, analyse
from conformance.oracle.functions import COMBINERS, FUNCTIONS, SHIFT
from conformance.oracle.grouping import Arrival, Choices, Firing, Grouping
from conformance.oracle.observed import Seen, canonical, plain
from conformance.oracle.program import (
    Add,
    AddElements,
    AdvanceProcessingTime,
    AdvanceWatermark,
    Bounded,
    Clear,
    ClearTimer,
    Combine,
    Emit,
    EmitElement,
    Flatten,
    GroupByKey,
    Observe,
    Op,
    ParDo,
    Partition,
    Program,
    Redistribute,
    Reshuffle,
    Script,
    Sessions,
    SetTimer,
    SideInput,
    Stateful,
    Step,
    WhenSize,
    Windowing,
    WindowInto,
    inputs_of,
)
from conformance.oracle.windows import assign, map_main_window, merge
from conformance.wire.timestamps import GLOBAL_WINDOW_MAX, MAX
from conformance.wire.values import NO_FIRING, GlobalWindow, IntervalWindow, Pane, Timing, Window


def execute(program: Program, rng: random.Random) -> dict[str, list[Seen]]:
    """One legal outcome of the program."""
    analysis = analyse(program)
    held: dict[str, list[Seen]] = {}
    seen: dict[str, list[Seen]] = {}
    for step in program:
        inputs = [rng.sample(held[name], len(held[name])) for name in inputs_of(step)]
        if isinstance(step, Observe):
            seen[step.id] = inputs[0]
        else:
            held.update(_outputs(step, inputs, analysis, rng))
    return seen


def execute_script(program: Program, rng: random.Random) -> dict[str, list[Seen]]:
    """One legal outcome of a script into one grouping: the elements of an event in one bundle or one by one, any `Choices`."""
    (script,) = program.sources
    assert isinstance(script, Script)
    _, window, key, step, observer = program.steps
    assert isinstance(window, WindowInto)
    assert isinstance(key, ParDo)
    assert isinstance(step, GroupByKey | Combine)
    machine = Grouping(window.windowing, Choices(*(rng.random() < 0.5 for _ in range(4))))
    fired: list[Firing] = []
    for event in script.events:
        match event:
            case AdvanceWatermark(to):
                fired += machine.advance_watermark(to)
            case AdvanceProcessingTime(by):
                fired += machine.advance_processing_time(by)
            case AddElements(elements):
                arrivals = [
                    Arrival(e.value % key.arg, e.value, e.timestamp, w)
                    for e in elements
                    for w in assign(window.windowing.fn, e.timestamp)
                ]
                rng.shuffle(arrivals)
                for bundle in [arrivals] if rng.random() < 0.5 else [[arrival] for arrival in arrivals]:
                    fired += machine.arrive(bundle)
    fired += machine.advance_watermark(MAX)
    return {observer.id: [Seen((f.key, _value(step, f.values)), f.timestamp, f.window, f.pane) for f in fired]}


def _outputs(step: Step, inputs: list[list[Seen]], analysis: Analysis, rng: random.Random) -> Mapping[str, list[Seen]]:
    match step:
        case Bounded(name, elements, _):
            return {name: [Seen(e.value, e.timestamp) for e in elements]}
        case ParDo(name, _, fn, arg):
            shift = arg if fn == SHIFT else 0
            return {
                name: [
                    Seen(plain(v), s.timestamp + shift, s.window, s.pane)
                    for s in inputs[0]
                    for v in FUNCTIONS[fn].values(s.value, arg)
                ]
            }
        case Partition(name, _, ways):
            out: dict[str, list[Seen]] = {f"{name}#{way}": [] for way in range(ways)}
            for s in inputs[0]:
                out[f"{name}#{(s.value[0] if isinstance(s.value, tuple) else s.value) % ways}"].append(s)
            return out
        case Flatten(name):
            return {name: [s for part in inputs for s in part]}
        case Reshuffle(name) | Redistribute(name):
            return {name: inputs[0]}
        case WindowInto(name, _, windowing):
            keep = rng.random() < 0.5
            return {
                name: [
                    Seen(s.value, s.timestamp, window, s.pane if keep else NO_FIRING)
                    for s in inputs[0]
                    for window in assign(windowing.fn, s.timestamp)
                ]
            }
        case SideInput(name, _, side, view):
            fn = analysis.windowing_of(side).fn
            rows = []
            for s in inputs[0]:
                values = [o.value for o in inputs[1] if o.window == map_main_window(s.window, fn)]
                if view == "multimap":
                    values = [value[1] for value in values if value[0] == s.value[0]]
                rows.append(Seen((s.value, values), s.timestamp, s.window, s.pane))
            return {name: rows}
        case GroupByKey() | Combine():
            return {step.id: _grouping(step, analysis.windowing_of(step.input), inputs[0], rng)}
        case Stateful():
            return {step.id: _stateful(step, inputs[0], rng)}
        case _:
            raise AssertionError(step)


# ----------------------------------------------------------------------------------------------------------------- groupings


def _value(step: GroupByKey | Combine, values: Sequence[Any]) -> Any:
    if isinstance(step, GroupByKey):
        return list(values)
    return plain(COMBINERS[step.fn].extract([canonical(value) for value in values]))


def _early_end(window: Window, stamp: int, rng: random.Random) -> int:
    """A-6: Python code ends the global window a millisecond early."""
    return stamp - 1 if isinstance(window, GlobalWindow) and stamp == GLOBAL_WINDOW_MAX and rng.random() < 0.5 else stamp


def _grouping(step: GroupByKey | Combine, windowing: Windowing, given: list[Seen], rng: random.Random) -> list[Seen]:
    late = any(s.pane.timing is Timing.LATE for s in given)
    if rng.random() < 0.4 and not late:
        return _in_one_pane(step, windowing, given, rng)
    return _by_machine(step, windowing, given, rng)


def _in_one_pane(step: GroupByKey | Combine, windowing: Windowing, given: list[Seen], rng: random.Random) -> list[Seen]:
    """As batch runners do: one pane per key and window, labelled ON_TIME or not at all (M-BATCH-01)."""
    groups: dict[tuple[Any, Window], list[Seen]] = defaultdict(list)
    for s in given:
        groups[canonical(s.value[0]), s.window].append(s)
    if isinstance(windowing.fn, Sessions):
        merged: dict[tuple[Any, Window], list[Seen]] = {}
        for key in {key for key, _ in groups}:
            for whole, members in merge([w for k, w in groups if k == key and isinstance(w, IntervalWindow)]):
                merged[key, whole] = [s for member in members for s in groups[key, member]]
        groups = defaultdict(list, merged)
    pane = rng.choice([NO_FIRING, Pane(True, True, Timing.ON_TIME, 0, 0), Pane(True, False, Timing.ON_TIME, 0, 0)])
    stamp = {"end_of_window": lambda w, ts: w.max_timestamp, "earliest": lambda w, ts: min(ts), "latest": lambda w, ts: max(ts)}
    return [
        Seen(
            (plain(key), _value(step, [s.value[1] for s in group])),
            _early_end(window, stamp[windowing.output_time](window, [s.timestamp for s in group]), rng),
            window,
            pane,
        )
        for (key, window), group in groups.items()
    ]


def _by_machine(step: GroupByKey | Combine, windowing: Windowing, given: list[Seen], rng: random.Random) -> list[Seen]:
    """As streaming runners do: elements in any order and batches, clocks moving between them, the watermark behind what is to come."""
    machine = Grouping(windowing, Choices(*(rng.random() < 0.5 for _ in range(3))))
    waiting = rng.sample(given, len(given))
    fired: list[Firing] = []
    while waiting:
        size = rng.randint(1, len(waiting))
        batch, waiting = waiting[:size], waiting[size:]
        fired += machine.arrive([Arrival(canonical(s.value[0]), canonical(s.value[1]), s.timestamp, s.window) for s in batch])
        if rng.random() < 0.5:
            fired += machine.advance_processing_time(rng.choice([1, 5000]))
        if waiting and rng.random() < 0.5:
            fired += machine.advance_watermark(min(s.timestamp for s in waiting))
    if rng.random() < 0.5:
        for to in range(-30, 130, rng.choice([1, 7])):
            fired += machine.advance_watermark(to)
    fired += machine.advance_watermark(MAX)
    return [
        Seen((plain(f.key), _value(step, [plain(v) for v in f.values])), _early_end(f.window, f.timestamp, rng), f.window, f.pane)
        for f in fired
    ]


# ----------------------------------------------------------------------------------------------------------------- state


class _Cells:
    """The cells and timers of one key and window, and what its callbacks put out."""

    def __init__(self, step: Stateful, key: Any, window: Window) -> None:
        self.step, self.key, self.window = step, key, window
        self.cells: dict[str, list[Any]] = {cell.name: [] for cell in step.cells}
        self.kinds = {cell.name: cell.kind for cell in step.cells}
        self.timers: dict[str, tuple[int, Pane]] = {}
        self.out: list[Seen] = []

    def run(self, ops: Sequence[Op], time: int, pane: Pane, value: int | None = None, tag: str | None = None) -> None:
        for op in ops:
            match op:
                case Add(cell):
                    self.put(cell, value or 0, time)
                case Clear(cell):
                    self.cells[cell].clear()
                case Emit(cell, label):
                    self.emit(label if tag is None else f"{label}:{tag}", self.read(cell), time, pane)
                case EmitElement(label):
                    self.emit(label, [(0, (0, value))], time, pane)
                case SetTimer(name, after):
                    at = min(time + after, self.window.max_timestamp)
                    if tag is None or (name == tag and at > time):
                        self.timers[name] = (at, pane)
                case ClearTimer(name):
                    self.timers.pop(name, None)
                case WhenSize(cell, inner, at_least, at_most):
                    if at_least <= len(self.cells[cell]) <= at_most:
                        self.run(inner, time, pane, value, tag)

    def put(self, cell: str, value: int, time: int) -> None:
        entries = self.cells[cell]
        match self.kinds[cell]:
            case "value":
                entries[:] = [value]
            case "combining":
                entries[:] = [sum(entries) + value]
            case "set":
                if value not in entries:
                    entries.append(value)
            case "multimap":
                entries.append((value % 3, value))
            case "ordered_list":
                entries.append((time, value))
            case _:
                entries.append(value)

    def read(self, cell: str) -> list[Any]:
        entries = self.cells[cell]
        if self.kinds[cell] == "multimap":
            return [(0, entry) for entry in entries]
        if self.kinds[cell] == "ordered_list":
            ranked: list[Any] = []
            for entry in sorted(entries, key=lambda e: e[0]):
                rank = ranked[-1][0] + (ranked[-1][1][0] != entry[0]) if ranked else 0
                ranked.append((rank, entry))
            return ranked
        return [(0, (0, entry)) for entry in entries]

    def emit(self, label: str, contents: list[Any], time: int, pane: Pane) -> None:
        self.out.append(Seen((self.key, (label, contents)), time, self.window, pane))


def _stateful(step: Stateful, given: list[Seen], rng: random.Random) -> list[Seen]:
    groups: dict[tuple[Any, Window], list[Seen]] = defaultdict(list)
    for s in given:
        groups[s.value[0], s.window].append(s)
    out: list[Seen] = []
    for (key, window), group in groups.items():
        cells = _Cells(step, key, window)
        waiting = sorted(group, key=lambda s: s.timestamp) if step.time_sorted else rng.sample(group, len(group))
        while waiting or cells.timers:
            tag, (at, pane) = min(cells.timers.items(), key=lambda t: t[1][0], default=("", (MAX, NO_FIRING)))
            may_fire = bool(cells.timers) and all(s.timestamp > at for s in waiting)
            if may_fire and (not waiting or rng.random() < 0.5):
                del cells.timers[tag]
                cells.run(step.on_timer, at, rng.choice([pane, NO_FIRING]), tag=tag)
            else:
                s = waiting.pop(0)
                cells.run(step.on_element, s.timestamp, s.pane, value=s.value[1])
        cells.run(step.on_expiration, _early_end(window, window.max_timestamp, rng), NO_FIRING)
        out += cells.out
    return out


__all__ = ["execute", "execute_script"]
