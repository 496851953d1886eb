"""Runs the matrix of mutants: each in a runner of its own, asked by its named assertion, by its areas or by the whole suite.

Worker processes load the suite once and ask mutant after mutant; a mutant never shares a runner with another. One that lets a
worker hang longer than its budget costs that worker, which is replaced.
"""

from __future__ import annotations

import contextlib
import gc
import heapq
import io
import math
import multiprocessing
import os
import queue
import sys
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from enum import StrEnum
from importlib import resources
from pathlib import Path
from typing import Any

import msgspec
import pytest
from attrs import frozen

from conformance.report.results import Result
from conformance.report.verdicts import Level, Verdict
from conformance.resuming import digest_of_code, read_lines
from conformance.suite import catalogue, ledger
from conformance.suite.assertions import marked
from conformance.suite.mutants import Mutant, load
from conformance.suite.mutants.judging import Fate, Status, judge, kills

__all__ = ["Plan", "Question", "Scope", "fingerprints", "node_ids", "question", "read_fates", "run_baseline", "run_matrix"]

#: Programs that share a job, where an assertion draws them: the pack size that is measured on the reference runner.
PACK = 8
#: Seconds for a mutant with its named assertions: the slowest of them, those that hang, take half a minute on a busy machine.
BUDGET = 180.0
#: Seconds for a mutant with more than those: the whole suite takes about two minutes on one core.
BUDGET_ALL = 1200.0
#: Seconds of a mutant with its areas: a wide one that holds nothing up takes a minute or two.
LIMIT_AREAS = 300.0
#: Generated programs to try where more than the named assertions is asked: one that sees a fault mostly does at the first.
EXAMPLES_ALL = 5
#: Time budgets are multiplied by this there: jobs of this runner take a hundredth of them, and what a fault keeps back is waited for to
#: their ends.
SCALE_ALL = 0.2
#: How many of the assertions that took longest the matrix tells.
SLOWEST = 5


class Scope(StrEnum):
    """How much is asked of a mutant."""

    #: The assertion that is named for it.
    NAMED = "named"
    #: The areas of the ledger in which it shows.
    AREAS = "areas"
    #: The whole suite.
    ALL = "all"


@frozen
class Plan:
    """How mutants are to be run."""

    scope: Scope = Scope.NAMED
    jobs: int = 1
    seed: int = 0


@frozen
class Question:
    """What is asked of a mutant."""

    #: Pytest's names.
    tests: tuple[str, ...]
    #: Generated programs a property.
    examples: int
    #: What time budgets are multiplied by.
    scale: float
    #: Seconds behind which nothing more is asked: of a fault that holds up every job it is known by then who sees it.
    limit: float
    #: Seconds in all, until it is given up.
    budget: float


def question(mutant: Mutant, scope: Scope) -> Question:
    """What a scope asks of a mutant; its named assertions are always among it.

    Of one that makes jobs hang only those are asked: whatever else is would wait as long, and a time-out accuses nobody.
    """
    if scope is Scope.NAMED or mutant.verdict == "timeout":
        scale = mutant.timeout_scale
        return Question(tuple(node_ids(mutant.questions)), mutant.examples, scale, math.inf, BUDGET * max(1.0, scale))
    book = ledger.load()
    of = {name: book.leaf(name.partition("/")[0]).area for name in catalogue.by_assertion()}
    areas = {of[name] for name in mutant.questions} | set(mutant.areas)
    asked = [name for name, area in of.items() if scope is Scope.ALL or area in areas]
    examples = mutant.examples if mutant.drawn else EXAMPLES_ALL
    limit = LIMIT_AREAS if scope is Scope.AREAS else math.inf
    return Question(tuple(node_ids(asked)), examples, min(mutant.timeout_scale, SCALE_ALL), limit, BUDGET_ALL)


def node_ids(assertions: Sequence[str]) -> list[str]:
    """The pytest arguments that select the tests of assertions. Raises KeyError for one without a test."""
    tests = catalogue.by_assertion()
    return [f"{entry.module}::{_name(entry)}" for name in assertions for entry in tests[name]]


