"""Groupings at work: GroupByKey, and the views of unbounded side inputs. Pure.

Both keep a `Grouping`. A GroupByKey delivers its panes as elements; a view shows them to bundles: the elements of the newest pane
of a window (M-SIDE-08).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType

from attrs import evolve

from conformance.runner import cutting
from conformance.runner.engine_events import BundleDone, RunBundle
from conformance.runner.engine_nodes import MAX, MIN, Context, EngineError, NodeRun
from conformance.runner.grouping import Arrivals, Clocks, Grouping, MergeError, Merges
from conformance.runner.plan import Collection, GroupNode
from conformance.wire.api import pipeline_pb2 as pb
from conformance.wire.values import Pane

__all__ = ["CHUNK_BYTES", "GroupRun", "PaneView", "ViewRun", "answers", "ask", "repeated"]

#: Output chunks are cut at about this size: small enough to stream, large enough that a chunk's overhead does not show.
CHUNK_BYTES = 1 << 20


class GroupRun(NodeRun):
    """GroupByKey; windows of a custom WindowFn are merged by bundles of the merger stage (M-WIN-14)."""

    def __init__(self, node: GroupNode, context: Context) -> None:
        super().__init__(node.id, context, (node.input,), (node.output,))
        self._collection = context.plan.collections[node.input]
        self._streaming = not self._collection.bounded
        self._grouping = context.rules.part(Grouping)(self._collection, context.rules, self._streaming, self._emit)
        self._merger = node.merger
        self._merging = self._collection.strategy.merging != "none"
        self._out: list[bytes] = []
        self._size = 0
        #: Arrived, and not yet in the grouping: all of a bounded input whose windows merge, what comes while the SDK merges.
        self._inbox: list[bytes] = []
        #: Of each bundle that the merger runs: what waits for it, and the keys whose windows are merged, in order.
        self._asked: dict[str, tuple[Arrivals, list[bytes], RunBundle]] = {}
        self._earliest = MAX

    def accept(self, collection: str, chunks: list[bytes]) -> None:
        if not self._streaming and not self._merging:
            self._grouping.store(chunks)
        elif not self._streaming or self._merger is not None:
            self._inbox += chunks
            if self._streaming:
                times = (each.timestamp for chunk in chunks for each in self._collection.cut.elements(chunk))
                self._earliest = min(self._earliest, min(times, default=MAX))
        else:
            arrivals = self._take(chunks)
            self._admit(arrivals, self._grouping.sessions(self._grouping.to_merge(arrivals)) if self._merging else {})
            self._deliver()

    def _take(self, chunks: list[bytes]) -> Arrivals:
        watermark = self.watermark_in if self._streaming else MIN  # what is bounded is never late by itself (M-BATCH-03)
        return self._grouping.take(chunks, watermark, self._collection.cut.key_of)

    def _clocks(self) -> Clocks:
        return Clocks(self.watermark_in, self.watermark_out, self.context.now)

    def _admit(self, arrivals: Arrivals, merges: Mapping[bytes, Merges]) -> None:
        try:
            self._grouping.admit(arrivals, merges, self._clocks())
        except MergeError as error:
            raise EngineError(f"{self.id}: {error}") from None

    def _emit(self, key: bytes, window: bytes, timestamp: int, pane: Pane, values: list[bytes]) -> None:
        value = key + cutting.iterable_of(values)
        self._out.append(cutting.windowed_value(timestamp, [window], cutting.encode_pane(pane), value))
        self._size += len(self._out[-1])
        if self._size >= CHUNK_BYTES:
            self._deliver()

    def _deliver(self) -> None:
        if self._out:
            chunk = b"".join(self._out)
            self._out, self._size = [], 0
            self.context.deliver(self.outputs[0], [chunk])

    # ---- time

    def pending(self) -> int:
        if not self._inbox and not self._asked:
            return MAX
        return self._earliest if self._streaming else MAX

    def holds(self) -> Iterable[int]:
        yield self._grouping.hold()
        if self._inbox or self._asked:
            yield self.watermark_out

    def advance(self) -> None:
        if not self._streaming and self._inbox and self._merger is None and self.watermark_in >= MAX:
            arrivals, self._inbox = self._take(self._inbox), []
            self._admit(arrivals, self._grouping.sessions(self._grouping.to_merge(arrivals)))
        if not self._inbox and not self._asked:
            self._grouping.advance(self._clocks())
            self._deliver()

    def wake_at(self) -> int | None:
        return self._grouping.wake_at()

    def dropped(self) -> int:
        return self._grouping.dropped

    # ---- asking the SDK to merge

    def work(self) -> Iterable[RunBundle]:
        if self._merger is None or self._asked or not self._inbox or not (self._streaming or self.watermark_in >= MAX):
            return
        arrivals, self._inbox = self._take(self._inbox), []
        questions = self._grouping.to_merge(arrivals)
        if not questions:
            self._earliest = MAX
            self._admit(arrivals, {})
            self._deliver()
            self.context.dirty = True
            return
        bundle = self.context.bundle_id()
        data = ask(bundle, map(cutting.iterable_of, questions.values()))
        command = RunBundle(bundle, self._merger.id, (data,))
        self._asked[bundle] = (arrivals, list(questions), command)
        yield command

    def attempts(self, bundle: str) -> int:
        return self._asked[bundle][2].attempt

    def again(self, bundle: str) -> RunBundle:
        arrivals, keys, failed = self._asked.pop(bundle)
        command = repeated(failed, self.context)
        self._asked[command.bundle] = (arrivals, keys, command)
        return command

    def commit(self, done: BundleDone) -> None:
        """Applies the merges that the SDK answered; every window stands in exactly one place (P-PIPE-19)."""
        arrivals, keys, _ = self._asked.pop(done.bundle)
        assert self._merger is not None
        (answer,) = self._merger.sinks.values()
        window = self._collection.cut.window
        merges: dict[bytes, Merges] = {}
        for index, value in answers(self.context, done, answer):
            _, pos = cutting.split_iterable(value, 0, window)
            merged, _ = cutting.split_iterable(value, pos, lambda data, at: cutting.iterable_end(data, window(data, at), window))
            groups = []
            for each in merged:
                end = window(each, 0)
                groups.append((each[:end], cutting.split_iterable(each, end, window)[0]))
            taken = [each for _, consumed in groups for each in consumed]
            if len(taken) != len(set(taken)):
                raise EngineError(f"{self._merger.id}: the window function merged one window into two (M-WIN-15)")
            merges[keys[index]] = groups
        if len(merges) != len(keys):
            raise EngineError(f"{self._merger.id}: asked to merge the windows of {len(keys)} keys, got answers for {len(merges)}")
        if self._streaming:
            times = (each.timestamp for chunk in self._inbox for each in self._collection.cut.elements(chunk))
            self._earliest = min(times, default=MAX)
        self._admit(arrivals, merges)
        self._deliver()


def ask(bundle: str, questions: Iterable[bytes]) -> bytes:
    """Elements KV<nonce, question> for a stage that answers the runner's own questions; no nonce comes twice in a job."""
    parts = []
    for index, question in enumerate(questions):
        nonce = f"{bundle}/{index}".encode()
        parts.append(cutting.windowed_value(MIN, [b""], b"\x0f", cutting.encode_varint(len(nonce)) + nonce + question))
    return b"".join(parts)


