"""Each kind of event does what it says, where it stands: after the consequences of the one before, before the next (M-TS-01)."""

from __future__ import annotations

from typing import Any

from conformance.oracle.program import AfterProcessingTime, Repeat
from conformance.pipeline import Fn, coders, teststream, windowing
from conformance.suite.assertions import asserts
from conformance.suite.c_windowing.reading import window_groups
from conformance.suite.case import Case, Scenario
from conformance.suite.checks import holds, same, same_multiset
from conformance.suite.d_triggers.rows import Row, asked, counted
from conformance.suite.scripting import END, PAIRS, TESTSTREAM, add, wm
from conformance.wire import timestamps

STREAMING = ("streaming",)
TEN = windowing.fixed(10)
MINUTE = Repeat(AfterProcessingTime(60_000))
SUMMED = Fn("map", expr=["kv", ["key"], ["sum", ["val"]]])

globals().update(
    asked(
        [
            Row("TS02/as-far-and-no-farther", "1@1 wm9 2@2 wm10 3@3 wm30", ["1 2"], show="values", source=TESTSTREAM),
            counted("TS03/moves-the-clock", "1@1 pt70000 2@2 wm10", ["1", "2"], MINUTE, source=TESTSTREAM),
            counted("TS03/steps-add-up", "1@1 pt40000 pt40000 2@2 wm10", ["1", "2"], MINUTE, source=TESTSTREAM),
        ]
    )
)


@asserts("TS06/each-output-its-own", modes=STREAMING)
def test_each_output_its_own(case: Case) -> Scenario:
    """Elements and watermarks of one output are none of the other's: 2 is late on the first, and on time on the second."""
    events: list[teststream.Event] = [
        teststream.Elements([(("k", 1), 1)], "one"),
        teststream.Elements([(("k", 5), 1)], "two"),
        teststream.Watermark(12, "one"),
        teststream.Watermark(13, "one"),
        teststream.Elements([(("k", 2), 2)], "one"),
        teststream.Elements([(("k", 6), 2)], "two"),
        teststream.to_infinity("one"),
        teststream.to_infinity("two"),
    ]
    for tag, output in case.program.test_stream(events, {"one": PAIRS, "two": PAIRS}).items():
        output.window_into(TEN).group_by_key().observe(tag)
    run = yield
    same(window_groups(run, "one"), {("k", 0, 10): [1]}, "groups of output 'one'", rule="M-TS-02")
    same(window_groups(run, "two"), {("k", 0, 10): [5, 6]}, "groups of output 'two'", rule="M-TS-03")


@asserts("TS07/two-scripts", modes=STREAMING, alone=True)
def test_two_scripts(case: Case) -> Scenario:
    scripts = {
        "drops": [add((1, 1)), wm(12), wm(13), add((2, 2)), END],
        "keeps": [add((1, 1)), wm(5), wm(6), add((2, 2)), END],
    }
    for name, events in scripts.items():
        case.program.test_stream(events, PAIRS, name=name).window_into(TEN).group_by_key().observe(name)
    run = yield
    same(window_groups(run, "drops"), {("k", 0, 10): [1]}, "groups of the script whose watermark passed", rule="M-TS-03")
    same(window_groups(run, "keeps"), {("k", 0, 10): [1, 2]}, "groups of the other script", rule="M-TS-03")


def _before(seen: list[Any], first: Any, then: Any, what: str) -> None:
    """`first` was seen before `then`."""
    holds(
        first in seen and then in seen and seen.index(first) < seen.index(then),
        f"{what}: {then!r} was processed before {first!r}",
        expected=f"{first!r}, then {then!r}",
        observed=seen,
        rule="M-TS-01",
    )


@asserts("TS08/two-groupings-come-to-rest", modes=STREAMING)
def test_two_groupings_come_to_rest(case: Case) -> Scenario:
    """A pane goes through a second grouping before the next element is there."""
    script = case.program.test_stream([add((1, 1), (2, 2)), wm(12), wm(13), add((9, 15)), END], PAIRS)
    script.observe("all")
    first = script.window_into(TEN).group_by_key().par_do(SUMMED, PAIRS)
    first.window_into(TEN).par_do(Fn("identity"), PAIRS).group_by_key().par_do(SUMMED, PAIRS).observe("all")
    run = yield
    _before(run.values("all"), ("k", 3), ("k", 9), "the pane of two groupings and the next element")


@asserts("TS10/pane-before-the-next-event", modes=STREAMING)
def test_pane_before_the_next_event(case: Case) -> Scenario:
    script = case.program.test_stream([add((1, 1), (2, 2)), wm(12), wm(13), add((9, 15)), END], PAIRS)
    script.observe("all")
    script.window_into(TEN).group_by_key().par_do(SUMMED, PAIRS).observe("all")
    run = yield
    _before(run.values("all"), ("k", 3), ("k", 9), "the pane and the next element")


@asserts("TS10/elements-before-the-next-event", modes=STREAMING)
def test_elements_before_the_next_event(case: Case) -> Scenario:
    """All elements of an event are processed before the watermark that follows it lets the next ones come."""
    script = case.program.test_stream([add(*((number, 1) for number in range(5))), wm(2), wm(3), add((9, 5)), END], PAIRS)
    script.par_do(Fn("identity"), PAIRS).reshuffle().observe("out")
    run = yield
    seen = [value for _, value in run.values("out")]
    same(sorted(seen[:5]), [0, 1, 2, 3, 4], "elements processed before the next event's", rule="M-TS-01")


@asserts("TS11/batch-in-one-bundle", modes=STREAMING)
def test_batch_in_one_bundle(case: Case) -> Scenario:
    case.program.test_stream([add(*((number, 1) for number in range(3))), END], PAIRS).observe("out")
    run = yield
    same(len({seen.bundle for seen in run.seen("out")}), 1, "bundles of the elements of one event", rule="M-TS-02")


@asserts("TS11/batch-arrives-whole", modes=STREAMING)
def test_batch_arrives_whole(case: Case) -> Scenario:
    events = [add(*((number, number) for number in range(40))), wm(timestamps.MAX)]
    case.program.test_stream(events, PAIRS).par_do(Fn("values"), coders.VARINT).observe("out")
    run = yield
    same_multiset(run.values("out"), range(40), "elements of one event", rule="M-TS-02")
