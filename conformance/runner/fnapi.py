"""The Fn API as the runner serves it: control, data, state and logging streams of workers.

A `Worker` is one SDK harness under one id; it lives on the event loop of the server, so nothing here locks. What is sent
follows P-SAFE-R: ProcessBundle first, whole elements, all terminators together at the end, a bundle is over when both its
response and all its terminators are in (P-CTL-18).
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from collections import defaultdict, deque
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import grpc

from conformance.runner import environments
from conformance.runner.bulk import PairCutter
from conformance.runner.engine_events import Family, RunBundle
from conformance.runner.habits import Habits
from conformance.runner.plan import StageNode
from conformance.runner.pools import Pools
from conformance.runner.state import BundleState
from conformance.wire import urns
from conformance.wire.api import fn_pb2

__all__ = ["BundleError", "FnApi", "Worker", "WorkerLost"]

#: What Beam's Go harness is given to open its reader before the terminators of a transform with several timer families:
#: it counts terminators by transform, and would wait for ever for one more (P-DATA-13). Opening takes it under a millisecond.
GO_READER_SECONDS = 0.05
#: Workers of ended jobs whose late Control stream still gets a clean end (P-CH-11).
KEPT_FORMER = 1000


class BundleError(Exception):
    """The SDK answered a bundle with an error; the text is the user's."""


class WorkerLost(Exception):
    """A harness went away or never came."""


class BundleIO:
    """The streams of one bundle in flight."""

    def __init__(self, command: RunBundle, node: StageNode, cutters: Mapping[str, PairCutter]) -> None:
        self.node = node
        self.cutters = cutters
        self.outputs: dict[str, list[bytes]] = {collection: [] for collection in node.sinks.values()}
        self.timers: dict[Family, list[bytes]] = {(family.transform, family.name): [] for family in node.timers}
        self.open: set[Any] = set(node.sinks) | set(self.timers)
        self.complete: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.command = command
        if not self.open:
            self.complete.set_result(None)

    def take_data(self, entry: Any) -> None:
        """One entry of a sink. What names no sink of this bundle is dropped."""
        collection = self.node.sinks.get(entry.transform_id)
        if collection is None or entry.transform_id not in self.open:
            return
        if entry.data:
            cutter = self.cutters.get(collection)
            self.outputs[collection].append(entry.data if cutter is None else cutter.cut(entry.data))
        if entry.is_last:
            self._close(entry.transform_id)

    def take_timers(self, entry: Any) -> None:
        """One entry of a timer family."""
        family = (entry.transform_id, entry.timer_family_id)
        if family not in self.open:
            return
        if entry.timers:
            self.timers[family].append(entry.timers)
        if entry.is_last:
            self._close(family)

    def _close(self, stream: Any) -> None:
        self.open.discard(stream)
        if not self.open and not self.complete.done():
            self.complete.set_result(None)


