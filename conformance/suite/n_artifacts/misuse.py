"""Clients that stage otherwise than they should: one that goes away in the middle, one that sends everything in one chunk."""

from __future__ import annotations

import contextlib
import queue
from collections.abc import Iterator
from typing import Any

import grpc

from conformance.wire import rpc
from conformance.wire.api import artifact_pb2

__all__ = ["leave_early", "stage_at_once"]

_SERVICE = "org.apache.beam.model.job_management.v1.ArtifactStagingService"


class _Staging:
    """One staging stream: what the runner asks for, and answers that are sent when we like."""

    def __init__(self, url: str, token: str, seconds: float) -> None:
        self._answers: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._channel = rpc.insecure_channel(url)
        self.send(staging_token=token)
        stub = rpc.stub(self._channel, _SERVICE)
        self.asked = stub.ReverseArtifactRetrievalService(iter(self._answers.get, None), timeout=seconds)

    def send(self, **fields: Any) -> None:
        self._answers.put(artifact_pb2.ArtifactResponseWrapper(**fields))

    def resolve(self, request: Any) -> None:
        """Each artifact replaces itself."""
        answer = artifact_pb2.ResolveArtifactsResponse(replacements=request.resolve_artifact.artifacts)
        self.send(resolve_artifact_response=answer)

    def end(self) -> None:
        """Send nothing more; everything that was sent still goes out."""
        self._answers.put(None)

    def close(self) -> None:
        self.end()
        self.asked.cancel()
        self._channel.close()


@contextlib.contextmanager
def _staging(prepared: Any, seconds: float) -> Iterator[_Staging]:
    stream = _Staging(prepared.artifact_staging_endpoint.url, prepared.staging_session_token, seconds)
    try:
        yield stream
    finally:
        stream.close()


def _wants_bytes(stream: _Staging, request: Any) -> bool:
    if request.WhichOneof("request") == "resolve_artifact":
        stream.resolve(request)
        return False
    return True


def leave_early(prepared: Any, *, first: bytes, seconds: float) -> str:
    """Answer the first request for bytes with `first` alone, and end the stream; how the runner ended it ("OK", or a status).

    "nothing asked" if it never asked for bytes.
    """
    with _staging(prepared, seconds) as stream:
        asked = False
        try:
            for request in stream.asked:
                if _wants_bytes(stream, request):
                    asked = True
                    if first:
                        stream.send(get_artifact_response=artifact_pb2.GetArtifactResponse(data=first))
                    stream.end()
        except grpc.RpcError as error:
            return str(error.code().name)
        return "OK" if asked else "nothing asked"


def stage_at_once(prepared: Any, data: bytes, seconds: float) -> None:
    """Answer every request for bytes with one chunk that holds them all. Raises grpc.RpcError."""
    with _staging(prepared, seconds) as stream:
        for request in stream.asked:
            if _wants_bytes(stream, request):
                stream.send(get_artifact_response=artifact_pb2.GetArtifactResponse(data=data))
                stream.send(get_artifact_response=artifact_pb2.GetArtifactResponse(), is_last=True)
        stream.end()
