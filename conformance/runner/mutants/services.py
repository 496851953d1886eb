"""Faults of the job, artifact and provision services."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from typing import Any

import grpc

from conformance.runner.artifacts import ArtifactStore, ArtifactWriter, Retrieval, Staging
from conformance.runner.driver import Driver
from conformance.runner.jobs import TERMINAL, Job, JobService
from conformance.runner.mutants.registry import mutant
from conformance.runner.provision import Provision
from conformance.runner.validate import REQUIREMENTS
from conformance.wire import urns
from conformance.wire.api import artifact_pb2, job_pb2, provision_pb2
from conformance.wire.api import pipeline_pb2 as pb

S = job_pb2.JobState
ERROR = job_pb2.JobMessage.JOB_MESSAGE_ERROR


async def _refuse(context: Any, why: str) -> None:
    await context.abort(grpc.StatusCode.INVALID_ARGUMENT, why)


@mutant("JOB-01")
class StreamsNeverEnd(Job):
    async def events(self) -> AsyncIterator[Any]:
        async for event in super().events():
            yield event
        await asyncio.Event().wait()


@mutant("JOB-50")
class TerminalStateUntold(Job):
    async def events(self) -> AsyncIterator[Any]:
        async for event in super().events():
            if event.WhichOneof("response") != "state_response" or event.state_response.state not in TERMINAL:
                yield event


@mutant("JOB-03")
class NoHistory(Job):
    async def events(self) -> AsyncIterator[Any]:
        known = len(self.history) if self.state in TERMINAL else 0
        async for event in super().events():
            if known:
                known -= 1
            else:
                yield event


@mutant("JOB-04")
class CancelledIsDone(Job):
    def move(self, state: Any) -> None:
        super().move(S.DONE if state == S.CANCELLED else state)


@mutant("JOB-06")
class FailedIsDone(Job):
    def move(self, state: Any) -> None:
        super().move(S.DONE if state == S.FAILED else state)


@mutant("JOB-51")
class DoneBeforeFailed(Job):
    """A job that fails is DONE before."""

    def move(self, state: Any) -> None:
        super().move(S.DONE if state == S.FAILED else state)
        if state == S.FAILED:
            self.state = S.RUNNING
            super().move(state)


@mutant("JOB-52")
class GoesBack(Job):
    def move(self, state: Any) -> None:
        super().move(state)
        if state == S.RUNNING:
            super().move(S.STARTING)
            super().move(S.RUNNING)


@mutant("JOB-07")
class ErrorTextLost(Job):
    def message(self, text: str, importance: Any = job_pb2.JobMessage.JOB_MESSAGE_BASIC) -> None:
        if importance < job_pb2.JobMessage.JOB_MESSAGE_WARNING:
            super().message(text, importance)
        else:
            super().message("unknown error", importance)


@mutant("JOB-53")
class ErrorIsNoError(Job):
    def message(self, text: str, importance: Any = job_pb2.JobMessage.JOB_MESSAGE_BASIC) -> None:
        super().message(text, job_pb2.JobMessage.JOB_MESSAGE_BASIC)


@mutant("JOB-54")
class TalksOn(JobService):
    async def GetMessageStream(self, request: Any, context: Any) -> AsyncIterator[Any]:
        async for event in super().GetMessageStream(request, context):
            yield event
        last = job_pb2.JobMessagesResponse()
        last.message_response.message_text = "the job is over"
        last.message_response.importance = job_pb2.JobMessage.JOB_MESSAGE_BASIC
        yield last


@mutant("JOB-55")
class CancelOverrides(JobService):
    async def Cancel(self, request: Any, context: Any) -> Any:
        job = await self._job(request.job_id, context)
        if job.state in TERMINAL:
            job.state = S.RUNNING
            job.move(S.CANCELLED)
        return await super().Cancel(request, context)


@mutant("JOB-56")
class CodersForgotten(JobService):
    async def GetPipeline(self, request: Any, context: Any) -> Any:
        answer = await super().GetPipeline(request, context)
        copy = type(answer)()
        copy.CopyFrom(answer)
        copy.pipeline.components.coders.clear()
        return copy


@mutant("JOB-57")
class UnknownFieldsDropped(JobService):
    async def GetPipeline(self, request: Any, context: Any) -> Any:
        answer = await super().GetPipeline(request, context)
        copy = type(answer)()
        copy.CopyFrom(answer)
        copy.DiscardUnknownFields()
        return copy


@mutant("JOB-58")
class FinishedAreUnlisted(JobService):
    async def GetJobs(self, request: Any, context: Any) -> Any:
        return job_pb2.GetJobsResponse(job_info=[job.info() for job in self.jobs.values() if job.state not in TERMINAL])


@mutant("JOB-59")
class NoMetricsOfTheFinished(JobService):
    async def GetJobMetrics(self, request: Any, context: Any) -> Any:
        job = await self._job(request.job_id, context)
        if job.state in TERMINAL:
            await context.abort(grpc.StatusCode.INTERNAL, "the job is not running")
        return await super().GetJobMetrics(request, context)


@mutant("JOB-73")
class NoMetricsOfTheRunning(JobService):
    async def GetJobMetrics(self, request: Any, context: Any) -> Any:
        job = await self._job(request.job_id, context)
        if job.state not in TERMINAL:
            await context.abort(grpc.StatusCode.FAILED_PRECONDITION, "the job is still running")
        return await super().GetJobMetrics(request, context)


@mutant("JOB-60")
class NamelessOptions(JobService):
    async def DescribePipelineOptions(self, request: Any, context: Any) -> Any:
        answer = await super().DescribePipelineOptions(request, context)
        copy = type(answer)()
        copy.CopyFrom(answer)
        for option in copy.options:
            option.name = ""
        return copy


@mutant("JOB-61")
class CancelSpreads(JobService):
    async def Cancel(self, request: Any, context: Any) -> Any:
        for job in self.jobs.values():
            if job.driver is not None and job.state not in TERMINAL:
                job.driver.cancel()
        return await super().Cancel(request, context)


@mutant("JOB-62")
class UnknownJobIsStopped(JobService):
    async def GetState(self, request: Any, context: Any) -> Any:
        if request.job_id not in self.jobs:
            return job_pb2.JobStateEvent(state=S.STOPPED)
        return await super().GetState(request, context)


@mutant("JOB-63")
class PreparationsShareIds(JobService):
    async def Prepare(self, request: Any, context: Any) -> Any:
        self._numbers = iter([1])  # type: ignore[assignment]
        return await super().Prepare(request, context)


@mutant("JOB-64")
class DrainedIsCancelled(Job):
    def move(self, state: Any) -> None:
        super().move(S.CANCELLED if state == S.DRAINED else state)


@mutant("JOB-65")
class StateBeforeRunIsRunning(JobService):
    async def GetState(self, request: Any, context: Any) -> Any:
        answer = await super().GetState(request, context)
        return job_pb2.JobStateEvent(state=S.RUNNING, timestamp=answer.timestamp)


@mutant("JOB-66")
class CancelledWorksOn(Driver):
    def cancel(self) -> None:
        """The job says that it is cancelled, and goes on."""
        if not self._engine.finished:
            self._job.move(S.CANCELLING)
            self._job.move(S.CANCELLED)


@mutant("JOB-67")
class CancelUnheard(Driver):
    def cancel(self) -> None:
        """Goes on as if nothing had been asked."""


@mutant("JOB-15")
class HintsAreRefused(JobService):
    async def Prepare(self, request: Any, context: Any) -> Any:
        pipeline = request.pipeline
        things = [*pipeline.components.environments.values(), *pipeline.components.transforms.values(), pipeline]
        if any(each.display_data for each in things) or any(
            each.resource_hints for each in pipeline.components.environments.values()
        ):
            await _refuse(context, "resource hints and display data are not supported")
        return await super().Prepare(request, context)


@mutant("JOB-16")
class RequirementsAccepted(JobService):
    async def Prepare(self, request: Any, context: Any) -> Any:
        known = [each for each in request.pipeline.requirements if each in REQUIREMENTS]
        del request.pipeline.requirements[:]
        request.pipeline.requirements.extend(known)
        return await super().Prepare(request, context)


_STANDARD = {urns.WindowFn.GLOBAL, urns.WindowFn.FIXED, urns.WindowFn.SLIDING, urns.WindowFn.SESSION}


@mutant("JOB-18")
class CustomWindowsAreGlobal(JobService):
    async def Prepare(self, request: Any, context: Any) -> Any:
        components = request.pipeline.components
        globe = pb.FunctionSpec(urn=urns.WindowFn.GLOBAL)
        for strategy in components.windowing_strategies.values():
            if strategy.window_fn.urn not in _STANDARD:
                components.coders["global"].spec.urn = urns.Coder.GLOBAL_WINDOW
                strategy.window_fn.CopyFrom(globe)
                strategy.window_coder_id = "global"
                strategy.merge_status = pb.MergeStatus.NON_MERGING
        for transform in components.transforms.values():
            if transform.spec.urn == urns.Transform.ASSIGN_WINDOWS:
                payload = pb.WindowIntoPayload.FromString(transform.spec.payload)
                if payload.window_fn.urn not in _STANDARD:
                    payload.window_fn.CopyFrom(globe)
                    transform.spec.payload = payload.SerializeToString()
        return await super().Prepare(request, context)


@mutant("CMB-13")
class EmptyFlattenRefused(JobService):
    async def Prepare(self, request: Any, context: Any) -> Any:
        for transform in request.pipeline.components.transforms.values():
            if transform.spec.urn == urns.Transform.FLATTEN and not transform.inputs:
                await _refuse(context, f"{transform.spec.urn} without inputs is not supported")
        return await super().Prepare(request, context)


@mutant("CMB-21")
class UnknownCompositeRefused(JobService):
    async def Prepare(self, request: Any, context: Any) -> Any:
        for transform in request.pipeline.components.transforms.values():
            if transform.subtransforms and transform.spec.urn and not transform.spec.urn.startswith("beam:"):
                await _refuse(context, f"transform {transform.spec.urn} is not supported")
        return await super().Prepare(request, context)


@mutant("JOB-68")
class ReadRefused(JobService):
    async def Prepare(self, request: Any, context: Any) -> Any:
        if any(each.is_bounded == pb.IsBounded.UNBOUNDED for each in request.pipeline.components.pcollections.values()):
            await _refuse(context, "unbounded PCollections are not supported")
        return await super().Prepare(request, context)


@mutant("JOB-70")
class StateStaysRunning(JobService):
    async def GetState(self, request: Any, context: Any) -> Any:
        answer = await super().GetState(request, context)
        return job_pb2.JobStateEvent(state=S.RUNNING, timestamp=answer.timestamp) if answer.state in TERMINAL else answer


@mutant("JOB-71")
class DrainsUnasked(Job):
    def move(self, state: Any) -> None:
        if state == S.DONE:
            super().move(S.DRAINING)
        super().move(state)


@mutant("JOB-72")
class DoneIsFailed(Job):
    def move(self, state: Any) -> None:
        super().move(S.FAILED if state == S.DONE else state)


@mutant("JOB-74")
class MessagesWithoutStates(JobService):
    async def GetMessageStream(self, request: Any, context: Any) -> AsyncIterator[Any]:
        async for event in super().GetMessageStream(request, context):
            if event.WhichOneof("response") != "state_response":
                yield event


@mutant("JOB-75")
class LateMessagesNeverEnd(JobService):
    async def GetMessageStream(self, request: Any, context: Any) -> AsyncIterator[Any]:
        late = (await self._job(request.job_id, context)).state in TERMINAL
        async for event in super().GetMessageStream(request, context):
            yield event
        if late:
            await asyncio.Event().wait()


@mutant("JOB-76")
class FinishedAreForgotten(JobService):
    """As soon as another job is prepared."""

    def _retire(self) -> None:
        self.jobs = {job_id: job for job_id, job in self.jobs.items() if job.state not in TERMINAL}


@mutant("JOB-77")
class AnythingRuns(JobService):
    async def Run(self, request: Any, context: Any) -> Any:
        if request.preparation_id not in self.jobs:
            return job_pb2.RunJobResponse(job_id=request.preparation_id)
        return await super().Run(request, context)


@mutant("JOB-78")
class NoStateBeforeRun(Job):
    async def events(self) -> AsyncIterator[Any]:
        async for event in super().events():
            if event.WhichOneof("response") != "state_response" or event.state_response.state != S.STOPPED:
                yield event


# ---- artifacts


@mutant("ART-69")
class MoreIsAskedFor(ArtifactStore):
    """Each environment has an artifact that it does not list."""

    def expect(self, job_id: str, of: Mapping[str, Any]) -> None:
        more = {}
        for name, environment in of.items():
            copy = more[name] = pb.Environment()
            copy.CopyFrom(environment)
            payload = pb.EmbeddedFilePayload(data=b"nobody listed this").SerializeToString()
            copy.dependencies.add(type_urn=urns.Artifact.EMBEDDED, type_payload=payload)
        super().expect(job_id, more)


@mutant("JOB-09")
class FirstEnvironmentOnly(ArtifactStore):
    def expect(self, job_id: str, of: Mapping[str, Any]) -> None:
        first = sorted(of)[:1]
        super().expect(job_id, {name: of[name] for name in first})


@mutant("JOB-10")
class NamesCollide(ArtifactStore):
    def writer(self, name: str) -> ArtifactWriter:
        job, _, rest = name.partition("/")
        return super().writer(f"{job}/{rest.partition('/')[2]}")


@mutant("JOB-12")
class PathsAreLocal(ArtifactStore):
    """Workers are told of paths on the disk of the job server, and cannot fetch what is there."""

    def path(self, artifact: Any) -> Any:
        return None


@mutant("ART-50")
class FirstChunkOnly(Retrieval):
    async def GetArtifact(self, request: Any, context: Any) -> AsyncIterator[Any]:
        async for chunk in super().GetArtifact(request, context):
            yield chunk
            return


@mutant("ART-51")
class OneLargeChunk(Retrieval):
    async def GetArtifact(self, request: Any, context: Any) -> AsyncIterator[Any]:
        data = b"".join([chunk.data async for chunk in super().GetArtifact(request, context)])
        yield artifact_pb2.GetArtifactResponse(data=data)


@mutant("ART-52")
class NothingResolved(Retrieval):
    async def ResolveArtifacts(self, request: Any, context: Any) -> Any:
        return artifact_pb2.ResolveArtifactsResponse()


@mutant("ART-53")
class ChunksSwapped(Retrieval):
    async def GetArtifact(self, request: Any, context: Any) -> AsyncIterator[Any]:
        for chunk in reversed([chunk async for chunk in super().GetArtifact(request, context)]):
            yield chunk


@mutant("ART-54")
class AnythingIsAnArtifact(Retrieval):
    async def GetArtifact(self, request: Any, context: Any) -> AsyncIterator[Any]:
        known = request.artifact.type_urn == urns.Artifact.EMBEDDED or self._store.path(request.artifact) is not None
        if not known:
            yield artifact_pb2.GetArtifactResponse()
            return
        async for chunk in super().GetArtifact(request, context):
            yield chunk


@mutant("ART-55")
class AnyTokenWillDo(Staging):
    async def ReverseArtifactRetrievalService(self, responses: Any, context: Any) -> None:
        if not self._store.sessions:
            return
        token = (await responses.__aiter__().__anext__()).staging_token
        if token not in self._store.sessions:
            return

        async def again() -> Any:
            yield artifact_pb2.ArtifactResponseWrapper(staging_token=token)
            async for response in responses:
                yield response

        await super().ReverseArtifactRetrievalService(again(), context)


@mutant("ART-65")
class NoTokenWillDo(Staging):
    async def ReverseArtifactRetrievalService(self, responses: Any, context: Any) -> None:
        await _refuse(context, "no such staging token")


@mutant("ART-66")
class DependenciesOfAll(ArtifactStore):
    def staged(self, job_id: str, environment_id: str, chosen: Any) -> list[Any]:
        session = self.sessions[job_id]
        return [artifact for _, artifacts in sorted(session.staged.items()) for artifact in artifacts]


# ---- provision


class _Told(Provision):
    """Changes what a worker is told."""

    def changed(self, info: Any) -> None:
        raise NotImplementedError

    async def GetProvisionInfo(self, request: Any, context: Any) -> Any:
        answer = provision_pb2.GetProvisionInfoResponse()
        answer.CopyFrom(await super().GetProvisionInfo(request, context))
        self.changed(answer.info)
        return answer


@mutant("ART-56")
class DependenciesReversed(_Told):
    def changed(self, info: Any) -> None:
        turned = list(reversed(info.dependencies))
        del info.dependencies[:]
        info.dependencies.extend(turned)


@mutant("ART-57")
class RolesLost(_Told):
    def changed(self, info: Any) -> None:
        for each in info.dependencies:
            each.role_urn, each.role_payload = "", b""


@mutant("ART-58")
class HashesWrong(_Told):
    def changed(self, info: Any) -> None:
        for each in info.dependencies:
            payload = pb.ArtifactFilePayload.FromString(each.type_payload)
            payload.sha256 = "0" * 64
            each.type_payload = payload.SerializeToString()


@mutant("ART-59")
class OptionsLost(_Told):
    def changed(self, info: Any) -> None:
        info.pipeline_options.Clear()


@mutant("ART-61")
class CapabilitiesTwice(_Told):
    def changed(self, info: Any) -> None:
        info.runner_capabilities.extend(list(info.runner_capabilities))


@mutant("ART-62")
class LegacyToken(_Told):
    def changed(self, info: Any) -> None:
        info.retrieval_token = "token"


@mutant("ART-63")
class NumbersBecomeText(_Told):
    def changed(self, info: Any) -> None:
        for value in info.pipeline_options.fields.values():
            if value.WhichOneof("kind") == "number_value":
                value.string_value = str(value.number_value)


@mutant("ART-64")
class CapabilitiesAreWords(_Told):
    def changed(self, info: Any) -> None:
        info.runner_capabilities.append("everything")


@mutant("ART-67")
class EndpointsWantCredentials(_Told):
    def changed(self, info: Any) -> None:
        for endpoint in (info.control_endpoint, info.logging_endpoint, info.artifact_endpoint):
            endpoint.authentication.urn = "beam:authentication:oauth2_client_credentials_grant:v1"


@mutant("ART-68")
class SiblingsUnasked(_Told):
    def changed(self, info: Any) -> None:
        info.sibling_worker_ids.append("another-worker")
