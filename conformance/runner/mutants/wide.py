"""Faults that show everywhere: what a runner does wrong with every job, bundle, window, pane, request or message."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import grpc
from attrs import evolve

from conformance.runner import cutting
from conformance.runner.artifacts import Retrieval
from conformance.runner.cutting import Element
from conformance.runner.engine_events import BundleDone
from conformance.runner.engine_groups import GroupRun
from conformance.runner.engine_stages import StageRun
from conformance.runner.jobs import Job, JobService
from conformance.runner.mutants.registry import mutant
from conformance.runner.plan import Collection, Plan
from conformance.runner.rules import MAX, MIN, Rules
from conformance.runner.state import BundleState
from conformance.wire import urns
from conformance.wire.api import artifact_pb2, job_pb2
from conformance.wire.api import pipeline_pb2 as pb
from conformance.wire.values import NO_FIRING, Pane

S = job_pb2.JobState


#: The plan of a pipeline in which there is nothing to do.
EMPTY = Plan((), {}, {}, {})


@mutant("ALL-01")
class NothingRuns(Job):
    """Every job has an empty plan."""

    @property
    def plan(self) -> Plan:
        return EMPTY

    @plan.setter
    def plan(self, plan: Plan) -> None:
        """It stays so."""


class _Outputs(StageRun):
    """Changes what bundles put out: the elements of one PCollection."""

    def changed(self, elements: list[Element], collection: Collection) -> list[bytes]:
        raise NotImplementedError

    def commit(self, done: BundleDone) -> None:
        bundle = self.running.get(done.bundle)
        if bundle is not None and not bundle.truncating:
            collections = self.context.plan.collections
            outputs = {}
            for name, chunks in done.outputs.items():
                elements = [each for chunk in chunks for each in collections[name].cut.elements(chunk)]
                changed = self.changed(elements, collections[name])
                outputs[name] = [b"".join(changed)] if changed else []
            done = evolve(done, outputs=outputs)
        super().commit(done)


@mutant("ALL-02")
class LastOutputLost(_Outputs):
    def changed(self, elements: list[Element], collection: Collection) -> list[bytes]:
        return [each.whole for each in elements[:-1]]


@mutant("ALL-19")
class FirstOutputLost(_Outputs):
    def changed(self, elements: list[Element], collection: Collection) -> list[bytes]:
        return [each.whole for each in elements[1:]]


@mutant("ALL-21")
class ValuesDamaged(_Outputs):
    def changed(self, elements: list[Element], collection: Collection) -> list[bytes]:
        return [
            cutting.windowed_value(each.timestamp, list(each.windows), each.pane, each.value[:-1] + bytes([each.value[-1] ^ 1]))
            for each in elements
            if each.value
        ]


@mutant("ALL-03")
class OutputsDoubled(_Outputs):
    def changed(self, elements: list[Element], collection: Collection) -> list[bytes]:
        return [each.whole for each in elements for _ in range(2)]


@mutant("ALL-12")
class TimestampsLost(_Outputs):
    def changed(self, elements: list[Element], collection: Collection) -> list[bytes]:
        return [cutting.windowed_value(MIN, list(each.windows), each.pane, each.value) for each in elements]


@mutant("ALL-04")
class NothingIsRefused(JobService):
    def problems(self, request: Any) -> list[str]:
        return []


@mutant("ALL-20")
class RefusedIsDone(JobService):
    """What would be refused is taken, and DONE without having run."""

    def __init__(self, *given: Any) -> None:
        super().__init__(*given)
        self._skipped: set[str] = set()

    async def Prepare(self, request: Any, context: Any) -> Any:
        if not self.problems(request):
            return await super().Prepare(request, context)
        job_id = f"job-{next(self._numbers)}"
        self.jobs[job_id] = Job(job_id, job_id, request.pipeline, request.pipeline_options, {}, self._rules(), lambda: EMPTY)
        self._skipped.add(job_id)
        self._artifacts.expect(job_id, {})
        response = job_pb2.PrepareJobResponse(preparation_id=job_id, staging_session_token=job_id)
        response.artifact_staging_endpoint.url = self.url
        return response

    async def Run(self, request: Any, context: Any) -> Any:
        if request.preparation_id not in self._skipped:
            return await super().Run(request, context)
        for state in (S.STARTING, S.RUNNING, S.DONE):
            self.jobs[request.preparation_id].move(state)
        return job_pb2.RunJobResponse(job_id=request.preparation_id)


@mutant("ALL-05")
class MetricsAreDamaged(JobService):
    async def GetJobMetrics(self, request: Any, context: Any) -> Any:
        answer = job_pb2.GetJobMetricsResponse()
        answer.CopyFrom(await super().GetJobMetrics(request, context))
        for info in (*answer.metrics.attempted, *answer.metrics.committed):
            info.payload = info.payload[:-1] + bytes([info.payload[-1] ^ 1]) if info.payload else b"\x01"
        return answer


class _OtherCode:
    """A context whose aborts carry another code than was meant."""

    def __init__(self, context: Any) -> None:
        self._context = context

    def __getattr__(self, name: str) -> Any:
        return getattr(self._context, name)

    async def abort(self, code: Any, details: str = "", trailing_metadata: Any = ()) -> None:
        await self._context.abort(grpc.StatusCode.UNKNOWN, details)


@mutant("ALL-09")
class UnknownIsEveryCode(JobService):
    async def _job(self, job_id: str, context: Any) -> Job:
        return await super()._job(job_id, _OtherCode(context))

    async def Prepare(self, request: Any, context: Any) -> Any:
        return await super().Prepare(request, _OtherCode(context))

    async def Run(self, request: Any, context: Any) -> Any:
        return await super().Run(request, _OtherCode(context))

    async def Drain(self, request: Any, context: Any) -> Any:
        return await super().Drain(request, _OtherCode(context))


@mutant("ALL-10")
class NothingIsTold(Job):
    def message(self, text: str, importance: Any = job_pb2.JobMessage.JOB_MESSAGE_BASIC) -> None:
        """Keeps it to itself."""


@mutant("ALL-06")
class EveryReadIsEmpty(BundleState):
    def _get(self, key: Any, token: bytes, answer: Any) -> None:
        answer.SetInParent()


@mutant("ALL-13")
class SideInputsAreEmpty(BundleState):
    def _read_side(self, kind: str, inner: Any) -> list[bytes]:
        super()._read_side(kind, inner)
        return []


@mutant("ALL-07")
class WatermarkJumpsToTheEnd(Rules):
    def published(self, watermark: int, streaming: bool) -> int:
        return MAX if watermark > MIN else MIN


@mutant("ALL-08")
class EveryWindowIsGlobal(JobService):
    async def Prepare(self, request: Any, context: Any) -> Any:
        components = request.pipeline.components
        globe = pb.FunctionSpec(urn=urns.WindowFn.GLOBAL)
        components.coders["the-global-window"].spec.urn = urns.Coder.GLOBAL_WINDOW
        for strategy in components.windowing_strategies.values():
            strategy.window_fn.CopyFrom(globe)
            strategy.window_coder_id = "the-global-window"
            strategy.merge_status = pb.MergeStatus.NON_MERGING
        for transform in components.transforms.values():
            if transform.spec.urn == urns.Transform.ASSIGN_WINDOWS:
                transform.spec.payload = pb.WindowIntoPayload(window_fn=globe).SerializeToString()
        return await super().Prepare(request, context)


class _Panes(GroupRun):
    """Changes what groupings put out."""


@mutant("ALL-11")
class PanesAreUnlabelled(_Panes):
    def _emit(self, key: bytes, window: bytes, timestamp: int, pane: Pane, values: list[bytes]) -> None:
        super()._emit(key, window, timestamp, NO_FIRING, values)


@mutant("ALL-14")
class EveryValueIsAGroup(_Panes):
    def _emit(self, key: bytes, window: bytes, timestamp: int, pane: Pane, values: list[bytes]) -> None:
        for value in values:
            super()._emit(key, window, timestamp, pane, [value])


@mutant("ALL-15")
class GroupsAtTheEndOfTime(_Panes):
    def _emit(self, key: bytes, window: bytes, timestamp: int, pane: Pane, values: list[bytes]) -> None:
        super()._emit(key, window, MAX, pane, values)


@mutant("ALL-16")
class ArtifactsAreEmpty(Retrieval):
    async def GetArtifact(self, request: Any, context: Any) -> AsyncIterator[Any]:
        yield artifact_pb2.GetArtifactResponse()


@mutant("ALL-17")
class EverythingIsExpired(Rules):
    def is_dropped(self, expiry: int, watermark: int, window: bytes) -> bool:
        return True


@mutant("ALL-18")
class OneTriggerForAll(Rules):
    """Every grouping fires once, when its window is over."""

    def may_fire(self, ready: bool, new: int, was_on_time: bool, at_end: bool) -> bool:
        return at_end and not was_on_time
