"""Faults of bundle descriptors, and of the hints and questions that come with bundles: what a harness is told of its work."""

from __future__ import annotations

import asyncio
import itertools
from typing import Any

from conformance.runner.bundles import Bundles
from conformance.runner.crew import Crew
from conformance.runner.driver import Driver
from conformance.runner.engine_events import BundleDone, Event, JobDone, RunBundle
from conformance.runner.engine_stages import StageRun
from conformance.runner.fnapi import Worker
from conformance.runner.graph import Planner
from conformance.runner.mutants.registry import mutant
from conformance.runner.plan import StageNode
from conformance.wire import urns
from conformance.wire.api import fn_pb2, job_pb2
from conformance.wire.api import pipeline_pb2 as pb


class _Described(Planner):
    """Changes descriptors."""

    def changed(self, descriptor: Any, node: StageNode) -> None:
        raise NotImplementedError

    def _describe(self, node: StageNode, *rest: Any) -> None:
        super()._describe(node, *rest)
        self.changed(self.descriptors[node.id], node)


@mutant("DSC-01")
class CoderDangles(_Described):
    """A payload names a coder that is not there; the harness does not need it, so that it is for the invariant to see."""

    def changed(self, descriptor: Any, node: StageNode) -> None:
        for transform in descriptor.transforms.values():
            if transform.spec.urn == urns.Transform.PAR_DO:
                payload = pb.ParDoPayload.FromString(transform.spec.payload)
                payload.restriction_coder_id = "no-such-coder"
                transform.spec.payload = payload.SerializeToString(deterministic=True)


@mutant("DSC-02")
class CompositesAreSent(_Described):
    def changed(self, descriptor: Any, node: StageNode) -> None:
        for name in node.transforms:
            if name in descriptor.transforms:
                descriptor.transforms[name].subtransforms.append(f"{name}/part")


@mutant("DSC-03")
class FirstWorkerRunsAll(Crew):
    """Every stage goes to the worker of the first environment."""

    def worker_for(self, bundle: str, stage: StageNode) -> Worker:
        return next(iter(self._launchers.values()))[0].worker


@mutant("DSC-04")
class UnreachableSink(_Described):
    def changed(self, descriptor: Any, node: StageNode) -> None:
        for sink in list(node.sinks)[:1]:
            stray = descriptor.transforms[f"{sink}/stray"]
            stray.CopyFrom(descriptor.transforms[sink])
            for local, collection in list(stray.inputs.items()):
                stray.inputs[local] = f"{collection}/stray"
                descriptor.pcollections[f"{collection}/stray"].CopyFrom(descriptor.pcollections[collection])


@mutant("DSC-05")
class PortsOfAnotherCoder(_Described):
    """The PCollection that a source fills has another coder than the source."""

    def changed(self, descriptor: Any, node: StageNode) -> None:
        descriptor.coders["another"].spec.urn = urns.Coder.BOOL
        for collection in descriptor.transforms[node.source].outputs.values():
            descriptor.pcollections[collection].coder_id = "another"


@mutant("DSC-06")
class TimersAreNowhere(_Described):
    def changed(self, descriptor: Any, node: StageNode) -> None:
        descriptor.timer_api_service_descriptor.url = ""


@mutant("DSC-07")
class PayloadsChanged(_Described):
    """Every ParDo is said to ask for finalization."""

    def changed(self, descriptor: Any, node: StageNode) -> None:
        for transform in descriptor.transforms.values():
            if transform.spec.urn == urns.Transform.PAR_DO:
                payload = pb.ParDoPayload.FromString(transform.spec.payload)
                payload.requests_finalization = True
                transform.spec.payload = payload.SerializeToString(deterministic=True)


@mutant("DSC-08")
class EnvironmentsChanged(_Described):
    def changed(self, descriptor: Any, node: StageNode) -> None:
        for environment in descriptor.environments.values():
            environment.capabilities[:] = [f"{each}_of_another" for each in environment.capabilities]


