"""I-JOB: states and messages as the client sees them, and staging."""

from __future__ import annotations

from typing import Final

from conformance.harness.invariants.catalogue import Docket
from conformance.harness.invariants.channels import staged_bytes
from conformance.harness.invariants.elements import Book
from conformance.harness.invariants.index import TERMINAL, Index, State, StateStream
from conformance.wire import urns
from conformance.wire.api import artifact_pb2, fn_pb2, job_pb2
from conformance.wire.api import pipeline_pb2 as pb

__all__ = ["NEXT", "check"]

_S = State.Value
_RUN: Final = ("RUNNING", "DONE", "FAILED", "CANCELLING", "CANCELLED", "DRAINING", "DRAINED", "UPDATING", "UPDATED")

#: What may follow each state (P-JOB-06). Steps may be left out, and a stream that coalesces them is right; nothing goes backwards.
NEXT: Final[dict[str, frozenset[str]]] = {
    "UNSPECIFIED": frozenset({"STOPPED", "STARTING", *_RUN}),
    "STOPPED": frozenset({"STARTING", *_RUN}),
    "STARTING": frozenset(_RUN),
    "RUNNING": frozenset(_RUN) - {"RUNNING"},
    # What has finished before the end was asked for has finished.
    "CANCELLING": frozenset({"CANCELLED", "DONE", "FAILED"}),
    "DRAINING": frozenset({"DRAINED", "DONE", "FAILED", "CANCELLING", "CANCELLED"}),
    "UPDATING": frozenset({"UPDATED", "DONE", "FAILED", "CANCELLING", "CANCELLED", "RUNNING"}),
    **{State.Name(state): frozenset() for state in TERMINAL},
}


def check(index: Index, book: Book, docket: Docket) -> None:
    """All rules of this module."""
    for stream in index.job.streams:
        _automaton(stream, index, docket)
    _agreement(index, docket)
    _messages(index, docket)
    _staging(index, docket)
    _staged_first(index, docket)
    _truth(index, docket)


def _automaton(stream: StateStream, index: Index, docket: Docket) -> None:
    states = stream.states()
    if not states and stream.method == "GetMessageStream":
        return
    docket.look("I-JOB-01")
    previous: int | None = None
    for state, event in states:
        name = State.Name(state)
        if previous is not None:
            before = State.Name(previous)
            if previous in TERMINAL:
                docket.find(
                    "I-JOB-01",
                    event.seq,
                    f"{stream.method} tells {name} behind the terminal state {before}",
                    state=name,
                    before=before,
                )
            # The same state twice tells nothing new and is no step back.
            elif state != previous and name not in NEXT[before]:
                docket.find("I-JOB-01", event.seq, f"{stream.method} goes from {before} to {name}", state=name, before=before)
        previous = state
    ended = stream.ended
    if ended is None or ended.message.status != "OK" or stream.method != "GetStateStream":
        return
    if previous is None:
        docket.find("I-JOB-01", ended.seq, "GetStateStream completes without any state")
    elif previous not in TERMINAL:
        docket.find(
            "I-JOB-01",
            ended.seq,
            f"GetStateStream completes in {State.Name(previous)}, which is no terminal state",
            state=State.Name(previous),
        )


def _agreement(index: Index, docket: Docket) -> None:
    told: list[tuple[int, int, str]] = []
    for stream in index.job.streams:
        for state, event in stream.states():
            if state in TERMINAL:
                told.append((event.seq, state, stream.method))
                break
    for request, answer in index.job.answers(job_pb2.GetJobStateRequest):
        if answer is not None and isinstance(answer.message, job_pb2.JobStateEvent):
            told.append((answer.seq, int(answer.message.state), request.method))
    told.sort()
    settled: tuple[int, int, str] | None = None
    for seq, state, where in told:
        if settled is None:
            settled = (seq, state, where) if state in TERMINAL else None
            continue
        docket.look("I-JOB-02")
        if state != settled[1]:
            docket.find(
                "I-JOB-02",
                seq,
                f"{where} says {State.Name(state)}, {settled[2]} had said {State.Name(settled[1])}",
                first=settled[0],
                state=State.Name(state),
            )


def _messages(index: Index, docket: Docket) -> None:
    terminal = index.job.terminal
    for stream in index.job.streams:
        if stream.method != "GetMessageStream" or terminal is None:
            continue
        ended = stream.ended
        if ended is None or ended.message.status != "OK":
            # We may have stopped reading; only a runner that had ample time to end it is at fault.
            if ended is None and index.seconds_after(terminal[1]) > 60:
                docket.look("I-JOB-03")
                docket.find("I-JOB-03", terminal[1].seq, "the message stream was not ended within a minute of the terminal state")
            continue
        docket.look("I-JOB-03")
        if ended.seq < terminal[1].seq and not any(state in TERMINAL for state, _ in stream.states()):
            # Which of the two streams is ahead the network decides; one that ends long before does not.
            if terminal[1].time - ended.time > 1.0:
                docket.find(
                    "I-JOB-03", ended.seq, f"the message stream ended before the terminal state {State.Name(terminal[0])}"
                )
            continue
        if terminal[0] == _S("FAILED"):
            texts = [
                item.message.message_response.message_text
                for item in stream.items
                if isinstance(item.message, job_pb2.JobMessagesResponse)
                and item.message.WhichOneof("response") == "message_response"
                and item.message.message_response.importance == job_pb2.JobMessage.JOB_MESSAGE_ERROR
            ]
            if not any(text.strip() for text in texts):
                docket.find(
                    "I-JOB-03",
                    ended.seq,
                    f"the job FAILED and its message stream ended without an ERROR text ({len(stream.items)} messages)",
                )


