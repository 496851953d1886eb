"""How the elements of an output come over a script: event by event, with the watermark and the clock after each.

A `Flow` has one `Beat` an event, and one more for the end, when the watermark goes to MAX (M-TS-05), or several where a script has
several outputs. The items of a beat come in any
bundles, while the watermark still is what the beat before left; then it moves. That is right for what comes out of a grouping or of a
timer too: its watermark passes on only after it is committed (M-HOLD-09, M-WM-04).

What comes out of a grouping or a stateful ParDo is known by what was seen of it; when it came out is not, nor what was held. So it
has several flows, one for each combination of the `History`s of its keys and windows, and what consumes it must be right for one.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping, Sequence

import attrs
from attrs import frozen

from conformance.oracle.analysis import Traits
from conformance.oracle.content import Item, assemble
from conformance.oracle.errors import UnsupportedProgram
from conformance.oracle.program import (
    AddElements,
    AdvanceProcessingTime,
    AdvanceWatermark,
    Bounded,
    Flatten,
    Script,
    Step,
    outputs_of,
)
from conformance.wire.timestamps import MAX, MIN

__all__ = ["Beat", "Flow", "History", "bounded_flow", "forward", "merged_flows", "script_flows"]

#: Flows of one output that are followed.
_MOST_FLOWS = 128


@frozen
class Beat:
    """One event as an output shows it."""

    items: tuple[Item, ...]
    #: after the event
    watermark: int
    #: processing time, after the event
    clock: int


Flow = tuple[Beat, ...]


@frozen
class History:
    """One legal course of one key and window: what it puts out in each beat, and where it holds the watermark after it."""

    items: tuple[tuple[Item, ...], ...]
    holds: tuple[int, ...]
    #: admissible behaviour in which runners differ, in short
    notes: frozenset[str] = frozenset()


def script_flows(script: Script, traits: Mapping[str, Traits]) -> dict[str, Flow]:
    """The flow of each output of a script."""
    names = outputs_of(script)
    beats: dict[str, list[Beat]] = {name: [] for name in names}
    watermarks = dict.fromkeys(names, MIN)
    clock = 0
    for event in script.events:
        added: dict[str, list[Item]] = {}
        match event:
            case AddElements(elements, output):
                name = names[output]
                added = assemble(Bounded(name, elements, script.type), [], traits)
            case AdvanceWatermark(to, output):
                watermarks[names[output]] = max(to, watermarks[names[output]])
            case AdvanceProcessingTime(by):
                clock += by
        for name in names:
            beats[name].append(Beat(tuple(added.get(name, ())), watermarks[name], clock))
    for ended in names:  # M-TS-05: one after the other
        watermarks[ended] = MAX
        for name in names:
            beats[name].append(Beat((), watermarks[name], clock))
    return {name: tuple(flow) for name, flow in beats.items()}


def bounded_flow(source: Bounded, like: Flow, traits: Mapping[str, Traits]) -> Flow:
    """M-TS-06: another root's elements come with the first event at the latest, on time; then its watermark is at the end."""
    items = assemble(source, [], traits)[source.id]
    return tuple(Beat(tuple(items) if index == 0 else (), MAX, beat.clock) for index, beat in enumerate(like))


def forward(step: Step, flows: Sequence[Flow], traits: Mapping[str, Traits], like: Flow) -> dict[str, Flow]:
    """A stateless step: what comes in a beat goes out in it; the watermark is the least of the inputs' (M-WM-01, M-WM-02)."""
    beats: dict[str, list[Beat]] = {name: [] for name in outputs_of(step)}
    for index, empty in enumerate(like):
        given = [flow[index] for flow in flows]
        made = assemble(step, [beat.items for beat in given], traits)
        watermark = min((beat.watermark for beat in given), default=MAX)
        for name, items in made.items():
            beats[name].append(Beat(tuple(items), watermark, empty.clock))
    assert flows or isinstance(step, Flatten)
    return {name: tuple(flow) for name, flow in beats.items()}


def merged_flows(flow: Flow, histories: Iterable[Sequence[History]]) -> list[Flow]:
    """The flows that one history of each key and window come to: their items together, and the input's watermark as far as none
    holds it (M-WM-01)."""
    count = len(flow)
    empty = History(((),) * count, (MAX,) * count)
    partial = {empty: None}
    for some in histories:
        partial = dict.fromkeys(_united(one, other) for one, other in itertools.product(partial, some))
        if len(partial) > _MOST_FLOWS:
            raise UnsupportedProgram("what was seen may have come about in too many ways; make the script shorter")
    return list(dict.fromkeys(_flow(flow, whole) for whole in partial))


def _united(one: History, other: History) -> History:
    items = tuple((*these, *those) for these, those in zip(one.items, other.items, strict=True))
    return History(items, tuple(min(pair) for pair in zip(one.holds, other.holds, strict=True)))


def _flow(flow: Flow, whole: History) -> Flow:
    beats = []
    watermark = MIN
    for beat, items, hold in zip(flow, whole.items, whole.holds, strict=True):
        watermark = max(watermark, min(beat.watermark, hold))
        beats.append(attrs.evolve(beat, items=items, watermark=watermark))
    return tuple(beats)
