"""I-CH, I-PRV, I-LOG: connections, worker pool, provision, artifacts as the worker sees them, logging."""

from __future__ import annotations

import hashlib
import re
from collections import defaultdict
from typing import Any, Final

from google.protobuf.message import DecodeError

from conformance.harness.invariants.catalogue import Docket
from conformance.harness.invariants.elements import Book
from conformance.harness.invariants.index import Connection, Index, worker_side
from conformance.harness.transcript import End, Event
from conformance.wire import urns
from conformance.wire.api import artifact_pb2, fn_pb2
from conformance.wire.api import pipeline_pb2 as pb

__all__ = ["check", "environment_of", "staged_bytes"]

#: How long what should come by itself may take, seconds, before its absence is a finding.
PATIENCE: Final = 5.0
#: How long the pool must have gone on listening behind the job's end for a missing StopWorker to count.
STOP_PATIENCE: Final = 1.0
#: Two ends on two streams that arrive within this time may have been swapped by the network.
END_RACE: Final = 0.5
#: For how long a stream may live on behind its worker's Control.
OUTLIVE: Final = 30.0
FOUR_MIB: Final = 4 * 1024 * 1024

_URN = re.compile(r"[A-Za-z][\w.+-]*(:[^:\s]+)+")
#: What gRPC says when nobody listens; a connection that was reset had been accepted.
_CONNECT = re.compile(r"failed to connect|connection refused|unreachable|resolution failed|name or service", re.IGNORECASE)


def check(index: Index, book: Book, docket: Docket) -> None:
    """All rules of this module."""
    _connects(index, docket)
    _worker_ids(index, docket)
    _pool(index, docket)
    _ends(index, docket)
    _order_of_ends(index, docket)
    _sizes(index, docket)
    _provision(index, book, docket)
    _retrieval(index, book, docket)


def _of(index: Index, plane: str) -> list[Connection]:
    return [connection for connection in index.connections if connection.plane == plane]


# -- connections -----------------------------------------------------------------------------------------------------------


def _connects(index: Index, docket: Docket) -> None:
    for connection in _of(index, "control"):
        opened, ended = connection.opened, connection.ended
        if connection.first_inbound is not None or connection.ended_by_runner:
            docket.look("I-CH-01")
            continue
        waited = (ended or index.finish or opened).time - opened.time
        if index.final_state is not None and waited >= PATIENCE:
            docket.look("I-CH-01")
            docket.find(
                "I-CH-01",
                opened.seq,
                f"worker {connection.worker!r} connected Control and got neither an instruction nor its end in {waited:.1f} s",
                worker=connection.worker,
            )


def _worker_ids(index: Index, docket: Docket) -> None:
    given = {event.message.worker_id for event in index.pool if isinstance(event.message, fn_pb2.StartWorkerRequest)}
    seen: set[str] = set()
    for event in index.events:
        if not worker_side(event):
            continue
        worker = event.worker_id
        docket.look("I-CH-02")
        if worker in seen:
            continue
        if not worker:
            docket.find(
                "I-CH-02", event.seq, f"{event.method} on the {event.plane} plane carries no worker_id", method=event.method
            )
        elif given and worker not in given:
            docket.find(
                "I-CH-02",
                event.seq,
                f"{event.method} carries worker_id {worker!r}, which no StartWorker gave",
                worker=worker,
                given=sorted(given),
            )
        seen.add(worker)


def _pool(index: Index, docket: Docket) -> None:
    running: dict[str, Event] = {}
    pending: list[Event] = []
    stopped: set[str] = set()
    for event in index.pool:
        message = event.message
        if isinstance(message, fn_pb2.StartWorkerRequest):
            docket.look("I-CH-03")
            if message.worker_id in running:
                docket.find(
                    "I-CH-03", event.seq, f"StartWorker names {message.worker_id!r}, which runs already", worker=message.worker_id
                )
            running[message.worker_id] = event
            stopped.discard(message.worker_id)
            pending.append(event)
        elif isinstance(message, fn_pb2.StartWorkerResponse):
            begun = next((p for p in pending if p.stream == event.stream), pending[0] if pending else None)
            if begun is not None:
                pending.remove(begun)
                if message.error:
                    running.pop(begun.message.worker_id, None)
        elif isinstance(message, fn_pb2.StopWorkerRequest):
            worker = message.worker_id
            if running.pop(worker, None) is not None:
                stopped.add(worker)
                continue
            what = "was stopped before" if worker in stopped else "was never started"
            docket.find("I-CH-03", event.seq, f"StopWorker names {worker!r}, which {what}", worker=worker)
    terminal = index.job.terminal
    if terminal is not None and index.seconds_after(terminal[1]) >= STOP_PATIENCE:
        for worker, started in running.items():
            docket.find("I-CH-03", started.seq, f"worker {worker!r} was started and, the job ended, never stopped", worker=worker)


