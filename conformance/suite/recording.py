"""Writes what a run finds, as it finds it: results.jsonl line by line, then junit.xml and index.html when it ends."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from conformance import __version__
from conformance.report import junit, page, results
from conformance.report.verdicts import exit_code
from conformance.suite import ledger
from conformance.suite.conductor import invariant_results, merge_invariants
from conformance.suite.settings import Settings

__all__ = ["BEAM_VERSION", "Recorder", "describe"]

#: The version of Beam's interface definitions that the protos here are wire-identical to.
BEAM_VERSION = "2.77"
UNEXPECTED = ("wrong", "error", "timeout")


class Recorder:
    """The results of one run; writes nothing when the settings name no output directory. Raises OSError if it cannot write."""

    def __init__(self, settings: Settings, expected: int) -> None:
        self.settings = settings
        #: How many tests were selected.
        self.selected = expected
        self.counts: Counter[str] = Counter()
        self.lines: list[dict[str, Any]] = []
        self.started = time.monotonic()
        self.complete = False
        self._identity: dict[str, str] | None = None
        self._invariants: list[Sequence[dict[str, Any]]] = []
        self._writer: results.ResultsWriter | None = None
        self.output = Path(settings.output) if settings.output else None
        if self.output is not None:
            self.output.mkdir(parents=True, exist_ok=True)
            (self.output / "results.jsonl").touch()

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
            )
            self._writer = results.ResultsWriter(self.output / "results.jsonl", header)

    def write(self, line: dict[str, Any]) -> None:
        """Take one result; it is on disk when this returns."""
        statement = {key: value for key, value in line.items() if key != "evidence"}
        self.lines.append(statement)
        self.counts[line["verdict"]] += 1
        if self._writer is not None:
            self._writer.write(results.result_from(line))

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
            self._writer.finish(seconds=time.monotonic() - self.started, unexpected=self.unexpected)
        self._writer.close()
        read = results.read(self.output / "results.jsonl")
        (self.output / "junit.xml").write_text(junit.render(read), encoding="utf-8")
        (self.output / "index.html").write_text(page.render([read], ledger.load()), encoding="utf-8")

    @property
    def unexpected(self) -> int:
        """How many results are neither a pass, nor a clean refusal, nor blocked."""
        return sum(self.counts[verdict] for verdict in UNEXPECTED)

    @property
    def exit_code(self) -> int:
        """The contract's exit code (DESIGN: 0 as expected, 1 unexpected, 3 too little ran); 2 and 4 are decided elsewhere."""
        return exit_code(self.counts, selected=self.selected)


def describe(recorder: Recorder) -> Iterator[str]:
    """A few lines for the end of a plain pytest run."""
    counts = ", ".join(f"{count} {verdict}" for verdict, count in recorder.counts.most_common())
    yield f"{sum(recorder.counts.values())} assertions on {recorder.settings.runner}: {counts or 'none ran'}"
    for line in recorder.lines:
        if line["verdict"] in UNEXPECTED:
            yield f"{line['verdict'].upper():8} {line['assertion']}: {line['message']}"
    if recorder.output is not None:
        yield f"page: {recorder.output / 'index.html'}"
