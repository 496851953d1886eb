"""Jobs: what clients see of one (`Job`), and the Job service.

A Job keeps its whole history of states and messages, so that every subscriber gets all of it, however late (P-JOB-03,
P-JOB-04). How a job runs is `driver`'s.
"""

from __future__ import annotations

import asyncio
import functools
import itertools
import time
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any

import grpc

from conformance.runner import environments, graph, validate
from conformance.runner.artifacts import ArtifactStore
from conformance.runner.driver import Driver
from conformance.runner.fnapi import FnApi
from conformance.runner.options import DESCRIPTORS, Options
from conformance.runner.plan import Plan
from conformance.runner.rules import Rules
from conformance.wire import urns
from conformance.wire.api import google_pb2, job_pb2
from conformance.wire.api import pipeline_pb2 as pb

__all__ = ["TERMINAL", "Job", "JobService"]

S = job_pb2.JobState
#: States that a job only passes through, and that nothing else tells of.
PASSING = {S.STARTING}
TERMINAL = {S.DONE, S.FAILED, S.CANCELLED, S.DRAINED, S.UPDATED}
#: Messages below WARNING are kept up to this number, so that a chatty worker does not fill the runner's memory.
KEPT_MESSAGES = 20_000
#: Finished jobs that clients may still ask about (P-JOB-10).
KEPT_JOBS = 100


class Job:
    """One job: identity, history, and the driver once it runs."""

    def __init__(
        self,
        job_id: str,
        name: str,
        pipeline: Any,
        options: Any,
        environments: Mapping[str, Any],
        rules: Rules,
        make_plan: Callable[[], Plan],
    ) -> None:
        self.id = job_id
        self.name = name
        self.pipeline = pipeline
        self.options = options
        #: Those of the pipeline as they were resolved; the plan tells which of them are needed.
        self.environments = environments
        self.rules = rules
        self._make_plan = make_plan
        self._plan: Plan | None = None
        self.driver: Driver | None = None
        #: JobMessagesResponse in order: states and messages.
        self.history: list[Any] = []
        self._changed = asyncio.Event()
        self._messages = itertools.count(1)
        self._chatter = 0
        self.state: Any = S.UNSPECIFIED
        self.move(S.STOPPED)

    @property
    def plan(self) -> Plan:
        """How the pipeline runs; made when first asked for."""
        if self._plan is None:
            self._plan = self._make_plan()
        return self._plan

    @plan.setter
    def plan(self, plan: Plan) -> None:
        self._plan = plan

    def move(self, state: Any) -> None:
        """The next state; a terminal one is final (P-JOB-06)."""
        if self.state in TERMINAL or self.state == state:
            return
        if state in PASSING and not self.rules.tells_passing_states():
            return
        self.state = state
        event = job_pb2.JobMessagesResponse()
        event.state_response.state = state
        event.state_response.timestamp.CopyFrom(_now())
        self._publish(event)

    def message(self, text: str, importance: Any = job_pb2.JobMessage.JOB_MESSAGE_BASIC) -> None:
        """A message for the message stream; none after the terminal state (P-JOB-04)."""
        if self.state in TERMINAL:
            return
        if importance < job_pb2.JobMessage.JOB_MESSAGE_WARNING:
            self._chatter += 1
            if self._chatter > KEPT_MESSAGES:
                return
        event = job_pb2.JobMessagesResponse()
        event.message_response.message_id = f"{self.id}-{next(self._messages)}"
        event.message_response.time = _now().ToJsonString()
        event.message_response.importance = importance
        event.message_response.message_text = text
        self._publish(event)

    def _publish(self, event: Any) -> None:
        self.history.append(event)
        self._changed.set()
        self._changed = asyncio.Event()

    async def events(self) -> AsyncIterator[Any]:
        """The history from its beginning, and what comes, up to the terminal state."""
        at = 0
        while True:
            while at < len(self.history):
                event = self.history[at]
                at += 1
                yield event
                if event.WhichOneof("response") == "state_response" and event.state_response.state in TERMINAL:
                    return
            await self._changed.wait()

    def info(self) -> Any:
        """The JobInfo of GetJobs."""
        return job_pb2.JobInfo(job_id=self.id, job_name=self.name, pipeline_options=self.options, state=self.state)


def _now() -> Any:
    stamp = google_pb2.Timestamp()
    stamp.FromNanoseconds(time.time_ns())
    return stamp


