"""How each kind of node of a plan lives: what it holds, when it may run, what it commits. Pure.

A node is told of arrivals and of the watermarks of its inputs, answers with its own output watermark, and offers work.
`engine` drives nodes in topological order; all decisions are `rules`'.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable, Mapping, Sequence

from attrs import define, field

from conformance.runner import cutting
from conformance.runner.engine_events import BundleDone, Residual, RunBundle
from conformance.runner.grouping import Grouping
from conformance.runner.plan import Collection, FlattenNode, GroupNode, ImpulseNode, Node, Plan, StageNode, TimerFamily
from conformance.runner.rules import Rules
from conformance.runner.state import BundleState, SideStore, StateStore
from conformance.runner.timers import PendingTimer, TimerStore
from conformance.wire import timestamps

__all__ = ["Context", "EngineError", "FlattenRun", "GroupRun", "ImpulseRun", "NodeRun", "StageRun", "node_run"]

MIN, MAX = timestamps.MIN, timestamps.MAX


class EngineError(RuntimeError):
    """A harness answered what this runner cannot go on with; the job fails with this text."""


@define
class Context:
    """What nodes share."""

    plan: Plan
    rules: Rules
    streaming: bool
    #: Published watermark of each PCollection.
    watermarks: dict[str, int]
    sides: dict[str, SideStore]
    deliver: Callable[[str, list[bytes]], None]
    now: int = 0
    page_bytes: int = 1 << 20
    bundles: int = 0
    #: A node changed by itself while it was asked for work: watermarks are to be refreshed once more.
    dirty: bool = False

    def bundle_id(self) -> str:
        """A fresh instruction id (P-CTL-01)."""
        self.bundles += 1
        return f"bundle-{self.bundles}"


class NodeRun:
    """A node at work."""

    #: Bundles in flight.
    running: Mapping[str, object]

    def __init__(self, node: Node, context: Context, inputs: Sequence[str], outputs: Sequence[str]) -> None:
        self.id = node.id
        self.inputs = inputs
        self.outputs = outputs
        self.context = context
        self.rules = context.rules
        self.watermark_in = MIN
        self.watermark_out = MIN
        self.running = {}

    def accept(self, collection: str, chunks: list[bytes]) -> None:
        """Elements arrive."""

    def pending(self) -> int:
        """The least timestamp that is pending or in process; MAX for none (M-WM-01)."""
        return MAX

    def holds(self) -> Iterable[int]:
        """What holds the output watermark beside that."""
        return ()

    def advance(self) -> None:
        """The input watermark may have moved: emit what the runner itself emits."""

    def work(self) -> Iterable[RunBundle]:
        """Bundles to start now."""
        return ()

    def wake_at(self) -> int | None:
        """When the clock alone gives this node work."""
        return None

    def refresh(self) -> None:
        """One step of this node: input watermark, own output, output watermark."""
        upstream = [self.context.watermarks[collection] for collection in self.inputs]
        self.watermark_in = max(self.watermark_in, self.rules.input_watermark(upstream, self.pending()))
        self.advance()
        self.watermark_out = max(self.watermark_out, self.rules.output_watermark(self.watermark_in, self.holds()))
        published = self.rules.published(self.watermark_out, self.context.streaming)
        for collection in self.outputs:
            self.context.watermarks[collection] = published


class ImpulseRun(NodeRun):
    """Emits its one element at the first step (M-WM-06)."""

    def __init__(self, node: ImpulseNode, context: Context) -> None:
        super().__init__(node, context, (), (node.output,))
        self._emitted = False

    def advance(self) -> None:
        if not self._emitted:
            self._emitted = True
            self.context.deliver(self.outputs[0], [self.rules.impulse()])


class FlattenRun(NodeRun):
    """Passes chunks on untouched."""

    def __init__(self, node: FlattenNode, context: Context) -> None:
        super().__init__(node, context, node.inputs, (node.output,))

    def accept(self, collection: str, chunks: list[bytes]) -> None:
        merge = self.rules.flattened if len(self.inputs) > 1 else self.rules.reshuffled
        self.context.deliver(self.outputs[0], merge(chunks))


class GroupRun(NodeRun):
    """GroupByKey; windows of a custom WindowFn are merged by bundles of the merger stage."""

    def __init__(self, node: GroupNode, context: Context) -> None:
        super().__init__(node, context, (node.input,), (node.output,))
        self._grouping = Grouping(context.plan.collections[node.input], context.rules)
        self._merger = node.merger
        self._merged = node.merger is None
        self.running: dict[str, list[bytes]] = {}
        #: Whether something changed since panes were last looked for.
        self._stale = False
        self._fired_at = MIN

    def accept(self, collection: str, chunks: list[bytes]) -> None:
        self._grouping.add(chunks, self.watermark_in)
        self._stale = True

    def advance(self) -> None:
        moved = self.watermark_in > self._fired_at
        if self._merged and (moved or (self._stale and self.watermark_in > MIN)):
            self._stale, self._fired_at = False, self.watermark_in
            chunks = self._grouping.fire(self.watermark_in)
            if chunks:
                self.context.deliver(self.outputs[0], chunks)

    def holds(self) -> Iterable[int]:
        return () if self._grouping.empty else (MIN,)

    def work(self) -> Iterable[RunBundle]:
        if self._merged or self.running or self._merger is None or self.watermark_in < MAX:
            return
        questions = self._grouping.to_merge()
        if not questions:
            self._merged = self._stale = self.context.dirty = True
            return
        bundle = self.context.bundle_id()
        self.running[bundle] = list(questions)
        data = b"".join(
            cutting.windowed_value(
                MIN, [b""], b"\x0f", cutting.encode_varint(len(nonce := b"%d" % index)) + nonce + cutting.iterable_of(windows)
            )
            for index, windows in enumerate(questions.values())
        )
        yield RunBundle(bundle, self._merger.id, (data,))

    def commit(self, done: BundleDone) -> None:
        """Applies the merges that the SDK answered; every window stands in exactly one place (P-PIPE-19)."""
        keys = self.running.pop(done.bundle)
        assert self._merger is not None
        (answer,) = self._merger.sinks.values()
        collection = self.context.plan.collections[answer]
        window = self.context.plan.collections[self.inputs[0]].cut.window
        answered = set()
        for chunk in done.outputs.get(answer, ()):
            for element in collection.cut.elements(chunk):
                nonce, value = collection.cut.key_of(element.value)
                size, at = cutting.read_varint(nonce, 0)
                index = int(nonce[at : at + size])
                _, pos = cutting.split_iterable(value, 0, window)
                count = int.from_bytes(value[pos : pos + 4], "big", signed=True)
                groups = []
                if count < 0:
                    raise EngineError("merged windows came as an iterable of unknown length; send a known length")
                pos += 4
                for _ in range(count):
                    end = window(value, pos)
                    result = value[pos:end]
                    consumed, pos = cutting.split_iterable(value, end, window)
                    groups.append((result, consumed))
                self._grouping.merged(keys[index], groups)
                answered.add(index)
        if len(answered) != len(keys):
            raise EngineError(
                f"{self._merger.id}: asked to merge the windows of {len(keys)} keys, got answers for {len(answered)}"
            )
        self._merged = self._stale = True


@define
class Bundle:
    """A bundle in flight: what it was given, to run it again or to let go of the hold."""

    data: tuple[bytes, ...]
    timers: list[PendingTimer]
    expiring: bool
    state: BundleState
    attempts: int = 1
    holds: list[int] = field(factory=list)


class StageRun(NodeRun):
    """A stage that an SDK runs: bundles, timers, state, residuals."""

    def __init__(self, node: StageNode, context: Context) -> None:
        super().__init__(node, context, (node.input,), tuple(node.sinks.values()))
        self.node = node
        self._collection: Collection = context.plan.collections[node.input]
        self._pending: list[bytes] = []
        self._residuals: list[tuple[int, int, bytes]] = []
        self._sequence = 0
        self.running: dict[str, Bundle] = {}
        self.timers = TimerStore(context.rules)
        self.store = StateStore(node)
        self._families = {(family.transform, family.name): family for family in node.timers}
        self._expirations = [family for family in node.timers if family.on_expiration]
        self._seen: dict[tuple[bytes, bytes], None] = {}

    def accept(self, collection: str, chunks: list[bytes]) -> None:
        self._pending += chunks

    def pending(self) -> int:
        if self._pending or self._residuals:
            return MIN
        return MIN if any(bundle.data for bundle in self.running.values()) else MAX

    def holds(self) -> Iterable[int]:
        yield from self.timers.holds()
        for bundle in self.running.values():
            yield from bundle.holds
        if self._seen:
            yield MIN

    # ---- work

    def work(self) -> Iterable[RunBundle]:
        rules, context = self.rules, self.context
        if not all(rules.side_input_ready(context.watermarks[side.collection]) for side in self.node.side_inputs):
            return
        if not rules.may_run_beside(self.node.keyed, len(self.running)):
            return
        data = self._take_data()
        if data:
            yield self._start(data, [], False)
            return
        if self.node.keyed and not self.running and self.watermark_in >= MAX:
            yield from self._timer_work()

    def _take_data(self) -> tuple[bytes, ...]:
        upstream = self.context.watermarks[self.node.input]
        if self.node.time_sorted and upstream < MAX:
            return ()
        data = self._pending
        self._pending = []
        while self._residuals and self.rules.residual_due(self._residuals[0][0], self.context.now):
            data.append(heapq.heappop(self._residuals)[2])
        if data and self.node.time_sorted:
            elements = (element for chunk in data for element in self._collection.cut.elements(chunk))
            data = [element.whole for element in self.rules.time_sorted(elements)]
        if data and self._expirations:
            for chunk in data:
                for element in self._collection.cut.elements(chunk):
                    key, _ = self._collection.cut.key_of(element.value)
                    self._seen.update(dict.fromkeys((key, window) for window in self.rules.explode(element)))
        return tuple(data)

    def _timer_work(self) -> Iterable[RunBundle]:
        rules = self.rules
        due = self.timers.take_due(self._expiry, self.watermark_in, self.context.now)
        if due:
            yield self._start((), due, False)
            return
        over = [(key, window) for key, window in self._seen if rules.calls_on_expiration(self._expiry(window), self.watermark_in)]
        if over:
            for each in over:
                del self._seen[each]
            yield self._start(
                (), [self._expiration(family, key, window) for family in self._expirations for key, window in over], True
            )
            return
        if len(self.timers) or self.store.cells:
            self.timers.drop(self._is_over)
            self.store.free(self._is_over)
            self.context.dirty = True

    def _expiration(self, family: TimerFamily, key: bytes, window: bytes) -> PendingTimer:
        last = self.rules.window_max(self._collection.strategy.windows, window)
        return PendingTimer(family.transform, family.name, True, key, b"\x00", window, self._expiry(window), last, b"\x0f")

    def _expiry(self, window: bytes) -> int:
        strategy = self._collection.strategy
        return self.rules.expiry(self.rules.window_max(strategy.windows, window), strategy.allowed_lateness)

    def _is_over(self, window: bytes) -> bool:
        return self.rules.state_over(self._expiry(window), self.watermark_in)

    def _start(self, data: tuple[bytes, ...], timers: list[PendingTimer], expiring: bool) -> RunBundle:
        context, rules = self.context, self.rules
        bundle = Bundle(data, timers, expiring, BundleState(self.node, self.store, context.sides, context.page_bytes))
        bundle.holds = [MIN] if data else [rules.timer_hold(timer.fire, timer.hold) for timer in timers]
        name = context.bundle_id()
        self.running[name] = bundle
        return self._command(name, bundle)

    def _command(self, name: str, bundle: Bundle) -> RunBundle:
        streams: dict[tuple[str, str], list[bytes]] = {}
        for timer in sorted(bundle.timers, key=lambda timer: timer.fire):
            encoded = timer.encoded(self.rules.fired_at(timer.fire, self.watermark_in))
            streams.setdefault((timer.transform, timer.family), []).append(encoded)
        return RunBundle(name, self.id, bundle.data, {family: tuple(each) for family, each in streams.items()})

    def wake_at(self) -> int | None:
        times = [self._residuals[0][0]] if self._residuals else []
        due = self.timers.next_processing_time()
        return min([*times, due] if due is not None else times, default=None)

    # ---- the end of a bundle

    def commit(self, done: BundleDone) -> None:
        """Outputs, state, timers and residuals of a bundle, all at once (M-BNDL-02)."""
        bundle = self.running.pop(done.bundle)
        self.store.commit(bundle.state.written)
        for name, chunks in done.timers.items():
            family = self._families[name]
            settings = [timer for chunk in chunks for timer in family.cut.timers(chunk)]
            if not bundle.expiring:  # what a callback of an expired window sets is void (M-TIMER-21)
                self.timers.apply(family, settings)
        for residual in done.residuals:
            self._hand_back(residual)
        for collection, chunks in done.outputs.items():
            if chunks:
                self.context.deliver(collection, chunks)

    def _hand_back(self, residual: Residual) -> None:
        if residual.transform not in self.node.transforms:
            raise EngineError(f"residual root of transform {residual.transform!r}, which stage {self.id} does not have")
        if not self.node.splittable:
            raise EngineError(f"residual root of {residual.transform!r}, which does not process restrictions")
        self._sequence += 1
        heapq.heappush(self._residuals, (self.context.now + residual.delay, self._sequence, residual.element))

    def retry(self, name: str) -> RunBundle | None:
        """The failed bundle again, from what was committed; None when the job is to fail (M-BNDL-03, M-BNDL-04)."""
        bundle = self.running.pop(name)
        if not self.rules.retries(bundle.attempts):
            return None
        again = Bundle(
            bundle.data,
            bundle.timers,
            bundle.expiring,
            BundleState(self.node, self.store, self.context.sides, self.context.page_bytes),
            bundle.attempts + 1,
            bundle.holds,
        )
        fresh = self.context.bundle_id()
        self.running[fresh] = again
        return self._command(fresh, again)


def node_run(node: Node, context: Context) -> NodeRun:
    """The node at work."""
    if isinstance(node, ImpulseNode):
        return ImpulseRun(node, context)
    if isinstance(node, FlattenNode):
        return FlattenRun(node, context)
    if isinstance(node, GroupNode):
        return GroupRun(node, context)
    return StageRun(node, context)
