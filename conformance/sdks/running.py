"""Runs rows on a runner: a driver for each SDK, one row after another, each judged by what it wrote; answers results as plain data.

The job goes through a recording proxy, so that the judgement knows what was submitted and how it was run, whatever the SDK says.
"""

from __future__ import annotations

import contextlib
import functools
import itertools
import shlex
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from attrs import field, frozen

from conformance.endpoints import Endpoint, JobClient
from conformance.endpoints.errors import EndpointError, ToolMissing
from conformance.endpoints.refusal import unsupported
from conformance.harness import functions, invariants  # noqa: F401  (functions: what the expansion service offers is made of them)
from conformance.harness.expansion import ExpansionService
from conformance.harness.offers import OFFERS
from conformance.harness.session import Session
from conformance.harness.transcript import Transcript
from conformance.pipeline import draw
from conformance.report.verdicts import NOT_APPLICABLE, Verdict
from conformance.sdks import facts, gcs, materials
from conformance.sdks.driver import Driver, DriverDied, DriverSilent
from conformance.sdks.languages import SDKS, Progress, Sdk
from conformance.sdks.recording import recorded
from conformance.sdks.rows import Row
from conformance.wire.api import pipeline_pb2 as pb

__all__ = ["Judgement", "Plan", "Turn", "planned", "run", "storage"]

#: For one row: a tiny job takes 0.1 s with Python or Go, and 10 s the first time on a JVM with two busy cores.
ROW_SECONDS = 60.0
#: How long a driver gets to see the end of a job that was cancelled under it.
LATE_SECONDS = 10.0
#: How long the messages of a job that has ended may take.
MESSAGE_SECONDS = 5.0
#: How many messages of a job a result keeps, the last ones.
KEPT_MESSAGES = 400
#: How many broken invariants a result names.
KEPT_REMARKS = 5


@frozen
class Plan:
    """What is to be run: rows × SDKs × modes on one endpoint."""

    endpoint: Endpoint
    rows: Sequence[Row]
    languages: Sequence[str]
    modes: Sequence[str]
    timeout_scale: float = 1.0
    #: For the line that repeats one row.
    runner: str = "reference"
    #: Gives the emulator of Google Cloud Storage, started when the first row wants it; raises ToolMissing.
    storage: Callable[[], gcs.Emulator] = field(factory=lambda: _no_storage)
    #: Tell apart what rows write to it.
    numbers: Iterator[int] = field(factory=itertools.count)

    @property
    def seconds(self) -> float:
        return ROW_SECONDS * self.timeout_scale * self.endpoint.profile.slowness


@frozen
class Judgement:
    """What became of one row, before it is a result."""

    verdict: Verdict
    message: str
    phase: str = ""
    expected: Any = None
    observed: Any = None
    #: What each fact of the wire showed: slug → sentence, or NotSeen.
    wire: dict[str, str | facts.NotSeen] = field(factory=dict)
    evidence: dict[str, Any] = field(factory=dict)


@contextlib.contextmanager
def other_language() -> Iterator[str]:
    """The address of an expansion service; what it makes runs in workers of our own harness: another SDK, as far as a client can tell."""
    with Session() as session, ExpansionService(OFFERS, session.environment()) as service:
        yield service.url


def _no_storage() -> gcs.Emulator:
    raise ToolMissing("This run has no emulator of Google Cloud Storage. Run `beam-conformance run --sdk …`, which starts one.")


@contextlib.contextmanager
def storage(progress: Progress) -> Iterator[Callable[[], gcs.Emulator]]:
    """For Plan.storage: an emulator that starts when it is first asked for, and ends with the block."""
    with contextlib.ExitStack() as stack:
        yield functools.cache(lambda: stack.enter_context(gcs.emulator(progress)))


def planned(plan: Plan) -> int:
    """How many results a plan will have."""
    return len(plan.languages) * len(plan.modes) * sum(1 + len(row.wire) for row in plan.rows)


def run(plan: Plan, progress: Progress = lambda message: None) -> Iterator[dict[str, Any]]:
    """The results, SDK by SDK, as they come."""
    for name in plan.languages:
        try:
            with Turn(plan, SDKS[name], progress) as turn:
                for mode in plan.modes:
                    for row in plan.rows:
                        yield from turn.results_of(row, mode)
        except ToolMissing as error:
            for row, mode in ((row, mode) for row in plan.rows for mode in plan.modes):
                missing = Judgement(Verdict.NO_VERDICT, f"not run: {error}", "setup")
                yield from as_results(plan, row, name, mode, missing, 0.0)


