"""A runner that does nothing of its own: it serves the Fn API on one port and lets a test drive one worker by hand."""

from __future__ import annotations

import itertools
import queue
import threading
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from types import TracebackType
from typing import Any

import grpc

from conformance.harness import Session
from conformance.pipeline import PCollection, Program, coders
from conformance.pipeline.coders import CoderSpec
from conformance.pipeline.encoding import resolve
from conformance.wire import rpc, urns
from conformance.wire.api import endpoints_pb2, fn_pb2, provision_pb2
from conformance.wire.values import WindowedValue

FN = "org.apache.beam.model.fn_execution.v1."
WAIT = 10.0


class Stage(Program):
    """A program whose sources and sinks are data ports: what comes of it is a bundle descriptor."""

    def __init__(self, runner: ScriptedRunner, descriptor_id: str = "d") -> None:
        super().__init__("stage")
        self.descriptor_id = descriptor_id
        self.runner = runner
        self.ports: dict[str, CoderSpec] = {}

    def _port(self, coder: CoderSpec, window: CoderSpec, full: CoderSpec | None) -> tuple[CoderSpec, bytes]:
        spec = full or coders.windowed_value(coder, window)
        port = fn_pb2.RemoteGrpcPort(api_service_descriptor=self.runner.address, coder_id=self.graph.coder(spec))
        return spec, port.SerializeToString()

    def source(self, coder: CoderSpec, name: str = "source", strategy: Any = None, full: CoderSpec | None = None) -> PCollection:
        window = strategy.window_fn.window_coder if strategy else coders.GLOBAL_WINDOW
        self.ports[name], payload = self._port(coder, window, full)
        return self.raw(name, urns.Runner.DATA_SOURCE, payload, outputs={"out": coder}, strategy=strategy)["out"]

    def sink(self, collection: PCollection, name: str = "sink") -> None:
        self.ports[name], payload = self._port(collection.coder, collection.strategy.window_fn.window_coder, None)
        self.raw(name, urns.Runner.DATA_SINK, payload, inputs={"in": collection})

    def descriptor(self) -> fn_pb2.ProcessBundleDescriptor:
        parts = self.graph.pipeline.components
        return fn_pb2.ProcessBundleDescriptor(
            id=self.descriptor_id,
            transforms=dict(parts.transforms),
            pcollections=dict(parts.pcollections),
            windowing_strategies=dict(parts.windowing_strategies),
            coders=dict(parts.coders),
            state_api_service_descriptor=self.runner.address,
            timer_api_service_descriptor=self.runner.address,
        )


