"""Runs one job: carries events into the engine and its commands out to workers. The only place where engine and IO meet.

Everything happens on the server's event loop. A bundle in flight is a task; the engine is called between awaits only.
"""

from __future__ import annotations

import asyncio
import time
import traceback
from collections.abc import Coroutine, Iterable
from typing import TYPE_CHECKING, Any

from conformance.runner import inquiries
from conformance.runner.artifacts import ArtifactStore
from conformance.runner.engine import Engine
from conformance.runner.engine_events import (
    BundleDone,
    BundleFailed,
    BundleSplit,
    CancelRequested,
    Command,
    DrainRequested,
    Event,
    Finalize,
    JobCancelled,
    JobDone,
    JobDrained,
    JobFailed,
    Residual,
    RunBundle,
    Split,
    Started,
    Tick,
    WakeAt,
)
from conformance.runner.fnapi import BundleError, FnApi, Worker, WorkerLost
from conformance.runner.metrics import MetricTable
from conformance.runner.options import Options
from conformance.runner.plan import GroupNode, Plan
from conformance.runner.provision import provision_info
from conformance.runner.rules import Rules
from conformance.runner.workers import Launcher
from conformance.wire import timestamps, urns
from conformance.wire.api import fn_pb2, job_pb2

if TYPE_CHECKING:
    from conformance.runner.jobs import Job

__all__ = ["Driver"]

