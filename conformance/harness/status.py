"""The worker status plane: answers each request with a line of text (P-STAT-01)."""

from __future__ import annotations

from collections.abc import Callable

from conformance.harness.streams import CHANNELS, Duplex
from conformance.harness.threads import THREADS
from conformance.harness.transcript import Transcript
from conformance.wire.api import fn_pb2

__all__ = ["StatusStream"]


class StatusStream:
    """One WorkerStatus stream."""

    def __init__(self, transcript: Transcript, worker_id: str, url: str, text: Callable[[], str]) -> None:
        self._url, self._text = url, text
        self._stream = Duplex(
            CHANNELS.acquire(url),
            transcript,
            service="BeamFnWorkerStatus",
            method="WorkerStatus",
            plane="status",
            worker_id=worker_id,
            url=url,
        )
        THREADS.run(self._read)

    def _read(self) -> None:
        for request in self._stream:
            self._stream.send(fn_pb2.WorkerStatusResponse(id=request.id, status_info=self._text()))
        CHANNELS.release(self._url, broken=self._stream.status == "UNAVAILABLE")

    def close(self) -> Duplex:
        """Half-close."""
        self._stream.close()
        return self._stream
