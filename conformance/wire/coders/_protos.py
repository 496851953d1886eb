"""From `Components.coders` to coders and back. Ids carry no meaning (P-COD-05), so equal coders may be one object."""

from __future__ import annotations

from collections.abc import Callable, Mapping, MutableMapping
from typing import Final

from google.protobuf.message import DecodeError

from conformance.wire.api import pipeline_pb2, schema_pb2
from conformance.wire.coders import _atoms, _containers, _rows, _windowed
from conformance.wire.coders._base import MAX_DEPTH, Coder, InvalidCoder, UnknownCoder
from conformance.wire.urns import Coder as Urn

__all__ = ["CoderTable", "OnUnknown", "add_to", "from_proto"]

#: Answers a coder for one that is not standard, or None to have UnknownCoder raised.
OnUnknown = Callable[[pipeline_pb2.Coder], Coder | None]


def _row_of(payload: bytes) -> Coder:
    return _rows.row(schema_pb2.Schema.FromString(payload))


#: urn: (number of components, constructor, whether it takes the payload as last argument).
_STANDARD: Final[dict[str, tuple[int, Callable[..., Coder], bool]]] = {
    Urn.BYTES: (0, _atoms.bytes_coder, False),
    Urn.STRING_UTF8: (0, _atoms.string_utf8, False),
    Urn.BOOL: (0, _atoms.boolean, False),
    Urn.VARINT: (0, _atoms.varint, False),
    Urn.DOUBLE: (0, _atoms.double, False),
    Urn.KV: (2, _containers.kv, False),
    Urn.ITERABLE: (1, _containers.iterable, False),
    Urn.STATE_BACKED_ITERABLE: (1, _containers.state_backed_iterable, False),
    Urn.LENGTH_PREFIX: (1, _containers.length_prefix, False),
    Urn.NULLABLE: (1, _containers.nullable, False),
    Urn.SHARDED_KEY: (1, _containers.sharded_key, False),
    Urn.GLOBAL_WINDOW: (0, _windowed.global_window, False),
    Urn.INTERVAL_WINDOW: (0, _windowed.interval_window, False),
    Urn.CUSTOM_WINDOW: (1, _windowed.custom_window, False),
    Urn.WINDOWED_VALUE: (2, _windowed.windowed_value, False),
    Urn.PARAM_WINDOWED_VALUE: (2, _windowed.param_windowed_value, True),
    Urn.TIMER: (2, _windowed.timer, False),
    Urn.ROW: (0, _row_of, True),
}


class CoderTable:
    """All coders of one pipeline or descriptor, each built once on first use. `table[coder_id] -> Coder`."""

    def __init__(self, coders: Mapping[str, pipeline_pb2.Coder], on_unknown: OnUnknown | None = None) -> None:
        self._protos = coders
        self._on_unknown = on_unknown
        self._built: dict[str, Coder] = {}
        self._same: dict[Coder, Coder] = {}
        self._open: list[str] = []

    def __getitem__(self, coder_id: str) -> Coder:
        """The coder. Raises UnknownCoder for one that is not standard, InvalidCoder for one that breaks P-COD-04."""
        built = self._built.get(coder_id)
        if built is None:
            built = self._build(coder_id)
            # One object a content: a pipeline may hold the same coder under hundreds of ids.
            self._built[coder_id] = built = self._same.setdefault(built, built)
        return built

    def _build(self, coder_id: str) -> Coder:
        if coder_id not in self._protos:
            raise InvalidCoder(coder_id, "", "no such coder")
        proto = self._protos[coder_id]
        urn = proto.spec.urn
        if coder_id in self._open:
            raise InvalidCoder(coder_id, urn, f"is a component of itself ({' > '.join([*self._open, coder_id])})")
        if len(self._open) >= MAX_DEPTH:
            raise InvalidCoder(coder_id, urn, f"nests deeper than {MAX_DEPTH}")
        standard = _STANDARD.get(urn)
        if standard is None:
            return self._unknown(coder_id, proto, "not a standard coder")
        count, constructor, takes_payload = standard
        if len(proto.component_coder_ids) != count:
            raise InvalidCoder(coder_id, urn, f"has {len(proto.component_coder_ids)} components, needs {count}")
        self._open.append(coder_id)
        try:
            components = [self[component_id] for component_id in proto.component_coder_ids]
        finally:
            self._open.pop()
        try:
            return constructor(*components, proto.spec.payload) if takes_payload else constructor(*components)
        except UnknownCoder as unknown:  # a row with a type that we do not know
            return self._unknown(coder_id, proto, unknown.reason)
        except InvalidCoder as invalid:
            raise InvalidCoder(coder_id, urn, invalid.reason) from None
        except DecodeError as error:
            raise InvalidCoder(coder_id, urn, f"payload is no Schema ({error})") from None

    def _unknown(self, coder_id: str, proto: pipeline_pb2.Coder, reason: str) -> Coder:
        coder = self._on_unknown(proto) if self._on_unknown is not None else None
        if coder is None:
            raise UnknownCoder(coder_id, proto.spec.urn, reason)
        return coder


def from_proto(coder_id: str, coders_map: Mapping[str, pipeline_pb2.Coder], on_unknown: OnUnknown | None = None) -> Coder:
    """One coder of `Components.coders`. Who needs several keeps a `CoderTable`. Raises UnknownCoder, InvalidCoder."""
    return CoderTable(coders_map, on_unknown)[coder_id]


def add_to(coders_map: MutableMapping[str, pipeline_pb2.Coder], coder: Coder, prefix: str = "") -> str:
    """Add `coder` and its components to `Components.coders` unless equal ones are there; answer the id.

    Ids are the urn's short names, `prefix` before them and a number behind where a name is taken.
    """
    component_ids = [add_to(coders_map, component, prefix) for component in coder.components]
    wanted = pipeline_pb2.Coder(component_coder_ids=component_ids)
    wanted.spec.urn = coder.urn
    wanted.spec.payload = coder.payload
    name = base = prefix + (coder.urn.removeprefix("beam:coder:").removesuffix(":v1") or "coder")
    number = 1
    while name in coders_map:
        if coders_map[name] == wanted:
            return name
        number += 1
        name = f"{base}_{number}"
    coders_map[name].CopyFrom(wanted) if hasattr(coders_map, "GetEntryClass") else coders_map.update({name: wanted})
    return name
