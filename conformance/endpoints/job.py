"""One job from Prepare to its end: the order of calls, what is waited for, what is kept. The calls themselves are `client`'s.

The calling thread reads the state stream, so a job costs no thread of its own unless messages are read along or an event may
cancel it. Nothing polls: every wait is for a message or an event, with the phase's budget.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, Literal

from attrs import frozen

from conformance.endpoints import staging
from conformance.endpoints.errors import EndpointDied, EndpointError, PhaseTimeout, Refused
from conformance.endpoints.outcome import TERMINAL, JobMessage, JobOutcome, Metrics, Phase, StateEvent, state_name

if TYPE_CHECKING:
    from conformance.endpoints.client import JobClient, Stream

__all__ = ["Wants", "run"]


@frozen
class Wants:
    """What to fetch for a job beside its states; less is cheaper (the numbers are a job's cost on Prism).

    `messages`: "always" reads along (1 ms); "failed" reads them afterwards and only of a job that did not end DONE, and is what
    "auto" chooses for runners whose profile says that they keep messages. `staging`: "auto" leaves the stream out where the
    profile allows it and there is nothing to stage (1 ms). `metrics` is one more call (0.5 ms).
    """

    messages: Literal["auto", "always", "failed", "never"] = "auto"
    metrics: bool = True
    staging: Literal["auto", "always", "never"] = "auto"


#: The phases that carry a job forward; messages and metrics come beside them.
_MAIN = frozenset({Phase.PREPARE, Phase.STAGE, Phase.START, Phase.RUN})
#: How long a runner that broke off its state stream is left alone before it is asked again.
_RESUBSCRIBE_SECONDS = 0.05
#: How long a state stream may stay open after the terminal state before that is remarked upon; runners need 0.2 ms.
_COMPLETION_SECONDS = 1.0
#: How much of a phase may go into cancelling a job that used up its budget.
_GIVE_UP_SECONDS = 5.0


def run(
    client: JobClient,
    pipeline: Any,
    options: Mapping[str, Any] | Any,
    job_name: str,
    files: Mapping[str, bytes] | None,
    cancel_after: threading.Event | None,
    drain_after: threading.Event | None,
    wants: Wants,
) -> JobOutcome:
    """The outcome of one job; see JobClient.run_job."""
    job = _Job(client, job_name, wants)
    try:
        job.submit(pipeline, options, files)
        with job.watching(cancel_after, drain_after):
            job.follow()
    except EndpointError as error:
        job.error = error
        job.give_up()
    job.afterwards()
    return job.outcome()


class _Job:
    """What is known of a job while it runs."""

    def __init__(self, client: JobClient, job_name: str, wants: Wants) -> None:
        self.client = client
        self.wants = wants
        self.job_name = job_name
        self.preparation_id = ""
        self.job_id = ""
        self.states: list[StateEvent] = []
        self.messages: list[JobMessage] = []
        self.message_states: list[StateEvent] = []
        self.metrics: Metrics | None = None
        self.error: EndpointError | None = None
        self.phase = Phase.PREPARE
        self.timings: dict[Phase, float] = {}
        self.replies: dict[str, str] = {}
        self.remarks: list[str] = []
        self._origin = time.monotonic()
        self._stream: Stream | None = None
        self._last_stream: Stream | None = None
        self._too_long_to_cancel = False
        self._finished = threading.Event()
        self._reader: threading.Thread | None = None
        self._message_stream: Stream | None = None
        profile = client.endpoint.profile if client.endpoint is not None else None
        self._keeps_messages = profile is not None and profile.keeps_messages
        self._staging_optional = profile is not None and profile.staging_optional

    @property
    def state(self) -> str:
        return self.states[-1].state if self.states else ""

    # --- the phases ----------------------------------------------------------------------------------------------------

    def submit(self, pipeline: Any, options: Any, files: Mapping[str, bytes] | None) -> None:
        with self._in(Phase.PREPARE):
            prepared = self.client.prepare(pipeline, options, self.job_name)
            self.preparation_id = prepared.preparation_id
        self._origin = time.monotonic()
        if self._must_stage(pipeline):
            with self._in(Phase.STAGE):
                self.client.stage(prepared, pipeline, files)
        with self._in(Phase.START):
            self.job_id = self.client.run(self.preparation_id)

    def follow(self) -> None:
        """Read states until a terminal one, and messages beside them where they are wanted at once."""
        wanted = self.wants.messages
        if wanted == "always" or (wanted == "auto" and not self._keeps_messages):
            seconds = self.client.timeouts.run + self.client.timeouts.messages
            self._message_stream = self.client.message_stream(self.job_id, seconds)
            self._reader = threading.Thread(target=self._read_messages, args=(self._message_stream,), daemon=True)
            self._reader.start()
        with self._in(Phase.RUN):
            deadline = time.monotonic() + self.client.timeouts.run
            while not self._read_states(deadline):
                # Flink ends the stream of a cancelled job before CANCELLED, and a proxy may break it off: ask again.
                if "state stream ended before a terminal state" not in self.remarks:
                    self.remarks.append("state stream ended before a terminal state")
                self._finished.wait(_RESUBSCRIBE_SECONDS)
                if time.monotonic() >= deadline:
                    raise PhaseTimeout(Phase.RUN, self._waited_for(), self.client.timeouts.run)

    def give_up(self) -> None:
        """Cancel a job that the client stops waiting for, so that it does not disturb the next one."""
        self._finished.set()
        if isinstance(self.error, PhaseTimeout):
            self.phase = Phase(self.error.phase)
        if self.job_id and not isinstance(self.error, EndpointDied) and self.state not in TERMINAL:
            with contextlib.suppress(EndpointError):
                seconds = min(self.client.timeouts.cancel, _GIVE_UP_SECONDS)
                self.replies.setdefault("cancel", state_name(self.client.cancel(self.job_id, seconds)))

    def afterwards(self) -> None:
        """Messages and metrics of a job that was started; what fails here is remarked upon and changes nothing else."""
        if self._last_stream is not None and not self._last_stream.completed_within(_COMPLETION_SECONDS):
            self.remarks.append("state stream still open after the terminal state (P-JOB-03)")
        if self.job_id and not isinstance(self.error, EndpointDied):
            self._collect_messages()
            if self.wants.metrics and self.state in TERMINAL:
                try:
                    with self._in(Phase.METRICS):
                        self.metrics = self.client.metrics(self.job_id)
                except EndpointError as error:
                    self._late_fault("GetJobMetrics", error)
        elif self._message_stream is not None:
            self._message_stream.cancel()

    def outcome(self) -> JobOutcome:
        return JobOutcome(
            job_name=self.job_name,
            preparation_id=self.preparation_id,
            job_id=self.job_id,
            state=self.state,
            states=tuple(self.states),
            messages=tuple(self.messages),
            message_states=tuple(self.message_states),
            metrics=self.metrics,
            error=self.error,
            phase=self.phase,
            timings=tuple(self.timings.items()),
            cancel_reply=self.replies.get("cancel"),
            drain_reply=self.replies.get("drain"),
            remarks=tuple(self.remarks),
        )

    # --- states --------------------------------------------------------------------------------------------------------

    def _read_states(self, deadline: float) -> bool:
        """Read one state stream; whether it came to a terminal state."""
        stream = self.client.state_stream(self.job_id, max(0.001, deadline - time.monotonic()), self._waited_for())
        self._stream = stream
        if self._too_long_to_cancel:
            stream.cancel()
        try:
            for event in stream:
                name = state_name(event.state)
                # The first state of a second stream is the last of the first one.
                if not self.states or self.states[-1].state != name:
                    self.states.append(self._now(name))
                if name in TERMINAL:
                    self._last_stream = stream
                    return True
        except PhaseTimeout as error:
            raise PhaseTimeout(Phase.RUN, self._waited_for(), self.client.timeouts.run) from error
        if self._too_long_to_cancel:
            raise PhaseTimeout(Phase.CANCEL, self._waited_for(), self.client.timeouts.cancel)
        return False

    def _waited_for(self) -> str:
        return f"a terminal state of job {self.job_id} (the last state seen is {self.state or 'none'})"

    # --- cancel and drain ----------------------------------------------------------------------------------------------

    @contextlib.contextmanager
    def watching(self, cancel_after: threading.Event | None, drain_after: threading.Event | None) -> Iterator[None]:
        """Call Cancel or Drain once their event is set, while the body runs."""
        watchers = [
            threading.Thread(target=self._watch, args=(event, name), daemon=True)
            for name, event in (("cancel", cancel_after), ("drain", drain_after))
            if event is not None
        ]
        for watcher in watchers:
            watcher.start()
        try:
            yield
        finally:
            self._finished.set()
            for watcher in watchers:
                watcher.join()

    def _watch(self, event: threading.Event, name: str) -> None:
        # Two events cannot be waited for at once; the second one, the job's own end, is looked at ten times a second.
        while not event.wait(0.1):
            if self._finished.is_set():
                return
        if self._finished.is_set():
            return
        try:
            reply = self.client.cancel(self.job_id) if name == "cancel" else self.client.drain(self.job_id)
        except EndpointError as error:
            self.remarks.append(f"{name}: {error}")
            return
        self.replies[name] = state_name(reply)
        if not self._finished.wait(self.client.timeouts.cancel):
            self._too_long_to_cancel = True
            if self._stream is not None:
                self._stream.cancel()

    # --- messages ------------------------------------------------------------------------------------------------------

    def _collect_messages(self) -> None:
        if self._reader is not None and self._message_stream is not None:
            with self._in(Phase.MESSAGES):
                # The stream completes after the terminal state (P-JOB-04).
                self._reader.join(self.client.timeouts.messages)
                if self._reader.is_alive():
                    self.remarks.append("message stream still open after the end of the job")
                    self._message_stream.cancel()
                    self._reader.join(1.0)
        elif self.wants.messages in ("auto", "failed") and self.state != "DONE":
            with self._in(Phase.MESSAGES):
                self._read_messages(self.client.message_stream(self.job_id))

    def _read_messages(self, stream: Stream) -> None:
        try:
            for response in stream:
                if response.WhichOneof("response") == "state_response":
                    self.message_states.append(self._now(state_name(response.state_response.state)))
                else:
                    said = response.message_response
                    self.messages.append(JobMessage(said.importance, said.message_text, said.message_id, said.time))
        except EndpointError as error:
            self._late_fault("GetMessageStream", error)

    # --- small things --------------------------------------------------------------------------------------------------

    def _must_stage(self, pipeline: Any) -> bool:
        if self.wants.staging == "auto":
            return not self._staging_optional or bool(staging.dependencies(pipeline))
        return self.wants.staging == "always"

    def _late_fault(self, method: str, error: EndpointError) -> None:
        self.remarks.append(f"{method}: {error.text or error.code if isinstance(error, Refused) else error}")
        if isinstance(error, EndpointDied) and self.error is None:
            self.error = error

    def _now(self, state: str) -> StateEvent:
        return StateEvent(state, time.monotonic() - self._origin)

    @contextlib.contextmanager
    def _in(self, phase: Phase) -> Iterator[None]:
        if phase in _MAIN and self.error is None:
            self.phase = phase
        started = time.monotonic()
        try:
            yield
        finally:
            self.timings[phase] = time.monotonic() - started
