"""gRPC calls that leave a record: duplex streams with a queue to send from, unary calls, and the channels they share."""

from __future__ import annotations

import queue
import threading
from collections import OrderedDict
from collections.abc import Iterator
from typing import Any

import grpc

from conformance.harness.transcript import End, Open, Plane, Transcript
from conformance.wire import rpc

__all__ = ["CHANNELS", "Channels", "Duplex", "unary"]

FN = "org.apache.beam.model.fn_execution.v1."


class Channels:
    """Channels by address, kept for a while after their last use: a runner with one port serves all jobs of a suite over one."""

    def __init__(self, keep: int = 8) -> None:
        self._keep = keep
        self._lock = threading.Lock()
        self._used: dict[str, tuple[grpc.Channel, int]] = {}
        self._broken: set[str] = set()
        self._idle: OrderedDict[str, grpc.Channel] = OrderedDict()

    def acquire(self, url: str) -> grpc.Channel:
        with self._lock:
            channel, users = self._used.get(url, (None, 0))
            if channel is None:
                channel = self._idle.pop(url, None) or rpc.insecure_channel(url)
            self._used[url] = (channel, users + 1)
            return channel

    def release(self, url: str, broken: bool = False) -> None:
        """Give back one use; a broken channel is not kept."""
        closing: list[grpc.Channel] = []
        with self._lock:
            channel, users = self._used.pop(url)
            if broken:
                self._broken.add(url)
            if users > 1:
                self._used[url] = (channel, users - 1)
                return
            if url in self._broken:
                # One user saw the server gone: a new server on that port should not meet this channel's back-off.
                self._broken.discard(url)
                closing.append(channel)
            else:
                self._idle[url] = channel
                while len(self._idle) > self._keep:
                    closing.append(self._idle.popitem(last=False)[1])
        for each in closing:
            each.close()


CHANNELS = Channels()


class Duplex:
    """One bidirectional stream to the runner: `send` from any thread, iterate in one; both are recorded."""

    def __init__(
        self,
        channel: grpc.Channel,
        transcript: Transcript,
        *,
        service: str,
        method: str,
        plane: Plane,
        worker_id: str,
        url: str,
        metadata: tuple[tuple[str, str], ...] = (),
        stream: str = "",
    ) -> None:
        self._queue: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._transcript, self._plane, self._method, self._worker_id = transcript, plane, method, worker_id
        self.stream = stream or url
        self._closed = False
        self.ended = threading.Event()
        headers = (("worker_id", worker_id), *metadata)
        transcript.append(plane, method, "S->R", worker_id, Open(url, headers), self.stream)
        self._call = getattr(rpc.stub(channel, FN + service), method)(iter(self._queue.get, None), metadata=headers)

    def send(self, message: Any) -> None:
        """Record and queue one message; nothing happens after `close`."""
        if self._closed:
            return
        self._transcript.append(self._plane, self._method, "S->R", self._worker_id, message, self.stream)
        self._queue.put(message)

    def close(self) -> None:
        """Half-close: everything queued still goes out."""
        if not self._closed:
            self._closed = True
            self._queue.put(None)

    def cancel(self) -> None:
        """Drop the stream."""
        self.close()
        self._call.cancel()

    def __iter__(self) -> Iterator[Any]:
        """What the runner sends, until it ends the stream or the stream breaks; the end is recorded, never raised."""
        status, detail = "OK", ""
        try:
            for message in self._call:
                self._transcript.append(self._plane, self._method, "R->S", self._worker_id, message, self.stream)
                yield message
        except grpc.RpcError as error:
            status, detail = error.code().name, error.details() or ""
        finally:
            self._transcript.append(self._plane, self._method, "R->S", self._worker_id, End(status, detail), self.stream)
            self.status = status
            self.ended.set()


def unary(
    channel: grpc.Channel,
    transcript: Transcript,
    *,
    service: str,
    method: str,
    plane: Plane,
    worker_id: str,
    url: str,
    request: Any,
    timeout: float,
) -> Any:
    """A unary call. Raises grpc.RpcError, after recording the end."""
    headers = (("worker_id", worker_id),)
    transcript.append(plane, method, "S->R", worker_id, Open(url, headers), url)
    transcript.append(plane, method, "S->R", worker_id, request, url)
    package = service if "." in service else FN + service
    try:
        response = getattr(rpc.stub(channel, package), method)(request, metadata=headers, timeout=timeout)
    except grpc.RpcError as error:
        transcript.append(plane, method, "R->S", worker_id, End(error.code().name, error.details() or ""), url)
        raise
    transcript.append(plane, method, "R->S", worker_id, response, url)
    return response
