"""Faults of planning: what is fused, which coders cross the wire, how composites are opened."""

from __future__ import annotations

from typing import Any, ClassVar

from attrs import evolve

from conformance.runner import cutting
from conformance.runner.coders_rewrite import WireCoders
from conformance.runner.cutting import KNOWN_CODERS, Skip
from conformance.runner.engine_events import BundleDone
from conformance.runner.engine_groups import GroupRun
from conformance.runner.engine_nodes import EngineError
from conformance.runner.engine_stages import StageRun
from conformance.runner.expand import Step
from conformance.runner.fusion import alone
from conformance.runner.graph import Planner
from conformance.runner.mutants.registry import mutant
from conformance.runner.rules import MIN
from conformance.wire import urns
from conformance.wire.api import pipeline_pb2 as pb
from conformance.wire.values import Pane

C, T = urns.Coder, urns.Transform


@mutant("SI-12")
class SideInputsAreFused(Planner):
    def alone(self, step: Step) -> bool:
        return alone(evolve(step, sides={}))


@mutant("SI-15")
class FlattenNotTranscoded(Planner):
    def _transcoded(self, step: Step) -> list[Step]:
        return [step] if step.urn == T.FLATTEN else super()._transcoded(step)


@mutant("CMB-04")
class AccumulatorsInOutputCoder(Planner):
    def build(self, fusing: bool) -> Any:
        for name in [name for name in self.raw if name.endswith("/accumulators")]:
            step = next(each for each in self.steps if each.id == name.removesuffix("/accumulators") + "/extract")
            (result,) = step.outputs.values()
            self.raw[name].coder_id = self.raw[result].coder_id
        return super().build(fusing)


@mutant("CMB-03")
class ExtractedInParts(GroupRun):
    """A lifted combine merges each accumulator by itself."""

    def _emit(self, key: bytes, window: bytes, timestamp: int, pane: Pane, values: list[bytes]) -> None:
        for some in [[value] for value in values] if self.id.endswith("/group") else [values]:
            super()._emit(key, window, timestamp, pane, some)


@mutant("CMB-01")
class AccumulatorsLoseWindows(StageRun):
    """What a lifted combine combined first is all in the window of the first accumulator."""

    def commit(self, done: BundleDone) -> None:
        if any(name.endswith("/precombine") for name in self.node.transforms):
            outputs = {}
            for collection, chunks in done.outputs.items():
                cut = self.context.plan.collections[collection].cut
                elements = [each for chunk in chunks for each in cut.elements(chunk)]
                first = list(elements[0].windows) if elements else []
                changed = [cutting.windowed_value(each.timestamp, first, each.pane, each.value) for each in elements]
                outputs[collection] = [b"".join(changed)] if changed else []
            done = evolve(done, outputs=outputs)
        super().commit(done)


@mutant("WIN-15")
class WindowIntoResetsTimestamps(StageRun):
    """What leaves a stage in other windows than it came in is stamped anew."""

    def commit(self, done: BundleDone) -> None:
        outputs = {}
        for collection, chunks in done.outputs.items():
            sink = self.context.plan.collections[collection]
            outputs[collection] = chunks
            if sink.strategy.id != self._collection.strategy.id:
                elements = [each for chunk in chunks for each in sink.cut.elements(chunk)]
                changed = [cutting.windowed_value(MIN, list(each.windows), each.pane, each.value) for each in elements]
                outputs[collection] = [b"".join(changed)] if changed else []
        super().commit(evolve(done, outputs=outputs))


@mutant("WIN-16")
class OldWindowsAgain(Planner):
    """A WindowInto of what has windows already assigns those again."""

    def _executable(self, step: Step) -> Any:
        transform = super()._executable(step)
        if step.urn == T.ASSIGN_WINDOWS:
            old = self._strategy(step.main).proto.window_fn
            if old.urn not in ("", urns.WindowFn.GLOBAL):
                transform.spec.payload = pb.WindowIntoPayload(window_fn=old).SerializeToString()
        return transform


@mutant("WIN-06")
class NoOutputIsFatal(StageRun):
    def commit(self, done: BundleDone) -> None:
        if done.outputs and not any(chunks for chunks in done.outputs.values()):
            raise EngineError(f"{self.id} put out nothing")
        super().commit(done)


@mutant("COD-10")
class ConstantsOfAnotherStage(StageRun):
    """What a stage puts out is stamped as the first element that it got."""

    def commit(self, done: BundleDone) -> None:
        bundle = self.running.get(done.bundle)
        pieces = bundle.pieces if bundle is not None else []
        first = next((each for piece in pieces for each in self._collection.cut.elements(piece.data)), None)
        outputs = dict(done.outputs)
        if first is not None:
            for collection, chunks in done.outputs.items():
                cut = self.context.plan.collections[collection].cut
                elements = [each for chunk in chunks for each in cut.elements(chunk)]
                changed = [
                    cutting.windowed_value(first.timestamp, list(each.windows), each.pane, each.value) for each in elements
                ]
                outputs[collection] = [b"".join(changed)] if changed else []
        super().commit(evolve(done, outputs=outputs))


