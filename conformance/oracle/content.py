"""What an output holds as far as it is determined: a multiset of `Item`s, each with the freedoms that the model leaves it.

An item is one element in one window. Its value and window are certain; its timestamp and pane are one of a set. `assemble`
works out the items of a stateless step, `group_once` those of a grouping with a single pane; `match` compares items with what
an observer saw.
"""

from __future__ import annotations

import itertools
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TypeVar

import attrs
from attrs import frozen

from conformance.oracle.analysis import Traits
from conformance.oracle.errors import UnsupportedProgram
from conformance.oracle.functions import COMBINERS, FUNCTIONS, SHIFT
from conformance.oracle.observed import Bag, Seen, canonical
from conformance.oracle.program import (
    Bounded,
    Combine,
    Flatten,
    GroupByKey,
    Never,
    ParDo,
    Partition,
    Redistribute,
    Reshuffle,
    Sessions,
    SideInput,
    Splittable,
    Step,
    Windowing,
    WindowInto,
)
from conformance.oracle.windows import assign, end_timestamps, expiry, map_main_window, max_timestamp, merge
from conformance.wire.values import GLOBAL_WINDOW, NO_FIRING, IntervalWindow, Pane, Timing, Window

__all__ = [
    "Content",
    "Item",
    "Mismatch",
    "assemble",
    "combine_values",
    "freeze",
    "group_items",
    "group_once",
    "match",
    "matching",
    "output_timestamps",
    "single_panes",
]


@frozen
class Item:
    """One element in one window: `value` canonical, `timestamps` and `panes` the admissible ones."""

    value: Any
    timestamps: frozenset[int]
    window: Window
    panes: frozenset[Pane]

    @property
    def may_be_late(self) -> bool:
        """Whether a later grouping may have dropped it: it came in a LATE pane (M-HOLD-11)."""
        return any(pane.timing is Timing.LATE for pane in self.panes)


Content = Sequence[Item]
W = TypeVar("W")
G = TypeVar("G")


def freeze(seen: Iterable[Seen]) -> list[Item]:
    """What was seen, as content that is certain in everything."""
    return [Item(canonical(s.value), frozenset({s.timestamp}), s.window, frozenset({s.pane})) for s in seen]


# ------------------------------------------------------------------------------------------------------------- stateless steps


def assemble(step: Step, inputs: Sequence[Content], traits: Mapping[str, Traits]) -> dict[str, list[Item]]:
    """The content of each output of a step other than groupings and stateful ParDos, from that of its inputs."""
    match step:
        case Bounded(name, elements, _):
            return {
                name: [
                    Item(canonical(e.value), frozenset({e.timestamp}), GLOBAL_WINDOW, frozenset({NO_FIRING})) for e in elements
                ]  # M-PANE-01
            }
        case ParDo(name, _, fn, arg):
            return {name: [made for item in inputs[0] for made in _apply(fn, arg, item)]}
        case Splittable():
            return {step.id: [made for item in inputs[0] for made in _positions(step, item)]}
        case Partition(name, _, ways):
            return {f"{name}#{way}": [item for item in inputs[0] if _first_int(item.value) % ways == way] for way in range(ways)}
        case Flatten(name):
            return {name: [item for content in inputs for item in content]}  # M-XF-11
        case Reshuffle(name) | Redistribute(name):
            return {name: list(inputs[0])}  # M-XF-12
        case WindowInto(name, _, windowing):
            return {name: [made for item in inputs[0] for made in _rewindow(item, windowing)]}
        case SideInput():
            side = traits[step.side].windowing
            return {step.id: [_with_side(step, item, inputs[1], side) for item in inputs[0]]}
        case _:
            raise AssertionError(f"{type(step).__name__} has a judge of its own")


def _first_int(value: Any) -> int:
    first = value[0] if isinstance(value, tuple) else value
    assert isinstance(first, int)
    return first


def _apply(fn: str, arg: int, item: Item) -> list[Item]:
    """M-TIME-07: timestamp, window and pane stay, unless the function moves the timestamp."""
    shift = arg if fn == SHIFT else 0
    stamps = frozenset(stamp + shift for stamp in item.timestamps)
    return [attrs.evolve(item, value=value, timestamps=stamps) for value in FUNCTIONS[fn].values(item.value, arg)]


def _positions(step: Splittable, item: Item) -> list[Item]:
    """M-SDF-02: each position once, whoever runs it and when; M-SDF-08 unless it says its timestamp."""
    return [
        attrs.evolve(item, value=(item.value, at), timestamps=frozenset({step.base + at * step.step})) for at in range(item.value)
    ]


def _rewindow(item: Item, windowing: Windowing) -> list[Item]:
    """M-WIN-07, M-WIN-18: windows by the current timestamp; the pane is kept or reset (M-WIN-19)."""
    choices = {assign(windowing.fn, stamp) for stamp in item.timestamps}
    if len(choices) != 1:
        raise UnsupportedProgram(
            "a timestamp that is not certain falls into different windows; keep elements off the end of time (A-6)"
        )
    return [attrs.evolve(item, window=window, panes=item.panes | {NO_FIRING}) for window in next(iter(choices))]


def _with_side(step: SideInput, item: Item, side: Content, windowing: Windowing) -> Item:
    """M-SIDE-06: all of the mapped window; M-SIDE-04: an empty window or unknown key reads as nothing."""
    window = map_main_window(item.window, windowing.fn)
    assert window is not None, "analysis refuses such a mapping"
    values = [other.value for other in side if other.window == window]
    if step.view == "multimap":
        values = [value[1] for value in values if value[0] == item.value[0]]
    return attrs.evolve(item, value=(item.value, Bag.of(values)))


