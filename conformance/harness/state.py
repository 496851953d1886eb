"""The state plane: one stream an address, answers matched by id; a bundle's own view with write tracking, paging and a cache."""

from __future__ import annotations

import itertools
import queue
import threading
from collections.abc import Iterator, Mapping

from attrs import define, field

from conformance.harness.errors import BundleAborted, FunctionError, LocalProtocolError, RemoteProtocolError
from conformance.harness.streams import CHANNELS, Duplex
from conformance.harness.threads import THREADS
from conformance.harness.transcript import Transcript
from conformance.wire.api import fn_pb2

__all__ = ["BundleState", "StateCache", "StatePlane"]


class Pending:
    """An answer to come."""

    __slots__ = ("_box", "request")

    def __init__(self, request: fn_pb2.StateRequest) -> None:
        self.request = request
        self._box: queue.SimpleQueue[fn_pb2.StateResponse | None] = queue.SimpleQueue()

    def resolve(self, response: fn_pb2.StateResponse | None) -> None:
        self._box.put(response)

    def wait(self, seconds: float) -> fn_pb2.StateResponse | None:
        """The bare answer, be it an error; None when the stream ended. Raises TimeoutError when nothing came in `seconds`."""
        try:
            return self._box.get(timeout=seconds)
        except queue.Empty:
            raise TimeoutError(f"no answer to state request {self.request.id} within {seconds:g} s") from None

    def result(self) -> fn_pb2.StateResponse:
        """Wait for the answer. Raises FunctionError for an error answer, RemoteProtocolError for one of another kind."""
        response = self._box.get()
        if response is None:
            raise BundleAborted("the state stream ended while a request was out")
        if response.error:
            raise FunctionError(f"state request failed: {response.error}")
        asked, got = self.request.WhichOneof("request"), response.WhichOneof("response")
        if asked != got:
            raise RemoteProtocolError(f"state request {response.id} asked {asked} and was answered {got} (P-STATE-01)")
        return response


class StatePlane:
    """The state streams of one worker."""

    def __init__(self, transcript: Transcript, worker_id: str) -> None:
        self._transcript, self._worker_id = transcript, worker_id
        self._lock = threading.Lock()
        self._streams: dict[str, Duplex] = {}
        self._pending: dict[str, Pending] = {}
        self._ids = itertools.count(1)
        self._ended = False
        self.surprises: list[str] = []

    def send(self, url: str, request: fn_pb2.StateRequest) -> Pending:
        """Send with a fresh id (P-STATE-01); wait with `Pending.result`."""
        stream = self._stream(url)
        pending = Pending(request)
        with self._lock:
            request.id = f"s{next(self._ids)}"
            self._pending[request.id] = pending
            if self._ended:
                pending.resolve(None)
            # Under the lock: requests of one key must leave in the order in which they were made (P-STATE-05).
            stream.send(request)
        return pending

    def _stream(self, url: str) -> Duplex:
        if not url:
            raise RemoteProtocolError("a stage with state or side inputs has no state_api_service_descriptor (P-CTL-10)")
        with self._lock:
            stream = self._streams.get(url)
            if stream is None:
                stream = self._streams[url] = Duplex(
                    CHANNELS.acquire(url),
                    self._transcript,
                    service="BeamFnState",
                    method="State",
                    plane="state",
                    worker_id=self._worker_id,
                    url=url,
                )
                THREADS.run(self._read, stream, url)
            return stream

    def _read(self, stream: Duplex, url: str) -> None:
        for response in stream:
            with self._lock:
                pending = self._pending.pop(response.id, None)
            if pending is None:
                self.surprises.append(f"state answer {response.id!r} that nothing waits for (P-STATE-01)")
            else:
                pending.resolve(response)
        with self._lock:
            self._ended = True
            left = list(self._pending.values())
            self._pending.clear()
        for pending in left:
            pending.resolve(None)
        CHANNELS.release(url, broken=stream.status == "UNAVAILABLE")

    def close(self) -> list[Duplex]:
        with self._lock:
            streams = list(self._streams.values())
        for stream in streams:
            stream.close()
        return streams


