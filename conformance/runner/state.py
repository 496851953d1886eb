"""User state and side inputs as the state plane asks for them: read your writes, pages, commit with the bundle. Pure.

`StateStore` holds what committed bundles left, `BundleState` one bundle's view on it with its own writes on top, `SideStore`
the elements of a side input's PCollection that is bounded. What cannot be answered raises StateRefused, which becomes StateResponse.error.
"""

from __future__ import annotations

import bisect
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Protocol

from attrs import define, field

from conformance.runner import cutting
from conformance.runner.plan import Collection, StageNode, StateCell
from conformance.runner.rules import Rules
from conformance.wire.api import fn_pb2

__all__ = ["PAGE_BYTES", "BundleState", "Side", "SideStore", "StateRefused", "StateStore", "View"]

#: Pages of state and side inputs end behind the element that reaches this size.
PAGE_BYTES = 1 << 20

#: (transform, state id, window, key)
CellId = tuple[str, str, bytes, bytes]


class StateRefused(ValueError):
    """A state request that cannot be answered (P-STATE-02)."""


@define
class Bag:
    """Chunks of whole elements in the order of their appends."""

    chunks: list[bytes] = field(factory=list)

    def copy(self) -> Bag:
        return Bag(list(self.chunks))

    @property
    def empty(self) -> bool:
        return not self.chunks


@define
class Multimap:
    """Values under map keys, both encoded (M-STATE-10)."""

    entries: dict[bytes, list[bytes]] = field(factory=dict)

    def copy(self) -> Multimap:
        return Multimap({key: list(chunks) for key, chunks in self.entries.items()})

    @property
    def empty(self) -> bool:
        return not self.entries


@define
class OrderedList:
    """Entries by sort key, then arrival (M-STATE-12)."""

    sort_keys: list[int] = field(factory=list)
    entries: list[bytes] = field(factory=list)

    def copy(self) -> OrderedList:
        return OrderedList(list(self.sort_keys), list(self.entries))

    @property
    def empty(self) -> bool:
        return not self.entries

    def insert(self, sort_key: int, entry: bytes) -> None:
        at = bisect.bisect_right(self.sort_keys, sort_key)
        self.sort_keys.insert(at, sort_key)
        self.entries.insert(at, entry)

    def span(self, start: int, end: int) -> slice:
        return slice(bisect.bisect_left(self.sort_keys, start), bisect.bisect_left(self.sort_keys, end))


Content = Bag | Multimap | OrderedList
_MAKE: Mapping[str, Callable[[], Content]] = {"bag": Bag, "multimap": Multimap, "ordered_list": OrderedList}


class StateStore:
    """Committed user state of one stage."""

    def __init__(self, node: StageNode) -> None:
        self.cells: dict[CellId, Content] = {}
        self.declared: dict[tuple[str, str], StateCell] = {(cell.transform, cell.name): cell for cell in node.states}

    def commit(self, written: Mapping[CellId, Content]) -> None:
        """Takes over the writes of a bundle (M-STATE-07)."""
        for cell, content in written.items():
            if content.empty:
                self.cells.pop(cell, None)
            else:
                self.cells[cell] = content

    def free(self, is_over: Callable[[bytes], bool]) -> None:
        """Drops the state of windows that are over (M-STATE-13)."""
        self.cells = {cell: content for cell, content in self.cells.items() if not is_over(cell[2])}


class Side(Protocol):
    """A side input as bundles see it."""

    @property
    def view(self) -> View:
        """What a bundle that starts now sees."""


class View(Protocol):
    """A side input as one bundle sees it."""

    @property
    def version(self) -> int:
        """Equal versions have equal contents."""

    def iterable(self, window: bytes) -> list[bytes]:
        """All values of a window."""

    def multimap(self, window: bytes) -> Mapping[bytes, list[bytes]]:
        """Values of a window by encoded key."""


