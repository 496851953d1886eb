"""Judging what a grouping put out against what it was given: which keys and windows may appear at all, then each by
`oracle.panes`."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from typing import Any

from conformance.oracle.analysis import fires_once
from conformance.oracle.content import Content, Item, freeze, group_items
from conformance.oracle.finding import Finding, show_items
from conformance.oracle.observed import Bag, Seen, show_value, show_window
from conformance.oracle.panes import Group, judge_group, numbering, pane_of, values_finding
from conformance.oracle.program import Combine, GroupByKey, Sessions, Windowing
from conformance.oracle.trigger import can_finish_early
from conformance.oracle.windows import end_timestamps, hull, merge
from conformance.wire.values import IntervalWindow, Window

__all__ = ["judge_grouping", "loose_sessions"]

_Groups = dict[tuple[Any, Window], list[Item]]


def judge_grouping(step: GroupByKey | Combine, windowing: Windowing, given: Content, seen: Sequence[Seen]) -> list[Finding]:
    """What is wrong with the output of a grouping on bounded input; nothing if it is admissible."""
    got = freeze(seen)
    for item in got:
        if not _shaped(step, item.value):
            return [
                Finding(
                    "M-COMB-01", f"a grouping put out {show_value(item.value)}, which is not of its type", (), show_items([item])
                )
            ]
    seen_groups: _Groups = defaultdict(list)
    for item in got:
        seen_groups[item.value[0], item.window].append(item)
    if isinstance(windowing.fn, Sessions) and (not fires_once(windowing) or any(item.may_be_late for item in given)):
        return list(loose_sessions(step, windowing, given, seen_groups))
    groups = group_items(given, windowing)
    findings = [
        finding
        for (key, window) in seen_groups
        if (finding := _stranger(key, window, seen_groups[key, window], groups, windowing))
    ]
    findings += [
        finding
        for (key, window), items in groups.items()
        if (finding := judge_group(Group(step, windowing, key, window, tuple(items), tuple(seen_groups.get((key, window), ())))))
    ]
    return findings


def _shaped(step: GroupByKey | Combine, value: Any) -> bool:
    pair = isinstance(value, tuple) and len(value) == 2
    return pair and (isinstance(step, Combine) or isinstance(value[1], Bag))


def _stranger(key: Any, window: Window, items: Sequence[Item], groups: _Groups, windowing: Windowing) -> Finding | None:
    """A key and window that the grouping was never given."""
    if (key, window) in groups:
        return None
    windows = [w for k, w in groups if k == key]
    wanted = tuple(f"key {show_value(key)}: {show_window(w)}" for w in sorted(windows, key=repr)[:6])
    shown = show_items(items)
    name = f"key {show_value(key)} in {show_window(window)}"
    if not windows:
        return Finding("M-TRIG-05", f"the grouping put out {name}, a key it was never given", (), shown)
    if isinstance(windowing.fn, Sessions) and isinstance(window, IntervalWindow):
        inside = [w for w in windows if isinstance(w, IntervalWindow) and window.start <= w.start and w.end <= window.end]
        if len(inside) > 1 and hull(inside) == window:
            return Finding("M-WIN-08", f"{name}: sessions that only touch, or do not meet, were merged", wanted, shown)
        around = [w for w in windows if isinstance(w, IntervalWindow) and w.start <= window.start and window.end <= w.end]
        if around:
            return Finding(
                "M-WIN-08", f"{name}: a session was put out that should have merged with one it overlaps", wanted, shown
            )
        return Finding("M-WIN-09", f"{name}: the window is not the hull of sessions of that key", wanted, shown)
    return Finding("M-TRIG-05", f"the grouping put out {name}, a window that key was never given", wanted, shown)


def loose_sessions(step: GroupByKey | Combine, windowing: Windowing, given: Content, seen: _Groups) -> Iterator[Finding]:
    """Sessions that may fire before they have finished growing: contents and windows, not the number of panes (M-TRIG-44, A-28).

    Every window must be the hull of overlapping proto-windows of its key. Without values of a combine to look into, that is
    all; of a GroupByKey each element must be in some pane, and the whole session must show up, unless its trigger may have
    closed it before.
    """
    by_key: dict[Any, list[Item]] = defaultdict(list)
    for item in given:
        by_key[item.value[0]].append(item)
    for (key, window), items in seen.items():
        name = f"key {show_value(key)} in {show_window(window)}"
        if key not in by_key:
            yield Finding("M-TRIG-05", f"the grouping put out {name}, a key it was never given", (), show_items(items))
            return
        if not _is_hull(window, [i.window for i in by_key[key] if isinstance(i.window, IntervalWindow)]):
            yield Finding(
                "M-WIN-09", f"{name}: the window is not the hull of overlapping sessions of that key", (), show_items(items)
            )
            return
        inner = [w for k, w in seen if k == key and w != window and _within(w, window)]
        before = sum(len(seen[key, w]) for w in inner)
        if finding := _numbering_from(name, items, before) or _stamps_within(name, windowing, window, by_key[key], items):
            yield finding
            return
    may_lose = can_finish_early(windowing.trigger) or any(item.may_be_late for item in given)
    for key, items in by_key.items():
        panes = [pane for (k, _), group in seen.items() if k == key for pane in group]
        name = f"key {show_value(key)}, over its sessions,"
        if isinstance(step, GroupByKey):
            if finding := values_finding(name, windowing.accumulation == "accumulating", items, panes):
                yield finding
                return
            held = Counter(value for pane in panes for value in pane.value[1].members)
            lost = Counter(item.value[1] for item in items if not item.may_be_late) - held
            if lost and not may_lose:
                yield Finding(
                    "M-BATCH-04", f"{name} lacks {', '.join(show_value(v) for v in lost)}", show_items(items), show_items(panes)
                )
                return
        if not may_lose:
            final = [whole for whole, _ in merge(i.window for i in items if isinstance(i.window, IntervalWindow))]
            for whole in final:
                if (key, whole) not in seen:
                    yield Finding(
                        "M-WIN-10",
                        f"no pane came out for key {show_value(key)} in its final session {show_window(whole)}",
                        (),
                        show_items(panes),
                    )


def _within(inner: Window, outer: Window) -> bool:
    return (
        isinstance(inner, IntervalWindow)
        and isinstance(outer, IntervalWindow)
        and outer.start <= inner.start
        and inner.end <= outer.end
    )


def _numbering_from(name: str, panes: Sequence[Item], before: int) -> Finding | None:
    """The labels of one exact session: numbered from 0, or on from panes of the sessions that grew into it (M-PANE-12)."""
    labels = sorted((pane_of(item) for item in panes), key=lambda label: label.index)
    first = labels[0].index
    if not 0 < first <= before:
        return numbering(name, panes)
    in_line = [label.index for label in labels] == list(range(first, first + len(labels)))
    if in_line and not any(label.is_first for label in labels) and not any(label.is_last for label in labels[:-1]):
        return None
    return Finding("M-PANE-04", f"the pane labels of {name} neither start anew nor go on", (), show_items(panes))


def _stamps_within(
    name: str, windowing: Windowing, window: Window, given: Sequence[Item], panes: Sequence[Item]
) -> Finding | None:
    """A pane is stamped with the end of its window, or with the timestamp of one of its elements (M-HOLD-01, M-HOLD-04)."""
    stamps = end_timestamps(window)
    if windowing.output_time != "end_of_window":
        stamps = stamps.union(*(item.timestamps for item in given if _within(item.window, window)))
    for item in panes:
        if not item.timestamps <= stamps:
            return Finding(
                "M-HOLD-04",
                f"a pane of {name} is stamped with neither the end of its window nor one of its elements",
                tuple(f"timestamp {stamp}" for stamp in sorted(stamps)[:6]),
                show_items([item]),
            )
    return None


def _is_hull(window: Window, protos: Sequence[IntervalWindow]) -> bool:
    """Whether the window is the hull of a connected set of proto-windows: then it is that of all those inside it which
    connect."""
    if not isinstance(window, IntervalWindow):
        return False
    inside = [proto for proto in protos if window.start <= proto.start and proto.end <= window.end]
    return any(whole == window for whole, _ in merge(inside))
