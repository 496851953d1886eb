"""Worker pools of sessions in this process: BeamFnExternalWorkerPool servers that are used again, one session at a time each.

A server costs some milliseconds, and a runner that keeps its channel to one saves as much; so a session borrows one and gives
it back. What a runner asks behind the end of its job goes where it belongs: StopWorker to the session that started the worker,
StartWorker to nobody, if it brings the params of a session that is over.
"""

from __future__ import annotations

import threading
import weakref
from collections import OrderedDict
from concurrent import futures
from typing import TYPE_CHECKING, Final

import grpc

from conformance.wire import rpc
from conformance.wire.api import fn_pb2

if TYPE_CHECKING:
    from conformance.harness.session import Session

__all__ = ["SESSION_PARAM", "PoolServer", "borrow", "give_back"]

_POOL: Final = "org.apache.beam.model.fn_execution.v1.BeamFnExternalWorkerPool"
#: The entry of StartWorkerRequest.params by which a session knows what is meant for it.
SESSION_PARAM: Final = "beam_conformance_session"
#: All pools answer from these threads: their calls are short.
_EXECUTOR = futures.ThreadPoolExecutor(max_workers=8, thread_name_prefix="worker-pool")
#: Of how many workers a server knows to whose session they belonged.
_REMEMBERED: Final = 200
#: Servers that wait for their next session.
KEPT: Final = 2


class PoolServer:
    """One server on a port of its own; `session` is whose workers it starts, None while nobody has it."""

    def __init__(self) -> None:
        self.session: Session | None = None
        #: Worker id → its session, which this does not keep alive: it has the job's whole transcript.
        self._workers: OrderedDict[str, weakref.ref[Session]] = OrderedDict()
        self._server = grpc.server(_EXECUTOR, options=rpc.SERVER_OPTIONS)
        self._server.add_generic_rpc_handlers((rpc.service_handler(_POOL, self),))
        self.port = self._server.add_insecure_port("localhost:0")
        self._server.start()

    def StartWorker(self, request: fn_pb2.StartWorkerRequest, context: grpc.ServicerContext) -> fn_pb2.StartWorkerResponse:
        session = self.session
        if session is None or request.params.get(SESSION_PARAM, session.id) != session.id:
            context.abort(grpc.StatusCode.UNAVAILABLE, "the job that this worker pool belonged to is over")
        assert session is not None
        self._workers[request.worker_id] = weakref.ref(session)
        if len(self._workers) > _REMEMBERED:
            self._workers.popitem(last=False)
        session.transcript.append("pool", "StartWorker", "R->S", request.worker_id, request)
        response = session.start_worker(request)
        session.transcript.append("pool", "StartWorker", "S->R", request.worker_id, response)
        return response

    def StopWorker(self, request: fn_pb2.StopWorkerRequest, context: grpc.ServicerContext) -> fn_pb2.StopWorkerResponse:
        response = fn_pb2.StopWorkerResponse()
        known = self._workers.get(request.worker_id)
        session = self.session if known is None else known()
        if session is not None:
            session.transcript.append("pool", "StopWorker", "R->S", request.worker_id, request)
            session.stop_worker(request.worker_id)
            session.transcript.append("pool", "StopWorker", "S->R", request.worker_id, response)
        return response

    def stop(self) -> None:
        """Close the port."""
        self._server.stop(None)


_LOCK = threading.Lock()
_IDLE: list[PoolServer] = []


def borrow(session: Session) -> PoolServer:
    """A server for `session` alone; give it back."""
    with _LOCK:
        server = _IDLE.pop() if _IDLE else None
    if server is None:
        server = PoolServer()
    server.session = session
    return server


def give_back(server: PoolServer) -> None:
    """Let another session have it; or stop it, if enough others wait for one."""
    server.session = None
    with _LOCK:
        keep = len(_IDLE) < KEPT
        if keep:
            _IDLE.append(server)
    if not keep:
        server.stop()
