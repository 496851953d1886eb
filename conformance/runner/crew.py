"""The workers of one job: made, started, chosen for bundles, stopped.

Workers are asked for before the job is planned: while a pool starts one, there is time to plan. What they need to know of the
plan they are given behind it (`equip`), well before their first bundle.
"""

from __future__ import annotations

import asyncio
import itertools
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
        self._job = job
        self._fnapi = fnapi
        self._artifacts = artifacts
        self._url = url
        self._options = options
        self._state_of = state_of
        self._log = log
        self._rules = job.rules
        self._launchers: dict[str, list[Launcher]] = {}
        self._starting: dict[str, asyncio.Future[None]] = {}
        #: Of each stage with state: which worker ran its last bundle, and how often that changed.
        self._last: dict[str, tuple[Worker, int]] = {}
        self._numbers = itertools.count(1)

    def _hire(self, environment_id: str) -> None:
        """Makes the workers of an environment, unless they are there."""
        if environment_id in self._launchers:
            return
        job, rules, options = self._job, self._rules, self._options
        environment = job.environments[environment_id]
        launchers = self._launchers[environment_id] = []
        for _ in range(rules.workers(environment_id)):
            worker = rules.part(Worker)(
                f"{job.id}-worker-{next(self._numbers)}",
                environment_id,
                self._state_of,
                self._log,
                declared=environment.capabilities,
                data_streams=rules.data_streams(options.data_streams),
                habits=rules,
            )
            dependencies = self._artifacts.staged(job.id, environment_id, environment)
            status = options.slow_bundle_seconds > 0 and urns.Protocol.WORKER_STATUS in worker.declared
            worker.provision = provision_info(self._url, job, dependencies, rules.capabilities(), status)
            self._fnapi.workers[worker.id] = worker
            timeout = options.worker_start_timeout
            launchers.append(rules.part(Launcher)(worker, environment, self._url, timeout, self._fnapi.pools))

    def _all(self) -> list[Launcher]:
        return [launcher for launchers in self._launchers.values() for launcher in launchers]

    @property
    def workers(self) -> list[Worker]:
        """All of them."""
        return [launcher.worker for launcher in self._all()]

    # ---- start

    def start(self, environments: Iterable[str], failed: Callable[[str], None]) -> None:
        """Starts those of some environments that are not started; `failed` is told why one did not come."""
        for environment_id in environments:
            self._hire(environment_id)

        def started(start: asyncio.Future[None]) -> None:
            if not start.cancelled() and (error := start.exception()) is not None:
                failed(str(error))

        for launcher in self._all():
            if launcher.worker.id not in self._starting:
                start = self._starting[launcher.worker.id] = asyncio.ensure_future(launcher.start())
                start.add_done_callback(started)

    async def asked(self) -> None:
        """Waits until the workers of `start` were asked for."""
        for launcher in self._all():
            await launcher.asked.wait()

    def equip(self, plan: Plan, failed: Callable[[str], None]) -> None:
        """Gives workers what they need of the plan, and starts those that only the plan showed to be needed."""
        self.start(plan.environments, failed)
        cutters = _cutters(plan)
        for worker in self.workers:
            worker.descriptors, worker.cutters = plan.descriptors, cutters

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