class StateCache:
    """What keys held under which token, for as long as the worker lives (P-CTL-13)."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._pages: dict[tuple[bytes, bytes], bytes] = {}
        self.hits = 0

    def get(self, token: bytes, key: bytes) -> bytes | None:
        with self._lock:
            data = self._pages.get((token, key))
            self.hits += data is not None
            return data

    def put(self, token: bytes, key: bytes, data: bytes) -> None:
        with self._lock:
            self._pages[token, key] = data

    def drop(self, token: bytes) -> None:
        """Forget a token: its bundle failed, so what it wrote never happened."""
        with self._lock:
            for cached in [each for each in self._pages if each[0] == token]:
                del self._pages[cached]


@define
class BundleState:
    """State as one bundle sees it. Writes go out at once; `flush` waits for them all (P-STATE-04).

    With a cache and a token, whole cells are read once and then kept up to date by this bundle's own writes.
    """

    plane: StatePlane
    url: str
    instruction_id: str
    cache: StateCache | None = None
    user_token: bytes = b""
    side_tokens: Mapping[tuple[str, str], bytes] = field(factory=dict)
    _writes: list[Pending] = field(factory=list, init=False)

    def _request(self, key: fn_pb2.StateKey) -> fn_pb2.StateRequest:
        return fn_pb2.StateRequest(instruction_id=self.instruction_id, state_key=key)

    def _token(self, key: fn_pb2.StateKey) -> bytes:
        kind = key.WhichOneof("type") or ""
        if self.cache is None or kind == "runner":
            return b""
        if kind == "bag_user_state":
            return self.user_token
        if kind in ("iterable_side_input", "multimap_side_input", "multimap_keys_side_input"):
            body = getattr(key, kind)
            return self.side_tokens.get((body.transform_id, body.side_input_id), b"")
        # Ordered lists and multimaps overlap across keys, so a cell of theirs cannot be kept by key alone.
        return b""

    def read(self, key: fn_pb2.StateKey) -> bytes:
        """All of a cell: pages joined, tokens followed through empty pages (P-STATE-06)."""
        token = self._token(key)
        name = key.SerializeToString(deterministic=True)
        if token and self.cache is not None and (cached := self.cache.get(token, name)) is not None:
            return cached
        data = b"".join(self.pages(key))
        if token and self.cache is not None:
            self.cache.put(token, name, data)
        return data

    def pages(self, key: fn_pb2.StateKey) -> Iterator[bytes]:
        """The pages of a cell, each asked for when it is needed."""
        continuation = b""
        seen: set[bytes] = set()
        while True:
            request = self._request(key)
            request.get.continuation_token = continuation
            answer = self.plane.send(self.url, request).result().get
            yield answer.data
            continuation = answer.continuation_token
            if not continuation:
                return
            if continuation in seen:
                raise RemoteProtocolError(f"continuation token {continuation[:40]!r} came twice for one cell (P-STATE-06)")
            seen.add(continuation)

    def append(self, key: fn_pb2.StateKey, data: bytes) -> None:
        request = self._request(key)
        request.append.data = data
        self._write(request, key, lambda old: old + data)

    def clear(self, key: fn_pb2.StateKey) -> None:
        request = self._request(key)
        request.clear.SetInParent()
        self._write(request, key, lambda old: b"")

    def _write(self, request: fn_pb2.StateRequest, key: fn_pb2.StateKey, change: object) -> None:
        self._writes.append(self.plane.send(self.url, request))
        token = self._token(key)
        if token and self.cache is not None:
            name = key.SerializeToString(deterministic=True)
            cached = self.cache.get(token, name)
            cleared = request.WhichOneof("request") == "clear"
            if cached is not None or cleared:
                assert callable(change)
                self.cache.put(token, name, change(cached or b""))

    def flush(self) -> None:
        """Wait until every write is acknowledged. Raises FunctionError if one was refused."""
        for pending in self._writes:
            pending.result()
        self._writes.clear()

    def abandon(self) -> None:
        """The bundle failed: nothing it wrote may stay in the cache."""
        if self.cache is not None and self.user_token:
            self.cache.drop(self.user_token)

    def check_open(self) -> None:
        """Raises LocalProtocolError if writes are still out; asked right before the bundle's answer."""
        if self._writes:
            raise LocalProtocolError(f"{len(self._writes)} state writes are unacknowledged before the answer (P-STATE-04)")
