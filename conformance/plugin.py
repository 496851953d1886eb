"""The pytest plugin: options, order, fixtures, and a verdict for every marked test.

Inert in a run that collects none of the suite's tests, so that it can stay installed beside anybody's own tests. It runs in
each xdist worker as in a plain run; only the controller writes results.
"""

from __future__ import annotations

import contextlib
import gc
import hashlib
import sys
from collections.abc import Generator, Iterable
from pathlib import Path
from typing import Any

import pytest

from conformance.endpoints import errors as endpoint_errors
from conformance.report.verdicts import Verdict, unexpected
from conformance.suite.assertions import Marked, marked
from conformance.suite.case import Case
from conformance.suite.conductor import Conductor
from conformance.suite.execution import RunnerUnderTest
from conformance.suite.outcomes import EndpointGone, judge_exception
from conformance.suite.prerequisites import Waiting, cores
from conformance.suite.recording import Recorder, as_result, describe
from conformance.suite.selection import SelectionError, select
from conformance.suite.settings import ENVIRONMENTS, Settings

CASE = pytest.StashKey[Case]()
SESSION = pytest.StashKey["SuiteSession"]()

#: How pytest shows each verdict: category, letter, word. What is not as expected is "failed", so that its summary sees it.
REPORT = {
    "pass": ("passed", ".", "PASSED"),
    "wrong": ("failed", "W", "WRONG"),
    "declined": ("failed", "D", "DECLINED"),
    "error": ("failed", "E", "ERROR"),
    "timeout": ("failed", "T", "TIMEOUT"),
    "no-verdict": ("no-verdict", "-", "NO VERDICT"),
}


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("beam-conformance", "conformance of Apache Beam runners")
    group.addoption("--runner", dest="beam_runner", metavar="ADDRESS", help="runner under test (default: reference)")
    group.addoption("--runner-url", dest="beam_runner_url", metavar="HOST:PORT", help="a job endpoint that is already running")
    group.addoption("--beam-mode", choices=["batch", "streaming", "both"], default="both", help="which modes to ask")
    group.addoption("--beam-report", metavar="DIR", help="write results.jsonl, junit.xml and index.html into DIR")
    group.addoption("--beam-area", action="append", default=[], metavar="AREA", help="only this area of the ledger (repeatable)")
    group.addoption("--beam-leaf", action="append", default=[], metavar="LEAF", help="only this leaf (repeatable)")
    group.addoption("--beam-examples", type=int, default=15, metavar="N", help="generated programs per property (default: 15)")
    group.addoption("--beam-seed", type=int, default=0, metavar="N", help="seed of generated programs (default: 0)")
    group.addoption("--beam-no-shrink", action="store_true", help="tell the first generated program that fails, not the smallest")
    group.addoption("--beam-no-block", action="store_true", help="judge also what rests on a prerequisite that failed")
    group.addoption("--beam-label", default="", metavar="'NAME VERSION'", help="what results call the runner")
    group.addoption("--beam-environment", default="loopback", choices=ENVIRONMENTS, help="where the harness runs")
    group.addoption(
        "--beam-script-source",
        default="auto",
        choices=["auto", "teststream", "sdf"],
        help="what plays event scripts: TestStream, or a splittable function where the runner declines TestStream (default: auto)",
    )
    group.addoption("--beam-shard", metavar="I/N", help="run the I-th of N parts")
    group.addoption("--timeout-scale", type=float, default=1.0, metavar="X", help="multiply every time budget")
    group.addoption("--no-pack", action="store_true", help="a job of its own for every program")
    group.addoption("--beam-pack", type=int, metavar="N", help="programs a job (default: measured at the start)")
    group.addoption("--beam-reach", metavar="FILE", default="", help="write which URNs and message fields the run reached")
    group.addoption("--beam-command", default="", help="command to print as the way to reproduce")


def settings_of(config: pytest.Config) -> Settings:
    """The run's settings from pytest's options. Raises pytest.UsageError for values that make no sense."""
    option = config.getoption
    address = option("beam_runner") or "reference"
    url = option("beam_runner_url")
    if url:
        if option("beam_runner"):
            raise pytest.UsageError("give --runner or --runner-url, not both")
        address = url if "://" in url else f"grpc://{url}"
    shard = None
    if option("--beam-shard"):
        index, _, count = option("--beam-shard").partition("/")
        if not (index.isdigit() and count.isdigit() and 1 <= int(index) <= int(count)):
            raise pytest.UsageError(f"--beam-shard {option('--beam-shard')}: write I/N with 1 <= I <= N, as in 1/4")
        shard = (int(index), int(count))
    mode = option("--beam-mode")
    return Settings(
        runner=address,
        label=option("--beam-label"),
        modes=("batch", "streaming") if mode == "both" else (mode,),
        examples=option("--beam-examples"),
        seed=option("--beam-seed"),
        shrink=not option("--beam-no-shrink"),
        timeout_scale=option("--timeout-scale"),
        pack_size=1 if option("--no-pack") else option("--beam-pack"),
        blocks=not option("--beam-no-block"),
        environment=option("--beam-environment"),
        script_source=option("--beam-script-source"),
        areas=tuple(option("--beam-area")),
        leaves=tuple(option("--beam-leaf")),
        shard=shard,
        output=option("--beam-report"),
        reach=option("--beam-reach"),
        selection=" ".join(
            f"{flag} {value if isinstance(value, str) else ','.join(value)}"
            for flag, value in (("-k", option("keyword")), ("--area", option("--beam-area")), ("--leaf", option("--beam-leaf")))
            if value
        ),
        command=option("--beam-command") or f"pytest --pyargs conformance.suite --runner {address}",
    )


