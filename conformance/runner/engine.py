"""The engine of one job. Pure: an event in, commands out; no gRPC, threads, clock or randomness.

Time comes in with each event. After an event every node takes one step in topological order (watermarks only flow
forward), then every node is asked for work, until nothing moves by itself any more. One engine serves batch and streaming:
bounded execution is the case in which watermarks are published in one step from MIN to MAX (M-BATCH-01).

What a job does is decided in four places: `engine_nodes` explains watermarks, `grouping` windows and panes, `triggers` when a
pane fires, `engine_stages` what holds bundles, timers and restrictions.

**TestStream.** When nothing runs and nothing more can run, the pipeline is quiet, and the next event of a script takes effect
(M-TS-01, M-TS-07). With a script in the job processing time is the script's own clock (M-TS-04); when the script is through, the
clock jumps to whatever is still waited for.
"""

from __future__ import annotations

from collections.abc import Iterable

from conformance.runner.cutting import CutError
from conformance.runner.engine_events import (
    BundleDiscarded,
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
    RunBundle,
    ScriptServed,
    Split,
    Started,
    Tick,
    WakeAt,
)
from conformance.runner.engine_groups import GroupRun, ViewRun
from conformance.runner.engine_nodes import MAX, MIN, Context, EngineError, NodeRun, ScriptRun, simple_run
from conformance.runner.engine_stages import StageRun
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
        self.context = Context(plan, self.rules, watermarks, {}, self._deliver, page_bytes=page_bytes)
        self.nodes: list[NodeRun] = []
        self._consumers: dict[str, list[NodeRun]] = {}
        self._stores: dict[str, SideStore] = {}
        for node in plan.nodes:
            if isinstance(node, StageNode):
                for side in node.side_inputs:
                    self._add_side(plan, side.collection)
                run: NodeRun = self.rules.part(StageRun)(node, self.context)
                self._consumers.setdefault(node.input, []).append(run)
            elif isinstance(node, GroupNode):
                run = self.rules.part(GroupRun)(node, self.context)
                self._consumers.setdefault(node.input, []).append(run)
            else:
                run = simple_run(node, self.context)
                if isinstance(node, FlattenNode):
                    for collection in node.inputs:  # the same PCollection twice is delivered twice (M-XF-11)
                        self._consumers.setdefault(collection, []).append(run)
            self.nodes.append(run)
        self._scripts = [run for run in self.nodes if isinstance(run, ScriptRun)]
        self.context.scripted = bool(self._scripts)
        self._owner: dict[str, NodeRun] = {}
        self._wake: int | None = None
        #: What is connected; a bundle that ends moves nothing outside of its part.
        self._parts = _parts(self.nodes)
        self._part_of = {id(run): number for number, part in enumerate(self._parts) for run in part}
        #: When each part is to be woken, as of its last step.
        self._wakes: list[int | None] = [None] * len(self._parts)

    def _add_side(self, plan: Plan, collection: str) -> None:
        """The side input's store or view; the latter is a node, right before the first stage that reads it."""
        if collection in self.context.sides:
            return
        if plan.collections[collection].bounded:
            store = self._stores[collection] = self.rules.part(SideStore)(plan.collections[collection], self.rules)
            self.context.sides[collection] = store
        else:
            view = self.rules.part(ViewRun)(collection, self.context)
            self.context.sides[collection] = view
            self.nodes.append(view)
            self._consumers.setdefault(collection, []).append(view)

    # ---- what the shell asks

    def state(self, bundle: str) -> BundleState | None:
        """The state view of a running bundle of a stage."""
        owner = self._owner.get(bundle)
        return owner.state(bundle) if owner is not None else None

    def estimate(self, bundle: str) -> int | None:
        """How many elements of a running bundle are its own; None if it is not to be split."""
        owner = self._owner.get(bundle)
        return None if owner is None else owner.estimate(bundle)

    def dropped(self) -> dict[str, int]:
        """Node → how many (element, window)s were dropped there because they came too late; only nodes that dropped some."""
        return {run.id: count for run in self.nodes if (count := run.dropped())}

    def handle(self, event: Event, now: int) -> list[Command]:
        """Takes an event at a time (ms); answers what is to be done. After the job's end, nothing."""
        if self.finished:
            return []
        context = self.context
        context.wall = max(context.wall, now)
        if isinstance(event, Started) or not context.scripted:
            context.now = context.wall
        try:
            part = self._part_of[id(self._owner[event.bundle])] if isinstance(event, BundleDone) else None
            commands = self._take(event)
            if not self.finished:
                commands += self._step(None if context.scripted else part)
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
            self._owner.pop(event.bundle).commit(event)
            return [Finalize(event.bundle)] if self.rules.is_finalized(event.finalize, bool(event.residuals)) else []
        if isinstance(event, BundleFailed):
            if event.lost or not self.rules.retries(self._owner[event.bundle].attempts(event.bundle)):
                return self._end(JobFailed(event.error))
            return [self._again(event.bundle)]
        if isinstance(event, BundleDiscarded):
            return [self._again(event.bundle)]
        if isinstance(event, BundleSplit):
            if event.bundle in self._owner:
                self._owner[event.bundle].split(event)
        elif isinstance(event, DrainRequested):
            self.context.draining = True
            for script in self._scripts:
                script.stop()
            return [Split(bundle) for bundle, owner in self._owner.items() if owner.reads_on(bundle)]
        elif isinstance(event, ScriptServed):
            for script in self._scripts:
                if script.id == event.script and not script.complete:
                    script.serve(event.event)
        elif isinstance(event, Tick):
            self._wake = None
        return []

    def _again(self, bundle: str) -> RunBundle:
        owner = self._owner.pop(bundle)
        again = owner.again(bundle)
        self._owner[again.bundle] = owner
        return again

    def _deliver(self, collection: str, chunks: list[bytes]) -> None:
        for consumer in self.rules.consumers(self._consumers.get(collection, [])):
            consumer.accept(collection, chunks)
        store = self._stores.get(collection)
        if store is not None:
            store.add(chunks)

    def _step(self, part: int | None) -> list[Command]:
        """Everything that follows from an event; `part` is the only one that it concerns, None if it may concern all."""
        commands: list[Command] = []
        if part is not None:
            self._settle(commands, [part])
            if self._owner:
                return commands + self._waking()
        while True:
            self._settle(commands, range(len(self._parts)))
            if self._owner:
                return commands + self._waking()
            if all(run.watermark_out >= MAX for run in self.nodes):
                return [*commands, *self._end(JobDrained() if self.context.draining else JobDone())]
            if not self._play():
                break
        waking = self._waking()
        if waking or self._wake is not None or any(script.starved for script in self._scripts):
            return commands + waking
        stuck = ", ".join(run.id for run in self.nodes if run.watermark_out < MAX)
        return [*commands, *self._end(JobFailed(f"the runner is stuck: nothing runs, and {stuck} cannot finish"))]

    def _settle(self, commands: list[Command], parts: Iterable[int]) -> None:
        """Lets every node of some parts step and start work until nothing moves by itself."""
        for part in parts:
            nodes = self._parts[part]
            while True:
                self.context.dirty = False
                self._refresh(nodes)
                for run in nodes:
                    for command in run.work():
                        self._owner[command.bundle] = run
                        commands.append(command)
                if not self.context.dirty:
                    break
            self._wakes[part] = min(
                (at for run in nodes if (at := run.wake_at()) is not None and at > self.context.now), default=None
            )

    def _refresh(self, nodes: list[NodeRun]) -> None:
        """Moves watermarks on: through all nodes at once, or each by what the node before it showed last."""
        if self.rules.sweeps():
            for run in nodes:
                run.refresh()
            return
        before = self._marks(nodes)
        for run in reversed(nodes):
            run.refresh()
        if self._marks(nodes) != before:
            self.context.dirty = True

    def _marks(self, nodes: list[NodeRun]) -> tuple[dict[str, int], list[int]]:
        return dict(self.context.watermarks), [run.watermark_in for run in nodes]

    def _play(self) -> bool:
        """Everything is quiet: the next event of a script, or the next instant that is waited for behind its end."""
        waiting = [script for script in self._scripts if not script.complete]
        told = [script for script in waiting if not script.starved]
        if told:  # several scripts take turns
            min(told, key=lambda script: script.played).play()
            return True
        if self._scripts and not waiting:
            at = self._next_wake()
            if at is not None:
                self.context.now = at
                return True
        return False

    def _next_wake(self) -> int | None:
        return min((at for at in self._wakes if at is not None), default=None)

    def _waking(self) -> list[Command]:
        if self.context.scripted:  # its clock stands still between events
            return []
        at = self._next_wake()
        if at == self._wake:
            return []
        self._wake = at
        return [] if at is None else [WakeAt(at)]


def _parts(nodes: list[NodeRun]) -> list[list[NodeRun]]:
    """Nodes in parts that have no PCollection in common, each in the order of `nodes`."""
    part: dict[str, int] = {}
    merged: dict[int, int] = {}

    def root(number: int) -> int:
        while number in merged:
            number = merged[number]
        return number

    for number, run in enumerate(nodes):
        for collection in run.touches():
            other = root(part.setdefault(collection, number))
            if other != root(number):
                merged[root(number)] = other
    parts: dict[int, list[NodeRun]] = {}
    for number, run in enumerate(nodes):
        parts.setdefault(root(number), []).append(run)
    return list(parts.values())