def _ends(index: Index, docket: Docket) -> None:
    terminal = index.job.terminal
    for connection in index.connections:
        docket.look("I-CH-04")
        ended = connection.ended
        if ended is None or connection.first_inbound is not None or ended.message.status != "UNAVAILABLE":
            continue
        # A job that is failing takes its endpoints down before it says so; one that still wants its worker goes on for long.
        went_on = (terminal[1] if terminal else index.finish or ended).time - ended.time
        if went_on > PATIENCE and _CONNECT.search(ended.message.detail):
            docket.find(
                "I-CH-04",
                ended.seq,
                f"the {connection.plane} endpoint {connection.stream!r} given to {connection.worker!r} accepts no connection",
                worker=connection.worker,
                detail=ended.message.detail,
            )
    for event in index.ends:
        end: End = event.message
        if end.status == "RESOURCE_EXHAUSTED":
            docket.find(
                "I-CH-08",
                event.seq,
                f"{event.method} of {event.worker_id or 'the client'} ended with RESOURCE_EXHAUSTED: {end.detail[:200]}",
                worker=event.worker_id,
            )
        if re.search(r"too.many.pings|enhance.your.calm", end.detail, re.IGNORECASE):
            docket.find("I-CH-09", event.seq, f"{event.method} of {event.worker_id!r} was cut for pings: {end.detail[:200]}")
    for connection in index.connections:
        last = connection.ended or connection.last_inbound
        if last is not None and last.time - connection.opened.time >= 20:
            docket.look("I-CH-09")
    for connection in _of(index, "control"):
        if connection.ended is None or not connection.ended_by_runner or not index.done:
            continue
        docket.look("I-CH-05")
        if connection.ended.message.status != "OK":
            docket.find(
                "I-CH-05",
                connection.ended.seq,
                f"Control of {connection.worker!r} ended with {connection.ended.message.status} though the job is DONE",
                worker=connection.worker,
                detail=connection.ended.message.detail,
            )


def _order_of_ends(index: Index, docket: Docket) -> None:
    control: dict[str, list[Connection]] = defaultdict(list)
    for connection in _of(index, "control"):
        control[connection.worker].append(connection)
    for connections in control.values():
        for connection in connections:
            ended, last = connection.ended, connection.last_inbound
            if ended is None or not connection.ended_by_runner:
                continue
            docket.look("I-CH-06")
            if last is not None and last.seq > ended.seq:
                docket.find(
                    "I-CH-06",
                    last.seq,
                    f"worker {connection.worker!r} got an instruction behind the end of its Control stream",
                    worker=connection.worker,
                )
    for connection in index.connections:
        ended = connection.ended
        lives = [c for c in control[connection.worker] if c.opened.seq <= (ended or connection.opened).seq] or control[
            connection.worker
        ]
        owner = lives[-1] if lives else None
        if connection.plane == "control" or owner is None:
            continue
        if connection.plane in ("data", "state", "logging") and owner.ended is not None and ended is not None:
            late = ended.time - owner.ended.time
            if late > OUTLIVE:
                docket.find(
                    "I-CH-06",
                    ended.seq,
                    f"the {connection.plane} stream of {connection.worker!r} outlived its Control by {late:.0f} s",
                    worker=connection.worker,
                )
        if connection.plane == "logging":
            _logging(connection, owner, docket)


