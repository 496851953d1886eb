"""Stages at work: what waits for an SDK to run it, what runs, what a bundle's end commits. Pure.

A stage holds, each with its own claim on watermarks:

| what | claim |
|---|---|
| elements that arrived (`_inbox`), wait for a side input (`_parked`) or run | input watermark at their least timestamp |
| elements that are sorted by time first (`_sorted`) | output watermark at their least timestamp (M-STATE-16) |
| pending timers, and those that are being delivered | output watermark at their hold (M-TIMER-12) |
| restrictions that were handed back, until they are done | output watermark at what they reported (M-SDF-07) |
| (key, window)s that owe OnWindowExpiration | output watermark at the end of the window (M-STATE-18) |

A stage with state or timers runs one bundle at a time (M-STATE-02), data and timers in turn, so that neither starves the other.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable

from attrs import define, evolve, field, frozen

from conformance.runner import cutting
from conformance.runner.engine_events import BundleDone, BundleSplit, Residual, RunBundle
from conformance.runner.engine_groups import ViewRun, answers, ask, repeated
from conformance.runner.engine_nodes import MAX, MIN, Context, EngineError, NodeRun
from conformance.runner.holds import Holds
from conformance.runner.plan import Collection, SideInput, StageNode, TimerFamily
from conformance.runner.state import BundleState, StateStore
from conformance.runner.timers import PendingTimer, TimerStore

__all__ = ["StageRun"]


@frozen
class Piece:
    """Input of a stage: bytes of whole elements, and what they hold."""

    data: bytes
    #: Their least timestamp, where they hold the input watermark; MAX for what only holds the output.
    timestamp: int
    #: Where they hold the output watermark; MAX for nowhere.
    hold: int = MAX
    #: Restrictions that were truncated: nothing is left out of them any more.
    truncated: bool = False


@define
class Bundle:
    """A bundle in flight: what it was given, to run it again or to let go of its holds."""

    pieces: list[Piece]
    timers: list[PendingTimer]
    state: BundleState
    expiring: bool = False
    #: Restrictions go to be truncated, not to be processed.
    truncating: bool = False
    attempts: int = 1
    holds: list[int] = field(factory=list)
    #: What a split took away: elements from this one on, and restrictions; owed once the rest is committed (P-SPL-07).
    cut: int | None = None
    given: list[Residual] = field(factory=list)


class StageRun(NodeRun):
    """A stage that an SDK runs: bundles, timers, state, residuals."""

    def __init__(self, node: StageNode, context: Context) -> None:
        super().__init__(node.id, context, (node.input,), tuple(node.sinks.values()))
        self.node = node
        self._collection: Collection = context.plan.collections[node.input]
        self._streaming = not self._collection.bounded
        self._inbox: list[Piece] = []
        #: Timestamps of what arrived and is not done.
        self._open = Holds()
        #: (timestamp, number, window, element)
        self._sorted: list[tuple[int, int, bytes, bytes]] = []
        #: (timestamp, window, element)
        self._parked: list[tuple[int, bytes, bytes]] = []
        #: (due, number, restriction)
        self._residuals: list[tuple[int, int, Piece]] = []
        self._number = 0
        self._dropped = 0
        self.running: dict[str, Bundle] = {}
        self.timers = context.rules.part(TimerStore)(context.rules)
        self.store = context.rules.part(StateStore)(node)
        self._families = {(family.transform, family.name): family for family in node.timers}
        self._expirations = [family for family in node.timers if family.on_expiration]
        self._seen: dict[tuple[bytes, bytes], None] = {}
        self._seen_ends = Holds()
        self._timers_next = False
        #: Counts what may have made cached state stale (M-BNDL-14).
        self._epoch = 0
        self._freed_at = MIN
        self._whole = [side for side in node.side_inputs if context.bounded(side.collection)]
        self._windowed = [side for side in node.side_inputs if not context.bounded(side.collection)]
        #: Main window → side window, for each side input that the SDK maps; None while it is asked.
        self._mapped: dict[str, dict[bytes, bytes | None]] = {}
        self._mapping: dict[str, tuple[SideInput, list[bytes], RunBundle]] = {}

    def touches(self) -> Iterable[str]:
        return (*super().touches(), *(side.collection for side in self.node.side_inputs))

    # ---- arrival

    def accept(self, collection: str, chunks: list[bytes]) -> None:
        if self.node.time_sorted:
            self._accept_sorted(chunks)
        elif self._windowed:
            for chunk in chunks:
                for element in self._collection.cut.elements(chunk):
                    for window in self.rules.explode(element):
                        self._open.add(element.timestamp)
                        self._parked.append((element.timestamp, window, _in_window(element, window)))
        else:
            self._inbox += [self._piece(chunk) for chunk in chunks]

    def _piece(self, chunk: bytes) -> Piece:
        times = (element.timestamp for element in self._collection.cut.elements(chunk)) if self._streaming else ()
        piece = Piece(chunk, min(times, default=MIN))
        self._open.add(piece.timestamp)
        return piece

    def _accept_sorted(self, chunks: list[bytes]) -> None:
        """Elements wait until nothing earlier can come; ones that come too late for that are dropped, each by itself (M-STATE-16)."""
        for chunk in chunks:
            for element in self._collection.cut.elements(chunk):
                for window in self.rules.explode(element):
                    if self.rules.sorted_release(self._sorted_until(element.timestamp, window), self.watermark_in):
                        self._dropped += 1
                    else:
                        self._number += 1
                        entry = (element.timestamp, self._number, window, _in_window(element, window))
                        heapq.heappush(self._sorted, entry)

    def _sorted_until(self, timestamp: int, window: bytes) -> int:
        return min(timestamp + self._collection.strategy.allowed_lateness, self._expiry(window))

    # ---- watermarks

    def pending(self) -> int:
        least = self._open.least()
        if least is None:
            return MAX
        return least if self._streaming else MIN

    def holds(self) -> Iterable[int]:
        yield self.timers.hold()
        if self._sorted:
            yield self._sorted[0][0]
        for _, _, piece in self._residuals:
            yield piece.hold
        for piece in self._inbox:
            yield piece.hold
        for bundle in self.running.values():
            yield from bundle.holds
        owed = self._seen_ends.least()
        if owed is not None:
            yield owed

    # ---- work

    def work(self) -> Iterable[RunBundle]:
        context = self.context
        if not self.rules.may_run_beside(self.node.keyed, len(self.running)):
            return
        if not all(self.rules.side_input_ready(context.watermarks[side.collection]) for side in self._whole):
            return
        if self._parked:
            yield from self._unpark()
        if self.node.keyed and self._timers_next and not self.node.time_sorted:
            self._timers_next = False
            started = list(self._timer_work())
            if started:
                yield from started
                return
        pieces = self._take()
        if context.draining and self.node.splittable and (pieces := self._stop_reading(pieces)):
            fresh = [piece for piece in pieces if not piece.truncated]
            pieces = [piece for piece in pieces if piece.truncated]
            if fresh:
                yield self._start(fresh, [], truncating=True)
        if pieces:
            self._timers_next = self.node.keyed
            for some in self._bundles(pieces):
                yield self._start(some, [])
        elif self.node.keyed and not self.running:
            yield from self._timer_work()

    def _take(self) -> list[Piece]:
        pieces, self._inbox = self._inbox, []
        while self._residuals and self.rules.residual_due(self._residuals[0][0], self._clock()):
            pieces.append(heapq.heappop(self._residuals)[2])
        if self._sorted:
            pieces += self._take_sorted()
        elif self.node.keyed and self._streaming:
            pieces = [kept for piece in pieces if (kept := self._in_time(piece)) is not None]
        if self._expirations:
            for piece in pieces:
                for element in self._collection.cut.elements(piece.data):
                    key, _ = self._collection.cut.key_of(element.value)
                    for window in self.rules.explode(element):
                        self._see(key, window)
        return pieces

    def _bundles(self, pieces: list[Piece]) -> list[list[Piece]]:
        """The input of each bundle to start; where one at a time may run the rest waits."""
        most = self.rules.bundle_elements()
        shuffling = self.rules.shuffles() and not self.node.time_sorted
        if most is None and not shuffling:
            return [pieces]
        single = self._singled(pieces)
        if shuffling:
            single = self._shuffled(single)
        bundles = []
        while single:
            bundles.append(single[:most])
            single = single[most:] if most is not None else []
            most = self.rules.bundle_elements()
        if self.node.keyed and bundles:
            self._inbox = [piece for bundle in bundles[1:] for piece in bundle] + self._inbox
            return bundles[:1]
        if not bundles:
            self.context.dirty = True
        return bundles

    def _singled(self, pieces: list[Piece]) -> list[Piece]:
        """Pieces of one element each."""
        single = []
        for piece in pieces:
            elements = [each.whole for each in self._collection.cut.elements(piece.data)]
            single += [evolve(piece, data=each) for each in elements]
            for _ in elements[1:]:
                if piece.timestamp != MAX:
                    self._open.add(piece.timestamp)
            if not elements:
                self._release(piece)
        return single

    def _shuffled(self, single: list[Piece]) -> list[Piece]:
        """In another order; but panes stay in theirs (M-PANE-14)."""
        order = self.rules.shuffled(len(single))
        paned = [number for number in order if self._is_pane(single[number])]
        following = iter(sorted(paned))
        moved = set(paned)
        return [single[next(following) if number in moved else number] for number in order]

    def _is_pane(self, piece: Piece) -> bool:
        (element,) = self._collection.cut.elements(piece.data)
        return element.pane != b"\x0f"

    def _clock(self) -> int:
        """The clock by which delays count; a job that drains waits for nothing more."""
        return MAX if self.context.draining else self.context.now

    def _take_sorted(self) -> list[Piece]:
        taken: list[tuple[int, bytes]] = []
        kept = []
        for entry in self._sorted:
            timestamp, _, window, element = entry
            if self.rules.sorted_release(self._sorted_until(timestamp, window), self.watermark_in):
                taken.append((timestamp, element))
            else:
                kept.append(entry)
        if not taken:
            return []
        self._sorted = kept
        heapq.heapify(self._sorted)
        return [Piece(element, MAX, timestamp) for timestamp, element in self.rules.time_sorted(taken)]

    def _in_time(self, piece: Piece) -> Piece | None:
        """Without the elements of windows that are over: they never reach user code (M-LATE-05)."""
        over: dict[bytes, bool] = {}
        whole, parts = True, []
        for element in self._collection.cut.elements(piece.data):
            for window in element.windows:
                if window not in over:
                    over[window] = self.rules.is_dropped(self._expiry(window), self.watermark_in, window)
            windows = [window for window in self.rules.explode(element) if not over[window]]
            if len(windows) == len(element.windows):
                parts.append(element.whole)
                continue
            whole = False
            self._dropped += len(element.windows) - len(windows)
            if windows:
                parts.append(cutting.windowed_value(element.timestamp, windows, element.pane, element.value))
        if whole:
            return piece
        if not parts:
            self._open.remove(piece.timestamp)
            self.context.dirty = True
            return None
        return Piece(b"".join(parts), piece.timestamp, piece.hold)

    # ---- drain

    def _stop_reading(self, pieces: list[Piece]) -> list[Piece]:
        """Restrictions of a draining job: to be truncated where the SDK does that, else read on if bounded, else given up (M-SDF-12)."""
        if self.node.truncator is not None:
            return pieces
        if all(self.context.bounded(each) for each in self.node.split_outputs.values()):
            return [Piece(piece.data, piece.timestamp, piece.hold, True) for piece in pieces]
        for piece in pieces:
            if not piece.truncated:
                self._release(piece)
                self.context.dirty = True
        return [piece for piece in pieces if piece.truncated]

    def _release(self, piece: Piece) -> None:
        if piece.timestamp != MAX:
            self._open.remove(piece.timestamp)

    # ---- side inputs

    def _unpark(self) -> Iterable[RunBundle]:
        """Elements whose side input windows are ready may run; windows that nobody has mapped yet are asked for (M-SIDE-05)."""
        unknown: dict[str, list[bytes]] = {}
        ready: dict[bytes, bool] = {}
        kept = []
        for entry in self._parked:
            timestamp, window, element = entry
            if window not in ready:
                ready[window] = self._sides_ready(window, unknown)
            if ready[window]:
                self._inbox.append(Piece(element, timestamp))
            else:
                kept.append(entry)
        self._parked = kept
        for side in self._windowed:
            windows = unknown.get(side.name)
            if windows:
                self._mapped.setdefault(side.name, {}).update(dict.fromkeys(windows))
                assert side.mapper is not None
                bundle = self.context.bundle_id()
                command = RunBundle(bundle, side.mapper.id, (ask(bundle, windows),))
                self._mapping[bundle] = (side, windows, command)
                yield command

    def _sides_ready(self, window: bytes, unknown: dict[str, list[bytes]]) -> bool:
        ready = True
        for side in self._windowed:
            target: bytes | None = b""
            if side.mapper is not None:
                mapped = self._mapped.setdefault(side.name, {})
                if window not in mapped:
                    unknown.setdefault(side.name, []).append(window)
                target = mapped.get(window)
            view = self.context.sides[side.collection]
            assert isinstance(view, ViewRun)
            ready = ready and target is not None and view.ready(target)
        return ready

    def _take_mapping(self, done: BundleDone) -> None:
        side, windows, _ = self._mapping.pop(done.bundle)
        assert side.mapper is not None
        (sink,) = side.mapper.sinks.values()
        found = dict(answers(self.context, done, sink))
        if set(found) != set(range(len(windows))):
            raise EngineError(f"{side.mapper.id}: asked to map {len(windows)} windows, got answers for {len(found)}")
        for index, window in found.items():
            self._mapped[side.name][windows[index]] = window

    # ---- timers, expiry, garbage

    def _timer_work(self) -> Iterable[RunBundle]:
        rules = self.rules
        due = self.timers.take_due(self._expiry, self.watermark_in, self.context.now)
        if due:
            yield self._start([], due)
            return
        if self.watermark_in <= self._freed_at:
            return
        over = [(key, window) for key, window in self._seen if rules.calls_on_expiration(self._expiry(window), self.watermark_in)]
        if over:
            for key, window in over:
                del self._seen[key, window]
                self._seen_ends.remove(self._last(window))
            calls = [self._expiration(family, key, window) for family in self._expirations for key, window in over]
            yield self._start([], calls, expiring=True)
            return
        self._freed_at = self.watermark_in
        if self.timers.drop(self._is_over):
            self.context.dirty = True
        self.store.free(self._is_over)

    def _see(self, key: bytes, window: bytes) -> None:
        if (key, window) not in self._seen:
            self._seen[key, window] = None
            self._seen_ends.add(self._last(window))

    def _expiration(self, family: TimerFamily, key: bytes, window: bytes) -> PendingTimer:
        expiry = self._expiry(window)
        return PendingTimer(
            family.transform, family.name, True, key, b"\x00", window, expiry, self._last(window), b"\x0f", expiry
        )

    def _last(self, window: bytes) -> int:
        return self.rules.window_max(self._collection.strategy.windows, window)

    def _expiry(self, window: bytes) -> int:
        return self.rules.expiry(self._last(window), self._collection.strategy.allowed_lateness)

    def _is_over(self, window: bytes) -> bool:
        return self.rules.state_over(self._expiry(window), self.watermark_in)

    def dropped(self) -> int:
        return self._dropped

    def wake_at(self) -> int | None:
        times = [self._residuals[0][0]] if self._residuals else []
        due = self.timers.next_processing_time()
        return min([*times, due] if due is not None else times, default=None)

    # ---- bundles

    def _start(
        self, pieces: list[Piece], timers: list[PendingTimer], *, expiring: bool = False, truncating: bool = False
    ) -> RunBundle:
        bundle = Bundle(pieces, timers, self._state(truncating), expiring, truncating)
        bundle.holds = [piece.hold for piece in pieces if piece.hold < MAX]
        bundle.holds += [self.rules.timer_hold(timer.event_time, timer.fire, timer.hold) for timer in timers]
        return self._launch(bundle)

    def _state(self, truncating: bool) -> BundleState:
        node = self.node.truncator if truncating else self.node
        assert node is not None
        sides = {name: side.view for name, side in self.context.sides.items()}
        return self.rules.part(BundleState)(node, self.store, sides, self.context.page_bytes, self.rules.first_page_empty())

    def _launch(self, bundle: Bundle) -> RunBundle:
        name = self.context.bundle_id()
        self.running[name] = bundle
        streams: dict[tuple[str, str], list[bytes]] = {}
        timers = reversed(bundle.timers) if self.rules.timers_reversed() else bundle.timers
        for timer in sorted(timers, key=lambda timer: timer.fire):
            hold = self.rules.delivered_hold(timer.fire, timer.hold)
            encoded = timer.encoded(self.rules.fired_at(timer.fire, self.watermark_in), hold)
            streams.setdefault((timer.transform, timer.family), []).append(encoded)
        stage = self.node
        if bundle.truncating and self.node.truncator is not None:
            stage = self.node.truncator
        elif self.node.drained is not None and bundle.pieces and all(piece.truncated for piece in bundle.pieces):
            stage = self.node.drained
        return RunBundle(
            name,
            stage.id,
            tuple(piece.data for piece in bundle.pieces),
            {family: tuple(each) for family, each in streams.items()},
            f"{self.id}/{self._epoch}".encode() if stage.states else b"",
            {(side.transform, side.name): self._side_token(side) for side in stage.side_inputs},
            bundle.attempts,
        )

    def _side_token(self, side: SideInput) -> bytes:
        return f"{side.collection}/{self.context.sides[side.collection].view.version}".encode()

    def _elements(self, bundle: Bundle) -> list[tuple[Piece, bytes]]:
        """The elements of a bundle in the order of its stream, each with the piece that it came in."""
        return [(piece, each.whole) for piece in bundle.pieces for each in self._collection.cut.elements(piece.data)]

    # ---- splits

    def estimate(self, bundle: str) -> int | None:
        found = self.running.get(bundle)
        if found is None or found.truncating or not self.rules.splits(self.node.keyed, bool(found.timers)):
            return None
        own = len(self._elements(found)) if found.cut is None else found.cut
        return own if own > 1 or self.node.splittable else None  # one plain element has no part to give

    def reads_on(self, bundle: str) -> bool:
        return self.node.splittable and bundle in self.running and not self.running[bundle].truncating

    def split(self, split: BundleSplit) -> None:
        bundle = self.running[split.bundle]
        first = split.first_residual
        if first is not None:
            if first < 0 or (bundle.cut is not None and first > bundle.cut):
                raise EngineError(f"{split.bundle}: a split gave back elements from {first} on, after one from {bundle.cut} on")
            bundle.cut = first
        bundle.given += split.residuals

    def state(self, bundle: str) -> BundleState | None:
        return self.running[bundle].state if bundle in self.running else None

    def commit(self, done: BundleDone) -> None:
        """Outputs, state, timers and residuals of a bundle, all at once (M-BNDL-02)."""
        if done.bundle in self._mapping:
            self._take_mapping(done)
            return
        bundle = self.running.pop(done.bundle)
        if bundle.truncating:
            self._take_truncated(bundle, done)
            return
        self.store.commit(bundle.state.written)
        if bundle.state.written:
            self._freed_at = min(self._freed_at, self.watermark_in - 1)
        for name, chunks in done.timers.items():
            family = self._families[name]
            settings = [timer for chunk in chunks for timer in family.cut.timers(chunk)]
            if (
                settings and not bundle.expiring and self.rules.takes_settings(bool(bundle.timers), self.watermark_in)
            ):  # what a callback of an expired window sets is void (M-TIMER-21)
                self.timers.apply(family, settings, self._rebased)
                self._freed_at = min(self._freed_at, self.watermark_in - 1)
        truncated = bool(bundle.pieces) and all(piece.truncated for piece in bundle.pieces)
        for residual in self.rules.owed((*done.residuals, *bundle.given)):
            self._hand_back(residual, truncated)
        if bundle.cut is not None:
            for piece, element in self._elements(bundle)[self.rules.first_owed(bundle.cut) :]:
                self._inbox.append(evolve(piece, data=element))
                if piece.timestamp != MAX:
                    self._open.add(piece.timestamp)
        for collection, chunks in done.outputs.items():
            if chunks:
                self.context.deliver(collection, chunks)
        for piece in bundle.pieces:
            self._release(piece)

    def _rebased(self, fire: int) -> int:
        """When a processing-time timer is due by the job's clock; harnesses set it by theirs (M-TIMER-26)."""
        return fire + self.context.now - self.context.wall if self.context.scripted else fire

    def _hand_back(self, residual: Residual, truncated: bool) -> None:
        if residual.transform not in self.node.transforms:
            raise EngineError(f"residual root of transform {residual.transform!r}, which stage {self.id} does not have")
        if not self.node.splittable:
            raise EngineError(f"residual root of {residual.transform!r}, which does not process restrictions")
        outputs = self.node.split_outputs
        if truncated and not all(self.context.bounded(each) for each in outputs.values()):
            return  # a truncated restriction is not resumed (M-SDF-12)
        self._number += 1
        reported = {name: self.rules.reported_watermark(mark) for name, mark in residual.watermarks.items()}
        piece = Piece(residual.element, MAX, self.rules.residual_hold(outputs, reported), truncated)
        heapq.heappush(self._residuals, (self.context.now + residual.delay, self._number, piece))

    def _take_truncated(self, bundle: Bundle, done: BundleDone) -> None:
        """What is left of restrictions, to be processed to its end."""
        hold = min([*bundle.holds, *(piece.timestamp for piece in bundle.pieces)], default=MAX)
        for chunks in done.outputs.values():
            self._inbox += [Piece(chunk, MAX, hold, True) for chunk in chunks]
        for piece in bundle.pieces:
            self._release(piece)

    def attempts(self, bundle: str) -> int:
        return self._mapping[bundle][2].attempt if bundle in self._mapping else self.running[bundle].attempts

    def again(self, bundle: str) -> RunBundle:
        if bundle in self._mapping:
            side, windows, asked = self._mapping.pop(bundle)
            command = repeated(asked, self.context)
            self._mapping[command.bundle] = (side, windows, command)
            return command
        failed = self.running.pop(bundle)
        self._epoch += 1
        failed.state = self._state(failed.truncating)
        failed.attempts += 1
        failed.cut, failed.given = None, []  # all of it is one input again (P-CTL-19)
        return self._launch(failed)


def _in_window(element: cutting.Element, window: bytes) -> bytes:
    """An element in one of its windows."""
    if len(element.windows) == 1:
        return element.whole
    return cutting.windowed_value(element.timestamp, [window], element.pane, element.value)
