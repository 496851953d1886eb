"""User state and side inputs as functions use them, over `BundleState`. Each accessor is bound to one cell: (state, key, window)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from conformance.harness.api import CombineFn
from conformance.harness.state import BundleState
from conformance.wire import coders, urns
from conformance.wire.api import fn_pb2
from conformance.wire.api import pipeline_pb2 as pb

__all__ = [
    "BagState",
    "CombiningState",
    "MapState",
    "MultimapState",
    "OrderedListState",
    "SetState",
    "SideInput",
    "ValueState",
    "cell",
]

_Key = fn_pb2.StateKey
#: The whole range of an ordered list (P-STATE-10).
_ALL = (-(2**63), 2**63 - 1)
#: Coders whose nested form carries its own length.
_PREFIXED = {urns.Coder.BYTES, urns.Coder.STRING_UTF8, urns.Coder.LENGTH_PREFIX}


class BagState:
    """A multiset; reads answer append order where the runner keeps it (M-STATE-05)."""

    def __init__(self, state: BundleState, coder: coders.Coder, where: dict[str, Any]) -> None:
        self._state, self._coder = state, coder
        self._key = _Key(bag_user_state=_Key.BagUserState(**where))

    def read(self) -> list[Any]:
        return self._coder.decode_all(self._state.read(self._key))

    def add(self, value: Any) -> None:
        self._state.append(self._key, self._coder.encode(value))

    def extend(self, values: Iterable[Any]) -> None:
        """Several values in one append."""
        self._state.append(self._key, b"".join(self._coder.encode(value) for value in values))

    def clear(self) -> None:
        self._state.clear(self._key)


class ValueState:
    """At most one value: a bag that is cleared before it is written."""

    def __init__(self, bag: BagState) -> None:
        self._bag = bag

    def read(self) -> Any:
        """The value, or None. Several values (a write that was not preceded by its clear) show as the list of them."""
        values = self._bag.read()
        return values[0] if len(values) == 1 else (values or None)

    def write(self, value: Any) -> None:
        self._bag.clear()
        self._bag.add(value)

    def clear(self) -> None:
        self._bag.clear()


class CombiningState:
    """A bag of accumulators (M-STATE-09)."""

    def __init__(self, bag: BagState, fn: CombineFn) -> None:
        self._bag, self._fn = bag, fn

    def read(self) -> Any:
        return self._fn.extract(self._fn.merge(self._bag.read()))

    def accumulators(self) -> list[Any]:
        """The accumulators as they are kept; none in a cell that was never written, or was cleared."""
        return self._bag.read()

    def add(self, value: Any) -> None:
        self._bag.add(self._fn.add(self._fn.create(), value))

    def clear(self) -> None:
        self._bag.clear()


class BagSetState:
    """A set kept as a bag: duplicates go in, and disappear on reading."""

    def __init__(self, bag: BagState, coder: coders.Coder) -> None:
        self._bag, self._coder = bag, coder

    def read(self) -> list[Any]:
        return list({self._coder.encode(value): value for value in self._bag.read()}.values())

    def add(self, value: Any) -> None:
        self._bag.add(value)

    def contains(self, value: Any) -> bool:
        return self._coder.encode(value) in {self._coder.encode(each) for each in self._bag.read()}

    def clear(self) -> None:
        self._bag.clear()


class MultimapState:
    """Values by map key; keys compare by their bytes (M-STATE-10)."""

    def __init__(self, state: BundleState, key: coders.Coder, value: coders.Coder, where: dict[str, Any]) -> None:
        self._state, self._key_coder, self._value_coder, self._where = state, key, value, where
        self._keys = _Key(multimap_keys_user_state=_Key.MultimapKeysUserState(**where))
        self._entries = _Key(multimap_entries_user_state=_Key.MultimapEntriesUserState(**where))

    def _at(self, key: Any) -> fn_pb2.StateKey:
        body = _Key.MultimapUserState(**self._where, map_key=self._key_coder.encode(key))
        return _Key(multimap_user_state=body)

    def get(self, key: Any) -> list[Any]:
        return self._value_coder.decode_all(self._state.read(self._at(key)))

    def put(self, key: Any, value: Any) -> None:
        self._state.append(self._at(key), self._value_coder.encode(value))

    def remove(self, key: Any) -> None:
        self._state.clear(self._at(key))

    def keys(self) -> list[Any]:
        return self._key_coder.decode_all(self._state.read(self._keys))

    def entries(self) -> list[tuple[Any, list[Any]]]:
        """(key, values) by the entries request, which few runners serve (P-STATE-11); keys on several pages are joined."""
        coder = coders.kv(self._key_coder, coders.iterable(self._value_coder))
        merged: dict[bytes, tuple[Any, list[Any]]] = {}
        for key, values in coder.decode_all(self._state.read(self._entries)):
            merged.setdefault(self._key_coder.encode(key), (key, []))[1].extend(values)
        return list(merged.values())

    def clear(self) -> None:
        """All keys."""
        self._state.clear(self._keys)


class MapState:
    """At most one value a key: a multimap whose key is cleared before it is put (M-STATE-11)."""

    def __init__(self, multimap: MultimapState) -> None:
        self._multimap = multimap

    def get(self, key: Any) -> Any:
        """The value or None; several values show as the list of them."""
        values = self._multimap.get(key)
        return values[0] if len(values) == 1 else (values or None)

    def put(self, key: Any, value: Any) -> None:
        self._multimap.remove(key)
        self._multimap.put(key, value)

    def remove(self, key: Any) -> None:
        self._multimap.remove(key)

    def keys(self) -> list[Any]:
        return self._multimap.keys()

    def entries(self) -> list[tuple[Any, Any]]:
        return [(key, self.get(key)) for key in self.keys()]

    def clear(self) -> None:
        self._multimap.clear()


class SetState:
    """A set kept as a multimap: one entry a member."""

    def __init__(self, multimap: MultimapState) -> None:
        self._multimap = multimap

    def read(self) -> list[Any]:
        return self._multimap.keys()

    def add(self, value: Any) -> None:
        self._multimap.remove(value)
        self._multimap.put(value, True)

    def contains(self, value: Any) -> bool:
        return bool(self._multimap.get(value))

    def remove(self, value: Any) -> None:
        self._multimap.remove(value)

    def clear(self) -> None:
        self._multimap.clear()


class OrderedListState:
    """Entries (sort key, value), read and cleared by range [start, end) (M-STATE-12)."""

    def __init__(self, state: BundleState, coder: coders.Coder, where: dict[str, Any]) -> None:
        # An entry is the sort key and a length-prefixed value; bytes, strings and LP coders have the prefix already (P-STATE-10).
        value = coder if coder.urn in _PREFIXED else coders.length_prefix(coder)
        self._state, self._where, self._coder = state, where, coders.kv(coders.varint(), value)

    def _key(self, start: int, end: int) -> fn_pb2.StateKey:
        body = _Key.OrderedListUserState(**self._where, range=fn_pb2.OrderedListRange(start=start, end=end))
        return _Key(ordered_list_user_state=body)

    def read(self, start: int = _ALL[0], end: int = _ALL[1]) -> list[tuple[int, Any]]:
        return self._coder.decode_all(self._state.read(self._key(start, end)))

    def add(self, sort_key: int, value: Any) -> None:
        key = _Key(ordered_list_user_state=_Key.OrderedListUserState(**self._where))
        self._state.append(key, self._coder.encode((sort_key, value)))

    def clear(self, start: int = _ALL[0], end: int = _ALL[1]) -> None:
        self._state.clear(self._key(start, end))


def cell(
    spec: pb.StateSpec,
    coder_of: Any,
    combine_fn: CombineFn | None,
    state: BundleState,
    transform_id: str,
    state_id: str,
    window: bytes,
    key: bytes,
) -> Any:
    """The accessor of one cell, by the kind that its spec names."""
    where = {"transform_id": transform_id, "user_state_id": state_id, "window": window, "key": key}
    kind = spec.WhichOneof("spec")
    if kind in ("read_modify_write_spec", "bag_spec", "combining_spec"):
        coder_id = {
            "read_modify_write_spec": spec.read_modify_write_spec.coder_id,
            "bag_spec": spec.bag_spec.element_coder_id,
            "combining_spec": spec.combining_spec.accumulator_coder_id,
        }[kind]
        bag = BagState(state, coder_of(coder_id), where)
        if kind == "bag_spec":
            return bag
        return ValueState(bag) if combine_fn is None else CombiningState(bag, combine_fn)
    if kind == "ordered_list_spec":
        return OrderedListState(state, coder_of(spec.ordered_list_spec.element_coder_id), where)
    if kind == "set_spec":
        element = coder_of(spec.set_spec.element_coder_id)
        if spec.protocol.urn == urns.UserState.BAG:
            return BagSetState(BagState(state, element, where), element)
        return SetState(MultimapState(state, element, coders.boolean(), where))
    body = spec.map_spec if kind == "map_spec" else spec.multimap_spec
    multimap = MultimapState(state, coder_of(body.key_coder_id), coder_of(body.value_coder_id), where)
    return MapState(multimap) if kind == "map_spec" else multimap


class SideInput:
    """One side input in the window that the main element's maps to."""

    def __init__(
        self, state: BundleState, coder: coders.Coder, transform_id: str, side_input_id: str, window: bytes, bulk: bool
    ) -> None:
        self._state, self._coder, self._bulk = state, coder, bulk
        self._where: dict[str, Any] = {"transform_id": transform_id, "side_input_id": side_input_id, "window": window}

    def values(self) -> list[Any]:
        """All elements (iterable access)."""
        return self._coder.decode_all(self._state.read(_Key(iterable_side_input=_Key.IterableSideInput(**self._where))))

    def get(self, key: Any) -> list[Any]:
        """The values of one key (multimap access); an unknown key has none."""
        encoded = self._coder.components[0].encode(key)
        body = _Key.MultimapSideInput(**self._where, key=encoded)
        return self._coder.components[1].decode_all(self._state.read(_Key(multimap_side_input=body)))

    def keys(self) -> list[Any]:
        """The distinct keys (multimap access)."""
        body = _Key.MultimapKeysSideInput(**self._where)
        return self._coder.components[0].decode_all(self._state.read(_Key(multimap_keys_side_input=body)))

    def items(self) -> list[tuple[Any, list[Any]]]:
        """(key, values) for all keys: in bulk if the runner declared it, key by key otherwise."""
        if not self._bulk:
            return [(key, self.get(key)) for key in self.keys()]
        key, value = self._coder.components
        body = _Key.MultimapKeysValuesSideInput(**self._where)
        coder = coders.kv(key, coders.iterable(value))
        return coder.decode_all(self._state.read(_Key(multimap_keys_values_side_input=body)))
