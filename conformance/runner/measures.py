"""The metrics of one job as they come in: committed, attempted, under short ids whose names are asked for."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Iterable, Mapping
from typing import Any

from conformance.runner import inquiries
from conformance.runner.fnapi import Worker, WorkerLost
from conformance.runner.habits import Habits
from conformance.runner.metrics import MetricTable
from conformance.wire.api import fn_pb2

__all__ = ["PROGRESS_WAIT", "Measures"]

#: Seconds for which GetJobMetrics waits for the progress of running bundles.
PROGRESS_WAIT = 1.0
#: Seconds for which workers of a job that is through are kept, and GetJobMetrics waits, for the names of its metrics: without them they
#: would be lost (P-MET-03). A worker that is lost ends the wait.
NAMES_WAIT = 20.0
#: Bundles whose metrics came under unknown short ids before the worker is asked for their names.
UNNAMED_BUNDLES = 50


class Measures:
    """What bundles said of themselves. Totals of a bundle are committed with it, once (P-MET-01, P-MET-04)."""

    def __init__(self, habits: Habits) -> None:
        self._habits = habits
        self._committed, self._failed = (habits.part(MetricTable)() for _ in range(2))
        #: Last progress of bundles in flight.
        self._progress: dict[str, list[Any]] = {}
        #: Metrics of committed bundles, by short ids that nobody asked for yet.
        self._unnamed: list[tuple[Worker, dict[str, bytes]]] = []
        self.naming: set[asyncio.Task[None]] = set()

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.ensure_future(work)
        self.naming.add(task)
        task.add_done_callback(self.naming.discard)

    # ---- bundles

    def fail(self, bundle: str) -> None:
        """What a failed bundle had reported stays among what was attempted (M-BNDL-07)."""
        self._failed.add(self._progress.pop(bundle, ()))

    def fail_all(self) -> None:
        """The same for all that run."""
        for bundle in list(self._progress):
            self.fail(bundle)

    def forget(self, bundle: str | None = None) -> None:
        """The progress of a bundle, or of all, does not count any more."""
        if bundle is None:
            self._progress.clear()
        else:
            self._progress.pop(bundle, None)

    def commit(self, worker: Worker, response: Any) -> None:
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
                self.name()

    # ---- short ids

    async def named(self) -> None:
        """Waits for the names that were asked for."""
        if self.naming:
            await asyncio.wait(set(self.naming), timeout=NAMES_WAIT)

    def name(self) -> None:
        """Begins to ask for the names of all short ids that are new, and commits what came under them."""
        if self._unnamed:
            self._spawn(self._name())

    async def _name(self) -> None:
        unnamed, self._unnamed = self._unnamed, []
        workers = {worker.id: worker for worker, _ in unnamed}
        shorts = {name: {short for worker, data in unnamed if worker.id == name for short in data} for name in workers}
        await asyncio.gather(*(self._look_up(worker, shorts[name]) for name, worker in workers.items()))
        for worker, data in unnamed:
            self._committed.add(_named(worker, data))

    async def _look_up(self, worker: Worker, shorts: Iterable[str]) -> None:
        """Asks once for each short id that is new on this worker (P-MET-03)."""
        unknown = sorted(short for short in shorts if short not in worker.short_ids and short not in worker.asked_ids)
        if unknown and not worker.away:  # one that went away knows them no more; what it would be asked waited for ever
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

    # ---- questions

    async def ask_progress(self, bundle: str, worker: Worker) -> None:
        """Asks a running bundle how far it is."""
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

    async def read(self, running: Mapping[str, Worker], workers: Iterable[Worker]) -> tuple[list[Any], list[Any]]:
        """Attempted and committed; bundles that run are asked for their progress, workers for what is theirs."""
        workers = list(workers)
        if workers:
            self.name()
        if self.naming:
            await asyncio.wait(set(self.naming), timeout=PROGRESS_WAIT)
        asking = [
            asyncio.ensure_future(self.ask_progress(bundle, worker))
            for bundle, worker in running.items()
            if worker.unanswered(bundle) and worker.connected.is_set() and self._habits.asks_progress(worker.declared)
        ]
        if asking:
            await asyncio.wait(asking, timeout=PROGRESS_WAIT)
        others = [self._failed.infos(), *self._progress.values()]
        others += await asyncio.gather(*(inquiries.harness_infos(worker, PROGRESS_WAIT) for worker in workers))
        return self._committed.with_others(others), self._committed.infos()


def _named(worker: Worker, data: dict[str, bytes]) -> list[Any]:
    infos = []
    for short, payload in data.items():
        if short in worker.short_ids:
            info = type(worker.short_ids[short])()
            info.CopyFrom(worker.short_ids[short])
            info.payload = payload
            infos.append(info)
    return infos
