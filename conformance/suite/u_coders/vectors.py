"""Values as the bytes of their coders: the published vectors, chosen values by kind, and drawn ones.

A value is the hex of its nested encoding, so that a test compares bytes: NaN is not equal to itself, and 0.0 equals -0.0.
"""

from __future__ import annotations

import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from attrs import frozen
from google.protobuf import json_format

import conformance
from conformance.pipeline import coders, encoding
from conformance.pipeline.coders import CoderSpec
from conformance.wire.api import schema_pb2
from conformance.wire.values import ShardedKey

__all__ = ["DEEP", "PLAIN", "ROWS", "SHARDED", "UNKNOWN", "Coded", "coded", "published"]

_NAMES = {
    "bytes": coders.BYTES,
    "string_utf8": coders.STRING,
    "bool": coders.BOOL,
    "varint": coders.VARINT,
    "double": coders.DOUBLE,
    "global_window": coders.GLOBAL_WINDOW,
    "interval_window": coders.INTERVAL_WINDOW,
}
_MAKERS = {
    "kv": coders.kv,
    "iterable": coders.iterable,
    "length_prefix": coders.length_prefix,
    "nullable": coders.nullable,
    "sharded_key": coders.sharded_key,
    "windowed_value": coders.windowed_value,
}


@frozen
class Coded:
    """Values of one coder, each the hex of its nested encoding."""

    coder: CoderSpec
    values: tuple[str, ...]


def coded(coder: CoderSpec, values: Sequence[Any]) -> Coded:
    """`values` in the bytes of `coder`, each once."""
    working = encoding.resolve(coder)
    return Coded(coder, tuple(dict.fromkeys(working.encode(value).hex() for value in values)))


# Published vectors -------------------------------------------------------------------------------------------------------


def _directory() -> Path:
    package = Path(conformance.__file__).parent
    for root in (package, package.parent):
        if (root / "fixtures" / "coders").is_dir():
            return root / "fixtures" / "coders"
    raise FileNotFoundError("the vectors of the coders are not installed; reinstall beam-conformance")


def _coder(notation: Any) -> CoderSpec | None:
    """The coder of a vector; None for kinds that are no coders of elements (timers, coders with parameters)."""
    if isinstance(notation, str):
        return _NAMES.get(notation)
    if isinstance(notation, dict):
        return coders.row(json_format.ParseDict(notation["row"], schema_pb2.Schema())) if "row" in notation else None
    name, *parts = notation
    components = [_coder(part) for part in parts]
    if name not in _MAKERS or None in components:
        return None
    made: CoderSpec = _MAKERS[name](*components)  # type: ignore[operator]
    return made


def published(kind: str) -> list[Coded]:
    """The vectors in fixtures/coders whose outermost coder is `kind`, those that every writer produces so."""
    found: dict[CoderSpec, list[str]] = {}
    for path in sorted(_directory().glob("*.toml")):
        for vector in tomllib.loads(path.read_text("utf-8")).get("vector", []):
            notation = vector["coder"]
            name = notation if isinstance(notation, str) else next(iter(notation))
            nested = vector.get("both", vector.get("nested"))
            if name != kind or nested is None or vector.get("read_only") or vector.get("undefined"):
                continue
            coder = _coder(notation)
            if coder is not None:
                found.setdefault(coder, []).append(bytes.fromhex(nested).hex())
    return [Coded(coder, tuple(dict.fromkeys(values))) for coder, values in found.items()]


# Chosen values -----------------------------------------------------------------------------------------------------------

#: Lengths where the varint of a length grows by a byte.
_EDGE_LENGTHS = (0, 1, 127, 128, 16_383, 16_384)
_INTEGERS = (0, 1, -1, 127, 128, 300, 2**31 - 1, 2**31, -(2**31), 2**53 + 1, 2**63 - 1, -(2**63))
_TEXTS = ("", "a", "ab", "é", "e\u0301", "\u0000", "日本語", "😀", " ", "a\nb", "x" * 127, "x" * 128)
#: Among them two zeros. NaN only in its canonical form, which is how a runner may write any that it has read (M-COMB-10).
_DOUBLES = (
    "0000000000000000",
    "8000000000000000",
    "3ff0000000000000",
    "bff8000000000000",
    "7ff0000000000000",
    "fff0000000000000",
    "7ff8000000000000",
    "0000000000000001",
    "7fefffffffffffff",
)

#: Values of the plain kinds at the edges of what they can hold.
PLAIN: dict[str, Coded] = {
    "bytes": coded(coders.BYTES, [bytes(size) for size in _EDGE_LENGTHS] + [b"\xff", b"\x00\x01", bytes(range(256))]),
    "string": coded(coders.STRING, _TEXTS),
    "bool": coded(coders.BOOL, [False, True]),
    "varint": coded(coders.VARINT, _INTEGERS),
    "double": Coded(coders.DOUBLE, _DOUBLES),
}

_PAIR = coders.kv(coders.STRING, coders.BYTES)

