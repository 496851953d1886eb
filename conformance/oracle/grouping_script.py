"""Groupings under a script: which panes may come in each beat.

Each key (and window, where windows do not merge) is judged by itself. The search runs `oracle.grouping` beat by beat, for every
bundling of the elements of a beat and for the `Choices` that the model leaves, and goes on only as long as the panes that fire were
seen. Left out of the comparison: `is_last` beyond "none follows it" (A-4), whether a final pane within the lateness is ON_TIME or LATE
(M-PANE-10), and which late elements count for a timestamp (A-18).

Scripts should keep off the equality points of processing time (A-2). A watermark at exactly `end + L` is a choice (A-8).
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from typing import Any, Final

import attrs
from attrs import define, frozen

from conformance.oracle.content import Item, combine_values, freeze
from conformance.oracle.errors import UnsupportedProgram
from conformance.oracle.finding import Finding, show_items
from conformance.oracle.flows import Beat, Flow, History
from conformance.oracle.grouping import Arrival, Choices, Firing, Grouping
from conformance.oracle.groupings import loose_sessions
from conformance.oracle.observed import Seen, show_value, show_window
from conformance.oracle.panes import numbering, pane_of
from conformance.oracle.program import (
    AfterEndOfWindow,
    Combine,
    DefaultTrigger,
    GroupByKey,
    Sessions,
    Windowing,
)
from conformance.oracle.trigger import can_close, can_finish_early
from conformance.oracle.windows import end_timestamps, expiry, max_timestamp
from conformance.wire.timestamps import MIN
from conformance.wire.values import Pane, Timing, Window

__all__ = ["Place", "Run", "choices_of", "judge_grouping_flow", "runs_of"]

#: Elements of one key (and window) in one beat: all their bundlings are tried.
_MOST_AT_ONCE = 5
#: Runs looked through for the one that is nearest to what was seen.
_MOST_RUNS = 300

_NOTES: Final[Mapping[str, str]] = {
    "empty_on_time": "an ON_TIME pane without new data was left out (A-3)",
    "empty_final": "a final pane without new data was left out (A-3)",
    "leftover_at_end": "what was left over came at the end of the window and not at its expiry (A-11)",
    "lenient_expiry": "an element at a watermark of exactly the end of its lateness was accepted (A-8)",
    "lagging_output": "the first pane of a window past its end is ON_TIME (M-PANE-03)",
    "hold_to_expiry": "the watermark is not held for a late or final pane that is owed (M-HOLD-06)",
    "late_panes_after": "late panes came after the watermark they are late for (M-HOLD-11)",
}


@frozen
class Place:
    """One key, and one window if windows do not merge, of a grouping."""

    step: GroupByKey | Combine
    windowing: Windowing
    key: Any
    flow: Flow
    seen: tuple[Item, ...]
    #: no other key or window holds the output watermark
    alone: bool = True

    @property
    def name(self) -> str:
        return f"key {show_value(self.key)}"


@frozen
class Run:
    """One legal run: its panes by beat, the holds after each, and what it dropped."""

    firings: tuple[tuple[Firing, ...], ...]
    holds: tuple[int, ...]
    dropped: tuple[Arrival, ...]
    choices: Choices

    @property
    def all(self) -> list[Firing]:
        return [firing for fired in self.firings for firing in fired]


def judge_grouping_flow(
    step: GroupByKey | Combine, windowing: Windowing, flow: Flow, seen: Sequence[Seen], *, timed: bool
) -> tuple[list[Finding], list[list[History]]]:
    """What is wrong with the output of a grouping; else the histories of each key and window (one each unless `timed`)."""
    got = freeze(seen)
    merging = isinstance(windowing.fn, Sessions)
    if merging and not isinstance(windowing.trigger, DefaultTrigger):
        if timed:
            raise UnsupportedProgram(f"{step.id}: what early panes of sessions lead to is not judged (M-TRIG-44)")
        return _loose(step, windowing, flow, got), []
    # Windows that do not merge have nothing to do with each other: each is judged by itself, with fewer bundlings to try.
    places = dict.fromkeys(_place(item, merging) for beat in flow for item in beat.items)
    strangers = [item for item in got if _place(item, merging) not in places]
    if strangers:
        return [Finding("M-TRIG-05", "the grouping put out a key or window it was never given", (), show_items(strangers))], []
    findings: list[Finding] = []
    histories: list[list[History]] = []
    for place in places:
        own = Place(
            step,
            windowing,
            place[0],
            tuple(
                attrs.evolve(beat, items=tuple(item for item in beat.items if _place(item, merging) == place)) for beat in flow
            ),
            tuple(item for item in got if _place(item, merging) == place),
            alone=len(places) == 1,
        )
        some = _histories(own, timed=timed)
        if some:
            histories.append(some)
        else:
            findings.append(_finding(own))
    return findings, histories


def _place(item: Item, merging: bool) -> tuple[Any, Window | None]:
    return item.value[0], None if merging else item.window


def _loose(step: GroupByKey | Combine, windowing: Windowing, flow: Flow, got: Sequence[Item]) -> list[Finding]:
    """M-TRIG-44, A-28, A-29: of sessions with early or late panes, contents and windows only."""
    late = Pane(False, False, Timing.LATE, 1, 1)
    given: list[Item] = []
    before = MIN
    for beat in flow:
        for item in beat.items:
            droppable = before > item.window.max_timestamp or can_finish_early(windowing.trigger)
            given.append(attrs.evolve(item, panes=frozenset({late})) if droppable else item)
        before = beat.watermark
    groups: dict[tuple[Any, Window], list[Item]] = {}
    for item in got:
        groups.setdefault((item.value[0], item.window), []).append(item)
    return list(loose_sessions(step, windowing, given, groups))


# --------------------------------------------------------------------------------------------------------------- searching


def _histories(place: Place, *, timed: bool) -> list[History]:
    """The courses that put out just what was seen, those that need the fewest unusual choices first."""
    by_index: dict[tuple[Window, int], Item] = {}
    windows: dict[Window, list[Item]] = {}
    for item in place.seen:
        at = (item.window, pane_of(item).index)
        if at in by_index:
            return []
        by_index[at] = item
        windows.setdefault(item.window, []).append(item)
    if any(numbering("", items) for items in windows.values()):
        return []
    found: dict[tuple[Any, Any], History] = {}
    for choices in choices_of(place):
        for run in runs_of(place, choices, by_index):
            items = tuple(tuple(by_index[f.window, f.pane.index] for f in fired) for fired in run.firings)
            found.setdefault((items, run.holds), History(items, run.holds, _notes(choices)))
            if not timed:
                return list(found.values())
    return list(found.values())


def _notes(choices: Choices) -> frozenset[str]:
    return frozenset(_NOTES[name] for name, usual in attrs.asdict(Choices()).items() if getattr(choices, name) != usual)


def choices_of(place: Place) -> Iterator[Choices]:
    """The choices that can make a difference here, the usual ones first."""
    windowing = place.windowing
    late = windowing.allowed_lateness > 0
    boundary = {
        before.watermark - expiry(item.window, windowing.allowed_lateness)
        for before, beat in itertools.pairwise(place.flow)
        for item in beat.items
    }
    from_panes = any(item.may_be_late for beat in place.flow for item in beat.items)
    plain = isinstance(windowing.trigger, DefaultTrigger | AfterEndOfWindow)
    options: dict[str, tuple[bool, ...]] = {
        "empty_on_time": (True, False) if windowing.on_time == "always" else (True,),
        "empty_final": (True, False) if windowing.closing == "always" else (True,),
        "leftover_at_end": (False, True) if late and not plain else (False,),
        "lenient_expiry": (False, True) if 1 in boundary else (False,),
        "lagging_output": (False, True) if late else (False,),
        "hold_to_expiry": (True, False) if late else (True,),
        "late_panes_after": (False, True) if from_panes else (False,),
    }
    made = [Choices(**dict(zip(options, flags, strict=True))) for flags in itertools.product(*options.values())]
    yield from sorted(made, key=lambda choices: len(_notes(choices)))


@define
class _Course:
    """A run on its way."""

    machine: Grouping
    firings: tuple[tuple[Firing, ...], ...] = ()
    holds: tuple[int, ...] = ()


def runs_of(place: Place, choices: Choices, wanted: Mapping[tuple[Window, int], Item] | None) -> Iterator[Run]:
    """Every run with these choices; with `wanted` only those whose panes are just these."""
    todo = [_Course(Grouping(place.windowing, choices))]
    known: set[Any] = set()
    while todo:
        course = todo.pop()
        index = len(course.firings)
        if index == len(place.flow):
            if wanted is None or sum(map(len, course.firings)) == len(wanted):
                yield Run(course.firings, course.holds, tuple(course.machine.dropped), choices)
            continue
        following = []
        for machine, fired in _beat(course.machine, place.key, place.flow[index]):
            if wanted is not None and not all(_fits(place, firing, wanted) for firing in fired):
                continue
            then = _Course(machine, (*course.firings, tuple(fired)), (*course.holds, machine.hold()))
            state = (index, machine.snapshot(), then.firings, then.holds)
            if state not in known:
                known.add(state)
                following.append(then)
        todo += reversed(following)


def _beat(machine: Grouping, key: Any, beat: Beat) -> Iterator[tuple[Grouping, list[Firing]]]:
    """The ways in which a beat may go: its elements in every bundling, then watermark and clock."""
    after = [item for item in beat.items if item.may_be_late and machine.choices.late_panes_after]
    bundlings = _bundlings(_arrivals(key, [item for item in beat.items if item not in after]))
    for bundles, later in itertools.product(bundlings, _bundlings(_arrivals(key, after))):
        own = machine.copy()
        fired: list[Firing] = []
        for bundle in bundles:
            fired += own.arrive(bundle)
        if beat.watermark > own.watermark:
            fired += own.advance_watermark(beat.watermark)
        if beat.clock > own.processing_time:
            fired += own.advance_processing_time(beat.clock - own.processing_time)
        for bundle in later:
            fired += own.arrive(bundle)
        yield own, fired


def _arrivals(key: Any, items: Sequence[Item]) -> tuple[Arrival, ...]:
    if len(items) > _MOST_AT_ONCE:
        raise UnsupportedProgram(f"one event brings {len(items)} elements for one key; give it at most {_MOST_AT_ONCE}")
    return tuple(Arrival(key, item.value[1], min(item.timestamps), item.window) for item in items)


@cache
def _orders(count: int) -> tuple[tuple[tuple[int, ...], ...], ...]:
    """The ordered partitions of so many elements into bundles, large bundles first."""

    def parts(left: tuple[int, ...]) -> Iterator[tuple[tuple[int, ...], ...]]:
        if not left:
            yield ()
        for size in range(len(left), 0, -1):
            for first in itertools.combinations(left, size):
                for others in parts(tuple(i for i in left if i not in first)):
                    yield (first, *others)

    return tuple(parts(tuple(range(count))))


def _bundlings(arrivals: tuple[Arrival, ...]) -> list[list[list[Arrival]]]:
    """The ways to bundle the elements of one event; order inside a bundle is no matter, nor which of equal elements is where."""
    found: dict[tuple[tuple[int, ...], ...], list[list[Arrival]]] = {}
    kinds = [arrivals.index(arrival) for arrival in arrivals]
    for order in _orders(len(arrivals)):
        same = tuple(tuple(sorted(kinds[i] for i in bundle)) for bundle in order)
        found.setdefault(same, [[arrivals[i] for i in bundle] for bundle in order])
    return list(found.values())


# --------------------------------------------------------------------------------------------------------------- comparing


def _fits(place: Place, firing: Firing, wanted: Mapping[tuple[Window, int], Item]) -> bool:
    """Whether a pane that fires was seen."""
    item = wanted.get((firing.window, firing.pane.index))
    return (
        item is not None
        and item.value[1] == combine_values(place.step, firing.values)
        and _timing(place, firing, pane_of(item).timing)
        and item.timestamps <= _stamps(place, firing)
    )


def _timing(place: Place, firing: Firing, timing: Timing) -> bool:
    """The timing of the firing. A final pane within the lateness is ON_TIME or LATE (M-PANE-10), and so is the first pane of a window
    past its end: the output watermark that decides is that of all keys, and may stand anywhere up to that of this one (M-PANE-03)."""
    final = firing.final and place.windowing.allowed_lateness > 0 and firing.pane.nonspeculative_index == 0
    either = final or firing.unless_held
    return timing is firing.pane.timing or (either and {timing, firing.pane.timing} == {Timing.ON_TIME, Timing.LATE})


def _stamps(place: Place, firing: Firing) -> frozenset[int]:
    """The timestamp by the elements that could be held and are new; or by all there are (A-18), the same if all came on time.

    What could be held depends on the output watermark, which other keys and windows may hold back: then later elements count as well
    (M-HOLD-02)."""
    output_time = place.windowing.output_time
    if output_time == "end_of_window" or not firing.element_timestamps:
        return end_timestamps(firing.window)
    pick = min if output_time == "earliest" else max
    stamps = {firing.timestamp, pick(firing.element_timestamps)}
    if firing.timestamp == max_timestamp(firing.window):
        stamps |= end_timestamps(firing.window)
    if not place.alone and firing.new_timestamps:
        more = firing.new_timestamps if output_time == "earliest" else (max(firing.new_timestamps),)
        stamps |= {stamp for stamp in more if stamp <= firing.timestamp}
    return frozenset(stamps)


# --------------------------------------------------------------------------------------------------------------- naming faults


def _finding(place: Place) -> Finding:
    """How what was seen differs from the run that is nearest to it."""
    runs = itertools.chain.from_iterable(runs_of(place, choices, None) for choices in choices_of(place))
    nearest = min(itertools.islice(runs, _MOST_RUNS), key=lambda run: _cost(place, run))
    rule, sentence = _difference(place, nearest) or ("M-TRIG-02", "no run fires these panes")
    shown = tuple(_show(place.step, firing) for firing in nearest.all[:8])
    return Finding(rule, f"{place.name}: {sentence}", shown, show_items(place.seen))


def _cost(place: Place, run: Run) -> int:
    wanted = Counter((f.window, f.pane.index, combine_values(place.step, f.values)) for f in run.all)
    got = Counter((item.window, pane_of(item).index, item.value[1]) for item in place.seen)
    return (wanted - got).total() + (got - wanted).total()


def _difference(place: Place, run: Run) -> tuple[str, str] | None:
    """The rule and sentence of the first difference between what was seen and one run; None if there is none."""
    wanted = {(firing.window, firing.pane.index): firing for firing in run.all}
    got: dict[tuple[Window, int], Item] = {}
    for item in place.seen:
        at = (item.window, pane_of(item).index)
        if at in got:
            return "M-PANE-04", f"two panes of {show_window(item.window)} have the index {at[1]}"
        got[at] = item
    if isinstance(place.step, GroupByKey) and (about_values := _values(place, run)):
        return about_values
    for at, item in got.items():
        if at not in wanted:
            empty = isinstance(place.step, GroupByKey) and not item.value[1].members
            rule = "M-PANE-06" if empty else "M-TRIG-02"
            return rule, f"{show_window(at[0])} has a pane {at[1]} that no run fires"
    for at, firing in wanted.items():
        if at in got and got[at].value[1] != combine_values(place.step, firing.values):
            return "M-TRIG-02", f"pane {at[1]} of {show_window(at[0])} holds other elements than in any run"
    for at, firing in wanted.items():
        if at not in got:
            return ("M-PANE-08" if firing.pane.is_last else "M-TRIG-02"), f"{show_window(at[0])} lacks its pane {at[1]}"
    for at, firing in wanted.items():
        item, pane = got[at], pane_of(got[at])
        if not _timing(place, firing, pane.timing):
            return "M-PANE-03", f"pane {at[1]} of {show_window(at[0])} is {pane.timing.name}, not {firing.pane.timing.name}"
        if not item.timestamps <= _stamps(place, firing):
            return "M-HOLD-01", f"pane {at[1]} of {show_window(at[0])} is stamped otherwise than in any run"
        if pane.is_last and any(w == at[0] and index > at[1] for w, index in wanted):
            return "M-PANE-05", f"pane {at[1]} of {show_window(at[0])} is marked last, and another follows it"
    for window in {window for window, _ in got}:
        panes = [item for (w, _), item in got.items() if w == window]
        if finding := numbering(f"{show_window(window)}", panes):
            return finding.rule, finding.sentence
    return None


def _values(place: Place, run: Run) -> tuple[str, str] | None:
    """Values lost, or there though dropped: the gross faults of a GroupByKey."""
    held = Counter(value for firing in run.all for value in firing.values)
    got = Counter(value for item in place.seen for value in item.value[1].members)
    dropped = {arrival.value for arrival in run.dropped}
    for value in got:
        if value not in held:
            why = (
                "is late for its window or came after its trigger finished" if value in dropped else "was never given to that key"
            )
            rule = "M-WIN-16" if value not in dropped else "M-TRIG-35" if can_close(place.windowing.trigger) else "M-LATE-03"
            return rule, f"{show_value(value)} is in a pane, and {why}"
    for value in held:
        if value not in got:
            return "M-PANE-08", f"{show_value(value)} is in no pane, and could not be dropped"
    if place.windowing.accumulation == "discarding" and got - held:
        return "M-PANE-11", f"{', '.join(show_value(value) for value in got - held)} is in too many panes"
    return None


def _show(step: GroupByKey | Combine, firing: Firing) -> str:
    value = show_value((firing.key, combine_values(step, firing.values)))
    return (
        f"{value} at {firing.timestamp} in {show_window(firing.window)}, pane {firing.pane.timing.name} idx {firing.pane.index}"
    )
