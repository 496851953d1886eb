"""Side inputs under a script: which panes of a side window an element of the main input may see.

The panes of the view are those of a grouping of its own, which the runner adds to the side input (M-SIDE-08); `oracle.grouping` says
which they are and in which beat they come. A main element may see the view after any of them, since waiting longer is legal (M-SIDE-07)
and later panes become visible at no promised time. It may see nothing only if no pane can come as the first one when it is looked
at: the side's watermark guarantees that the trigger would have fired (M-SIDE-05). Of a DISCARDING view the newest pane shows or all
panes up to it (A-26), of an ACCUMULATING one the newest.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import Any

from attrs import frozen

from conformance.oracle.content import Item, freeze, matching
from conformance.oracle.finding import Finding, show_items
from conformance.oracle.flows import Beat, Flow
from conformance.oracle.grouping_script import Place, Run, choices_of, runs_of
from conformance.oracle.observed import Bag, Seen, show_value, show_window
from conformance.oracle.program import (
    AfterAll,
    AfterAny,
    AfterEach,
    AfterEndOfWindow,
    DefaultTrigger,
    GroupByKey,
    OrFinally,
    Repeat,
    SideInput,
    Trigger,
    Windowing,
)
from conformance.oracle.windows import expiry, map_main_window, max_timestamp
from conformance.wire.timestamps import MIN
from conformance.wire.values import Window

__all__ = ["fires_at_end", "judge_side_flow"]

_VOID = GroupByKey("view", "side")


@frozen
class _Main:
    """A main element: the beat it comes in, and whether its window was past its lateness then."""

    item: Item
    beat: int
    expired: bool


@frozen
class _View:
    """The panes of one side window in one run."""

    #: beat and contents of each pane
    panes: tuple[tuple[int, tuple[Any, ...]], ...]
    #: the beat after which no pane can come as the first one
    certain: int


def fires_at_end(trigger: Trigger) -> bool:
    """Whether the trigger is sure to have fired when the watermark is past the end of the window (M-SIDE-05)."""
    match trigger:
        case DefaultTrigger() | AfterEndOfWindow():
            return True
        case AfterAll(parts):
            return all(fires_at_end(part) for part in parts)
        case AfterAny(parts):
            return any(fires_at_end(part) for part in parts)
        case AfterEach(parts):
            return fires_at_end(parts[0])
        case OrFinally(main, until):
            return fires_at_end(main) or fires_at_end(until)
        case Repeat(sub):
            return fires_at_end(sub)
        case _:
            return False


def judge_side_flow(
    step: SideInput, main: Flow, main_windowing: Windowing, side: Flow, windowing: Windowing, seen: Sequence[Seen]
) -> list[Finding]:
    """What is wrong with what the main elements saw of the side input."""
    got = freeze(seen)
    if strange := [item for item in got if not isinstance(item.value, tuple) or not isinstance(item.value[1], Bag)]:
        return [Finding("M-SIDE-04", f"{step.id} put out something of another type", (), show_items(strange))]
    elements = list(_elements(main, main_windowing))
    if not matching([each.item for each in elements], got, _same_element) or len(got) != len(elements):
        sentence = f"{step.id} did not process each element of its main input once, as it is (M-SIDE-05)"
        return [Finding("M-XF-18", sentence, show_items(each.item for each in elements), show_items(got))]
    by_window: dict[Window | None, list[_Main]] = defaultdict(list)
    for each in elements:
        by_window[map_main_window(each.item.window, windowing.fn)].append(each)
    for window, mains in by_window.items():
        assert window is not None, "analysis refuses such a mapping"
        mine = [item for item in got if map_main_window(item.window, windowing.fn) == window]
        views = list(_views(side, windowing, window))
        if not any(_explains(step, windowing, view, mains, mine) for view in views):
            return [_finding(step, windowing, window, views, mains, mine, side)]
    return []


def _elements(main: Flow, windowing: Windowing) -> Iterator[_Main]:
    before = MIN
    for index, beat in enumerate(main):
        for item in beat.items:
            yield _Main(item, index, before > expiry(item.window, windowing.allowed_lateness))
        before = beat.watermark


def _same_element(want: Item, have: Item) -> bool:
    return (
        have.value[0] == want.value
        and have.window == want.window
        and have.timestamps <= want.timestamps
        and have.panes <= want.panes
    )


def _views(side: Flow, windowing: Windowing, window: Window) -> Iterator[_View]:
    """What the view of one side window may be, in every run of its grouping."""
    # The values stand under one key, so that the grouping is that of the whole window.
    own = tuple(
        Beat(
            tuple(
                Item((0, item.value), item.timestamps, item.window, item.panes) for item in beat.items if item.window == window
            ),
            beat.watermark,
            beat.clock,
        )
        for beat in side
    )
    end = max_timestamp(window) if fires_at_end(windowing.trigger) else expiry(window, windowing.allowed_lateness)
    certain = next(index for index, beat in enumerate(side) if beat.watermark > end)
    place = Place(_VOID, windowing, 0, own, ())
    runs = [run for choices in choices_of(place) for run in runs_of(place, choices, None)]
    yield from dict.fromkeys(_View(_panes(run), certain) for run in runs)


def _panes(run: Run) -> tuple[tuple[int, tuple[Any, ...]], ...]:
    return tuple((index, firing.values) for index, fired in enumerate(run.firings) for firing in fired)


def _explains(step: SideInput, windowing: Windowing, view: _View, mains: Sequence[_Main], got: Sequence[Item]) -> bool:
    def fits(main: _Main, item: Item) -> bool:
        return _same_element(main.item, item) and item.value[1] in set(_sights(step, windowing, view, main))

    return matching(mains, got, fits)


def _sights(step: SideInput, windowing: Windowing, view: _View, main: _Main) -> Iterator[Bag]:
    """What a main element may read."""
    if main.expired or _may_be_empty(view, main.beat):
        yield Bag.of(())
    together: list[Any] = []
    for _, values in view.panes:
        together += values
        yield _read(step, values, main)
        if windowing.accumulation == "discarding":
            yield _read(step, together, main)


def _may_be_empty(view: _View, beat: int) -> bool:
    first = view.panes[0][0] if view.panes else None
    looked_at = max(beat, view.certain)
    return first is None or first > looked_at or first == beat > view.certain


def _read(step: SideInput, values: Sequence[Any], main: _Main) -> Bag:
    if step.view == "multimap":
        return Bag.of(value for key, value in values if key == main.item.value[0])
    return Bag.of(values)


def _finding(
    step: SideInput,
    windowing: Windowing,
    window: Window,
    views: Sequence[_View],
    mains: Sequence[_Main],
    got: Sequence[Item],
    side: Flow,
) -> Finding:
    """What is wrong with the first element whose sight no view explains, or with all of them together."""
    name = f"{step.id}, looking at {show_window(window)},"
    held = {item.value for beat in side for item in beat.items if item.window == window}
    read = {value[1] for value in held} if step.view == "multimap" else held
    shown = tuple(f"after beat {beat}: {show_value(Bag.of(values))}" for view in views[:1] for beat, values in view.panes) or (
        "nothing in that window",
    )
    for item in got:
        sight = item.value[1]
        if any(value not in read for value in sight.members):
            return Finding("M-SIDE-03", f"{name} saw values that are not in that window", shown, show_items([item]))
        if any(
            sight in set(_sights(step, windowing, view, main))
            for view in views
            for main in mains
            if _same_element(main.item, item)
        ):
            continue
        if not sight.members:
            return Finding(
                "M-SIDE-05", f"{name} saw nothing although a pane was there or could still come", shown, show_items([item])
            )
        return Finding("M-SIDE-08", f"{name} saw what is no pane, nor panes up to one", shown, show_items([item]))
    return Finding("M-SIDE-08", f"{name}: its elements saw what no single run of the view shows", shown, show_items(got))
