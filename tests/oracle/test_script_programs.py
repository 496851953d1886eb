"""Scripts beyond one grouping: worked examples of the model, each with outcomes that break a rule and the rule that is named."""

from __future__ import annotations

from typing import Any

import pytest
from attrs import evolve

from conformance.oracle import Program, Seen, UnsupportedProgram, judge
from conformance.oracle.program import (
    Add,
    AddElements,
    AdvanceProcessingTime,
    AdvanceWatermark,
    AfterCount,
    Bounded,
    Cell,
    ClearPart,
    ClearTimer,
    Element,
    Emit,
    EmitKeys,
    EmitPart,
    Event,
    Family,
    Fixed,
    Flatten,
    GroupByKey,
    Observe,
    Op,
    ParDo,
    Repeat,
    Script,
    Sessions,
    SetTimer,
    SideInput,
    Sliding,
    Splittable,
    Stateful,
    Step,
    Windowing,
    WindowInto,
)
from conformance.wire.values import NO_FIRING, IntervalWindow, Pane, Timing

E, O, L = Timing.EARLY, Timing.ON_TIME, Timing.LATE
ONLY = Pane(True, True, O, 0, 0)
W0, W1 = IntervalWindow(0, 10), IntervalWindow(10, 20)
FIXED = Windowing(Fixed(10))
Outcome = dict[str, list[Seen]]


def add(*elements: tuple[Any, int], output: int = 0) -> AddElements:
    return AddElements(tuple(Element(value, timestamp) for value, timestamp in elements), output)


def wm(to: int, output: int = 0) -> AdvanceWatermark:
    return AdvanceWatermark(to, output)


def pt(by: int) -> AdvanceProcessingTime:
    return AdvanceProcessingTime(by)


def pane(timing: Timing, index: int, ns: int, *, last: bool = False) -> Pane:
    return Pane(index == 0, last, timing, index, ns)


def group(values: list[Any], at: int, window: IntervalWindow, label: Pane = ONLY) -> Seen:
    return Seen((0, values), at, window, label)


# ----------------------------------------------------------------------------------------------------------------- chains

COUNT = evolve(FIXED, trigger=Repeat(AfterCount(1)), allowed_lateness=20)
#: 1@1, then the end of the window, then 2@2: an early or on-time pane, and a late one; grouped again by the sum of each pane.
CHAIN = Program(
    (
        Script("s", (add((1, 1)), wm(11), add((2, 2)))),
        WindowInto("w", "s", COUNT),
        ParDo("k", "w", "key_constant", 0),
        GroupByKey("g", "k"),
        Observe("first", "g"),
        ParDo("u", "g", "group_sum"),
        GroupByKey("h", "u"),
        Observe("second", "h"),
    )
)
FIRST = [group([1], 9, W0, pane(E, 0, -1)), group([2], 9, W0, pane(O, 1, 0))]
REWINDOWED = Program((*CHAIN.steps[:6], WindowInto("x", "u", Windowing(Fixed(10))), GroupByKey("h", "x"), Observe("second", "h")))

CHAINS: list[tuple[str, Program, list[Seen], str]] = [
    (
        "the second fires for each pane of the first",
        CHAIN,
        [group([1], 9, W0, pane(E, 0, -1)), group([2], 9, W0, pane(O, 1, 0))],
        "",
    ),
    (
        "the pane after the window's end, to a second that says LATE",
        CHAIN,
        [group([1], 9, W0, pane(E, 0, -1)), group([2], 9, W0, pane(L, 1, 0))],
        "",
    ),
    ("the second loses a late pane that its lateness allows", CHAIN, [group([1], 9, W0, pane(E, 0, -1))], "M-PANE-08"),
    ("the second takes two panes of two events together", CHAIN, [group([1, 2], 9, W0, pane(O, 0, 0))], "M-TRIG-02"),
    ("a lateness of none drops the late pane", REWINDOWED, [group([1], 9, W0)], ""),
    (
        "a lateness of none, and the late pane comes out",
        REWINDOWED,
        [group([1], 9, W0), group([2], 9, W0, pane(L, 1, 1))],
        "M-LATE-03",
    ),
    ("the pane that was held is dropped", REWINDOWED, [], "M-PANE-08"),
]


