"""Starting and stopping workers: EXTERNAL pools here, processes and containers by `spawned`.

One worker for each environment that a plan uses. Readiness is its Control stream, not the answer to StartWorker (P-CH-07).
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any

import grpc

from conformance.runner.fnapi import Worker, WorkerLost
from conformance.runner.pools import Pools
from conformance.runner.spawned import Spawned, spawned
from conformance.wire import urns
from conformance.wire.api import fn_pb2
from conformance.wire.api import pipeline_pb2 as pb

__all__ = ["Launcher"]

#: Between the break of a dead worker's streams and the news of its end: the engine takes some tenths of a second.
DEATH_SECONDS = 2.0


class Launcher:
    """Starts the worker of one environment, watches it, stops it."""

    def __init__(self, worker: Worker, environment: Any, url: str, timeout: float, pools: Pools) -> None:
        self.worker = worker
        self._environment = environment
        self._url = url
        self._timeout = timeout
        self._pools = pools
        self._pool_url = ""
        self._pool: Any = None
        self._spawned: Spawned | None = None
        self._started = False
        self._death = ""
        self._watch: asyncio.Task[None] | None = None
        #: Set once the worker was asked for, or it turned out that it cannot be.
        self.asked = asyncio.Event()

    async def start(self) -> None:
        """Waits until the worker's Control stream is there. Raises WorkerLost telling what went wrong."""
        asking = asyncio.ensure_future(self._ask())
        connecting = asyncio.ensure_future(self.worker.connected.wait())
        try:
            done, _ = await asyncio.wait({asking, connecting}, timeout=self._timeout, return_when=asyncio.FIRST_COMPLETED)
            if asking in done and not connecting.done():
                asking.result()
                await asyncio.wait_for(connecting, self._timeout)
        except TimeoutError:
            done = set()
        except WorkerLost as error:
            self.worker.lost(str(error), final=True)
            raise
        finally:
            self.asked.set()
            connecting.cancel()
            if not asking.done() and not self.worker.connected.is_set():
                asking.cancel()
        if not self.worker.connected.is_set():
            text = (
                f"environment {self.worker.environment_id}: no worker connected to {self._url} within {self._timeout:g} s; "
                f"see that {self._where()} can reach it, or raise the option worker_start_timeout"
            )
            self.worker.lost(text, final=True)
            raise WorkerLost(text)
        if self.worker.failure is not None:
            raise WorkerLost(self.worker.failure)

    def _where(self) -> str:
        if self._environment.urn == urns.Env.EXTERNAL:
            return f"the worker pool at {pb.ExternalPayload.FromString(self._environment.payload).endpoint.url}"
        return self._spawned.name if self._spawned is not None else self._environment.urn

    async def _ask(self) -> None:
        if self._environment.urn == urns.Env.EXTERNAL:
            await self._ask_pool()
        else:
            await self._spawn()

    async def _ask_pool(self) -> None:
        payload = pb.ExternalPayload.FromString(self._environment.payload)
        self._pool_url = payload.endpoint.url
        self._pool = self._pools.acquire(self._pool_url)
        request = fn_pb2.StartWorkerRequest(worker_id=self.worker.id, params=payload.params)
        for each in (request.control_endpoint, request.logging_endpoint, request.artifact_endpoint, request.provision_endpoint):
            each.url = self._url
        call = self._pool.StartWorker(request, timeout=self._timeout)
        self.asked.set()
        try:
            answer = await call
        except grpc.aio.AioRpcError as error:
            what = f"StartWorker at {payload.endpoint.url} failed: {error.code().name} {error.details()}"
            raise WorkerLost(f"environment {self.worker.environment_id}: {what}") from None
        if answer.error:
            raise WorkerLost(
                f"environment {self.worker.environment_id}: the worker pool could not start a worker: {answer.error}"
            )
        self._started = True

    async def _spawn(self) -> None:
        self._spawned = spawned(self._environment, self.worker.id, self._url)
        self.asked.set()
        try:
            await self._spawned.start()
        except WorkerLost as error:
            raise WorkerLost(f"environment {self.worker.environment_id}: {error}") from None
        self._watch = asyncio.ensure_future(self._wait(self._spawned))

    async def _wait(self, spawned: Spawned) -> None:
        code = await spawned.wait()
        if not self.worker.ending:
            ended = "ended" if code is None else f"ended with exit code {code}"
            self._death = (
                f"environment {self.worker.environment_id}: {spawned.name!r} {ended} in the middle of the job; "
                f"its output ends: {spawned.tail() or '(nothing)'}"
            )
            self.worker.lost(self._death, final=True)

    async def obituary(self, reason: str) -> str:
        """Why a worker was lost, with the end of its output if it was started from here: its streams may break before it is seen to end."""
        if self._watch is not None:
            await asyncio.wait({self._watch}, timeout=DEATH_SECONDS)
        return reason if not self._death or self._death in reason else f"{reason}; {self._death}"

    async def stop_pooled(self, grace: float) -> None:
        """StopWorker, once for each successful StartWorker (P-ENV-03)."""
        if self._started:
            with contextlib.suppress(grpc.aio.AioRpcError, TimeoutError):
                await self._pool.StopWorker(fn_pb2.StopWorkerRequest(worker_id=self.worker.id), timeout=grace)

    async def reap(self, grace: float) -> None:
        """Lets go of the pool. A process or container gets `grace` seconds to end by itself, its Control stream having ended."""
        if self._pool is not None:
            await self._pools.release(self._pool_url)
        if self._spawned is None:
            return
        await self._spawned.end(grace)
        if self._watch is not None:
            await self._watch
