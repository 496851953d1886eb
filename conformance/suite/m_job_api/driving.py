"""How probes drive jobs: a job that is started and left running, streams read along, programs that can be held in the middle.

A probe must leave nothing behind: `started` cancels what still runs, frees functions that wait at gates, closes the session and has
the endpoint replaced if it died or hung.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from attrs import evolve, frozen

from conformance.endpoints import JobClient
from conformance.endpoints.client import Stream
from conformance.endpoints.errors import EndpointError, PhaseTimeout, Refused
from conformance.endpoints.outcome import TERMINAL, Importance, JobOutcome, state_name
from conformance.endpoints.refusal import unsupported
from conformance.harness import Session
from conformance.pipeline import Fn, PCollection, Program, coders
from conformance.suite.checks import Wrong, holds
from conformance.suite.execution import RunnerUnderTest, own_errors
from conformance.suite.outcomes import Declined
from conformance.suite.run import Run
from conformance.wire.api import job_pb2
from conformance.wire.api import pipeline_pb2 as pb

__all__ = ["HELD", "Job", "Watch", "build", "held", "plain", "probing", "refusal", "run_program", "started", "still_serves"]

#: The gate at which the functions of `held` wait.
HELD = "held"
#: How long a function may take to arrive at its gate, and a stream to bring what is due at once; scaled like every budget.
SOON = 20.0
PAIRS = coders.kv(coders.STRING, coders.VARINT)


def plain(program: Program) -> None:
    """Three elements through a ParDo and a grouping; `out` sees {"k": [1, 2, 3]}."""
    program.create([1, 2, 3]).par_do(Fn("with_key", key="k"), PAIRS).group_by_key().observe("out")


def held(program: Program, groupings: int = 1, gate: str = HELD) -> PCollection:
    """Three elements that wait at a gate, and groupings behind it; `out` sees {"k": [1, 2, 3]}, `behind<n>` each stage's values."""
    found = program.create([1, 2, 3]).par_do(Fn("wait_at", gate=gate))
    for number in range(1, groupings + 1):
        pairs = found.par_do(Fn("with_key", key="k"), PAIRS, name=f"key{number}")
        grouped = pairs.group_by_key(name=f"group{number}")
        found = grouped.par_do(Fn("flat_map", expr=["val"]), coders.VARINT, name=f"ungroup{number}")
        found.observe(f"behind{number}")
        if number == groupings:
            grouped.observe("out")
    return found


def build(session: Session, program: Callable[[Program], object], environment: pb.Environment | None = None) -> pb.Pipeline:
    """The pipeline that a builder function makes, in the session's environment."""
    made = Program("p")
    program(made)
    return made.build(environment or session.environment())


def run_program(
    runner: RunnerUnderTest,
    program: Callable[[Program], object],
    *,
    label: str,
    setup: Callable[[Session], object] = lambda session: None,
    environment: Callable[[Session], pb.Environment] = Session.environment,
    change: Callable[[pb.Pipeline], object] = lambda pipeline: None,
    capabilities: Iterable[str] | None = None,
    any_outcome: bool = False,
    **job: Any,
) -> Run:
    """Run one program to its end. `setup` may change the session first, `change` the pipeline before it is submitted."""
    __tracebackhide__ = True

    def made(session: Session) -> pb.Pipeline:
        setup(session)
        pipeline = build(session, program, environment(session))
        change(pipeline)
        return pipeline

    options = {} if capabilities is None else {"session_options": {"capabilities": capabilities}}
    return runner.run_pipeline(made, label=label, any_outcome=any_outcome, **options, **job)


class Watch:
    """Reads a stream in a thread of its own and keeps what comes; nothing of it is lost while the probe does other things."""

    def __init__(self, stream: Stream) -> None:
        self.events: list[Any] = []
        #: The stream ended; `error` is what ended it, None for a clean end.
        self.ended = False
        self.error: EndpointError | None = None
        self._stream = stream
        self._changed = threading.Condition()
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        error: EndpointError | None = None
        try:
            for event in self._stream:
                with self._changed:
                    self.events.append(event)
                    self._changed.notify_all()
        except EndpointError as caught:
            error = caught
        with self._changed:
            self.ended, self.error = True, error
            self._changed.notify_all()

    def wait_for(self, condition: Callable[[], bool], seconds: float) -> bool:
        """Wait until `condition` holds or the stream ended; whether it holds."""
        with self._changed:
            self._changed.wait_for(lambda: condition() or self.ended, seconds)
            return condition()

    def wait_for_event(self, seconds: float) -> bool:
        """Wait for the first event."""
        return self.wait_for(lambda: bool(self.events), seconds)

    def wait_for_end(self, seconds: float, waited_for: str) -> None:
        """Wait until the runner ended the stream. Raises PhaseTimeout, or what the stream ended with."""
        with self._changed:
            if not self._changed.wait_for(lambda: self.ended, seconds):
                raise PhaseTimeout("run", waited_for, seconds)
        if self.error is not None:
            raise self.error

    def stop(self) -> None:
        self._stream.cancel()

    # What the events mean, for both kinds of stream

    @property
    def states(self) -> list[str]:
        """The states among the events, in order."""
        return [state_name(event.state) for event in self.state_events]

    @property
    def state_events(self) -> list[Any]:
        """The JobStateEvents among the events, in order."""
        found = [event.state_response if _mixed(event) else event for event in list(self.events)]
        return [event for event in found if not isinstance(event, job_pb2.JobMessagesResponse)]

    @property
    def messages(self) -> list[Any]:
        """The messages among the events, in order."""
        return [
            event.message_response
            for event in list(self.events)
            if isinstance(event, job_pb2.JobMessagesResponse) and event.WhichOneof("response") == "message_response"
        ]

    def has_state(self, *names: str) -> bool:
        return any(name in self.states for name in names)


