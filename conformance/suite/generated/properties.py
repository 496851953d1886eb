"""Property-based assertions: Hypothesis draws programs, the endpoint runs them, the oracle judges, and a failure is shrunk.

`drawing` says how the examples are drawn, packed and shrunk.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from importlib import resources
from pathlib import Path
from typing import Any

from attrs import define
from hypothesis import strategies as st

from conformance.endpoints.errors import PhaseTimeout
from conformance.oracle.errors import UnsupportedProgram
from conformance.oracle.judge import Verdict, judge
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

__all__ = ["check_programs", "for_all", "for_all_under_scripts", "run_programs", "stored"]


def for_all(
    runner: RunnerUnderTest,
    programs: st.SearchStrategy[Program],
    label: str,
    examples: int | None = None,
    *,
    source: str = "",
    packed: bool = True,
) -> None:
    """Every program that `programs` draws has an admissible outcome on `runner`; raises Wrong with the smallest that has not.

    Programs that once told something are asked first (`stored`). `source`: what plays scripts, where it is not what the run found out.
    A program that the runner declines, for a requirement that not all of them have, says nothing about the others.
    """
    __tracebackhide__ = True
    asking = _Asking(runner, label, source)
    for program in stored(label):
        asking.check([program])
    try:
        every(runner, programs, asking.check, label, examples=examples, packed=packed)
    except WrongProgram as error:
        _keep(runner, label, error)
        raise
    if asking.declined is not None and not asking.ran:
        raise asking.declined


@define
class _Asking:
    """`check_programs` for what is drawn, with a count of what was declined."""

    runner: RunnerUnderTest
    label: str
    source: str
    ran: int = 0
    declined: Declined | None = None

    def check(self, programs: Sequence[Program]) -> None:
        __tracebackhide__ = True
        try:
            check_programs(self.runner, programs, self.label, self.source)
        except Declined as error:
            if len(programs) > 1:
                for program in programs:
                    self.check([program])
                return
            self.declined = error
            self.runner.remarks.update(["declined"])
        else:
            self.ran += len(programs)


def for_all_under_scripts(runner: RunnerUnderTest, programs: st.SearchStrategy[Program], label: str) -> None:
    """As `for_all`, for programs that need a TestStream to be judged, at half the examples: a job has one TestStream at most (M-TS-06), so
    each is a job. Raises NotExercised on a runner without one."""
    __tracebackhide__ = True
    if runner.script_source == SDF:
        raise NotExercised("the runner declines TestStream, and without it the outcomes of such programs cannot be told apart")
    for_all(runner, programs, label, max(1, runner.settings.examples // 2), packed=False)


class WrongProgram(Wrong):
    """A program whose outcome is not admissible."""

    def __init__(self, program: Program, verdict: Verdict) -> None:
        super().__init__(
            f"The outcome of a drawn program is not admissible: {verdict.sentence} (program: {program.to_json()})",
            expected=verdict.expected,
            observed=verdict.observed,
            rule=verdict.rule,
        )
        self.program, self.verdict = program, verdict


def _keep(runner: RunnerUnderTest, label: str, error: WrongProgram) -> None:
    """Write the smallest program that failed beside the results, in the form of those in `stored/`."""
    if runner.settings.output is None:
        return
    directory = Path(runner.settings.output) / "counterexamples"
    directory.mkdir(parents=True, exist_ok=True)
    found = {
        "property": label,
        "found": f"{runner.settings.runner}: {error.verdict.rule}: {error.verdict.sentence}",
        "program": error.program.to_json(),
    }
    (directory / f"{label.replace('/', '-')}.json").write_text(json.dumps(found, indent=1) + "\n")


def stored(label: str) -> list[Program]:
    """Programs kept in `stored/` for the property `label`: each showed a fault of some runner, or of the oracle."""
    found = []
    for file in sorted(resources.files(__package__).joinpath("stored").iterdir(), key=lambda file: file.name):
        data = json.loads(file.read_text()) if file.name.endswith(".json") else {}
        if data.get("property") == label:
            found.append(Program.from_json(data["program"]))
    return found


def check_programs(runner: RunnerUnderTest, programs: Sequence[Program], label: str, source: str = "") -> None:
    """Run the programs, in one job if they are several, and judge each. Raises Wrong for the first that is not admissible."""
    __tracebackhide__ = True
    try:
        observations = run_programs(runner, programs, label, source)
    except EndpointGone:
        raise
    except Exception as error:
        if len(programs) == 1:
            if isinstance(error, JobEndedBadly | Declined):
                raise type(error)(f"{error} (program: {programs[0].to_json()})") from None
            raise
        for program in programs:  # the pack failed: which program does, alone?
            check_programs(runner, [program], label, source)
        if isinstance(error, PhaseTimeout):  # too much for one job; each program has its verdict now
            return
        raise
    for program, observed in observations:
        verdict = _verdict(runner, program, observed)
        if verdict is None or LAGGED in verdict.infos:  # legal for all that can be told
            runner.lagged += 1
            continue
        if not verdict.ok and len(programs) > 1:
            # Programs of a pack may disturb one another on the runner; a verdict is given on the program alone.
            check_programs(runner, [program], label, source)
        elif not verdict.ok:
            raise WrongProgram(program, verdict)


#: Seconds for a job of drawn programs, and more for each, which take less than one where nothing is wrong: some runners hang of some.
PATIENCE = 20.0
MORE_PATIENCE = 1.0

#: Said of an outcome that the oracle cannot judge although it can judge the program: too many runs might have led to it.
UNJUDGED = "not judged: "


def _verdict(runner: RunnerUnderTest, program: Program, observed: dict[str, Any]) -> Verdict | None:
    """The oracle's verdict, its remarks counted; None for a script whose watermark lagged in more ways than can be judged."""
    try:
        by_function = not program.is_bounded and runner.played_by == SDF
        verdict = judge_lagging(program, observed) if by_function else judge(program, observed)
    except UnsupportedProgram as error:
        verdict = Verdict(True, infos=(f"{UNJUDGED}{error}",))
    if verdict is not None:
        runner.remarks.update({info if info.startswith(UNJUDGED) else info.split(": ", 1)[-1] for info in verdict.infos})
    return verdict


def run_programs(
    runner: RunnerUnderTest, programs: Sequence[Program], label: str, source: str = ""
) -> list[tuple[Program, dict[str, Any]]]:
    """Each program with what its observers saw. Raises NotExercised for a script that nothing can play on this endpoint."""
    scripted = any(not program.is_bounded for program in programs)
    runner.played_by = player = (source or runner.script_source) if scripted else ""
    patience = PATIENCE + MORE_PATIENCE * (len(programs) - 1)
    runs = runner.run_builders([_builder(program, player) for program in programs], label=label, patience=patience)
    return [(program, seen_by(program, run)) for program, run in zip(programs, runs, strict=True)]


def _builder(program: Program, source: str) -> Callable[[Builder], None]:
    def build(into: Builder) -> None:
        compile_program(program, into, source)

    return build