S = job_pb2.JobState
#: Seconds for which the end of a job waits for polite ends: StopWorker, finalization answers, streams of the worker.
GRACE = 3.0
#: Seconds for which GetJobMetrics waits for the progress of running bundles.
PROGRESS_WAIT = 1.0
#: Bundles whose metrics came under unknown short ids before the worker is asked for their names.
UNNAMED_BUNDLES = 50

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
    """One running job."""

    def __init__(self, job: Job, fnapi: FnApi, artifacts: ArtifactStore, rules: Rules, url: str, options: Options) -> None:
        self._job = job
        self._fnapi = fnapi
        self._artifacts = artifacts
        self._plan = job.plan
        self._options = options
        self._stages = {stage.id: stage for stage in job.plan.stages()}
        self._rules = rules
        self._engine = Engine(job.plan, rules, page_bytes=options.state_page_bytes)
        self._launchers: dict[str, Launcher] = {}
        self._starting: dict[str, asyncio.Future[None]] = {}
        self._tasks: set[asyncio.Task[Any]] = set()
        self._bundles: set[asyncio.Task[Any]] = set()
        self._naming: set[asyncio.Task[Any]] = set()
        self._tending: set[asyncio.Task[Any]] = set()
        self._closing: set[asyncio.Task[Any]] = set()
        self._alarm: asyncio.TimerHandle | None = None
        self._committed = MetricTable()
        self._failed = MetricTable()
        #: Last progress of bundles in flight.
        self._progress: dict[str, list[Any]] = {}
        #: Metrics of committed bundles, by short ids that nobody asked for yet.
        self._unnamed: list[tuple[Worker, dict[str, bytes]]] = []
        self._workers_of: dict[str, Worker] = {}
        #: Splits that were asked for and are not answered.
        self._splitting: dict[str, asyncio.Future[bool]] = {}
        self._stopped = asyncio.Event()
        self._completed = False
        grouped = (job.plan.collections[node.input] for node in job.plan.nodes if isinstance(node, GroupNode))
        cutters = {
            collection.id: collection.cut.pairs
            for collection in grouped
            if collection.cut.pairs is not None and collection.bounded and collection.strategy.merging == "none"
        }
        for number, (environment_id, environment) in enumerate(job.plan.environments.items(), 1):
            worker = Worker(
                f"{job.id}-worker-{number}",
                environment_id,
                job.plan.descriptors,
                self._engine.state,
                self._log,
                declared=environment.capabilities,
                data_streams=options.data_streams,
            )
            dependencies = artifacts.staged(job.id, environment_id, environment)
            status = options.slow_bundle_seconds > 0 and urns.Protocol.WORKER_STATUS in worker.declared
            worker.provision = provision_info(url, job, dependencies, status)
            worker.cutters = cutters
            fnapi.workers[worker.id] = worker
            self._launchers[environment_id] = Launcher(worker, environment, url, options.worker_start_timeout, fnapi.pools)

    # ---- life

    def start(self) -> None:
        """Begins: workers are started, the engine gets its first event."""
        self._job.move(S.STARTING)
        for environment_id, launcher in self._launchers.items():
            self._starting[environment_id] = asyncio.ensure_future(launcher.start())
            self._starting[environment_id].add_done_callback(self._started)
        self._job.move(S.RUNNING)
        self._dispatch(Started())

    def _started(self, start: asyncio.Future[None]) -> None:
        if start.cancelled():
            return
        error = start.exception()
        if error is not None and not self._engine.finished:
            self._engine.finished = True
            self._finish(JobFailed(str(error)))

    def cancel(self) -> None:
        """Stops the job: no answer of a running bundle counts any more (P-JOB-08). One that is through stays so."""
        if self._engine.finished:
            if self._completed:
                self._job.move(S.DONE)
            return
        self._job.move(S.CANCELLING)
        self._dispatch(CancelRequested())

    def drain(self) -> None:
        """Stops the sources and lets the rest be finished (P-JOB-09)."""
        if self._engine.finished:
            return
        self._job.move(S.DRAINING)
        self._dispatch(DrainRequested())

    async def ended(self) -> None:
        """Waits until workers are stopped and streams closed."""
        await self._stopped.wait()

    def _spawn(self, work: Coroutine[Any, Any, object], bag: set[asyncio.Task[Any]]) -> None:
        task = asyncio.ensure_future(work)
        bag.add(task)
        task.add_done_callback(bag.discard)

    # ---- engine

    def _now(self) -> int:
        return time.time_ns() // 1_000_000

    def _dispatch(self, event: Event) -> None:
        try:
            commands = self._engine.handle(event, self._now())
        except Exception as error:
            self._engine.finished = True
            commands = [JobFailed(_defect(error))]
        for command in commands:
            self._execute(command)

    def _execute(self, command: Command) -> None:
        if isinstance(command, RunBundle):
            self._spawn(self._run(command), self._bundles)
        elif isinstance(command, Split):
            self._spawn(self._split(command.bundle, 0.0), self._tasks)
        elif isinstance(command, Finalize):
            self._spawn(self._finalize(command.bundle), self._tasks)
        elif isinstance(command, WakeAt):
            if self._alarm is not None:
                self._alarm.cancel()
            delay = max(0.0, (command.at - self._now()) / 1000 + 0.0005)
            self._alarm = asyncio.get_running_loop().call_later(delay, self._dispatch, Tick())
        else:
            self._finish(command)

    # ---- bundles

    async def _run(self, command: RunBundle) -> None:
        stage = self._stages[command.stage]
        worker = self._launchers[stage.environment].worker
        self._workers_of[command.bundle] = worker
        tending: asyncio.TimerHandle | None = None
        watch: asyncio.Task[None] | None = None
        try:
            await self._starting[stage.environment]
            async with worker.slots:
                tending = asyncio.get_running_loop().call_later(
                    self._rules.split_interval(), lambda: self._spawn(self._tend(command.bundle, worker), self._tending)
                )
                if self._options.slow_bundle_seconds:
                    watch = asyncio.ensure_future(self._watch(command.bundle, worker))
                response, bundle = await worker.process(command, stage)
                await self._splits_settled(command.bundle)
        except BundleError as error:
            self._failed.add(self._progress.pop(command.bundle, ()))
            text = f"{command.bundle} of {stage.id} failed: {error}"
            self._dispatch(BundleFailed(command.bundle, text))
            if not self._engine.finished:
                self._job.message(f"{text}\nIt is tried again.", job_pb2.JobMessage.JOB_MESSAGE_WARNING)
        except WorkerLost as error:
            self._failed.add(self._progress.pop(command.bundle, ()))
            self._dispatch(BundleFailed(command.bundle, str(error), lost=True))
        except Exception as error:
            self._dispatch(BundleFailed(command.bundle, _defect(error), lost=True))
        else:
            self._progress.pop(command.bundle, None)
            self._measure(worker, response)
            if not response.requires_finalization:
                del self._workers_of[command.bundle]
            self._dispatch(
                BundleDone(
                    command.bundle,
                    bundle.outputs,
                    bundle.timers,
                    tuple(_residual(root) for root in response.residual_roots),
                    response.requires_finalization,
                )
            )
        finally:
            for each in (tending, watch):
                if each is not None:
                    each.cancel()

    async def _tend(self, bundle: str, worker: Worker) -> None:
        """Asks a bundle that takes long for its progress, and to give up half of what it has left, until it gives nothing more."""
        interval = self._rules.split_interval()
        empty = 0
        while worker.unanswered(bundle):
            if _reports_progress(self._plan, worker):
                await self._ask_progress(bundle, worker)
            draining = self._engine.context.draining
            if not await self._split(bundle, 0.0 if draining else 0.5):
                empty += 1
            if empty >= self._rules.split_attempts() and not draining:
                return
            interval = max(interval * 4, 0.05)
            await asyncio.sleep(interval)

    async def _split(self, bundle: str, fraction: float) -> bool:
        """Asks a running bundle to give up a part of what it has left; whether it did. An empty answer or an error is a no (P-SPL-03)."""
        worker, estimate = self._workers_of.get(bundle), self._engine.estimate(bundle)
        if worker is None or not estimate or not worker.unanswered(bundle) or bundle in self._splitting:
            return False
        asking = self._splitting[bundle] = asyncio.ensure_future(self._ask_split(bundle, worker, fraction, estimate))
        try:
            return await asyncio.shield(asking)
        finally:
            if asking.done():
                self._splitting.pop(bundle, None)

    async def _ask_split(self, bundle: str, worker: Worker, fraction: float, estimate: int) -> bool:
        request = fn_pb2.InstructionRequest(instruction_id=worker.question_id())
        split = request.process_bundle_split
        split.instruction_id = bundle
        source = worker.bundles[bundle].node.source
        split.desired_splits[source].fraction_of_remainder = fraction
        split.desired_splits[source].estimated_input_elements = estimate
        try:
            response = (await worker.ask(request)).process_bundle_split
        except WorkerLost:
            return False
        channels = [each.first_residual_element for each in response.channel_splits if each.transform_id in ("", source)]
        residuals = tuple(_residual(root) for root in response.residual_roots)
        if not channels and not residuals:
            return False
        self._dispatch(BundleSplit(bundle, min(channels, default=None), residuals))
        return True

    async def _splits_settled(self, bundle: str) -> None:
        """A split that was asked for may be answered behind the bundle's own answer; it counts all the same (P-CTL-24)."""
        asking = self._splitting.pop(bundle, None)
        if asking is not None:
            await asyncio.wait({asking}, timeout=GRACE)

    async def _watch(self, bundle: str, worker: Worker) -> None:
        """Tells of a bundle that takes long, again and again."""
        while True:
            await asyncio.sleep(self._options.slow_bundle_seconds)
            said = await inquiries.status(worker, GRACE)
            text = f"{bundle} is still running; {worker.name} " + (f"says: {said}" if said else "does not say why")
            self._job.message(text, job_pb2.JobMessage.JOB_MESSAGE_DETAILED)

    async def _sample(self) -> None:
        """Shows samples of what went through the PCollections of the pipeline."""
        collections = self._job.pipeline.components.pcollections
        workers = [launcher.worker for launcher in self._launchers.values()]
        for lines in await asyncio.gather(*(inquiries.samples(worker, collections, PROGRESS_WAIT) for worker in workers)):
            for line in lines:
                self._job.message(line, job_pb2.JobMessage.JOB_MESSAGE_DETAILED)

    async def _finalize(self, bundle: str) -> None:
        """Tells the worker that ran a bundle that its effects are durable (P-CTL-22). A failing callback fails no job."""
        worker = self._workers_of.pop(bundle)
        request = fn_pb2.InstructionRequest(instruction_id=worker.question_id())
        request.finalize_bundle.instruction_id = bundle
        try:
            response = await worker.ask(request)
        except WorkerLost:
            return
        if response.error:
            text = f"finalization of {bundle} failed: {response.error}"
            self._job.message(text, job_pb2.JobMessage.JOB_MESSAGE_WARNING)

    # ---- metrics

    def _measure(self, worker: Worker, response: Any) -> None:
        """Commits a bundle's metrics: full infos where there are any, else data under short ids (P-MET-02)."""
        if response.monitoring_infos or not response.monitoring_data:
            self._committed.add(response.monitoring_infos)
            return
        data = dict(response.monitoring_data)
        if all(short in worker.short_ids for short in data):
            self._committed.add(_named(worker, data))
        else:  # asked for many at once: a question a bundle would double the traffic of small jobs
            self._unnamed.append((worker, data))
            if len(self._unnamed) >= UNNAMED_BUNDLES:
                self._spawn(self._name(), self._naming)

    async def _name(self) -> None:
        """Commits what came under short ids that were new."""
        unnamed, self._unnamed = self._unnamed, []
        workers = {worker.id: worker for worker, _ in unnamed}
        shorts = {name: {short for worker, data in unnamed if worker.id == name for short in data} for name in workers}
        await asyncio.gather(*(self._look_up(worker, shorts[name]) for name, worker in workers.items()))
        for worker, data in unnamed:
            self._committed.add(_named(worker, data))

    async def _look_up(self, worker: Worker, shorts: Iterable[str]) -> None:
        """Asks once for each short id that is new on this worker (P-MET-03)."""
        unknown = sorted(short for short in shorts if short not in worker.short_ids and short not in worker.asked_ids)
        if unknown:
            request = fn_pb2.InstructionRequest(instruction_id=worker.question_id())
            request.monitoring_infos.monitoring_info_id.extend(unknown)
            answer = worker.ask(request)
            worker.asked_ids.update(dict.fromkeys(unknown, answer))
        for answer in {worker.asked_ids[short] for short in shorts if short in worker.asked_ids}:
            try:
                response = await answer
            except WorkerLost:
                return
            worker.short_ids.update(response.monitoring_infos.monitoring_info)

    async def metrics(self) -> tuple[list[Any], list[Any]]:
        """Attempted and committed; bundles that run are asked for their progress."""
        if self._unnamed and not self._engine.finished:
            self._spawn(self._name(), self._naming)
        if self._naming:
            await asyncio.wait(set(self._naming), timeout=PROGRESS_WAIT)
        if self._workers_of and not self._engine.finished:
            asking = [
                asyncio.ensure_future(self._ask_progress(bundle, worker))
                for bundle, worker in self._workers_of.items()
                if worker.unanswered(bundle) and worker.connected.is_set() and _reports_progress(self._plan, worker)
            ]
            if asking:
                await asyncio.wait(asking, timeout=PROGRESS_WAIT)
        others = [self._failed.infos(), *self._progress.values()]
        if not self._engine.finished:
            workers = [launcher.worker for launcher in self._launchers.values()]
            others += await asyncio.gather(*(inquiries.harness_infos(worker, PROGRESS_WAIT) for worker in workers))
        return self._committed.with_others(others), self._committed.infos()

    async def _ask_progress(self, bundle: str, worker: Worker) -> None:
        request = fn_pb2.InstructionRequest(instruction_id=worker.question_id())
        request.process_bundle_progress.instruction_id = bundle
        try:
            response = await worker.ask(request)
        except WorkerLost:
            return
        progress = response.process_bundle_progress
        infos = list(progress.monitoring_infos)
        if not infos and progress.monitoring_data:
            data = dict(progress.monitoring_data)
            await self._look_up(worker, data)
            infos = _named(worker, data)
        if infos and bundle in worker.bundles:
            self._progress[bundle] = infos

    def _log(self, entry: Any) -> None:
        where = f"{entry.log_location}: " if entry.log_location else ""
        trace = f"\n{entry.trace}" if entry.trace else ""
        self._job.message(f"{where}{entry.message}{trace}", _IMPORTANCE.get(entry.severity, _IMPORTANCE[0]))

    # ---- the end

    def _finish(self, command: JobDone | JobDrained | JobFailed | JobCancelled) -> None:
        if self._alarm is not None:
            self._alarm.cancel()
        self._spawn(self._end(command), self._closing)

    async def _end(self, command: JobDone | JobDrained | JobFailed | JobCancelled) -> None:
        """Says how the job ended, ends Control, then StopWorker, then whatever streams are left (P-CH-11, P-ENV-03)."""
        for task in list(self._bundles):
            task.cancel()
        self._completed = isinstance(command, JobDone | JobDrained)
        last = S.DRAINED if isinstance(command, JobDrained) else S.DONE
        if self._unnamed:
            self._spawn(self._name(), self._naming)
        waited_for = {*self._naming, *self._tasks} if self._completed else set(self._naming)
        if waited_for and not isinstance(command, JobCancelled):
            await asyncio.wait(waited_for, timeout=GRACE if self._completed else PROGRESS_WAIT)
        for task in [*self._naming, *self._tasks, *self._tending]:
            task.cancel()
        if self._options.sample_data and not isinstance(command, JobCancelled):
            await self._sample()
        if isinstance(command, JobFailed):
            self._failed.add(info for infos in self._progress.values() for info in infos)
            self._job.message(command.reason, job_pb2.JobMessage.JOB_MESSAGE_ERROR)
            self._job.move(S.FAILED)
        elif isinstance(command, JobCancelled):
            self._job.move(S.CANCELLED)
        self._progress.clear()
        for start in self._starting.values():
            start.cancel()
        launchers = list(self._launchers.values())
        for launcher in launchers:
            launcher.worker.end()
        if len(launchers) == 1:  # one task less on the way to DONE
            await launchers[0].stop_pooled(GRACE)
        else:
            await asyncio.gather(*(launcher.stop_pooled(GRACE) for launcher in launchers))
        if self._completed:
            self._job.move(last)
        ends = [asyncio.ensure_future(launcher.reap(GRACE)) for launcher in launchers]
        idle = [asyncio.ensure_future(launcher.worker.idle.wait()) for launcher in launchers]
        if idle:
            await asyncio.wait(idle, timeout=GRACE)
        for waiting in idle:
            waiting.cancel()
        for launcher in launchers:
            launcher.worker.release()
            self._fnapi.workers.pop(launcher.worker.id, None)
        await asyncio.gather(*ends)
        self._forget()
        self._stopped.set()

    def _forget(self) -> None:
        """Lets go of what only a running job needs; states, messages, metrics and the pipeline stay (P-JOB-10)."""
        nothing = Plan((), {}, {}, {})
        self._engine = Engine(nothing)
        self._engine.finished = True
        self._plan = self._job.plan = nothing
        self._launchers, self._stages = {}, {}
        self._artifacts.forget(self._job.id)


