"""Reshuffle, Redistribute and GroupIntoBatches: what goes in comes out."""

from __future__ import annotations

from collections import Counter, defaultdict
from typing import Any

import pytest

from conformance.pipeline import Fn, coders, windowing
from conformance.pipeline.builder import PCollection
from conformance.suite.a_core.functions import FLAT_VALUES, shift_timestamp
from conformance.suite.assertions import asserts
from conformance.suite.c_windowing.reading import SECOND, bounds, window_groups
from conformance.suite.case import Case, Scenario
from conformance.suite.checks import holds, same, same_multiset
from conformance.suite.run import Run

TEN = windowing.fixed(10 * SECOND)
PAIRS = [("a", 1), ("b", 2), ("a", 1), ("c", 3), ("", 4)]


def _places(run: Run, observer: str) -> list[tuple[Any, ...]]:
    """Value, timestamp, window and pane of everything seen."""
    return [(seen.value, seen.timestamp, seen.window, seen.pane) for seen in run.seen(observer)]


def _grouped_then_spread(case: Case) -> PCollection:
    """Elements that carry a pane: the values of groups in two fixed windows."""
    created = case.program.create([("k", 1), ("k", 2), ("k", 3)], timestamps=[0, 5000, 12_000], window=TEN)
    return created.group_by_key().par_do(FLAT_VALUES, coders.VARINT)


@asserts("CORE34/contents-kept")
def test_contents_kept(case: Case) -> Scenario:
    numbers = [1, 2, 2, 3, *range(100, 150)]
    case.program.create(numbers).reshuffle().observe("out")
    run = yield
    same(run.sorted_values("out"), sorted(numbers), rule="M-XF-12")


@asserts("CORE34/pairs-of-unknown-coder")
def test_unknown_coder(case: Case) -> Scenario:
    values = [{"x": [1, None]}, "text", 7, [True, 2.5]]
    case.program.create(values, coder=coders.JSON).reshuffle().observe("out")
    run = yield
    same_multiset(run.values("out"), values, rule="M-XF-12")


@asserts("CORE35/timestamps-kept")
def test_timestamps_kept(case: Case) -> Scenario:
    moments = [-5000, 0, 1, 123_456_789]
    case.program.create(["a", "b", "c", "d"], timestamps=moments).reshuffle().observe("out")
    run = yield
    seen = [(seen.value, seen.timestamp) for seen in run.seen("out")]
    same_multiset(seen, zip("abcd", moments, strict=True), "values and timestamps", rule="M-XF-12")


@asserts("CORE35/timestamp-outside-window-kept")
def test_timestamp_outside_window_kept(case: Case) -> Scenario:
    created = case.program.create(["a"], timestamps=[5000], window=TEN)
    created.par_do(shift_timestamp(-90 * SECOND)).reshuffle().observe("out")
    run = yield
    seen = [(each.value, each.timestamp, bounds(each.window)) for each in run.seen("out")]
    same_multiset(seen, [("a", -85 * SECOND, (0, 10_000))], "value, timestamp and window", rule="M-TIME-10")


@asserts("CORE36/windows-kept")
def test_windows_kept(case: Case) -> Scenario:
    case.program.create(["a", "b"], timestamps=[9999, 10_000], window=TEN).reshuffle().observe("out")
    run = yield
    seen = [(seen.value, bounds(seen.window)) for seen in run.seen("out")]
    same_multiset(seen, [("a", (0, 10_000)), ("b", (10_000, 20_000))], "values and windows", rule="M-XF-12")


@asserts("CORE36/panes-kept")
def test_panes_kept(case: Case) -> Scenario:
    values = _grouped_then_spread(case)
    values.observe("before")
    values.reshuffle().observe("after")
    run = yield
    same(len(run.seen("before")), 3, "the number of elements before Reshuffle")
    same_multiset(_places(run, "after"), _places(run, "before"), "values, timestamps, windows and panes", rule="M-XF-12")


@asserts("CORE37/sliding-windows-kept")
def test_sliding_windows_kept(case: Case) -> Scenario:
    window = windowing.sliding(10 * SECOND, 5 * SECOND)
    case.program.create(["a"], timestamps=[7000], window=window).reshuffle().observe("out")
    run = yield
    seen = [(seen.value, bounds(seen.window)) for seen in run.seen("out")]
    same_multiset(seen, [("a", (0, 10_000)), ("a", (5000, 15_000))], "values and windows", rule="M-XF-12")


@asserts("CORE37/sessions-not-merged")
def test_sessions_not_merged(case: Case) -> Scenario:
    created = case.program.create([("k", 1), ("k", 2)], timestamps=[0, 4000], window=windowing.sessions(10 * SECOND))
    shuffled = created.reshuffle()
    shuffled.observe("shuffled")
    shuffled.group_by_key().observe("grouped")
    run = yield
    seen = [(seen.value, bounds(seen.window)) for seen in run.seen("shuffled")]
    same_multiset(seen, [(("k", 1), (0, 10_000)), (("k", 2), (4000, 14_000))], "what Reshuffle yields", rule="M-XF-12")
    same(window_groups(run, "grouped"), {("k", 0, 14_000): [1, 2]}, "the groups behind it", rule="M-XF-12")


