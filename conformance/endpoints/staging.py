"""Artifact staging as the client sees it: the runner asks, the client answers (protocol 2.3, P-ART-01 to P-ART-06).

Only what the pipeline lists is handed out: a runner that asks for another file of this machine gets a StagingViolation.
"""

from __future__ import annotations

import queue
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import grpc
from attrs import frozen

from conformance.endpoints.errors import ArtifactUnreadable, EndpointError, StagingViolation
from conformance.wire import urns
from conformance.wire.api import artifact_pb2 as art
from conformance.wire.api import pipeline_pb2

__all__ = ["CHUNK_BYTES", "Staged", "artifact_bytes", "dependencies", "name_of", "stage"]

#: 2 MiB, what released clients and retrieval services use; any size is legal (P-CH-08).
CHUNK_BYTES = 2 << 20

STAGING_SERVICE = "org.apache.beam.model.job_management.v1.ArtifactStagingService"


@frozen
class Staged:
    """What a runner asked for while it staged: artifacts in the order of asking, and how often it wanted lists resolved."""

    artifacts: tuple[Any, ...] = ()
    resolved: int = 0
    bytes: int = 0


def dependencies(pipeline: Any) -> list[Any]:
    """The artifacts of every environment of the pipeline, the alternatives inside AnyOf ones included (P-ART-01)."""
    found: list[Any] = []
    for environment in pipeline.components.environments.values():
        found += _of_environment(environment)
    return found


def _of_environment(environment: Any) -> Iterator[Any]:
    yield from environment.dependencies
    if environment.urn == urns.Env.ANYOF:
        for alternative in pipeline_pb2.AnyOfEnvironmentPayload.FromString(environment.payload).environments:
            yield from _of_environment(alternative)


def artifact_bytes(artifact: Any, files: Mapping[str, bytes] | None = None) -> Iterator[bytes]:
    """The contents of an artifact in chunks. `files` answers for paths that are not on disk, and for `name_of` packages.

    Raises ArtifactUnreadable for a missing file and for types that only their own ecosystem can fetch.
    """
    if artifact.type_urn == urns.Artifact.EMBEDDED:
        yield from _chunks(pipeline_pb2.EmbeddedFilePayload.FromString(artifact.type_payload).data)
    elif artifact.type_urn == urns.Artifact.FILE:
        yield from _file(pipeline_pb2.ArtifactFilePayload.FromString(artifact.type_payload).path, files or {})
    elif artifact.type_urn == urns.Artifact.URL:
        url = pipeline_pb2.ArtifactUrlPayload.FromString(artifact.type_payload).url
        parts = urllib.parse.urlsplit(url)
        if parts.scheme != "file" or parts.netloc not in ("", "localhost"):
            raise ArtifactUnreadable(f"The artifact {url} is not a file:// URL of this machine. Stage it as a file instead.")
        yield from _file(urllib.request.url2pathname(parts.path), files or {})
    elif name_of(artifact) in (files or {}):
        yield from _chunks((files or {})[name_of(artifact)])
    else:
        raise ArtifactUnreadable(
            f"An artifact of type {artifact.type_urn or '(none)'} cannot be turned into bytes here. Use FILE, URL or EMBEDDED."
        )


def name_of(artifact: Any) -> str:
    """What a package is called among the `files` of a client that holds it: name==version, the coordinates, the key; "" for other types."""
    payload = artifact.type_payload
    if artifact.type_urn == urns.Artifact.PYPI:
        package = pipeline_pb2.PyPIPayload.FromString(payload)
        return f"{package.artifact_id}=={package.version}"
    if artifact.type_urn == urns.Artifact.MAVEN:
        return str(pipeline_pb2.MavenPayload.FromString(payload).artifact)
    if artifact.type_urn == urns.Artifact.DEFERRED:
        return str(pipeline_pb2.DeferredArtifactPayload.FromString(payload).key)
    return ""


def _file(path: str, files: Mapping[str, bytes]) -> Iterator[bytes]:
    if path in files:
        yield from _chunks(files[path])
        return
    try:
        with Path(path).open("rb") as file:
            while chunk := file.read(CHUNK_BYTES):
                yield chunk
    except OSError as error:
        raise ArtifactUnreadable(
            f"The artifact {path} cannot be read ({error.strerror}). Check the path in the pipeline's environment."
        ) from error


