"""A proxy between the suite and any runner, for every plane: what passes is as it was, but for one fault.

It has no part in any protocol. A *front* is a port of its own for one port of the others'; whatever address one side tells the
other is replaced by its front, so that all calls come by: the job service's and its staging endpoint, the worker pool of the
harness, and what StartWorker, provision and bundle descriptors name. Messages are opened only where they hold an address or the
fault wants them. A recorder may look at each message as the side that is spoken to gets it.

Works where both sides reach this machine by the names that they tell each other; not for workers in containers.
"""

from __future__ import annotations

import asyncio
import itertools
import threading
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any, TypeVar

import grpc
from attrs import frozen

from conformance.endpoints.faults import FAULTS, TO_RUNNER, TO_SUITE, Fault
from conformance.wire import rpc, urns
from conformance.wire.api import fn_pb2, job_pb2, provision_pb2
from conformance.wire.api import pipeline_pb2 as pb

__all__ = ["Passing", "Proxy", "Recorder"]

T = TypeVar("T")
#: Replaces an address.
Swap = Callable[[str], Coroutine[Any, Any, str]]
#: How long calls get to end by themselves when the proxy does.
_STOP_SECONDS = 2.0


@frozen
class Passing:
    """One message on its way: of which call, in which direction, with the metadata of the call."""

    #: `package.Service/Method`
    method: str
    direction: str
    #: Tells the calls of one proxy apart.
    call: int
    metadata: tuple[tuple[str, str], ...]
    #: Whether the caller of the method sent it, else it is an answer.
    asked: bool
    data: bytes


#: Given every message that passes, in the proxy's own thread; it must be quick and must not raise.
Recorder = Callable[[Passing], None]