@asserts("CORE37/grouping-behind-fires-by-its-trigger")
def test_grouping_behind(case: Case) -> Scenario:
    created = case.program.create([("k", 1), ("k", 2), ("k", 3)], timestamps=[0, 9000, 12_000], window=TEN)
    created.reshuffle().group_by_key().observe("out")
    run = yield
    same(window_groups(run, "out"), {("k", 0, 10_000): [1, 2], ("k", 10_000, 20_000): [3]}, "the groups", rule="M-XF-12")
    same(len(run.seen("out")), 2, "the number of panes", rule="M-XF-12")


def _redistributed(collection: PCollection, kind: str, allow_duplicates: bool = False) -> PCollection:
    if kind == "by_key":
        return collection.redistribute_by_key(allow_duplicates)
    return collection.redistribute_arbitrarily(allow_duplicates)


@asserts("CORE38/contents-kept")
@pytest.mark.parametrize("kind", ["by_key", "arbitrarily"])
def test_redistribute_keeps_contents(case: Case, kind: str) -> Scenario:
    _redistributed(case.program.create(PAIRS), kind).observe("out")
    run = yield
    same(run.sorted_values("out"), sorted(PAIRS), rule="M-XF-12")


@asserts("CORE38/timestamps-and-windows-kept")
@pytest.mark.parametrize("kind", ["by_key", "arbitrarily"])
def test_redistribute_keeps_places(case: Case, kind: str) -> Scenario:
    pairs = coders.kv(coders.STRING, coders.VARINT)
    keyed = _grouped_then_spread(case).par_do(Fn("with_key", key="k"), pairs)
    keyed.observe("before")
    _redistributed(keyed, kind).observe("after")
    run = yield
    same(len(run.seen("before")), 3, "the number of elements before Redistribute")
    same_multiset(_places(run, "after"), _places(run, "before"), "values, timestamps, windows and panes", rule="M-XF-12")


@asserts("CORE39/every-element-at-least-once")
@pytest.mark.parametrize("kind", ["by_key", "arbitrarily"])
def test_every_element_at_least_once(case: Case, kind: str) -> Scenario:
    _redistributed(case.program.create(PAIRS), kind, allow_duplicates=True).observe("out")
    run = yield
    wanted, seen = Counter(PAIRS), Counter(run.values("out"))
    same(set(seen), set(wanted), "the elements without their counts", rule="M-XF-12")
    fewer = {value: seen[value] for value, count in wanted.items() if seen[value] < count}
    holds(not fewer, f"elements came out less often than they went in: {fewer}", rule="M-XF-12")


def _batch_sizes(run: Run, limit: int) -> None:
    """No batch is empty or above the limit; a key and window has at most one below it."""
    smaller: Counter[tuple[Any, ...]] = Counter()
    for seen in run.seen("out"):
        key, values = seen.value
        size = len(list(values))
        holds(0 < size <= limit, f"a batch of key {key!r} has {size} values, the limit is {limit}", rule="M-XF-13")
        smaller[key, seen.window] += size < limit
    worst = {place: count for place, count in smaller.items() if count > 1}
    holds(not worst, f"keys with several batches below the limit in one window: {worst}", rule="M-XF-13")


@asserts("CORE40/batches-hold-every-value-once")
def test_batches_hold_every_value_once(case: Case) -> Scenario:
    pairs = [("a", number) for number in range(11)] + [("b", 100), ("b", 100)]
    case.program.create(pairs).group_into_batches(4).observe("out")
    run = yield
    same(run.groups("out"), {"a": list(range(11)), "b": [100, 100]}, "the batches of each key together", rule="M-XF-13")


@asserts("CORE40/batches-of-at-most-the-limit")
def test_batches_of_at_most_the_limit(case: Case) -> Scenario:
    pairs = [("a", number) for number in range(11)] + [("b", 100), ("b", 100)]
    case.program.create(pairs).group_into_batches(4).observe("out")
    run = yield
    holds(bool(run.seen("out")), "there are no batches", rule="M-XF-13")
    _batch_sizes(run, 4)


@asserts("CORE40/batches-by-window")
def test_batches_by_window(case: Case) -> Scenario:
    pairs = [("a", number) for number in range(6)]
    moments = [0, 10_000, 1, 10_001, 2, 10_002]
    case.program.create(pairs, timestamps=moments, window=TEN).group_into_batches(2).observe("out")
    run = yield
    expected = {("a", 0, 10_000): [0, 2, 4], ("a", 10_000, 20_000): [1, 3, 5]}
    same(window_groups(run, "out"), expected, "the batches of each key and window together", rule="M-XF-13")
    _batch_sizes(run, 2)


@asserts("CORE41/sharded-batches-hold-every-value-once")
def test_sharded_batches(case: Case) -> Scenario:
    pairs = [("a", number) for number in range(11)] + [("b", 100)]
    case.program.create(pairs).group_into_batches(4, sharded=True).observe("out")
    run = yield
    by_key: dict[Any, list[Any]] = defaultdict(list)
    for sharded, values in run.values("out"):
        by_key[sharded.key].extend(values)
    found = {key: sorted(values) for key, values in by_key.items()}
    same(found, {"a": list(range(11)), "b": [100]}, "the batches of each key together", rule="M-XF-13")
    _batch_sizes(run, 4)
