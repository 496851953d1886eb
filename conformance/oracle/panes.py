"""The panes of one key and window of a grouping on bounded input: are they admissible, and if not, what is wrong with them?

The checks go from gross to fine, so that the finding names the fault and not its consequence: values, pane numbering,
completeness, timestamps, and at last whether any run of the trigger fires such panes (`oracle.runs`).
"""

from __future__ import annotations

import itertools
import math
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

from attrs import frozen

from conformance.oracle import runs
from conformance.oracle.analysis import fires_once
from conformance.oracle.content import Item, combine_values, output_timestamps, single_panes
from conformance.oracle.errors import UnsupportedProgram
from conformance.oracle.finding import Finding, show_items
from conformance.oracle.observed import Bag, show_value, show_window
from conformance.oracle.program import (
    AfterCount,
    AfterEndOfWindow,
    Combine,
    DefaultTrigger,
    GroupByKey,
    Never,
    Windowing,
)
from conformance.oracle.runs import Fired, Relaxed
from conformance.oracle.trigger import can_finish_early, can_fire_early
from conformance.oracle.windows import end_timestamps
from conformance.wire.values import NO_FIRING, Pane, Timing, Window

__all__ = ["Group", "judge_group", "numbering", "pane_of", "values_finding"]

#: How many sub-multisets of one group's elements are tried for one pane of a combine.
_MOST_CHOICES = 4096


@frozen
class Group:
    """One key and window: the elements it was given, and the panes seen of it (items whose value is (key, contents))."""

    step: GroupByKey | Combine
    windowing: Windowing
    key: Any
    window: Window
    given: tuple[Item, ...]
    panes: tuple[Item, ...]

    @property
    def name(self) -> str:
        return f"key {show_value(self.key)} in {show_window(self.window)}"

    @property
    def accumulating(self) -> bool:
        return self.windowing.accumulation == "accumulating"

    @property
    def required(self) -> tuple[Item, ...]:
        return tuple(item for item in self.given if not item.may_be_late)


def pane_of(item: Item) -> Pane:
    return next(iter(item.panes))


def judge_group(group: Group) -> Finding | None:
    """The first thing wrong with the panes of one key and window; None if they are admissible."""
    if not group.panes:
        return _absent(group)
    if isinstance(group.step, GroupByKey):
        finding = values_finding(group.name, group.accumulating, group.given, group.panes)
        if finding:
            return finding
    if fires_once(group.windowing) and len(group.required) == len(group.given):
        return _judge_single(group)
    return numbering(group.name, group.panes) or _judge_many(group)


def _absent(group: Group) -> Finding | None:
    if not group.required:
        return None
    return Finding("M-BATCH-04", f"no pane came out for {group.name}, which was given elements", show_items(group.given))


# --------------------------------------------------------------------------------------------------------------- values


def values_finding(name: str, accumulating: bool, given: Sequence[Item], panes: Sequence[Item]) -> Finding | None:
    """Values from nowhere, and values given once but present twice (M-ORC-02 i, M-PANE-11)."""
    had = Counter(item.value[1] for item in given)
    contents = [item.value[1].counts() for item in panes]
    for content, item in zip(contents, panes, strict=True):
        if strange := [value for value in content if value not in had]:
            return Finding(
                "M-WIN-16",
                f"{name} holds {_list(strange)}, which was never given to that key and window",
                show_items(given),
                show_items([item]),
            )
        if not accumulating and content - had:
            return Finding(
                "M-ORC-02",
                f"a pane of {name} holds {_list(content - had)} more often than it was given",
                show_items(given),
                show_items([item]),
            )
    total = Counter(itertools.chain.from_iterable(content.elements() for content in contents))
    if accumulating:
        for content, item in zip(contents, panes, strict=True):
            if content - had:
                return Finding(
                    "M-ORC-02",
                    f"a pane of {name} holds {_list(content - had)} more often than it was given",
                    show_items(given),
                    show_items([item]),
                )
    elif twice := total - had:
        return Finding(
            "M-PANE-11", f"{name} is DISCARDING, yet {_list(twice)} is in two of its panes", show_items(given), show_items(panes)
        )
    return None