def _chunks(data: bytes) -> Iterator[bytes]:
    for start in range(0, len(data), CHUNK_BYTES):
        yield data[start : start + CHUNK_BYTES]


def stage(
    call: Callable[[Iterator[Any]], Any],
    token: str,
    artifacts: Iterable[Any],
    files: Mapping[str, bytes] | None = None,
    seen: Callable[[str, Any], None] = lambda direction, message: None,
) -> Staged:
    """Serve one staging stream until the runner completes it. `call` opens ReverseArtifactRetrievalService.

    Raises grpc.RpcError as it comes, StagingViolation and ArtifactUnreadable; `seen` is shown every message.
    """
    listed = {(artifact.type_urn, artifact.type_payload) for artifact in artifacts}
    # Answers are queued as iterators and only read when gRPC wants the next message, so a large file never stands in memory.
    answers: queue.SimpleQueue[Iterator[Any] | None] = queue.SimpleQueue()
    faults: list[EndpointError] = []
    sent = 0

    def requests() -> Iterator[Any]:
        nonlocal sent
        while (answer := answers.get()) is not None:
            try:
                for message in answer:
                    seen("C->R", message)
                    sent += len(message.get_artifact_response.data)
                    yield message
            except EndpointError as error:
                faults.append(error)
                stream.cancel()
                return

    stream = call(requests())
    answers.put(iter([art.ArtifactResponseWrapper(staging_token=token)]))
    asked: list[Any] = []
    resolved = 0
    try:
        for request in stream:
            seen("R->C", request)
            kind = request.WhichOneof("request")
            if kind == "resolve_artifact":
                resolved += 1
                replaced = [_replacement(artifact, files or {}) for artifact in request.resolve_artifact.artifacts]
                listed |= {(artifact.type_urn, artifact.type_payload) for artifact in replaced}
                answers.put(iter([_resolved(replaced)]))
            elif kind == "get_artifact":
                artifact = request.get_artifact.artifact
                if (artifact.type_urn, artifact.type_payload) not in listed:
                    raise StagingViolation(
                        f"The runner asked for an artifact that no environment of the pipeline lists "
                        f"({artifact.type_urn}, {bytes(artifact.type_payload)[:80]!r}). Look at how it resolves dependencies."
                    )
                asked.append(artifact)
                answers.put(_contents(artifact, files))
            else:
                raise StagingViolation(
                    "The runner sent a staging request that asks for nothing. Look at how it builds ArtifactRequestWrapper."
                )
    except grpc.RpcError:
        if faults:
            raise faults[0] from None
        raise
    finally:
        answers.put(None)
        stream.cancel()
    return Staged(tuple(asked), resolved, sent)


def _replacement(artifact: Any, files: Mapping[str, bytes]) -> Any:
    """A package that the client holds as its bytes; every other artifact replaces itself (P-ART-04)."""
    if name_of(artifact) not in files:
        return artifact
    payload = pipeline_pb2.EmbeddedFilePayload(data=files[name_of(artifact)])
    return pipeline_pb2.ArtifactInformation(
        type_urn=urns.Artifact.EMBEDDED,
        type_payload=payload.SerializeToString(deterministic=True),
        role_urn=artifact.role_urn,
        role_payload=artifact.role_payload,
    )


def _resolved(artifacts: Iterable[Any]) -> Any:
    return art.ArtifactResponseWrapper(resolve_artifact_response=art.ResolveArtifactsResponse(replacements=artifacts))


def _contents(artifact: Any, files: Mapping[str, bytes] | None) -> Iterator[Any]:
    for chunk in artifact_bytes(artifact, files):
        yield art.ArtifactResponseWrapper(get_artifact_response=art.GetArtifactResponse(data=chunk))
    # The end is a wrapper of its own with no data: Prism discards what the last one carries (P-ART-02).
    yield art.ArtifactResponseWrapper(get_artifact_response=art.GetArtifactResponse(), is_last=True)
