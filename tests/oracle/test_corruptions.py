"""The oracle must be able to fail: seeded corruptions of legal outcomes, each with the rule that the verdict must name."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import pytest
from attrs import evolve
from hypothesis import HealthCheck, Phase, assume, given, settings
from hypothesis import strategies as st

from conformance.oracle import Program, Seen, judge
from conformance.oracle import strategies as families
from conformance.oracle.program import (
    Add,
    AfterCount,
    AfterEndOfWindow,
    Bounded,
    Cell,
    Clear,
    ClearTimer,
    Combine,
    Element,
    Emit,
    Fixed,
    Flatten,
    Global,
    GroupByKey,
    Never,
    Observe,
    ParDo,
    Repeat,
    Reshuffle,
    Sessions,
    SetTimer,
    SideInput,
    Sliding,
    Stateful,
    Step,
    Trigger,
    WhenSize,
    Windowing,
    WindowInto,
)
from conformance.oracle.windows import assign
from conformance.wire.timestamps import GLOBAL_WINDOW_MAX
from conformance.wire.values import GLOBAL_WINDOW, NO_FIRING, IntervalWindow, Pane, Timing
from tests.oracle.naive import execute

E, O, L = Timing.EARLY, Timing.ON_TIME, Timing.LATE
ONLY = Pane(True, True, O, 0, 0)
W0, W1 = IntervalWindow(0, 10), IntervalWindow(10, 20)
Outcome = list[Seen]


def pane(timing: Timing, index: int, ns: int, *, last: bool = False) -> Pane:
    return Pane(index == 0, last, timing, index, ns)


def program(*steps: Step, elements: tuple[tuple[Any, int], ...], windowing: Windowing | None = None) -> Program:
    """Source s, keyed k by value modulo 2, windowed w, then the steps."""
    return Program(
        (
            Bounded("s", tuple(Element(v, t) for v, t in elements)),
            ParDo("k", "s", "key_mod", 2),
            WindowInto("w", "k", windowing or Windowing(Fixed(10))),
            *steps,
        )
    )


def rule_of(of: Program, outcome: Outcome) -> str:
    verdict = judge(of, {"o": outcome})
    assert verdict.ok == (verdict.rule == "")
    assert verdict.ok or (verdict.sentence and verdict.observer == "o")
    return verdict.rule


# ------------------------------------------------------------------------------------------------------------- groupings

G, O_G = GroupByKey("g", "w"), Observe("o", "g")
GROUPED = program(G, O_G, elements=((2, 1), (4, 3), (3, 5), (6, 12)))
GROUPED_OK: Outcome = [Seen((0, [2, 4]), 9, W0, ONLY), Seen((1, [3]), 9, W0, ONLY), Seen((0, [6]), 19, W1, ONLY)]


def change(outcome: Outcome, index: int, **changes: Any) -> Outcome:
    return [evolve(s, **changes) if i == index else s for i, s in enumerate(outcome)]


def without(outcome: Outcome, index: int) -> Outcome:
    return [s for i, s in enumerate(outcome) if i != index]


GROUPING_CORRUPTIONS: list[tuple[str, Outcome, str]] = [
    ("as it should be", GROUPED_OK, ""),
    ("values in another order", change(GROUPED_OK, 0, value=(0, [4, 2])), ""),
    ("a pane without labels", change(GROUPED_OK, 0, pane=NO_FIRING), ""),
    ("a pane not marked last", change(GROUPED_OK, 0, pane=pane(O, 0, 0)), ""),
    ("an iterable missing one", change(GROUPED_OK, 0, value=(0, [2])), "M-BATCH-04"),
    ("a group missing", without(GROUPED_OK, 1), "M-BATCH-04"),
    ("nothing at all", [], "M-BATCH-04"),
    ("a value twice in an iterable", change(GROUPED_OK, 0, value=(0, [2, 4, 4])), "M-ORC-02"),
    ("a group twice", [*GROUPED_OK, GROUPED_OK[0]], "M-PANE-11"),
    ("a value from nowhere", change(GROUPED_OK, 1, value=(1, [3, 99])), "M-WIN-16"),
    ("a key from nowhere", [*GROUPED_OK, Seen((7, [1]), 9, W0, ONLY)], "M-TRIG-05"),
    ("a key in a window it was not in", change(GROUPED_OK, 1, window=W1, timestamp=19), "M-TRIG-05"),
    ("two windows in one group", [Seen((0, [2, 4, 6]), 9, W0, ONLY), GROUPED_OK[1]], "M-WIN-16"),
    ("two keys in one group", [Seen((0, [2, 4, 3]), 9, W0, ONLY), GROUPED_OK[2]], "M-WIN-16"),
    ("a key split into two groups", [Seen((0, [2]), 9, W0, ONLY), Seen((0, [4]), 9, W0, ONLY), *GROUPED_OK[1:]], "M-PANE-04"),
    (
        "split, and numbered",
        [Seen((0, [2]), 9, W0, pane(E, 0, -1)), Seen((0, [4]), 9, W0, pane(O, 1, 0, last=True)), *GROUPED_OK[1:]],
        "M-TRIG-06",
    ),
    ("stamped with the end, not the last instant", change(GROUPED_OK, 0, timestamp=10), "M-HOLD-04"),
    ("stamped one early", change(GROUPED_OK, 0, timestamp=8), "M-HOLD-04"),
    ("stamped by the earliest element", change(GROUPED_OK, 0, timestamp=1), "M-HOLD-04"),
    ("an EARLY only pane", change(GROUPED_OK, 0, pane=Pane(True, True, E, 0, -1)), "M-BATCH-06"),
    ("a LATE only pane", change(GROUPED_OK, 0, pane=Pane(True, True, L, 0, 0)), "M-BATCH-06"),
    ("a pane that is not first", change(GROUPED_OK, 0, pane=Pane(False, True, O, 0, 0)), "M-PANE-04"),
    ("an index that starts at 1", change(GROUPED_OK, 0, pane=Pane(False, True, O, 1, 0)), "M-PANE-04"),
    ("a wrong non-speculative index", change(GROUPED_OK, 0, pane=Pane(True, True, O, 0, 1)), "M-PANE-04"),
    ("a key as a group", change(GROUPED_OK, 0, value=(0, 2)), "M-COMB-01"),
]


@pytest.mark.parametrize(("outcome", "rule"), [c[1:] for c in GROUPING_CORRUPTIONS], ids=[c[0] for c in GROUPING_CORRUPTIONS])
def test_groupings(outcome: Outcome, rule: str) -> None:
    assert rule_of(GROUPED, outcome) == rule


COMBINED = program(Combine("g", "w", "sum_squared"), O_G, elements=((2, 1), (4, 3), (3, 5)))
COMBINE_CORRUPTIONS: list[tuple[str, Outcome, str]] = [
    ("as it should be", [Seen((0, 36), 9, W0, ONLY), Seen((1, 9), 9, W0, ONLY)], ""),
    ("extracted twice", [Seen((0, 1296), 9, W0, ONLY), Seen((1, 9), 9, W0, ONLY)], "M-COMB-01"),
    ("extracted before merging", [Seen((0, 20), 9, W0, ONLY), Seen((1, 9), 9, W0, ONLY)], "M-COMB-01"),
    ("counted twice", [Seen((0, 144), 9, W0, ONLY), Seen((1, 9), 9, W0, ONLY)], "M-COMB-01"),
    ("one accumulator lost", [Seen((0, 16), 9, W0, ONLY), Seen((1, 9), 9, W0, ONLY)], "M-COMB-01"),
    ("put out twice", [Seen((0, 36), 9, W0, ONLY)] * 2 + [Seen((1, 9), 9, W0, ONLY)], "M-PANE-04"),
    ("a key lost", [Seen((0, 36), 9, W0, ONLY)], "M-BATCH-04"),
]


@pytest.mark.parametrize(("outcome", "rule"), [c[1:] for c in COMBINE_CORRUPTIONS], ids=[c[0] for c in COMBINE_CORRUPTIONS])
def test_combines(outcome: Outcome, rule: str) -> None:
    assert rule_of(COMBINED, outcome) == rule


def session(start: int, end: int, *values: int, key: int = 0, at: int | None = None) -> Seen:
    return Seen((key, list(values)), end - 1 if at is None else at, IntervalWindow(start, end), ONLY)


SESSION_CORRUPTIONS: list[tuple[str, tuple[tuple[int, int], ...], Outcome, str]] = [
    ("overlapping", ((0, 0), (2, 9)), [session(0, 19, 0, 2)], ""),
    ("touching stay apart", ((0, 0), (2, 10)), [session(0, 10, 0), session(10, 20, 2)], ""),
    ("touching merged", ((0, 0), (2, 10)), [session(0, 20, 0, 2)], "M-WIN-08"),
    ("apart but merged", ((0, 0), (2, 30)), [session(0, 40, 0, 2)], "M-WIN-08"),
    ("transitive", ((0, 0), (2, 14), (4, 7)), [session(0, 24, 0, 2, 4)], ""),
    ("not merged transitively", ((0, 0), (2, 14), (4, 7)), [session(0, 17, 0, 4), session(14, 24, 2)], "M-WIN-08"),
    ("not merged at all", ((0, 0), (2, 5)), [session(0, 10, 0), session(5, 15, 2)], "M-WIN-08"),
    ("both parts put out besides the whole", ((0, 0), (2, 5)), [session(0, 15, 0, 2), session(0, 10, 0)], "M-WIN-08"),
    ("a window that is no hull", ((0, 0), (2, 5)), [session(0, 16, 0, 2)], "M-WIN-09"),
    ("merged across keys", ((0, 0), (1, 5)), [session(0, 15, 0, 1)], "M-WIN-09"),
    ("keys apart", ((0, 0), (1, 5)), [session(0, 10, 0), session(5, 15, 1, key=1)], ""),
    ("stamped with the proto-window", ((0, 0), (2, 5)), [session(0, 15, 0, 2, at=9)], "M-HOLD-04"),
    ("one element lost", ((0, 0), (2, 5)), [session(0, 15, 0)], "M-BATCH-04"),
]


@pytest.mark.parametrize(
    ("elements", "outcome", "rule"), [c[1:] for c in SESSION_CORRUPTIONS], ids=[c[0] for c in SESSION_CORRUPTIONS]
)
def test_sessions(elements: tuple[tuple[int, int], ...], outcome: Outcome, rule: str) -> None:
    assert rule_of(program(G, O_G, elements=elements, windowing=Windowing(Sessions(10))), outcome) == rule


OUTPUT_TIMES = [("end_of_window", 9), ("earliest", 1), ("latest", 3)]


@pytest.mark.parametrize(("output_time", "right"), OUTPUT_TIMES)
@pytest.mark.parametrize("stamp", [1, 3, 9, 0, 2, 4, 10])
def test_output_times(output_time: str, right: int, stamp: int) -> None:
    of = program(G, O_G, elements=((2, 1), (4, 3)), windowing=Windowing(Fixed(10), output_time=output_time))
    assert (rule_of(of, [Seen((0, [2, 4]), stamp, W0, ONLY)]) == "") == (stamp == right)


@pytest.mark.parametrize(("stamp", "rule"), [(0, ""), (-1, ""), (1, "M-HOLD-04"), (-2, "M-HOLD-04")])
def test_the_end_of_the_global_window_may_be_a_millisecond_early(stamp: int, rule: str) -> None:
    of = program(G, O_G, elements=((2, 1),), windowing=Windowing(Global()))
    assert rule_of(of, [Seen((0, [2]), GLOBAL_WINDOW_MAX + stamp, GLOBAL_WINDOW, ONLY)]) == rule


# ------------------------------------------------------------------------------------------------------------- panes

AFTER_2 = Repeat(AfterCount(2))
EOW_EARLY = AfterEndOfWindow(early=AfterCount(2))


def panes(*rows: tuple[list[int], Pane], at: int = 9) -> Outcome:
    return [Seen((0, values), at, W0, label) for values, label in rows]


#: name, strategy, panes of key 0 in [0, 10) given 0 @1, 2 @2, 4 @3, rule
PANES: list[tuple[str, dict[str, Any], Outcome, str]] = [
    ("one pane, whatever the trigger", {"trigger": AFTER_2}, panes(([0, 2, 4], ONLY)), ""),
    ("early, then the rest", {"trigger": AFTER_2}, panes(([0, 4], pane(E, 0, -1)), ([2], pane(O, 1, 0, last=True))), ""),
    ("all early, A-3 leaves out the empty one", {"trigger": AFTER_2}, panes(([0, 2, 4], pane(E, 0, -1))), ""),
    (
        "all early, then the empty one",
        {"trigger": AFTER_2},
        panes(([0, 2, 4], pane(E, 0, -1)), ([], pane(O, 1, 0, last=True))),
        "",
    ),
    (
        "an empty ON_TIME pane that nobody asked for",
        {"trigger": AFTER_2, "on_time": "if_nonempty"},
        panes(([0, 2, 4], pane(E, 0, -1)), ([], pane(O, 1, 0, last=True))),
        "M-PANE-06",
    ),
    (
        "an empty final pane that nobody asked for",
        {"trigger": EOW_EARLY, "allowed_lateness": 20},
        panes(([0, 2, 4], ONLY), ([], pane(L, 1, 1, last=True))),
        "M-PANE-05",
    ),
    (
        "an empty final pane under EMIT_IF_NONEMPTY",
        {"trigger": EOW_EARLY, "allowed_lateness": 20},
        panes(([0, 2, 4], pane(O, 0, 0)), ([], pane(L, 1, 1, last=True))),
        "M-PANE-06",
    ),
    (
        "an empty final pane under EMIT_ALWAYS",
        {"allowed_lateness": 20, "closing": "always"},
        panes(([0, 2, 4], pane(O, 0, 0)), ([], pane(L, 1, 1, last=True))),
        "",
    ),
    (
        "an early pane below the count",
        {"trigger": AFTER_2},
        panes(([0], pane(E, 0, -1)), ([2, 4], pane(O, 1, 0, last=True))),
        "M-TRIG-13",
    ),
    ("the leftover lost", {"trigger": AFTER_2}, panes(([0, 2], pane(E, 0, -1))), "M-BATCH-04"),
    (
        "a value in both panes",
        {"trigger": AFTER_2},
        panes(([0, 2], pane(E, 0, -1)), ([2, 4], pane(O, 1, 0, last=True))),
        "M-PANE-11",
    ),
    ("the index starts again", {"trigger": AFTER_2}, panes(([0, 2], pane(E, 0, -1)), ([4], ONLY)), "M-PANE-04"),
    ("last, and another", {"trigger": AFTER_2}, panes(([0, 2], pane(E, 0, -1, last=True)), ([4], pane(O, 1, 0))), "M-PANE-05"),
    ("ON_TIME before EARLY", {"trigger": AFTER_2}, panes(([0, 2], pane(O, 0, 0)), ([4], pane(E, 1, -1, last=True))), "M-PANE-03"),
    ("ON_TIME twice", {"trigger": AFTER_2}, panes(([0, 2], pane(O, 0, 0)), ([4], pane(O, 1, 1, last=True))), "M-PANE-03"),
    (
        "bounded data called LATE",
        {"trigger": AFTER_2},
        panes(([0, 2], pane(E, 0, -1)), ([4], pane(L, 1, 0, last=True))),
        "M-PANE-03",
    ),
    (
        "ns counts early panes",
        {"trigger": AFTER_2},
        panes(([0, 2], pane(E, 0, -1)), ([4], pane(O, 1, 1, last=True))),
        "M-PANE-04",
    ),
    ("a pane past its window", {"trigger": AFTER_2}, panes(([0, 2, 4], pane(E, 0, -1)), at=10), "M-HOLD-01"),
    (
        "accumulating",
        {"trigger": AFTER_2, "accumulation": "accumulating"},
        panes(([0, 2], pane(E, 0, -1)), ([0, 2, 4], pane(O, 1, 0, last=True))),
        "",
    ),
    (
        "accumulating, yet discarded",
        {"trigger": AFTER_2, "accumulation": "accumulating"},
        panes(([0, 2], pane(E, 0, -1)), ([4], pane(O, 1, 0, last=True))),
        "M-PANE-11",
    ),
    (
        "discarding, yet accumulated",
        {"trigger": AFTER_2},
        panes(([0, 2], pane(E, 0, -1)), ([0, 2, 4], pane(O, 1, 0, last=True))),
        "M-PANE-11",
    ),
    ("a finished trigger drops the rest", {"trigger": AfterCount(1)}, panes(([4], pane(E, 0, -1, last=True))), ""),
    ("a finished trigger ignored", {"trigger": AfterCount(1)}, panes(([0, 2, 4], ONLY)), ""),
    (
        "a finished trigger goes on",
        {"trigger": AfterCount(1)},
        panes(([4], pane(E, 0, -1)), ([0, 2], pane(O, 1, 0, last=True))),
        "M-TRIG-35",
    ),
    ("fewer than a finishing trigger wants", {"trigger": AfterCount(2)}, panes(([4], ONLY)), "M-TRIG-13"),
    (
        "never fires early",
        {"trigger": Never(), "closing": "always", "allowed_lateness": 5},
        panes(([0, 2, 4], pane(E, 0, -1))),
        "M-BATCH-06",
    ),
    (
        "never fires twice",
        {"trigger": Never(), "closing": "always", "allowed_lateness": 5},
        panes(([0, 2], pane(E, 0, -1)), ([4], pane(O, 1, 0, last=True))),
        "M-TRIG-11",
    ),
    ("UNKNOWN among labelled ones", {"trigger": AFTER_2}, panes(([0, 2], pane(E, 0, -1)), ([4], NO_FIRING)), "M-PANE-15"),
]


@pytest.mark.parametrize(("strategy", "outcome", "rule"), [c[1:] for c in PANES], ids=[c[0] for c in PANES])
def test_panes(strategy: dict[str, Any], outcome: Outcome, rule: str) -> None:
    windowing = evolve(Windowing(Fixed(10)), **strategy)
    assert rule_of(program(G, O_G, elements=((0, 1), (2, 2), (4, 3)), windowing=windowing), outcome) == rule


#: panes of key 0 under EARLIEST: contents and timestamps must fit together (M-HOLD-01)
@pytest.mark.parametrize(
    ("accumulation", "outcome", "rule"),
    [
        ("discarding", [([0, 4], 1), ([2], 2)], ""),
        ("discarding", [([0, 4], 3), ([2], 2)], "M-HOLD-01"),
        ("discarding", [([0, 4], 1), ([2], 1)], "M-HOLD-01"),
        ("accumulating", [([0, 4], 1), ([0, 2, 4], 2)], ""),
        ("accumulating", [([0, 4], 1), ([0, 2, 4], 1)], ""),
        ("accumulating", [([0, 4], 1), ([0, 2, 4], 3)], "M-HOLD-01"),
    ],
)
def test_pane_timestamps(accumulation: str, outcome: list[tuple[list[int], int]], rule: str) -> None:
    windowing = Windowing(Fixed(10), AFTER_2, accumulation, output_time="earliest")
    labels = [pane(E, 0, -1), pane(O, 1, 0, last=True)]
    seen = [Seen((0, values), at, W0, label) for (values, at), label in zip(outcome, labels, strict=True)]
    assert rule_of(program(G, O_G, elements=((0, 1), (2, 2), (4, 3)), windowing=windowing), seen) == rule


@pytest.mark.parametrize(
    ("values", "rule"),
    [((2, 4), ""), ((6, 0), ""), ((4, 2), ""), ((2, 6), "M-COMB-01"), ((6, 6), "M-COMB-01"), ((0, 4), "M-TRIG-13")],
)
def test_sums_of_panes(values: tuple[int, int], rule: str) -> None:
    """Elements 0, 2, 4 in two panes of at least two and the rest: which are where is for the oracle to find out."""
    of = program(Combine("g", "w", "sum"), O_G, elements=((0, 1), (2, 2), (4, 3)), windowing=Windowing(Fixed(10), AFTER_2))
    seen = [Seen((0, values[0]), 9, W0, pane(E, 0, -1)), Seen((0, values[1]), 9, W0, pane(O, 1, 0, last=True))]
    assert rule_of(of, seen) == rule


# ------------------------------------------------------------------------------------------------------------- stateless


def flat(*rest: Step) -> Program:
    return Program((Bounded("s", (Element(1, 0), Element(2, 5), Element(2, 12))), *rest))


PLAIN: Outcome = [Seen(1, 0), Seen(2, 5), Seen(2, 12)]
WINDOWED: Outcome = [Seen(1, 0, W0), Seen(2, 5, W0), Seen(2, 12, W1)]
SLIDING: Outcome = [Seen(s.value, s.timestamp, w) for s in PLAIN for w in assign(Sliding(10, 5), s.timestamp)]

STATELESS: list[tuple[str, Program, Outcome, str]] = [
    ("as it should be", flat(Observe("o", "s")), PLAIN, ""),
    ("an element dropped", flat(Observe("o", "s")), PLAIN[:-1], "M-XF-18"),
    ("an element twice", flat(Observe("o", "s")), [*PLAIN, PLAIN[0]], "M-XF-18"),
    ("a timestamp off by one", flat(Observe("o", "s")), change(PLAIN, 0, timestamp=1), "M-TIME-07"),
    ("timestamps of equal values swapped for another", flat(Observe("o", "s")), change(PLAIN, 2, timestamp=5), "M-TIME-07"),
    ("a pane from nowhere", flat(Observe("o", "s")), change(PLAIN, 0, pane=ONLY), "M-PANE-01"),
    ("windowed without being asked", flat(Observe("o", "s")), change(PLAIN, 0, window=W0), "M-TIME-07"),
    ("windows", flat(WindowInto("w", "s", Windowing(Fixed(10))), Observe("o", "w")), WINDOWED, ""),
    ("not windowed", flat(WindowInto("w", "s", Windowing(Fixed(10))), Observe("o", "w")), PLAIN, "M-WIN-18"),
    (
        "the next window",
        flat(WindowInto("w", "s", Windowing(Fixed(10))), Observe("o", "w")),
        change(WINDOWED, 0, window=W1),
        "M-WIN-18",
    ),
    (
        "stamps reset",
        flat(WindowInto("w", "s", Windowing(Fixed(10))), Observe("o", "w")),
        change(WINDOWED, 1, timestamp=9),
        "M-WIN-18",
    ),
    ("several windows", flat(WindowInto("w", "s", Windowing(Sliding(10, 5))), Observe("o", "w")), SLIDING, ""),
    (
        "first of several windows only",
        flat(WindowInto("w", "s", Windowing(Sliding(10, 5))), Observe("o", "w")),
        SLIDING[::2],
        "M-WIN-20",
    ),
    (
        "in no window",
        flat(WindowInto("w", "s", Windowing(Sliding(3, 10))), Observe("o", "w")),
        [Seen(1, 0, IntervalWindow(0, 3)), Seen(2, 12, IntervalWindow(10, 13))],
        "",
    ),
    ("flattened", flat(Flatten("f", ("s", "s")), Observe("o", "f")), [*PLAIN, *PLAIN], ""),
    ("flattened once for twice", flat(Flatten("f", ("s", "s")), Observe("o", "f")), PLAIN, "M-XF-11"),
    ("a flatten of nothing", flat(Flatten("f", ()), Observe("o", "f")), [], ""),
    ("a flatten of nothing that holds something", flat(Flatten("f", ()), Observe("o", "f")), PLAIN, "M-XF-11"),
    ("a reshuffle that drops", flat(Reshuffle("r", "s"), Observe("o", "r")), PLAIN[1:], "M-XF-12"),
    ("a reshuffle that re-stamps", flat(Reshuffle("r", "s"), Observe("o", "r")), change(PLAIN, 1, timestamp=0), "M-XF-12"),
    (
        "a reshuffle that globalises",
        flat(WindowInto("w", "s", Windowing(Fixed(10))), Reshuffle("r", "w"), Observe("o", "r")),
        PLAIN,
        "M-XF-12",
    ),
]


@pytest.mark.parametrize(("of", "outcome", "rule"), [c[1:] for c in STATELESS], ids=[c[0] for c in STATELESS])
def test_stateless_steps(of: Program, outcome: Outcome, rule: str) -> None:
    assert rule_of(of, outcome) == rule


def test_a_reshuffle_that_resets_the_pane_shows_against_what_it_was_given() -> None:
    of = program(G, Observe("g_seen", "g"), Reshuffle("r", "g"), Observe("o", "r"), elements=((2, 1),))
    given = [Seen((0, [2]), 9, W0, ONLY)]
    assert judge(of, {"g_seen": given, "o": given}).ok
    assert judge(of, {"g_seen": given, "o": change(given, 0, pane=NO_FIRING)}).rule == "M-XF-12"


def test_one_output_holds_the_same_for_each_consumer() -> None:
    of = flat(Observe("a", "s"), Observe("o", "s"))
    assert judge(of, {"a": PLAIN, "o": PLAIN[1:]}).rule == "M-XF-18"
    assert judge(of, {"a": PLAIN, "o": []}).observer == "o"


def test_forgiven_rules_become_information() -> None:
    verdict = judge(GROUPED, {"o": change(GROUPED_OK, 0, timestamp=10)}, forgive={"M-HOLD-04"})
    assert verdict.ok
    assert any("M-HOLD-04" in info for info in verdict.infos)
    assert judge(GROUPED, {"o": change(GROUPED_OK[1:], 0, timestamp=10)}, forgive={"M-HOLD-04"}).rule == "M-BATCH-04"


# ------------------------------------------------------------------------------------------------------------- side inputs

SIDED = Program(
    (
        Bounded("m", (Element(1, 4), Element(5, 14))),
        Bounded("s", (Element(7, 2), Element(8, 6), Element(9, 17), Element(6, 33))),
        WindowInto("mw", "m", Windowing(Fixed(10))),
        WindowInto("sw", "s", Windowing(Sliding(10, 5))),
        SideInput("i", "mw", "sw"),
        Observe("o", "i"),
    )
)
# [0, 10) looks at the sliding window that contains 9 and starts earliest: [0, 10); [10, 20) at [10, 20).
SIDES: list[tuple[str, Outcome, str]] = [
    ("as it should be", [Seen((1, [8, 7]), 4, W0), Seen((5, [9]), 14, W1)], ""),
    ("incomplete", [Seen((1, [7]), 4, W0), Seen((5, [9]), 14, W1)], "M-SIDE-06"),
    ("empty", [Seen((1, []), 4, W0), Seen((5, [9]), 14, W1)], "M-SIDE-06"),
    ("another window", [Seen((1, [8]), 4, W0), Seen((5, [9]), 14, W1)], "M-SIDE-06"),
    ("all windows", [Seen((1, [7, 8, 9, 6]), 4, W0), Seen((5, [7, 8, 9, 6]), 14, W1)], "M-SIDE-06"),
    ("the main element dropped", [Seen((5, [9]), 14, W1)], "M-SIDE-06"),
]


@pytest.mark.parametrize(("outcome", "rule"), [c[1:] for c in SIDES], ids=[c[0] for c in SIDES])
def test_side_inputs(outcome: Outcome, rule: str) -> None:
    assert rule_of(SIDED, outcome) == rule


# ------------------------------------------------------------------------------------------------------------- state


def stateful(kind: str, on_element: tuple[Any, ...], elements: tuple[tuple[int, int], ...], **more: Any) -> Program:
    return program(Stateful("g", "w", (Cell("c", kind),), on_element, **more), O_G, elements=elements)


def put_out(*rows: tuple[str, list[Any], int]) -> Outcome:
    return [
        Seen((0, (label, [entry if isinstance(entry, tuple) else (0, (0, entry)) for entry in entries])), at, W0)
        for label, entries, at in rows
    ]


TWO = ((2, 1), (4, 3))
ECHO = (Add("c"), Emit("c", "e"))
TIMER = (Add("c"), SetTimer("t", 4))
STATE: list[tuple[str, Program, Outcome, str]] = [
    ("a bag, one way", stateful("bag", ECHO, TWO), put_out(("e", [2], 1), ("e", [2, 4], 3)), ""),
    ("a bag, the other way", stateful("bag", ECHO, TWO), put_out(("e", [4], 3), ("e", [2, 4], 1)), ""),
    ("state not shared by bundles", stateful("bag", ECHO, TWO), put_out(("e", [2], 1), ("e", [4], 3)), "M-STATE-07"),
    ("state from nowhere", stateful("bag", ECHO, TWO), put_out(("e", [2, 9], 1), ("e", [2, 4, 9], 3)), "M-STATE-04"),
    ("sorted", stateful("bag", ECHO, TWO, time_sorted=True), put_out(("e", [2], 1), ("e", [2, 4], 3)), ""),
    ("not sorted", stateful("bag", ECHO, TWO, time_sorted=True), put_out(("e", [4], 3), ("e", [2, 4], 1)), "M-STATE-16"),
    ("an element lost", stateful("bag", ECHO, TWO), put_out(("e", [2], 1)), "M-XF-18"),
    ("an element twice", stateful("bag", ECHO, TWO), put_out(("e", [2], 1), ("e", [2, 4], 3), ("e", [2, 4, 4], 3)), "M-XF-18"),
    ("a set", stateful("set", ECHO, ((2, 1), (2, 3))), put_out(("e", [2], 1), ("e", [2], 3)), ""),
    ("a set with duplicates", stateful("set", ECHO, ((2, 1), (2, 3))), put_out(("e", [2], 1), ("e", [2, 2], 3)), "M-STATE-11"),
    ("clear ignored", stateful("bag", (Clear("c"), *ECHO), TWO), put_out(("e", [2], 1), ("e", [2, 4], 3)), "M-STATE-04"),
    (
        "an ordered list",
        stateful("ordered_list", ECHO, ((2, 1), (4, 1))),
        put_out(("e", [(0, (1, 2))], 1), ("e", [(0, (1, 2)), (0, (1, 4))], 1)),
        "",
    ),
    (
        "an ordered list with one value a sort key",
        stateful("ordered_list", ECHO, ((2, 1), (4, 1))),
        put_out(("e", [(0, (1, 2))], 1), ("e", [(0, (1, 4))], 1)),
        "M-STATE-12",
    ),
    (
        "an ordered list out of order",
        stateful("ordered_list", ECHO, TWO),
        put_out(("e", [(0, (1, 2))], 1), ("e", [(0, (3, 4)), (1, (1, 2))], 3)),
        "M-STATE-04",
    ),
    ("a timer", stateful("bag", TIMER, TWO, on_timer=(Emit("c", "t"),)), put_out(("t:t", [2, 4], 7)), ""),
    ("the timer of the last element", stateful("bag", TIMER, TWO, on_timer=(Emit("c", "t"),)), put_out(("t:t", [2, 4], 5)), ""),
    ("a timer lost", stateful("bag", TIMER, TWO, on_timer=(Emit("c", "t"),)), put_out(), "M-TIMER-10"),
    (
        "a timer twice",
        stateful("bag", TIMER, TWO, on_timer=(Emit("c", "t"),)),
        put_out(("t:t", [2, 4], 5), ("t:t", [2, 4], 7)),
        "M-TIMER-02",
    ),
    (
        "a timer before an element",
        stateful("bag", TIMER, TWO, on_timer=(Emit("c", "t"),)),
        put_out(("t:t", [2], 5), ("t:t", [2, 4], 7)),
        "M-TIMER-18",
    ),
    (
        "a timer stamped otherwise",
        stateful("bag", TIMER, TWO, on_timer=(Emit("c", "t"),)),
        put_out(("t:t", [2, 4], 8)),
        "M-TIME-07",
    ),
    (
        "a streaming engine fires between elements",
        stateful("bag", TIMER, ((2, 1), (4, 8)), on_timer=(Emit("c", "t"),)),
        put_out(("t:t", [2], 5), ("t:t", [2, 4], 9)),
        "",
    ),
    (
        "timers in order",
        stateful("bag", (Add("c"), SetTimer("t", 4), SetTimer("u", 2)), ((2, 1),), on_timer=(Emit("c", "t"), Clear("c"))),
        put_out(("t:u", [2], 3), ("t:t", [], 5)),
        "",
    ),
    (
        "timers out of order",
        stateful("bag", (Add("c"), SetTimer("t", 4), SetTimer("u", 2)), ((2, 1),), on_timer=(Emit("c", "t"), Clear("c"))),
        put_out(("t:u", [], 3), ("t:t", [2], 5)),
        "M-TIMER-17",
    ),
    (
        "a cleared timer fires",
        stateful(
            "bag",
            (WhenSize("c", (SetTimer("t", 8),), at_most=0), WhenSize("c", (ClearTimer("t"),), at_least=1), Add("c")),
            TWO,
            on_timer=(Emit("c", "t"),),
        ),
        put_out(("t:t", [2, 4], 9)),
        "M-TIMER-04",
    ),
    (
        "a loop",
        stateful("bag", TIMER, ((2, 1),), on_timer=(Emit("c", "t"), SetTimer("t", 3))),
        put_out(("t:t", [2], 5), ("t:t", [2], 8), ("t:t", [2], 9)),
        "",
    ),
    (
        "a loop that stops",
        stateful("bag", TIMER, ((2, 1),), on_timer=(Emit("c", "t"), SetTimer("t", 3))),
        put_out(("t:t", [2], 5)),
        "M-TIMER-02",
    ),
    ("expiration", stateful("bag", (Add("c"),), TWO, on_expiration=(Emit("c", "x"),)), put_out(("x", [2, 4], 9)), ""),
    ("no expiration", stateful("bag", (Add("c"),), TWO, on_expiration=(Emit("c", "x"),)), [], "M-STATE-18"),
    (
        "expiration twice",
        stateful("bag", (Add("c"),), TWO, on_expiration=(Emit("c", "x"),)),
        put_out(("x", [2, 4], 9), ("x", [2, 4], 9)),
        "M-STATE-18",
    ),
    (
        "another window's state",
        stateful("bag", ECHO, ((2, 1), (4, 12))),
        [Seen((0, ("e", [(0, (0, 2))])), 1, W0), Seen((0, ("e", [(0, (0, 2)), (0, (0, 4))])), 12, W1)],
        "M-STATE-04",
    ),
    (
        "a key that got nothing",
        stateful("bag", ECHO, TWO),
        [*put_out(("e", [2], 1), ("e", [2, 4], 3)), Seen((1, ("e", [])), 1, W0)],
        "M-STATE-01",
    ),
]


@pytest.mark.parametrize(("of", "outcome", "rule"), [c[1:] for c in STATE], ids=[c[0] for c in STATE])
def test_state(of: Program, outcome: Outcome, rule: str) -> None:
    assert rule_of(of, outcome) == rule


# ------------------------------------------------------------------------------------------------------------- drawn ones

Corruption = Callable[[Outcome, int], Outcome]
CORRUPTIONS: dict[str, Corruption] = {
    "element dropped": without,
    "element twice": lambda outcome, i: [*outcome, outcome[i]],
    "value changed": lambda outcome, i: change(outcome, i, value=("?", outcome[i].value)),
    "timestamp one on": lambda outcome, i: change(outcome, i, timestamp=outcome[i].timestamp + 1),
    "timestamp far back": lambda outcome, i: change(outcome, i, timestamp=outcome[i].timestamp - 1000),
    "window moved": lambda outcome, i: change(
        outcome, i, window=IntervalWindow(outcome[i].timestamp + 500, outcome[i].timestamp + 510)
    ),
    "pane index on": lambda outcome, i: change(outcome, i, pane=evolve(outcome[i].pane, index=outcome[i].pane.index + 7)),
}


@pytest.mark.parametrize("family", ["stateless", "grouping", "side_input", "stateful", "triggered"])
@pytest.mark.parametrize("corruption", CORRUPTIONS)
def test_every_corruption_is_rejected(family: str, corruption: str) -> None:
    """Of any legal outcome of any drawn program. A runner may leave out what carries nothing new, so such elements are left alone."""

    @settings(
        max_examples=25,
        deadline=None,
        derandomize=True,
        suppress_health_check=list(HealthCheck),
        phases=(Phase.explicit, Phase.generate),  # a counter-example found is enough; shrinking one takes minutes
    )
    @given(getattr(families, f"{family}_programs")(), st.integers(0, 2**32))
    def law(drawn: Program, seed: int) -> None:
        outcome = execute(drawn, random.Random(seed))
        name = drawn.observers[-1].id
        seen = outcome.get(name, [])
        assume(seen)
        if family == "stateful":  # where order decides what comes out, another legal outcome may be the corrupted one
            assume(all(_same(execute(drawn, random.Random(other)), outcome) for other in range(8)))
        i = seed % len(seen)
        if corruption == "timestamp one on":  # the end of the global window, and of windows up to the epoch
            assume(0 <= seen[i].timestamp < GLOBAL_WINDOW_MAX - 1)
        if family == "stateful" and corruption == "timestamp one on":  # a timer may be set to just that instant, too
            assume("SetTimer" not in repr(drawn) and "Emit" in repr(drawn) and "on_expiration=()" in repr(drawn))
        if family == "triggered" and corruption == "element dropped":
            assume(_carries_data(drawn, seen[i]))
        spoiled = {**outcome, name: CORRUPTIONS[corruption](seen, i)}
        verdict = judge(drawn, spoiled)
        assert not verdict.ok, (drawn, outcome, spoiled)
        assert verdict.rule.startswith("M-")

    law()


def _same(one: dict[str, Outcome], other: dict[str, Outcome]) -> bool:
    """The same elements at every observer, in any order."""
    return {name: sorted(map(repr, seen)) for name, seen in one.items()} == {
        name: sorted(map(repr, seen)) for name, seen in other.items()
    }


def _carries_data(drawn: Program, seen: Seen) -> bool:
    """Whether the model demands this pane whatever else there is: the only one of a trigger that cannot drop anything."""
    windowing = next(step.windowing for step in drawn if isinstance(step, WindowInto))
    trigger: Trigger = windowing.trigger
    followed = any(isinstance(step, Reshuffle) for step in drawn)
    return followed or (
        seen.pane.is_first and seen.pane.is_last and "Repeat" in repr(trigger) and "OrFinally" not in repr(trigger)
    )