def _logging(connection: Connection, control: Connection, docket: Docket) -> None:
    """Who ended Logging first: a refusal or an end in mid-life is I-LOG-01, the wrong order of a shutdown I-CH-07."""
    docket.look("I-LOG-01")
    docket.look("I-CH-07")
    ended = connection.ended
    if ended is None or not connection.ended_by_runner or ended.seq < control.opened.seq:
        return
    worker, status = connection.worker, ended.message.status
    alive = control.last_inbound is not None and control.last_inbound.time > ended.time + END_RACE
    refused = status in ("UNIMPLEMENTED", "UNAUTHENTICATED", "PERMISSION_DENIED", "NOT_FOUND", "INVALID_ARGUMENT")
    if alive or refused:
        docket.find(
            "I-LOG-01",
            ended.seq,
            f"Logging of {worker!r} ended with {status} while its Control went on",
            worker=worker,
            detail=ended.message.detail,
        )
    elif control.ended is not None and control.ended_by_runner and control.ended.time > ended.time + END_RACE:
        docket.find(
            "I-CH-07",
            ended.seq,
            f"Logging of {worker!r} was ended {control.ended.time - ended.time:.1f} s before its Control",
            worker=worker,
        )


def _sizes(index: Index, docket: Docket) -> None:
    """I-CH-08 is exercised by what came through; what did not shows as a stream's end (in _ends)."""
    for bundle in index.bundles.values():
        for entries in (bundle.inputs, bundle.outputs):
            docket.look("I-CH-08", sum(len(entry.payload) > FOUR_MIB for entry in entries))


# -- provision -------------------------------------------------------------------------------------------------------------


def environment_of(index: Index, book: Book, worker: str) -> tuple[str, pb.Environment] | None:
    """The submitted environment that a worker serves: the one its stages name, or the only one there is."""
    environments = index.submitted.components.environments
    named: set[str] = set()
    for stage in book.stages_of(worker):
        for name in stage.payloads:
            known = index.submitted.components.transforms.get(name)
            named.add(known.environment_id if known is not None else stage.transforms[name].environment_id)
    named &= set(environments)
    if not named and len(environments) == 1:
        named = set(environments)
    if len(named) != 1:
        return None
    name = named.pop()
    return name, environments[name]


def _alternatives(environment: pb.Environment) -> list[pb.Environment]:
    """The environment, or what an AnyOf offers (P-ENV-01)."""
    if environment.urn != urns.Env.ANYOF:
        return [environment]
    try:
        return list(pb.AnyOfEnvironmentPayload.FromString(environment.payload).environments) or [environment]
    except DecodeError:
        return [environment]


def _roles(artifacts: Any) -> list[tuple[str, bytes]]:
    return [(artifact.role_urn, artifact.role_payload) for artifact in artifacts]


def _provision(index: Index, book: Book, docket: Docket) -> None:
    started = {
        event.message.worker_id: event.message for event in index.pool if isinstance(event.message, fn_pb2.StartWorkerRequest)
    }
    for event in index.provision:
        info, worker = event.message.info, event.worker_id
        docket.look("I-PRV-01")
        start = started.get(worker)
        for field in ("logging_endpoint", "artifact_endpoint", "control_endpoint"):
            # Given with the request to start, it need not be repeated (P-BOOT-02).
            if not getattr(info, field).url and not (start is not None and getattr(start, field).url):
                docket.find("I-PRV-01", event.seq, f"provision of {worker!r} names no {field}", worker=worker, field=field)
        if not event.message.info.HasField("pipeline_options"):
            docket.find("I-PRV-01", event.seq, f"provision of {worker!r} has no pipeline options", worker=worker)
        for capability in info.runner_capabilities:
            if not _URN.fullmatch(capability):
                docket.find("I-PRV-01", event.seq, f"runner capability {capability!r} is no URN", worker=worker)
        served = environment_of(index, book, worker)
        if served is not None:
            docket.look("I-PRV-02")
            got = _roles(info.dependencies)
            wanted = [_roles(environment.dependencies) for environment in _alternatives(served[1])]
            if got not in wanted:
                docket.find(
                    "I-PRV-02",
                    event.seq,
                    f"provision of {worker!r} lists {len(got)} dependencies that are not those of its environment {served[0]!r}"
                    if sorted(got) not in [sorted(one) for one in wanted]
                    else f"provision of {worker!r} lists the dependencies of {served[0]!r} in another order",
                    worker=worker,
                    got=[str(role) for role in got],
                    submitted=[str(role) for role in wanted[0]],
                )
        if index.job.prepare is not None and index.job.prepare.HasField("pipeline_options"):
            docket.look("I-PRV-04")
            for key, value in index.job.prepare.pipeline_options.fields.items():
                if key not in info.pipeline_options.fields:
                    docket.find("I-PRV-04", event.seq, f"provision of {worker!r} lacks the submitted option {key!r}", option=key)
                elif info.pipeline_options.fields[key] != value:
                    docket.find(
                        "I-PRV-04",
                        event.seq,
                        f"provision of {worker!r} has another value of the submitted option {key!r}",
                        option=key,
                        submitted=str(value),
                        got=str(info.pipeline_options.fields[key]),
                    )