def _name(entry: catalogue.Entry) -> str:
    """Under which name its module has a test; one that was made in a loop may call itself otherwise."""
    return next(name for name, value in vars(sys.modules[entry.module]).items() if value is entry.function)


def fingerprints(mutants: Iterable[Mutant]) -> dict[str, str]:
    """Mutant id → a mark of everything that its fate depends on: its entry, the module that plants it, all other code and data."""
    root = Path(str(resources.files("conformance")))
    modules = {path: path.read_bytes() for path in sorted((root / "runner" / "mutants").glob("*.py"))}
    common = digest_of_code(modules.keys() | set(root.rglob("mutants/*.toml")))
    found = {}
    for mutant in mutants:
        mark = common.copy()
        mark.update(msgspec.json.encode(mutant))
        planted = f'@mutant("{mutant.id}")'.encode()
        for source in modules.values():
            if planted in source:
                mark.update(source)
        found[mutant.id] = mark.hexdigest()[:16]
    return found


def read_fates(path: Path) -> dict[str, Fate]:
    """The last fate of each mutant in a file of JSON lines; a last line that was cut off is left out."""
    return {fate.mutant: fate for fate in read_lines(path, Fate)}


# ---- asking


class _Keep:
    """A pytest plugin that asks some assertions first, begins with none beyond a limit, and keeps what the recorder has in the end."""

    def __init__(self, first: Sequence[str] = (), limit: float = math.inf) -> None:
        self._first = frozenset(first)
        self._until = time.monotonic() + limit
        self.results: list[Result] = []
        self.fatal = ""

    @pytest.hookimpl(wrapper=True)
    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> Iterator[None]:
        yield  # prerequisites first, and only then these
        items.sort(key=lambda item: getattr(marked(getattr(item, "function", None)), "assertion", "") not in self._first)

    def pytest_runtest_teardown(self, item: pytest.Item) -> None:
        if time.monotonic() > self._until:
            item.session.shouldstop = "this mutant took long enough"

    def pytest_keyboard_interrupt(self, excinfo: pytest.ExceptionInfo[BaseException]) -> None:
        self.fatal = str(excinfo.value)

    def pytest_unconfigure(self, config: pytest.Config) -> None:
        from conformance.plugin import SESSION

        recorder = config.stash[SESSION].recorder
        self.results = recorder.results if recorder is not None else []


def ask(
    address: str,
    tests: Sequence[str],
    *,
    examples: int = 25,
    scale: float = 1.0,
    seed: int = 0,
    first: Sequence[str] = (),
    limit: float = math.inf,
) -> _Keep:
    """The results of tests (pytest's arguments) on a runner of its own: of assertions that are to be asked `first`, then others.

    Behind so many seconds none is begun any more.
    """
    ini = str(resources.files("conformance.suite") / "pytest.ini")
    arguments = ["--pyargs", *tests, "--noconftest", "-c", ini, "--rootdir", str(Path.cwd()), "-p", "no:cacheprovider"]
    arguments += ["-q", "--tb=no", "--runner", address, "--beam-pack", str(PACK), "--beam-examples", str(examples)]
    # The runner is known to have a TestStream; with some faults it does not look like one, and scripts would be played otherwise.
    arguments += [
        "--beam-script-source",
        "teststream",
        "--beam-no-block",
        "--beam-no-shrink",
        "--timeout-scale",
        str(scale),
        "--beam-seed",
        str(seed),
    ]
    keep = _Keep(first, limit)
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        pytest.main(arguments, plugins=[keep])
    return keep


def _seconds(result: Result) -> float:
    return result.seconds


def fate_of(mutant: Mutant, plan: Plan) -> Fate:
    """Asks one mutant, in this process."""
    started = time.monotonic()
    asked = question(mutant, plan.scope)
    kept = ask(
        mutant.address,
        asked.tests,
        examples=asked.examples,
        scale=asked.scale,
        seed=plan.seed,
        first=mutant.questions,
        limit=asked.limit,
    )
    status, shown = judge(mutant, kept.results)
    if kept.fatal:
        status = Status.BROKEN
    return Fate(
        mutant=mutant.id,
        status=status,
        verdict=shown.verdict.value if shown else "",
        message=(shown.message if shown else "") or kept.fatal,
        rule=shown.rule if shown else "",
        killers=kills(kept.results),
        asked=len(kept.results),
        seconds=round(time.monotonic() - started, 2),
        slowest={result.assertion: result.seconds for result in heapq.nlargest(SLOWEST, kept.results, key=_seconds)},
        scope=plan.scope.value,
    )


