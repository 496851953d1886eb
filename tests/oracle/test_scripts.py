"""Scripts: the worked sequences as observed outcomes are accepted, and corrupted ones rejected with the right rule."""

from __future__ import annotations

from typing import Any

import pytest
from attrs import evolve

from conformance.oracle import Program, Seen, judge
from conformance.oracle.grouping import Choices, Grouping
from conformance.oracle.program import (
    AddElements,
    AdvanceProcessingTime,
    AdvanceWatermark,
    AfterCount,
    AfterEach,
    AfterEndOfWindow,
    AfterProcessingTime,
    Combine,
    Element,
    Event,
    Fixed,
    GroupByKey,
    Observe,
    OrFinally,
    ParDo,
    Repeat,
    Script,
    Sessions,
    Step,
    Windowing,
    WindowInto,
)
from conformance.wire.timestamps import MAX
from conformance.wire.values import IntervalWindow, Pane, Timing
from tests.oracle.test_sequences import SEQUENCES, SESSIONS, run

E, O, L = Timing.EARLY, Timing.ON_TIME, Timing.LATE
W = IntervalWindow(0, 10)
FIXED = Windowing(Fixed(10))


def program(windowing: Windowing, *events: Event, grouping: Step | None = None) -> Program:
    """The script's ints (or strings), under one key, grouped and observed."""
    values = [e.value for event in events if isinstance(event, AddElements) for e in event.elements]
    return Program(
        (
            Script("s", events, "str" if values and isinstance(values[0], str) else "int"),
            WindowInto("w", "s", windowing),
            ParDo("k", "w", "key_constant", 0),
            grouping or GroupByKey("g", "k"),
            Observe("o", "g"),
        )
    )


def add(*elements: tuple[Any, int]) -> AddElements:
    return AddElements(tuple(Element(value, timestamp) for value, timestamp in elements))


def wm(to: int) -> AdvanceWatermark:
    return AdvanceWatermark(to)


def seen(
    values: list[Any], timing: Timing, index: int, ns: int, *, last: bool = False, at: int = 9, window: IntervalWindow = W
) -> Seen:
    return Seen((0, values), at, window, Pane(index == 0, last, timing, index, ns))


@pytest.mark.parametrize(("windowing", "table"), [s[1:] for s in SEQUENCES + SESSIONS], ids=[s[0] for s in SEQUENCES + SESSIONS])
def test_the_worked_sequences_are_accepted_and_not_without_their_last_data(windowing: Windowing, table: list[Any]) -> None:
    steps = [step for step, _ in table]
    events: list[Event] = []
    for step in steps:
        match step:
            case ("+", value, timestamp):
                events.append(add((value, timestamp)))
            case ("wm", to):
                events.append(wm(to))
            case ("pt", by):
                events.append(AdvanceProcessingTime(by))
    of = program(windowing, *events)
    firings = [firing for fired in run(windowing, [*steps, ("wm", MAX)]) for firing in fired]
    outcome = [Seen((0, list(f.values)), f.timestamp, f.window, f.pane) for f in firings]
    assert judge(of, {"o": outcome}).ok
    with_data = [s for i, s in enumerate(outcome) if s.value[1] and (i == 0 or s.value != outcome[i - 1].value)]
    last = max(with_data, key=outcome.index)
    assert not judge(of, {"o": [s for s in outcome if s is not last]}).ok
    assert not judge(of, {"o": [*outcome, last]}).ok
    assert not judge(of, {"o": [evolve(s, timestamp=s.timestamp + 1) for s in outcome]}).ok


