"""Scripts that no TestStream played: what a lagging watermark explains is no fault, what it does not explain is one."""

from __future__ import annotations

import pytest

from conformance.oracle.judge import Verdict, judge
from conformance.oracle.observed import Seen
from conformance.oracle.program import (
    AfterCount,
    Bounded,
    Fixed,
    GroupByKey,
    Observe,
    Program,
    Repeat,
    Script,
    Trigger,
    Windowing,
    WindowInto,
)
from conformance.oracle.program import DefaultTrigger as Default
from conformance.suite.d_triggers.rows import events
from conformance.suite.generated.lagging import LAGGED, judge_lagging, schedules
from conformance.wire.values import IntervalWindow, Pane, Timing

TEN = IntervalWindow(0, 10)


def _program(script: str, trigger: Trigger | None = None) -> Program:
    windowing = Windowing(Fixed(10), trigger or Default())
    steps = (Script("s", events(script), ("kv", "str", "int")), WindowInto("w", "s", windowing), GroupByKey("g", "w"))
    return Program((*steps, Observe("out", "g")))


def _pane(*values: int, timing: Timing = Timing.ON_TIME, index: int = 0, last: bool = True) -> Seen:
    nonspeculative = -1 if timing is Timing.EARLY else 0
    return Seen(("k", list(values)), 9, TEN, Pane(index == 0, last, timing, index, nonspeculative))


def _judged(program: Program, seen: list[Seen]) -> Verdict:
    verdict = judge_lagging(program, {"out": seen})
    assert verdict is not None
    return verdict


def test_as_scripted_needs_no_delay() -> None:
    verdict = _judged(_program("1@1 wm12 2@2"), [_pane(1)])
    assert verdict.ok
    assert LAGGED not in verdict.infos


def test_a_late_element_may_have_come_in_time() -> None:
    program, seen = _program("1@1 wm12 2@2"), [_pane(1, 2)]
    assert not judge(program, {"out": seen}).ok
    verdict = _judged(program, seen)
    assert verdict.ok
    assert LAGGED in verdict.infos


@pytest.mark.parametrize(
    "seen",
    [[], [_pane(2)], [_pane(1, 2, 3)], [_pane(1), _pane(2, index=1)]],
    ids=["nothing", "what-is-on-time-is-lost", "from-nowhere", "two-on-time-panes"],
)
def test_what_no_delay_explains_is_wrong(seen: list[Seen]) -> None:
    verdict = _judged(_program("1@1 wm12 2@2"), seen)
    assert not verdict.ok
    assert verdict.sentence


def test_panes_may_come_together() -> None:
    program = _program("1@1 2@2", Repeat(AfterCount(1)))
    together = [_pane(1, 2, timing=Timing.EARLY, last=False)]
    assert not judge(program, {"out": together}).ok
    assert _judged(program, together).ok


def test_a_watermark_that_comes_too_early_is_no_delay() -> None:
    """The element is on time in the script, so that nothing may drop it."""
    assert not _judged(_program("1@1 wm5 2@2"), [_pane(1)]).ok


def test_schedules_keep_the_order_of_elements_and_watermarks() -> None:
    first, *others = schedules(_program("1@1 wm5 2@2 wm12 3@3"))
    assert isinstance(first.steps[0], Bounded)
    for schedule in others:
        script = schedule.steps[0]
        assert isinstance(script, Script)
        values = [element.value[1] for event in script.events for element in getattr(event, "elements", ())]
        moves = [event.to for event in script.events if hasattr(event, "to")]
        assert values == [1, 2, 3]
        assert moves == sorted(moves)