# ---- what comes with a bundle


class _Asking(Worker):
    """Changes instructions on their way to a harness."""

    def changed(self, request: Any) -> None:
        raise NotImplementedError

    def ask(self, request: Any) -> asyncio.Future[Any]:
        self.changed(request)
        return super().ask(request)


@mutant("NET-70")
class InputTwice(_Asking):
    """All of a bundle's input goes with its instruction too, to whatever harness."""

    def changed(self, request: Any) -> None:
        bundle = self.bundles.get(request.instruction_id)
        if bundle is not None and not request.process_bundle.HasField("elements"):
            inputs: asyncio.Queue[Any] = asyncio.Queue()
            inputs.put_nowait(self._send(bundle.command, bundle.node, inputs))
            while not inputs.empty():
                request.process_bundle.elements.MergeFrom(inputs.get_nowait())


@mutant("NET-71")
class StreamsNamedUnasked(Worker):
    def __init__(self, *given: Any, **named: Any) -> None:
        super().__init__(*given, **named)
        self._streams = itertools.cycle(["data-1"])


@mutant("NET-72")
class TokensTwice(_Asking):
    def changed(self, request: Any) -> None:
        tokens = request.process_bundle.cache_tokens
        tokens.extend(list(tokens))


@mutant("NET-73")
class EmptyRequests(_Asking):
    """Before each bundle comes an instruction that asks for nothing."""

    def changed(self, request: Any) -> None:
        if request.HasField("process_bundle"):
            self.control_out.put_nowait(fn_pb2.InstructionRequest(instruction_id=f"{request.instruction_id}/empty"))


class _Question(Bundles):
    """Asks each worker something at each bundle."""

    def question(self, request: Any) -> None:
        raise NotImplementedError

    def start(self, command: RunBundle) -> None:
        super().start(command)
        self._spawn(self._ask(command), self._asking)

    async def _ask(self, command: RunBundle) -> None:
        worker = self._crew.worker_for(command.bundle, self._stages[command.stage])
        await self._crew.ready(worker)
        request = fn_pb2.InstructionRequest(instruction_id=worker.question_id())
        self.question(request)
        await worker.ask(request)


@mutant("NET-74")
class SamplesAskedOfAll(_Question):
    def question(self, request: Any) -> None:
        request.sample_data.SetInParent()


@mutant("NET-75")
class HarnessInfosAskedOfAll(_Question):
    def question(self, request: Any) -> None:
        request.harness_monitoring_infos.SetInParent()


@mutant("NET-76")
class UnknownShortIdsAsked(_Question):
    def question(self, request: Any) -> None:
        request.monitoring_infos.monitoring_info_id.append("nobody-reported-this")


@mutant("NET-77")
class DataForNobody(Worker):
    def ask(self, request: Any) -> asyncio.Future[Any]:
        if request.HasField("process_bundle"):
            stray = fn_pb2.Elements()
            stray.data.add(instruction_id=f"{request.instruction_id}/stray", transform_id="nothing", data=b"x", is_last=True)
            self.data_out[request.process_bundle.data_stream_id].put_nowait(stray)
        return super().ask(request)


@mutant("NET-78")
class DoneWithTheFirstBundle(Driver):
    def _dispatch(self, event: Event) -> None:
        super()._dispatch(event)
        if isinstance(event, BundleDone) and not self._engine.finished:
            self._engine.finished = True
            self._finish(JobDone())


@mutant("NET-79")
class AnswersAreNotAwaited(Driver):
    """A job is DONE as soon as it runs; what it does goes on behind that."""

    def start(self) -> None:
        super().start()
        self._job.move(job_pb2.JobState.DONE)


@mutant("ST-70")
class TokenSurvivesFailure(StageRun):
    """A bundle that failed leaves the cache token of its stage as it was."""

    def again(self, bundle: str) -> RunBundle:
        self._epoch -= 1
        return super().again(bundle)