# ------------------------------------------------------------------------------------------------------------- groupings


def combine_values(step: GroupByKey | Combine, values: Iterable[Any]) -> Any:
    """What a grouping makes of the values of one pane (M-COMB-01)."""
    return Bag.of(values) if isinstance(step, GroupByKey) else COMBINERS[step.fn].extract(list(values))


def group_items(content: Content, windowing: Windowing) -> dict[tuple[Any, Window], list[Item]]:
    """The items of each key and window; sessions are merged per key over the whole input (M-WIN-09, M-BATCH-08)."""
    groups: dict[tuple[Any, Window], list[Item]] = defaultdict(list)
    for item in content:
        groups[item.value[0], item.window].append(item)
    if not isinstance(windowing.fn, Sessions):
        return dict(groups)
    merged: dict[tuple[Any, Window], list[Item]] = {}
    for key in {key for key, _ in groups}:
        windows = [window for k, window in groups if k == key and isinstance(window, IntervalWindow)]
        for whole, members in merge(windows):
            merged[key, whole] = [item for member in members for item in groups[key, member]]
    return merged


def output_timestamps(windowing: Windowing, window: Window, stamps: Sequence[frozenset[int]]) -> frozenset[int]:
    """The admissible timestamps of a pane whose contributing elements have these admissible timestamps (M-HOLD-01..04)."""
    if windowing.output_time == "end_of_window" or not stamps:
        return end_timestamps(window)
    every = frozenset(itertools.chain.from_iterable(stamps))
    if windowing.output_time == "earliest":
        return frozenset(t for t in every if all(max(choice) >= t for choice in stamps))
    return frozenset(t for t in every if all(min(choice) <= t for choice in stamps))


def single_panes(windowing: Windowing, window: Window) -> frozenset[Pane]:
    """How the one pane of a key and window may be labelled in a bounded run (M-BATCH-06, M-PANE-15): is_last should be set,
    but A-4."""
    panes = {Pane(True, last, Timing.ON_TIME, 0, 0) for last in (True, False)} | {NO_FIRING}
    if isinstance(windowing.trigger, Never) and expiry(window, windowing.allowed_lateness) > max_timestamp(window):
        panes |= {Pane(True, last, Timing.LATE, 0, 0) for last in (True, False)}  # M-PANE-10
    return frozenset(panes)


def group_once(step: GroupByKey | Combine, content: Content, windowing: Windowing) -> list[Item]:
    """The output of a grouping with one pane per key and window."""
    return [
        Item(
            (key, combine_values(step, [item.value[1] for item in items])),
            output_timestamps(windowing, window, [item.timestamps for item in items]),
            window,
            single_panes(windowing, window),
        )
        for (key, window), items in group_items(content, windowing).items()
    ]


# ------------------------------------------------------------------------------------------------------------- comparing


@frozen
class Mismatch:
    """How what was seen differs from the content. `kind` is "missing", "extra", "window", "timestamp" or "pane"."""

    kind: str
    expected: tuple[Item, ...] = ()
    seen: tuple[Item, ...] = ()


def match(content: Content, seen: Sequence[Seen]) -> Mismatch | None:
    """Compare as multisets (M-ORC-04); the first kind of difference found, the grossest first."""
    got = freeze(seen)
    wanted_values, got_values = Counter(i.value for i in content), Counter(i.value for i in got)
    if lost := wanted_values - got_values:
        return Mismatch("missing", _take(content, lost), _take(got, got_values - wanted_values))
    if more := got_values - wanted_values:
        return Mismatch("extra", _take(content, more), _take(got, more))
    wanted_pairs, got_pairs = Counter((i.value, i.window) for i in content), Counter((i.value, i.window) for i in got)
    if wanted_pairs != got_pairs:
        return Mismatch(
            "window",
            tuple(i for i in content if (i.value, i.window) in wanted_pairs - got_pairs),
            tuple(i for i in got if (i.value, i.window) in got_pairs - wanted_pairs),
        )
    for pair in wanted_pairs:
        some_wanted = [i for i in content if (i.value, i.window) == pair]
        some_got = [i for i in got if (i.value, i.window) == pair]
        if not _assignable(some_wanted, some_got, panes=False):
            return Mismatch("timestamp", tuple(some_wanted), tuple(some_got))
        if not _assignable(some_wanted, some_got, panes=True):
            return Mismatch("pane", tuple(some_wanted), tuple(some_got))
    return None


def _take(content: Content, values: Counter[Any]) -> tuple[Item, ...]:
    """Items with these values, for display; at most as many as counted."""
    left = Counter(values)
    taken: list[Item] = []
    for item in content:
        if left[item.value] > 0:
            left[item.value] -= 1
            taken.append(item)
    return tuple(taken)


def _assignable(wanted: Sequence[Item], got: Sequence[Item], *, panes: bool) -> bool:
    """Whether each seen item can stand for a different wanted one."""

    def fits(want: Item, have: Item) -> bool:
        return have.timestamps <= want.timestamps and (not panes or have.panes <= want.panes)

    return len(wanted) == len(got) and matching(wanted, got, fits)


def matching(wanted: Sequence[W], got: Sequence[G], fits: Callable[[W, G], bool]) -> bool:
    """Whether every one of `got` can be given a different one of `wanted` that fits: a bipartite matching by augmenting paths."""
    owner: dict[int, int] = {}

    def place(g: int, tried: set[int]) -> bool:
        for w, want in enumerate(wanted):
            if w in tried or not fits(want, got[g]):
                continue
            tried.add(w)
            if w not in owner or place(owner[w], tried):
                owner[w] = g
                return True
        return False

    return all(place(g, set()) for g in range(len(got)))
