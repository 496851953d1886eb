"""Generated event scripts with one thing held fixed: a trigger, an accumulation mode, a lateness, a behaviour, a timestamp combiner."""

from __future__ import annotations

from typing import Any

import attrs
from hypothesis import strategies as st

from conformance.oracle import strategies
from conformance.oracle.program import AddElements, AdvanceProcessingTime, AdvanceWatermark, Program, Script, Sessions, WindowInto
from conformance.suite.execution import RunnerUnderTest
from conformance.suite.generated.properties import for_all

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


def for_all_scripts(runner: RunnerUnderTest, label: str, **fixed: Any) -> None:
    """The property of one leaf over `scripts(**fixed)`. Thirty leaves draw from one generator, so half the examples do for each."""
    __tracebackhide__ = True
    for_all(runner, scripts(**fixed), label, examples=max(1, runner.settings.examples // 2))


def _windowing(program: Program) -> Any:
    return next(step.windowing for step in program if isinstance(step, WindowInto))


def _events(program: Program) -> tuple[AddElements | AdvanceWatermark | AdvanceProcessingTime, ...]:
    return next(step.events for step in program if isinstance(step, Script))