class Worker:
    """One SDK harness: what is asked of it, what it owes."""

    def __init__(
        self,
        worker_id: str,
        environment_id: str,
        state_of: Callable[[str], BundleState | None],
        log: Callable[[Any], None],
        reconnect: float = 10.0,
        declared: Iterable[str] = (),
        data_streams: int = 0,
        habits: Habits | None = None,
    ) -> None:
        self.habits = habits or Habits()
        self.id = worker_id
        self.environment_id = environment_id
        self.state_of = state_of
        self.log = log
        self.reconnect = reconnect
        #: Capabilities of the environment.
        self.declared = frozenset(declared)
        self.is_go = environments.is_go(self.declared)
        self._streams = itertools.cycle(
            [f"data-{number}" for number in range(1, data_streams + 1)]
            if data_streams and urns.Protocol.NAMED_DATA_STREAMS in self.declared
            else [""]
        )
        self.provision: Any = None
        #: Whether the harness asked for it, and so knows what it says.
        self.provisioned = False
        #: Descriptors by id, and PCollections whose chunks are cut into pairs as they come.
        self.descriptors: Mapping[str, Any] = {}
        self.cutters: Mapping[str, PairCutter] = {}
        #: Set once the harness has fetched a descriptor.
        self.fetched: dict[str, asyncio.Event] = {}
        self.connected = asyncio.Event()
        self.failure: str | None = None
        #: Its Control stream ended, and none came since.
        self.away = False
        self.ending = False
        self.streams: set[asyncio.Task[Any]] = set()
        self.idle = asyncio.Event()
        self.idle.set()
        self.control_out: asyncio.Queue[Any] = asyncio.Queue()
        #: What goes out on the Data streams, by their names (P-CTL-17).
        self.data_out: defaultdict[str, asyncio.Queue[Any]] = defaultdict(asyncio.Queue)
        #: Questions to WorkerStatus, once the harness has opened it, and who waits for the answers.
        self.status_out: asyncio.Queue[Any] | None = None
        self.statuses: dict[str, asyncio.Future[Any]] = {}
        self.bundles: dict[str, BundleIO] = {}
        self.short_ids: dict[str, Any] = {}
        #: Short ids that were asked for, and the answer.
        self.asked_ids: dict[str, asyncio.Future[Any]] = {}
        #: Lets so many bundles at a time run here.
        self.slots = asyncio.Semaphore(self.habits.bundles_at_once())
        self._answers: dict[str, asyncio.Future[Any]] = {}
        self._questions = 0
        #: Set while there is no Control stream: one that comes back may be faster than the end of the one before.
        self.vacant = asyncio.Event()
        self.vacant.set()

    @property
    def name(self) -> str:
        """How messages speak of it."""
        return f"worker {self.id} of environment {self.environment_id}"

    # ---- asking

    def ask(self, request: Any) -> asyncio.Future[Any]:
        """Sends an instruction; the future is its InstructionResponse, or fails with WorkerLost."""
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        if self.failure is not None:
            future.set_exception(WorkerLost(self.failure))
            return future
        self._answers[request.instruction_id] = future
        self.control_out.put_nowait(request)
        return future

    def unanswered(self, bundle: str) -> bool:
        """Whether a bundle was sent and its answer has not come; only such may be asked about (P-CTL-24)."""
        return bundle in self._answers and bundle in self.bundles

    def question_id(self) -> str:
        """A fresh id for an instruction that is not a bundle."""
        self._questions += 1
        return f"question-{self._questions}"

    async def process(self, command: RunBundle, node: StageNode, state_token: bytes = b"") -> tuple[Any, BundleIO]:
        """Runs a bundle to its end; `state_token` lets the SDK cache user state. Raises BundleError with the SDK's text, or WorkerLost."""
        if not self.connected.is_set():  # lost while it had nothing to do: its boot program may restart it (P-BOOT-08)
            try:
                await asyncio.wait_for(self.connected.wait(), self.reconnect)
            except TimeoutError:
                raise WorkerLost(f"{self.name} went away and did not come back within {self.reconnect:g} s") from None
        bundle = self.habits.part(BundleIO)(command, node, self.cutters)
        self.bundles[command.bundle] = bundle
        request = fn_pb2.InstructionRequest(instruction_id=command.bundle)
        request.process_bundle.process_bundle_descriptor_id = node.id
        if self.habits.caches(self.declared):
            _add_tokens(request.process_bundle, command, state_token)
        request.process_bundle.data_stream_id = stream = next(self._streams)
        data_out = self.data_out[stream]
        embedded = self.habits.embeds(self.declared, _size(command))
        if embedded:  # all of the bundle's input, nothing on Data (P-CTL-14)
            inputs: asyncio.Queue[Any] = asyncio.Queue()
            inputs.put_nowait(self._send(command, node, inputs))
            while not inputs.empty():
                request.process_bundle.elements.MergeFrom(inputs.get_nowait())
        try:
            answer = self.ask(request)
            if not answer.done() and not embedded:
                ends = self._send(command, node, data_out)
                if self._miscounts(node):
                    fetched = asyncio.ensure_future(self.fetched.setdefault(node.id, asyncio.Event()).wait())
                    await asyncio.wait({answer, fetched}, return_when=asyncio.FIRST_COMPLETED)
                    fetched.cancel()
                    await asyncio.wait({answer}, timeout=GO_READER_SECONDS)
                data_out.put_nowait(ends)
            response = await answer
            if response.error:
                raise BundleError(response.error)
            if response.WhichOneof("response") != "process_bundle":
                raise BundleError(f"the answer to bundle {command.bundle} is not one to ProcessBundle")
            self.receive(response.process_bundle.elements)
            await bundle.complete
            return response.process_bundle, bundle
        finally:
            self.bundles.pop(command.bundle, None)
            if bundle.complete.done() and not bundle.complete.cancelled():
                bundle.complete.exception()  # seen, if it is one: the answer told the same

    def _miscounts(self, node: StageNode) -> bool:
        """Whether this harness would never see the end of a bundle whose terminators all come before it listens (P-DATA-13)."""
        transforms = {family.transform for family in node.timers}
        return len(node.timers) > len(transforms) and self.is_go

    def _send(self, command: RunBundle, node: StageNode, out: asyncio.Queue[Any]) -> Any:
        """Sends data, then timers; returns the message that ends all streams, empty (P-DATA-03, P-DATA-13)."""
        message = fn_pb2.Elements()
        size, most = 0, self.habits.message_bytes()
        for chunk in command.data:
            message.data.add(instruction_id=command.bundle, transform_id=node.source, data=chunk)
            size += len(chunk)
            if size >= most:
                out.put_nowait(message)
                message, size = fn_pb2.Elements(), 0
        for (transform, family), timers in command.timers.items():
            message.timers.add(
                instruction_id=command.bundle, transform_id=transform, timer_family_id=family, timers=b"".join(timers)
            )
        if node.timers and (message.data or message.timers):
            out.put_nowait(message)
            message = fn_pb2.Elements()
        message.data.add(instruction_id=command.bundle, transform_id=node.source, is_last=True)
        for each in node.timers:
            message.timers.add(
                instruction_id=command.bundle, transform_id=each.transform, timer_family_id=each.name, is_last=True
            )
        return message

    # ---- hearing

    def receive(self, elements: Any) -> None:
        """Outputs and timers; those of bundles that are not in flight are dropped (P-DATA-12)."""
        for entry in elements.data:
            bundle = self.bundles.get(entry.instruction_id)
            if bundle is not None:
                bundle.take_data(entry)
        for entry in elements.timers:
            bundle = self.bundles.get(entry.instruction_id)
            if bundle is not None:
                bundle.take_timers(entry)

    def answered(self, response: Any) -> None:
        """An InstructionResponse; one that nobody waits for is dropped."""
        future = self._answers.pop(response.instruction_id, None)
        if future is not None and not future.done():
            future.set_result(response)

    def lost(self, reason: str, *, final: bool = False) -> None:
        """Fails all that is outstanding (P-CH-12). Unless final, a new Control stream may take over (P-BOOT-08)."""
        self.away = True
        if final and self.failure is None:
            self.failure = reason
            self.connected.set()
        answers, self._answers = self._answers, {}
        for future in answers.values():
            if not future.done():
                future.set_exception(WorkerLost(reason))
        for bundle in self.bundles.values():
            if not bundle.complete.done():
                bundle.complete.set_exception(WorkerLost(reason))
        if not final:
            self.connected.clear()

    def end(self) -> None:
        """Completes the Control stream: the harness is to go (P-CH-11)."""
        self.ending = True
        self.control_out.put_nowait(None)

    def release(self) -> None:
        """Ends what streams are left, and forgets the job."""
        self.lost("the job has ended", final=True)
        for stream in self.streams:
            stream.cancel()
        self.descriptors, self.state_of, self.log = {}, lambda _: None, lambda _: None

    # ---- streams

    async def serve(self, stream: Any) -> None:
        """Runs the handler of a stream, known to this worker until it ends."""
        task = asyncio.ensure_future(stream)
        self.streams.add(task)
        self.idle.clear()
        try:
            await task
        except asyncio.CancelledError:
            if not task.cancelled():  # the client went: its handler has to end too
                task.cancel()
                raise
        finally:
            self.streams.discard(task)
            if not self.streams:
                self.idle.set()

    async def control(self, requests: Any, context: Any) -> None:
        """Serves one Control stream; while it lasts another one under the same id is refused (P-CH-01)."""
        if not await _soon(self.vacant):
            text = f"{self.name} has a Control stream already; end that one first, or send the id that you were started with"
            await context.abort(grpc.StatusCode.ALREADY_EXISTS, text)
        if self.ending:
            return
        self.vacant.clear()
        self.away = False
        questions = self.control_out
        self.connected.set()

        async def read() -> None:
            async for response in requests:
                self.answered(response)

        try:
            await _duplex(read(), questions, context)
        finally:
            if not self.ending:
                self.control_out = asyncio.Queue()
                self.lost(f"{self.name} ended its Control stream in the middle of the job")
            self.vacant.set()

    async def data(self, requests: Any, context: Any, name: str) -> None:
        """Serves the Data stream of a name."""

        async def read() -> None:
            async for elements in requests:
                self.receive(elements)

        try:
            await _duplex(read(), self.data_out[name], context)
        finally:
            if not self.ending and self.bundles:
                self.lost(f"{self.name} ended its Data stream in the middle of a bundle")

    async def status(self, requests: Any, context: Any) -> None:
        """Serves the WorkerStatus stream."""
        questions = self.status_out = asyncio.Queue()

        async def read() -> None:
            async for response in requests:
                future = self.statuses.get(response.id)
                if future is not None and not future.done():
                    future.set_result(response)

        try:
            await _duplex(read(), questions, context)
        finally:
            if self.status_out is questions:
                self.status_out = None