def _mixed(event: Any) -> bool:
    return isinstance(event, job_pb2.JobMessagesResponse) and event.WhichOneof("response") == "state_response"


@frozen
class Job:
    """A job of a probe, prepared and (unless asked otherwise) run."""

    runner: RunnerUnderTest
    client: JobClient
    session: Session
    pipeline: pb.Pipeline
    prepared: Any
    job_id: str = ""

    @property
    def soon(self) -> float:
        """Seconds within which what is due at once must happen."""
        return SOON * self.runner.settings.timeout_scale

    @property
    def hung(self) -> float:
        """Seconds after which a job that has nothing to wait for is taken to hang: half of `soon`, for runners are known that do."""
        return self.soon / 2

    def run(self) -> Job:
        """The job after Run."""
        return evolve(self, job_id=self.client.run(self.prepared.preparation_id))

    def watch_states(self) -> Watch:
        return Watch(self.client.state_stream(self.job_id))

    def watch_messages(self) -> Watch:
        return Watch(self.client.message_stream(self.job_id, self.client.timeouts.run))

    def state(self) -> str:
        return state_name(self.client.state(self.job_id))

    def is_held(self, gate: str = HELD) -> None:
        """Wait until a function of the job waits at `gate`. Raises PhaseTimeout."""
        if not self.session.gates.arrived(gate, timeout=self.soon):
            raise PhaseTimeout("run", f"a function of the job to come to gate {gate!r} (the job is {self.state()})", self.soon)

    def release(self, gate: str = HELD) -> None:
        self.session.gates.open(gate)

    def drain(self) -> None:
        """Ask for a graceful end. Raises Declined where Drain is not offered, which is legal (P-JOB-09)."""
        __tracebackhide__ = True
        try:
            self.client.drain(self.job_id)
        except Refused as refused:
            if refused.code == "UNIMPLEMENTED":
                raise Declined(f"Drain is not offered: {refused.text or refused.code}") from refused
            raise Wrong(f"Drain of a running job was refused with {refused.code}: {refused.text}", rule="P-JOB-09") from refused

    def end(self, seconds: float | None = None) -> str:
        """Wait for the job's end by a state stream of its own; the terminal state. Raises PhaseTimeout."""
        seconds = seconds or self.client.timeouts.run
        watch = self.watch_states()
        try:
            watch.wait_for(lambda: watch.has_state(*TERMINAL), seconds)
            reached = [state for state in watch.states if state in TERMINAL]
            if not reached:
                last = (watch.states or ["none"])[-1]
                raise watch.error or PhaseTimeout("run", f"a terminal state (the last is {last})", seconds)
            return reached[0]
        finally:
            watch.stop()

    def lacks(self) -> str:
        """What the runner says, in the ERROR messages of a job that FAILED, that it does not support; "" if nothing (P-JOB-13)."""
        watch = self.watch_messages()
        try:
            watch.wait_for(lambda: watch.ended, self.soon)
        finally:
            watch.stop()
        told = "\n".join(each.message_text for each in watch.messages if each.importance == Importance.ERROR)
        for own in own_errors(self.session):
            told = told.replace(own, "")
        return unsupported(told)

    def as_run(self) -> Run:
        """What is known of the job so far, in the form that checks and evidence take."""
        outcome = JobOutcome(job_name="", preparation_id=self.prepared.preparation_id, job_id=self.job_id)
        return Run("", outcome, self.session, self.pipeline)


@contextlib.contextmanager
def probing(runner: RunnerUnderTest, session: Session | None = None) -> Iterator[JobClient]:
    """A job client for one probe; an endpoint that the probe left dead or hanging is replaced afterwards."""
    client = runner.client(session.transcript if session is not None else None)
    failure: BaseException | None = None
    try:
        yield client
    except BaseException as error:
        failure = error
        raise
    finally:
        client.close()
        runner.recover(failure)


@contextlib.contextmanager
def started(
    runner: RunnerUnderTest,
    program: Callable[[Program], object] = plain,
    *,
    name: str = "conformance-probe",
    options: Mapping[str, Any] | None = None,
    run: bool = True,
    session: Session | None = None,
) -> Iterator[Job]:
    """A job that was prepared, staged and run; `run=False` leaves it prepared."""
    session = session or runner.session()
    with session, probing(runner, session) as client:
        pipeline = build(session, program)
        prepared = client.prepare(pipeline, runner.job_options(dict(options or {})), name)
        job = Job(runner, client, session, pipeline, prepared)
        try:
            client.stage(prepared, pipeline)
            if run:
                job = job.run()
            runner.last_run = job.as_run()
            yield job
        finally:
            session.gates.close_down()
            _end(job)


def _end(job: Job) -> None:
    """Cancel the job if it is not over; whatever that meets is not what the probe was about."""
    if job.job_id:
        with contextlib.suppress(EndpointError):
            if job.state() not in TERMINAL:
                job.client.cancel(job.job_id, 5.0)


def refusal(call: Callable[[], object], what: str, rule: str = "") -> Refused:
    """The refusal that `call` meets; an answer without an error is wrong, and the death of the endpoint is its own verdict."""
    __tracebackhide__ = True
    try:
        answer = call()
    except Refused as refused:
        return refused
    raise Wrong(f"{what} was answered as if all were well", expected="an error", observed=str(answer)[:500] or "OK", rule=rule)


def still_serves(runner: RunnerUnderTest, client: JobClient, rule: str = "") -> None:
    """The job service still answers after what was done to it."""
    __tracebackhide__ = True
    client.describe_options()
    holds(runner.endpoint.alive(), "the job service is gone", rule=rule)
