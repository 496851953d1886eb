"""Artifact retrieval as a worker does it at boot: resolve the dependencies, fetch each, check its hash (P-ART-07, P-BOOT-05)."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING

import grpc
from attrs import frozen

from conformance.harness.errors import RemoteProtocolError
from conformance.harness.streams import CHANNELS, unary
from conformance.harness.transcript import End, Open
from conformance.wire import rpc, urns
from conformance.wire.api import artifact_pb2
from conformance.wire.api import pipeline_pb2 as pb

if TYPE_CHECKING:
    from conformance.harness.worker import Worker

__all__ = ["Artifact", "ArtifactFetcher"]

_SERVICE = "org.apache.beam.model.job_management.v1.ArtifactRetrievalService"


@frozen
class Artifact:
    """One artifact as a worker got it."""

    worker_id: str
    information: pb.ArtifactInformation
    data: bytes

    @property
    def staged_name(self) -> str:
        """The name of its staging_to role, empty for another role."""
        if self.information.role_urn != urns.ArtifactRole.STAGING_TO:
            return ""
        return pb.ArtifactStagingToRolePayload.FromString(self.information.role_payload).staged_name


class ArtifactFetcher:
    """Set as `session.fetch_artifacts`: each worker fetches what provision lists; `artifacts` holds what came.

    With a directory the files are also put there by their staged names, as a boot program does it (P-BOOT-05).
    """

    def __init__(self, directory: Path | None = None) -> None:
        self.artifacts: list[Artifact] = []
        self._directory = directory

    def __call__(self, worker: Worker) -> None:
        """Fetch everything for `worker`. Raises RemoteProtocolError for a refusal or a wrong hash."""
        provision, url = worker.provision, worker.endpoints.artifact
        if provision is None or not provision.dependencies:
            return
        if not url:
            raise RemoteProtocolError("provision lists dependencies, but no artifact endpoint was given (P-BOOT-02)")
        channel = CHANNELS.acquire(url)
        try:
            response = unary(
                channel,
                worker.host.transcript,
                service=_SERVICE,
                method="ResolveArtifacts",
                plane="artifact",
                worker_id=worker.worker_id,
                url=url,
                request=artifact_pb2.ResolveArtifactsRequest(artifacts=provision.dependencies),
                timeout=60.0,
            )
            for information in response.replacements:
                data = self._get(worker, channel, url, information)
                self._check(information, data)
                self.artifacts.append(artifact := Artifact(worker.worker_id, information, data))
                self._put(artifact)
        except grpc.RpcError as error:
            raise RemoteProtocolError(f"artifact retrieval failed: {error.code().name} {error.details()}") from error
        finally:
            CHANNELS.release(url)

    def _get(self, worker: Worker, channel: grpc.Channel, url: str, information: pb.ArtifactInformation) -> bytes:
        transcript, worker_id = worker.host.transcript, worker.worker_id
        request = artifact_pb2.GetArtifactRequest(artifact=information)
        headers = (("worker_id", worker_id),)
        transcript.append("artifact", "GetArtifact", "S->R", worker_id, Open(url, headers), url)
        transcript.append("artifact", "GetArtifact", "S->R", worker_id, request, url)
        chunks = []
        for chunk in rpc.stub(channel, _SERVICE).GetArtifact(request, metadata=headers, timeout=60.0):
            transcript.append("artifact", "GetArtifact", "R->S", worker_id, chunk, url)
            chunks.append(chunk.data)
        transcript.append("artifact", "GetArtifact", "R->S", worker_id, End("OK"), url)
        return b"".join(chunks)

    def _put(self, artifact: Artifact) -> None:
        if self._directory is None or not artifact.staged_name:
            return
        target = self._directory / artifact.staged_name
        if not target.resolve().is_relative_to(self._directory.resolve()):
            raise RemoteProtocolError(f"artifact is to be staged as {artifact.staged_name!r}, outside of its directory")
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(artifact.data)

    def _check(self, information: pb.ArtifactInformation, data: bytes) -> None:
        wanted = ""
        if information.type_urn == urns.Artifact.FILE:
            wanted = pb.ArtifactFilePayload.FromString(information.type_payload).sha256
        elif information.type_urn == urns.Artifact.URL:
            wanted = pb.ArtifactUrlPayload.FromString(information.type_payload).sha256
        found = hashlib.sha256(data).hexdigest()
        if wanted and wanted != found:
            raise RemoteProtocolError(f"artifact has sha256 {found}, its information says {wanted} (P-BOOT-05)")
