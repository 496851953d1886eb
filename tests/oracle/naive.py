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
    Bounded,
    Clear,
    ClearPart,
    ClearTimer,
    Combine,
    Emit,
    EmitElement,
    EmitKeys,
    EmitPart,
    Flatten,
    GroupByKey,
    Observe,
    Op,
    ParDo,
    Partition,
    Program,
    Redistribute,
    Reshuffle,
    Sessions,
    SetTimer,
    SideInput,
    Splittable,
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
            held.update(outputs(step, inputs, analysis, rng))
    return seen


def outputs(step: Step, inputs: list[list[Seen]], analysis: Analysis, rng: random.Random) -> Mapping[str, list[Seen]]:
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
        case Splittable(name, _, _, _, _, base, step_by):
            positions = [(s, at) for s in inputs[0] for at in range(s.value)]
            return {name: [Seen((s.value, at), base + at * step_by, s.window, s.pane) for s, at in positions]}
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
            return {step.id: _stateful(step, inputs[0], analysis.windowing_of(step.input).allowed_lateness, rng)}
        case _:
            raise AssertionError(step)


# ----------------------------------------------------------------------------------------------------------------- groupings


def value_of(step: GroupByKey | Combine, values: Sequence[Any]) -> Any:
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
            (plain(key), value_of(step, [s.value[1] for s in group])),
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
        Seen(
            (plain(f.key), value_of(step, [plain(v) for v in f.values])), _early_end(f.window, f.timestamp, rng), f.window, f.pane
        )
        for f in fired
    ]


# ----------------------------------------------------------------------------------------------------------------- state


class Cells:
    """The cells and timers of one key and window, and what its callbacks put out."""

    def __init__(self, step: Stateful, key: Any, window: Window, lateness: int) -> None:
        self.step, self.key, self.window, self.lateness = step, key, window, lateness
        self.cells: dict[str, list[Any]] = {cell.name: [] for cell in step.cells}
        self.kinds = {cell.name: cell.kind for cell in step.cells}
        self.domains = {family.name: family.domain for family in step.families}
        #: family and tag → when, hold, pane
        self.timers: dict[tuple[str, str], tuple[int, int, Pane]] = {}
        self.out: list[Seen] = []

    def element(self, seen: Seen, now: int = 0) -> None:
        self.run(self.step.on_element, seen.timestamp, seen.timestamp, seen.pane, now, value=seen.value[1])

    def fire(self, timer: tuple[str, str], rng: random.Random, now: int = 0) -> None:
        at, hold, pane = self.timers.pop(timer)
        self.run(self.step.on_timer, at, hold, rng.choice([pane, NO_FIRING]), now, timer=timer)

    def expire(self, rng: random.Random) -> None:
        end = _early_end(self.window, self.window.max_timestamp, rng)
        self.run(self.step.on_expiration, end, end, NO_FIRING, 0)

    def due(self, domain: str) -> list[tuple[str, str]]:
        """The timers of a domain, the earliest first."""
        mine = [timer for timer in self.timers if self.domains[timer[0]] == domain]
        return sorted(mine, key=lambda timer: self.timers[timer][0])

    def run(
        self,
        ops: Sequence[Op],
        time: int,
        stamp: int,
        pane: Pane,
        now: int,
        value: int | None = None,
        timer: tuple[str, str] | None = None,
    ) -> None:
        for op in ops:
            match op:
                case Add(cell):
                    self.put(cell, value or 0, time)
                case Clear(cell):
                    self.cells[cell].clear()
                case ClearPart(cell):
                    self.cells[cell][:] = [e for e in self.cells[cell] if not self.in_part(cell, e, value or 0, time)]
                case Emit(cell, label):
                    self.emit(label, self.read(cell, self.cells[cell]), stamp, pane, timer)
                case EmitPart(cell, label):
                    part = [e for e in self.cells[cell] if self.in_part(cell, e, value or 0, time)]
                    self.emit(label, self.read(cell, part), stamp, pane, timer)
                case EmitKeys(cell, label):
                    self.emit(label, [(0, (key, 0)) for key in {key for key, _ in self.cells[cell]}], stamp, pane, timer)
                case EmitElement(label):
                    self.emit(label, [(0, (0, value))], stamp, pane, timer)
                case SetTimer():
                    self.set_timer(op, time, stamp, pane, now, timer)
                case ClearTimer(tag, family):
                    self.timers.pop((family, tag), None)
                case WhenSize(cell, inner, at_least, at_most):
                    if at_least <= len(self.cells[cell]) <= at_most:
                        self.run(inner, time, stamp, pane, now, value, timer)

    def set_timer(self, op: SetTimer, time: int, stamp: int, pane: Pane, now: int, timer: tuple[str, str] | None) -> None:
        made = (op.family, op.tag)
        if timer is not None and timer != made:
            return
        if self.domains[op.family] == "processing":
            self.timers[made] = (now + op.after, stamp, pane)
            return
        end = self.window.max_timestamp
        if op.until == "expiry":
            end = min(end + self.lateness, GLOBAL_WINDOW_MAX)
        at = min(time + op.after, end)
        if timer is None or at > time:
            self.timers[made] = (at, at if op.hold is None else min(at, time + op.hold), pane)

    def in_part(self, cell: str, entry: Any, value: int, time: int) -> bool:
        match self.kinds[cell]:
            case "set":
                return bool(entry == value)
            case "ordered_list":
                return bool(time - 5 <= entry[0] < time + 1)
            case _:
                return bool(entry[0] == value % 3)

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
            case "map":
                entries[:] = [entry for entry in entries if entry[0] != value % 3] + [(value % 3, value)]
            case "multimap":
                entries.append((value % 3, value))
            case "ordered_list":
                entries.append((time, value))
            case _:
                entries.append(value)

    def read(self, cell: str, entries: list[Any]) -> list[Any]:
        if self.kinds[cell] in ("map", "multimap"):
            return [(0, entry) for entry in entries]
        if self.kinds[cell] == "ordered_list":
            ranked: list[Any] = []
            for entry in sorted(entries, key=lambda e: e[0]):
                rank = ranked[-1][0] + (ranked[-1][1][0] != entry[0]) if ranked else 0
                ranked.append((rank, entry))
            return ranked
        return [(0, (0, entry)) for entry in entries]

    def emit(self, label: str, contents: list[Any], stamp: int, pane: Pane, timer: tuple[str, str] | None) -> None:
        if timer is not None:
            family, tag = timer
            label = f"{label}:{tag}" if family == "timers" else f"{label}:{family}:{tag}"
        self.out.append(Seen((self.key, (label, contents)), stamp, self.window, pane))


def _stateful(step: Stateful, given: list[Seen], lateness: int, rng: random.Random) -> list[Seen]:
    groups: dict[tuple[Any, Window], list[Seen]] = defaultdict(list)
    for s in given:
        groups[s.value[0], s.window].append(s)
    out: list[Seen] = []
    for (key, window), group in groups.items():
        cells = Cells(step, key, window, lateness)
        waiting = sorted(group, key=lambda s: s.timestamp) if step.time_sorted else rng.sample(group, len(group))
        while waiting or cells.timers:
            timer = next(iter(cells.due("event")), None)
            may_fire = timer is not None and all(s.timestamp > cells.timers[timer][0] for s in waiting)
            if timer is not None and may_fire and (not waiting or rng.random() < 0.5):
                cells.fire(timer, rng)
            else:
                cells.element(waiting.pop(0))
        cells.expire(rng)
        out += cells.out
    return out


__all__ = ["Cells", "execute", "outputs", "value_of"]