S1 = program(
    Windowing(Fixed(10), AfterEndOfWindow(AfterCount(2), AfterCount(1)), allowed_lateness=20),
    *(add((1, 1)), add((2, 2)), add((3, 5)), wm(10), add((4, 3)), wm(31), add((5, 5))),
)
S1_OK = [seen([1, 2], E, 0, -1), seen([3], O, 1, 0), seen([4], L, 2, 1)]
PLAIN_L20 = program(Windowing(Fixed(10), AfterEndOfWindow(), allowed_lateness=20), add((1, 1)), wm(10), add((2, 3)))
DEFAULT = program(FIXED, add((1, 1), (2, 2)), wm(11), add((3, 3)))
LATE_OK = program(evolve(FIXED, allowed_lateness=5), add((1, 1)), wm(14), add((2, 3)))
COUNT_2 = program(evolve(FIXED, trigger=Repeat(AfterCount(2))), add((1, 1), (2, 2), (3, 3)))
EACH = program(
    evolve(FIXED, trigger=Repeat(AfterEach((AfterCount(1), AfterCount(2))))), *(add((value, 1)) for value in (1, 2, 3, 4))
)
UNTIL = program(
    evolve(FIXED, trigger=OrFinally(Repeat(AfterCount(2)), AfterCount(3))), *(add((value, 1)) for value in (1, 2, 3, 4))
)
CLOCK = program(
    evolve(FIXED, trigger=Repeat(AfterProcessingTime(10_000))), add((1, 1)), AdvanceProcessingTime(11_000), add((2, 1))
)
JUMP = program(evolve(FIXED, allowed_lateness=20, closing="always"), add((1, 1)))
SUMS = program(evolve(FIXED, trigger=Repeat(AfterCount(1))), add((1, 1)), add((2, 2)), grouping=Combine("g", "k"))
GAPS = program(Windowing(Sessions(10)), add((1, 1)), add((15, 15)), wm(1), add((8, 8)))
HOLDS = program(evolve(FIXED, output_time="earliest"), wm(5), add((2, 2), (3, 3), (7, 7), (8, 8)))

CASES: list[tuple[str, Program, list[Seen], str]] = [
    ("S1", S1, S1_OK, ""),
    ("TRG-16: data of an expired window comes out", S1, [*S1_OK, seen([5], L, 3, 2)], "M-LATE-03"),
    ("no early pane", S1, [seen([1, 2, 3], O, 0, 0), seen([4], L, 1, 1)], "M-TRIG-02"),
    ("late data lost", S1, S1_OK[:2], "M-PANE-08"),
    ("late data called ON_TIME", S1, [*S1_OK[:2], seen([4], O, 2, 1)], "M-PANE-03"),
    ("accumulated although discarding", S1, [S1_OK[0], seen([1, 2, 3], O, 1, 0), seen([4], L, 2, 1)], "M-PANE-11"),
    ("the early pane marked last", S1, [seen([1, 2], E, 0, -1, last=True), *S1_OK[1:]], "M-PANE-05"),
    ("an empty final pane not asked for", S1, [*S1_OK, seen([], L, 3, 2, last=True)], "M-PANE-06"),
    ("TRG-24: a closed window goes on", PLAIN_L20, [seen([1], O, 0, 0), seen([2], L, 1, 1)], "M-TRIG-35"),
    ("a closed window drops", PLAIN_L20, [seen([1], O, 0, 0, last=True)], ""),
    ("one pane", DEFAULT, [seen([1, 2], O, 0, 0, last=True)], ""),
    ("dropped too late", DEFAULT, [seen([1, 2], O, 0, 0), seen([3], L, 1, 1)], "M-LATE-03"),
    ("late data within the lateness", LATE_OK, [seen([1], O, 0, 0), seen([2], L, 1, 1)], ""),
    ("dropped too early", LATE_OK, [seen([1], O, 0, 0)], "M-PANE-08"),
    ("a count of two, the event in one bundle", COUNT_2, [seen([1, 2, 3], E, 0, -1)], ""),
    ("the event in two bundles", COUNT_2, [seen([1, 3], E, 0, -1), seen([2], O, 1, 0, last=True)], ""),
    ("too few for the count", COUNT_2, [seen([1], E, 0, -1), seen([2, 3], O, 1, 0, last=True)], "M-TRIG-02"),
    ("one part each firing", EACH, [seen([1], E, 0, -1), seen([2, 3], E, 1, -1), seen([4], E, 2, -1)], ""),
    ("TRG-25: two parts in one firing", EACH, [seen([n], E, n - 1, -1) for n in (1, 2, 3, 4)], "M-TRIG-02"),
    ("until", UNTIL, [seen([1, 2], E, 0, -1), seen([3], E, 1, -1, last=True)], ""),
    ("TRG-27: until ignored", UNTIL, [seen([1, 2], E, 0, -1), seen([3, 4], E, 1, -1)], "M-TRIG-35"),
    ("the clock", CLOCK, [seen([1], E, 0, -1), seen([2], O, 1, 0, last=True)], ""),
    ("TRG-30: the clock ignored", CLOCK, [seen([1, 2], O, 0, 0, last=True)], "M-TRIG-02"),
    ("M-TRIG-06: one pane over a jump", JUMP, [seen([1], O, 0, 0, last=True)], ""),
    ("M-TRIG-06: and an empty one", JUMP, [seen([1], O, 0, 0), seen([], L, 1, 1, last=True)], "M-PANE-06"),
    ("sums", SUMS, [evolve(seen([], E, 0, -1), value=(0, 1)), evolve(seen([], E, 1, -1), value=(0, 2))], ""),
    (
        "sums that accumulate",
        SUMS,
        [evolve(seen([], E, 0, -1), value=(0, 1)), evolve(seen([], E, 1, -1), value=(0, 3))],
        "M-TRIG-02",
    ),
    ("sessions", GAPS, [seen([1, 15, 8], O, 0, 0, last=True, at=24, window=IntervalWindow(1, 25))], ""),
    (
        "sessions left apart",
        GAPS,
        [
            seen([1, 8], O, 0, 0, last=True, at=17, window=IntervalWindow(1, 18)),
            seen([15], O, 0, 0, last=True, at=24, window=IntervalWindow(15, 25)),
        ],
        "M-TRIG-02",
    ),
    ("what could be held", HOLDS, [seen([2, 3, 7, 8], O, 0, 0, last=True, at=7)], ""),
    ("what could not, A-18", HOLDS, [seen([2, 3, 7, 8], O, 0, 0, last=True, at=2)], ""),
    ("neither", HOLDS, [seen([2, 3, 7, 8], O, 0, 0, last=True, at=3)], "M-HOLD-01"),
]


