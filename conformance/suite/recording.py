"""Writes what a run finds, as it finds it: results.jsonl line by line, then junit.xml and index.html when it ends."""

from __future__ import annotations

import os
import platform
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec

from conformance import __version__
from conformance.report import junit, page, results
from conformance.report.verdicts import ExitCode, exit_code, run_facts, unexpected
from conformance.suite import coverage, ledger
from conformance.suite.conductor import invariant_results, merge_invariants
from conformance.suite.settings import Settings

__all__ = ["BEAM_VERSION", "Recorder", "as_result", "describe"]

#: The version of Beam's interface definitions that the protos here are wire-identical to.
BEAM_VERSION = "2.77"


class Recorder:
    """The results of one run; writes nothing when the settings name no output directory. Raises OSError if it cannot write."""

    def __init__(self, settings: Settings, expected: int, modes: tuple[str, ...]) -> None:
        self.settings = settings
        #: The modes in which anything was selected.
        self.modes = modes
        #: How many tests were selected.
        self.selected = expected
        self.counts: Counter[str] = Counter()
        #: Every result, without its evidence.
        self.results: list[results.Result] = []
        self.started = time.monotonic()
        self.complete = False
        self._identity: dict[str, str] | None = None
        self._invariants: list[Sequence[dict[str, Any]]] = []
        self._writer: results.ResultsWriter | None = None
        self.output = Path(settings.output) if settings.output else None
        if self.output is not None:
            self.output.mkdir(parents=True, exist_ok=True)
            (self.output / "results.jsonl").touch()

    def expect(self, selected: int, modes: tuple[str, ...]) -> None:
        """Tell what was selected, where other processes know it; before the first result."""
        self.selected, self.modes = selected, modes

    def runner(self, identity: dict[str, str]) -> None:
        """Tell which runner answers; the header is written once."""
        if self._identity is not None:
            return
        self._identity = identity
        if self.output is not None:
            header = results.Header(
                suite=__version__,
                beam=BEAM_VERSION,
                runner=results.Runner(**identity),
                sdk=self.settings.sdk,
                environment=self.settings.environment,
                seed=self.settings.seed,
                command=self.settings.command,
                started=datetime.now(UTC).isoformat(timespec="seconds"),
                modes=self.modes,
                selected=self.selected,
                selection=self.settings.selection,
                shard="/".join(map(str, self.settings.shard or ())),
                host=f"{platform.system()} {platform.machine()}, {os.cpu_count()} CPUs, Python {platform.python_version()}",
            )
            self._writer = results.ResultsWriter(self.output / "results.jsonl", header)

    def write(self, line: dict[str, Any]) -> None:
        """Take one result; it is on disk when this returns."""
        result = as_result(line)
        self.results.append(msgspec.structs.replace(result, evidence={}))
        self.counts[result.verdict.value] += 1
        if self._writer is not None:
            self._writer.write(result)

    def invariants(self, entries: Sequence[dict[str, Any]]) -> None:
        """Take what one process learned of the always-on invariants."""
        self._invariants.append(entries)

    def finish(self, *, complete: bool) -> None:
        """End the run: invariants become results, the footer is written if the run was complete, then the pages."""
        for line in invariant_results(merge_invariants(self._invariants), self.settings):
            self.write(line)
        self.complete = complete
        if self._writer is None or self.output is None:
            return
        if complete:
            self._writer.finish(
                seconds=time.monotonic() - self.started, unexpected=self.unexpected, exit_code=int(self.exit_code)
            )
        self._writer.close()
        read = results.read(self.output / "results.jsonl")
        (self.output / "junit.xml").write_text(junit.render(read, ledger.load()), encoding="utf-8")
        (self.output / "index.html").write_text(page.render([read], ledger.load(), known=coverage.knowledge()), encoding="utf-8")

    @property
    def unexpected(self) -> int:
        """How many results count as unexpected where there is no baseline."""
        return sum(map(unexpected, self.results))

    @property
    def exit_code(self) -> ExitCode:
        """The contract's exit code as far as results decide it; a baseline may still change it."""
        return exit_code(run_facts(self.results, selected=self.selected))


def as_result(line: dict[str, Any]) -> results.Result:
    """A result from plain data, as it comes from an xdist worker."""
    return msgspec.convert({"kind": "result", **line}, results.Result)


def describe(recorder: Recorder) -> Iterator[str]:
    """A few lines for the end of a plain pytest run."""
    counts = ", ".join(f"{count} {verdict}" for verdict, count in recorder.counts.most_common())
    yield f"{sum(recorder.counts.values())} results on {recorder.settings.runner}: {counts or 'none'}"
    for result in recorder.results:
        if result.verdict.value in ("wrong", "error", "timeout"):
            yield f"{result.verdict.value.upper():8} {result.level.value:6} {result.assertion}: {result.message.splitlines()[0]}"
    if recorder.output is not None:
        yield f"page: {recorder.output / 'index.html'}"
