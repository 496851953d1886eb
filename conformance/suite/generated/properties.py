"""Property-based assertions: Hypothesis draws programs, the endpoint runs them, the oracle judges, and a failure is shrunk.

`drawing` says how the examples are drawn, packed and shrunk.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from hypothesis import strategies as st

from conformance.oracle.judge import judge
from conformance.oracle.program import Program
from conformance.pipeline import Program as Builder
from conformance.suite.checks import Wrong
from conformance.suite.execution import RunnerUnderTest
from conformance.suite.generated import functions  # noqa: F401  (registers the functions that programs name)
from conformance.suite.generated.compile import compile_program, seen_by
from conformance.suite.generated.drawing import every
from conformance.suite.generated.lagging import LAGGED, judge_lagging
from conformance.suite.outcomes import Declined, EndpointGone, JobEndedBadly, NotExercised
from conformance.suite.scripting import SDF

__all__ = ["check_programs", "for_all", "run_programs"]


def for_all(
    runner: RunnerUnderTest, programs: st.SearchStrategy[Program], label: str, examples: int | None = None, source: str = ""
) -> None:
    """Every program that `programs` draws has an admissible outcome on `runner`; raises Wrong with the smallest that has not.

    `source`: what plays scripts, where it is not what the run found out.
    """
    __tracebackhide__ = True
    every(runner, programs, lambda drawn: check_programs(runner, drawn, label, source), examples)


def check_programs(runner: RunnerUnderTest, programs: Sequence[Program], label: str, source: str = "") -> None:
    """Run the programs, in one job if they are several, and judge each. Raises Wrong for the first that is not admissible."""
    __tracebackhide__ = True
    try:
        observations = run_programs(runner, programs, label, source)
    except EndpointGone:
        raise
    except Exception as error:
        if len(programs) == 1 and isinstance(error, JobEndedBadly | Declined):
            raise type(error)(f"{error} (program: {programs[0].to_json()})") from None
        for program in programs:  # the pack failed: which program does, alone?
            check_programs(runner, [program], label, source)
        raise
    for program, observed in observations:
        by_function = runner.played_by == SDF and not program.is_bounded
        verdict = judge_lagging(program, observed) if by_function else judge(program, observed)
        if verdict is None:
            raise NotExercised(
                f"no TestStream, so the watermark may lag (M-WM-10) in more ways than can be judged: {program.to_json()}"
            )
        runner.lagged += LAGGED in verdict.infos
        if not verdict.ok and len(programs) > 1:
            # Programs of a pack may disturb one another on the runner; a verdict is given on the program alone.
            check_programs(runner, [program], label, source)
        elif not verdict.ok:
            raise Wrong(
                f"{verdict.sentence} (program: {program.to_json()})",
                expected=verdict.expected,
                observed=verdict.observed,
                rule=verdict.rule,
            )


def run_programs(
    runner: RunnerUnderTest, programs: Sequence[Program], label: str, source: str = ""
) -> list[tuple[Program, dict[str, Any]]]:
    """Each program with what its observers saw. Raises NotExercised for a script that nothing can play on this endpoint."""
    scripted = any(not program.is_bounded for program in programs)
    runner.played_by = player = (source or runner.script_source) if scripted else ""
    runs = runner.run_builders([_builder(program, player) for program in programs], label=label)
    return [(program, seen_by(program, run)) for program, run in zip(programs, runs, strict=True)]


def _builder(program: Program, source: str) -> Callable[[Builder], None]:
    def build(into: Builder) -> None:
        compile_program(program, into, source)

    return build