class Turn:
    """One SDK's turn: its driver, started anew whenever it had to be given up."""

    def __init__(self, plan: Plan, sdk: Sdk, progress: Progress = lambda message: None) -> None:
        self.plan = plan
        self.sdk = sdk
        self.progress = progress
        self.argv = sdk.command(progress)
        self._driver: Driver | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.give_up()

    def results_of(self, row: Row, mode: str) -> Iterator[dict[str, Any]]:
        """The results of one row in one mode."""
        started = time.monotonic()
        judgement = self.judge(row, mode)
        return as_results(self.plan, row, self.sdk.name, mode, judgement, time.monotonic() - started)

    def driver(self) -> Driver:
        if self._driver is None or not self._driver.alive():
            self.give_up()
            self._driver = Driver(self.argv)
        return self._driver

    def give_up(self) -> None:
        if self._driver is not None:
            self._driver.close()
            self._driver = None

    def judge(self, row: Row, mode: str) -> Judgement:
        if reason := row.why_not(self.sdk.name, mode):
            return Judgement(Verdict.NO_VERDICT, f"not expressible: {reason}", NOT_APPLICABLE)
        if not self.plan.endpoint.alive() and self.plan.endpoint.managed:
            self.plan.endpoint.restart()
        with (
            tempfile.TemporaryDirectory(prefix="beam-conformance-") as folder,
            recorded(self.plan.endpoint.url) as (url, transcript),
        ):
            try:
                judgement = self._judged(row, mode, url, Path(folder), transcript)
            except EndpointError as error:
                judgement = Judgement(Verdict.ERROR, str(error), "run")
            return with_evidence(judgement, transcript)

    def _judged(self, row: Row, mode: str, url: str, folder: Path, transcript: Transcript) -> Judgement:
        output = folder / "output"
        output.mkdir()
        task: dict[str, Any] = {"row": row.name, "mode": mode, "endpoint": url, "output": str(output), "options": {}}
        if row.input:
            materials.write_input(row, folder / "input.tsv")
            task["input"] = str(folder / "input.tsv")
            task["options"]["text"] = str(materials.golden_file(row.input))
        if row.metrics:
            task["options"]["metrics"] = True
        prefix = f"{row.name}-{self.sdk.name}-{mode}-{next(self.plan.numbers)}"
        if row.writes == "gcs":
            try:
                storage = self.plan.storage()
            except ToolMissing as error:
                return Judgement(Verdict.NO_VERDICT, f"not run: {error}", "setup")
            task["options"] |= {"gcs": storage.url, "bucket": f"gs://{gcs.BUCKET}/{prefix}"}
        with contextlib.ExitStack() as stack:
            if row.phase == "P4":
                task["options"]["expansion"] = stack.enter_context(other_language())
            return self._answered(row, mode, task, transcript, lambda: self._lines(row, output, prefix))

    def _lines(self, row: Row, output: Path, prefix: str) -> list[str]:
        """What the program wrote."""
        return self.plan.storage().lines(prefix) if row.writes == "gcs" else materials.observed_lines(output)

    def _answered(
        self, row: Row, mode: str, task: dict[str, Any], transcript: Transcript, lines: Callable[[], list[str]]
    ) -> Judgement:
        try:
            answer = self.driver().ask(task, self.plan.seconds)
        except DriverSilent:
            return self._silent(transcript)
        except DriverDied as error:
            self.give_up()
            return Judgement(Verdict.NO_VERDICT, f"the SDK's process is at fault, not the runner: {error}", "sdk")
        if answer["state"] != "DONE":
            return self.not_done(answer, transcript)
        if mode == "streaming" and row.input and not facts.unbounded(transcript):
            return Judgement(Verdict.NO_VERDICT, "our fault, please report it: nothing that was submitted is unbounded", "sdk")
        return outcome(row, answer, lines(), transcript)

    def _silent(self, transcript: Transcript) -> Judgement:
        """The job takes too long: cancel it, and see whether the SDK comes back."""
        jobs = facts.job_ids(transcript)
        if jobs and self.plan.endpoint.alive():
            with JobClient(self.plan.endpoint) as client:
                for job in jobs:
                    try:
                        client.cancel(job)
                    except EndpointError as error:
                        self.progress(f"job {job} could not be cancelled: {error}")
        try:
            self.driver().late(LATE_SECONDS)
        except (DriverSilent, DriverDied):
            self.give_up()
        what = f"the end of job {jobs[-1]}" if jobs else "the SDK to submit a job"
        return Judgement(Verdict.TIMEOUT, f"waited {self.plan.seconds:.0f} s for {what}", "run" if jobs else "prepare")

    def not_done(self, answer: dict[str, Any], transcript: Transcript) -> Judgement:
        """The judgement of a job that did not end DONE, by what the runner says of it."""
        phase = "run" if facts.job_ids(transcript) else "prepare"
        if self.plan.endpoint.gone(1.0):
            return Judgement(Verdict.ERROR, f"the runner died:\n{self.plan.endpoint.log_tail(20)}", phase)
        told = facts.errors_told(transcript) or self._messages(transcript)
        said = told or answer["error"]
        if feature := unsupported(told) or unsupported(answer["error"]):
            return Judgement(Verdict.DECLINED, feature, phase)
        if facts.submitted(transcript) is None:
            return Judgement(Verdict.NO_VERDICT, f"the SDK submitted nothing: {answer['error']}", "sdk")
        return Judgement(Verdict.ERROR, f"the job ended {answer['state']}: {_last_lines(said)}", phase)

    def _messages(self, transcript: Transcript) -> str:
        """Why the last job failed, asked of the runner: not every SDK's client listens to its messages."""
        texts = []
        jobs = facts.job_ids(transcript)
        if jobs:
            with JobClient(self.plan.endpoint) as client, contextlib.suppress(EndpointError):
                for response in client.message_stream(jobs[-1], MESSAGE_SECONDS):
                    if response.message_response.importance >= response.message_response.JOB_MESSAGE_ERROR:
                        texts.append(response.message_response.message_text)
        return "\n".join(dict.fromkeys(texts))