class SideStore:
    """The elements of one bounded PCollection, indexed by window and key when first asked for."""

    def __init__(self, collection: Collection, rules: Rules) -> None:
        self._collection = collection
        self._rules = rules
        self._chunks: list[bytes] = []
        self._iterables: dict[bytes, list[bytes]] = {}
        self._multimaps: dict[bytes, dict[bytes, list[bytes]]] = {}
        self._cut = 0

    #: A bounded side input is seen once it is complete (M-SIDE-06).
    version = 0

    @property
    def view(self) -> SideStore:
        """Itself."""
        return self

    def add(self, chunks: Iterable[bytes]) -> None:
        """Elements of a committed bundle."""
        self._chunks += chunks

    def _index(self) -> None:
        cut, rules = self._collection.cut, self._rules
        for chunk in self._chunks[self._cut :]:
            for element in cut.elements(chunk):
                for window in rules.side_input_windows(element):
                    self._iterables.setdefault(window, []).append(element.value)
                    if cut.key is not None:
                        key, value = cut.key_of(element.value)
                        self._multimaps.setdefault(window, {}).setdefault(key, []).append(value)
        self._cut = len(self._chunks)

    def iterable(self, window: bytes) -> list[bytes]:
        """All values of a window; none for one that nothing is in (M-SIDE-04)."""
        self._index()
        return self._iterables.get(window, [])

    def multimap(self, window: bytes) -> Mapping[bytes, list[bytes]]:
        """Values of a window by encoded key."""
        self._index()
        return self._multimaps.get(window, {})


