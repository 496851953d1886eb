"""A session: the worker pool of one job in this process, with everything that the job's workers record."""

from __future__ import annotations

import itertools
import os
import shlex
import sys
import tempfile
import threading
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType

import grpc

from conformance.harness import capabilities as all_capabilities
from conformance.harness import pool
from conformance.harness.host import Host
from conformance.harness.observations import Observations
from conformance.harness.reporting import reports_handler
from conformance.harness.worker import Endpoints, Worker
from conformance.wire import rpc, urns
from conformance.wire.api import endpoints_pb2, fn_pb2
from conformance.wire.api import pipeline_pb2 as pb

__all__ = ["Session"]

_NUMBERS = itertools.count(1)


class Session(Host):
    """One a job. `environment()` goes into the pipeline; `observations` and `transcript` are what came of it."""

    sink: Observations

    def __init__(self, capabilities: Iterable[str] = all_capabilities.DEFAULT) -> None:
        super().__init__(Observations(), frozenset(capabilities))
        self.workers: list[Worker] = []
        self._lock = threading.Lock()
        self._launcher: tempfile.TemporaryDirectory[str] | None = None
        #: Told to runners as a parameter of the environment, and by them to the pool.
        self.id = f"{os.getpid()}-{next(_NUMBERS)}"
        self._pool = pool.borrow(self)
        self._reports: tuple[grpc.Server, int] | None = None
        self._closed = False

    @property
    def port(self) -> int:
        """Where the worker pool listens."""
        return self._pool.port

    @property
    def observations(self) -> Observations:
        return self.sink

    def __enter__(self) -> Session:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def environment(
        self,
        params: dict[str, str] | None = None,
        dependencies: Iterable[pb.ArtifactInformation] = (),
        resource_hints: dict[str, bytes] | None = None,
    ) -> pb.Environment:
        """EXTERNAL, with this session's pool and capabilities."""
        payload = pb.ExternalPayload(
            endpoint=endpoints_pb2.ApiServiceDescriptor(url=f"localhost:{self.port}"),
            params={pool.SESSION_PARAM: self.id, **(params or {})},
        )
        return pb.Environment(
            urn=urns.Env.EXTERNAL,
            payload=payload.SerializeToString(deterministic=True),
            capabilities=sorted(self.capabilities),
            dependencies=list(dependencies),
            resource_hints=resource_hints or {},
        )

    def start_worker(self, request: fn_pb2.StartWorkerRequest) -> fn_pb2.StartWorkerResponse:
        """Start a worker as a runner would ask for it. The script may refuse ("error" on "start_worker") or do nothing ("never")."""
        faults = self.script.take("start_worker", request.worker_id, request.worker_id)
        for fault in faults:
            if fault.action == "error":
                return fn_pb2.StartWorkerResponse(error=fault.text)
            if fault.action == "never":
                return fn_pb2.StartWorkerResponse()
        endpoints = Endpoints(
            request.control_endpoint.url,
            request.logging_endpoint.url,
            request.artifact_endpoint.url,
            request.provision_endpoint.url,
        )
        worker = Worker(self, request.worker_id, endpoints)
        with self._lock:
            self.workers.append(worker)
        worker.start()
        return fn_pb2.StartWorkerResponse()

    def stop_worker(self, worker_id: str) -> None:
        """A worker that is unknown or finished is no error (P-ENV-03)."""

    def close(self) -> None:
        """End every worker and the pool. Functions that wait at gates are freed, with an error."""
        self.gates.close_down()
        for worker in self.workers:
            if not worker.ended.is_set():
                worker.exit()
        if not self._closed:
            self._closed = True
            pool.give_back(self._pool)
        if self._reports is not None:
            self._reports[0].stop(None)
        if self._launcher is not None:
            self._launcher.cleanup()

    def wait_ended(self, timeout: float) -> bool:
        """Wait until the runner has let every worker go; False on timeout."""
        return all(worker.ended.wait(timeout) for worker in list(self.workers))

    def process_environment(
        self, env: dict[str, str] | None = None, dependencies: Iterable[pb.ArtifactInformation] = ()
    ) -> pb.Environment:
        """PROCESS: `python -m conformance.harness`, which reports to this session. The launcher lives as long as the session."""
        if self._launcher is None:
            self._launcher = tempfile.TemporaryDirectory(prefix="conformance-harness-")
        script = Path(self._launcher.name) / "harness"
        script.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -m conformance.harness "$@"\n', encoding="utf-8")
        script.chmod(0o755)
        payload = pb.ProcessPayload(command=str(script), env={**self.process_variables(), **(env or {})})
        return pb.Environment(
            urn=urns.Env.PROCESS,
            payload=payload.SerializeToString(deterministic=True),
            capabilities=sorted(self.capabilities),
            dependencies=list(dependencies),
        )

    def docker_environment(self, image: str, dependencies: Iterable[pb.ArtifactInformation] = ()) -> pb.Environment:
        """DOCKER: an image that runs the harness with `process_variables` set, so that it reports to this session."""
        payload = pb.DockerPayload(container_image=image)
        return pb.Environment(
            urn=urns.Env.DOCKER,
            payload=payload.SerializeToString(deterministic=True),
            capabilities=sorted(self.capabilities),
            dependencies=list(dependencies),
        )

    def process_variables(self) -> dict[str, str]:
        """The environment variables by which a harness process finds this session."""
        if self._reports is None:
            server = rpc.server(max_workers=8)
            server.add_generic_rpc_handlers((reports_handler(self),))
            self._reports = server, server.add_insecure_port("localhost:0")
            server.start()
        return {
            "BEAM_CONFORMANCE_REPORT": f"localhost:{self._reports[1]}",
            "BEAM_CONFORMANCE_CAPABILITIES": " ".join(sorted(self.capabilities)),
        }
