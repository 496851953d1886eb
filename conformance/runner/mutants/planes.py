"""Faults of the wire between runner and harness: instructions, data, timers, the life of workers and their streams."""

from __future__ import annotations

import asyncio
from typing import Any

import grpc

from conformance.runner.bundles import GRACE, Bundles
from conformance.runner.driver import Driver
from conformance.runner.engine_events import RunBundle
from conformance.runner.fnapi import BundleIO, FnApi, Worker
from conformance.runner.mutants.registry import mutant
from conformance.runner.plan import StageNode
from conformance.runner.rules import Rules
from conformance.runner.workers import Launcher
from conformance.wire.api import fn_pb2


class _Sender(Worker):
    """Changes what a bundle is sent: its messages in order, the last of which ends its streams."""

    def changed(self, messages: list[Any], command: RunBundle, node: StageNode) -> list[Any]:
        raise NotImplementedError

    def _send(self, command: RunBundle, node: StageNode, out: asyncio.Queue[Any]) -> Any:
        sent: asyncio.Queue[Any] = asyncio.Queue()
        ends = super()._send(command, node, sent)
        messages = self.changed([*(sent.get_nowait() for _ in range(sent.qsize())), ends], command, node)
        for message in messages[:-1]:
            out.put_nowait(message)
        return messages[-1]


@mutant("TMR-10")
class FamilyLeftBlank(_Sender):
    def changed(self, messages: list[Any], command: RunBundle, node: StageNode) -> list[Any]:
        for message in messages:
            for entry in message.timers:
                entry.timer_family_id = ""
        return messages


@mutant("TMR-22")
class TimersEndTooEarly(_Sender):
    def changed(self, messages: list[Any], command: RunBundle, node: StageNode) -> list[Any]:
        ends = messages[-1]
        if command.timers:
            early = fn_pb2.Elements(timers=ends.timers)
            del ends.timers[:]
            return [early, *messages]
        return messages


@mutant("TMR-60")
class TimersNeverEnd(_Sender):
    def changed(self, messages: list[Any], command: RunBundle, node: StageNode) -> list[Any]:
        del messages[-1].timers[:]
        return messages


@mutant("TMR-61")
class TimersAmongTheData(_Sender):
    def changed(self, messages: list[Any], command: RunBundle, node: StageNode) -> list[Any]:
        for message in messages:
            for entry in list(message.timers):
                if not entry.is_last:
                    message.data.add(instruction_id=entry.instruction_id, transform_id=entry.transform_id, data=entry.timers)
            if any(not entry.is_last for entry in message.timers):
                del message.timers[:]
        return messages


@mutant("NET-50")
class SourceEndsTwice(_Sender):
    def changed(self, messages: list[Any], command: RunBundle, node: StageNode) -> list[Any]:
        messages[-1].data.add(instruction_id=command.bundle, transform_id=node.source, is_last=True)
        return messages


@mutant("NET-51")
class ElementsCutInTwo(_Sender):
    def changed(self, messages: list[Any], command: RunBundle, node: StageNode) -> list[Any]:
        for message in messages:
            for entry in list(message.data):
                if len(entry.data) > 1:
                    half = len(entry.data) // 2
                    message.data.add(instruction_id=entry.instruction_id, transform_id=entry.transform_id, data=entry.data[half:])
                    entry.data = entry.data[:half]
        return messages


@mutant("NET-52")
class DataBehindTheEnd(_Sender):
    def changed(self, messages: list[Any], command: RunBundle, node: StageNode) -> list[Any]:
        return [messages[-1], *messages[:-1]] if len(messages) > 1 else messages


@mutant("NET-53")
class FirstMessageLost(_Sender):
    """Of several messages with elements the first is not sent."""

    def changed(self, messages: list[Any], command: RunBundle, node: StageNode) -> list[Any]:
        return messages[1:] if len(messages) > 1 else messages


@mutant("NET-07")
class OnlyOneMessageIsRead(BundleIO):
    def take_data(self, entry: Any) -> None:
        sink = self.node.sinks.get(entry.transform_id)
        if sink is not None and entry.data and self.outputs[sink]:
            self.outputs[sink].clear()
        super().take_data(entry)


