"""What all nodes of a running plan have in common, and the simple ones: Impulse, TestStream, Flatten. Pure.

**Watermarks.** A watermark is an instant of event time: "no more on-time data before this". Every node has two:

    input watermark  = min over the inputs' watermarks, and over the timestamps of elements that wait or run here (M-WM-01)
    output watermark = min of the input watermark and of all holds: owed panes, timers, restrictions in progress (M-WM-01)

Both start at MIN and never move back. What a node's consumers see is its output watermark, so a hold anywhere keeps everything
downstream from believing that time went by. `refresh` is one step of this: the engine calls it on every node in topological order
after every event, since watermarks only flow forward.

A PCollection with nothing unbounded upstream does not show intermediate watermarks: it goes from MIN to MAX in one step when it
is complete (M-BATCH-01). That is all that tells batch from streaming here.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Sequence

from attrs import define

from conformance.runner.engine_events import BundleDone, BundleSplit, RunBundle
from conformance.runner.plan import Add, FlattenNode, ImpulseNode, Move, Node, Pass, Plan, ScriptEvent, ScriptNode
from conformance.runner.rules import Rules
from conformance.runner.state import BundleState, Side
from conformance.wire import timestamps

__all__ = ["Context", "EngineError", "FlattenRun", "ImpulseRun", "NodeRun", "ScriptRun", "simple_run"]

MIN, MAX = timestamps.MIN, timestamps.MAX


class EngineError(RuntimeError):
    """A harness answered what this runner cannot go on with; the job fails with this text."""


@define
class Context:
    """What nodes share."""

    plan: Plan
    rules: Rules
    #: Published watermark of each PCollection.
    watermarks: dict[str, int]
    sides: dict[str, Side]
    deliver: Callable[[str, list[bytes]], None]
    #: The clock of processing time; a TestStream moves it, else it is `wall`.
    now: int = 0
    #: The shell's clock, by which harnesses set timers.
    wall: int = 0
    #: Whether a TestStream owns the clock.
    scripted: bool = False
    draining: bool = False
    page_bytes: int = 1 << 20
    bundles: int = 0
    #: A node changed by itself while it was asked for work: watermarks are to be refreshed once more.
    dirty: bool = False

    def bundle_id(self) -> str:
        """A fresh instruction id (P-CTL-01)."""
        self.bundles += 1
        return f"bundle-{self.bundles}"

    def bounded(self, collection: str) -> bool:
        """Whether a PCollection is complete in one step."""
        return self.plan.collections[collection].bounded


class NodeRun:
    """A node at work."""

    def __init__(self, node_id: str, context: Context, inputs: Sequence[str], outputs: Sequence[str]) -> None:
        self.id = node_id
        self.inputs = inputs
        self.outputs = outputs
        self.context = context
        self.rules = context.rules
        self.watermark_in = MIN
        self.watermark_out = MIN

    def touches(self) -> Iterable[str]:
        """All PCollections by which this node and others have to do with each other."""
        return (*self.inputs, *self.outputs)

    def accept(self, collection: str, chunks: list[bytes]) -> None:
        """Elements arrive."""

    def pending(self) -> int:
        """The least timestamp that is pending or in process; MAX for none (M-WM-01)."""
        return MAX

    def holds(self) -> Iterable[int]:
        """What holds the output watermark beside that."""
        return ()

    def advance(self) -> None:
        """Watermark or clock may have moved: emit what the runner itself emits."""

    def work(self) -> Iterable[RunBundle]:
        """Bundles to start now."""
        return ()

    def commit(self, done: BundleDone) -> None:
        """A bundle that this node started was answered."""
        raise NotImplementedError(f"{self.id} runs no bundles")

    def attempts(self, bundle: str) -> int:
        """How often the input of a running bundle was tried, this time included."""
        raise NotImplementedError(f"{self.id} runs no bundles")

    def again(self, bundle: str) -> RunBundle:
        """A bundle whose answer does not count once more, everything of the attempt being discarded (M-BNDL-03)."""
        raise NotImplementedError(f"{self.id} runs no bundles")

    def split(self, split: BundleSplit) -> None:
        """A running bundle gave up a part."""

    def estimate(self, bundle: str) -> int | None:
        """How many elements of a running bundle are its own; None if it is not to be split."""
        return None

    def reads_on(self, bundle: str) -> bool:
        """Whether a running bundle reads from a source that is to stop."""
        return False

    def state(self, bundle: str) -> BundleState | None:
        """The state view of a running bundle."""
        return None

    def wake_at(self) -> int | None:
        """When the clock alone gives this node work."""
        return None

    def dropped(self) -> int:
        """How many (element, window)s came too late and were dropped here (M-LATE-03, M-TRIG-35)."""
        return 0

    def refresh(self) -> None:
        """One step of this node: input watermark, own output, output watermark."""
        upstream = [self.context.watermarks[collection] for collection in self.inputs]
        self.watermark_in = max(self.watermark_in, self.rules.input_watermark(upstream, self.pending()))
        self.advance()
        self.watermark_out = max(self.watermark_out, self.rules.output_watermark(self.watermark_in, self.holds()))
        for collection in self.outputs:
            bounded = self.context.bounded(collection)
            self.context.watermarks[collection] = self.rules.published(self.watermark_out, not bounded)


class ImpulseRun(NodeRun):
    """Emits its one element at the first step (M-WM-06)."""

    def __init__(self, node: ImpulseNode, context: Context) -> None:
        super().__init__(node.id, context, (), (node.output,))
        self._emitted = False

    def advance(self) -> None:
        if not self._emitted:
            self._emitted = True
            self.context.deliver(self.outputs[0], [self.rules.impulse()])


class FlattenRun(NodeRun):
    """Passes chunks on untouched."""

    def __init__(self, node: FlattenNode, context: Context) -> None:
        super().__init__(node.id, context, node.inputs, (node.output,))

    def accept(self, collection: str, chunks: list[bytes]) -> None:
        merge = self.rules.flattened if len(self.inputs) > 1 else self.rules.reshuffled
        self.context.deliver(self.outputs[0], merge(chunks))


class ScriptRun(NodeRun):
    """A TestStream. The engine plays its next event when the pipeline can make no more progress (M-TS-01)."""

    def __init__(self, node: ScriptNode, context: Context) -> None:
        super().__init__(node.id, context, (), tuple(node.outputs.values()))
        self._events: deque[ScriptEvent] = deque(node.events)
        self._marks = dict.fromkeys(self.outputs, MIN)
        #: More events may come from a service.
        self._open = bool(node.endpoint)
        self.played = 0
        #: All is played, its end too: that is one more event, so that the last one takes effect before it (M-TS-01, M-TS-05).
        self.complete = False

    @property
    def starved(self) -> bool:
        """Whether the next event, or the end, has not been told yet."""
        return self._open and not self._events

    def serve(self, event: ScriptEvent | None) -> None:
        """What a service gives next; None for the end (M-TS-08)."""
        if event is None:
            self._open = False
        elif isinstance(event, Move) and event.watermark < self._marks[event.collection]:
            raise EngineError(f"{self.id}: the watermark of {event.collection!r} moves back to {event.watermark}")
        elif isinstance(event, Pass) and event.by < 0:
            raise EngineError(f"{self.id}: processing time moves back by {-event.by} ms")
        else:
            self._events.append(event)

    def stop(self) -> None:
        """The job drains: nothing more is read (M-DRAIN-04)."""
        self._open = False
        self._events.clear()
        self.complete = True

    def play(self) -> None:
        """The next event takes effect, or the end."""
        self.played += 1
        if not self._events:
            self.complete = True
            return
        event = self._events.popleft()
        if isinstance(event, Add):
            self.context.deliver(event.collection, list(event.chunks))
        elif isinstance(event, Move):
            self._marks[event.collection] = max(self._marks[event.collection], event.watermark)
        else:
            self.context.now += event.by

    def refresh(self) -> None:
        for collection, mark in self._marks.items():
            self.context.watermarks[collection] = MAX if self.complete else mark
        self.watermark_out = MAX if self.complete else min(self._marks.values(), default=MIN)


def simple_run(node: Node, context: Context) -> NodeRun:
    """A node that runs no bundles, at work."""
    if isinstance(node, ImpulseNode):
        return context.rules.part(ImpulseRun)(node, context)
    if isinstance(node, ScriptNode):
        return context.rules.part(ScriptRun)(node, context)
    assert isinstance(node, FlattenNode)
    return context.rules.part(FlattenRun)(node, context)
