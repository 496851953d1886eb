"""The engine of one job. Pure: an event in, commands out; no gRPC, threads, clock or randomness.

Time comes in with each event. After an event every node takes one step in topological order (watermarks only flow
forward), then every node is asked for work. One engine serves batch and streaming: bounded execution is the case in which
watermarks are published in one step from MIN to MAX (M-BATCH-01).
"""

from __future__ import annotations

from conformance.runner.cutting import CutError
from conformance.runner.engine_events import (
    BundleDone,
    BundleFailed,
    CancelRequested,
    Command,
    Event,
    Finalize,
    JobCancelled,
    JobDone,
    JobFailed,
    RunBundle,
    Tick,
    WakeAt,
)
from conformance.runner.engine_nodes import MAX, MIN, Context, EngineError, GroupRun, NodeRun, StageRun, node_run
from conformance.runner.plan import FlattenNode, GroupNode, Plan, StageNode
from conformance.runner.rules import Rules
from conformance.runner.state import PAGE_BYTES, BundleState, SideStore

__all__ = ["Engine"]


class Engine:
    """What a job's pipeline holds and what is to be done next."""

    def __init__(self, plan: Plan, rules: Rules | None = None, *, page_bytes: int = PAGE_BYTES) -> None:
        self.rules = rules or Rules()
        self.finished = False
        watermarks = dict.fromkeys(plan.collections, MIN)
        self.context = Context(plan, self.rules, False, watermarks, {}, self._deliver, page_bytes=page_bytes)
        self.nodes: list[NodeRun] = [node_run(node, self.context) for node in plan.nodes]
        self._consumers: dict[str, list[NodeRun]] = {}
        for node, run in zip(plan.nodes, self.nodes, strict=True):
            if isinstance(node, FlattenNode):
                for collection in node.inputs:  # the same PCollection twice is delivered twice (M-XF-11)
                    self._consumers.setdefault(collection, []).append(run)
            elif isinstance(node, StageNode | GroupNode):
                self._consumers.setdefault(node.input, []).append(run)
            if isinstance(node, StageNode):
                for side in node.side_inputs:
                    if side.collection not in self.context.sides:
                        self.context.sides[side.collection] = SideStore(plan.collections[side.collection], self.rules)
        self._owner: dict[str, NodeRun] = {}
        self._wake: int | None = None

    # ---- what the shell asks

    def state(self, bundle: str) -> BundleState | None:
        """The state view of a running bundle of a stage."""
        owner = self._owner.get(bundle)
        return owner.running[bundle].state if isinstance(owner, StageRun) else None

    def handle(self, event: Event, now: int) -> list[Command]:
        """Takes an event at a time (ms); answers what is to be done. After the job's end, nothing."""
        if self.finished:
            return []
        self.context.now = max(self.context.now, now)
        try:
            commands = self._take(event)
            if not self.finished:
                commands += self._step()
        except (EngineError, CutError) as error:
            return self._end(JobFailed(str(error)))
        return commands

    # ---- inside

    def _end(self, command: Command) -> list[Command]:
        self.finished = True
        return [command]

    def _take(self, event: Event) -> list[Command]:
        if isinstance(event, CancelRequested):
            return self._end(JobCancelled())
        if isinstance(event, BundleDone):
            owner = self._owner.pop(event.bundle)
            assert isinstance(owner, StageRun | GroupRun)
            owner.commit(event)
            return [Finalize(event.bundle)] if event.finalize else []
        if isinstance(event, BundleFailed):
            owner = self._owner.pop(event.bundle)
            again = owner.retry(event.bundle) if isinstance(owner, StageRun) else None
            if again is None:
                return self._end(JobFailed(event.error))
            self._owner[again.bundle] = owner
            return [again]
        if isinstance(event, Tick):
            self._wake = None
        return []

    def _deliver(self, collection: str, chunks: list[bytes]) -> None:
        for consumer in self._consumers.get(collection, ()):
            consumer.accept(collection, chunks)
        side = self.context.sides.get(collection)
        if side is not None:
            side.add(chunks)

    def _step(self) -> list[Command]:
        commands: list[Command] = []
        while True:
            for run in self.nodes:
                run.refresh()
            started: list[RunBundle] = []
            for run in self.nodes:
                for command in run.work():
                    self._owner[command.bundle] = run
                    started.append(command)
            commands += started
            if not self.context.dirty:
                break
            self.context.dirty = False
        if self._owner:
            return commands + self._waking()
        if all(run.watermark_out >= MAX for run in self.nodes):
            return [*commands, *self._end(JobDone())]
        waking = self._waking()
        if waking or self._wake is not None:
            return commands + waking
        stuck = ", ".join(run.id for run in self.nodes if run.watermark_out < MAX)
        return [*commands, *self._end(JobFailed(f"the runner is stuck: nothing runs, and {stuck} cannot finish"))]

    def _waking(self) -> list[Command]:
        times = [at for run in self.nodes if (at := run.wake_at()) is not None and at > self.context.now]
        at = min(times, default=None)
        if at == self._wake:
            return []
        self._wake = at
        return [] if at is None else [WakeAt(at)]
