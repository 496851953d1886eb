"""The worked sequences of the model (sections 3.3, 3.5 and 6) as tables: what the grouping machine must do step by step."""

from __future__ import annotations

from typing import Any

import pytest
from attrs import evolve

from conformance.oracle.grouping import Arrival, Firing, Grouping
from conformance.oracle.program import (
    AfterCount,
    AfterEach,
    AfterEndOfWindow,
    AfterProcessingTime,
    DefaultTrigger,
    Fixed,
    Never,
    OrFinally,
    Repeat,
    Sessions,
    Windowing,
)
from conformance.oracle.windows import assign
from conformance.wire.values import Timing

E, O, L = Timing.EARLY, Timing.ON_TIME, Timing.LATE
FIXED = Windowing(Fixed(10))
S1 = evolve(FIXED, trigger=AfterEndOfWindow(AfterCount(2), AfterCount(1)), allowed_lateness=20)


def run(windowing: Windowing, steps: list[tuple[Any, ...]]) -> list[list[Firing]]:
    """Steps are ("+", value, ts), ("wm", to), ("pt", by)."""
    grouping = Grouping(windowing)
    fired = []
    for step in steps:
        match step:
            case ("+", value, timestamp):
                fired.append(grouping.arrive([Arrival("k", value, timestamp, w) for w in assign(windowing.fn, timestamp)]))
            case ("wm", to):
                fired.append(grouping.advance_watermark(to))
            case ("pt", by):
                fired.append(grouping.advance_processing_time(by))
    return fired


def brief(firing: Firing) -> tuple[str, Timing, int, int, str]:
    marks = ("f" if firing.pane.is_first else "") + ("l" if firing.pane.is_last else "")
    values = "".join(sorted(map(str, firing.values)))
    return values, firing.pane.timing, firing.pane.index, firing.pane.nonspeculative_index, marks