def _last_lines(text: str, limit: int = 1500) -> str:
    text = text.strip()
    return text if len(text) <= limit else f"… {text[-limit:]}"


def outcome(row: Row, answer: dict[str, Any], lines: Sequence[str], transcript: Transcript) -> Judgement:
    """The judgement of a job that ended DONE, by what it wrote."""
    found = materials.compare(materials.expected_lines(row), lines)
    if found.ok and row.metrics:
        found = materials.compare_metrics(row, answer["metrics"])
    verdict = Verdict.PASS if found.ok else Verdict.WRONG
    return Judgement(verdict, found.sentence, "", found.expected, found.observed, wire=seen(row, transcript))


def seen(row: Row, transcript: Transcript) -> dict[str, str | facts.NotSeen]:
    shown: dict[str, str | facts.NotSeen] = {}
    for wire in row.wire:
        try:
            shown[wire.slug] = facts.FACTS[wire.fact](transcript)
        except facts.NotSeen as error:
            shown[wire.slug] = error
    return shown


def with_evidence(judgement: Judgement, transcript: Transcript) -> Judgement:
    """What lets a reader see for themselves: the pipeline as it was submitted, the stages, and the messages of what did not pass."""
    evidence = judgement.evidence
    pipeline = facts.submitted(transcript)
    if pipeline is not None:
        evidence["program"] = {"mermaid": draw.mermaid(pipeline)}
        evidence["notes"] = [
            f"jobs {', '.join(facts.job_ids(transcript)) or 'none'}; {len(facts.descriptors(transcript))} stages of workers; "
            f"{len(transcript)} messages passed"
        ]
        if judgement.verdict in (Verdict.PASS, Verdict.WRONG):
            evidence["notes"] += broken_rules(transcript, pipeline)
    if judgement.verdict not in (Verdict.PASS, Verdict.NO_VERDICT):
        evidence["transcript"] = [event.to_json() for event in list(transcript)[-KEPT_MESSAGES:]]
    return judgement


def broken_rules(transcript: Transcript, pipeline: pb.Pipeline) -> list[str]:
    """What the always-on invariants say of the runner's part in a job that came to its end: remarks, the harness' own jobs judge."""
    findings = [each for each in invariants.check(transcript, pipeline) if (each.level, each.side) == ("MUST", "R")]
    told = dict.fromkeys(f"on the wire, {each.invariant}: {each.statement}" for each in findings)
    return list(told)[:KEPT_REMARKS]


def as_results(plan: Plan, row: Row, language: str, mode: str, judgement: Judgement, seconds: float) -> Iterator[dict[str, Any]]:
    """The results of one row: its outcome, and each fact of the wire."""
    words = ["beam-conformance", "run", "--runner", plan.runner, "--sdk", language, "--leaf", row.id, "--mode", mode]
    common = {"leaf": row.id, "mode": mode, "sdk": language, "rule": row.rule}
    command = shlex.join(words)
    yield common | {
        "assertion": row.outcome,
        "level": "MUST",
        "verdict": judgement.verdict.value,
        "phase": judgement.phase,
        "message": judgement.message,
        "statement": row.statement,
        "expected": judgement.expected,
        "observed": judgement.observed,
        "seconds": round(seconds, 3),
        "evidence": judgement.evidence | {"command": command},
    }
    for wire in row.wire:
        shown = judgement.wire.get(wire.slug)
        if shown is None:
            verdict, message = Verdict.NO_VERDICT, judgement.message
        else:
            verdict = Verdict.WRONG if isinstance(shown, facts.NotSeen) else Verdict.PASS
            message = str(shown)
        yield common | {
            "assertion": f"{row.id}/{wire.slug}",
            "level": wire.level,
            "verdict": verdict.value,
            "phase": judgement.phase if shown is None else "",
            "message": message,
            "statement": wire.statement,
            "evidence": {"command": command},
        }
