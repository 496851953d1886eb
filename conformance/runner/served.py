"""TestStreams whose events come from a TestStreamService (M-TS-08): one stream for each, read as long as the job runs."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable

import grpc

from conformance.runner import cutting
from conformance.runner.engine_events import ScriptServed
from conformance.runner.plan import ScriptNode
from conformance.runner.script import ScriptError
from conformance.wire import rpc
from conformance.wire.api import pipeline_pb2 as pb

__all__ = ["ServedScripts"]

#: Of Beam's interactive interface, which has nothing else that a runner speaks.
_EVENTS = "/org.apache.beam.model.interactive.v1.TestStreamService/Events"


def _events_request(tags: Iterable[str]) -> bytes:
    """EventsRequest{output_ids=1}: the tags of the outputs that are wanted."""
    encoded = (tag.encode() for tag in tags)
    return b"".join(b"\x0a" + cutting.encode_varint(len(tag)) + tag for tag in encoded)


class ServedScripts:
    """Hands events to the engine as they come. The engine lets each take effect when the pipeline is quiet (M-TS-01)."""

    def __init__(
        self, scripts: Iterable[ScriptNode], dispatch: Callable[[ScriptServed], None], failed: Callable[[str], None]
    ) -> None:
        self._scripts = [script for script in scripts if script.endpoint]
        self._dispatch = dispatch
        self._failed = failed
        self._reading: list[asyncio.Task[None]] = []

    def start(self) -> None:
        """Begins to read."""
        self._reading = [asyncio.ensure_future(self._read(script)) for script in self._scripts]

    def close(self) -> None:
        """Reads no further."""
        for task in self._reading:
            task.cancel()

    async def _read(self, script: ScriptNode) -> None:
        assert script.read is not None
        try:
            async with grpc.aio.insecure_channel(script.endpoint, options=rpc.CHANNEL_OPTIONS) as channel:
                events = channel.unary_stream(
                    _EVENTS, request_serializer=_events_request, response_deserializer=pb.TestStreamPayload.Event.FromString
                )
                async for event in events(sorted(script.outputs)):
                    self._dispatch(ScriptServed(script.id, script.read(event)))
        except grpc.aio.AioRpcError as error:
            what = f"{error.code().name} {error.details()}".strip()
            self._failed(
                f"TestStream {script.id}: the TestStreamService at {script.endpoint} ended with {what}; "
                "see that it runs and that this runner can reach it"
            )
        except ScriptError as error:
            self._failed(f"TestStream {script.id}: {error}")
        else:
            self._dispatch(ScriptServed(script.id, None))
