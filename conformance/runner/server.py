"""The job endpoint: one gRPC server, one port, all planes. One event loop in a thread of its own serves every job.

No stream holds a thread, so hundreds of jobs in a row or dozens at a time cost none.
"""

from __future__ import annotations

import asyncio
import functools
import logging
import threading
from collections.abc import Callable
from typing import Any

import grpc

from conformance.runner import variants
from conformance.runner.artifacts import ArtifactStore, Retrieval, Staging
from conformance.runner.fnapi import FnApi
from conformance.runner.jobs import JobService
from conformance.runner.provision import Provision
from conformance.runner.rules import Rules
from conformance.wire import rpc

__all__ = ["Server", "serve"]

_FN = "org.apache.beam.model.fn_execution.v1."
_JOB = "org.apache.beam.model.job_management.v1."


def _new_event_loop() -> asyncio.AbstractEventLoop:
    """uvloop's where it is installed: about a tenth less time a call."""
    try:
        import uvloop
    except ImportError:
        return asyncio.new_event_loop()
    return uvloop.new_event_loop()


class _Loop:
    """The one event loop of this process on which every server runs; gRPC wants no more than one."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None

    def get(self) -> asyncio.AbstractEventLoop:
        with self._lock:
            if self._loop is None:
                self._loop = _new_event_loop()
                threading.Thread(target=self._loop.run_forever, name="reference-runner", daemon=True).start()
            return self._loop

    def run(self, work: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self.get()).result()


_LOOP = _Loop()
run_on_loop = _LOOP.run


class Server:
    """A running job endpoint."""

    def __init__(self, host: str, rules: Callable[[], Rules], default_environment: Any) -> None:
        self._host = host
        self.rules = rules
        self._default_environment = default_environment
        self._stopped = threading.Event()
        self._asked = threading.Event()
        self.port = 0

    async def _start(self, port: int) -> None:
        self._server = grpc.aio.server(options=rpc.SERVER_OPTIONS)
        part = self.rules().part
        self._fnapi = part(FnApi)()
        self._artifacts = part(ArtifactStore)()
        self._jobs = part(JobService)(self._fnapi, self._artifacts, self.rules, self._default_environment)
        services = {
            _FN + "BeamFnControl": self._fnapi,
            _FN + "BeamFnData": self._fnapi,
            _FN + "BeamFnState": self._fnapi,
            _FN + "BeamFnLogging": self._fnapi,
            _FN + "BeamFnWorkerStatus": self._fnapi,
            _FN + "ProvisionService": part(Provision)(self._fnapi),
            _JOB + "JobService": self._jobs,
            _JOB + "ArtifactStagingService": part(Staging)(self._artifacts),
            _JOB + "ArtifactRetrievalService": part(Retrieval)(self._artifacts),
        }
        self._server.add_generic_rpc_handlers([rpc.service_handler(name, servicer) for name, servicer in services.items()])
        try:
            self.port = self._server.add_insecure_port(f"{self._host}:{port}")
        except RuntimeError:
            raise OSError(f"cannot listen on {self._host}:{port}; is the port in use? --port 0 takes a free one") from None
        self._jobs.url = self.url
        await self._server.start()

    @property
    def url(self) -> str:
        """HOST:PORT, as clients and workers reach it."""
        return f"{self._host}:{self.port}"

    def stop(self) -> None:
        """Cancels all jobs, stops their workers and closes the port."""
        if self._stopped.is_set():
            return
        _LOOP.run(self._stop())
        self._stopped.set()

    async def _stop(self) -> None:
        await self._jobs.close()
        await self._server.stop(grace=0.5)
        self._artifacts.close()

    def wait(self) -> None:
        """Blocks until the server is stopped."""
        self._stopped.wait()

    def request_stop(self) -> None:
        """Makes wait_for_request return; safe in a signal handler."""
        self._asked.set()

    def wait_for_request(self) -> None:
        """Blocks until request_stop."""
        self._asked.wait()

    def __enter__(self) -> Server:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


def mutants(name: str | None) -> list[type[Rules]]:
    """The class of a mutant, if one is asked for. Raises ValueError for an unknown one."""
    if name is None:
        return []
    from conformance.runner.mutants import MUTANTS  # nothing of a runner without a fault needs them

    if name not in MUTANTS:
        raise ValueError(f"no mutant {name!r}; known: {', '.join(sorted(MUTANTS))}")
    return [MUTANTS[name]]


def serve(
    port: int = 0,
    host: str = "localhost",
    variant: str | None = None,
    mutant: str | None = None,
    default_environment: Any = None,
    seed: int = 0,
) -> Server:
    """Starts a job endpoint on `port` (0: a free one).

    `variant` is NAME+NAME[,seed=N] or random,seed=N. Raises ValueError for an unknown variant or mutant, OSError for the port.
    """
    names, seed = variants.parse(variant or "", seed)
    bases = [*mutants(mutant), *variants.classes(names)]
    rules = functools.partial(type("Rules", (*bases, Rules), {}) if bases else Rules, seed)
    logging.getLogger("grpc").addHandler(logging.NullHandler())
    server = Server(host, rules, default_environment)
    _LOOP.run(server._start(port))
    return server
