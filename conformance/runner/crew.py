"""The workers of one job: made, started, chosen for bundles, stopped."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from conformance.runner.artifacts import ArtifactStore
from conformance.runner.bulk import PairCutter
from conformance.runner.engine_events import RunBundle
from conformance.runner.fnapi import FnApi, Worker
from conformance.runner.options import Options
from conformance.runner.plan import GroupNode, Plan, StageNode
from conformance.runner.provision import provision_info
from conformance.runner.state import BundleState
from conformance.runner.workers import Launcher
from conformance.wire import urns

if TYPE_CHECKING:
    from conformance.runner.jobs import Job

__all__ = ["Crew"]


class Crew:
    """As many workers for each environment of a plan as the job's habits ask for."""

    def __init__(
        self,
        job: Job,
        fnapi: FnApi,
        artifacts: ArtifactStore,
        url: str,
        options: Options,
        state_of: Callable[[str], BundleState | None],
        log: Callable[[Any], None],
    ) -> None:
        self._fnapi = fnapi
        self._rules = job.rules
        self._launchers: dict[str, list[Launcher]] = {}
        self._starting: dict[str, asyncio.Future[None]] = {}
        #: Of each stage with state: which worker ran its last bundle, and how often that changed.
        self._last: dict[str, tuple[Worker, int]] = {}
        cutters = _cutters(job.plan)
        numbers = iter(range(1, 1 << 30))
        for environment_id, environment in job.plan.environments.items():
            launchers = self._launchers[environment_id] = []
            for _ in range(job.rules.workers(environment_id)):
                worker = job.rules.part(Worker)(
                    f"{job.id}-worker-{next(numbers)}",
                    environment_id,
                    job.plan.descriptors,
                    state_of,
                    log,
                    declared=environment.capabilities,
                    data_streams=job.rules.data_streams(options.data_streams),
                    habits=job.rules,
                )
                dependencies = artifacts.staged(job.id, environment_id, environment)
                status = options.slow_bundle_seconds > 0 and urns.Protocol.WORKER_STATUS in worker.declared
                worker.provision = provision_info(url, job, dependencies, job.rules.capabilities(), status)
                worker.cutters = cutters
                fnapi.workers[worker.id] = worker
                launchers.append(job.rules.part(Launcher)(worker, environment, url, options.worker_start_timeout, fnapi.pools))

    def _all(self) -> list[Launcher]:
        return [launcher for launchers in self._launchers.values() for launcher in launchers]

    @property
    def workers(self) -> list[Worker]:
        """All of them."""
        return [launcher.worker for launcher in self._all()]

    # ---- start

    def start(self, failed: Callable[[str], None]) -> None:
        """Starts all; `failed` is told why one did not come."""

        def started(start: asyncio.Future[None]) -> None:
            if not start.cancelled() and (error := start.exception()) is not None:
                failed(str(error))

        for launcher in self._all():
            start = self._starting[launcher.worker.id] = asyncio.ensure_future(launcher.start())
            start.add_done_callback(started)

    async def ready(self, worker: Worker) -> None:
        """Waits until a worker is there. Raises WorkerLost if it does not come."""
        await self._starting[worker.id]

    async def obituary(self, worker: Worker, reason: str) -> str:
        """Why a worker was lost, as fully as can be told."""
        launcher = next((each for each in self._all() if each.worker is worker), None)
        return await launcher.obituary(reason) if launcher is not None else reason

    # ---- bundles

    def worker_for(self, bundle: str, stage: StageNode) -> Worker:
        """Who is to run a bundle; of several one that is not known to be lost."""
        launchers = self._launchers[stage.environment]
        if len(launchers) == 1:
            return launchers[0].worker
        present = [launcher for launcher in launchers if not launcher.worker.away] or launchers
        return present[self._rules.worker_of(bundle, len(present))].worker

    def has_other(self, lost: Worker) -> bool:
        """Whether another worker of its environment can run what a lost one was running (M-BNDL-03)."""
        workers = [launcher.worker for launcher in self._launchers.get(lost.environment_id, ())]
        return any(worker is not lost and not worker.away for worker in workers)

    def state_token(self, command: RunBundle, worker: Worker) -> bytes:
        """The token for cached state: another one each time that another worker may have written it (M-BNDL-14)."""
        if not command.state_token:
            return b""
        last, changes = self._last.get(command.stage, (worker, 0))
        if last is not worker:
            changes += 1
        self._last[command.stage] = (worker, changes)
        return command.state_token + b"/%d" % changes if changes else command.state_token

    # ---- end

    async def stop(self, grace: float) -> None:
        """Ends Control, then StopWorker (P-CH-11, P-ENV-03)."""
        for start in self._starting.values():
            start.cancel()
        launchers = self._all()
        for launcher in launchers:
            launcher.worker.end()
        if len(launchers) == 1:  # one task less on the way to DONE
            await launchers[0].stop_pooled(grace)
        else:
            await asyncio.gather(*(launcher.stop_pooled(grace) for launcher in launchers))

    async def release(self, grace: float) -> None:
        """Waits for what streams are left, ends them, lets go of pools and processes."""
        launchers, self._launchers = self._all(), {}
        ends = [asyncio.ensure_future(launcher.reap(grace)) for launcher in launchers]
        idle = [asyncio.ensure_future(launcher.worker.idle.wait()) for launcher in launchers]
        if idle:
            await asyncio.wait(idle, timeout=grace)
        for waiting in idle:
            waiting.cancel()
        for launcher in launchers:
            launcher.worker.release()
            self._fnapi.forget(launcher.worker.id)
        await asyncio.gather(*ends)


def _cutters(plan: Plan) -> dict[str, PairCutter]:
    """How to cut what goes into groupings as it comes in, where whole chunks can be cut at once."""
    grouped: Iterable[Any] = (plan.collections[node.input] for node in plan.nodes if isinstance(node, GroupNode))
    return {
        collection.id: collection.cut.pairs
        for collection in grouped
        if collection.cut.pairs is not None and collection.bounded and collection.strategy.merging == "none"
    }