async def _soon(event: asyncio.Event) -> bool:
    """Whether it is set within a second."""
    if event.is_set():
        return True
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(event.wait(), 1.0)
    return event.is_set()


def _size(command: RunBundle) -> int:
    return sum(map(len, command.data)) + sum(len(each) for timers in command.timers.values() for each in timers)


def _add_tokens(request: Any, command: RunBundle, state_token: bytes) -> None:
    if state_token:
        token = request.cache_tokens.add(token=state_token)
        token.user_state.SetInParent()
    for (transform, side_input), value in command.side_tokens.items():
        token = request.cache_tokens.add(token=value)
        token.side_input.transform_id, token.side_input.side_input_id = transform, side_input


async def _duplex(reading: Any, out: asyncio.Queue[Any], context: Any) -> None:
    """Reads and writes a stream until either side ends it; a None in the queue is this side's end."""

    async def write() -> None:
        while (message := await out.get()) is not None:
            await context.write(message)

    tasks = {asyncio.ensure_future(reading), asyncio.ensure_future(write())}
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def _worker_id(context: Any) -> str:
    return str(dict(context.invocation_metadata() or ()).get("worker_id", ""))


class FnApi:
    """Servicers of the execution plane; workers are told apart by the `worker_id` header (P-CH-01)."""

    def __init__(self) -> None:
        self.workers: dict[str, Worker] = {}
        #: Ids of workers whose jobs ended, the last ones.
        self.former: deque[str] = deque(maxlen=KEPT_FORMER)
        self.pools = Pools()

    def forget(self, worker_id: str) -> None:
        """A worker's job has ended."""
        self.workers.pop(worker_id, None)
        self.former.append(worker_id)

    async def worker_of(self, context: Any) -> Worker:
        worker_id = _worker_id(context)
        worker = self.workers.get(worker_id)
        if worker is None:
            what = (
                f"worker_id {worker_id!r} is not one that this runner started" if worker_id else "the worker_id header is missing"
            )
            await context.abort(grpc.StatusCode.FAILED_PRECONDITION, f"{what}; send the id from StartWorker or --id")
        assert worker is not None
        return worker

    async def Control(self, requests: Any, context: Any) -> None:
        if _worker_id(context) in self.former:  # a job that needed no bundle was through before its worker came
            return
        worker = await self.worker_of(context)
        await worker.serve(worker.control(requests, context))

    async def GetProcessBundleDescriptor(self, request: Any, context: Any) -> Any:
        worker = await self.worker_of(context)
        name = request.process_bundle_descriptor_id
        if name not in worker.descriptors:
            await context.abort(grpc.StatusCode.NOT_FOUND, f"no ProcessBundleDescriptor {name!r} in this worker's job")
        worker.fetched.setdefault(name, asyncio.Event()).set()
        return worker.descriptors[name]

    async def Data(self, requests: Any, context: Any) -> None:
        worker = await self.worker_of(context)
        name = dict(context.invocation_metadata() or ()).get("data_stream_id", "")
        await worker.serve(worker.data(requests, context, name))

    async def WorkerStatus(self, requests: Any, context: Any) -> None:
        worker = await self.worker_of(context)
        await worker.serve(worker.status(requests, context))

    async def State(self, requests: Any, context: Any) -> None:
        worker = await self.worker_of(context)

        async def serve() -> None:
            async for request in requests:
                state = worker.state_of(request.instruction_id) if request.instruction_id in worker.bundles else None
                if state is None:
                    text = f"no bundle {request.instruction_id!r} is running on this worker"
                    await context.write(fn_pb2.StateResponse(id=request.id, error=text))
                else:
                    await context.write(state.answer(request))

        await worker.serve(serve())

    async def Logging(self, requests: Any, context: Any) -> None:
        worker = await self.worker_of(context)

        async def serve() -> None:
            async for entries in requests:
                for entry in entries.log_entries:
                    worker.log(entry)

        await worker.serve(serve())
