"""gRPC plumbing from descriptors: stubs, handlers, channels and servers for any Beam service. No generated *_grpc modules.

Limits are those that every peer needs: no message size limit (P-CH-08: one element is one indivisible run of bytes) and
keep-alive pings allowed every 20 s with no call in progress (P-CH-09).
"""

from __future__ import annotations

from collections.abc import Iterable
from concurrent import futures
from typing import Any

import grpc

from conformance.wire import _pool, api  # noqa: F401  (api: makes sure that the descriptors were generated)

__all__ = ["CHANNEL_OPTIONS", "SERVER_OPTIONS", "Stub", "insecure_channel", "server", "service_handler", "stub"]

CHANNEL_OPTIONS: list[tuple[str, int]] = [
    ("grpc.max_receive_message_length", -1),
    ("grpc.max_send_message_length", -1),
    ("grpc.use_local_subchannel_pool", 1),
]
SERVER_OPTIONS: list[tuple[str, int]] = [
    ("grpc.max_receive_message_length", -1),
    ("grpc.max_send_message_length", -1),
    ("grpc.http2.min_ping_interval_without_data_ms", 10_000),
    ("grpc.http2.max_pings_without_data", 0),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.so_reuseport", 0),
]


class Stub:
    """Client of one service: an attribute for each method, called as gRPC's own multi-callables are."""

    def __init__(self, channel: grpc.Channel, service: Any) -> None:
        self.service_name: str = service.full_name
        for method in service.methods:
            shape = f"{'stream' if method.client_streaming else 'unary'}_{'stream' if method.server_streaming else 'unary'}"
            call = getattr(channel, shape)(
                f"/{service.full_name}/{method.name}",
                request_serializer=lambda message: message.SerializeToString(),
                response_deserializer=_pool.message_class(method.output_type.full_name).FromString,
            )
            setattr(self, method.name, call)

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(f"{self.service_name} has no method {name}")


def stub(channel: grpc.Channel, service: str) -> Stub:
    """A client of `service` (full name), made once a channel. Raises KeyError for a service that no .proto here defines."""
    # Kept on the channel itself: a stub refers to its channel, so that any table beside them would keep both for ever.
    stubs: dict[str, Stub] | None = getattr(channel, "_conformance_stubs", None)
    if stubs is None:
        stubs = {}
        setattr(channel, "_conformance_stubs", stubs)  # noqa: B010  (not an attribute that grpc.Channel has)
    if service not in stubs:
        stubs[service] = Stub(channel, _pool.POOL.FindServiceByName(service))
    return stubs[service]


def service_handler(service: str, servicer: object) -> grpc.GenericRpcHandler:
    """A handler that serves the methods of `service` that `servicer` has as attributes; the others are UNIMPLEMENTED."""
    descriptor = _pool.POOL.FindServiceByName(service)
    handlers: dict[str, grpc.RpcMethodHandler[Any, Any]] = {}
    for method in descriptor.methods:
        behaviour = getattr(servicer, method.name, None)
        if behaviour is None:
            continue
        shape = f"{'stream' if method.client_streaming else 'unary'}_{'stream' if method.server_streaming else 'unary'}"
        handlers[method.name] = getattr(grpc, f"{shape}_rpc_method_handler")(
            behaviour,
            request_deserializer=_pool.message_class(method.input_type.full_name).FromString,
            response_serializer=lambda message: message.SerializeToString(),
        )
    return grpc.method_handlers_generic_handler(service, handlers)


def insecure_channel(target: str, options: Iterable[tuple[str, int]] = ()) -> grpc.Channel:
    """A plaintext channel to HOST:PORT without message limits."""
    return grpc.insecure_channel(target, options=[*CHANNEL_OPTIONS, *options])


def server(max_workers: int = 32, interceptors: Iterable[Any] = ()) -> grpc.Server:
    """A server without message limits; every open stream holds one of its `max_workers` threads."""
    return grpc.server(
        futures.ThreadPoolExecutor(max_workers=max_workers), options=SERVER_OPTIONS, interceptors=list(interceptors)
    )
