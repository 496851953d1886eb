"""One pass over a transcript: who answered what, which bundle a data entry belongs to, which stream ended when.

Here live the Index and the plain records that it is made of: connections, instructions, bundles, entries, state calls, the job's
own plane. Nothing here judges; decoding of coders and elements is in `stages` and `elements`.
"""

from __future__ import annotations

import bisect
from collections import defaultdict
from collections.abc import Callable, Iterable
from typing import Any, Final

import attrs

from conformance.harness.transcript import End, Event, Note, Open
from conformance.wire import urns
from conformance.wire.api import artifact_pb2, fn_pb2, job_pb2, provision_pb2
from conformance.wire.api import pipeline_pb2 as pb

__all__ = [
    "NEVER",
    "TERMINAL",
    "Bundle",
    "Connection",
    "Entry",
    "Index",
    "Instruction",
    "JobPlane",
    "StateCall",
    "StateStream",
    "worker_side",
]

#: The planes of the Fn API: those on which every call has a worker id.
WORKER_PLANES = frozenset({"control", "data", "state", "logging", "provision", "status"})
#: Behind every event.
NEVER: Final = 1 << 60
State = job_pb2.JobState.Enum
TERMINAL = frozenset(State.Value(name) for name in ("DONE", "FAILED", "CANCELLED", "DRAINED", "UPDATED"))


def worker_side(event: Event) -> bool:
    """Is this an event of a call that a worker made (and not the client, and not the pool)?"""
    return event.plane in WORKER_PLANES


#: The faults by which a worker goes away, as the notes about them begin.
_LEAVING: Final = ("drop", "exit", "leave")


@attrs.define(eq=False)
class Connection:
    """One stream (or one run of unary calls) of a worker: when it began, when and by whom it was ended."""

    plane: str
    worker: str
    stream: str
    opened: Event
    ended: Event | None = None
    #: The first message that the runner sent on it.
    first_inbound: Event | None = None
    last_inbound: Event | None = None

    @property
    def ended_by_runner(self) -> bool:
        """Did the runner end it? A stream that this process dropped says so in the status."""
        if self.ended is None or self.ended.direction != "R->S":
            return False
        return not self.ended.message.detail.startswith("Locally cancelled")


@attrs.define(eq=False)
class Instruction:
    """A request on Control and what became of it."""

    worker: str
    connection: int
    request: fn_pb2.InstructionRequest
    kind: str
    event: Event
    #: All our answers with its id, in order; more than one is our own fault.
    answers: list[Event] = attrs.field(factory=list)

    @property
    def id(self) -> str:
        return str(self.request.instruction_id)

    @property
    def seq(self) -> int:
        return self.event.seq

    @property
    def response(self) -> fn_pb2.InstructionResponse | None:
        return self.answers[0].message if self.answers else None

    @property
    def ok(self) -> bool:
        """Answered without an error, with what was asked for: another kind, or nothing, is no success that a runner could count on."""
        return (
            bool(self.answers)
            and not self.answers[0].message.error
            and self.answers[0].message.WhichOneof("response") == self.kind
        )

    @property
    def failed(self) -> bool:
        """Answered, but not so that it counts."""
        return bool(self.answers) and not self.ok

    @property
    def answer_seq(self) -> int | None:
        return self.answers[0].seq if self.answers else None


@attrs.define(eq=False)
class Entry:
    """One entry of Elements: data of a port, or timers of a family."""

    seq: int
    time: float
    transform: str
    #: None for data.
    family: str | None
    payload: bytes
    last: bool
    stream: str
    #: Sent inside a control message.
    embedded: bool = False

    @property
    def port(self) -> tuple[str, str | None]:
        return (self.transform, self.family)