#: name, windowing, steps with the panes each must cause
SEQUENCES: list[tuple[str, Windowing, list[tuple[tuple[Any, ...], list[Any]]]]] = [
    (
        "S1",
        S1,
        [
            (("+", "a", 1), []),
            (("+", "b", 2), [("ab", E, 0, -1, "f")]),
            (("+", "c", 5), []),
            (("wm", 9), []),
            (("wm", 10), [("c", O, 1, 0, "")]),
            (("+", "d", 3), [("d", L, 2, 1, "")]),
            (("wm", 29), []),
            (("+", "e", 4), [("e", L, 3, 2, "")]),
            (("wm", 30), []),
            (("+", "f", 5), []),
        ],
    ),
    (
        "S1 accumulating, EMIT_ALWAYS",
        evolve(S1, accumulation="accumulating", closing="always"),
        [
            (("+", "a", 1), []),
            (("+", "b", 2), [("ab", E, 0, -1, "f")]),
            (("+", "c", 5), []),
            (("wm", 10), [("abc", O, 1, 0, "")]),
            (("+", "d", 3), [("abcd", L, 2, 1, "")]),
            (("+", "e", 4), [("abcde", L, 3, 2, "")]),
            (("wm", 30), [("abcde", L, 4, 3, "l")]),
        ],
    ),
    (
        "S1 without c, FIRE_ALWAYS and EMIT_ALWAYS",
        evolve(S1, closing="always"),
        [
            (("+", "a", 1), []),
            (("+", "b", 2), [("ab", E, 0, -1, "f")]),
            (("wm", 10), [("", O, 1, 0, "")]),
            (("wm", 30), [("", L, 2, 1, "l")]),
        ],
    ),
    (
        "S2",
        FIXED,
        [(("+", "a", 1), []), (("+", "b", 2), []), (("wm", 9), []), (("wm", 10), [("ab", O, 0, 0, "fl")]), (("+", "c", 3), [])],
    ),
    (
        "S3",
        evolve(FIXED, allowed_lateness=20),
        [
            (("+", "a", 1), []),
            (("+", "b", 2), []),
            (("wm", 10), [("ab", O, 0, 0, "f")]),
            (("+", "c", 3), [("c", L, 1, 1, "")]),
            (("wm", 30), []),
        ],
    ),
    (
        "S3 with EMIT_ALWAYS",
        evolve(FIXED, allowed_lateness=20, closing="always"),
        [
            (("+", "a", 1), []),
            (("wm", 10), [("a", O, 0, 0, "f")]),
            (("+", "c", 3), [("c", L, 1, 1, "")]),
            (("wm", 30), [("", L, 2, 2, "l")]),
        ],
    ),
    (
        "S4",
        evolve(FIXED, trigger=AfterCount(1)),
        [(("+", "a", 1), [("a", E, 0, -1, "fl")]), (("+", "b", 2), []), (("wm", 10), [])],
    ),
    (
        "S5",
        evolve(FIXED, trigger=Repeat(AfterCount(2))),
        [(("+", "a", 1), []), (("+", "b", 2), [("ab", E, 0, -1, "f")]), (("+", "c", 3), []), (("wm", 10), [("c", O, 1, 0, "l")])],
    ),
    (
        "S5 without c: the empty ON_TIME pane of Java-core",
        evolve(FIXED, trigger=Repeat(AfterCount(2))),
        [(("+", "a", 1), []), (("+", "b", 2), [("ab", E, 0, -1, "f")]), (("wm", 10), [("", O, 1, 0, "l")])],
    ),
    (
        "S5b",
        evolve(Windowing(Fixed(1000)), trigger=Repeat(AfterProcessingTime(10_000))),
        [
            (("+", "a", 1), []),
            (("pt", 5_000), []),
            (("+", "b", 2), []),
            (("pt", 4_999), []),
            (("pt", 1_001), [("ab", E, 0, -1, "f")]),
            (("pt", 9_000), []),
            (("+", "c", 3), []),
            (("pt", 1_000), []),
            (("wm", 1000), [("c", O, 1, 0, "l")]),
        ],
    ),
    (
        "S6",
        evolve(FIXED, trigger=Repeat(AfterEach((AfterCount(2), AfterCount(3))))),
        [
            (("+", 1, 1), []),
            (("+", 2, 1), [("12", E, 0, -1, "f")]),
            (("+", 3, 1), []),
            (("+", 4, 1), []),
            (("+", 5, 1), [("345", E, 1, -1, "")]),
            (("+", 6, 1), []),
            (("+", 7, 1), [("67", E, 2, -1, "")]),
        ],
    ),
    (
        "S7",
        evolve(FIXED, trigger=OrFinally(Repeat(AfterCount(2)), AfterCount(5))),
        [
            (("+", 1, 1), []),
            (("+", 2, 1), [("12", E, 0, -1, "f")]),
            (("+", 3, 1), []),
            (("+", 4, 1), [("34", E, 1, -1, "")]),
            (("+", 5, 1), [("5", E, 2, -1, "l")]),
            (("+", 6, 1), []),
            (("wm", 10), []),
        ],
    ),
    (
        "never, L = 20: one pane at expiry, ON_TIME (M-TRIG-11)",
        evolve(FIXED, trigger=Never(), allowed_lateness=20),
        [(("+", "a", 1), []), (("wm", 10), []), (("wm", 29), []), (("wm", 30), [("a", O, 0, 0, "fl")])],
    ),
    (
        "a jump over end and expiry is one final pane (M-TRIG-06)",
        evolve(FIXED, allowed_lateness=20, closing="always"),
        [(("+", "a", 1), []), (("wm", 100), [("a", O, 0, 0, "fl")])],
    ),
]


@pytest.mark.parametrize(("windowing", "table"), [s[1:] for s in SEQUENCES], ids=[s[0] for s in SEQUENCES])
def test_worked_sequence(windowing: Windowing, table: list[tuple[tuple[Any, ...], list[Any]]]) -> None:
    fired = run(windowing, [step for step, _ in table])
    assert [[brief(f) for f in panes] for panes in fired] == [panes for _, panes in table]


