"""Judging scripts: elements, watermarks and processing time in a given order, each taking effect before the next (M-TS-01).

What is supported: one `Script`, stateless steps, and groupings that are observed directly and consumed by nothing else. Each key of a
grouping is judged by running `oracle.grouping` for every choice that the model leaves: how the elements of one event are bundled, and
the `Choices`. The observed panes must be those of one run. Left out of the comparison: `is_last` beyond "none follows it" (A-4), whether
the first pane of a window past its end is ON_TIME or LATE (M-PANE-03), and which late elements count for a timestamp (A-18).

Scripts should keep off the equality points of processing time (A-2). A watermark at exactly `end + L` is a choice (A-8).
"""

from __future__ import annotations

import itertools
import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import attrs
from attrs import frozen

from conformance.oracle.analysis import Analysis
from conformance.oracle.content import Item, Mismatch, assemble, combine_values, freeze, match
from conformance.oracle.errors import UnsupportedProgram
from conformance.oracle.finding import Finding, show_items
from conformance.oracle.grouping import Arrival, Choices, Firing, Grouping
from conformance.oracle.observed import Seen, show_value, show_window
from conformance.oracle.panes import numbering, pane_of
from conformance.oracle.program import (
    AddElements,
    AdvanceProcessingTime,
    AdvanceWatermark,
    Bounded,
    Combine,
    Event,
    GroupByKey,
    Observe,
    Script,
    Sessions,
    Stateful,
    Step,
    Windowing,
    inputs_of,
)
from conformance.oracle.trigger import can_close
from conformance.oracle.windows import end_timestamps, max_timestamp
from conformance.wire.timestamps import MAX
from conformance.wire.values import Timing, Window

__all__ = ["judge_script"]

#: Elements of one key (and window) in one event: all their bundlings are tried.
MOST_AT_ONCE = 4
_MOST_RUNS = 5_000

#: What reaches a grouping: items, or a clock.
_Input = list[Item] | AdvanceWatermark | AdvanceProcessingTime


@frozen
class _Run:
    """One legal run for one key."""

    firings: tuple[Firing, ...]
    dropped: tuple[Arrival, ...]


def judge_script(
    analysis: Analysis, observed: Mapping[str, Sequence[Seen]]
) -> tuple[list[Finding], list[tuple[Step, Mismatch, str]]]:
    """Findings of groupings; and, of stateless outputs, each difference with its step and observer."""
    program = analysis.program
    scripts = [source for source in program.sources if isinstance(source, Script)]
    if len(scripts) != 1 or len(program.sources) != 1:
        raise UnsupportedProgram("a streaming program has one Script and no other source; flatten within the script")
    (script,) = scripts
    events = _through(analysis, script)
    findings: list[Finding] = []
    differences: list[tuple[Step, Mismatch, str]] = []
    for step in program:
        for observer in analysis.observers.get(step.id, ()) if not isinstance(step, Observe) else ():
            seen = observed.get(observer, ())
            if isinstance(step, GroupByKey | Combine):
                inputs: list[_Input] = [at[step.input] if isinstance(at, dict) else at for at in events]
                wrong = _judge_grouping(step, analysis.windowing_of(step.input), inputs, seen)
                findings += [attrs.evolve(finding, observer=observer) for finding in wrong]
            elif difference := match([item for at in events if isinstance(at, dict) for item in at[step.id]], seen):
                differences.append((step, difference, observer))
    return findings, differences


def _through(analysis: Analysis, script: Script) -> list[dict[str, list[Item]] | AdvanceWatermark | AdvanceProcessingTime]:
    """Each event of the script as it reaches every output: elements carried through the stateless steps, clocks as they are."""

    def carried(event: AddElements) -> dict[str, list[Item]]:
        held: dict[str, list[Item]] = {}
        for step in analysis.program:
            if isinstance(step, Script):
                held.update(assemble(Bounded(step.id, event.elements, step.type), [], analysis.outputs))
            elif isinstance(step, Stateful) or any(name not in held for name in inputs_of(step)):
                raise UnsupportedProgram(f"{step.id} follows a grouping or keeps state in a streaming program; judge it bounded")
            elif not isinstance(step, GroupByKey | Combine | Observe):
                held.update(assemble(step, [held[name] for name in inputs_of(step)], analysis.outputs))
            elif isinstance(step, GroupByKey | Combine) and any(
                step.id in inputs_of(other) and not isinstance(other, Observe) for other in analysis.program
            ):
                raise UnsupportedProgram(f"{step.id} is consumed by more than observers in a streaming program")
            if isinstance(step, GroupByKey | Combine):
                held[step.id] = []
        return held

    return [carried(event) if isinstance(event, AddElements) else event for event in _ended(script.events)]