@pytest.mark.parametrize(("of", "outcome", "rule"), [c[1:] for c in CASES], ids=[c[0] for c in CASES])
def test_cases(of: Program, outcome: list[Seen], rule: str) -> None:
    verdict = judge(of, {"o": outcome})
    assert verdict.rule == rule, verdict.sentence


def test_empty_panes_may_be_there_or_not() -> None:
    """A-3: FIRE_ALWAYS and EMIT_ALWAYS after early panes took everything."""
    windowing = Windowing(
        Fixed(10), AfterEndOfWindow(early=AfterCount(1), late=AfterCount(1)), closing="always", allowed_lateness=20
    )
    of = program(windowing, add((1, 1)), wm(10), wm(40))
    early = seen([1], E, 0, -1)
    assert judge(of, {"o": [early]}).ok
    assert judge(of, {"o": [early, seen([], O, 1, 0)]}).ok
    assert judge(of, {"o": [early, seen([], O, 1, 0), seen([], L, 2, 1, last=True)]}).ok
    assert judge(of, {"o": [early, seen([], O, 1, 0), seen([], O, 2, 1, last=True)]}).rule == "M-PANE-03"


def test_the_drop_boundary_is_a_choice() -> None:
    """A-8: at a watermark of exactly end + L the Python driver still accepts."""
    of = program(evolve(FIXED, allowed_lateness=5), wm(15), add((1, 1)))
    assert judge(of, {"o": []}).ok
    assert judge(of, {"o": [seen([1], L, 0, 0)]}).ok
    beyond = program(evolve(FIXED, allowed_lateness=5), wm(16), add((1, 1)))
    assert judge(beyond, {"o": [seen([1], L, 0, 0)]}).rule == "M-LATE-03"


def test_leftovers_at_the_end_of_the_window_or_at_expiry() -> None:
    """M-PANE-09: Repeat(AfterCount(5)) over one element, L = 20."""
    of = program(evolve(FIXED, trigger=Repeat(AfterCount(5)), allowed_lateness=20), add((1, 1)), wm(10), wm(40))
    assert judge(of, {"o": [seen([1], O, 0, 0)]}).ok
    assert judge(of, {"o": [seen([1], O, 0, 0, last=True)]}).ok
    assert judge(of, {"o": []}).rule == "M-PANE-08"
    machine = Grouping(evolve(FIXED, trigger=Repeat(AfterCount(5)), allowed_lateness=20), Choices(leftover_at_end=True))
    assert machine.advance_watermark(MAX) == []


def test_stateless_outputs_of_scripts_are_never_dropped() -> None:
    of = Program((Script("s", (wm(100), add((1, 1)))), WindowInto("w", "s", FIXED), Observe("o", "w")))
    assert judge(of, {"o": [Seen(1, 1, W)]}).ok
    assert judge(of, {"o": []}).rule == "M-WIN-20"