@attrs.define(eq=False)
class Bundle:
    """A ProcessBundle instruction with all that names it; `instruction` is None if only data for it was seen."""

    worker: str
    id: str
    instruction: Instruction | None = None
    inputs: list[Entry] = attrs.field(factory=list)
    outputs: list[Entry] = attrs.field(factory=list)
    splits: list[Instruction] = attrs.field(factory=list)
    progress: list[Instruction] = attrs.field(factory=list)
    finalizes: list[Instruction] = attrs.field(factory=list)
    #: Of the instruction; kept, since taking it out of its message anew each time is dear.
    request: fn_pb2.ProcessBundleRequest = attrs.field(factory=fn_pb2.ProcessBundleRequest)
    descriptor_id: str = ""
    #: Answered without error, and thrown away by the runner, which ran its input again (M-BNDL-05).
    discarded: bool = False

    @property
    def ok(self) -> bool:
        """Was it answered without error, for good?"""
        return self.instruction is not None and self.instruction.ok and not self.discarded

    @property
    def failed(self) -> bool:
        """Does nothing of it count?"""
        return self.instruction is not None and (self.instruction.failed or self.discarded)

    @property
    def response(self) -> fn_pb2.ProcessBundleResponse:
        """The result of a bundle that was answered OK."""
        assert self.instruction is not None
        assert self.instruction.response is not None
        return self.instruction.response.process_bundle

    @property
    def answered(self) -> int:
        """Where we answered it; behind everything if we did not."""
        answer = self.instruction.answer_seq if self.instruction else None
        return NEVER if answer is None else answer

    @property
    def seq(self) -> int:
        """Where it was first seen to be asked for; of an orphan, its first data."""
        return self.instruction.seq if self.instruction else self.inputs[0].seq


@attrs.define(eq=False)
class StateCall:
    """A state request and its answers."""

    worker: str
    stream: str
    event: Event
    answers: list[Event] = attrs.field(factory=list)

    @property
    def request(self) -> fn_pb2.StateRequest:
        request: fn_pb2.StateRequest = self.event.message
        return request


@attrs.define(eq=False)
class StateStream:
    """One GetStateStream or GetMessageStream: its items and its end."""

    method: str
    opened: int
    items: list[Event] = attrs.field(factory=list)
    ended: Event | None = None

    def states(self) -> list[tuple[int, Event]]:
        """The job states on it, in order."""
        found: list[tuple[int, Event]] = []
        for event in self.items:
            message = event.message
            if isinstance(message, job_pb2.JobMessagesResponse):
                if message.WhichOneof("response") != "state_response":
                    continue
                message = message.state_response
            found.append((int(message.state), event))
        return found


@attrs.define(eq=False)
class JobPlane:
    """What client and job service said to each other."""

    prepare: job_pb2.PrepareJobRequest | None = None
    run: Event | None = None
    #: Unary calls: (request, answer or end), in order of the request.
    calls: list[tuple[Event, Event | None]] = attrs.field(factory=list)
    streams: list[StateStream] = attrs.field(factory=list)
    #: The first event that told a terminal state, and the state.
    terminal: tuple[int, Event] | None = None
    cancels: list[Event] = attrs.field(factory=list)
    #: Staging: the requests of the runner and our answers, in order.
    staging: list[Event] = attrs.field(factory=list)

    def answers(self, kind: type) -> list[tuple[Event, Event | None]]:
        """The unary calls whose request is a `kind`."""
        return [call for call in self.calls if isinstance(call[0].message, kind)]