@pytest.mark.parametrize(("of", "second", "rule"), [c[1:] for c in CHAINS], ids=[c[0] for c in CHAINS])
def test_chains(of: Program, second: list[Seen], rule: str) -> None:
    first = [FIRST[0], evolve(FIRST[1], pane=pane(L, 1, 0))] if rule == "M-LATE-03" or of is REWINDOWED else FIRST
    verdict = judge(of, {"first": first, "second": second})
    assert verdict.rule == rule, verdict.sentence


def test_what_is_not_observed_is_not_grouped_again() -> None:
    with pytest.raises(UnsupportedProgram, match="put an Observe"):
        judge(Program(tuple(step for step in CHAIN if step.id != "first")), {})


def test_the_watermark_that_makes_a_pane_late_is_that_of_all_keys() -> None:
    """M-PANE-03: the window [13, 23) of key 1 holds the output watermark at 13, past the end of [3, 13) and not of [3, 18)."""
    windowing = Windowing(Sessions(10), allowed_lateness=1000, output_time="latest")
    of = Program(
        (
            Script("s", (wm(12), add((1, 13)), wm(22), add((6, 3)), add((6, 8)))),
            WindowInto("w", "s", windowing),
            ParDo("k", "w", "key_mod", 2),
            GroupByKey("g", "k"),
            Observe("o", "g"),
        )
    )
    first, grown = (
        Seen((0, [6]), 12, IntervalWindow(3, 13), pane(L, 0, 0)),
        Seen((0, [6]), 17, IntervalWindow(3, 18), pane(O, 0, 0)),
    )
    other = Seen((1, [1]), 13, IntervalWindow(13, 23), pane(O, 0, 0))
    assert judge(of, {"o": [first, grown, other]}).ok
    assert judge(of, {"o": [first, evolve(grown, pane=pane(E, 0, -1)), other]}).rule == "M-PANE-03"


def test_what_can_be_held_depends_on_the_watermark_of_all_keys_and_windows() -> None:
    """M-HOLD-02: 5@14 waits for a second element in [5, 15), and holds the output watermark at 14 past the end of that window; so
    1@14, late at 16, could be held in [10, 20). Were [10, 20) the only window it could not."""
    windowing = Windowing(Sliding(10, 5), Repeat(AfterCount(2)), allowed_lateness=5, on_time="if_nonempty", output_time="latest")

    def of(windowing: Windowing) -> Program:
        return Program(
            (
                Script("s", (add((5, 14)), wm(16), add((3, 19)), add((1, 14)))),
                WindowInto("w", "s", windowing),
                ParDo("k", "w", "key_constant", 0),
                GroupByKey("g", "k"),
                Observe("o", "g"),
            )
        )

    early, rest = Seen((0, [5, 3]), 19, W1, pane(E, 0, -1)), Seen((0, [1]), 14, W1, pane(O, 1, 0, last=True))
    others = [
        Seen((0, [5, 1]), 14, IntervalWindow(5, 15), pane(O, 0, 0)),
        Seen((0, [3]), 19, IntervalWindow(15, 25), pane(O, 0, 0, last=True)),
    ]
    assert judge(of(windowing), {"o": [early, rest, *others]}).ok
    assert judge(of(windowing), {"o": [early, evolve(rest, timestamp=19), *others]}).ok
    assert judge(of(windowing), {"o": [early, evolve(rest, timestamp=16), *others]}).rule == "M-HOLD-01"
    alone = of(evolve(windowing, fn=Fixed(10), accumulation="accumulating"))
    whole = evolve(rest, value=(0, [5, 3, 1]))
    assert judge(alone, {"o": [early, evolve(whole, timestamp=19)]}).ok
    assert judge(alone, {"o": [early, whole]}).rule == "M-HOLD-01"


# ----------------------------------------------------------------------------------------------------------------- sources

#: The example of M-WM-11: two sources, flattened.
SOURCES = Program(
    (
        Script("s", (add((1, 3)), wm(20), add((2, 4), output=1), wm(10, output=1), add((3, 5), output=1)), "int", 2),
        Flatten("f", ("s#0", "s#1")),
        WindowInto("w", "f", FIXED),
        ParDo("k", "w", "key_constant", 0),
        GroupByKey("g", "k"),
        Observe("o", "g"),
    )
)