def _environments(environments: list[pb.Environment]) -> list[pb.Environment]:
    """All environments, the alternatives of AnyOf among them (P-ART-01)."""
    found: list[pb.Environment] = []
    for environment in environments:
        if environment.urn == urns.Env.ANYOF:
            found += _environments(list(pb.AnyOfEnvironmentPayload.FromString(environment.payload).environments))
        found.append(environment)
    return found


def _staging(index: Index, docket: Docket) -> None:
    submitted = index.job.prepare.pipeline if index.job.prepare is not None else index.submitted
    environments = _environments(list(submitted.components.environments.values()))
    known: dict[bytes, str] = {}
    for environment in environments:
        for artifact in environment.dependencies:
            known[artifact.SerializeToString(deterministic=True)] = artifact.role_payload.decode("utf-8", "replace").strip()
    offered = set(known)
    asked: set[bytes] = set()
    for event in index.job.staging:
        message = event.message
        if isinstance(message, artifact_pb2.ArtifactResponseWrapper):
            if message.WhichOneof("response") == "resolve_artifact_response":
                offered |= {a.SerializeToString(deterministic=True) for a in message.resolve_artifact_response.replacements}
            continue
        kind = message.WhichOneof("request")
        artifacts = list(message.resolve_artifact.artifacts) if kind == "resolve_artifact" else []
        if kind == "get_artifact":
            artifacts = [message.get_artifact.artifact]
        for artifact in artifacts:
            docket.look("I-JOB-04")
            content = artifact.SerializeToString(deterministic=True)
            asked.add(content)
            if content not in offered:
                docket.find(
                    "I-JOB-04",
                    event.seq,
                    f"staging asks for {artifact.type_urn or 'an untyped artifact'} {artifact.role_payload!r}, which no environment lists",
                    artifact=str(artifact)[:200],
                )
    end = next((e for e in index.ends if e.plane == "artifact" and e.method == "ReverseArtifactRetrievalService"), None)
    if end is None or end.message.status != "OK":
        return
    for content, name in known.items():
        docket.look("I-JOB-04")
        if content not in asked:
            docket.find(
                "I-JOB-04", end.seq, f"staging is complete, and the dependency {name!r} was never asked for", dependency=name
            )


def _staged_first(index: Index, docket: Docket) -> None:
    starts = [event for event in index.pool if isinstance(event.message, fn_pb2.StartWorkerRequest)]
    if not starts or not index.job.staging:
        return
    docket.look("I-JOB-05")
    open_asks = [artifact for artifact, _, whole in staged_bytes(index) if not whole]
    # Our answers were not even sent when the worker was started.
    late = [e for e in index.job.staging if isinstance(e.message, artifact_pb2.ArtifactResponseWrapper) and e.seq > starts[0].seq]
    if late:
        docket.find(
            "I-JOB-05",
            starts[0].seq,
            f"worker {starts[0].message.worker_id!r} was started while artifacts were still being staged",
            worker=starts[0].message.worker_id,
        )
    elif open_asks and index.job.run is not None and starts[0].seq > index.job.run.seq:
        docket.find(
            "I-JOB-05",
            starts[0].seq,
            f"worker {starts[0].message.worker_id!r} was started, and artifact {open_asks[0].role_payload!r} never came to its end",
            worker=starts[0].message.worker_id,
        )


def _truth(index: Index, docket: Docket) -> None:
    terminal = index.job.terminal
    if terminal is None:
        return
    docket.look("I-JOB-06")
    state, event = terminal
    if state == _S("CANCELLED") and not any(cancel.seq < event.seq for cancel in index.job.cancels):
        docket.find("I-JOB-06", event.seq, "the job became CANCELLED and nobody had asked for that")
    if state != _S("DONE"):
        return
    for request, answer in index.job.answers(job_pb2.CancelJobRequest):
        if answer is None or not isinstance(answer.message, job_pb2.CancelJobResponse):
            continue
        if answer.message.state in (_S("CANCELLING"), _S("CANCELLED")) and answer.seq < event.seq:
            docket.find(
                "I-JOB-06",
                event.seq,
                f"the job became DONE behind Cancel, which was answered {State.Name(answer.message.state)}",
                cancel=request.seq,
            )
    failed = [bundle for bundle in index.executed() if bundle.failed]
    # Whether a failed bundle's input came again is I-CTL-26; here, that nothing at all was run behind the failure.
    if failed and not any(bundle.ok and bundle.seq > failed[-1].answered for bundle in index.executed()):
        docket.find(
            "I-JOB-06",
            event.seq,
            f"the job became DONE though its last bundle {failed[-1].id!r} failed for good",
            bundle=failed[-1].id,
        )