@mutant("NET-03")
class EndsNotAwaited(BundleIO):
    def __init__(self, *given: Any) -> None:
        super().__init__(*given)
        if not self.complete.done():
            self.complete.set_result(None)


@mutant("NET-54")
class BytesOfTheLastEntryLost(BundleIO):
    def take_data(self, entry: Any) -> None:
        if entry.is_last:
            entry.data = b""
        super().take_data(entry)


@mutant("NET-55")
class OneSinkForAll(BundleIO):
    """What comes for any sink of a bundle goes to the first."""

    def take_data(self, entry: Any) -> None:
        first = next(iter(self.node.sinks), "")
        if entry.data and entry.transform_id in self.node.sinks:
            entry = fn_pb2.Elements.Data(instruction_id=entry.instruction_id, transform_id=first, data=entry.data)
            super().take_data(entry)
        elif entry.is_last:
            super().take_data(entry)


@mutant("NET-56")
class SetTimersLost(BundleIO):
    def take_timers(self, entry: Any) -> None:
        entry.timers = b""
        super().take_timers(entry)


@mutant("NET-04")
class CrossDelivered(Worker):
    def receive(self, elements: Any) -> None:
        first = next(iter(self.bundles), "")
        for entry in elements.data:
            if entry.data:
                entry.instruction_id = first
        super().receive(elements)


@mutant("NET-06")
class UnknownInstructionIsFatal(Worker):
    def receive(self, elements: Any) -> None:
        if any(entry.instruction_id not in self.bundles for entry in elements.data):
            self.lost("elements came for an instruction that is not in flight", final=True)
        super().receive(elements)


@mutant("NET-57")
class IdsAreUsedAgain(Worker):
    def question_id(self) -> str:
        return "question-1"


@mutant("NET-09")
class LossUnnoticed(Worker):
    def lost(self, reason: str, *, final: bool = False) -> None:
        if final:
            super().lost(reason, final=final)


@mutant("NET-13")
class DescriptorGivenOnce(FnApi):
    async def GetProcessBundleDescriptor(self, request: Any, context: Any) -> Any:
        worker = await self.worker_of(context)
        if request.process_bundle_descriptor_id in worker.fetched:
            await context.abort(grpc.StatusCode.NOT_FOUND, "this descriptor was fetched already")
        return await super().GetProcessBundleDescriptor(request, context)


@mutant("NET-15")
class WorkersNeverLetGo(Worker):
    def end(self) -> None:
        """Leaves Control open."""

    def release(self) -> None:
        """Leaves all streams open."""
        self.lost("the job has ended", final=True)


@mutant("NET-01")
class LimitOnState(FnApi):
    async def State(self, requests: Any, context: Any) -> None:
        async def small() -> Any:
            async for request in requests:
                if request.ByteSize() > 4 << 20:
                    await context.abort(
                        grpc.StatusCode.RESOURCE_EXHAUSTED, f"Received message larger than max ({request.ByteSize()} vs. 4194304)"
                    )
                yield request

        await super().State(small(), context)


@mutant("NET-58")
class LoggingRefused(FnApi):
    async def Logging(self, requests: Any, context: Any) -> None:
        await context.abort(grpc.StatusCode.UNIMPLEMENTED, "no Logging here")


@mutant("NET-59")
class LargeEntriesRefused(FnApi):
    async def Logging(self, requests: Any, context: Any) -> None:
        async def small() -> Any:
            async for entries in requests:
                if entries.ByteSize() > 4 << 20:
                    await context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, "a log entry of more than 4 MiB")
                yield entries

        await super().Logging(small(), context)


@mutant("NET-60")
class DescriptorsDiffer(FnApi):
    async def GetProcessBundleDescriptor(self, request: Any, context: Any) -> Any:
        answer = await super().GetProcessBundleDescriptor(request, context)
        copy = fn_pb2.ProcessBundleDescriptor()
        copy.CopyFrom(answer)
        self.__dict__["fetches"] = self.__dict__.get("fetches", 0) + 1
        for transform in copy.transforms.values():
            transform.unique_name += f" ({self.__dict__['fetches']})"
        return copy


