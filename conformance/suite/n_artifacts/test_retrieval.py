"""Retrieval by workers: every kind of artifact arrives as it was, in whatever chunks."""

from __future__ import annotations

from typing import Any

import grpc

from conformance.harness.streams import CHANNELS
from conformance.harness.worker import Worker
from conformance.suite.assertions import asserts
from conformance.suite.checks import holds, same
from conformance.suite.execution import RunnerUnderTest
from conformance.suite.n_artifacts.staging import LARGE, Staged, embedded, file, run_with, url
from conformance.suite.outcomes import NotExercised
from conformance.wire import rpc, urns
from conformance.wire.api import artifact_pb2
from conformance.wire.api import pipeline_pb2 as pb

RETRIEVAL = "org.apache.beam.model.job_management.v1.ArtifactRetrievalService"
#: Every byte, so that a transcoding of any kind shows.
BYTES = bytes(range(256)) * 5
GRPC_LIMIT = 4 * 2**20


def _short(data: dict[str, bytes]) -> dict[str, str]:
    return {name: f"{len(each)} bytes, {each[:16]!r}…" for name, each in data.items()}


def _arrives(staged: Staged, expected: dict[str, bytes], rule: str) -> None:
    __tracebackhide__ = True
    fetched = staged.fetched()
    if fetched != expected:
        same(_short(fetched), _short(expected), "what the worker fetched", rule=rule)
        holds(False, "the bytes that the worker fetched are not those of the client", rule=rule)


@asserts("ART02/file-arrives")
def test_file_arrives(runner: RunnerUnderTest) -> None:
    staged = run_with(runner, [file("a.bin"), file("b.txt")], {"a.bin": BYTES, "b.txt": b"B"}, label="file")
    _arrives(staged, {"a.bin": BYTES, "b.txt": b"B"}, "P-ART-07")


@asserts("ART02/embedded-arrives")
def test_embedded_arrives(runner: RunnerUnderTest) -> None:
    _arrives(run_with(runner, [embedded("e.bin", BYTES)], label="embedded"), {"e.bin": BYTES}, "P-ART-05")


@asserts("ART02/url-arrives")
def test_url_arrives(runner: RunnerUnderTest) -> None:
    _arrives(run_with(runner, [url("u.bin")], {"u.bin": BYTES}, label="url"), {"u.bin": BYTES}, "P-ART-05")


@asserts("ART02/empty-file-arrives")
def test_empty_file_arrives(runner: RunnerUnderTest) -> None:
    staged = run_with(runner, [file("empty"), file("full")], {"empty": b"", "full": b"x"}, label="empty-file")
    _arrives(staged, {"empty": b"", "full": b"x"}, "P-ART-07")


@asserts("ART05/resolved-for-worker")
def test_resolved_for_worker(runner: RunnerUnderTest) -> None:
    staged = run_with(runner, [file("a"), embedded("b", b"B"), file("c")], {"a": b"A", "c": b"C"}, label="resolve")
    wanted = [(artifact.role_urn, artifact.role_payload) for artifact in staged.dependencies]
    answers = staged.run.transcript.events("artifact", "ResolveArtifacts", "R->S", kind="ResolveArtifactsResponse")
    holds(bool(answers), f"ResolveArtifacts was not answered: {staged.fetching.faults}", rule="P-ART-07")
    found = [(artifact.role_urn, artifact.role_payload) for artifact in answers[0].message.replacements]
    same(found, wanted, "the roles of the replacements", rule="P-ART-07")


@asserts("ART05/unknown-artifact-refused")
def test_unknown_artifact_refused(runner: RunnerUnderTest) -> None:
    seen: list[str] = []

    def ask(worker: Worker) -> None:
        address = worker.endpoints.artifact
        if not address:
            return
        payload = pb.ArtifactFilePayload(path="/beam-conformance/never/staged")
        artifact = pb.ArtifactInformation(type_urn=urns.Artifact.FILE, type_payload=payload.SerializeToString())
        channel = CHANNELS.acquire(address)
        try:
            stub: Any = rpc.stub(channel, RETRIEVAL)
            metadata = (("worker_id", worker.worker_id),)
            chunks = list(stub.GetArtifact(artifact_pb2.GetArtifactRequest(artifact=artifact), metadata=metadata, timeout=20.0))
            seen.append(f"answered with {len(chunks)} chunks")
        except grpc.RpcError as error:
            seen.append(error.code().name)
        finally:
            CHANNELS.release(address)

    run_with(runner, [embedded("a", b"A")], label="unknown-artifact", fetch=ask)
    if not seen:
        raise NotExercised("no worker was given an artifact endpoint")
    refused = not seen[0].startswith("answered") and seen[0] not in ("DEADLINE_EXCEEDED", "UNAVAILABLE")
    holds(
        refused, f"GetArtifact of a file that was never staged: {seen[0]}", expected="an error", observed=seen[0], rule="P-ART-07"
    )


@asserts("ART06/six-mebibytes-whole")
def test_six_mebibytes_whole(runner: RunnerUnderTest) -> None:
    _arrives(run_with(runner, [file("large.bin")], {"large.bin": LARGE}, label="large-file"), {"large.bin": LARGE}, "P-ART-07")


@asserts("ART06/chunks-below-limit")
def test_chunks_below_limit(runner: RunnerUnderTest) -> None:
    staged = run_with(runner, [file("large.bin")], {"large.bin": LARGE}, label="large-file")
    chunks = staged.run.transcript.events("artifact", "GetArtifact", "R->S", kind="GetArtifactResponse")
    if not chunks:
        raise NotExercised(f"the worker got no chunks: {staged.fetching.faults}")
    largest = max(event.message.ByteSize() for event in chunks)
    holds(
        largest <= GRPC_LIMIT, f"a chunk has {largest} bytes", expected=f"at most {GRPC_LIMIT}", observed=largest, rule="P-ART-07"
    )