def pytest_configure(config: pytest.Config) -> None:
    session = SuiteSession(config)
    config.stash[SESSION] = session
    config.pluginmanager.register(session, "beam-conformance-session")


@pytest.fixture
def case(request: pytest.FixtureRequest) -> Case:
    """The scenario's case: its program, options and settings."""
    found: Case = request.node.stash[CASE]
    return found


@pytest.fixture
def runner(request: pytest.FixtureRequest) -> RunnerUnderTest:
    """The runner under test, for probes and property-based tests."""
    conductor = request.config.stash[SESSION].conductor
    assert conductor is not None
    return conductor.runner


def prefix_of(assertion: str, name: str) -> str:
    """The prefix of a case's observers and ids: by its own names alone, so that its pipeline is the same in every run."""
    return f"c{hashlib.blake2b(f'{assertion} {name}'.encode(), digest_size=5).hexdigest()}."


def _marked_items(items: Iterable[pytest.Item]) -> list[tuple[pytest.Item, Marked]]:
    found = []
    for item in items:
        mark = marked(getattr(item, "function", None))
        if mark is not None:
            found.append((item, mark))
    return found


class SuiteSession:
    """The hooks of one pytest session, with what they share: the conductor (who runs) and the recorder (who writes).

    A plain run has both; of an xdist run the workers have conductors and the controller has the recorder.
    """

    def __init__(self, config: pytest.Config) -> None:
        self.config = config
        self.settings = settings_of(config)
        self.is_worker = hasattr(config, "workerinput")
        self.conductor: Conductor | None = None
        self.recorder: Recorder | None = None
        #: What this process was given to do, as data for the controller; see `_plan`.
        self._work: dict[str, Any] = {}
        #: What of Beam's interface all processes reached.
        self._reached: set[str] = set()
        #: In the controller: results that wait for what decides about them.
        self._waiting: Waiting | None = None

    @property
    def is_controller(self) -> bool:
        return not self.is_worker and bool(getattr(self.config.option, "numprocesses", None))

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(self, config: pytest.Config, items: list[pytest.Item]) -> None:
        """Keep what the options select, prerequisites first; tests that are not ours stay where they are."""
        ours = _marked_items(items)
        if not ours:
            return
        try:
            kept = select([(item, mark.assertion, mark.modes) for item, mark in ours], self.settings)
        except SelectionError as error:
            raise pytest.UsageError(str(error)) from None
        keep = {id(item) for item in kept}
        mine = {id(item) for item, _ in ours}
        dropped = [item for item, _ in ours if id(item) not in keep]
        items[:] = [item for item in items if id(item) not in mine] + kept
        if dropped:
            config.hook.pytest_deselected(items=dropped)

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> bool | None:
        """Reach the endpoint once, before any test, so that a wrong address ends the run with one sentence and exit code 4."""
        ours = _marked_items(session.items)
        if self.config.option.collectonly or not (ours or self.is_controller):
            return None
        self._work = self._plan(mark for _, mark in ours)
        if not self.is_worker:
            try:
                self.recorder = Recorder(self.settings, expected=len(ours), modes=self._work["modes"])
            except OSError as error:
                pytest.exit(f"cannot write the report: {error}; choose another directory with --beam-report", returncode=4)
        if self.is_controller:
            return None
        gc.freeze()  # the suite itself is no garbage: each collection during the run would go through all of it
        try:
            self.conductor = Conductor.open(self.settings, self._tell)
        except endpoint_errors.EndpointError as error:
            if not self.is_worker:
                pytest.exit(str(error), returncode=error.exit_code)
            self.config.workeroutput["beam_fatal"] = (str(error), error.exit_code)  # type: ignore[attr-defined]
            return True  # this process has nothing more to do; the controller ends the run
        runner = self.conductor.runner
        if self.recorder is not None:
            self.recorder.runner(self.conductor.identity())
        for item, mark in ours:
            if mark.scenario is not None:
                callspec = getattr(item, "callspec", None)
                parameters = dict(callspec.params) if callspec else {}
                item.stash[CASE] = Case(mark, parameters, prefix_of(mark.assertion, item.name), self.settings, runner)
        if not self.is_worker:  # an xdist worker cannot know which tests will be its own
            runner.expect(item.stash[CASE] for item, mark in ours if mark.packable)
        return None

    def _plan(self, marks: Iterable[Marked]) -> dict[str, Any]:
        """How many tests were selected, in which modes, and how many of them are core assertions of which leaf."""
        marks = list(marks)
        modes = tuple(mode for mode in self.settings.modes if any(mode in mark.modes for mark in marks))
        return {"selected": len(marks), "modes": modes, "cores": cores(mark.assertion for mark in marks)}

    def _tell(self, message: str) -> None:
        """Say what takes long before the first test, past pytest's capture."""
        capture = self.config.pluginmanager.get_plugin("capturemanager")
        with capture.global_and_fixture_disabled() if capture is not None else contextlib.nullcontext():
            print(message, file=sys.stderr, flush=True)

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_setup(self, item: pytest.Item) -> None:
        mark = marked(getattr(item, "function", None))
        if mark is not None and self.conductor is not None:
            self.conductor.begin(mark)

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(
        self, item: pytest.Item, call: pytest.CallInfo[None]
    ) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        report = yield
        mark = marked(getattr(item, "function", None))
        failed_early = call.when == "setup" and call.excinfo is not None
        if mark is None or self.conductor is None or not (call.when == "call" or failed_early):
            return report
        error = call.excinfo.value if call.excinfo else None
        if isinstance(error, pytest.skip.Exception):
            error = TypeError(f"{item.nodeid}: a conformance test must not skip; raise NotExercised with the reason")
        judgement = judge_exception(error) if error is not None else None
        result = self.conductor.conclude(
            mark,
            item.name,
            judgement,
            seconds=call.duration,
            case=item.stash.get(CASE, None),
            error=error,
            detail=report.longreprtext,
        )
        if CASE in item.stash:  # pytest keeps items to the end, and a case holds the transcript of its job
            del item.stash[CASE]
        # xdist carries attributes that are plain data from its workers to the controller
        report.beam_result = result  # type: ignore[attr-defined]
        report.beam_identity = self.conductor.identity()  # type: ignore[attr-defined]
        report.beam_work, self._work = self._work, {}  # type: ignore[attr-defined]
        verdict = Verdict(result["verdict"])
        if verdict is not Verdict.PASS and not unexpected(as_result(result)):
            report.outcome = "skipped"
            report.longrepr = (str(item.path), item.reportinfo()[1] or 0, f"{verdict.value}: {result['message']}")
        if isinstance(error, EndpointGone):
            item.session.shouldstop = str(error)
        return report

    def pytest_report_teststatus(self, report: pytest.TestReport) -> tuple[str, str, str] | None:
        result = getattr(report, "beam_result", None)
        if result is None:
            return None
        category, letter, word = REPORT[result["verdict"]]
        if report.outcome == "skipped" and result["verdict"] != "no-verdict":
            return f"{result['verdict']} ({result['level']})", letter.lower(), f"{word} ({result['level']})"
        return category, letter, word

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        result = getattr(report, "beam_result", None)
        if result is None or self.recorder is None:
            return
        if not self.is_controller:
            self.recorder.write(result)
            return
        if self._waiting is None:  # the first result of the first process tells what all of them have collected
            work = report.beam_work
            self.recorder.expect(work["selected"], tuple(work["modes"]))
            self._waiting = Waiting(work["cores"])
            self.recorder.runner(report.beam_identity)
        for line in self._waiting.take(result) if self.settings.blocks else (result,):
            self.recorder.write(line)

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any, error: object) -> None:
        """An xdist worker ended: take over what it learned of the invariants, or why it could not begin."""
        told = getattr(node, "workeroutput", {})
        if fatal := told.get("beam_fatal"):
            pytest.exit(fatal[0], returncode=fatal[1])
        self._reached.update(told.get("beam_reached", ()))
        if self.recorder is not None:
            self.recorder.invariants(told.get("beam_invariants", []))

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, session: pytest.Session, exitstatus: int) -> None:
        if self.conductor is not None:
            summary = self.conductor.invariants()
            self._reached.update(self.conductor.runner.reach.found)
            self.conductor.close()
            if self.is_worker:
                self.config.workeroutput["beam_invariants"] = summary  # type: ignore[attr-defined]
                self.config.workeroutput["beam_reached"] = sorted(self._reached)  # type: ignore[attr-defined]
            elif self.recorder is not None:
                self.recorder.invariants(summary)
        if self.settings.reach and not self.is_worker:
            Path(self.settings.reach).write_text("".join(f"{name}\n" for name in sorted(self._reached)), encoding="utf-8")
        if self.recorder is not None:
            for line in self._waiting.rest() if self._waiting is not None else ():
                self.recorder.write(line)
            interrupted = bool(session.shouldstop) or exitstatus in (2, 3, 4)
            self.recorder.finish(complete=not interrupted)
            if self.recorder.unexpected and session.exitstatus == 0:
                session.exitstatus = 1

    def pytest_terminal_summary(self, terminalreporter: Any) -> None:
        if self.recorder is not None and (self.recorder.selected or self.recorder.results):
            terminalreporter.section("beam conformance")
            for line in describe(self.recorder):
                terminalreporter.write_line(line)