def staged_bytes(index: Index) -> list[tuple[pb.ArtifactInformation, bytes, bool]]:
    """What the client gave at staging: (artifact as it was asked for, bytes, whether the bytes came to their end)."""
    given: list[tuple[pb.ArtifactInformation, bytearray, bool]] = []
    # A runner may ask for many at once; answers come in order of asking (P-ART-03).
    open_from = 0
    for event in index.job.staging:
        message = event.message
        if isinstance(message, artifact_pb2.ArtifactRequestWrapper):
            if message.WhichOneof("request") == "get_artifact":
                given.append((message.get_artifact.artifact, bytearray(), False))
        elif message.WhichOneof("response") == "get_artifact_response" and open_from < len(given):
            artifact, data, _ = given[open_from]
            data += message.get_artifact_response.data
            if message.is_last:
                given[open_from] = (artifact, data, True)
                open_from += 1
        elif message.is_last and open_from < len(given):
            given[open_from] = (given[open_from][0], given[open_from][1], True)
            open_from += 1
    return [(artifact, bytes(data), whole) for artifact, data, whole in given]


def _claimed_hash(artifact: pb.ArtifactInformation) -> str:
    kinds: dict[str, Any] = {urns.Artifact.FILE: pb.ArtifactFilePayload, urns.Artifact.URL: pb.ArtifactUrlPayload}
    kind = kinds.get(artifact.type_urn)
    if kind is None:
        return ""
    try:
        return str(kind.FromString(artifact.type_payload).sha256)
    except DecodeError:
        return ""


def _retrieval(index: Index, book: Book, docket: Docket) -> None:
    staged = staged_bytes(index)
    for events in index.retrievals:
        asked = events[0].message.artifact
        worker = events[0].worker_id
        chunks, end = [e.message.data for e in events if isinstance(e.message, artifact_pb2.GetArtifactResponse)], None
        if isinstance(events[-1].message, End):
            end = events[-1]
        data = b"".join(chunks)
        docket.look("I-PRV-03")
        role = asked.role_payload.decode("utf-8", "replace").strip() or asked.type_urn
        if end is None:
            continue
        if end.message.status != "OK":
            docket.find(
                "I-PRV-03",
                end.seq,
                f"artifact {role!r} cannot be fetched by {worker!r}: {end.message.status} {end.message.detail[:200]}",
                worker=worker,
            )
            continue
        candidates = [
            b for a, b, whole in staged if whole and (a.role_urn, a.role_payload) == (asked.role_urn, asked.role_payload)
        ]
        served = environment_of(index, book, worker)
        if served is not None:
            own = [_identity(artifact) for artifact in served[1].dependencies]
            narrowed = [
                b
                for a, b, whole in staged
                if whole and _identity(a) in own and (a.role_urn, a.role_payload) == (asked.role_urn, asked.role_payload)
            ]
            candidates = narrowed or candidates
        if candidates and data not in candidates:
            docket.find(
                "I-PRV-03",
                events[0].seq,
                f"artifact {role!r} reaches {worker!r} as {len(data)} bytes that differ from the {len(candidates[0])} staged",
                worker=worker,
                got=hashlib.sha256(data).hexdigest(),
                staged=[hashlib.sha256(candidate).hexdigest() for candidate in candidates],
            )
        claimed = _claimed_hash(asked)
        if claimed and claimed != hashlib.sha256(data).hexdigest():
            docket.find(
                "I-PRV-03",
                events[0].seq,
                f"artifact {role!r} comes to {worker!r} with a sha256 that its bytes do not have",
                worker=worker,
                claimed=claimed,
                got=hashlib.sha256(data).hexdigest(),
            )


def _identity(artifact: pb.ArtifactInformation) -> bytes:
    content: bytes = artifact.SerializeToString(deterministic=True)
    return content