@pytest.mark.parametrize(
    ("outcome", "rule"),
    [
        ([group([1, 2], 9, W0)], ""),
        ([group([1], 9, W0)], "M-PANE-08"),  # the watermark of one source taken for both
        ([group([1, 2, 3], 9, W0)], "M-LATE-03"),  # the end of the window not noticed
        ([group([1, 2], 9, W0, pane(E, 0, -1))], "M-PANE-03"),
    ],
)
def test_the_watermark_of_a_flatten_is_the_least(outcome: list[Seen], rule: str) -> None:
    assert judge(SOURCES, {"o": outcome}).rule == rule


def test_a_bounded_source_beside_a_script_is_on_time_and_does_not_hold() -> None:
    of = Program(
        (
            Script("s", (wm(8), add((2, 9)), wm(11))),
            Bounded("b", (Element(1, 1),)),
            Flatten("f", ("s", "b")),
            WindowInto("w", "f", evolve(FIXED, output_time="earliest")),
            ParDo("k", "w", "key_constant", 0),
            GroupByKey("g", "k"),
            Observe("o", "g"),
        )
    )
    assert judge(of, {"o": [group([1, 2], 1, W0)]}).ok
    assert judge(of, {"o": [group([2], 9, W0)]}).rule == "M-PANE-08"
    assert judge(of, {"o": [group([1, 2], 8, W0)]}).rule == "M-HOLD-01"


# ----------------------------------------------------------------------------------------------------------------- state


def state(
    *events: Event, lateness: int = 0, kind: str = "bag", after: tuple[Step, ...] = (), size: int = 10, **step: Any
) -> Program:
    """A script into a stateful ParDo under one key."""
    made = Stateful("d", "k", (Cell("c", kind),), **step)
    return Program(
        (
            Script("s", events),
            WindowInto("w", "s", Windowing(Fixed(size), allowed_lateness=lateness)),
            ParDo("k", "w", "key_constant", 0),
            made,
            Observe("o", "d"),
            *after,
        )
    )


def out(label: str, *values: int, at: int, window: IntervalWindow = W0) -> Seen:
    return Seen((0, (label, [(0, (0, value)) for value in values])), at, window, NO_FIRING)


def entries(label: str, *entries: tuple[int, tuple[int, int]], at: int) -> Seen:
    return Seen((0, (label, list(entries))), at, W0, NO_FIRING)


ADD_AND_TELL: tuple[Op, ...] = (Add("c"), Emit("c", "now"))
#: The timeline of M-TIMER-19b: L = 5, timers at 9 and at 14 (the expiry), expiration after it.
TIMELINE = state(
    add((1, 3)),
    wm(8),
    wm(11),
    add((2, 4)),
    wm(13),
    wm(17),
    add((3, 5)),
    lateness=5,
    on_element=(*ADD_AND_TELL, SetTimer("a", 6), SetTimer("b", 100, until="expiry")),
    on_timer=(Emit("c", "fired"),),
    on_expiration=(Emit("c", "end"),),
)
TIMELINE_OK = [
    out("now", 1, at=3),
    out("fired:a", 1, at=9),
    out("now", 1, 2, at=4),
    out("fired:a", 1, 2, at=9),
    out("fired:b", 1, 2, at=14),
    out("end", 1, 2, at=9),
]


def changed(outcome: list[Seen], index: int, *instead: Seen) -> list[Seen]:
    return [*outcome[:index], *instead, *outcome[index + 1 :]]


