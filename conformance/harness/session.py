"""A session: the worker pool of one job in this process, with everything that the job's workers record."""

from __future__ import annotations

import shlex
import sys
import tempfile
import threading
from collections.abc import Iterable
from concurrent import futures
from pathlib import Path
from types import TracebackType

import grpc

from conformance.harness import capabilities as all_capabilities
from conformance.harness.host import Host
from conformance.harness.observations import Observations
from conformance.harness.reporting import reports_handler
from conformance.harness.worker import Endpoints, Worker
from conformance.wire import rpc, urns
from conformance.wire.api import endpoints_pb2, fn_pb2
from conformance.wire.api import pipeline_pb2 as pb

__all__ = ["Session"]

_POOL = "org.apache.beam.model.fn_execution.v1.BeamFnExternalWorkerPool"
#: All sessions' pools answer from these threads: their calls are short.
_EXECUTOR = futures.ThreadPoolExecutor(max_workers=8, thread_name_prefix="worker-pool")


class _Pool:
    """BeamFnExternalWorkerPool: starts a worker a StartWorker (P-ENV-03, P-ENV-04)."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def StartWorker(self, request: fn_pb2.StartWorkerRequest, context: grpc.ServicerContext) -> fn_pb2.StartWorkerResponse:
        session = self._session
        session.transcript.append("pool", "StartWorker", "R->S", request.worker_id, request)
        response = session.start_worker(request)
        session.transcript.append("pool", "StartWorker", "S->R", request.worker_id, response)
        return response

    def StopWorker(self, request: fn_pb2.StopWorkerRequest, context: grpc.ServicerContext) -> fn_pb2.StopWorkerResponse:
        session = self._session
        session.transcript.append("pool", "StopWorker", "R->S", request.worker_id, request)
        session.stop_worker(request.worker_id)
        response = fn_pb2.StopWorkerResponse()
        session.transcript.append("pool", "StopWorker", "S->R", request.worker_id, response)
        return response


class Session(Host):
    """One a job. `environment()` goes into the pipeline; `observations` and `transcript` are what came of it."""

    sink: Observations

    def __init__(self, capabilities: Iterable[str] = all_capabilities.DEFAULT) -> None:
        super().__init__(Observations(), frozenset(capabilities))
        self.workers: list[Worker] = []
        self._lock = threading.Lock()
        self._launcher: tempfile.TemporaryDirectory[str] | None = None
        self._server = grpc.server(_EXECUTOR, options=rpc.SERVER_OPTIONS)
        self._server.add_generic_rpc_handlers((rpc.service_handler(_POOL, _Pool(self)), reports_handler(self)))
        self.port = self._server.add_insecure_port("localhost:0")
        self._server.start()

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
            endpoint=endpoints_pb2.ApiServiceDescriptor(url=f"localhost:{self.port}"), params=params or {}
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
        self._server.stop(None)
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
        return {
            "BEAM_CONFORMANCE_REPORT": f"localhost:{self.port}",
            "BEAM_CONFORMANCE_CAPABILITIES": " ".join(sorted(self.capabilities)),
        }
