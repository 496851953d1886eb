"""A TestStreamService: events that a runner fetches instead of reading them in the payload (M-TS-08)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from types import TracebackType

import grpc

from conformance.pipeline import coders, teststream
from conformance.pipeline.coders import CoderSpec
from conformance.wire import rpc
from conformance.wire.api import pipeline_pb2 as pb

__all__ = ["EventService"]

#: Of Beam's interactive interface, of which this is the only method that concerns a runner.
SERVICE, METHOD = "org.apache.beam.model.interactive.v1.TestStreamService", "Events"


class EventService:
    """Serves `events` on a free port of this machine while it is open; `asked` counts the streams that were opened."""

    def __init__(self, events: Sequence[teststream.Event], coder: CoderSpec = coders.BYTES) -> None:
        self._events = [event.SerializeToString() for event in teststream.payload(events, coder, "unused").events]
        self.asked = 0
        self._server = rpc.server(max_workers=4)
        handler: grpc.RpcMethodHandler[bytes, bytes] = grpc.unary_stream_rpc_method_handler(self._serve)
        self._server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler(SERVICE, {METHOD: handler})])
        self.port = self._server.add_insecure_port("localhost:0")

    def _serve(self, request: bytes, context: grpc.ServicerContext) -> Iterator[bytes]:
        self.asked += 1
        yield from self._events

    def payload(self, coder_id: str) -> bytes:
        """The payload of a TestStream that reads from here."""
        made = pb.TestStreamPayload(coder_id=coder_id)
        made.endpoint.url = f"localhost:{self.port}"
        return made.SerializeToString(deterministic=True)

    def __enter__(self) -> EventService:
        self._server.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._server.stop(None)