def _ended(events: tuple[Event, ...]) -> tuple[Event, ...]:
    return (*events, AdvanceWatermark(MAX))  # M-TS-05


# --------------------------------------------------------------------------------------------------------------- groupings


def _judge_grouping(
    step: GroupByKey | Combine, windowing: Windowing, inputs: Sequence[_Input], seen: Sequence[Seen]
) -> list[Finding]:
    got = freeze(seen)
    merging = isinstance(windowing.fn, Sessions)
    # Windows that do not merge have nothing to do with each other: each is judged by itself, with fewer bundlings to try.
    places = dict.fromkeys(_place(item, merging) for at in inputs if isinstance(at, list) for item in at)
    strangers = [item for item in got if _place(item, merging) not in places]
    if strangers:
        return [Finding("M-TRIG-05", "the grouping put out a key or window it was never given", (), show_items(strangers))]
    findings = []
    for place in places:
        own = [[item for item in at if _place(item, merging) == place] if isinstance(at, list) else at for at in inputs]
        finding = _judge_place(step, windowing, place[0], own, [item for item in got if _place(item, merging) == place])
        if finding:
            findings.append(finding)
    return findings


def _place(item: Item, merging: bool) -> tuple[Any, Window | None]:
    return item.value[0], None if merging else item.window


def _judge_place(
    step: GroupByKey | Combine, windowing: Windowing, key: Any, inputs: Sequence[_Input], seen: Sequence[Item]
) -> Finding | None:
    """One key, in one window if windows do not merge: is what was seen one of the runs?"""
    if any(_difference(step, windowing, run, seen) is None for run in _runs(windowing, key, inputs)):
        by_window: dict[Window, list[Item]] = {}
        for item in seen:
            by_window.setdefault(item.window, []).append(item)
        for window, panes in by_window.items():
            if finding := numbering(f"key {show_value(key)} in {show_window(window)}", panes):
                return finding
        return None
    nearest = min(_runs(windowing, key, inputs), key=lambda run: _cost(step, run, seen))
    rule, sentence = _difference(step, windowing, nearest, seen) or ("", "")
    shown = tuple(_show(step, firing) for firing in nearest.firings[:8])
    return Finding(rule, f"key {show_value(key)}: {sentence}", shown, show_items(seen))


def _runs(windowing: Windowing, key: Any, inputs: Sequence[_Input]) -> Iterator[_Run]:
    """Every legal run for the elements of one key, the most usual first: events in one bundle, all panes that are asked for."""
    bundlings: list[list[list[list[Arrival]]]] = []
    for at in inputs:
        if isinstance(at, list):
            mine = [Arrival(key, item.value[1], min(item.timestamps), item.window) for item in at]
            if len(mine) > MOST_AT_ONCE:
                raise UnsupportedProgram(f"one event brings {len(mine)} elements for one key; give it at most {MOST_AT_ONCE}")
            bundlings.append(list(_bundlings(mine)))
    if math.prod(len(choice) for choice in bundlings) > _MOST_RUNS:
        raise UnsupportedProgram("the events can be bundled in too many ways; make them smaller, or of one element")
    flags = itertools.product(
        (True, False) if windowing.on_time == "always" else (True,),
        (True, False) if windowing.closing == "always" else (True,),
        (False, True) if windowing.allowed_lateness > 0 else (False,),
        (False, True),
        (False, True) if windowing.allowed_lateness > 0 else (False,),
    )
    seen: set[_Run] = set()
    for choices in [Choices(*flag) for flag in flags]:
        for chosen in itertools.product(*bundlings):
            run = _run(windowing, inputs, chosen, choices)
            if run not in seen:
                seen.add(run)
                yield run


def _run(windowing: Windowing, inputs: Sequence[_Input], chosen: Sequence[Sequence[Sequence[Arrival]]], choices: Choices) -> _Run:
    machine = Grouping(windowing, choices)
    fired: list[Firing] = []
    bundles = iter(chosen)
    for at in inputs:
        if isinstance(at, AdvanceWatermark):
            fired += machine.advance_watermark(at.to)
        elif isinstance(at, AdvanceProcessingTime):
            fired += machine.advance_processing_time(at.by)
        else:
            for bundle in next(bundles):
                fired += machine.arrive(bundle)
    return _Run(tuple(fired), tuple(machine.dropped))


def _bundlings(arrivals: Sequence[Arrival]) -> Iterator[list[list[Arrival]]]:
    """The ordered partitions of the elements of one event into bundles; order inside a bundle is no matter."""
    if not arrivals:
        yield []
        return
    for size in range(len(arrivals), 0, -1):
        for first in itertools.combinations(range(len(arrivals)), size):
            rest = [arrival for i, arrival in enumerate(arrivals) if i not in first]
            for others in _bundlings(rest):
                yield [[arrivals[i] for i in first], *others]


