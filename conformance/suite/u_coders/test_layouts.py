"""What stands around values: framing, timestamps, panes, windows, timers, long iterables; and drawn values."""

from __future__ import annotations

from typing import Any

import pytest

from conformance.pipeline import Fn, coders, state, windowing
from conformance.suite.assertions import asserts
from conformance.suite.c_windowing.reading import bounds
from conformance.suite.case import Case, Scenario
from conformance.suite.checks import same, same_multiset
from conformance.suite.execution import RunnerUnderTest
from conformance.suite.u_coders import generated, positions
from conformance.suite.u_coders.functions import to_json
from conformance.suite.u_coders.vectors import coded

NUMBERED = coders.kv(coders.VARINT, coders.VARINT)
#: Panes of every form of the pane byte: no index, one, two (P-COD-08).
PANES = [
    [True, True, "UNKNOWN", 0, 0],
    [True, True, "ON_TIME", 0, 0],
    [True, False, "EARLY", 0, -1],
    [False, False, "EARLY", 1, -1],
    [False, False, "ON_TIME", 1, 1],
    [False, False, "ON_TIME", 1, 0],
    [False, True, "LATE", 300, 200],
]

#: Coders whose values have no length in outer context, or one that must not be mistaken for it.
_LAST: dict[str, tuple[coders.CoderSpec, list[Any]]] = {
    "bytes": (coders.BYTES, [b"", b"\x00", b"\x01\x02", bytes(130)]),
    "string": (coders.STRING, ["", "a", "ab", "é" * 70]),
    "unknown": (coders.JSON, [None, "", "a", [1, 2]]),
    "length-prefix": (
        coders.length_prefix(coders.kv(coders.STRING, coders.BYTES)),
        [("", b""), ("a", b""), ("", b"a"), ("a", bytes(130))],
    ),
}


@asserts("COD03/without-length")
def test_iterables_without_length(case: Case) -> Scenario:
    """Between others of every size, so that a wrong end of one spoils the next."""
    lists = [[], [1], [300, 2, 3], [], list(range(400)), [5, 6]]
    lengthless = case.program.create(["k"]).par_do(
        Fn("unsized", lists=lists), coders.kv(coders.VARINT, coders.iterable(coders.VARINT))
    )
    lengthless.group_by_key().observe("out")
    run = yield
    same(
        run.groups("out"),
        {number: [values] for number, values in enumerate(lists)},
        "the lists by their numbers",
        rule="P-COD-03",
    )


@asserts("COD05/long-group-whole")
def test_long_group(case: Case) -> Scenario:
    size, count = 100_000, 60
    pairs = case.program.create(["k"]).par_do(Fn("large_values", size=size, count=count), coders.kv(coders.STRING, coders.BYTES))
    lengths = Fn("flat_map", expr=["val"])
    parts = pairs.group_by_key().par_do(lengths, coders.BYTES)
    parts.par_do(Fn("heads"), coders.kv(coders.VARINT, coders.VARINT)).observe("out")
    run = yield
    same(
        run.sorted_values("out"),
        [(number, size) for number in range(count)],
        "numbers and sizes of a group's values",
        rule="P-COD-03",
    )


@asserts("COD05/read-twice")
def test_long_group_read_twice(case: Case) -> Scenario:
    pairs = case.program.create(["k"]).par_do(Fn("large_values", size=100_000, count=30), coders.kv(coders.STRING, coders.BYTES))
    twice = Fn("map", expr=["list", ["len", ["val"]], ["len", ["val"]]])
    pairs.group_by_key().par_do(twice, coders.iterable(coders.VARINT)).observe("out")
    run = yield
    same(run.values("out"), [[30, 30]], "the sizes of a group that is read twice", rule="M-BATCH-11")


@asserts("COD06/panes-of-every-form")
def test_panes(case: Case) -> Scenario:
    source = case.program.impulse().par_do(Fn("with_panes", panes=PANES, times=[1000]), NUMBERED)
    counted = source.par_do(Fn("count_by_key"), NUMBERED, state={"count": state.value(coders.VARINT)})
    counted.observe("out")
    run = yield
    seen = []
    for each in run.seen("out"):
        pane = each.pane
        seen.append((each.value[0], [pane.is_first, pane.is_last, pane.timing.name, pane.index, pane.nonspeculative_index]))
    same(sorted(seen), list(enumerate(PANES)), "the panes of elements that crossed to another stage", rule="P-COD-08")


