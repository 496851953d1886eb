"""Tables of the model as data: window assignment, merging, mapping, expiry; and what the oracle refuses."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from conformance.oracle import Program, ProgramError, UnsupportedProgram, judge
from conformance.oracle.analysis import analyse
from conformance.oracle.program import (
    AfterAll,
    AfterAny,
    AfterCount,
    AfterEach,
    AfterEndOfWindow,
    AfterProcessingTime,
    AfterSynchronizedProcessingTime,
    Bounded,
    DefaultTrigger,
    Element,
    Fixed,
    Global,
    GroupByKey,
    Never,
    Observe,
    OrFinally,
    ParDo,
    Repeat,
    Sessions,
    SideInput,
    Sliding,
    Step,
    Trigger,
    WindowFn,
    Windowing,
    WindowInto,
)
from conformance.oracle.trigger import continuation
from conformance.oracle.windows import assign, expiry, map_main_window, merge
from conformance.wire.timestamps import GLOBAL_WINDOW_MAX, MAX
from conformance.wire.values import GLOBAL_WINDOW, IntervalWindow, Window


def w(start: int, end: int) -> IntervalWindow:
    return IntervalWindow(start, end)


#: M-WIN-06's table, and the negative timestamps of M-WIN-03
ASSIGNMENTS: list[tuple[WindowFn, int, list[Window]]] = [
    (Global(), 7, [GLOBAL_WINDOW]),
    (Fixed(10), -1, [w(-10, 0)]),
    (Fixed(10), 0, [w(0, 10)]),
    (Fixed(10), 9, [w(0, 10)]),
    (Fixed(10), 10, [w(10, 20)]),
    (Fixed(10, 3), 2, [w(-7, 3)]),
    (Fixed(10, 3), 3, [w(3, 13)]),
    (Fixed(10), -15, [w(-20, -10)]),
    (Sliding(10, 5), 7, [w(5, 15), w(0, 10)]),
    (Sliding(10, 5), 5, [w(5, 15), w(0, 10)]),
    (Sliding(10, 5), -1, [w(-5, 5), w(-10, 0)]),
    (Sliding(10, 3, 1), 7, [w(7, 17), w(4, 14), w(1, 11), w(-2, 8)]),
    (Sliding(5, 10), 4, [w(0, 5)]),
    (Sliding(5, 10), 5, []),
    (Sliding(5, 10), 7, []),
    (Sessions(10), 7, [w(7, 17)]),
]


@pytest.mark.parametrize(("fn", "timestamp", "windows"), ASSIGNMENTS)
def test_assignment(fn: WindowFn, timestamp: int, windows: list[Window]) -> None:
    assert list(assign(fn, timestamp)) == windows


@given(st.integers(-200, 200), st.integers(1, 20), st.integers(1, 20), st.integers(0, 19))
def test_sliding_windows_are_exactly_those_that_contain_the_timestamp(
    timestamp: int, size: int, period: int, offset: int
) -> None:
    wanted = {
        w(start, start + size)
        for start in range(timestamp - size, timestamp + 1)
        if (start - offset) % period == 0 and start + size > timestamp
    }
    assert set(assign(Sliding(size, period, offset), timestamp)) == wanted


SESSIONS: list[tuple[list[int], list[IntervalWindow]]] = [
    ([0, 9], [w(0, 19)]),
    ([0, 10], [w(0, 10), w(10, 20)]),
    ([0, 14, 7], [w(0, 24)]),
    ([1, 15, 8], [w(1, 25)]),
    ([0, 30, 8, 16, 21], [w(0, 40)]),
]


@pytest.mark.parametrize(("stamps", "windows"), SESSIONS)
def test_sessions_of_gap_10(stamps: list[int], windows: list[IntervalWindow]) -> None:
    protos = [window for stamp in stamps for window in assign(Sessions(10), stamp) if isinstance(window, IntervalWindow)]
    assert [whole for whole, _ in merge(protos)] == windows


MAPPINGS: list[tuple[Window, WindowFn, Window | None]] = [
    (w(0, 60), Fixed(86_400), w(0, 86_400)),
    (w(0, 10), Sliding(10, 5), w(0, 10)),
    (w(0, 10), Global(), GLOBAL_WINDOW),
    (GLOBAL_WINDOW, Global(), GLOBAL_WINDOW),
    (GLOBAL_WINDOW, Fixed(10), None),
    (w(0, 10), Sessions(10), None),
]


@pytest.mark.parametrize(("main", "side", "mapped"), MAPPINGS)
def test_side_window_mapping(main: Window, side: WindowFn, mapped: Window | None) -> None:
    assert map_main_window(main, side) == mapped


@pytest.mark.parametrize(
    ("window", "lateness", "when"),
    [(w(0, 10), 0, 9), (w(0, 10), 5, 14), (GLOBAL_WINDOW, 10**9, GLOBAL_WINDOW_MAX), (w(0, 10), 2**63, GLOBAL_WINDOW_MAX)],
)
def test_expiry(window: Window, lateness: int, when: int) -> None:
    assert expiry(window, lateness) == when < MAX


C1, SYNC = AfterCount(1), AfterSynchronizedProcessingTime()
CONTINUATIONS: list[tuple[Trigger, Trigger]] = [
    (AfterCount(7), C1),
    (AfterProcessingTime(10), SYNC),
    (AfterEndOfWindow(AfterCount(3), AfterProcessingTime(1)), AfterEndOfWindow(C1, SYNC)),
    (AfterEach((AfterCount(2), AfterProcessingTime(1))), Repeat(AfterAny((C1, SYNC)))),
    (AfterAll((AfterCount(2), SYNC)), AfterAll((C1, SYNC))),
    (AfterAny((AfterCount(2), SYNC)), AfterAny((C1, SYNC))),
    (OrFinally(Repeat(AfterCount(2)), AfterCount(5)), Repeat(OrFinally(Repeat(C1), C1))),
    (DefaultTrigger(), DefaultTrigger()),
    (Never(), Never()),
]


@pytest.mark.parametrize(("trigger", "after"), CONTINUATIONS)
def test_continuation_triggers(trigger: Trigger, after: Trigger) -> None:
    assert continuation(trigger) == after


S = Bounded("s", (Element(1, 1),))
K = ParDo("k", "s", "key_mod", 2)
REFUSED: list[tuple[tuple[Step, ...], type[Exception], str]] = [
    ((ParDo("k", "s", "identity"),), ProgramError, "no step before"),
    ((S, S), ProgramError, "twice"),
    ((S, ParDo("p", "s", "explode")), ProgramError, "the functions are"),
    ((S, ParDo("p", "s", "swap")), ProgramError, "does not take"),
    ((S, GroupByKey("g", "s")), ProgramError, "needs pairs"),
    ((S, WindowInto("w", "s", Windowing(Fixed(0)))), ProgramError, "at least 1"),
    ((S, ParDo("p", "s", "shift_timestamp", -1)), UnsupportedProgram, "forward"),
    ((S, K, GroupByKey("g", "k"), WindowInto("w", "g", Windowing(Fixed(10)))), UnsupportedProgram, "end of time"),
    (
        (
            S,
            K,
            WindowInto("w", "k", Windowing(Sessions(10))),
            GroupByKey("g", "w"),
            ParDo("u", "g", "ungroup"),
            GroupByKey("h", "u"),
        ),
        UnsupportedProgram,
        "WindowInto between",
    ),
    (
        (
            S,
            K,
            WindowInto("w", "k", Windowing(Fixed(10), Repeat(C1))),
            GroupByKey("g", "w"),
            ParDo("u", "g", "ungroup"),
            Observe("o", "u"),
        ),
        UnsupportedProgram,
        "put an Observe directly on g",
    ),
    ((S, WindowInto("w", "s", Windowing(Fixed(10))), SideInput("i", "s", "w"), Observe("o", "i")), UnsupportedProgram, "A-27"),
]


@pytest.mark.parametrize(("steps", "error", "words"), REFUSED)
def test_refusals_say_what_to_do(steps: tuple[Step, ...], error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        analyse(Program(steps))


def test_unknown_observers_are_refused() -> None:
    with pytest.raises(UnsupportedProgram, match="does not observe"):
        judge(Program((S, Observe("o", "s"))), {"o": [], "p": []})


@pytest.mark.parametrize("data", [{"is": "Nothing"}, {"is": "Element", "when": 3}, {"is": "Element", "value": 3}])
def test_json_that_is_no_program(data: dict[str, object]) -> None:
    with pytest.raises(ProgramError):
        Program.from_json(data)
