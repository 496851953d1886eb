"""Faults of the state plane: user state and side inputs as bundles read and write them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, ClassVar

from conformance.runner.cutting import CutError, interval_window
from conformance.runner.engine_events import RunBundle
from conformance.runner.engine_stages import StageRun
from conformance.runner.mutants.registry import mutant
from conformance.runner.plan import StageNode
from conformance.runner.state import Bag, BundleState, CellId, Content, Multimap, OrderedList, SideStore, StateRefused, StateStore
from conformance.wire.api import fn_pb2


@mutant("ST-01")
class KeyWithoutPrefix(BundleState):
    def _cell(self, inner: Any) -> CellId:
        return (inner.transform_id, inner.user_state_id, inner.window, inner.key[1:2])


@mutant("ST-03")
class OneCellForAllKeys(BundleState):
    def _cell(self, inner: Any) -> CellId:
        return (inner.transform_id, inner.user_state_id, inner.window, b"")


@mutant("ST-04")
class OneCellForAllStates(BundleState):
    def _cell(self, inner: Any) -> CellId:
        return (inner.transform_id, "", inner.window, inner.key)


class _Nameless(dict[CellId, Content]):
    """Cells that do not know whose they are."""

    def get(self, cell: CellId, default: Any = None) -> Any:
        return super().get(("", *cell[1:]), default)

    def __setitem__(self, cell: CellId, content: Content) -> None:
        super().__setitem__(("", *cell[1:]), content)

    def pop(self, cell: CellId, default: Any = None) -> Any:
        return super().pop(("", *cell[1:]), default)


@mutant("ST-53")
class OneCellForAllTransforms(StateStore):
    """What transforms call alike is one cell, in whichever stages they are."""

    kept: ClassVar[_Nameless] = _Nameless()

    def __init__(self, node: StageNode) -> None:
        super().__init__(node)
        self.cells = self.kept

    def free(self, is_over: Callable[[bytes], bool]) -> None:
        """Keeps all: other transforms may have it."""


@mutant("ST-54")
class OneCellForAllWindows(BundleState):
    def _cell(self, inner: Any) -> CellId:
        window = interval_window(0, 1 << 40) if len(inner.window) > 8 else inner.window
        return (inner.transform_id, inner.user_state_id, window, inner.key)


@mutant("ST-09")
class ClearIsLast(BundleState):
    def _append(self, key: Any, data: bytes) -> None:
        if self._clears.get(key.SerializeToString()):
            return
        super()._append(key, data)

    def _clear(self, key: Any) -> None:
        super()._clear(key)
        self._clears[key.SerializeToString()] = True

    def __init__(self, *given: Any) -> None:
        super().__init__(*given)
        self._clears: dict[bytes, bool] = {}


@mutant("ST-10")
class TokenIgnored(BundleState):
    def _get(self, key: Any, token: bytes, answer: Any) -> None:
        super()._get(key, b"", answer)


@mutant("ST-12")
class EmptyIsAnError(BundleState):
    def _read(self, key: Any) -> list[bytes]:
        found = super()._read(key)
        if not found:
            raise StateRefused("there is no such state")
        return found


@mutant("ST-13")
class FailedWritesStay(StageRun):
    def again(self, bundle: str) -> RunBundle:
        failed = self.running.get(bundle)
        state = failed.state if failed is not None else None
        command = super().again(bundle)
        if state is not None:
            self.running[command.bundle].state = state
        return command


@mutant("ST-15")
class WrongId(BundleState):
    def answer(self, request: Any) -> Any:
        response = super().answer(request)
        response.id += "x"
        return response


@mutant("ST-16")
class MapKeyClearsAll(BundleState):
    def _clear(self, key: Any) -> None:
        kind, inner = self._writable(key)
        if kind == "multimap_user_state":
            content = self._content(kind, inner, write=True)
            assert isinstance(content, Multimap)
            content.entries.clear()
        else:
            super()._clear(key)


@mutant("ST-18")
class PutAfterRemoveLost(BundleState):
    def _append(self, key: Any, data: bytes) -> None:
        if key.SerializeToString() not in self._removed:
            super()._append(key, data)

    def _clear(self, key: Any) -> None:
        super()._clear(key)
        if key.WhichOneof("type") == "multimap_user_state":
            self._removed.add(key.SerializeToString())

    def __init__(self, *given: Any) -> None:
        super().__init__(*given)
        self._removed: set[bytes] = set()


@mutant("ST-19")
class OneValueASortKey(BundleState):
    def _append(self, key: Any, data: bytes) -> None:
        super()._append(key, data)
        kind, inner = self._writable(key)
        content = self._content(kind, inner, write=True)
        if isinstance(content, OrderedList):
            last = dict(zip(content.sort_keys, content.entries, strict=True))
            content.sort_keys, content.entries = list(last), list(last.values())


@mutant("ST-21")
class MembersListedOften(BundleState):
    def _read(self, key: Any) -> list[bytes]:
        if key.WhichOneof("type") == "multimap_keys_user_state":
            content = self._content("multimap_keys_user_state", key.multimap_keys_user_state)
            assert isinstance(content, Multimap)
            return [map_key for map_key, values in content.entries.items() for _ in values]
        return super()._read(key)


@mutant("ST-55")
class LastAppendStays(BundleState):
    def _append(self, key: Any, data: bytes) -> None:
        kind, inner = self._writable(key)
        content = self._content(kind, inner, write=True)
        if isinstance(content, Bag):
            content.chunks.clear()
        super()._append(key, data)


@mutant("ST-56")
class ClearIgnored(BundleState):
    def _clear(self, key: Any) -> None:
        self._writable(key)


@mutant("ST-57")
class OwnWritesUnseen(BundleState):
    def _read(self, key: Any) -> list[bytes]:
        written, self.written = self.written, {}
        try:
            return super()._read(key)
        finally:
            self.written = written


@mutant("ST-58")
class RangeWithItsEnd(BundleState):
    def _read(self, key: Any) -> list[bytes]:
        if key.WhichOneof("type") == "ordered_list_user_state":
            wider = fn_pb2.StateKey()
            wider.CopyFrom(key)
            if wider.ordered_list_user_state.range.end < (1 << 63) - 1:
                wider.ordered_list_user_state.range.end += 1
            return super()._read(wider)
        return super()._read(key)


@mutant("ST-59")
class UnsignedSortKeys(BundleState):
    def _entries(self, inner: Any, data: bytes) -> list[tuple[int, bytes]]:
        return [(abs(sort_key), entry) for sort_key, entry in super()._entries(inner, data)]


@mutant("ST-60")
class ClearedKeysListed(BundleState):
    def _clear(self, key: Any) -> None:
        kind, inner = self._writable(key)
        content = self._content(kind, inner, write=True)
        if kind == "multimap_user_state" and isinstance(content, Multimap) and inner.map_key in content.entries:
            content.entries[inner.map_key] = []
        else:
            super()._clear(key)


@mutant("ST-61")
class FirstPageOnly(BundleState):
    def _get(self, key: Any, token: bytes, answer: Any) -> None:
        super()._get(key, token, answer)
        if key.WhichOneof("type") == "bag_user_state":
            answer.continuation_token = b""


@mutant("ST-62")
class AnswersSwapped(BundleState):
    def answer(self, request: Any) -> Any:
        response = super().answer(request)
        if response.WhichOneof("response") == "append":
            response.clear.SetInParent()
        return response


@mutant("ST-63")
class StateNotKept(StateStore):
    def commit(self, written: Mapping[CellId, Content]) -> None:
        """Nothing of it."""


@mutant("ST-65")
class ErrorsKillTheStream(BundleState):
    def answer(self, request: Any) -> Any:
        response = super().answer(request)
        if response.error:
            raise CutError(response.error)
        return response


@mutant("ST-66")
class MapKeysByLength(BundleState):
    """Map keys are compared by their length prefix alone."""

    def _content(self, kind: str, inner: Any, write: bool = False) -> Content:
        if kind == "multimap_user_state":
            inner.map_key = inner.map_key[:1]
        return super()._content(kind, inner, write)


@mutant("SI-04")
class GlobalLookup(BundleState):
    def _read_side(self, kind: str, inner: Any) -> list[bytes]:
        _, store = self._sides[inner.transform_id, inner.side_input_id]
        if kind == "iterable_side_input" and isinstance(store, SideStore):
            store.iterable(b"")
            return [value for values in store._iterables.values() for value in values]
        return super()._read_side(kind, inner)


@mutant("SI-07")
class AnyKeyGivesAll(BundleState):
    def _read_side(self, kind: str, inner: Any) -> list[bytes]:
        found = super()._read_side(kind, inner)
        if kind == "multimap_side_input":
            _, store = self._sides[inner.transform_id, inner.side_input_id]
            return [value for values in store.multimap(inner.window).values() for value in values]
        return found


@mutant("SI-09")
class UnknownKeyIsAnError(BundleState):
    def _read_side(self, kind: str, inner: Any) -> list[bytes]:
        found = super()._read_side(kind, inner)
        if kind == "multimap_side_input" and not found:
            raise StateRefused("there is no such key")
        return found


@mutant("SI-10")
class FirstPageOfViews(BundleState):
    def _get(self, key: Any, token: bytes, answer: Any) -> None:
        super()._get(key, token, answer)
        if key.WhichOneof("type") == "iterable_side_input":
            answer.continuation_token = b""


@mutant("SI-53")
class KeysAsOftenAsValues(BundleState):
    def _read_side(self, kind: str, inner: Any) -> list[bytes]:
        if kind == "multimap_keys_side_input":
            _, store = self._sides[inner.transform_id, inner.side_input_id]
            return [key for key, values in store.multimap(inner.window).items() for _ in values]
        return super()._read_side(kind, inner)


@mutant("SI-54")
class OneValueAKey(BundleState):
    def _read_side(self, kind: str, inner: Any) -> list[bytes]:
        found = super()._read_side(kind, inner)
        return found[:1] if kind == "multimap_side_input" else found


@mutant("SI-55")
class EqualSideElementsOnce(BundleState):
    def _read_side(self, kind: str, inner: Any) -> list[bytes]:
        found = super()._read_side(kind, inner)
        return list(dict.fromkeys(found)) if kind == "iterable_side_input" else found


@mutant("SI-13")
class NoSideInputForRestrictions(BundleState):
    """Bundles that process restrictions read empty views."""

    def _read_side(self, kind: str, inner: Any) -> list[bytes]:
        found = super()._read_side(kind, inner)
        return [] if self._node.splittable else found


@mutant("ST-72")
class PagesEndAnywhere(BundleState):
    """What is read is cut into pages by its bytes."""

    def _read(self, key: Any) -> list[bytes]:
        data = b"".join(super()._read(key))
        return [data[at : at + 7] for at in range(0, len(data), 7)]
