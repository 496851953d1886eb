"""Bundles in flight: run on a worker to their end, asked for progress and splits meanwhile, finalized behind it.

What an answer means is the engine's: this module only turns answers into events.
"""

from __future__ import annotations

import asyncio
import traceback
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any

from conformance.runner import inquiries
from conformance.runner.crew import Crew
from conformance.runner.engine import Engine
from conformance.runner.engine_events import (
    BundleDiscarded,
    BundleDone,
    BundleFailed,
    BundleSplit,
    Event,
    Residual,
    RunBundle,
)
from conformance.runner.fnapi import BundleError, BundleIO, Worker, WorkerLost
from conformance.runner.measures import Measures
from conformance.wire import timestamps
from conformance.wire.api import fn_pb2, job_pb2

if TYPE_CHECKING:
    from conformance.runner.jobs import Job

__all__ = ["GRACE", "Bundles", "defect"]

#: Seconds for which the end of a job waits for polite ends: StopWorker, finalization answers, streams of the worker.
GRACE = 2.0


class Bundles:
    """What runs for one job, and what is asked about it."""

    def __init__(
        self,
        job: Job,
        engine: Engine,
        crew: Crew,
        measures: Measures,
        dispatch: Callable[[Event], None],
        slow_seconds: float,
    ) -> None:
        self._job = job
        self._engine = engine
        self._crew = crew
        self._measures = measures
        self._dispatch = dispatch
        self._slow_seconds = slow_seconds
        self._rules = job.rules
        self._stages = {stage.id: stage for stage in job.plan.stages()}
        #: Who runs, or ran, what is in flight or waits to be finalized.
        self.workers: dict[str, Worker] = {}
        self._running: set[asyncio.Task[Any]] = set()
        self._tending: set[asyncio.Task[Any]] = set()
        #: Splits and finalizations.
        self._asking: set[asyncio.Task[Any]] = set()
        self._committed: list[str] = []
        #: Splits that were asked for and are not answered.
        self._splitting: dict[str, asyncio.Future[bool]] = {}

    def _spawn(self, work: Coroutine[Any, Any, object], bag: set[asyncio.Task[Any]]) -> None:
        task = asyncio.ensure_future(work)
        bag.add(task)
        task.add_done_callback(bag.discard)

    # ---- what the engine commands

    def start(self, command: RunBundle) -> None:
        """Runs a bundle; its end is an event."""
        self._spawn(self._run(command), self._running)

    def checkpoint(self, bundle: str) -> None:
        """Asks a running bundle to give up everything that it has not begun."""
        self._spawn(self._split(bundle, 0.0), self._asking)

    def finalize(self, bundle: str) -> None:
        """Tells the worker that ran a bundle that its effects are durable, at once or when the job is through (P-CTL-22)."""
        if self._rules.finalizes_late():
            self._committed.append(bundle)
        else:
            self._spawn(self._finalize(bundle), self._asking)

    # ---- the end

    def drop(self) -> None:
        """No answer of a running bundle counts any more."""
        for task in list(self._running):
            task.cancel()

    async def settle(self) -> None:
        """Waits for what is asked for the sake of bundles that are committed."""
        for bundle in self._committed:
            self._spawn(self._finalize(bundle), self._asking)
        if self._asking:
            await asyncio.wait(set(self._asking), timeout=GRACE)

    def close(self) -> None:
        """Asks for nothing more."""
        for task in [*self._asking, *self._tending]:
            task.cancel()

    # ---- one bundle

    async def _run(self, command: RunBundle) -> None:
        stage = self._stages[command.stage]
        worker = self._crew.worker_for(command.bundle, stage)
        self.workers[command.bundle] = worker
        tending: asyncio.TimerHandle | None = None
        watch: asyncio.Task[None] | None = None
        try:
            await self._crew.ready(worker)
            async with worker.slots:
                tending = asyncio.get_running_loop().call_later(
                    self._rules.split_interval(), lambda: self._spawn(self._tend(command.bundle, worker), self._tending)
                )
                if self._slow_seconds:
                    watch = asyncio.ensure_future(self._watch(command.bundle, worker))
                token = self._crew.state_token(command, worker)
                response, streams = await worker.process(command, stage, token)
                await self._splits_settled(command.bundle)
        except BundleError as error:
            self._failed(command, str(error))
        except WorkerLost as error:
            text = await self._crew.obituary(worker, str(error))
            if self._crew.has_other(worker):
                self._failed(command, text)
            else:
                self._measures.fail(command.bundle)
                self._dispatch(BundleFailed(command.bundle, text, lost=True))
        except Exception as error:
            self._dispatch(BundleFailed(command.bundle, defect(error), lost=True))
        else:
            self._answered(command, worker, response, streams)
        finally:
            for each in (tending, watch):
                if each is not None:
                    each.cancel()

    def _failed(self, command: RunBundle, why: str) -> None:
        self._measures.fail(command.bundle)
        self.workers.pop(command.bundle, None)
        text = f"{command.bundle} of {command.stage} failed: {why}"
        self._dispatch(BundleFailed(command.bundle, text))
        if not self._engine.finished:
            self._job.message(f"{text}\nIt is tried again.", job_pb2.JobMessage.JOB_MESSAGE_WARNING)

    def _answered(self, command: RunBundle, worker: Worker, response: Any, streams: BundleIO) -> None:
        """Commits a bundle, unless a variant has it run once more."""
        if worker.provisioned and self._rules.breaks(command.attempt):
            self._failed(command, "its answer was lost before it was committed, on purpose")
            return
        self._measures.forget(command.bundle)
        if not response.requires_finalization:
            del self.workers[command.bundle]
        if worker.provisioned and self._rules.throws_away(command.attempt):
            self.workers.pop(command.bundle, None)
            self._dispatch(BundleDiscarded(command.bundle))
            return
        self._measures.commit(worker, response)
        self._dispatch(
            BundleDone(
                command.bundle,
                streams.outputs,
                streams.timers,
                tuple(_residual(root) for root in response.residual_roots),
                response.requires_finalization,
            )
        )

    # ---- while it runs

    async def _tend(self, bundle: str, worker: Worker) -> None:
        """Asks a bundle that takes long for its progress, and to give up half of what it has left, until it gives nothing more."""
        interval = self._rules.split_interval()
        await asyncio.sleep(interval / 10)  # behind work that held up the event loop, answers wait to be read (P-CTL-24)
        empty = 0
        while worker.unanswered(bundle):
            if self._rules.asks_progress(worker.declared):
                await self._measures.ask_progress(bundle, worker)
            draining = self._engine.context.draining
            if not await self._split(bundle, 0.0 if draining else self._rules.split_fraction()):
                empty += 1
            if empty >= self._rules.split_attempts() and not draining:
                return
            interval = max(interval * 4, 0.05)
            await asyncio.sleep(interval)

    async def _split(self, bundle: str, fraction: float) -> bool:
        """Asks a running bundle to give up a part of what it has left; whether it did. An empty answer or an error is a no (P-SPL-03)."""
        worker, estimate = self.workers.get(bundle), self._engine.estimate(bundle)
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
            await asyncio.sleep(self._slow_seconds)
            said = await inquiries.status(worker, GRACE)
            text = f"{bundle} is still running; {worker.name} " + (f"says: {said}" if said else "does not say why")
            self._job.message(text, job_pb2.JobMessage.JOB_MESSAGE_DETAILED)

    async def _finalize(self, bundle: str) -> None:
        """A failing callback fails no job (M-BNDL-06)."""
        worker = self.workers.pop(bundle)
        request = fn_pb2.InstructionRequest(instruction_id=worker.question_id())
        request.finalize_bundle.instruction_id = bundle
        try:
            response = await worker.ask(request)
        except WorkerLost:
            return
        if response.error:
            text = f"finalization of {bundle} failed: {response.error}"
            self._job.message(text, job_pb2.JobMessage.JOB_MESSAGE_WARNING)


def defect(error: Exception) -> str:
    """What clients read of an error that must not happen."""
    where = traceback.extract_tb(error.__traceback__)[-1]
    what = f"{type(error).__name__}: {error} ({where.name}, {where.filename}:{where.lineno})"
    return f"the reference runner has a defect: {what}; please report it"


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
