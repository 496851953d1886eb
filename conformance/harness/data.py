"""The data plane of one worker: one stream an address (and stream name), an inbox a bundle, outputs in whole elements."""

from __future__ import annotations

import queue
import threading
from collections import OrderedDict
from typing import Any

from attrs import frozen

from conformance.harness.streams import CHANNELS, Duplex
from conformance.harness.threads import THREADS
from conformance.harness.transcript import Transcript
from conformance.wire.api import fn_pb2

__all__ = ["FLUSH_BYTES", "DataPlane", "Inbox", "Lost"]

#: A message holds about this much, in whole elements (P-CH-08, P-DATA-04).
FLUSH_BYTES = 1 << 20
_REMEMBERED = 10_000


@frozen
class Lost:
    """Put into every inbox when a data stream ended: no more input will come."""

    status: str
    url: str


Inbox = queue.SimpleQueue[Any]


class DataPlane:
    """Opens a stream when a bundle first names its address (P-CH-05, P-CH-06); accepts data before its bundle (P-DATA-10)."""

    def __init__(self, transcript: Transcript, worker_id: str) -> None:
        self._transcript, self._worker_id = transcript, worker_id
        self._lock = threading.Lock()
        self._streams: dict[tuple[str, str], Duplex] = {}
        self._inboxes: dict[str, Inbox] = {}
        self._finished: OrderedDict[str, None] = OrderedDict()
        self._lost: Lost | None = None

    def stream(self, url: str, name: str = "") -> Duplex:
        """The stream to `url`; a named one is a further stream with metadata data_stream_id (P-CTL-17)."""
        with self._lock:
            stream = self._streams.get((url, name))
            if stream is None:
                stream = Duplex(
                    CHANNELS.acquire(url),
                    self._transcript,
                    service="BeamFnData",
                    method="Data",
                    plane="data",
                    worker_id=self._worker_id,
                    url=url,
                    metadata=(("data_stream_id", name),) if name else (),
                    stream=f"{url}#{name}" if name else url,
                )
                self._streams[url, name] = stream
                THREADS.run(self._read, stream, url)
            return stream

    def inbox(self, instruction_id: str) -> Inbox:
        """Where the input of a bundle arrives: `Elements` holding only its own entries, in order, or Lost."""
        with self._lock:
            return self._inbox(instruction_id)

    def _inbox(self, instruction_id: str) -> Inbox:
        inbox = self._inboxes.get(instruction_id)
        if inbox is None:
            inbox = self._inboxes[instruction_id] = queue.SimpleQueue()
            if self._lost:
                inbox.put(self._lost)
        return inbox

    def finish(self, instruction_id: str) -> None:
        """Forget a bundle; what still comes for it is dropped silently (P-DATA-12)."""
        with self._lock:
            self._inboxes.pop(instruction_id, None)
            self._finished[instruction_id] = None
            while len(self._finished) > _REMEMBERED:
                self._finished.popitem(last=False)

    def _read(self, stream: Duplex, url: str) -> None:
        for elements in stream:
            self._deliver(elements)
        with self._lock:
            self._lost = Lost(stream.status, url)
            for inbox in self._inboxes.values():
                inbox.put(self._lost)
        CHANNELS.release(url, broken=stream.status == "UNAVAILABLE")

    def _deliver(self, elements: fn_pb2.Elements) -> None:
        ids = {entry.instruction_id for entry in elements.data} | {entry.instruction_id for entry in elements.timers}
        for instruction_id in ids:
            own = elements
            if len(ids) > 1:
                own = fn_pb2.Elements(
                    data=[entry for entry in elements.data if entry.instruction_id == instruction_id],
                    timers=[entry for entry in elements.timers if entry.instruction_id == instruction_id],
                )
            with self._lock:
                if instruction_id not in self._finished:
                    self._inbox(instruction_id).put(own)

    def close(self) -> list[Duplex]:
        """Half-close all streams; the answer is the streams, to wait for."""
        with self._lock:
            streams = list(self._streams.values())
        for stream in streams:
            stream.close()
        return streams