def _defect(error: Exception) -> str:
    where = traceback.extract_tb(error.__traceback__)[-1]
    what = f"{type(error).__name__}: {error} ({where.name}, {where.filename}:{where.lineno})"
    return f"the reference runner has a defect: {what}; please report it"


def _named(worker: Worker, data: dict[str, bytes]) -> list[Any]:
    infos = []
    for short, payload in data.items():
        if short in worker.short_ids:
            info = type(worker.short_ids[short])()
            info.CopyFrom(worker.short_ids[short])
            info.payload = payload
            infos.append(info)
    return infos


def _residual(root: Any) -> Residual:
    application = root.application
    delay = root.requested_time_delay
    # Read raw: Beam's extremes lie outside the range that Timestamp's own helpers check (P-CTL-21).
    marks = {name: mark.seconds * 1000 + mark.nanos // 1_000_000 for name, mark in application.output_watermarks.items()}
    return Residual(
        application.transform_id,
        application.input_id,
        application.element,
        max(0, delay.seconds * 1000 + delay.nanos // 1_000_000),
        {name: min(max(mark, timestamps.MIN), timestamps.MAX) for name, mark in marks.items()},
    )


def _reports_progress(plan: Any, worker: Worker) -> bool:
    declared = set(plan.environments[worker.environment_id].capabilities)
    return bool(declared & {urns.Protocol.PROGRESS_REPORTING, urns.Protocol.LEGACY_PROGRESS_REPORTING})
