"""The case: what a scenario receives. It holds the program that the scenario builds, and later the run that it judges."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from typing import Any, Protocol

from conformance.pipeline import PCollection, Program
from conformance.pipeline.coders import CoderSpec
from conformance.pipeline.teststream import Event
from conformance.suite.assertions import Marked
from conformance.suite.outcomes import NotExercised
from conformance.suite.run import Run
from conformance.suite.scripting import PAIRS, SDF, play
from conformance.suite.settings import Settings

__all__ = ["Case", "Executor", "Scenario"]

#: What a test in the shape of a scenario returns; for annotations.
Scenario = Generator[None, Run, None]


class Executor(Protocol):
    """Who runs a case when its turn comes, alone or together with cases that come later."""

    def run_case(self, case: Case) -> Run: ...

    def run_alone(self, case: Case) -> Run: ...

    @property
    def script_source(self) -> str:
        """What plays event scripts on this endpoint: one of `conformance.suite.scripting`."""
        ...


class Case:
    """One scenario with one set of parameters.

    `program` is the builder to use; `options`, `capabilities` and `session_options` may be changed before the `yield` by a
    scenario that was declared `alone`.
    """

    def __init__(self, mark: Marked, parameters: dict[str, Any], prefix: str, settings: Settings, executor: Executor) -> None:
        self.mark = mark
        self.parameters = parameters
        #: Prefix of this case's observers, so that several cases can share a job.
        self.prefix = prefix
        self.settings = settings
        self.program = Program(mark.assertion, prefix=prefix)
        #: Pipeline options of the job, beside those of the endpoint's profile.
        self.options: dict[str, Any] = {}
        #: Capabilities that the environment declares; None: the harness's usual ones.
        self.capabilities: tuple[str, ...] | None = None
        #: Further keyword arguments of the harness session (faults, answer order, …).
        self.session_options: dict[str, Any] = {}
        #: Arguments of `JobClient.run_job` (dependencies, cancel events, …).
        self.job_options: dict[str, Any] = {}
        self.run: Run | None = None
        #: What played the scenario's script, "" if it has none.
        self.played_by = ""
        #: Says of a run what is wrong with it even if its script was played by no TestStream; None where nobody can say.
        self.wrong_anyhow: Callable[[Run], AssertionError | None] | None = None
        self._executor = executor
        self._generator: Scenario | None = None

    @property
    def script_source(self) -> str:
        """What plays event scripts on this endpoint, learnt once a run."""
        return self._executor.script_source

    def played(self, events: Sequence[Event], coder: CoderSpec = PAIRS, name: str = "script") -> PCollection:
        """What plays `events` on this endpoint. Raises NotExercised for events that cannot be played there."""
        self.played_by = self.script_source
        return play(self.played_by, self.program, events, coder, name)

    def prepare(self) -> None:
        """Run the scenario up to its `yield`: afterwards `program` is complete. A second call does nothing."""
        if self._generator is not None:
            return
        assert self.mark.scenario is not None
        self.program = Program(self.mark.assertion, prefix=self.prefix)
        generator = self.mark.scenario(self, **self.parameters)
        try:
            next(generator)
        except StopIteration:
            raise TypeError(f"{self.mark.assertion}: the scenario never said `run = yield`") from None
        self._generator = generator

    def conclude(self, **parameters: Any) -> None:
        """Build (if that has not happened yet), run, and resume the scenario with its run; raises what the scenario raises."""
        __tracebackhide__ = True
        if parameters:
            self.parameters = parameters
        self.prepare()
        self.run = self._executor.run_case(self)
        try:
            self._resume(self.run)
        except AssertionError as error:
            if not self.run.shared:
                raise self._as_scripted(error) from None
            # Programs of a pack may disturb one another on the runner; a verdict is given on the program alone.
            self._generator = None
            self.prepare()
            self.run = self._executor.run_alone(self)
            try:
                self._resume(self.run)
            except AssertionError as error:
                raise self._as_scripted(error) from None

    def _as_scripted(self, error: AssertionError) -> Exception:
        """`error`, unless the script was played by a function: then the order of events is not owed (M-WM-10)."""
        if self.played_by != SDF:
            return error
        assert self.run is not None
        wrong = self.wrong_anyhow(self.run) if self.wrong_anyhow is not None else None
        return wrong or NotExercised(f"no TestStream, so the watermark may lag (M-WM-10); as scripted it would be: {error}")

    def _resume(self, run: Run) -> None:
        __tracebackhide__ = True
        assert self._generator is not None
        try:
            self._generator.send(run)
        except StopIteration:
            return
        raise TypeError(f"{self.mark.assertion}: the scenario said `yield` twice")