@mutant("NET-10")
class FailureAwaitsSiblings(Driver):
    async def _end(self, command: Any) -> None:
        if self._bundles._running:
            await asyncio.wait(set(self._bundles._running))
        await super()._end(command)


@mutant("NET-12")
class RetriedForEver(Rules):
    def retries(self, attempts: int) -> bool:
        return True


@mutant("NET-61")
class LostPoolError(Launcher):
    async def _ask_pool(self) -> None:
        try:
            await super()._ask_pool()
        except Exception:
            raise type(self)._unknown() from None

    @staticmethod
    def _unknown() -> Exception:
        from conformance.runner.fnapi import WorkerLost

        return WorkerLost("unknown error")


@mutant("JOB-13")
class NeverStopped(Launcher):
    async def stop_pooled(self, grace: float) -> None:
        """Forgets about the pool's worker."""


@mutant("NET-62")
class StoppedTwice(Driver):
    """And that before a client can know of the end of the job and leave."""

    async def _end(self, command: Any) -> None:
        for launcher in self._crew._all() * 2:
            await launcher.stop_pooled(GRACE)
        await super()._end(command)


@mutant("SDF-07")
class SplitOfNoSource(Bundles):
    async def _ask_split(self, bundle: str, worker: Worker, fraction: float, estimate: int) -> bool:
        request = fn_pb2.InstructionRequest(instruction_id=worker.question_id())
        request.process_bundle_split.instruction_id = bundle
        wanted = request.process_bundle_split.desired_splits["no-source"]
        wanted.fraction_of_remainder, wanted.estimated_input_elements = fraction, estimate
        await worker.ask(request)
        return False


@mutant("SDF-50")
class FractionAboveOne(Bundles):
    async def _ask_split(self, bundle: str, worker: Worker, fraction: float, estimate: int) -> bool:
        return await super()._ask_split(bundle, worker, fraction + 1, estimate)


@mutant("MET-07")
class FailedBundlesFinalized(Bundles):
    def _failed(self, command: RunBundle, why: str) -> None:
        worker = self.workers.get(command.bundle)
        super()._failed(command, why)
        if worker is not None:
            self.workers[command.bundle] = worker
            self.finalize(command.bundle)


@mutant("MET-51")
class FinalizedUnasked(Bundles):
    def _answered(self, command: RunBundle, worker: Worker, response: Any, streams: BundleIO) -> None:
        response.requires_finalization = True
        super()._answered(command, worker, response, streams)


@mutant("MET-50")
class FinalizedTwice(Bundles):
    async def _finalize(self, bundle: str) -> None:
        worker = self.workers[bundle]
        await super()._finalize(bundle)
        self.workers[bundle] = worker
        await super()._finalize(bundle)


@mutant("MET-52")
class FinalizedBeforeTheAnswer(Bundles):
    async def _run(self, command: RunBundle) -> None:
        running = asyncio.ensure_future(super()._run(command))
        worker = self._crew.worker_for(command.bundle, self._stages[command.stage])
        await self._crew.ready(worker)
        while not worker.unanswered(command.bundle) and not running.done():
            await asyncio.sleep(0)
        request = fn_pb2.InstructionRequest(instruction_id=worker.question_id())
        request.finalize_bundle.instruction_id = command.bundle
        await worker.ask(request)
        await running


@mutant("SDF-06")
class RefusedSplitFails(Bundles):
    async def _ask_split(self, bundle: str, worker: Worker, fraction: float, estimate: int) -> bool:
        request = fn_pb2.InstructionRequest(instruction_id=worker.question_id())
        split = request.process_bundle_split
        split.instruction_id = bundle
        source = worker.bundles[bundle].node.source
        split.desired_splits[source].fraction_of_remainder = fraction
        split.desired_splits[source].estimated_input_elements = estimate
        response = await worker.ask(request)
        if response.error:
            worker.lost(f"the split of {bundle} failed: {response.error}", final=True)
        return False