#: Values of kinds that are made of others.
DEEP: dict[str, Coded] = {
    "kv": coded(_PAIR, [("", b""), ("a", b"b"), ("", b"ab"), ("ab", b""), ("é", bytes(200))]),
    "kv-in-kv": coded(
        coders.kv(coders.kv(coders.STRING, coders.STRING), coders.kv(coders.VARINT, coders.STRING)),
        [(("a", "bc"), (-1, "")), (("ab", "c"), (-1, "")), (("abc", ""), (2**63 - 1, "x")), (("", ""), (0, ""))],
    ),
    "iterable": coded(coders.iterable(coders.VARINT), [[], [0], [1, 2, 300], [300, 2, 1], [-1] * 200]),
    "iterable-in-iterable": coded(
        coders.iterable(coders.iterable(coders.STRING)),
        [[], [[]], [[], []], [["a"], ["b", "c"]], [["a", "b"], ["c"]], [["", ""]]],
    ),
    "iterable-of-kv": coded(coders.iterable(_PAIR), [[], [("a", b"")], [("a", b"1"), ("a", b"1")]]),
    "nullable": coded(coders.nullable(coders.STRING), [None, "", "a", "é"]),
    "nullable-in-kv": coded(
        coders.kv(coders.nullable(coders.VARINT), coders.nullable(coders.BYTES)), [(None, None), (0, None), (None, b"")]
    ),
    "nullable-in-nullable": coded(
        coders.nullable(coders.iterable(coders.nullable(coders.VARINT))), [None, [], [None], [None, 0, -1]]
    ),
}

#: Values of coders that no runner knows, alone, with components, and inside known ones.
UNKNOWN: dict[str, Coded] = {
    "alone": coded(coders.JSON, [None, 0, "", "a", [], [1, [2, "é"]], {"k": None}, b"\x00\xff", ("a", 1)]),
    "with-components": coded(coders.custom(coders.JSON_URN, [coders.VARINT, coders.STRING]), [0, "a", ("a", 300), [True, None]]),
    "with-payload": coded(coders.custom(coders.JSON_URN, payload=b"\x00\x80\xff"), [1, "b", [None]]),
    "in-kv": coded(coders.kv(coders.JSON, coders.JSON), [(None, None), ("a", [1]), ([1], "a")]),
    "in-iterable": coded(coders.iterable(coders.JSON), [[], [None], [[], {"k": [1]}]]),
    "in-nullable": coded(coders.nullable(coders.JSON), [None, 0, "a", [None]]),
    "in-nullable-in-kv": coded(coders.kv(coders.STRING, coders.nullable(coders.JSON)), [("a", None), ("a", 1), ("", "b")]),
}

_A = schema_pb2.AtomicType


def _field(name: str, type_: schema_pb2.FieldType, position: int = 0) -> schema_pb2.Field:
    return schema_pb2.Field(name=name, type=type_, id=position, encoding_position=position)


def _atomic(kind: Any, nullable: bool = False) -> schema_pb2.FieldType:
    return schema_pb2.FieldType(atomic_type=kind, nullable=nullable)


_FLAT = schema_pb2.Schema(
    id=coders.schema_id("flat"),
    fields=[
        _field("text", _atomic(_A.STRING), 0),
        _field("number", _atomic(_A.INT64, nullable=True), 1),
        _field("small", _atomic(_A.INT32, nullable=True), 2),
        _field("flag", _atomic(_A.BOOLEAN, nullable=True), 3),
        _field("raw", _atomic(_A.BYTES, nullable=True), 4),
        _field("real", _atomic(_A.DOUBLE, nullable=True), 5),
    ],
)
_NESTED = schema_pb2.Schema(
    id=coders.schema_id("nested"),
    fields=[
        _field("row", schema_pb2.FieldType(row_type=schema_pb2.RowType(schema=_FLAT), nullable=True), 0),
        _field(
            "list",
            schema_pb2.FieldType(array_type=schema_pb2.ArrayType(element_type=_atomic(_A.INT64, nullable=True))),
            1,
        ),
    ],
)
#: The instant of seconds and microseconds (P-COD-11).
_INSTANT = schema_pb2.FieldType(
    logical_type=schema_pb2.LogicalType(
        urn="beam:logical_type:micros_instant:v1",
        representation=schema_pb2.FieldType(
            row_type=schema_pb2.RowType(
                schema=schema_pb2.Schema(
                    id=coders.schema_id("instant"),
                    fields=[_field("seconds", _atomic(_A.INT64), 0), _field("micros", _atomic(_A.INT64), 1)],
                )
            )
        ),
    )
)

ROWS: dict[str, Coded] = {
    "flat": coded(
        coders.row(_FLAT),
        [
            ("", None, None, None, None, None),
            ("a", 0, 0, False, b"", 0.0),
            ("a", -1, -1, True, b"\x00", -0.0),
            ("é", 2**63 - 1, -(2**31), None, None, 1.5),
        ],
    ),
    "nested": coded(
        coders.row(_NESTED),
        [(None, []), (("a", 1, None, True, None, None), [None, 0, 300]), (("", None, 2, None, b"x", None), [None])],
    ),
    "logical": coded(
        coders.row(
            schema_pb2.Schema(
                id=coders.schema_id("logical"), fields=[_field("at", _INSTANT, 0), _field("n", _atomic(_A.INT64), 1)]
            )
        ),
        [((0, 0), 0), ((-1, 999_999), 1), ((1_700_000_000, 1), -1)],
    ),
}

SHARDED = coded(
    coders.sharded_key(coders.STRING),
    [
        ShardedKey("k", b""),
        ShardedKey("k", b"\x00"),
        ShardedKey("k", b"\x11\x22"),
        ShardedKey("", b"\x01"),
        ShardedKey("é", bytes(20)),
    ],
)
