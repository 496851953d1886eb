"""Faults of the engine's own steps: who gets elements, what bundles leave behind, what nodes do with their input."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, TypeVar

from attrs import evolve

from conformance.runner import cutting
from conformance.runner.engine_events import BundleDone, RunBundle
from conformance.runner.engine_groups import GroupRun
from conformance.runner.engine_nodes import FlattenRun, ImpulseRun
from conformance.runner.engine_stages import Piece, StageRun
from conformance.runner.grouping import Cell, Clocks, Grouping
from conformance.runner.mutants.registry import mutant
from conformance.runner.rules import MAX, MIN, Rules
from conformance.runner.timers import PendingTimer
from conformance.wire.values import Pane

T = TypeVar("T")


@mutant("CMB-09")
class PanesTwice(GroupRun):
    def _emit(self, key: bytes, window: bytes, timestamp: int, pane: Pane, values: list[bytes]) -> None:
        super()._emit(key, window, timestamp, pane, values)
        super()._emit(key, window, timestamp, pane, values)


@mutant("TRG-07")
class LastLabelForAll(GroupRun):
    """Panes that are delivered together carry the label of the last one."""

    def _deliver(self) -> None:
        if len(self._out) > 1:
            cut = self.context.plan.collections[self.outputs[0]].cut
            panes = [element for each in self._out for element in cut.elements(each)]
            label = panes[-1].pane
            self._out = [cutting.windowed_value(one.timestamp, list(one.windows), label, one.value) for one in panes]
        super()._deliver()


@mutant("TRG-36")
class MergeStaysFinished(Grouping):
    """A session that grew out of one that fired on time is closed as that one was."""

    def _become(self, key: bytes, result: bytes, parts: list[tuple[bytes, Cell]], clocks: Clocks) -> None:
        fired = any(part.was_on_time for _, part in parts)
        super()._become(key, result, parts, clocks)
        if fired:
            self._cells[key][result].closed = True


@mutant("CMB-12")
class FlattenTakesEachOnce(FlattenRun):
    def accept(self, collection: str, chunks: list[bytes]) -> None:
        seen = self.__dict__.setdefault("seen", set())
        fresh = [chunk for chunk in chunks if (collection, id(chunk)) not in seen]
        seen.update((collection, id(chunk)) for chunk in chunks)
        self.__dict__.setdefault("kept", []).extend(chunks)  # so that ids stay theirs
        if fresh:
            super().accept(collection, fresh)


@mutant("CMB-16")
class FlattenAwaitsAll(FlattenRun):
    def accept(self, collection: str, chunks: list[bytes]) -> None:
        waiting = self.__dict__.setdefault("waiting", {})
        waiting.setdefault(collection, []).extend(chunks)
        if set(waiting) >= set(self.inputs):
            for source, held in waiting.items():
                if held:
                    super().accept(source, list(held))
                    held.clear()


@mutant("CMB-18")
class ReshuffleResetsWindows(FlattenRun):
    """Every element gets the window of the first one."""

    def accept(self, collection: str, chunks: list[bytes]) -> None:
        if len(self.inputs) > 1:
            super().accept(collection, chunks)
            return
        elements = [each for chunk in chunks for each in self.context.plan.collections[collection].cut.elements(chunk)]
        windows = self.__dict__.setdefault("windows", list(elements[0].windows[:1]) if elements else [])
        changed = [cutting.windowed_value(each.timestamp, windows, each.pane, each.value) for each in elements]
        super().accept(collection, [b"".join(changed)])


@mutant("CMB-19")
class ReshuffleResetsPanes(FlattenRun):
    def accept(self, collection: str, chunks: list[bytes]) -> None:
        if len(self.inputs) > 1:
            super().accept(collection, chunks)
            return
        elements = [each for chunk in chunks for each in self.context.plan.collections[collection].cut.elements(chunk)]
        changed = [cutting.windowed_value(each.timestamp, list(each.windows), b"\x0f", each.value) for each in elements]
        super().accept(collection, [b"".join(changed)])


@mutant("CMB-54")
class ReshuffleResetsTimestamps(FlattenRun):
    def accept(self, collection: str, chunks: list[bytes]) -> None:
        if len(self.inputs) > 1:
            super().accept(collection, chunks)
            return
        elements = [each for chunk in chunks for each in self.context.plan.collections[collection].cut.elements(chunk)]
        changed = [cutting.windowed_value(0, list(each.windows), each.pane, each.value) for each in elements]
        super().accept(collection, [b"".join(changed)])


@mutant("CMB-15")
class FirstConsumerOnly(Rules):
    def consumers(self, consumers: list[T]) -> list[T]:
        return consumers[:1]


@mutant("MET-06")
class NeverFinalized(Rules):
    def is_finalized(self, asked: bool, residuals: bool) -> bool:
        return False


@mutant("SDF-15")
class CheckpointsNotFinalized(Rules):
    def is_finalized(self, asked: bool, residuals: bool) -> bool:
        return asked and not residuals


@mutant("SDF-01")
class RestLost(Rules):
    def owed(self, residuals: Sequence[T]) -> Sequence[T]:
        return ()


@mutant("SDF-51")
class RestRunTwice(Rules):
    """Only the first of a job, so that it comes to its end."""

    def owed(self, residuals: Sequence[T]) -> Sequence[T]:
        again = [] if self.__dict__.get("told") else residuals
        self.__dict__["told"] = bool(residuals) or self.__dict__.get("told", False)
        return [*residuals, *again]


@mutant("SDF-03")
class PrimaryRunAgain(Rules):
    def first_owed(self, first_residual: int) -> int:
        return 0


@mutant("SDF-52")
class OneElementLostBySplit(Rules):
    def first_owed(self, first_residual: int) -> int:
        return first_residual + 1


@mutant("TMR-18")
class LoopsEndOnce(Rules):
    def takes_settings(self, in_callbacks: bool, watermark: int) -> bool:
        return not in_callbacks or watermark < MAX


@mutant("TMR-62")
class CallbacksSetNothing(Rules):
    def takes_settings(self, in_callbacks: bool, watermark: int) -> bool:
        return not in_callbacks


@mutant("TMR-21")
class CallbacksRepeated(StageRun):
    def _start(
        self, pieces: list[Piece], timers: list[PendingTimer], *, expiring: bool = False, truncating: bool = False
    ) -> RunBundle:
        return super()._start(pieces, [*timers, *timers], expiring=expiring, truncating=truncating)


@mutant("TMR-19")
class StateFreedBeforeTimers(StageRun):
    def _timer_work(self) -> Iterable[RunBundle]:
        self.store.free(self._is_over)
        yield from super()._timer_work()


@mutant("ST-06")
class ExpiredReachUserCode(StageRun):
    def _in_time(self, piece: Piece) -> Piece | None:
        return piece


@mutant("ST-07")
class StateFreedAtEndOfWindow(StageRun):
    def _is_over(self, window: bytes) -> bool:
        over = self.watermark_in > self._last(window)
        self._epoch += over  # no cached state covers it up
        return over


@mutant("ST-24")
class ExpirationNeverCalled(StageRun):
    def _see(self, key: bytes, window: bytes) -> None:
        """Remembers nobody."""


@mutant("ST-67")
class ExpirationCalledTwice(StageRun):
    def _start(
        self, pieces: list[Piece], timers: list[PendingTimer], *, expiring: bool = False, truncating: bool = False
    ) -> RunBundle:
        return super()._start(pieces, [*timers, *timers] if expiring else timers, expiring=expiring, truncating=truncating)


@mutant("ST-68")
class ExpirationAfterState(StageRun):
    def _timer_work(self) -> Iterable[RunBundle]:
        for command in super()._timer_work():
            if self.running[command.bundle].expiring:
                self.store.free(self._is_over)
            yield command


@mutant("WM-13")
class ExpirationHoldsNothing(StageRun):
    def _see(self, key: bytes, window: bytes) -> None:
        if (key, window) not in self._seen:
            super()._see(key, window)
            self._seen_ends.remove(self._last(window))
            self._seen_ends.add(MAX)

    def _last(self, window: bytes) -> int:
        return super()._last(window)


@mutant("ST-25")
class RetrySeesLess(StageRun):
    def again(self, bundle: str) -> RunBundle:
        failed = self.running.get(bundle)
        if failed is not None and failed.pieces:
            cut = self._collection.cut
            elements = [each.whole for each in cut.elements(failed.pieces[-1].data)]
            failed.pieces[-1] = evolve(failed.pieces[-1], data=b"".join(elements[:-1]))
        return super().again(bundle)


@mutant("SI-01")
class EmptyViewDropsMain(StageRun):
    def _take(self) -> list[Piece]:
        pieces = super()._take()
        for side in self._whole:
            view: Any = self.context.sides[side.collection]
            if not view._chunks:
                for piece in pieces:
                    self._release(piece)
                self.context.dirty = bool(pieces) or self.context.dirty
                return []
        return pieces


@mutant("WM-06")
class ParkedHoldNothing(StageRun):
    def pending(self) -> int:
        parked = [timestamp for timestamp, _, _ in self._parked]
        for timestamp in parked:
            self._open.remove(timestamp)
        try:
            return super().pending()
        finally:
            for timestamp in parked:
                self._open.add(timestamp)


@mutant("WM-12")
class OneOutputHasAWatermark(StageRun):
    def refresh(self) -> None:
        super().refresh()
        for collection in self.outputs[1:]:
            self.context.watermarks[collection] = MAX if self.watermark_out >= MAX else MIN


@mutant("WM-03")
class HoldsReleasedUnseen(StageRun):
    def refresh(self) -> None:
        before = self.watermark_in, self.watermark_out
        super().refresh()
        if self.watermark_in == before[0]:
            self.watermark_out = before[1]
            for collection in self.outputs:
                self.context.watermarks[collection] = self.rules.published(
                    self.watermark_out, not self.context.bounded(collection)
                )


@mutant("WM-07")
class RestPinsTheWatermark(StageRun):
    def holds(self) -> Iterable[int]:
        yield from super().holds()
        if self._number:
            yield MIN


@mutant("WM-54")
class ImpulseNever(ImpulseRun):
    def advance(self) -> None:
        """Emits nothing."""


@mutant("WM-55")
class OutputsLost(StageRun):
    """What a bundle with timers emits is lost."""

    def commit(self, done: BundleDone) -> None:
        bundle = self.running.get(done.bundle)
        super().commit(evolve(done, outputs={}) if bundle is not None and bundle.timers else done)


@mutant("SDF-12")
class FirstWindowOfRestrictions(StageRun):
    def accept(self, collection: str, chunks: list[bytes]) -> None:
        if self.node.splittable:
            elements = [each for chunk in chunks for each in self._collection.cut.elements(chunk)]
            chunks = [cutting.windowed_value(each.timestamp, list(each.windows[:1]), each.pane, each.value) for each in elements]
        super().accept(collection, chunks)


@mutant("SDF-13")
class TruncatedRestLost(StageRun):
    def _take_truncated(self, bundle: Any, done: BundleDone) -> None:
        super()._take_truncated(bundle, evolve(done, outputs={}))


@mutant("SDF-53")
class NothingIsTruncated(StageRun):
    def _stop_reading(self, pieces: list[Piece]) -> list[Piece]:
        return [evolve(piece, truncated=True) for piece in pieces]


@mutant("TRG-19")
class StatelessDrops(StageRun):
    def _take(self) -> list[Piece]:
        pieces = super()._take()
        if self._streaming and not self.node.keyed:
            return [kept for piece in pieces if (kept := self._in_time(piece)) is not None]
        return pieces


@mutant("ST-22")
class KeysBesideViews(StageRun):
    """A stateful stage with a side input runs its bundles beside each other."""

    def work(self) -> Iterable[RunBundle]:
        running, self.running = self.running, {} if self.node.side_inputs else self.running
        yield from list(super().work())
        self.running = {**running, **self.running}


@mutant("SDF-10")
class SplitsForEver(StageRun):
    """What was split is run again, all of it: the job comes no further."""

    def commit(self, done: BundleDone) -> None:
        bundle = self.running.get(done.bundle)
        if bundle is not None and (bundle.cut is not None or bundle.given):
            self._inbox += bundle.pieces
            del self.running[done.bundle]
        else:
            super().commit(done)


@mutant("SDF-09")
class KeyedBundlesInHalves(StageRun):
    """What a split of a stateful bundle comes to: both halves run at once, whatever their keys."""

    def _bundles(self, pieces: list[Piece]) -> list[list[Piece]]:
        if not self.node.keyed:
            return super()._bundles(pieces)
        cut = self._collection.cut
        single = [
            evolve(piece, data=each.whole, timestamp=MAX if number else piece.timestamp)
            for piece in pieces
            for number, each in enumerate(cut.elements(piece.data))
        ]
        half = len(single) // 2
        return [some for some in (single[:half], single[half:]) if some]