CLOCKED = state(
    add((1, 3)),
    pt(7_000),
    add((2, 4)),
    pt(40_000),
    on_element=(Add("c"), SetTimer("t", 30_000, "clock")),
    on_timer=(Emit("c", "fired"),),
    families=(Family("clock", "processing"),),
)
HELD = state(
    add((1, 3)),
    wm(8),
    wm(10),
    on_element=(Add("c"), SetTimer("t", 4, hold=1)),
    on_timer=(Emit("c", "fired"),),
    after=(GroupByKey("g", "d"), Observe("p", "g")),
)
SORTED = state(
    add((7, 7), (3, 3)),
    add((5, 5)),
    wm(4),
    wm(6),
    add((2, 2)),
    wm(8),
    size=100,
    on_element=ADD_AND_TELL,
    time_sorted=True,
)
W100 = IntervalWindow(0, 100)
SORTED_OK = [
    out("now", 3, at=3, window=W100),
    out("now", 3, 5, at=5, window=W100),
    out("now", 3, 5, 7, at=7, window=W100),
]
FAMILIES = state(
    add((1, 3)),
    on_element=(Add("c"), SetTimer("t", 1), SetTimer("t", 2, "others"), SetTimer("u", 3), ClearTimer("u")),
    on_timer=(Emit("c", "fired"),),
    families=(Family("timers"), Family("others")),
)
NEVER_SET = state(
    add((1, 3)),
    pt(40_000),
    on_element=(Add("c"), ClearTimer("u", "others")),
    on_timer=(Emit("c", "timer"),),
    families=(Family("timers"), Family("others", "processing")),
)
IN_ORDER = state(add((1, 3)), add((2, 1)), on_element=ADD_AND_TELL)
TWO = state(
    add((1, 3)),
    on_element=(Add("c"), SetTimer("t", 1), SetTimer("t", 2, "others")),
    on_timer=(Emit("c", "fired"),),
    families=(Family("timers"), Family("others")),
)
MAP = state(add((1, 1)), add((4, 2)), on_element=(Add("c"), EmitPart("c", "part"), EmitKeys("c", "keys")), kind="map")
LIST = state(add((1, 1)), add((2, 8)), on_element=(ClearPart("c"), Add("c"), Emit("c", "now")), kind="ordered_list")
SET = state(add((1, 1)), add((1, 2)), on_element=(Add("c"), Emit("c", "now"), ClearPart("c"), EmitPart("c", "gone")), kind="set")

STATES: list[tuple[str, Program, list[Seen], str]] = [
    ("the timeline", TIMELINE, TIMELINE_OK, ""),
    (
        "state gone at the end of the window",
        TIMELINE,
        [*TIMELINE_OK[:2], out("now", 2, at=4), out("fired:a", 2, at=9), out("fired:b", at=14), out("end", at=9)],
        "M-STATE-13",
    ),
    (
        "an element of the expired window",
        TIMELINE,
        [*TIMELINE_OK, out("now", 3, at=5), out("fired:a", 3, at=9), out("fired:b", 3, at=14)],
        "M-LATE-05",
    ),
    (
        "an element within the lateness dropped",
        TIMELINE,
        [*TIMELINE_OK[:2], out("fired:b", 1, at=14), out("end", 1, at=9)],
        "M-LATE-05",
    ),
    ("a timer ahead of the watermark", TIMELINE, [*TIMELINE_OK, out("fired:b", 1, at=14)], "M-TIMER-10"),
    ("a timer not fired", TIMELINE, changed(TIMELINE_OK, 1), "M-TIMER-10"),
    ("no expiration", TIMELINE, TIMELINE_OK[:-1], "M-STATE-18"),
    ("two expirations", TIMELINE, [*TIMELINE_OK, TIMELINE_OK[-1]], "M-STATE-18"),
    (
        "the expiration at the end of the window",
        TIMELINE,
        [*TIMELINE_OK[:2], out("end", 1, at=9), out("now", 2, at=4), out("fired:a", 2, at=9), out("fired:b", 2, at=14)],
        "M-STATE-18",
    ),
    ("the clock, set anew by the second element", CLOCKED, [out("fired:clock:t", 1, 2, at=4)], ""),
    ("the clock ahead", CLOCKED, [out("fired:clock:t", 1, at=3), out("fired:clock:t", 1, 2, at=4)], "M-TIMER-25"),
    ("the clock not heeded", CLOCKED, [], "M-TIMER-10"),
    ("by time", SORTED, SORTED_OK, ""),
    (
        "as they came",
        SORTED,
        [
            out("now", 7, at=7, window=W100),
            out("now", 3, 7, at=3, window=W100),
            out("now", 3, 5, 7, at=5, window=W100),
            out("now", 2, 3, 5, 7, at=2, window=W100),
        ],
        "M-STATE-16",
    ),
    ("families and tags apart", FAMILIES, [out("fired:t", 1, at=4), out("fired:others:t", 1, at=5)], ""),
    ("a family lost to the other", TWO, [out("fired:others:t", 1, at=5)], "M-TIMER-01"),
    (
        "a cleared timer",
        FAMILIES,
        [out("fired:t", 1, at=4), out("fired:others:t", 1, at=5), out("fired:u", 1, at=6)],
        "M-TIMER-04",
    ),
    (
        "a timer that was cleared and never set",
        NEVER_SET,
        [out("timer:others:u", 1, at=0)],
        "M-TIMER-04",
    ),
    ("nothing of it", NEVER_SET, [], ""),
    ("events in their order", IN_ORDER, [out("now", 1, at=3), out("now", 1, 2, at=1)], ""),
    ("events out of order", IN_ORDER, [out("now", 2, at=1), out("now", 1, 2, at=3)], "M-TS-01"),
    (
        "a map",
        MAP,
        [
            *(entries("part", (0, (1, 1)), at=1), entries("keys", (0, (1, 0)), at=1)),
            *(entries("part", (0, (1, 4)), at=2), entries("keys", (0, (1, 0)), at=2)),
        ],
        "",
    ),
    (
        "a map that keeps both",
        MAP,
        [
            *(entries("part", (0, (1, 1)), at=1), entries("keys", (0, (1, 0)), at=1)),
            *(entries("part", (0, (1, 1)), (0, (1, 4)), at=2), entries("keys", (0, (1, 0)), at=2)),
        ],
        "M-STATE-11",
    ),
    ("a range", LIST, [entries("now", (0, (1, 1)), at=1), entries("now", (0, (1, 1)), (1, (8, 2)), at=8)], ""),
    ("a range that takes all", LIST, [entries("now", (0, (1, 1)), at=1), entries("now", (0, (8, 2)), at=8)], "M-STATE-10"),
    (
        "a list read backwards",
        LIST,
        [entries("now", (0, (1, 1)), at=1), entries("now", (0, (8, 2)), (1, (1, 1)), at=8)],
        "M-STATE-04",
    ),
    (
        "a member taken out",
        SET,
        [out("now", 1, at=1), out("gone", at=1), out("now", 1, at=2), out("gone", at=2)],
        "",
    ),
    (
        "a member not taken out",
        SET,
        [out("now", 1, at=1), out("gone", 1, at=1), out("now", 1, at=2), out("gone", 1, at=2)],
        "M-STATE-10",
    ),
]