class _Reader(WireCoders):
    """Steps over values of some coders in another way than their layout asks for; everything goes by single steps then."""

    #: Coder → how its values are stepped over, given how to step over its components.
    ways: ClassVar[dict[str, Any]] = {}

    def skip(self, wire_id: str) -> Skip:
        coder = self.coders[wire_id]
        urn = coder.spec.urn
        if urn == C.LENGTH_PREFIX:
            return super().skip(wire_id)
        build = self.ways.get(urn) or (KNOWN_CODERS[urn][1] if urn in KNOWN_CODERS else None)
        if build is None:
            return self.unknown(wire_id)
        skip: Skip = build([self.skip(component) for component in coder.component_coder_ids])
        return skip

    def unknown(self, wire_id: str) -> Skip:
        raise KeyError(wire_id)

    def cut(self, element: str, window: str) -> Any:
        return evolve(super().cut(element, window), pairs=None)


def _prefixed(_: Any) -> Skip:
    def skip(data: bytes, pos: int) -> int:
        length, pos = cutting.read_varint(data, pos)
        return pos + length

    return skip


@mutant("COD-01")
class UnknownNotPrefixed(_Reader):
    def _rewrite(self, coder_id: str) -> str:
        if self.urn(coder_id) not in KNOWN_CODERS and self.urn(coder_id) not in (C.LENGTH_PREFIX, C.TIMER):
            return coder_id
        return super()._rewrite(coder_id)

    def unknown(self, wire_id: str) -> Skip:
        return _prefixed(None)

    def cut(self, element: str, window: str) -> Any:
        if self.urn(element) != C.KV:
            return cutting.WindowedCut(self.skip(element), self.skip(window))
        return cutting.WindowedCut(self.skip(element), self.skip(window), self.skip(self.components(element)[0]))


@mutant("COD-03")
class NullableIsOpaque(_Reader):
    ways: ClassVar = {C.NULLABLE: _prefixed}


@mutant("COD-09")
class IterablesUnread(_Reader):
    """An iterable is stepped over as if its length came first."""

    ways: ClassVar = {C.ITERABLE: _prefixed, C.STATE_BACKED_ITERABLE: _prefixed}


def _ends_behind_a_count(parts: list[Skip]) -> Skip:
    def skip(data: bytes, pos: int) -> int:
        return cutting.read_varint(data, pos + 4)[1] if data[pos] >= 0x80 else cutting.iterable_end(data, pos, parts[0])

    return skip


@mutant("COD-54")
class PartsOfIterablesUnread(_Reader):
    ways: ClassVar = {C.ITERABLE: _ends_behind_a_count, C.STATE_BACKED_ITERABLE: _ends_behind_a_count}


@mutant("COD-06")
class LastComponentHasNoLength(_Reader):
    """The last component of a pair is taken to reach to the end of what is there."""

    ways: ClassVar = {C.KV: lambda parts: lambda data, pos: len(data)}


@mutant("COD-04")
class ComponentsInterpreted(_Reader):
    """A coder that is not known is taken for the sequence of its components, where it has some."""

    def _rewrite(self, coder_id: str) -> str:
        if (
            self.urn(coder_id) not in KNOWN_CODERS
            and self.components(coder_id)
            and self.urn(coder_id) not in (C.LENGTH_PREFIX, C.TIMER)
        ):
            return self.add(self.urn(coder_id), *map(self.wire, self.components(coder_id)))
        return super()._rewrite(coder_id)

    def unknown(self, wire_id: str) -> Skip:
        skips = [self.skip(component) for component in self.components(wire_id)]

        def skip(data: bytes, pos: int) -> int:
            for each in skips:
                pos = each(data, pos)
            return pos

        return skip

    def cut(self, element: str, window: str) -> Any:
        if self.urn(element) != C.KV:
            return cutting.WindowedCut(self.skip(element), self.skip(window))
        return cutting.WindowedCut(self.skip(element), self.skip(window), self.skip(self.components(element)[0]))


@mutant("COD-07")
class PanesInOneByte(GroupRun):
    """Panes are written in the one-byte form, without indices."""

    def _emit(self, key: bytes, window: bytes, timestamp: int, pane: Pane, values: list[bytes]) -> None:
        super()._emit(key, window, timestamp, Pane(pane.is_first, pane.is_last, pane.timing, 0, 0), values)


@mutant("COD-50")
class BoolsAreIntegers(_Reader):
    ways: ClassVar = {C.DOUBLE: lambda _: lambda data, pos: pos + 4}


@mutant("COD-51")
class ShardOfKeysForgotten(_Reader):
    ways: ClassVar = {C.SHARDED_KEY: lambda parts: _prefixed(None)}


@mutant("COD-52")
class SpansTakeTooMuch(GroupRun):
    def _emit(self, key: bytes, window: bytes, timestamp: int, pane: Pane, values: list[bytes]) -> None:
        longer = window[:-1] + bytes([window[-1] | 0x80, 0]) if len(window) > 8 else window
        super()._emit(key, longer, timestamp, pane, values)


@mutant("COD-53")
class MetadataUnasked(GroupRun):
    """Panes announce element metadata, none of it, to whatever harness."""

    def _emit(self, key: bytes, window: bytes, timestamp: int, pane: Pane, values: list[bytes]) -> None:
        label = cutting.encode_pane(pane)
        label = bytes([label[0] | 0x80, *label[1:], 0])
        self._out.append(cutting.windowed_value(timestamp, [window], label, key + cutting.iterable_of(values)))
