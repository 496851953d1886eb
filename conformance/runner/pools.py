"""Channels to worker pools, by address: opened while a job waits to be run, shared by jobs, the last ones kept open."""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

import grpc

from conformance.wire import rpc

__all__ = ["Pools"]

_POOL = "org.apache.beam.model.fn_execution.v1.BeamFnExternalWorkerPool"
#: Channels that are kept for jobs which were prepared and not run yet, or for the next job of a client that keeps its pool.
KEPT = 8


class Pools:
    """Channels in use, and those that wait for a job to be run. Lives on the event loop of the server."""

    def __init__(self) -> None:
        self._used: dict[str, tuple[Any, int]] = {}
        self._idle: OrderedDict[str, Any] = OrderedDict()

    async def warm(self, url: str) -> None:
        """Begins to connect, so that the first call need not wait for it."""
        if url not in self._used and url not in self._idle:
            channel = grpc.aio.insecure_channel(url, options=rpc.CHANNEL_OPTIONS)
            channel.get_state(try_to_connect=True)
            await self._keep(url, channel)

    async def _keep(self, url: str, channel: Any) -> None:
        self._idle[url] = channel
        if len(self._idle) > KEPT:
            _, oldest = self._idle.popitem(last=False)
            await oldest.close()

    def acquire(self, url: str) -> Any:
        """The stub of the pool at `url`; to be released."""
        channel, users = self._used.get(url, (self._idle.pop(url, None), 0))
        if channel is None or (not users and channel.get_state() is grpc.ChannelConnectivity.TRANSIENT_FAILURE):
            # One that could not connect would wait before it tries again: by now the pool may be there.
            channel = grpc.aio.insecure_channel(url, options=rpc.CHANNEL_OPTIONS)
        self._used[url] = (channel, users + 1)
        return rpc.stub(channel, _POOL)

    async def release(self, url: str) -> None:
        """Gives back one use."""
        channel, users = self._used.pop(url)
        if users > 1:
            self._used[url] = (channel, users - 1)
        else:
            await self._keep(url, channel)

    async def close(self) -> None:
        """Closes all channels."""
        channels = [*self._idle.values(), *(channel for channel, _ in self._used.values())]
        self._idle.clear()
        for channel in channels:
            await channel.close()
