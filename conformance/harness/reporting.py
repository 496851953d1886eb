"""How a harness in a process of its own tells its session what it saw: JSON over one unary gRPC method, and gates the other way."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import grpc
from attrs import asdict, frozen

from conformance.harness.errors import BundleAborted, LocalProtocolError, RemoteProtocolError
from conformance.harness.gates import Counters, Gates
from conformance.harness.observations import LifecycleEvent, Observation, Sink
from conformance.harness.streams import CHANNELS
from conformance.pipeline.values import from_json, to_json
from conformance.wire.values import Pane, Timing

if TYPE_CHECKING:
    from conformance.harness.session import Session

__all__ = ["RemoteCounters", "RemoteGates", "RemoteSink", "Reporter", "reports_handler"]

METHOD = "/beam_conformance.Reports/Tell"
#: How long the session holds one question about a gate before it says "ask again".
_PATIENCE = 0.5


def _pack(observation: Observation) -> dict[str, Any]:
    pane = observation.pane
    return {
        "observer": observation.observer,
        "value": to_json(observation.value),
        "timestamp": observation.timestamp,
        "window": to_json(observation.window),
        "pane": [pane.is_first, pane.is_last, int(pane.timing), pane.index, pane.nonspeculative_index],
        "key": to_json(observation.key),
        "bundle": observation.bundle,
        "worker": observation.worker,
    }


def _unpack(data: dict[str, Any]) -> Observation:
    first, last, timing, index, nonspeculative = data["pane"]
    return Observation(
        data["observer"],
        from_json(data["value"]),
        data["timestamp"],
        from_json(data["window"]),
        Pane(first, last, Timing(timing), index, nonspeculative),
        from_json(data["key"]),
        data["bundle"],
        data["worker"],
    )


# The session's side


@frozen
class _Receiver:
    session: Session

    def tell(self, request: bytes, context: grpc.ServicerContext) -> bytes:
        message = json.loads(request)
        handler: Callable[[dict[str, Any]], Any] = getattr(self, f"_{message['kind']}")
        return json.dumps(handler(message)).encode()

    def _bundle(self, message: dict[str, Any]) -> None:
        self.session.observations.bundle_done([_unpack(each) for each in message["observations"]], message["committed"])

    def _lifecycle(self, message: dict[str, Any]) -> None:
        self.session.observations.lifecycle(LifecycleEvent(**message["event"]))

    def _error(self, message: dict[str, Any]) -> None:
        if message["side"] == "remote":
            self.session.remote_error(RemoteProtocolError(message["text"]))
        else:
            self.session.error(LocalProtocolError(message["text"]))

    def _gate(self, message: dict[str, Any]) -> str:
        """ "open", "closed" (ask again) or "gone"."""
        return self.session.gates.ask(message["name"], _PATIENCE, first=message["first"])

    def _count(self, message: dict[str, Any]) -> int:
        return self.session.counters.next(message["name"])


def reports_handler(session: Session) -> grpc.GenericRpcHandler:
    """The handler that a session's server needs to hear from processes."""
    method: grpc.RpcMethodHandler[bytes, bytes] = grpc.unary_unary_rpc_method_handler(_Receiver(session).tell)
    service, name = METHOD.strip("/").split("/")
    return grpc.method_handlers_generic_handler(service, {name: method})


# The process's side


class Reporter:
    """Tells the session at `address`. Raises grpc.RpcError when it is gone."""

    def __init__(self, address: str) -> None:
        self._call: grpc.UnaryUnaryMultiCallable[bytes, bytes] = CHANNELS.acquire(address).unary_unary(METHOD)
        #: The session was there. From then on its absence is its end, and a worker that waits for it would outlive its job.
        self._reached = False

    def tell(self, kind: str, **body: Any) -> Any:
        answer = self._call(json.dumps({"kind": kind, **body}).encode(), timeout=60.0, wait_for_ready=not self._reached)
        self._reached = True
        return json.loads(answer)


class RemoteSink(Sink):
    """Observations and life of functions, told to the session."""

    def __init__(self, reporter: Reporter) -> None:
        self._reporter = reporter

    def bundle_done(self, observations: list[Observation], committed: bool) -> None:
        self._reporter.tell("bundle", observations=[_pack(each) for each in observations], committed=committed)

    def lifecycle(self, event: LifecycleEvent) -> None:
        self._reporter.tell("lifecycle", event=asdict(event))


class RemoteGates(Gates):
    """Gates that the session opens."""

    def __init__(self, reporter: Reporter) -> None:
        super().__init__()
        self._reporter = reporter

    def wait(self, name: str) -> None:
        first = True
        while True:
            answer = self._reporter.tell("gate", name=name, first=first)
            if answer == "open":
                return
            if answer == "gone":
                raise BundleAborted(f"session closed while a function waited at gate {name!r}")
            first = False


class RemoteCounters(Counters):
    """Counters that the session keeps, so that they outlive a process."""

    def __init__(self, reporter: Reporter) -> None:
        super().__init__()
        self._reporter = reporter

    def next(self, name: str) -> int:
        return int(self._reporter.tell("count", name=name))
