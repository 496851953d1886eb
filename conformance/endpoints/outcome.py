"""What came of a job, as values: budgets going in; states, messages, metrics, error and timings coming out. No I/O."""

from __future__ import annotations

import enum
from typing import Any

from attrs import evolve, fields, frozen

from conformance.endpoints.errors import EndpointError
from conformance.wire.api import job_pb2

__all__ = ["TERMINAL", "Importance", "JobMessage", "JobOutcome", "Metrics", "Phase", "StateEvent", "Timeouts", "state_name"]

#: The states that a job never leaves (P-JOB-06).
TERMINAL: frozenset[str] = frozenset({"DONE", "FAILED", "CANCELLED", "DRAINED", "UPDATED"})


class Phase(enum.StrEnum):
    """The phases of a job, in order; each has a budget of the same name in Timeouts."""

    CONNECT = "connect"
    DESCRIBE = "describe"
    PREPARE = "prepare"
    STAGE = "stage"
    START = "start"
    RUN = "run"
    CANCEL = "cancel"
    QUERY = "query"
    MESSAGES = "messages"
    METRICS = "metrics"


@frozen
class Timeouts:
    """The budget of each phase in seconds. A tiny job takes 20 ms on Prism and 2 s on Flink, whose first one takes 8 s."""

    connect: float = 10.0
    describe: float = 10.0
    prepare: float = 15.0
    stage: float = 30.0
    start: float = 30.0
    run: float = 60.0
    cancel: float = 15.0
    query: float = 10.0
    messages: float = 5.0
    metrics: float = 10.0

    def scaled(self, factor: float) -> Timeouts:
        """Every budget multiplied."""
        return evolve(self, **{budget.name: getattr(self, budget.name) * factor for budget in fields(Timeouts)})

    def of(self, phase: Phase) -> float:
        """The budget of one phase."""
        return float(getattr(self, phase.value))


class Importance(enum.IntEnum):
    """How important a runner takes its message to be (job proto, JobMessage.MessageImportance)."""

    UNSPECIFIED = 0
    DEBUG = 1
    DETAILED = 2
    BASIC = 3
    WARNING = 4
    ERROR = 5


@frozen
class JobMessage:
    """A message of the runner about a job; id and time may be empty (P-JOB-17)."""

    importance: int
    text: str
    message_id: str = ""
    time: str = ""


@frozen
class StateEvent:
    """A state as it arrived on a stream, `seconds` after the job was prepared."""

    state: str
    seconds: float


@frozen
class Metrics:
    """The answer of GetJobMetrics: MonitoringInfo messages (P-JOB-15)."""

    attempted: tuple[Any, ...] = ()
    committed: tuple[Any, ...] = ()


@frozen
class JobOutcome:
    """Everything that is known of one job after it ended, or after the client gave it up.

    `state` is the last state seen ("" if none was); `phase` the furthest of prepare, stage, start, run and cancel that was
    entered; `error` what stopped the client, None when the job came to a terminal state. `states` are those of the state
    stream, `message_states` those that came interleaved with the messages (P-JOB-04).
    """

    job_name: str
    preparation_id: str = ""
    job_id: str = ""
    state: str = ""
    states: tuple[StateEvent, ...] = ()
    messages: tuple[JobMessage, ...] = ()
    message_states: tuple[StateEvent, ...] = ()
    metrics: Metrics | None = None
    error: EndpointError | None = None
    phase: Phase = Phase.PREPARE
    timings: tuple[tuple[Phase, float], ...] = ()
    #: what Cancel and Drain answered, if they were called
    cancel_reply: str | None = None
    drain_reply: str | None = None
    #: small departures from the protocol that the client could work around
    remarks: tuple[str, ...] = ()

    @property
    def done(self) -> bool:
        """The job ended DONE and nothing went wrong on the way."""
        return self.state == "DONE" and self.error is None

    @property
    def terminal(self) -> bool:
        """A terminal state was seen."""
        return self.state in TERMINAL

    @property
    def error_text(self) -> str:
        """Why it failed, as the runner told it: the ERROR messages, else the text of a refusal, else what the client noticed."""
        errors = [message.text for message in self.messages if message.importance == Importance.ERROR]
        if errors:
            return "\n".join(dict.fromkeys(errors))
        return str(getattr(self.error, "text", "") or self.error or "")

    @property
    def seconds(self) -> float:
        """The time of all phases together."""
        return sum(seconds for _, seconds in self.timings)

    def raise_for_error(self) -> None:
        """Raise what stopped the client, if anything did."""
        if self.error is not None:
            raise self.error


def state_name(state: int) -> str:
    """The name of a JobState.Enum; a number that the proto does not have as UNKNOWN(n)."""
    try:
        return str(job_pb2.JobState.Enum.Name(state))
    except ValueError:
        return f"UNKNOWN({state})"