@asserts("COD06/timestamps")
def test_timestamps(case: Case) -> Scenario:
    times = [-9223372036854775, -62_135_596_800_000, -1001, -1, 0, 1, 999, 253_402_300_799_999, 9223371950454000]
    fn = Fn("with_panes", panes=PANES[:1], times=times)
    source = case.program.impulse().par_do(fn, NUMBERED)
    source.par_do(Fn("count_by_key"), NUMBERED, state={"count": state.value(coders.VARINT)}).observe("out")
    run = yield
    same(sorted(seen.timestamp for seen in run.seen("out")), times, "the timestamps of elements that crossed", rule="P-COD-02")


@asserts("COD07/interval-windows")
@pytest.mark.parametrize(("size", "offset"), [(1, 0), (7, 3), (1000, 0), (10**12, 1)])
def test_interval_windows(case: Case, size: int, offset: int) -> Scenario:
    times = [-1001, -1, 0, 1, 1_700_000_000_123]
    created = case.program.create([("k", time) for time in times], timestamps=times, window=windowing.fixed(size, offset))
    created.group_by_key().observe("out")
    run = yield
    expected: dict[tuple[int, int], list[int]] = {}
    for time in times:
        start = time - (time - offset) % size
        expected.setdefault((start, start + size), []).append(time)
    found = [(bounds(seen.window), sorted(seen.value[1])) for seen in run.seen("out")]
    same_multiset(found, sorted(expected.items()), "groups by window", rule="M-WIN-17")


@asserts("COD08/every-field-of-a-timer")
def test_timer_fields(case: Case) -> Scenario:
    timers = [[2000, 1500, ""], [2000, 1999, "tag"], [9999, 1000, "é/日本"], [1001, 1001, "x" * 200]]
    keys = ["", "a", "é"]
    created = case.program.create([(key, 0) for key in keys], timestamps=[1000] * len(keys), window=windowing.fixed(10_000))
    fn = Fn("timer_fields", observer=case.program.prefix + "out", timers=timers)
    created.par_do(fn, coders.BYTES, state={"unused": state.value(coders.VARINT)}, timers={"t": "event"})
    run = yield
    expected = [(key, tag, fire, hold) for key in keys for fire, hold, tag in timers]
    same_multiset(run.values("out"), expected, "key, tag, fire and hold of the timers that came", rule="P-TMR-05")
    windows = {bounds(seen.window) for seen in run.seen("out")}
    same(windows, {(0, 10_000)}, "the windows of the timers", rule="P-TMR-05")


@asserts("COD12/elements-of-a-stream-kept-apart")
@pytest.mark.parametrize("component", list(_LAST))
def test_framing(case: Case, component: str) -> Scenario:
    """The last component of a pair has no length in outer context; in a stream it must have one (P-COD-01)."""
    last, values = _LAST[component]
    inner = coders.kv(coders.VARINT, last)
    given = coded(
        coders.kv(inner, inner), [((number, value), (-number, other)) for number, value in enumerate(values) for other in values]
    )
    pairs = [[(1).to_bytes(1, "big").hex(), value] for value in given.values]
    fn = Fn("coded_pairs", key=to_json(coders.VARINT), value=to_json(given.coder), pairs=pairs)
    grouped = case.program.impulse().par_do(fn, coders.kv(coders.VARINT, given.coder)).group_by_key()
    grouped.par_do(Fn("coded_groups", observer=case.program.prefix + "out", value=to_json(given.coder)), coders.BYTES)
    positions.into_side(case.program, given, "side")
    run = yield
    same(run.values("out"), [(1, sorted(given.values))], "the values of one group", rule="P-COD-01")
    positions.check_side(run, given, "side")


@asserts("COD02/generated-values")
def test_generated_values(runner: RunnerUnderTest) -> None:
    generated.for_all_values(runner)