def _list(values: Counter[Any] | Sequence[Any]) -> str:
    return ", ".join(show_value(value) for value in values)


# --------------------------------------------------------------------------------------------------------------- one pane


def _judge_single(group: Group) -> Finding | None:
    """The whole group in one pane: everything about it is known."""
    given = show_items(group.given)
    if len(group.panes) > 1:
        return numbering(group.name, group.panes) or Finding(
            "M-TRIG-06", f"{group.name} has {len(group.panes)} panes where its trigger fires once", given, show_items(group.panes)
        )
    item = group.panes[0]
    value = combine_values(group.step, [given.value[1] for given in group.given])
    shown = (f"{show_value((group.key, value))}",)
    if item.value[1] != value:
        if isinstance(group.step, Combine):
            return Finding("M-COMB-01", f"{group.name} combines to a wrong value by {group.step.fn!r}", shown, show_items([item]))
        return Finding(
            "M-BATCH-04", f"{group.name} lacks {_list(value.counts() - item.value[1].counts())}", shown, show_items([item])
        )
    stamps = output_timestamps(group.windowing, group.window, [given.timestamps for given in group.given])
    if not item.timestamps <= stamps:
        return _timestamp(group, item, stamps)
    pane = pane_of(item)
    if pane in single_panes(group.windowing, group.window):
        return None
    return numbering(group.name, group.panes) or Finding(
        "M-BATCH-06",
        f"the only pane of {group.name} is labelled {pane.timing.name}",
        ("ON_TIME, or UNKNOWN as never fired",),
        show_items([item]),
    )


def _timestamp(group: Group, item: Item, stamps: frozenset[int]) -> Finding:
    (stamp,) = item.timestamps
    rule = "M-HOLD-04" if group.windowing.output_time == "end_of_window" or stamp > group.window.max_timestamp else "M-HOLD-01"
    wanted = " or ".join(str(t) for t in sorted(stamps))
    return Finding(
        rule,
        f"a pane of {group.name} is stamped {stamp}, not as its output time {group.windowing.output_time!r} has it",
        (f"timestamp {wanted}",),
        show_items([item]),
    )


# --------------------------------------------------------------------------------------------------------------- numbering


def numbering(name: str, panes: Sequence[Item]) -> Finding | None:
    """The laws of pane labels that hold whatever the run (M-ORC-02 iii, iv)."""
    shown = show_items(panes)
    labels = sorted((pane_of(item) for item in panes), key=lambda pane: pane.index)
    if len(labels) == 1 and labels[0] == NO_FIRING:
        return None  # M-PANE-15
    if any(label.timing is Timing.UNKNOWN for label in labels):
        return Finding(
            "M-PANE-15", f"a pane of {name} has the timing UNKNOWN without being the only one, unlabelled throughout", (), shown
        )
    if [label.index for label in labels] != list(range(len(labels))):
        return Finding("M-PANE-04", f"the pane indices of {name} are not 0, 1, 2 and so on", (), shown)
    if any(label.is_first != (label.index == 0) for label in labels):
        return Finding("M-PANE-04", f"is_first is not set on exactly the pane with index 0 of {name}", (), shown)
    if any(label.is_last for label in labels[:-1]):
        return Finding("M-PANE-05", f"a pane of {name} is marked last, and another follows it", (), shown)
    rank = [Timing.EARLY, Timing.ON_TIME, Timing.LATE]
    order = [rank.index(label.timing) for label in labels]
    if order != sorted(order) or order.count(1) > 1:
        return Finding("M-PANE-03", f"the timings of {name} are not EARLY* ON_TIME? LATE*", (), shown)
    late_ones = itertools.count()
    wanted = [-1 if label.timing is Timing.EARLY else next(late_ones) for label in labels]
    if [label.nonspeculative_index for label in labels] != wanted:
        return Finding("M-PANE-04", f"the non-speculative indices of {name} are wrong", (f"ns {wanted}",), shown)
    return None


