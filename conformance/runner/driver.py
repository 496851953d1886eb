"""Runs one job: carries events into the engine and its commands out. The only place where engine and IO meet.

Everything happens on the server's event loop, and the engine is called between awaits only. What has to do with workers is
`crew`'s, with bundles in flight `bundles`', with metrics `measures`'.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from conformance.runner import inquiries
from conformance.runner.artifacts import ArtifactStore
from conformance.runner.bundles import GRACE, Bundles, defect
from conformance.runner.crew import Crew
from conformance.runner.engine import Engine
from conformance.runner.engine_events import (
    CancelRequested,
    Command,
    DrainRequested,
    Event,
    Finalize,
    JobCancelled,
    JobDone,
    JobDrained,
    JobFailed,
    RunBundle,
    Split,
    Started,
    Tick,
    WakeAt,
)
from conformance.runner.expand import environments_of
from conformance.runner.fnapi import FnApi
from conformance.runner.measures import PROGRESS_WAIT, Measures
from conformance.runner.options import Options
from conformance.runner.plan import Plan, ScriptNode
from conformance.runner.served import ServedScripts
from conformance.wire.api import job_pb2

if TYPE_CHECKING:
    from conformance.runner.jobs import Job

__all__ = ["Driver"]

S = job_pb2.JobState
NOTHING: Final = Plan((), {}, {}, {})

#: LogEntry severity → JobMessage importance. A worker's ERROR is a warning here: ERROR is kept for why a job failed.
_IMPORTANCE = {
    0: job_pb2.JobMessage.JOB_MESSAGE_BASIC,
    1: job_pb2.JobMessage.JOB_MESSAGE_DEBUG,
    2: job_pb2.JobMessage.JOB_MESSAGE_DEBUG,
    3: job_pb2.JobMessage.JOB_MESSAGE_DETAILED,
    4: job_pb2.JobMessage.JOB_MESSAGE_BASIC,
    5: job_pb2.JobMessage.JOB_MESSAGE_WARNING,
    6: job_pb2.JobMessage.JOB_MESSAGE_WARNING,
    7: job_pb2.JobMessage.JOB_MESSAGE_WARNING,
}


class Driver:
    """One running job. `start` asks for workers; the plan is made, and the engine begins, while they come."""

    _engine: Engine
    _bundles: Bundles
    _served: ServedScripts

    def __init__(self, job: Job, fnapi: FnApi, artifacts: ArtifactStore, url: str, options: Options) -> None:
        self._job = job
        self._artifacts = artifacts
        self._options = options
        self._crew = job.rules.part(Crew)(
            job, fnapi, artifacts, url, options, lambda bundle: self._engine.state(bundle), self._log
        )
        self._measures = job.rules.part(Measures)(job.rules)
        #: What was asked for before there was a plan; None once there is one.
        self._waiting: list[Callable[[], None]] | None = []
        self._beginning: asyncio.Task[None] | None = None
        self._ending: asyncio.Task[None] | None = None
        self._alarm: asyncio.TimerHandle | None = None
        self._stopped = asyncio.Event()
        self._completed = False

    # ---- life

    def start(self) -> None:
        """Begins: workers are started, the engine gets its first event."""
        self._job.move(S.STARTING)
        self._crew.start(environments_of(self._job.pipeline), self._fail)
        self._job.move(S.RUNNING)
        self._beginning = asyncio.ensure_future(self._begin())

    async def _begin(self) -> None:
        await self._crew.asked()
        broken = ""
        try:
            self._build(self._job.plan)
        except Exception as error:
            broken = defect(error)
            self._job.plan = NOTHING
            self._build(NOTHING)
        waiting, self._waiting = self._waiting or [], None
        if broken:
            self._fail(broken)
        else:
            self._dispatch(Started())
            self._served.start()
        for action in waiting:
            action()

    def _build(self, plan: Plan) -> None:
        job, part = self._job, self._job.rules.part
        page_bytes = job.rules.page_bytes(self._options.state_page_bytes)
        self._engine = part(Engine)(plan, job.rules, page_bytes=page_bytes)
        slow = self._options.slow_bundle_seconds
        self._bundles = part(Bundles)(job, self._engine, self._crew, self._measures, self._dispatch, slow)
        scripts = [node for node in plan.nodes if isinstance(node, ScriptNode)]
        self._served = ServedScripts(scripts, self._dispatch, self._fail)
        self._crew.equip(plan, self._fail)

    def _too_early(self, action: Callable[[], None]) -> bool:
        """Whether there is no plan yet; `action` comes behind it then."""
        if self._waiting is None:
            return False
        self._waiting.append(action)
        return True

    def _fail(self, reason: str) -> None:
        if not self._too_early(lambda: self._fail(reason)) and not self._engine.finished:
            self._engine.finished = True
            self._finish(JobFailed(reason))

    def cancel(self) -> None:
        """Stops the job: no answer of a running bundle counts any more (P-JOB-08). One that is through stays so."""
        if self._too_early(self.cancel):
            self._job.move(S.CANCELLING)
            return
        if self._engine.finished:
            if self._completed:
                self._job.move(S.DONE)
            return
        self._job.move(S.CANCELLING)
        self._dispatch(CancelRequested())

    def drain(self) -> None:
        """Stops the sources and lets the rest be finished (P-JOB-09)."""
        if self._too_early(self.drain) or self._engine.finished:
            return
        self._job.move(S.DRAINING)
        self._dispatch(DrainRequested())

    async def ended(self) -> None:
        """Waits until workers are stopped and streams closed."""
        await self._stopped.wait()

    async def metrics(self) -> tuple[list[Any], list[Any]]:
        """Attempted and committed."""
        if self._waiting is not None or self._engine.finished:
            await self._measures.named()
            return await self._measures.read({}, [])
        return await self._measures.read(self._bundles.workers, self._crew.workers)

    def _log(self, entry: Any) -> None:
        where = f"{entry.log_location}: " if entry.log_location else ""
        trace = f"\n{entry.trace}" if entry.trace else ""
        self._job.message(f"{where}{entry.message}{trace}", _IMPORTANCE.get(entry.severity, _IMPORTANCE[0]))

    # ---- engine

    def _now(self) -> int:
        return time.time_ns() // 1_000_000

    def _dispatch(self, event: Event) -> None:
        try:
            commands = self._engine.handle(event, self._now())
        except Exception as error:
            self._engine.finished = True
            commands = [JobFailed(defect(error))]
        for command in commands:
            self._execute(command)

    def _execute(self, command: Command) -> None:
        if isinstance(command, RunBundle):
            self._bundles.start(command)
        elif isinstance(command, Split):
            self._bundles.checkpoint(command.bundle)
        elif isinstance(command, Finalize):
            self._bundles.finalize(command.bundle)
        elif isinstance(command, WakeAt):
            if self._alarm is not None:
                self._alarm.cancel()
            delay = max(0.0, (command.at - self._now()) / 1000 + 0.0005)
            self._alarm = asyncio.get_running_loop().call_later(delay, self._dispatch, Tick())
        else:
            self._finish(command)

    # ---- the end

    def _finish(self, command: JobDone | JobDrained | JobFailed | JobCancelled) -> None:
        if self._alarm is not None:
            self._alarm.cancel()
        self._ending = asyncio.ensure_future(self._end(command))

    async def _end(self, command: JobDone | JobDrained | JobFailed | JobCancelled) -> None:
        """Says how the job ended, ends Control, then StopWorker, then whatever streams are left (P-CH-11, P-ENV-03)."""
        self._served.close()
        self._bundles.drop()
        self._completed = isinstance(command, JobDone | JobDrained)
        last = S.DRAINED if isinstance(command, JobDrained) else S.DONE
        self._measures.name()
        if self._completed:
            await self._bundles.settle()
        elif self._measures.naming and not isinstance(command, JobCancelled):
            await asyncio.wait(set(self._measures.naming), timeout=PROGRESS_WAIT)
        self._bundles.close()
        if self._options.sample_data and not isinstance(command, JobCancelled):
            await self._sample()
        self._tell_dropped()
        if isinstance(command, JobFailed):
            self._measures.fail_all()
            self._job.message(command.reason, job_pb2.JobMessage.JOB_MESSAGE_ERROR)
            self._job.move(S.FAILED)
        elif isinstance(command, JobCancelled):
            self._job.move(S.CANCELLED)
        self._measures.forget()
        if self._completed:
            self._job.move(last)
            await self._measures.named()  # to whoever listens it is DONE already; GetJobMetrics waits for the same
        for task in set(self._measures.naming):
            task.cancel()
        await self._crew.stop(GRACE)
        await self._crew.release(GRACE)
        self._forget()
        self._stopped.set()

    def _tell_dropped(self) -> None:
        """What a pipeline lost by its own windowing is hard to find otherwise: no metric of any SDK has it."""
        for node, count in self._engine.dropped().items():
            what = "1 element was" if count == 1 else f"{count} elements were"
            text = f"{node}: {what} dropped, come when their window was over or closed; see allowed lateness and trigger"
            self._job.message(text, job_pb2.JobMessage.JOB_MESSAGE_DETAILED)

    async def _sample(self) -> None:
        """Shows samples of what went through the PCollections of the pipeline."""
        collections = self._job.pipeline.components.pcollections
        asked = (inquiries.samples(worker, collections, PROGRESS_WAIT) for worker in self._crew.workers)
        for lines in await asyncio.gather(*asked):
            for line in lines:
                self._job.message(line, job_pb2.JobMessage.JOB_MESSAGE_DETAILED)

    def _forget(self) -> None:
        """Lets go of what only a running job needs; states, messages, metrics and the pipeline stay (P-JOB-10)."""
        self._job.plan = NOTHING
        self._engine = Engine(NOTHING)
        self._engine.finished = True
        del self._bundles, self._crew
        self._artifacts.forget(self._job.id)