class JobService:
    """The Job service. A preparation id is the job id (P-JOB-01)."""

    def __init__(
        self, fnapi: FnApi, artifacts: ArtifactStore, rules: Callable[[], Rules], default_environment: Any = None
    ) -> None:
        self._fnapi = fnapi
        self._artifacts = artifacts
        self._rules = rules
        self._default_environment = default_environment
        self.url = ""
        self.jobs: dict[str, Job] = {}
        self._numbers = itertools.count(1)
        self._getting_ready: set[asyncio.Task[None]] = set()

    async def _job(self, job_id: str, context: Any) -> Job:
        if job_id not in self.jobs:
            await context.abort(grpc.StatusCode.NOT_FOUND, f"no job {job_id!r}; GetJobs lists those that there are")
        return self.jobs[job_id]

    async def DescribePipelineOptions(self, request: Any, context: Any) -> Any:
        return job_pb2.DescribePipelineOptionsResponse(options=DESCRIPTORS)

    def problems(self, request: Any) -> list[str]:
        """Every reason to refuse what a client asks Prepare for (M-REJ-01)."""
        found = validate.problems(request.pipeline, self._default_environment)
        try:
            Options.read(request.pipeline_options)
        except ValueError as error:
            found.append(str(error))
        return found

    async def Prepare(self, request: Any, context: Any) -> Any:
        problems = self.problems(request)
        if problems:
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, validate.refusal(problems))
        job_id = f"job-{next(self._numbers)}"
        rules = self._rules()
        resolved = {
            name: environments.resolve(environment, self._default_environment, rules.environment_preference)
            for name, environment in request.pipeline.components.environments.items()
        }
        make_plan = functools.partial(graph.plan, request.pipeline, resolved, self.url, rules)
        job = rules.part(Job)(
            job_id, request.job_name or job_id, request.pipeline, request.pipeline_options, resolved, rules, make_plan
        )
        self.jobs[job_id] = job
        # While the answer is on its way and the client thinks about Run.
        self._getting_ready.add(task := asyncio.ensure_future(self._get_ready(job)))
        task.add_done_callback(self._getting_ready.discard)
        self._retire()
        self._artifacts.expect(job_id, request.pipeline.components.environments)
        response = job_pb2.PrepareJobResponse(preparation_id=job_id, staging_session_token=job_id)
        response.artifact_staging_endpoint.url = self.url
        return response

    async def _get_ready(self, job: Job) -> None:
        for environment in job.environments.values():
            if environment.urn == urns.Env.EXTERNAL:
                await self._fnapi.pools.warm(pb.ExternalPayload.FromString(environment.payload).endpoint.url)

    def _retire(self) -> None:
        """Forgets the oldest finished jobs beyond what is kept."""
        finished = [job_id for job_id, job in self.jobs.items() if job.state in TERMINAL]
        for job_id in finished[: max(0, len(finished) - KEPT_JOBS)]:
            del self.jobs[job_id]

    async def Run(self, request: Any, context: Any) -> Any:
        job = await self._job(request.preparation_id, context)
        missing = self._artifacts.missing(job.id) if job.driver is None else []
        if missing:
            await context.abort(
                grpc.StatusCode.FAILED_PRECONDITION,
                f"{len(missing)} artifact(s) were never staged: {', '.join(missing)}; stage them at artifact_staging_endpoint first",
            )
        if job.driver is None and job.state != S.STOPPED:
            await context.abort(grpc.StatusCode.FAILED_PRECONDITION, f"{job.id} was cancelled before it ran; prepare it again")
        if job.driver is None:
            job.driver = job.rules.part(Driver)(job, self._fnapi, self._artifacts, self.url, Options.read(job.options))
            job.driver.start()
        return job_pb2.RunJobResponse(job_id=job.id)

    async def GetJobs(self, request: Any, context: Any) -> Any:
        return job_pb2.GetJobsResponse(job_info=[job.info() for job in self.jobs.values()])

    async def GetState(self, request: Any, context: Any) -> Any:
        job = await self._job(request.job_id, context)
        last = next(each for each in reversed(job.history) if each.WhichOneof("response") == "state_response")
        return last.state_response

    async def GetPipeline(self, request: Any, context: Any) -> Any:
        job = await self._job(request.job_id, context)
        return job_pb2.GetJobPipelineResponse(pipeline=job.pipeline)

    async def GetStateStream(self, request: Any, context: Any) -> AsyncIterator[Any]:
        job = await self._job(request.job_id, context)
        async for event in job.events():
            if event.WhichOneof("response") == "state_response":
                yield event.state_response

    async def GetMessageStream(self, request: Any, context: Any) -> AsyncIterator[Any]:
        job = await self._job(request.job_id, context)
        async for event in job.events():
            yield event

    async def GetJobMetrics(self, request: Any, context: Any) -> Any:
        job = await self._job(request.job_id, context)
        response = job_pb2.GetJobMetricsResponse()
        if job.driver is None:
            response.metrics.SetInParent()
        else:
            attempted, committed = await job.driver.metrics()
            response.metrics.attempted.extend(attempted)
            if job.rules.offers_committed():
                response.metrics.committed.extend(committed)
        return response

    async def Cancel(self, request: Any, context: Any) -> Any:
        job = await self._job(request.job_id, context)
        if job.state not in TERMINAL:
            if job.driver is None:
                job.move(S.CANCELLED)
            else:
                job.driver.cancel()
        return job_pb2.CancelJobResponse(state=job.state)

    async def Drain(self, request: Any, context: Any) -> Any:
        job = await self._job(request.job_id, context)
        if job.driver is None and job.state not in TERMINAL:
            text = f"{job.id} does not run yet, so there is nothing to drain; run it, or cancel it"
            await context.abort(grpc.StatusCode.FAILED_PRECONDITION, text)
        if job.driver is not None and job.state == S.RUNNING:
            job.driver.drain()
        return job_pb2.DrainJobResponse(state=job.state)

    async def close(self) -> None:
        """Cancels what runs and waits for it."""
        for job in self.jobs.values():
            if job.driver is not None and job.state not in TERMINAL:
                job.driver.cancel()
        await asyncio.gather(*(job.driver.ended() for job in self.jobs.values() if job.driver is not None))
        await self._fnapi.pools.close()