class Proxy:
    """One proxy with one fault (or none), for one job service at a time."""

    def __init__(self, fault: str = "", recorder: Recorder | None = None) -> None:
        self._fault: Fault | None = FAULTS[fault] if fault else None
        self.recorder = recorder
        self.calls = itertools.count()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="proxy", daemon=True)
        self._thread.start()
        self._fronts: dict[str, str] = {}
        self._behind: dict[str, str] = {}
        self._servers: list[Any] = []
        self._channels: list[Any] = []

    def front(self, url: str) -> str:
        """The port of this proxy that stands for `url`."""
        return self._run(self._front(url))

    def close(self) -> None:
        """Ends all ports."""
        if self._loop.is_closed():
            return
        self._run(self._stop())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def _run(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()

    async def _stop(self) -> None:
        for server in self._servers:
            await server.stop(None)
        for channel in self._channels:
            await channel.close()
        # Calls that a worker left open end with the port, so that none outlives the loop.
        rest = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        if rest:
            _, left = await asyncio.wait(rest, timeout=_STOP_SECONDS)
            for task in left:
                task.cancel()
            await asyncio.gather(*left, return_exceptions=True)

    # ---- ports

    async def _front(self, url: str) -> str:
        if not url or url in self._behind:
            return url
        if url not in self._fronts:
            channel = grpc.aio.insecure_channel(url, options=rpc.CHANNEL_OPTIONS)
            server = grpc.aio.server(options=rpc.SERVER_OPTIONS)
            server.add_generic_rpc_handlers([_Forward(self, channel)])
            port = server.add_insecure_port("localhost:0")
            self._fronts[url] = f"localhost:{port}"
            self._behind[f"localhost:{port}"] = url
            self._channels.append(channel)
            self._servers.append(server)
            await server.start()
        return self._fronts[url]

    async def _real(self, url: str) -> str:
        return self._behind.get(url, url)

    # ---- messages

    async def passed(self, method: str, direction: str, messages: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        """What passes of the messages of one call in one direction."""
        held: list[bytes] = []
        async for data in messages:
            data = await self._readdressed(method, direction, data)
            fault = self._fault
            if fault is None or fault.direction != direction or not method.endswith("." + fault.method):
                yield data
                continue
            message = fault.message.FromString(data)
            if fault.swaps(message) and not held:
                held.append(data)
                continue
            for changed in fault.change(message):
                yield changed.SerializeToString()
            while held:
                yield held.pop()
        for data in held:
            yield data

    async def _readdressed(self, method: str, direction: str, data: bytes) -> bytes:
        found = _ADDRESSES.get((method.rpartition(".")[2], direction))
        if found is None:
            return data
        kind, fronted, swap = found
        message = kind.FromString(data)
        await swap(message, self._front if fronted else self._real)
        result: bytes = message.SerializeToString()
        return result


class _Forward(grpc.GenericRpcHandler):
    """Hands every call on. On the wire all kinds of calls are streams, so one kind of handler does."""

    def __init__(self, proxy: Proxy, channel: Any) -> None:
        self._proxy = proxy
        self._channel = channel

    def service(self, details: Any) -> Any:
        async def handle(requests: AsyncIterator[bytes], context: Any) -> AsyncIterator[bytes]:
            inward = details.method.startswith("/org.apache.beam.model.fn_execution.v1.BeamFnExternalWorkerPool/")
            asked, answered = (TO_SUITE, TO_RUNNER) if inward else (TO_RUNNER, TO_SUITE)
            method = details.method.removeprefix("/")
            metadata = [pair for pair in context.invocation_metadata() or () if not pair[0].startswith(("user-agent", ":"))]
            see = self._witness(method, metadata)
            call = self._channel.stream_stream(details.method)(
                see(self._proxy.passed(method, asked, requests), asked, True), metadata=metadata, timeout=context.time_remaining()
            )
            try:
                async for answer in see(self._proxy.passed(method, answered, call), answered, False):
                    yield answer
            except grpc.aio.AioRpcError as error:
                await context.abort(error.code(), error.details() or "")
            finally:
                call.cancel()

        return grpc.stream_stream_rpc_method_handler(handle)

    def _witness(self, method: str, metadata: list[tuple[str, str]]) -> Callable[..., AsyncIterator[bytes]]:
        """Shows the messages of one call to the recorder as they pass."""
        recorder, number = self._proxy.recorder, next(self._proxy.calls)
        pairs = tuple((name, value) for name, value in metadata if isinstance(value, str))

        async def see(messages: AsyncIterator[bytes], direction: str, asked: bool) -> AsyncIterator[bytes]:
            async for data in messages:
                if recorder is not None:
                    recorder(Passing(method, direction, number, pairs, asked, data))
                yield data

        return see


# ---- where addresses stand


async def _prepare(message: Any, swap: Swap) -> None:
    for environment in message.pipeline.components.environments.values():
        await _environment(environment, swap)


async def _environment(environment: Any, swap: Swap) -> None:
    if environment.urn == urns.Env.EXTERNAL:
        payload = pb.ExternalPayload.FromString(environment.payload)
        payload.endpoint.url = await swap(payload.endpoint.url)
        environment.payload = payload.SerializeToString()
    elif environment.urn == urns.Env.ANYOF:
        several = pb.AnyOfEnvironmentPayload.FromString(environment.payload)
        for each in several.environments:
            await _environment(each, swap)
        environment.payload = several.SerializeToString()


async def _staging(message: Any, swap: Swap) -> None:
    message.artifact_staging_endpoint.url = await swap(message.artifact_staging_endpoint.url)


async def _start_worker(message: Any, swap: Swap) -> None:
    for name in ("control_endpoint", "logging_endpoint", "artifact_endpoint", "provision_endpoint"):
        await _endpoint(message, name, swap)


async def _provision(message: Any, swap: Swap) -> None:
    for name in ("control_endpoint", "logging_endpoint", "artifact_endpoint", "status_endpoint"):
        await _endpoint(message.info, name, swap)


async def _endpoint(message: Any, name: str, swap: Swap) -> None:
    if message.HasField(name):
        endpoint = getattr(message, name)
        endpoint.url = await swap(endpoint.url)


async def _descriptor(message: Any, swap: Swap) -> None:
    for name in ("state_api_service_descriptor", "timer_api_service_descriptor"):
        await _endpoint(message, name, swap)
    for transform in message.transforms.values():
        if transform.spec.urn in (urns.Runner.DATA_SOURCE, urns.Runner.DATA_SINK):
            port = fn_pb2.RemoteGrpcPort.FromString(transform.spec.payload)
            await _endpoint(port, "api_service_descriptor", swap)
            transform.spec.payload = port.SerializeToString()


async def _instruction(message: Any, swap: Swap) -> None:
    for each in message.register.process_bundle_descriptor:
        await _descriptor(each, swap)


async def _job_pipeline(message: Any, swap: Swap) -> None:
    for environment in message.pipeline.components.environments.values():
        await _environment(environment, swap)


#: (service and method, direction) → the message, whether its addresses get fronts (else the real ones back), and where they stand.
_ADDRESSES: dict[tuple[str, str], tuple[Any, bool, Callable[[Any, Swap], Coroutine[Any, Any, None]]]] = {
    ("JobService/Prepare", TO_RUNNER): (job_pb2.PrepareJobRequest, True, _prepare),
    ("JobService/Prepare", TO_SUITE): (job_pb2.PrepareJobResponse, True, _staging),
    ("JobService/GetPipeline", TO_SUITE): (job_pb2.GetJobPipelineResponse, False, _job_pipeline),
    ("BeamFnExternalWorkerPool/StartWorker", TO_SUITE): (fn_pb2.StartWorkerRequest, True, _start_worker),
    ("ProvisionService/GetProvisionInfo", TO_SUITE): (provision_pb2.GetProvisionInfoResponse, True, _provision),
    ("BeamFnControl/GetProcessBundleDescriptor", TO_SUITE): (fn_pb2.ProcessBundleDescriptor, True, _descriptor),
    ("BeamFnControl/Control", TO_SUITE): (fn_pb2.InstructionRequest, True, _instruction),
}