class ScriptedRunner:
    """Serves one session's worker. `ask` sends an instruction and waits for its answer; `data` is what came on the data plane."""

    def __init__(self, session: Session, capabilities: Sequence[str] = ()) -> None:
        self.session, self.capabilities = session, capabilities
        self.descriptors: dict[str, fn_pb2.ProcessBundleDescriptor] = {}
        self.state: dict[bytes, list[bytes]] = defaultdict(list)
        self.page_size = 0
        self.state_requests: list[fn_pb2.StateRequest] = []
        self.logs: list[fn_pb2.LogEntry] = []
        self.data: list[fn_pb2.Elements] = []
        self.data_headers: list[dict[str, str]] = []
        self.status_url = ""
        self.statuses: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._ids = itertools.count(1)
        self._requests: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._answers: dict[str, queue.SimpleQueue[Any]] = defaultdict(queue.SimpleQueue)
        self._data_out: dict[str, queue.SimpleQueue[Any]] = defaultdict(queue.SimpleQueue)
        self._terminated = threading.Condition()
        self._served = threading.Condition()
        self.connected = threading.Event()
        self._server = rpc.server(max_workers=16)
        for service in ("BeamFnControl", "BeamFnData", "BeamFnState", "BeamFnLogging", "ProvisionService", "BeamFnWorkerStatus"):
            self._server.add_generic_rpc_handlers((rpc.service_handler(FN + service, self),))
        self.url = f"localhost:{self._server.add_insecure_port('localhost:0')}"
        self.address = endpoints_pb2.ApiServiceDescriptor(url=self.url)
        self._server.start()

    def __enter__(self) -> ScriptedRunner:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.end()
        self._server.stop(None)

    def end(self) -> None:
        """Complete every stream, Control first."""
        self._requests.put(None)
        for out in list(self._data_out.values()):
            out.put(None)
        self.statuses.put(None)

    def start_worker(self, worker_id: str = "w", provision: bool = True) -> fn_pb2.StartWorkerResponse:
        with rpc.insecure_channel(f"localhost:{self.session.port}") as channel:
            request = fn_pb2.StartWorkerRequest(worker_id=worker_id, control_endpoint=self.address, logging_endpoint=self.address)
            if provision:
                request.provision_endpoint.CopyFrom(self.address)
            return rpc.stub(channel, FN + "BeamFnExternalWorkerPool").StartWorker(request, timeout=WAIT)

    # Services

    def GetProvisionInfo(self, request: Any, context: grpc.ServicerContext) -> provision_pb2.GetProvisionInfoResponse:
        info = provision_pb2.ProvisionInfo(runner_capabilities=self.capabilities, control_endpoint=self.address)
        if self.status_url:
            info.status_endpoint.url = self.status_url
        return provision_pb2.GetProvisionInfoResponse(info=info)

    def Control(self, answers: Iterator[Any], context: grpc.ServicerContext) -> Iterator[Any]:
        self.connected.set()

        def read() -> None:
            try:
                for answer in answers:
                    self._answers[answer.instruction_id].put(answer)
            except grpc.RpcError:
                pass

        threading.Thread(target=read, daemon=True).start()
        yield from iter(self._requests.get, None)

    def GetProcessBundleDescriptor(self, request: Any, context: grpc.ServicerContext) -> fn_pb2.ProcessBundleDescriptor:
        found = self.descriptors.get(request.process_bundle_descriptor_id)
        if found is None:
            context.abort(grpc.StatusCode.NOT_FOUND, "no such descriptor")
        assert found is not None
        return found

    def Data(self, elements: Iterator[Any], context: grpc.ServicerContext) -> Iterator[Any]:
        headers = {key: str(value) for key, value in context.invocation_metadata()}
        self.data_headers.append(headers)

        def read() -> None:
            try:
                for each in elements:
                    with self._terminated:
                        self.data.append(each)
                        self._terminated.notify_all()
            except grpc.RpcError:
                pass

        threading.Thread(target=read, daemon=True).start()
        yield from iter(self._data_out[headers.get("data_stream_id", "")].get, None)

    def wait_for_state(self, reached: Callable[[], bool]) -> None:
        """Wait until `reached` holds after some state request: a failed bundle does not wait for its writes to arrive."""
        with self._served:
            assert self._served.wait_for(reached, WAIT)

    def State(self, requests: Iterator[Any], context: grpc.ServicerContext) -> Iterator[Any]:
        for request in requests:
            self.state_requests.append(request)
            response = self._serve_state(request)
            with self._served:
                self._served.notify_all()
            yield response

    def _serve_state(self, request: fn_pb2.StateRequest) -> fn_pb2.StateResponse:
        key = request.state_key.SerializeToString(deterministic=True)
        response = fn_pb2.StateResponse(id=request.id)
        kind = request.WhichOneof("request")
        if kind == "append":
            self.state[key].append(request.append.data)
            response.append.SetInParent()
        elif kind == "clear":
            self.state.pop(key, None)
            response.clear.SetInParent()
        elif not self.page_size:
            response.get.data = b"".join(self.state[key])
        else:  # the first page is empty, with a token: P-STATE-06 allows it
            first = int(request.get.continuation_token or b"-1")
            if first >= 0:
                response.get.data = b"".join(self.state[key][first : first + self.page_size])
            following = max(first, -self.page_size) + self.page_size if first >= 0 else 0
            if following < len(self.state[key]):
                response.get.continuation_token = str(following).encode()
        return response

    def Logging(self, lists: Iterator[Any], context: grpc.ServicerContext) -> Iterator[Any]:
        for each in lists:
            self.logs.extend(each.log_entries)
        yield from ()

    def WorkerStatus(self, responses: Iterator[Any], context: grpc.ServicerContext) -> Iterator[Any]:
        def read() -> None:
            try:
                for each in responses:
                    self._answers[each.id].put(each)
            except grpc.RpcError:
                pass

        threading.Thread(target=read, daemon=True).start()
        yield from iter(self.statuses.get, None)

    def ask_status(self) -> fn_pb2.WorkerStatusResponse:
        self.statuses.put(fn_pb2.WorkerStatusRequest(id="s1"))
        answer: fn_pb2.WorkerStatusResponse = self._answers["s1"].get(timeout=WAIT)
        return answer

    # Driving

    def add(self, stage: Stage) -> fn_pb2.ProcessBundleDescriptor:
        self.descriptors[stage.descriptor_id] = stage.descriptor()
        return self.descriptors[stage.descriptor_id]

    def send(self, **fields: Any) -> str:
        """Send an instruction; the answer is its id."""
        instruction_id = fields.pop("instruction_id", None) or f"i{next(self._ids)}"
        self._requests.put(fn_pb2.InstructionRequest(instruction_id=instruction_id, **fields))
        return instruction_id

    def answer(self, instruction_id: str, timeout: float = WAIT) -> fn_pb2.InstructionResponse:
        answer: fn_pb2.InstructionResponse = self._answers[instruction_id].get(timeout=timeout)
        return answer

    def unanswered(self, instruction_id: str) -> bool:
        return self._answers[instruction_id].empty()

    def ask(self, **fields: Any) -> fn_pb2.InstructionResponse:
        return self.answer(self.send(**fields))

    def start_bundle(self, descriptor_id: str = "d", **fields: Any) -> str:
        return self.send(process_bundle=fn_pb2.ProcessBundleRequest(process_bundle_descriptor_id=descriptor_id, **fields))

    def feed(self, elements: fn_pb2.Elements, stream: str = "") -> None:
        self._data_out[stream].put(elements)

    def input(
        self,
        instruction_id: str,
        stage: Stage,
        values: Mapping[str, Sequence[Any]],
        timers: Sequence[tuple[str, str, bytes]] = (),
    ) -> fn_pb2.Elements:
        """All input of a bundle: data, timers (transform, family, bytes), and every terminator."""
        elements = fn_pb2.Elements()
        for name, each in values.items():
            coder = resolve(stage.ports[name])
            data = b"".join(coder.encode(value if isinstance(value, WindowedValue) else WindowedValue(value)) for value in each)
            if data:
                elements.data.add(instruction_id=instruction_id, transform_id=name, data=data)
        for transform, family, encoded in timers:
            elements.timers.add(instruction_id=instruction_id, transform_id=transform, timer_family_id=family, timers=encoded)
        for name in values:
            elements.data.add(instruction_id=instruction_id, transform_id=name, is_last=True)
        for transform, family in sorted({(transform, family) for transform, family in self.families(stage)}):
            elements.timers.add(instruction_id=instruction_id, transform_id=transform, timer_family_id=family, is_last=True)
        return elements

    def families(self, stage: Stage) -> list[tuple[str, str]]:
        from conformance.harness.plan import Plan

        return Plan(stage.descriptor()).families

    def bundle(
        self, stage: Stage, values: Sequence[Any] = (), timers: Sequence[tuple[str, str, bytes]] = (), **fields: Any
    ) -> tuple[fn_pb2.InstructionResponse, str]:
        """A whole bundle with one source: sent, fed, answered. Gives the answer and the instruction id."""
        self.add(stage)
        instruction_id = self.start_bundle(stage.descriptor_id, **fields)
        self.feed(self.input(instruction_id, stage, {"source": values}, timers), fields.get("data_stream_id", ""))
        return self.answer(instruction_id), instruction_id

    def output(self, instruction_id: str, stage: Stage, sink: str = "sink") -> list[WindowedValue]:
        """What came out at `sink`, once its terminator is there."""
        coder = resolve(stage.ports[sink])

        def entries() -> list[fn_pb2.Elements.Data]:
            return [
                entry
                for elements in self.data
                for entry in elements.data
                if entry.instruction_id == instruction_id and entry.transform_id == sink
            ]

        with self._terminated:
            assert self._terminated.wait_for(lambda: any(entry.is_last for entry in entries()), WAIT)
            return [value for entry in entries() for value in coder.decode_all(entry.data)]

    def values(self, instruction_id: str, stage: Stage, sink: str = "sink") -> list[Any]:
        return [element.value for element in self.output(instruction_id, stage, sink)]
