"""What `beam-conformance run` shows while pytest works: a bar with counts and time left; plain lines where there is no terminal."""

from __future__ import annotations

import os
import signal
import time
from collections import Counter
from collections.abc import Sequence
from types import FrameType
from typing import Any

import pytest
from _pytest.terminal import TerminalReporter
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeRemainingColumn

from conformance.plugin import SESSION
from conformance.suite.recording import Recorder

__all__ = ["ProgressPlugin"]

#: Without a terminal: a line at least this often (seconds), so that a CI log shows life.
LINE_EVERY = 10.0


class ProgressPlugin:
    """Given to pytest.main: silences pytest's own terminal, shows progress, and keeps the recorder and any fatal message."""

    def __init__(self, console: Console, *, quiet_pytest: bool = True) -> None:
        self.console = console
        self.quiet_pytest = quiet_pytest
        self.recorder: Recorder | None = None
        self.fatal: str | None = None
        self.interrupted = False
        self._interrupt_asked = False
        self.collection_errors: list[str] = []
        self._counts: Counter[str] = Counter()
        self._total = 0
        self._last_line = time.monotonic()
        self._progress: Progress | None = None
        self._task: Any = None

    @pytest.hookimpl(trylast=True)
    def pytest_configure(self, config: pytest.Config) -> None:
        if self.quiet_pytest:
            manager = config.pluginmanager
            manager.unregister(manager.getplugin("terminalreporter"))
            # An open handle for the whole process: the reporter writes until the interpreter ends.
            manager.register(TerminalReporter(config, open(os.devnull, "w")), "terminalreporter")  # noqa: SIM115

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        self._total = len(session.items)

    @pytest.hookimpl(optionalhook=True)
    def pytest_xdist_node_collection_finished(self, ids: Sequence[str]) -> None:
        """Of several processes it is they that collect, each of them everything."""
        self._total = len(ids)
        if self._progress is not None:
            self._progress.update(self._task, total=self._total)

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        if report.failed:
            self.collection_errors.append(report.longreprtext)

    def pytest_sessionstart(self) -> None:
        if signal.getsignal(signal.SIGINT) is signal.default_int_handler:  # a shell may have it ignored in the background
            signal.signal(signal.SIGINT, self._on_interrupt)

    def _on_interrupt(self, number: int, frame: FrameType | None) -> None:
        """Python drops what is raised while a finalizer or a callback of C code runs, so an interrupt is remembered too."""
        self._interrupt_asked = True
        raise KeyboardInterrupt

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> None:
        self._total = self._total or len(session.items)
        if self.console.is_terminal and self.quiet_pytest:
            self._progress = Progress(
                SpinnerColumn(),
                TextColumn("{task.description}"),
                BarColumn(bar_width=28),
                MofNCompleteColumn(),
                TextColumn("{task.fields[counts]}"),
                TimeRemainingColumn(),
                console=self.console,
                transient=True,
            )
            self._progress.start()
            self._task = self._progress.add_task("starting the runner", total=self._total or None, counts="")

    def pytest_runtest_logstart(self, nodeid: str) -> None:
        if self._progress is not None:
            self._progress.update(self._task, description=nodeid.rpartition("::")[2].removeprefix("test_")[:44].ljust(44))

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if self._interrupt_asked and not self.interrupted:
            raise KeyboardInterrupt
        result = getattr(report, "beam_result", None)
        if result is None:
            return
        self._counts[result["verdict"]] += 1
        done = sum(self._counts.values())
        counts = " ".join(f"{count} {verdict}" for verdict, count in self._counts.most_common())
        if self._progress is not None:
            self._progress.update(self._task, completed=done, counts=counts)
        elif self.quiet_pytest and time.monotonic() - self._last_line > LINE_EVERY:
            self._last_line = time.monotonic()
            self.console.print(f"{done}/{self._total or '?'}: {counts}", highlight=False)

    def pytest_keyboard_interrupt(self, excinfo: pytest.ExceptionInfo[BaseException]) -> None:
        if isinstance(excinfo.value, pytest.exit.Exception):
            self.fatal = str(excinfo.value.msg)
        else:
            self.interrupted = True

    def pytest_internalerror(self, excrepr: object) -> None:
        self.fatal = f"internal error, please report it:\n{excrepr}"

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        if (
            isinstance(session.shouldstop, str)
            and session.shouldstop
            and self.fatal is None
            and "stopping after" not in session.shouldstop
        ):
            self.fatal = session.shouldstop
        if signal.getsignal(signal.SIGINT) == self._on_interrupt:
            signal.signal(signal.SIGINT, signal.default_int_handler)
        self.recorder = session.config.stash[SESSION].recorder
        if self._progress is not None:
            self._progress.stop()