# --------------------------------------------------------------------------------------------------------------- comparing


def _difference(step: GroupByKey | Combine, windowing: Windowing, run: _Run, seen: Sequence[Item]) -> tuple[str, str] | None:
    """The rule and sentence of the first difference between what was seen and one run; None if there is none."""
    wanted = {(firing.window, firing.pane.index): firing for firing in run.firings}
    got: dict[tuple[Window, int], Item] = {}
    for item in seen:
        place = (item.window, pane_of(item).index)
        if place in got:
            return "M-PANE-04", f"two panes of {show_window(item.window)} have the index {place[1]}"
        got[place] = item
    if isinstance(step, GroupByKey) and (about_values := _values(windowing, run, seen)):
        return about_values
    for place, item in got.items():
        if place not in wanted:
            empty = isinstance(step, GroupByKey) and not item.value[1].members
            rule = "M-PANE-06" if empty else "M-TRIG-02"
            return rule, f"{show_window(place[0])} has a pane {place[1]} that no run fires"
    for place, firing in wanted.items():
        if place in got and got[place].value[1] != combine_values(step, firing.values):
            return "M-TRIG-02", f"pane {place[1]} of {show_window(place[0])} holds other elements than in any run"
    for place, firing in wanted.items():
        if place not in got:
            return ("M-PANE-08" if firing.pane.is_last else "M-TRIG-02"), f"{show_window(place[0])} lacks its pane {place[1]}"
    for place, firing in wanted.items():
        item, pane = got[place], pane_of(got[place])
        if pane.timing is not firing.pane.timing and not _either(run, firing, pane.timing):
            return "M-PANE-03", f"pane {place[1]} of {show_window(place[0])} is {pane.timing.name}, not {firing.pane.timing.name}"
        if not item.timestamps <= _stamps(windowing, firing):
            return "M-HOLD-01", f"pane {place[1]} of {show_window(place[0])} is stamped otherwise than in any run"
        if pane.is_last and any(w == place[0] and index > place[1] for w, index in wanted):
            return "M-PANE-05", f"pane {place[1]} of {show_window(place[0])} is marked last, and another follows it"
    return None


def _values(windowing: Windowing, run: _Run, seen: Sequence[Item]) -> tuple[str, str] | None:
    """Values lost, or there though dropped: the gross faults of a GroupByKey."""
    held = Counter(value for firing in run.firings for value in firing.values)
    got = Counter(value for item in seen for value in item.value[1].members)
    dropped = {arrival.value for arrival in run.dropped}
    for value in got:
        if value not in held:
            why = (
                "is late for its window or came after its trigger finished" if value in dropped else "was never given to that key"
            )
            rule = "M-WIN-16" if value not in dropped else "M-TRIG-35" if can_close(windowing.trigger) else "M-LATE-03"
            return rule, f"{show_value(value)} is in a pane, and {why}"
    for value in held:
        if value not in got:
            return "M-PANE-08", f"{show_value(value)} is in no pane, and could not be dropped"
    if windowing.accumulation == "discarding" and got - held:
        return "M-PANE-11", f"{', '.join(show_value(value) for value in got - held)} is in too many panes"
    return None


def _either(run: _Run, firing: Firing, timing: Timing) -> bool:
    """M-PANE-03: the first non-EARLY pane of a window, past its end, may be ON_TIME or LATE."""
    first = min(
        (f.pane.index for f in run.firings if f.window == firing.window and f.pane.timing is not Timing.EARLY), default=-1
    )
    return firing.pane.index == first and {timing, firing.pane.timing} == {Timing.ON_TIME, Timing.LATE}


def _stamps(windowing: Windowing, firing: Firing) -> frozenset[int]:
    """The timestamp by the elements that could be held and are new; or by all there are (A-18), the same if all came on time."""
    if windowing.output_time == "end_of_window" or not firing.element_timestamps:
        return end_timestamps(firing.window)
    pick = min if windowing.output_time == "earliest" else max
    at_end = end_timestamps(firing.window) if firing.timestamp == max_timestamp(firing.window) else frozenset[int]()
    return at_end | {firing.timestamp, pick(firing.element_timestamps)}


def _cost(step: GroupByKey | Combine, run: _Run, seen: Sequence[Item]) -> int:
    wanted = Counter((f.window, f.pane.index, combine_values(step, f.values)) for f in run.firings)
    got = Counter((item.window, pane_of(item).index, item.value[1]) for item in seen)
    return (wanted - got).total() + (got - wanted).total()


def _show(step: GroupByKey | Combine, firing: Firing) -> str:
    value = show_value((firing.key, combine_values(step, firing.values)))
    return (
        f"{value} at {firing.timestamp} in {show_window(firing.window)}, pane {firing.pane.timing.name} idx {firing.pane.index}"
    )