class BundleState:
    """What one bundle sees and writes. One request at a time, in the order sent (P-STATE-05)."""

    def __init__(
        self,
        node: StageNode,
        store: StateStore,
        sides: Mapping[str, View],
        page_bytes: int = PAGE_BYTES,
        empty_first: bool = False,
    ) -> None:
        self._node = node
        self._store = store
        self._sides = {(side.transform, side.name): (side, sides[side.collection]) for side in node.side_inputs}
        self._page_bytes = page_bytes
        self._empty_first = empty_first
        self.written: dict[CellId, Content] = {}
        self._pages: dict[bytes, tuple[bytes, list[bytes], int]] = {}

    def answer(self, request: Any) -> Any:
        """The StateResponse of a StateRequest. Never raises: what is wrong is told in `error`."""
        response = fn_pb2.StateResponse(id=request.id)
        try:
            kind = request.WhichOneof("request")
            if kind == "get":
                self._get(request.state_key, request.get.continuation_token, response.get)
            elif kind == "append":
                self._append(request.state_key, request.append.data)
                response.append.SetInParent()
            elif kind == "clear":
                self._clear(request.state_key)
                response.clear.SetInParent()
            else:
                raise StateRefused("a state request is a get, an append or a clear; this one is none of them")
        except (StateRefused, cutting.CutError) as error:
            response = fn_pb2.StateResponse(id=request.id, error=f"{error} (state key: {_show(request.state_key)})")
        return response

    # ---- get

    def _get(self, key: Any, token: bytes, answer: Any) -> None:
        if token:
            if token not in self._pages or self._pages[token][0] != key.SerializeToString(deterministic=True):
                raise StateRefused("a continuation token that this bundle was not given for this key")
            _, parts, at = self._pages[token]
        else:
            parts, at = self._read(key), 0
        size, end = 0, at
        while end < len(parts) and size < self._page_bytes and (token or not self._empty_first):
            size += len(parts[end])
            end += 1
        answer.data = b"".join(parts[at:end])
        if end < len(parts):  # the rest of this very snapshot, whatever is written meanwhile (M-STATE-06)
            answer.continuation_token = b"%d" % (len(self._pages) + 1)
            self._pages[answer.continuation_token] = (
                key.SerializeToString(deterministic=True),
                parts if token else list(parts),
                end,
            )

    def _read(self, key: Any) -> list[bytes]:
        kind = key.WhichOneof("type")
        if kind == "runner":
            raise StateRefused("this runner issues no state-backed iterables, so it has no such token")
        if kind is None:
            raise StateRefused("a state key without a type")
        inner = getattr(key, kind)
        if kind.endswith("side_input"):
            return self._read_side(kind, inner)
        content = self._content(kind, inner)
        if isinstance(content, Bag):
            return content.chunks
        if isinstance(content, OrderedList):
            return content.entries[content.span(inner.range.start, inner.range.end)]
        assert isinstance(content, Multimap)
        if kind == "multimap_keys_user_state":
            return list(content.entries)
        if kind == "multimap_entries_user_state":
            return [map_key + self._values(inner, chunks) for map_key, chunks in content.entries.items()]
        return content.entries.get(inner.map_key, [])

    def _values(self, inner: Any, chunks: list[bytes]) -> bytes:
        skip = self._store.declared[inner.transform_id, inner.user_state_id].value
        if skip is None:
            raise StateRefused("entries of a state without a map or multimap spec; declare its value coder in the StateSpec")
        values = []
        data = b"".join(chunks)
        pos = 0
        while pos < len(data):
            try:
                end = skip(data, pos)
            except IndexError:
                end = len(data) + 1
            if end > len(data):
                raise StateRefused("stored values do not decode in the value coder of the StateSpec")
            values.append(data[pos:end])
            pos = end
        return cutting.iterable_of(values)

    def _read_side(self, kind: str, inner: Any) -> list[bytes]:
        found = self._sides.get((inner.transform_id, inner.side_input_id))
        if found is None:
            raise StateRefused(f"transform {inner.transform_id} of this stage has no side input {inner.side_input_id}")
        side, store = found
        if side.multimap == (kind == "iterable_side_input"):
            raise StateRefused(f"side input {inner.side_input_id} was declared {'multimap' if side.multimap else 'iterable'}")
        if kind == "iterable_side_input":
            return store.iterable(inner.window)
        entries = store.multimap(inner.window)
        if kind == "multimap_side_input":
            return list(entries.get(inner.key, []))
        if kind == "multimap_keys_side_input":
            return list(entries)
        return [key + cutting.iterable_of(values) for key, values in entries.items()]

    # ---- writes

    def _append(self, key: Any, data: bytes) -> None:
        kind, inner = self._writable(key)
        content = self._content(kind, inner, write=True)
        if isinstance(content, Bag):
            if data:
                content.chunks.append(data)
        elif isinstance(content, OrderedList):
            for sort_key, entry in self._entries(inner, data):
                content.insert(sort_key, entry)
        elif kind == "multimap_user_state":
            # values of no bytes count too: Java keeps a set as a multimap to nothing, and its keys are the set (M-STATE-11)
            content.entries.setdefault(inner.map_key, []).append(data)
        else:
            raise StateRefused(f"{kind} cannot be appended to")

    def _clear(self, key: Any) -> None:
        kind, inner = self._writable(key)
        content = self._content(kind, inner, write=True)
        if isinstance(content, Bag):
            content.chunks = []
        elif isinstance(content, OrderedList):
            span = content.span(inner.range.start, inner.range.end)
            del content.sort_keys[span], content.entries[span]
        elif kind == "multimap_user_state":
            content.entries.pop(inner.map_key, None)
        elif kind == "multimap_keys_user_state":
            content.entries.clear()
        else:
            raise StateRefused(f"{kind} cannot be cleared")

    def _writable(self, key: Any) -> tuple[str, Any]:
        kind = key.WhichOneof("type")
        if kind is None or not kind.endswith("user_state"):
            raise StateRefused(f"{kind or 'a state key without a type'} is read-only")
        return kind, getattr(key, kind)

    def _entries(self, inner: Any, data: bytes) -> list[tuple[int, bytes]]:
        """The entries of an append: sort key and length-prefixed value; failing that, sort key and plain value (P-STATE-10)."""
        declared = self._store.declared[inner.transform_id, inner.user_state_id].value
        for skip in (lambda data, pos: _sum(cutting.read_varint(data, pos)), declared):
            if skip is None:
                continue
            entries = []
            pos = 0
            try:
                while pos < len(data):
                    sort_key, value = cutting.read_varint(data, pos)
                    end = skip(data, value)
                    if end > len(data):
                        raise cutting.CutError("cut off")
                    entries.append((sort_key - (1 << 64) if sort_key >= 1 << 63 else sort_key, data[pos:end]))
                    pos = end
            except (cutting.CutError, IndexError):
                continue
            return entries
        raise StateRefused("an ordered list takes entries of a varint sort key and a length-prefixed value")

    def _cell(self, inner: Any) -> CellId:
        """What tells cells of user state apart (M-STATE-01)."""
        return (inner.transform_id, inner.user_state_id, inner.window, inner.key)

    def _content(self, kind: str, inner: Any, write: bool = False) -> Content:
        declared = self._store.declared.get((inner.transform_id, inner.user_state_id))
        if declared is None:
            raise StateRefused(f"transform {inner.transform_id} of this stage declares no state {inner.user_state_id}")
        if not kind.startswith(declared.kind):
            raise StateRefused(f"state {inner.user_state_id} was declared {declared.kind}")
        cell = self._cell(inner)
        content = self.written.get(cell)
        if content is None:
            stored = self._store.cells.get(cell)
            if stored is None:
                content = _MAKE[declared.kind]()
            else:
                content = stored.copy() if write else stored
            if write:
                self.written[cell] = content
        return content


def _sum(pair: tuple[int, int]) -> int:
    return pair[0] + pair[1]


def _show(key: Any) -> str:
    return " ".join(str(key).split())