@pytest.mark.parametrize(("of", "outcome", "rule"), [c[1:] for c in STATES], ids=[c[0] for c in STATES])
def test_state(of: Program, outcome: list[Seen], rule: str) -> None:
    verdict = judge(of, {"o": outcome})
    assert verdict.rule == rule, verdict.sentence


def test_a_timer_at_the_watermark_may_fire_and_is_remarked() -> None:
    """A-1: told apart by what the second element finds."""
    of = state(add((1, 3)), wm(5), add((2, 6)), on_element=(Add("c"), SetTimer("t", 2)), on_timer=(Emit("c", "fired"),))
    fires = judge(of, {"o": [out("fired:t", 1, at=5), out("fired:t", 1, 2, at=8)]})
    waits = judge(of, {"o": [out("fired:t", 1, 2, at=8)]})
    assert fires.ok
    assert waits.ok
    assert any("A-1" in info for info in fires.infos)
    assert not waits.infos


def test_a_processing_time_timer_at_the_end_of_input_may_fire_or_not() -> None:
    of = state(
        add((1, 3)),
        on_element=(Add("c"), SetTimer("t", 30_000, "clock")),
        on_timer=(Emit("c", "fired"),),
        families=(Family("clock", "processing"),),
    )
    assert judge(of, {"o": []}).ok
    assert judge(of, {"o": [out("fired:clock:t", 1, at=3)]}).ok
    assert not judge(of, {"o": [out("fired:clock:t", 1, at=3)] * 2}).ok


def test_what_a_timer_holds_is_on_time_for_a_grouping() -> None:
    """The timer at 7 holds at 4; its output joins the window although the watermark was at 8 when it fired."""
    fired = out("fired:t", 1, at=4)
    grouped = group([fired.value[1]], 9, W0)
    assert judge(HELD, {"o": [fired], "p": [grouped]}).ok
    assert judge(HELD, {"o": [evolve(fired, timestamp=7)], "p": [grouped]}).rule == "M-TIMER-20"
    assert judge(HELD, {"o": [fired], "p": []}).rule == "M-PANE-08"
    assert judge(HELD, {"o": [fired], "p": [evolve(grouped, pane=pane(L, 0, 0))]}).rule == "M-PANE-03"


# ----------------------------------------------------------------------------------------------------------------- side inputs


def sides(*events: Event, side: Windowing = FIXED, view: str = "iterable") -> Program:
    return Program(
        (
            Script("s", events, "int", 2),
            WindowInto("m", "s#0", FIXED),
            WindowInto("v", "s#1", side),
            SideInput("i", "m", "v", view),
            Observe("o", "i"),
        )
    )


