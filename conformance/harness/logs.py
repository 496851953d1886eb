"""The logging plane of one worker: optional, never in the way, closed last (P-LOG-01..03)."""

from __future__ import annotations

import time

from conformance.harness.streams import CHANNELS, Duplex
from conformance.harness.threads import THREADS
from conformance.harness.transcript import Transcript
from conformance.wire.api import fn_pb2, google_pb2

__all__ = ["LogStream"]


class LogStream:
    """One Logging stream; `write` never blocks."""

    def __init__(self, transcript: Transcript, worker_id: str, url: str) -> None:
        self._url = url
        self._stream = Duplex(
            CHANNELS.acquire(url),
            transcript,
            service="BeamFnLogging",
            method="Logging",
            plane="logging",
            worker_id=worker_id,
            url=url,
        )
        THREADS.run(self._read)

    def _read(self) -> None:
        for _ in self._stream:
            pass  # LogControl has no content
        CHANNELS.release(self._url, broken=self._stream.status == "UNAVAILABLE")

    def write(self, message: str, severity: str, instruction_id: str, transform_id: str) -> None:
        """One entry. Raises ValueError for a severity that does not exist."""
        now = time.time()
        entry = fn_pb2.LogEntry(
            severity=severity,
            timestamp=google_pb2.Timestamp(seconds=int(now), nanos=int(now % 1 * 1e9)),
            message=message,
            instruction_id=instruction_id,
            transform_id=transform_id,
            log_location="conformance.harness",
        )
        self._stream.send(fn_pb2.LogEntry.List(log_entries=[entry]))

    def close(self) -> Duplex:
        """Half-close."""
        self._stream.close()
        return self._stream
