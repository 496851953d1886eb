"""Artifacts: staged from the client by reverse retrieval, kept in a directory of the job, served to workers.

Dependencies of every environment are staged, AnyOf alternatives too, and kept apart (P-ART-01). A staged artifact is a FILE
whose path is a name in this store only, with its hash, its order and its role (P-ART-05, P-BOOT-05).
"""

from __future__ import annotations

import asyncio
import hashlib
import itertools
import tempfile
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import grpc
from attrs import define, field

from conformance.runner import environments
from conformance.wire import urns
from conformance.wire.api import artifact_pb2
from conformance.wire.api import pipeline_pb2 as pb

__all__ = ["CHUNK_BYTES", "ArtifactStore", "Retrieval", "Staging"]

#: Largest chunk of GetArtifact: peers that keep gRPC's 4 MiB limit can still fetch (P-ART-07).
CHUNK_BYTES = 2 << 20


@define
class Session:
    """What one job has to stage: dependency lists by (environment id, number of the alternative)."""

    wanted: dict[tuple[str, int], list[Any]] = field(factory=dict)
    staged: dict[tuple[str, int], list[Any]] = field(factory=dict)
    #: Serialized alternative → its key, to find the list of the one that was chosen.
    alternatives: dict[tuple[str, bytes, bytes], int] = field(factory=dict)
    open: bool = False


class ArtifactStore:
    """Staged artifacts of all jobs."""

    def __init__(self) -> None:
        self._root = tempfile.TemporaryDirectory(prefix="beam-conformance-artifacts-")
        self.sessions: dict[str, Session] = {}
        self._files: dict[str, Path] = {}
        self._numbers = itertools.count(1)

    def close(self) -> None:
        """Removes everything."""
        self._root.cleanup()

    def expect(self, job_id: str, of: Mapping[str, Any]) -> None:
        """The dependencies that a job declares."""
        session = self.sessions[job_id] = Session()
        for environment_id in sorted(of):
            for number, one in enumerate(environments.alternatives(of[environment_id])):
                session.alternatives.setdefault((environment_id, one.urn, one.payload), number)
                dependencies = list(one.dependencies)
                if not dependencies and of[environment_id].urn == urns.Env.ANYOF:
                    dependencies = list(of[environment_id].dependencies)
                if dependencies:
                    session.wanted[environment_id, number] = dependencies

    def forget(self, job_id: str) -> None:
        """Removes the files of a job that has ended."""
        self.sessions.pop(job_id, None)
        for name in [name for name in self._files if name.startswith(f"{job_id}/")]:
            self._files.pop(name).unlink(missing_ok=True)

    def missing(self, job_id: str) -> list[str]:
        """What was declared and not staged."""
        session = self.sessions.get(job_id, Session())
        return [
            f"{environment_id}: {artifact.type_urn}"
            for key, artifacts in session.wanted.items()
            if key not in session.staged
            for environment_id, artifact in [(key[0], each) for each in artifacts]
        ]

    def staged(self, job_id: str, environment_id: str, chosen: Any) -> list[Any]:
        """The staged dependencies of the alternative that was chosen for an environment."""
        session = self.sessions[job_id]
        number = session.alternatives.get((environment_id, chosen.urn, chosen.payload), 0)
        return session.staged.get((environment_id, number), [])

    def writer(self, name: str) -> ArtifactWriter:
        """A new file of the store."""
        path = Path(self._root.name) / f"{next(self._numbers)}"
        self._files[name] = path
        return ArtifactWriter(name, path)

    def path(self, artifact: Any) -> Path | None:
        """Where the bytes of a staged artifact are; None for what this store never handed out."""
        if artifact.type_urn != urns.Artifact.FILE:
            return None
        return self._files.get(pb.ArtifactFilePayload.FromString(artifact.type_payload).path)


class ArtifactWriter:
    """Writes one artifact and hashes it."""

    def __init__(self, name: str, path: Path) -> None:
        self._name = name
        self._file = path.open("wb")
        self._hash = hashlib.sha256()

    def write(self, data: bytes) -> None:
        """The next bytes."""
        self._file.write(data)
        self._hash.update(data)

    def done(self, submitted: Any) -> Any:
        """The artifact as workers are told of it: same role, fetched from here."""
        self._file.close()
        payload = pb.ArtifactFilePayload(path=self._name, sha256=self._hash.hexdigest())
        return pb.ArtifactInformation(
            type_urn=urns.Artifact.FILE,
            type_payload=payload.SerializeToString(),
            role_urn=submitted.role_urn,
            role_payload=submitted.role_payload,
        )


class Staging:
    """ArtifactStagingService: this end asks, the client answers (protocol.md 2.3)."""

    def __init__(self, store: ArtifactStore) -> None:
        self._store = store

    async def ReverseArtifactRetrievalService(self, responses: Any, context: Any) -> None:
        answers = responses.__aiter__()

        async def answer() -> Any:
            try:
                return await answers.__anext__()
            except StopAsyncIteration:
                await context.abort(grpc.StatusCode.CANCELLED, "the client ended the staging stream before everything was staged")

        token = (await answer()).staging_token
        session = self._store.sessions.get(token)
        if session is None:
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, f"unknown staging token {token!r}; use the one from Prepare")
        assert session is not None
        for (environment_id, number), wanted in session.wanted.items():
            request = artifact_pb2.ArtifactRequestWrapper()
            request.resolve_artifact.artifacts.extend(wanted)
            request.resolve_artifact.preferred_urns.append(urns.Artifact.FILE)
            await context.write(request)
            resolved = (await answer()).resolve_artifact_response.replacements
            staged = []
            for index, artifact in enumerate(resolved):
                request = artifact_pb2.ArtifactRequestWrapper()
                request.get_artifact.artifact.CopyFrom(artifact)
                await context.write(request)
                writer = self._store.writer(f"{token}/{environment_id}/{number}/{index}")
                while True:
                    part = await answer()
                    writer.write(part.get_artifact_response.data)
                    if part.is_last:
                        break
                staged.append(writer.done(artifact))
            session.staged[environment_id, number] = staged


class Retrieval:
    """ArtifactRetrievalService for workers."""

    def __init__(self, store: ArtifactStore) -> None:
        self._store = store

    async def ResolveArtifacts(self, request: Any, context: Any) -> Any:
        return artifact_pb2.ResolveArtifactsResponse(replacements=request.artifacts)

    async def GetArtifact(self, request: Any, context: Any) -> AsyncIterator[Any]:
        artifact = request.artifact
        if artifact.type_urn == urns.Artifact.EMBEDDED:
            data = pb.EmbeddedFilePayload.FromString(artifact.type_payload).data
            for at in range(0, len(data), CHUNK_BYTES):
                yield artifact_pb2.GetArtifactResponse(data=data[at : at + CHUNK_BYTES])
            return
        path = self._store.path(artifact)
        if path is None:
            text = f"{artifact.type_urn or 'an artifact without type'}: not an artifact that was staged here"
            await context.abort(grpc.StatusCode.NOT_FOUND, text)
        assert path is not None
        with path.open("rb") as file:
            while data := await asyncio.to_thread(file.read, CHUNK_BYTES):
                yield artifact_pb2.GetArtifactResponse(data=data)
