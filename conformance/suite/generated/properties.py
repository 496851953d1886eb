"""Property-based assertions: Hypothesis draws programs, the endpoint runs them, the oracle judges, and a failure is shrunk.

Several programs an example: where packing gains, an example is a list of programs that share a job; a failing list shrinks to
the one program that fails, so the result does not depend on packing.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from hypothesis import HealthCheck, Phase, Verbosity, given, settings
from hypothesis import seed as hypothesis_seed
from hypothesis import strategies as st
from hypothesis.database import DirectoryBasedExampleDatabase, ExampleDatabase

from conformance.oracle.judge import judge
from conformance.oracle.program import Program
from conformance.pipeline import Program as Builder
from conformance.suite.checks import Wrong
from conformance.suite.execution import RunnerUnderTest
from conformance.suite.generated import functions  # noqa: F401  (registers the functions that programs name)
from conformance.suite.generated.compile import compile_program, seen_by
from conformance.suite.outcomes import Declined, EndpointGone, JobEndedBadly
from conformance.suite.run import Run

__all__ = ["check_programs", "for_all", "run_programs"]


def for_all(runner: RunnerUnderTest, programs: st.SearchStrategy[Program], label: str) -> None:
    """Every program that `programs` draws has an admissible outcome on `runner`; raises Wrong with the smallest that has not.

    The same seed draws the same programs whatever the endpoint, the order of tests, and the size of packs: a pack is a slice
    of one sequence of draws.
    """
    __tracebackhide__ = True
    wanted = runner.settings.examples
    packed = min(runner.pack_size, wanted)

    @hypothesis_seed(runner.settings.seed)
    @settings(
        max_examples=-(-wanted // packed),
        deadline=None,
        database=_database(runner),
        suppress_health_check=list(HealthCheck),
        verbosity=Verbosity.quiet,
        phases=[Phase.explicit, Phase.reuse, Phase.generate, Phase.target, Phase.shrink],
        print_blob=False,
        report_multiple_bugs=False,
    )
    @given(st.lists(programs, min_size=packed, max_size=packed) if packed > 1 else programs.map(lambda program: [program]))
    def every_program_is_admissible(drawn: list[Program]) -> None:
        check_programs(runner, drawn, label)

    every_program_is_admissible()


def _database(runner: RunnerUnderTest) -> ExampleDatabase | None:
    """Counter-examples are kept beside the results, one database a runner; without an output directory nothing is kept."""
    if runner.settings.output is None:
        return None
    return DirectoryBasedExampleDatabase(f"{runner.settings.output}/examples")


def check_programs(runner: RunnerUnderTest, programs: Sequence[Program], label: str) -> None:
    """Run the programs, in one job if they are several, and judge each. Raises Wrong for the first that is not admissible."""
    __tracebackhide__ = True
    try:
        observations = run_programs(runner, programs, label)
    except EndpointGone:
        raise
    except Exception as error:
        if len(programs) == 1 and isinstance(error, JobEndedBadly | Declined):
            raise type(error)(f"{error} (program: {programs[0].to_json()})") from None
        for program in programs:  # the pack failed: which program does, alone?
            check_programs(runner, [program], label)
        raise
    for program, observed in observations:
        verdict = judge(program, observed)
        if not verdict.ok and len(programs) > 1:
            # Programs of a pack may disturb one another on the runner; a verdict is given on the program alone.
            check_programs(runner, [program], label)
        elif not verdict.ok:
            raise Wrong(
                f"{verdict.sentence} (program: {program.to_json()})",
                expected=verdict.expected,
                observed=verdict.observed,
                rule=verdict.rule,
            )


def run_programs(runner: RunnerUnderTest, programs: Sequence[Program], label: str) -> list[tuple[Program, dict[str, Any]]]:
    """Each program with what its observers saw."""
    runs = runner.run_builders([_builder(program) for program in programs], label=label)
    return [(program, seen_by(program, run)) for program, run in zip(programs, runs, strict=True)]


def _builder(program: Program) -> Callable[[Builder], None]:
    def build(into: Builder) -> None:
        compile_program(program, into)

    return build


#: For tests of this module: what run_programs gives back.
ProgramRun = tuple[Program, Run]