# --------------------------------------------------------------------------------------------------------------- many panes

#: Elements that cannot be told apart: value, admissible timestamps, whether a LATE pane brought them; and how many.
_Class = tuple[Any, frozenset[int], bool]


def _judge_many(group: Group) -> Finding | None:
    """Panes of a trigger that may fire several times."""
    group = _in_order(group)
    if not _explain(group, stamps=False, relaxed=None, run=False):
        if group.accumulating and (finding := _shrinking(group)):
            return finding
        rule = "M-COMB-01" if isinstance(group.step, Combine) else "M-PANE-11"
        return Finding(
            rule, f"the panes of {group.name} cannot be made of its elements", show_items(group.given), show_items(group.panes)
        )
    if not _explain(group, stamps=True, relaxed=None, run=False):
        return Finding(
            "M-HOLD-01",
            f"a pane of {group.name} is not stamped as its output time {group.windowing.output_time!r} has it",
            show_items(group.given),
            show_items(group.panes),
        )
    if _explain(group, stamps=True, relaxed=Relaxed(), run=True):
        return None
    return _impossible(group)


def _in_order(group: Group) -> Group:
    panes = tuple(sorted(group.panes, key=lambda item: pane_of(item).index))
    return Group(group.step, group.windowing, group.key, group.window, group.given, panes)


def _shrinking(group: Group) -> Finding | None:
    if isinstance(group.step, GroupByKey):
        for one, other in itertools.pairwise(group.panes):
            if lost := one.value[1].counts() - other.value[1].counts():
                return Finding(
                    "M-PANE-11",
                    f"{group.name} is ACCUMULATING, yet a later pane lacks {_list(lost)}",
                    show_items([one]),
                    show_items([other]),
                )
    return None


def _explain(group: Group, *, stamps: bool, relaxed: Relaxed | None, run: bool) -> bool:
    """Whether the elements can be dealt out to the panes so that values, and where asked timestamps and the run, come out as
    seen."""
    classes = Counter[_Class]((item.value[1], item.timestamps, item.may_be_late) for item in group.given)
    required = sum(count for (_, _, late), count in classes.items() if not late)
    known: dict[tuple[tuple[int, ...], int], bool] = {}

    def fits_run(sizes: tuple[int, ...], lost: int) -> bool:
        if not run:
            return True
        if (sizes, lost) not in known:
            fired = [Fired(size, pane_of(item).timing) for size, item in zip(sizes, group.panes, strict=True)]
            known[sizes, lost] = runs.possible(group.windowing, group.window, sum(sizes) + lost, fired, relaxed)
        return known[sizes, lost]

    def deal(index: int, left: Counter[_Class], dealt: Counter[_Class], sizes: tuple[int, ...]) -> bool:
        if index == len(group.panes):
            kept = sum(count for (_, _, late), count in dealt.items() if not late)
            return fits_run(sizes, required - kept)
        pane = group.panes[index]
        for part in _parts(group, pane.value[1], left, dealt):
            if stamps and not pane.timestamps <= _stamps(group, part, dealt):
                continue
            if deal(index + 1, left - part, dealt + part, (*sizes, part.total())):
                return True
        return False

    return deal(0, classes, Counter(), ())


def _parts(group: Group, content: Any, left: Counter[_Class], dealt: Counter[_Class]) -> Iterator[Counter[_Class]]:
    """The sub-multisets of the elements left that may be the new ones of a pane with this content."""
    if isinstance(group.step, GroupByKey):
        assert isinstance(content, Bag)
        wanted = content.counts()
        if group.accumulating:
            already = Counter(dict[Any, int]())
            for (value, _, _), count in dealt.items():
                already[value] += count
            if already - wanted:
                return
            wanted = wanted - already
        yield from _of_values(wanted, left)
        return
    if math.prod(count + 1 for count in left.values()) > _MOST_CHOICES:
        raise UnsupportedProgram(
            f"{group.name} has too many elements to tell which are in which pane of a combine; give it fewer"
        )
    before = list(_values(dealt)) if group.accumulating else []
    classes = list(left.items())
    for counts in itertools.product(*(range(count, -1, -1) for _, count in classes)):
        part = +Counter({cls: count for (cls, _), count in zip(classes, counts, strict=True)})
        if combine_values(group.step, [*before, *_values(part)]) == content:
            yield part