def sight(value: int, at: int, *values: int) -> Seen:
    return Seen((value, list(values)), at, W0)


#: The example of M-SIDE-05: the main element waits for the pane, or for the watermark that lets none come.
WAITS = sides(add((1, 4)), add((2, 6), output=1), wm(10, output=1))
EMPTY = sides(add((1, 4)), wm(10, output=1), add((2, 6), output=1))
EARLY = evolve(FIXED, trigger=Repeat(AfterCount(1)), on_time="if_nonempty")
PANES = sides(add((2, 6), output=1), add((3, 7), output=1), add((1, 4)), side=EARLY)
MOUNTING = sides(add((2, 6), output=1), add((3, 7), output=1), add((1, 4)), side=evolve(EARLY, accumulation="accumulating"))

SIDES: list[tuple[str, Program, list[Seen], str]] = [
    ("waits for the pane", WAITS, [sight(1, 4, 2)], ""),
    ("does not wait", WAITS, [sight(1, 4)], "M-SIDE-05"),
    ("nothing can come", EMPTY, [sight(1, 4)], ""),
    ("waits too long", EMPTY, [], "M-XF-18"),
    ("sees what is in another window", EMPTY, [sight(1, 4, 9)], "M-SIDE-03"),
    ("the first pane", PANES, [sight(1, 4, 2)], ""),
    ("the newest pane", PANES, [sight(1, 4, 3)], ""),
    ("both panes, A-26", PANES, [sight(1, 4, 2, 3)], ""),
    ("nothing though a pane was there", PANES, [sight(1, 4)], "M-SIDE-05"),
    ("a value twice", PANES, [sight(1, 4, 2, 2)], "M-SIDE-08"),
    ("the accumulated pane", MOUNTING, [sight(1, 4, 2, 3)], ""),
    ("panes of an accumulating view mixed", MOUNTING, [sight(1, 4, 2, 2, 3)], "M-SIDE-08"),
    ("only what the newest pane added", MOUNTING, [sight(1, 4, 3)], "M-SIDE-08"),
    ("the element twice", PANES, [sight(1, 4, 2), sight(1, 4, 2)], "M-XF-18"),
]


@pytest.mark.parametrize(("of", "outcome", "rule"), [c[1:] for c in SIDES], ids=[c[0] for c in SIDES])
def test_side_inputs(of: Program, outcome: list[Seen], rule: str) -> None:
    verdict = judge(of, {"o": outcome})
    assert verdict.rule == rule, verdict.sentence


# ----------------------------------------------------------------------------------------------------------------- splittable

SPLIT = Program(
    (
        Bounded("s", (Element(3, -9), Element(0, -9))),
        Splittable("x", "s", 2, 1, 0, 5, 4),
        Observe("o", "x"),
        WindowInto("w", "x", FIXED),
        GroupByKey("g", "w"),
        Observe("p", "g"),
    )
)
POSITIONS = [Seen((3, 0), 5), Seen((3, 1), 9), Seen((3, 2), 13)]
SPLIT_GROUPS = [Seen((3, [0, 1]), 9, W0, Pane(True, True, O, 0, 0)), Seen((3, [2]), 19, W1, Pane(True, True, O, 0, 0))]


@pytest.mark.parametrize(
    ("positions", "groups", "rule"),
    [
        (POSITIONS, SPLIT_GROUPS, ""),
        (POSITIONS[:2], SPLIT_GROUPS, "M-SDF-02"),
        ([*POSITIONS, POSITIONS[1]], SPLIT_GROUPS, "M-SDF-02"),
        ([*POSITIONS[:2], Seen((3, 2), 5)], SPLIT_GROUPS, "M-TIME-07"),
        (POSITIONS, [evolve(SPLIT_GROUPS[0], value=(3, [0])), SPLIT_GROUPS[1]], "M-BATCH-04"),
        (POSITIONS, SPLIT_GROUPS[:1], "M-BATCH-04"),
    ],
)
def test_splittable(positions: list[Seen], groups: list[Seen], rule: str) -> None:
    assert judge(SPLIT, {"o": positions, "p": groups}).rule == rule


def test_a_splittable_step_begins_no_earlier_than_its_elements() -> None:
    late = Program((Bounded("s", (Element(3, 6),)), *SPLIT.steps[1:]))
    with pytest.raises(UnsupportedProgram, match="begins at 5 before its elements"):
        judge(late, {})