def repeated(command: RunBundle, context: Context) -> RunBundle:
    """The same questions once more, under the same nonces, since it is the same input (M-BNDL-03)."""
    return evolve(command, bundle=context.bundle_id(), attempt=command.attempt + 1)


def answers(context: Context, done: BundleDone, sink: str) -> Iterable[tuple[int, bytes]]:
    """(number, answer) of what came back."""
    cut = context.plan.collections[sink].cut
    for chunk in done.outputs.get(sink, ()):
        for element in cut.elements(chunk):
            nonce, value = cut.key_of(element.value)
            size, at = cutting.read_varint(nonce, 0)
            yield int(nonce[at : at + size].rpartition(b"/")[2]), value


class ViewRun(NodeRun):
    """The view of an unbounded side input: grouped by window under its own strategy, shown pane by pane (M-SIDE-05, M-SIDE-08)."""

    def __init__(self, collection: str, context: Context) -> None:
        super().__init__(f"view of {collection}", context, (collection,), ())
        self._collection = context.plan.collections[collection]
        self._grouping = context.rules.part(Grouping)(self._collection, context.rules, True, self._emit)
        self._view = PaneView(self._collection)

    def accept(self, collection: str, chunks: list[bytes]) -> None:
        arrivals = self._grouping.take(chunks, self.watermark_in, lambda value: (b"", value))
        self._grouping.admit(arrivals, {}, Clocks(self.watermark_in, self.watermark_out, self.context.now))

    def advance(self) -> None:
        self._grouping.advance(Clocks(self.watermark_in, self.watermark_out, self.context.now))

    def wake_at(self) -> int | None:
        return self._grouping.wake_at()

    def dropped(self) -> int:
        return self._grouping.dropped

    def _emit(self, key: bytes, window: bytes, timestamp: int, pane: Pane, values: list[bytes]) -> None:
        accumulating = self._collection.strategy.accumulation == pb.AccumulationMode.ACCUMULATING
        self._view = self._view.after(window, self.rules.shown_in_view(self._view.iterable(window), values, accumulating))

    @property
    def view(self) -> PaneView:
        """What bundles that start now see; it does not change under them (M-SIDE-09)."""
        return self._view

    def ready(self, window: bytes) -> bool:
        """Whether the window has had a pane, or can no longer get its first one in time."""
        return self.rules.side_window_ready(self._view.has(window), self._grouping.certain(window), self.watermark_in)


class PaneView:
    """The panes of a side input that are shown at one moment."""

    def __init__(
        self, collection: Collection, shown: Mapping[bytes, list[bytes]] = MappingProxyType({}), version: int = 0
    ) -> None:
        self._collection = collection
        self._shown = shown
        #: Counts changes: equal versions have equal contents.
        self.version = version
        self._maps: dict[bytes, dict[bytes, list[bytes]]] = {}

    def after(self, window: bytes, values: list[bytes]) -> PaneView:
        """The view with other contents of one window."""
        return PaneView(self._collection, {**self._shown, window: values}, self.version + 1)

    def has(self, window: bytes) -> bool:
        """Whether a window has had a pane."""
        return window in self._shown

    def iterable(self, window: bytes) -> list[bytes]:
        """All values of a window; none for one that nothing is in (M-SIDE-04)."""
        return self._shown.get(window, [])

    def multimap(self, window: bytes) -> Mapping[bytes, list[bytes]]:
        """Values of a window by encoded key."""
        if window not in self._maps:
            made: dict[bytes, list[bytes]] = {}
            for each in self.iterable(window):
                key, value = self._collection.cut.key_of(each)
                made.setdefault(key, []).append(value)
            self._maps[window] = made
        return self._maps[window]