def _of_values(wanted: Counter[Any], left: Counter[_Class]) -> Iterator[Counter[_Class]]:
    """The ways to take each value as often as wanted from elements that differ in timestamp only."""
    if not wanted:
        yield Counter()
        return
    value, need = next(iter(wanted.items()))
    rest = Counter({other: count for other, count in wanted.items() if other != value})
    classes = [(cls, count) for cls, count in left.items() if cls[0] == value]
    for counts in itertools.product(*(range(min(count, need) + 1) for _, count in classes)):
        if sum(counts) == need:
            part = +Counter({cls: count for (cls, _), count in zip(classes, counts, strict=True)})
            for others in _of_values(rest, left):
                yield part + others


def _values(part: Counter[_Class]) -> Iterator[Any]:
    return (value for value, _, _ in part.elements())


def _stamps(group: Group, part: Counter[_Class], dealt: Counter[_Class]) -> frozenset[int]:
    """The admissible timestamps of a pane with these new elements, after those dealt before."""

    def of(some: Counter[_Class]) -> frozenset[int]:
        return output_timestamps(group.windowing, group.window, [stamps for _, stamps, _ in some.elements()])

    stamps = of(part)
    if group.accumulating:
        stamps |= of(part + dealt)
    if any(late for _, _, late in part):
        on_time = Counter({cls: count for cls, count in part.items() if not cls[2]})
        stamps |= of(on_time) | end_timestamps(group.window)  # a late element may contribute or not
    return stamps


def _impossible(group: Group) -> Finding:
    """Name the rule that no run of the trigger could keep: the one without which there is a run."""
    given, shown = show_items(group.given), show_items(group.panes)
    labels = [pane_of(item) for item in group.panes]
    if len(labels) == 1 and labels[0].timing is Timing.EARLY and not can_fire_early(group.windowing.trigger):
        return Finding("M-BATCH-06", f"the only pane of {group.name} is EARLY, but its trigger cannot fire early", given, shown)
    for relaxed, rule, sentence in (
        (Relaxed(empty_panes=True), "M-PANE-06", f"{group.name} has a pane without new data that its strategy does not ask for"),
        (Relaxed(timing=True), "M-PANE-03", f"the timings of the panes of {group.name} fit no run of its trigger"),
        (Relaxed(closing=True), "M-TRIG-35", f"{group.name} goes on after its trigger finished"),
        (
            Relaxed(losing=True),
            "M-BATCH-04",
            f"elements of {group.name} are in none of its panes, and its trigger had not finished",
        ),
    ):
        if _explain(group, stamps=True, relaxed=relaxed, run=True):
            return Finding(rule, sentence, given, shown)
    return Finding(_rule_of(group.windowing), f"no run of the trigger of {group.name} fires these panes", given, shown)


def _rule_of(windowing: Windowing) -> str:
    """The rule of the trigger at the root, or of the element count where one is in it."""
    trigger = windowing.trigger
    if "AfterCount" in repr(trigger) and not isinstance(trigger, AfterCount):
        return "M-TRIG-13"
    match trigger:
        case DefaultTrigger():
            return "M-TRIG-10"
        case Never():
            return "M-TRIG-11"
        case AfterCount():
            return "M-TRIG-13"
        case AfterEndOfWindow():
            return "M-TRIG-15"
        case _:
            return "M-TRIG-35" if can_finish_early(trigger) else "M-TRIG-02"
