"""Faults of what is done to PCollections as a whole: grouping, flattening, shuffling, side inputs, bundles."""

from __future__ import annotations

from collections.abc import Iterable

from conformance.runner.mutants.registry import mutant
from conformance.runner.rules import Rules

_ZERO = bytes(8)
_MINUS_ZERO = b"\x80" + bytes(7)


@mutant("CMB-07")
class GroupsByDecodedEquality(Rules):
    def group_key(self, key: bytes) -> bytes:
        return _ZERO if key == _MINUS_ZERO else key


@mutant("CMB-50")
class FlattenLosesRepeatedChunks(Rules):
    def flattened(self, chunks: list[bytes]) -> list[bytes]:
        return chunks[:-1]


@mutant("CMB-51")
class GroupsByFirstByte(Rules):
    def group_key(self, key: bytes) -> bytes:
        return key[: max(1, len(key) - 1)]


@mutant("CMB-52")
class ReshuffleLoses(Rules):
    def reshuffled(self, chunks: list[bytes]) -> list[bytes]:
        return chunks[:-1]


@mutant("CMB-53")
class ReshuffleRepeats(Rules):
    def reshuffled(self, chunks: list[bytes]) -> list[bytes]:
        return [*chunks, *chunks[:1]]


@mutant("SI-50")
class SideInputNotAwaited(Rules):
    def side_input_ready(self, watermark: int) -> bool:
        return True


@mutant("ST-50")
class KeysInTwoBundles(Rules):
    def may_run_beside(self, keyed: bool, running: int) -> bool:
        return True


@mutant("ST-51")
class InputNotSorted(Rules):
    def time_sorted(self, elements: Iterable[tuple[int, bytes]]) -> list[tuple[int, bytes]]:
        return sorted(elements, key=lambda element: -element[0])


@mutant("SDF-04")
class DelayIgnored(Rules):
    def residual_due(self, at: int, now: int) -> bool:
        return True


@mutant("SI-06")
class PanesMixed(Rules):
    def shown_in_view(self, before: list[bytes], pane: list[bytes], accumulating: bool) -> list[bytes]:
        return [*before, *pane] if accumulating else super().shown_in_view(before, pane, accumulating)


@mutant("SI-03")
class UnboundedViewNotAwaited(Rules):
    def side_window_ready(self, has_pane: bool, certain: int, watermark: int) -> bool:
        return True