#: sessions of gap 10: windowing, steps, and (values, timing, idx, window) of the panes
SESSIONS: list[tuple[str, Windowing, list[tuple[tuple[Any, ...], list[Any]]]]] = [
    (
        "late data grows a session that had its pane (M-TRIG-47), discarding",
        Windowing(Sessions(10), allowed_lateness=20),
        [
            (("+", 0, 0), []),
            (("wm", 10), [("0", O, 0, (0, 10))]),
            (("+", 5, 5), []),
            (("wm", 15), [("5", O, 0, (0, 15))]),
            (("+", 12, 12), []),
            (("wm", 42), [("12", O, 0, (0, 22))]),
        ],
    ),
    (
        "the same, accumulating",
        Windowing(Sessions(10), allowed_lateness=20, accumulation="accumulating"),
        [
            (("+", 0, 0), []),
            (("wm", 10), [("0", O, 0, (0, 10))]),
            (("+", 5, 5), []),
            (("wm", 15), [("05", O, 0, (0, 15))]),
            (("+", 12, 12), []),
            (("wm", 42), [("0125", O, 0, (0, 22))]),
        ],
    ),
    (
        "counts add up as sessions merge (M-TRIG-41)",
        Windowing(Sessions(10), trigger=AfterEndOfWindow(early=AfterCount(2))),
        [
            (("+", 0, 0), []),
            (("+", 30, 30), []),
            (("+", 8, 8), [("08", E, 0, (0, 18))]),
            (("+", 16, 16), []),
            (("+", 21, 21), [("162130", E, 0, (0, 40))]),
            (("wm", 40), [("", O, 1, (0, 40))]),
        ],
    ),
    (
        "one session of three, accumulating",
        Windowing(Sessions(10), accumulation="accumulating"),
        [(("+", 1, 1), []), (("+", 15, 15), []), (("+", 8, 8), []), (("wm", 24), []), (("wm", 25), [("1158", O, 0, (1, 25))])],
    ),
]


@pytest.mark.parametrize(("windowing", "table"), [s[1:] for s in SESSIONS], ids=[s[0] for s in SESSIONS])
def test_sessions(windowing: Windowing, table: list[tuple[tuple[Any, ...], list[Any]]]) -> None:
    fired = run(windowing, [step for step, _ in table])
    seen = [[(brief(f)[0], f.pane.timing, f.pane.index, (f.window.start, f.window.end)) for f in panes] for panes in fired]  # type: ignore[union-attr]
    assert seen == [panes for _, panes in table]
    assert all(f.timestamp == f.window.max_timestamp for panes in fired for f in panes)


#: watermark before, element timestamps, and the timestamp of the ON_TIME pane by EARLIEST and LATEST (section 6)
HOLDS = [(None, (1, 2, 3), 1, 3), (5, (2, 3, 7, 8), 7, 8), (8, (2, 3, 7), 9, 9)]


@pytest.mark.parametrize(("before", "stamps", "earliest", "latest"), HOLDS)
@pytest.mark.parametrize("output_time", ["earliest", "latest"])
def test_holds(before: int | None, stamps: tuple[int, ...], earliest: int, latest: int, output_time: str) -> None:
    steps: list[tuple[Any, ...]] = [] if before is None else [("wm", before)]
    steps += [("+", stamp, stamp) for stamp in stamps]
    (*_, last) = run(evolve(FIXED, output_time=output_time), [*steps, ("wm", 10)])
    assert [f.timestamp for f in last] == [earliest if output_time == "earliest" else latest]


@pytest.mark.parametrize("output_time", ["earliest", "latest"])
def test_accumulating_panes_are_stamped_by_their_new_elements(output_time: str) -> None:
    """M-HOLD-01: EARLIEST 1, 5 and 9 for the repeated pane; LATEST 2, 7, 9."""
    windowing = Windowing(
        Fixed(10), AfterEndOfWindow(early=AfterCount(2)), accumulation="accumulating", output_time=output_time, allowed_lateness=0
    )
    fired = run(windowing, [("+", 1, 1), ("+", 2, 2), ("+", 5, 5), ("+", 7, 7), ("wm", 10)])
    stamps = [f.timestamp for panes in fired for f in panes]
    assert stamps == ([1, 5, 9] if output_time == "earliest" else [2, 7, 9])


def test_late_data_is_kept_up_to_expiry_and_dropped_past_it() -> None:
    """M-LATE-03: fixed [0, 10), L = 5: accepted up to a watermark of 14, dropped from 15 on."""
    for watermark, kept in ((14, True), (15, False)):
        grouping = Grouping(Windowing(Fixed(10), DefaultTrigger(), allowed_lateness=5))
        grouping.advance_watermark(watermark)
        fired = grouping.arrive([Arrival("k", "a", 3, w) for w in assign(Fixed(10), 3)])
        assert (bool(fired), not grouping.dropped) == (kept, kept)