def run_baseline(mutants: Sequence[Mutant], plan: Plan) -> list[Result]:
    """What the named assertions say of the runner without a fault: the results that are not a pass, of those that are named.

    An always-on invariant may have had nothing to look at there: the fault itself is what some of them look at.
    """
    asked = {name for mutant in mutants for name in mutant.questions}
    named = {mutant.killed_by for mutant in mutants}
    examples = max(mutant.examples for mutant in mutants)
    kept = ask("reference", node_ids(sorted(asked)), examples=examples, seed=plan.seed)
    if kept.fatal:
        raise RuntimeError(kept.fatal)
    judged = {result.assertion.partition("--")[0]: result for result in kept.results}
    unjudged = [
        Result(name, name.partition("/")[0], Level.MUST, Verdict.NO_VERDICT) for name in sorted(named & asked - judged.keys())
    ]
    return unjudged + [judged[name] for name in sorted(named & judged.keys()) if judged[name].verdict is not Verdict.PASS]


# ---- worker processes


def _serve(pipe: Any, plan: Plan) -> None:
    os.environ.setdefault("GRPC_VERBOSITY", "ERROR")
    devnull = os.open(os.devnull, os.O_WRONLY)
    os.dup2(devnull, 2)
    mutants = load()
    catalogue.entries()  # the suite is imported, so that no mutant pays for it
    gc.freeze()  # nor for looking through it whenever pytest collects garbage
    pipe.send(None)
    while (name := pipe.recv()) is not None:
        try:
            pipe.send(fate_of(mutants[name], plan))
        except Exception as error:  # our own fault: it is told, and no mutant's
            pipe.send(Fate(mutant=name, status=Status.BROKEN, message=f"{type(error).__name__}: {error}", scope=plan.scope.value))


class _Worker:
    """A process that asks mutants, one after the other."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._start()

    def _start(self) -> None:
        context = multiprocessing.get_context("spawn")
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(target=_serve, args=(theirs, self._plan), daemon=True)
        self._process.start()
        theirs.close()
        self._ready = False

    def ask(self, mutant: Mutant) -> Fate:
        """The fate of a mutant; `broken` if the worker did not come back with one."""
        budget = question(mutant, self._plan.scope).budget
        try:
            if not self._ready:
                self._pipe.recv()
                self._ready = True
            self._pipe.send(mutant.id)
            if self._pipe.poll(budget):
                fate: Fate = self._pipe.recv()
                return fate
            why = f"no verdict within {budget:g} s"
        except (EOFError, BrokenPipeError, ConnectionResetError):
            why = "the process that asked died"
        self.close()
        self._start()
        return Fate(mutant=mutant.id, status=Status.BROKEN, message=why, scope=self._plan.scope.value)

    def close(self) -> None:
        """Ends the process; runners that it started end with it."""
        with contextlib.suppress(OSError):
            self._pipe.send(None)
        self._process.join(5)
        if self._process.is_alive():
            self._process.terminate()
            self._process.join(5)


def run_matrix(mutants: Sequence[Mutant], plan: Plan) -> Iterator[Fate]:
    """The fate of each mutant, as it is known."""
    waiting: queue.SimpleQueue[Mutant] = queue.SimpleQueue()
    for mutant in mutants:
        waiting.put(mutant)
    told: queue.SimpleQueue[Fate | None] = queue.SimpleQueue()

    def work() -> None:
        worker = _Worker(plan)
        try:
            with contextlib.suppress(queue.Empty):
                while True:
                    told.put(worker.ask(waiting.get_nowait()))
        finally:
            worker.close()
            told.put(None)

    threads = [threading.Thread(target=work, daemon=True) for _ in range(max(1, min(plan.jobs, len(mutants))))]
    for thread in threads:
        thread.start()
    running = len(threads)
    while running:
        fate = told.get()
        if fate is None:
            running -= 1
        else:
            yield fate
