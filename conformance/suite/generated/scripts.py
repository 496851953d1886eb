"""Generated event scripts with one thing held fixed: a trigger, an accumulation mode, a lateness, a behaviour, a timestamp combiner."""

from __future__ import annotations

from typing import Any

import attrs
from hypothesis import strategies as st
from hypothesis.errors import Unsatisfiable

from conformance.oracle import script_strategies as strategies
from conformance.oracle.program import (
    AddElements,
    AdvanceProcessingTime,
    AdvanceWatermark,
    AfterProcessingTime,
    Program,
    Script,
    Sessions,
    WindowInto,
)
from conformance.suite.execution import RunnerUnderTest
from conformance.suite.generated.properties import for_all
from conformance.suite.outcomes import NotExercised
from conformance.suite.scripting import SDF

__all__ = ["for_all_scripts", "scripts"]


def scripts(
    *, trigger: st.SearchStrategy[Any] | None = None, sessions: bool | None = None, event: type | None = None, **fixed: Any
) -> st.SearchStrategy[Program]:
    """Scripts into one grouping whose windowing has the fields `fixed`, and a trigger that `trigger` draws.

    `sessions`: only those, or none; programs that fix a trigger have none (M-TRIG-44). `event`: every script has one of them.
    """
    wanted = False if trigger is not None or "allowed_lateness" in fixed else sessions
    programs = strategies.script_programs()
    if wanted is not None:
        programs = programs.filter(lambda program: isinstance(_windowing(program).fn, Sessions) is wanted)
    if event is not None:
        programs = programs.filter(lambda program: any(isinstance(each, event) for each in _events(program)))

    @st.composite
    def fix(draw: st.DrawFn) -> Program:
        program = draw(programs)
        changes = dict(fixed)
        if trigger is not None:
            changes["trigger"] = draw(trigger, label="trigger")
        return Program(
            tuple(
                attrs.evolve(step, windowing=attrs.evolve(step.windowing, **changes)) if isinstance(step, WindowInto) else step
                for step in program
            )
        )

    return fix()


def for_all_scripts(runner: RunnerUnderTest, label: str, *, obeyed: bool = False, source: str = "", **fixed: Any) -> None:
    """The property of one leaf over `scripts(**fixed)`. Thirty leaves draw from one generator, so a third of the examples does for each.

    Where a function plays the scripts, those that move the clock or ask for its time are left out, and a lagging watermark is no
    fault. With `obeyed` the property says nothing where the watermark lagged. Raises NotExercised then, and if no script is left.
    `source`: what plays them, where it is not what the run found out.
    """
    __tracebackhide__ = True
    drawn = scripts(**fixed)
    if (source or runner.script_source) == SDF:
        drawn = drawn.filter(_plays_without_clock)
    lagged = runner.lagged
    try:
        examples = max(1, runner.settings.examples // 3)
        for_all(runner, drawn, label, examples, source=source, packed=False)
    except Unsatisfiable:
        raise NotExercised("the runner declines TestStream, and nothing else can move its processing time") from None
    if obeyed and runner.lagged > lagged:
        raise NotExercised(
            f"{runner.lagged - lagged} scripts, played by a function for want of TestStream, had an outcome that is legal only because "
            "the watermark of a source may lag (M-WM-10)"
        )


def _plays_without_clock(program: Program) -> bool:
    return not any(isinstance(event, AdvanceProcessingTime) for event in _events(program)) and not _asks_clock(
        _windowing(program).trigger
    )


def _asks_clock(trigger: Any) -> bool:
    if isinstance(trigger, AfterProcessingTime):
        return True
    if isinstance(trigger, tuple):
        return any(_asks_clock(part) for part in trigger)
    return attrs.has(type(trigger)) and any(_asks_clock(getattr(trigger, field.name)) for field in attrs.fields(type(trigger)))


def _windowing(program: Program) -> Any:
    return next(step.windowing for step in program if isinstance(step, WindowInto))


def _events(program: Program) -> tuple[AddElements | AdvanceWatermark | AdvanceProcessingTime, ...]:
    return next(step.events for step in program if isinstance(step, Script))
