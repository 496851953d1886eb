"""Logging: taken at any time, in any volume, by nobody's leave; and the worker status stream."""

from __future__ import annotations

from typing import Any

import pytest

from conformance.endpoints import Wants
from conformance.harness import Event, Session
from conformance.harness.capabilities import DEFAULT
from conformance.harness.worker import Worker
from conformance.pipeline import Fn, Program
from conformance.suite.assertions import asserts
from conformance.suite.case import Case, Scenario
from conformance.suite.checks import holds, same
from conformance.suite.execution import RunnerUnderTest
from conformance.suite.m_job_api.driving import PAIRS, run_program, started
from conformance.suite.outcomes import NotExercised
from conformance.suite.run import Run
from conformance.wire import urns
from conformance.wire.api import fn_pb2

GROUPED = {"k": [1, 2, 3]}
SEVERITIES = ["UNSPECIFIED", "TRACE", "DEBUG", "INFO", "NOTICE", "WARN", "ERROR", "CRITICAL"]
#: Log entries of one bundle.
VOLUME = 20_000
LARGE = 5 * 2**20
TEXT = "what the worker had to say"
#: A stream that ended so was ended by this side, or as it should.
ORDERLY = ("OK", "CANCELLED")


def _logging(program: Program, text: Any = TEXT, severity: str = "INFO", repeat: int = 1) -> None:
    """A program that logs for each of its elements."""
    created = program.create([1, 2, 3])
    if repeat > 1:
        spread = created.par_do(Fn("flat_map", expr=["range", repeat // 3]), name="spread")
        spread.par_do(Fn("log", text=["str", ["value"]], severity=severity)).par_do(Fn("drop"))
    logged = created.par_do(Fn("log", text=text, severity=severity), name="logged")
    logged.par_do(Fn("with_key", key="k"), PAIRS).group_by_key().observe("out")


def _entries(run: Run) -> list[Any]:
    """The log entries that workers sent."""
    return [
        entry for event in run.transcript.events("logging", "Logging", "S->R", kind="List") for entry in event.message.log_entries
    ]


def _taken(run: Run) -> None:
    """The job did its work, workers did log, and no Logging stream was refused or ended in an error."""
    __tracebackhide__ = True
    same(run.groups("out"), GROUPED, rule="P-LOG-02")
    if not run.transcript.events("logging", "Logging", "S->R", kind="open"):
        raise NotExercised("no worker was given a logging endpoint")
    holds(bool(_entries(run)), "our workers sent no log entries", rule="P-LOG-01")
    bad = [
        f"{event.message.status} {event.message.detail}"
        for event in run.transcript.events("logging", "Logging", "R->S", kind="end")
        if event.message.status not in ORDERLY and not _after_control(run, event)
    ]
    same(bad, [], "how Logging streams ended", rule="P-LOG-02")


def _after_control(run: Run, event: Event) -> bool:
    ends = run.transcript.events("control", "Control", "R->S", event.worker_id, "end")
    return any(end.seq < event.seq for end in ends)


@asserts("LOG01/accepted")
def test_accepted(runner: RunnerUnderTest) -> None:
    _taken(run_program(runner, _logging, label="logging"))


@asserts("LOG01/large-volume")
def test_large_volume(runner: RunnerUnderTest) -> None:
    run = run_program(runner, lambda program: _logging(program, repeat=VOLUME), label="log-volume")
    _taken(run)
    assert len(_entries(run)) > VOLUME - 10


@asserts("LOG01/optional")
def test_optional(runner: RunnerUnderTest) -> None:
    def without_logging(session: Session) -> None:
        session.logging = False

    run = run_program(runner, _logging, label="no-logging", setup=without_logging)
    same(_entries(run), [], "log entries", rule="P-CH-07")
    same(run.groups("out"), GROUPED, rule="P-CH-07")


@asserts("LOG01/not-ended-before-control")
def test_not_ended_before_control(runner: RunnerUnderTest) -> None:
    with started(runner, _logging) as job:
        same(job.end(), "DONE", "the end of the job", rule="P-CH-11")
        if not job.session.wait_ended(job.soon):
            raise NotExercised("the runner did not let its workers go")
        run = job.as_run()
        ends = run.transcript.events("logging", "Logging", "R->S", kind="end")
        if not ends:
            raise NotExercised("no Logging stream was open")
        early = [event.worker_id for event in ends if not _after_control(run, event)]
        same(early, [], "workers whose Logging was ended before Control", rule="P-CH-11")


@asserts("LOG01/reaches-messages")
def test_reaches_messages(runner: RunnerUnderTest) -> None:
    run = run_program(
        runner, lambda program: _logging(program, severity="ERROR"), label="log-to-messages", wants=Wants(messages="always")
    )
    texts = [message.text for message in run.outcome.messages]
    holds(
        any(TEXT in text for text in texts), "no message of the job holds what the worker logged", expected=TEXT, observed=texts
    )


@asserts("LOG02/every-severity")
@pytest.mark.parametrize("severity", SEVERITIES)
def test_every_severity(runner: RunnerUnderTest, severity: str) -> None:
    def bare(worker: Worker) -> None:
        worker.log("without instruction or transform", severity)

    def also_bare(session: Session) -> None:
        session.fetch_artifacts = bare

    run = run_program(runner, lambda program: _logging(program, severity=severity), label="log-severity", setup=also_bare)
    _taken(run)
    wanted = fn_pb2.LogEntry.Severity.Enum.Value(severity)
    same({entry.severity for entry in _entries(run)}, {wanted}, "the severities that our workers sent")


@asserts("LOG02/large-entry")
def test_large_entry(runner: RunnerUnderTest) -> None:
    def large(worker: Worker) -> None:
        worker.log("x" * LARGE)

    def setup(session: Session) -> None:
        session.fetch_artifacts = large

    _taken(run_program(runner, _logging, label="large-log-entry", setup=setup))


@asserts("LOG02/stale-ids")
def test_stale_ids(runner: RunnerUnderTest) -> None:
    def stale(worker: Worker) -> None:
        for instruction, transform in (("no-such-instruction", "no-such-transform"), ("", "no-such-transform"), ("-1", "")):
            worker.log(TEXT, "WARN", instruction, transform)

    def setup(session: Session) -> None:
        session.fetch_artifacts = stale

    _taken(run_program(runner, _logging, label="stale-log-ids", setup=setup))


@asserts("LOG03/before-control")
def test_before_control(runner: RunnerUnderTest) -> None:
    def early(worker: Worker) -> None:
        for number in range(10):
            worker.log(f"{TEXT}, early {number}")

    def setup(session: Session) -> None:
        session.fetch_artifacts = early

    run = run_program(runner, _logging, label="early-log", setup=setup)
    _taken(run)
    first = run.transcript.events("control", "Control", "S->R", kind="open")[0].seq
    sent = run.transcript.events("logging", "Logging", "S->R", kind="List")
    assert sent[0].seq < first


@asserts("LOG04/requests-answered")
def test_status_requests_answered(runner: RunnerUnderTest) -> None:
    run = run_program(runner, _logging, label="status")
    if not run.transcript.events("status", kind="open"):
        raise NotExercised("the runner names no status endpoint")
    bad = [
        event.message.status
        for event in run.transcript.events("status", direction="R->S", kind="end")
        if event.message.status not in ORDERLY and not _after_control(run, event)
    ]
    same(bad, [], "how WorkerStatus streams ended", rule="P-STAT-01")


@asserts("LOG04/not-needed", alone=True)
def test_status_not_needed(case: Case) -> Scenario:
    case.capabilities = tuple(DEFAULT - {urns.Protocol.WORKER_STATUS})
    _logging(case.program)
    run = yield
    same(run.groups("out"), GROUPED, "the outcome of a job whose worker opens no status stream", rule="P-STAT-01")