class Index:
    """All of a transcript, sorted by what it belongs to. `submitted` is the pipeline as the client sent it, if known."""

    def __init__(self, events: Iterable[Event], submitted: pb.Pipeline | None = None) -> None:
        self.events: list[Event] = list(events)
        self.connections: list[Connection] = []
        self.instructions: list[Instruction] = []
        self.bundles: dict[tuple[str, str], Bundle] = {}
        #: Answers on Control that match no request.
        self.stray_answers: list[Event] = []
        self.state_calls: list[StateCall] = []
        self.stray_state_answers: list[Event] = []
        self.state_reused: list[Event] = []
        #: (worker, descriptor id) -> each answer to GetProcessBundleDescriptor.
        self.descriptors: dict[tuple[str, str], list[Event]] = defaultdict(list)
        self.descriptor_requests: list[Event] = []
        self.stray_descriptors: list[Event] = []
        self.provision: list[Event] = []
        self.retrievals: list[list[Event]] = []
        self.pool: list[Event] = []
        self.ends: list[Event] = []
        self.job = JobPlane()
        self.control_number: dict[str, int] = defaultdict(int)
        self._open: dict[tuple[str, str, str, str], Connection] = {}
        self._by_instruction: dict[tuple[str, str], Instruction] = {}
        self._state_waiting: dict[tuple[str, str, str], StateCall] = {}
        self._state_done: dict[tuple[str, str, str], StateCall] = {}
        self._descriptors_waiting: dict[str, list[str]] = defaultdict(list)
        self._unary_waiting: dict[tuple[str, str], list[int]] = defaultdict(list)
        self._streams_open: dict[tuple[str, str], StateStream] = {}
        self._retrieval_open: dict[tuple[str, str], list[Event]] = {}
        self._handlers: dict[type, Callable[[Event, Any], None]] = {
            Open: self._on_open,
            End: self._on_end,
            fn_pb2.InstructionRequest: self._on_request,
            fn_pb2.InstructionResponse: self._on_response,
            fn_pb2.Elements: self._on_elements,
            fn_pb2.StateRequest: self._on_state_request,
            fn_pb2.StateResponse: self._on_state_response,
            fn_pb2.GetProcessBundleDescriptorRequest: self._on_descriptor_request,
            fn_pb2.ProcessBundleDescriptor: self._on_descriptor,
            fn_pb2.StartWorkerRequest: self._on_pool,
            fn_pb2.StartWorkerResponse: self._on_pool,
            fn_pb2.StopWorkerRequest: self._on_pool,
            fn_pb2.StopWorkerResponse: self._on_pool,
            provision_pb2.GetProvisionInfoResponse: self._on_provision,
            artifact_pb2.GetArtifactRequest: self._on_retrieval,
            artifact_pb2.GetArtifactResponse: self._on_retrieval,
            artifact_pb2.ResolveArtifactsRequest: self._on_retrieval,
            artifact_pb2.ResolveArtifactsResponse: self._on_retrieval,
            artifact_pb2.ArtifactRequestWrapper: self._on_staging,
            artifact_pb2.ArtifactResponseWrapper: self._on_staging,
        }
        handlers = self._handlers
        for event in self.events:
            handler = handlers.get(type(event.message))
            if handler is not None:
                handler(event, event.message)
            if event.plane == "job":
                self._on_job(event)
        if submitted is None and self.job.prepare is not None:
            submitted = self.job.prepare.pipeline
        self.submitted: pb.Pipeline = submitted if submitted is not None else pb.Pipeline()
        self._find_discarded()
        #: Workers that went away because a script said so: what they had answered and what was on its way may be lost.
        self.left: set[str] = {
            event.worker_id
            for event in self.events
            if isinstance(event.message, Note) and event.message.text.partition(" ")[0] in _LEAVING
        }
        unanswered = any(b.failed or (b.instruction and not b.instruction.answers) for b in self.bundles.values())
        self.any_failed: bool = unanswered or bool(self.left)
        self._executed = sorted((b for b in self.bundles.values() if b.instruction is not None), key=lambda b: b.seq)
        self.finish: Event | None = self.events[-1] if self.events else None

    def _find_discarded(self) -> None:
        """Where the runner said that it throws answers away, our harness asks for finalization of every bundle: by that it knows."""
        if not self.replays:
            return
        for bundle in self.bundles.values():
            if bundle.ok and bundle.response.requires_finalization and not bundle.finalizes:
                bundle.discarded = True

    @property
    def replays(self) -> bool:
        """Whether the runner said that it may throw answers away and run their input again."""
        return any(event.message.info.metadata.get(urns.REPLAYS) == "true" for event in self.provision)

    # -- questions that several families ask ------------------------------------------------------------------------------

    @property
    def final_state(self) -> int | None:
        """The terminal state that the client was told, if any."""
        return self.job.terminal[0] if self.job.terminal else None

    @property
    def done(self) -> bool:
        return self.final_state in (State.Value("DONE"), State.Value("DRAINED"))

    def time_of(self, seq: int) -> float:
        """When the event with that number was recorded."""
        return self.events[bisect.bisect_left(self.events, seq, key=lambda event: event.seq)].time

    def seconds_after(self, event: Event) -> float:
        """For how long the transcript goes on behind `event`."""
        return self.finish.time - event.time if self.finish else 0.0

    def waited(self, event: Event) -> float:
        """For how long `event` could have been answered: until the job, its worker's Control or the transcript ended."""
        ends = [self.finish or event, self.job.terminal[1] if self.job.terminal else None]
        ends += [c.ended for c in self.connections if c.plane == "control" and c.worker == event.worker_id]
        return min(end.time for end in ends if end is not None and end.seq >= event.seq) - event.time

    def control_end(self, worker: str, connection: int | None = None) -> Event | None:
        """The end of the worker's (last, or that) Control stream."""
        ends = [c.ended for c in self.connections if c.plane == "control" and c.worker == worker]
        if connection is not None:
            ends = ends[connection - 1 : connection]
        return ends[-1] if ends else None

    def bundle_of(self, worker: str, instruction_id: str) -> Bundle | None:
        return self.bundles.get((worker, instruction_id))

    def executed(self) -> list[Bundle]:
        """Bundles that were asked for, in order of asking."""
        return self._executed

    # -- one handler a message ---------------------------------------------------------------------------------------------

    def _connection(self, event: Event) -> Connection:
        # Unary calls and streams alike are told apart by plane, worker and stream; methods share Control's plane.
        key = (event.plane, event.method, event.worker_id, event.stream)
        found = self._open.get(key)
        if found is None:
            found = self._open[key] = Connection(event.plane, event.worker_id, event.stream, event)
            if event.plane != "control" or event.method != "GetProcessBundleDescriptor":
                self.connections.append(found)
                if event.plane == "control":
                    self.control_number[event.worker_id] += 1
        return found

    def _inbound(self, event: Event) -> None:
        connection = self._connection(event)
        if connection.first_inbound is None:
            connection.first_inbound = event
        connection.last_inbound = event

    def _on_open(self, event: Event, _: Open) -> None:
        if not worker_side(event):
            return
        key = (event.plane, event.method, event.worker_id, event.stream)
        self._open.pop(key, None)
        self._connection(event)

    def _on_end(self, event: Event, _: End) -> None:
        self.ends.append(event)
        if event.plane == "artifact":
            chunks = self._retrieval_open.pop((event.worker_id, event.stream), None)
            if chunks is not None:
                chunks.append(event)
        if not worker_side(event):
            return
        key = (event.plane, event.method, event.worker_id, event.stream)
        connection = self._open.get(key)
        if connection is not None and connection.ended is None:
            connection.ended = event
        elif connection is None:
            self._connection(event).ended = event

    def _on_request(self, event: Event, message: fn_pb2.InstructionRequest) -> None:
        self._inbound(event)
        worker = event.worker_id
        kind = message.WhichOneof("request") or ""
        instruction = Instruction(worker, self.control_number[worker], message, kind, event)
        self.instructions.append(instruction)
        key = (worker, message.instruction_id)
        self._by_instruction.setdefault(key, instruction)
        if kind == "process_bundle":
            bundle = self._bundle(*key)
            if bundle.instruction is None:
                bundle.instruction, bundle.request = instruction, message.process_bundle
                bundle.descriptor_id = message.process_bundle.process_bundle_descriptor_id
            if message.process_bundle.HasField("elements"):
                self._add_elements(event, message.process_bundle.elements, bundle.id, inbound=True)
        elif kind in ("process_bundle_progress", "process_bundle_split", "finalize_bundle"):
            named = self.bundles.get((worker, getattr(message, kind).instruction_id))
            if named is not None:
                {"process_bundle_progress": named.progress, "process_bundle_split": named.splits}.get(
                    kind, named.finalizes
                ).append(instruction)

    def _on_response(self, event: Event, message: fn_pb2.InstructionResponse) -> None:
        instruction = self._by_instruction.get((event.worker_id, message.instruction_id))
        if instruction is None:
            self.stray_answers.append(event)
            return
        instruction.answers.append(event)
        if message.WhichOneof("response") == "process_bundle" and message.process_bundle.HasField("elements"):
            self._add_elements(event, message.process_bundle.elements, message.instruction_id, inbound=False)

    def _bundle(self, worker: str, instruction_id: str) -> Bundle:
        bundle = self.bundles.get((worker, instruction_id))
        if bundle is None:
            bundle = self.bundles[(worker, instruction_id)] = Bundle(worker, instruction_id)
        return bundle

    def _on_elements(self, event: Event, message: fn_pb2.Elements) -> None:
        inbound = event.direction == "R->S"
        if inbound:
            self._inbound(event)
        self._add_elements(event, message, None, inbound)

    def _add_elements(self, event: Event, message: fn_pb2.Elements, embedded_in: str | None, inbound: bool) -> None:
        worker, seq, time, stream = event.worker_id, event.seq, event.time, event.stream
        inside = embedded_in is not None
        for data in message.data:
            entry = Entry(seq, time, data.transform_id, None, data.data, data.is_last, stream, inside)
            bundle = self._bundle(worker, embedded_in or data.instruction_id)
            (bundle.inputs if inbound else bundle.outputs).append(entry)
        for timers in message.timers:
            entry = Entry(seq, time, timers.transform_id, timers.timer_family_id, timers.timers, timers.is_last, stream, inside)
            bundle = self._bundle(worker, embedded_in or timers.instruction_id)
            (bundle.inputs if inbound else bundle.outputs).append(entry)

    def _on_state_request(self, event: Event, message: fn_pb2.StateRequest) -> None:
        call = StateCall(event.worker_id, event.stream, event)
        self.state_calls.append(call)
        key = (event.worker_id, event.stream, message.id)
        if key in self._state_waiting:
            self.state_reused.append(event)
        self._state_waiting[key] = call

    def _on_state_response(self, event: Event, message: fn_pb2.StateResponse) -> None:
        self._inbound(event)
        key = (event.worker_id, event.stream, message.id)
        call = self._state_waiting.pop(key, None)
        if call is not None:
            self._state_done[key] = call
            call.answers.append(event)
            return
        self.stray_state_answers.append(event)

    def _on_descriptor_request(self, event: Event, message: fn_pb2.GetProcessBundleDescriptorRequest) -> None:
        self.descriptor_requests.append(event)
        self._descriptors_waiting[event.worker_id].append(message.process_bundle_descriptor_id)

    def _on_descriptor(self, event: Event, message: fn_pb2.ProcessBundleDescriptor) -> None:
        waiting = self._descriptors_waiting[event.worker_id]
        if message.id in waiting:
            waiting.remove(message.id)
        else:
            self.stray_descriptors.append(event)
            # What it was asked for is gone too; an answer with a foreign id belongs to the oldest open question.
            del waiting[:1]
            return
        self.descriptors[(event.worker_id, message.id)].append(event)

    def _on_pool(self, event: Event, _: Any) -> None:
        self.pool.append(event)

    def _on_provision(self, event: Event, _: Any) -> None:
        self.provision.append(event)

    def _on_retrieval(self, event: Event, message: Any) -> None:
        key = (event.worker_id, event.stream)
        if isinstance(message, artifact_pb2.GetArtifactRequest):
            self._retrieval_open[key] = [event]
            self.retrievals.append(self._retrieval_open[key])
        elif isinstance(message, artifact_pb2.GetArtifactResponse) and key in self._retrieval_open:
            self._retrieval_open[key].append(event)

    def _on_staging(self, event: Event, _: Any) -> None:
        self.job.staging.append(event)

    # -- the job's own plane -----------------------------------------------------------------------------------------------

    def _on_job(self, event: Event) -> None:
        job, message, key = self.job, event.message, (event.method, event.stream)
        if event.direction == "C->R":
            if isinstance(message, Open | End):
                return
            if event.method in ("GetStateStream", "GetMessageStream"):
                stream = self._streams_open[key] = StateStream(event.method, event.seq)
                job.streams.append(stream)
                return
            if isinstance(message, job_pb2.PrepareJobRequest) and job.prepare is None:
                job.prepare = message
            elif isinstance(message, job_pb2.RunJobRequest) and job.run is None:
                job.run = event
            elif isinstance(message, job_pb2.CancelJobRequest):
                job.cancels.append(event)
            self._unary_waiting[key].append(len(job.calls))
            job.calls.append((event, None))
            return
        if isinstance(message, Open):
            return
        if event.method in ("GetStateStream", "GetMessageStream"):
            stream = self._streams_open.setdefault(key, StateStream(event.method, event.seq))
            if stream not in job.streams:
                job.streams.append(stream)
            if isinstance(message, End):
                stream.ended = event
            elif isinstance(message, job_pb2.JobStateEvent | job_pb2.JobMessagesResponse):
                stream.items.append(event)
                if isinstance(message, job_pb2.JobStateEvent) or message.WhichOneof("response") == "state_response":
                    state = message.state if isinstance(message, job_pb2.JobStateEvent) else message.state_response.state
                    self._told(int(state), event)
            return
        waiting = self._unary_waiting[key]
        if waiting:
            position = waiting.pop(0)
            job.calls[position] = (job.calls[position][0], event)
        if isinstance(message, job_pb2.JobStateEvent):
            self._told(int(message.state), event)

    def _told(self, state: int, event: Event) -> None:
        if state in TERMINAL and self.job.terminal is None:
            self.job.terminal = (state, event)
