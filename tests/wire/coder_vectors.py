"""Reads fixtures/coders: turns the notation of its README into coders and values."""

from __future__ import annotations

import decimal
import math
import tomllib
from pathlib import Path
from typing import Any

from google.protobuf import json_format

from conformance.wire import coders, values
from conformance.wire.api import schema_pb2

FIXTURES = Path(__file__).parents[2] / "fixtures" / "coders"

CONSTRUCTORS = {
    "bytes": coders.bytes_coder,
    "string_utf8": coders.string_utf8,
    "bool": coders.boolean,
    "varint": coders.varint,
    "double": coders.double,
    "kv": coders.kv,
    "iterable": coders.iterable,
    "state_backed_iterable": coders.state_backed_iterable,
    "length_prefix": coders.length_prefix,
    "nullable": coders.nullable,
    "sharded_key": coders.sharded_key,
    "global_window": coders.global_window,
    "interval_window": coders.interval_window,
    "custom_window": coders.custom_window,
    "windowed_value": coders.windowed_value,
    "timer": coders.timer,
}

NOTATIONS = {
    frozenset(["null"]): lambda t: None,
    frozenset(["bytes"]): lambda t: bytes.fromhex(t["bytes"]),
    frozenset(["bytes", "times"]): lambda t: bytes.fromhex(t["bytes"]) * t["times"],
    frozenset(["kv"]): lambda t: tuple(map(value, t["kv"])),
    frozenset(["row"]): lambda t: tuple(map(value, t["row"])),
    frozenset(["map"]): lambda t: {value(k): value(v) for k, v in t["map"]},
    frozenset(["decimal"]): lambda t: decimal.Decimal(t["decimal"]),
    frozenset(["prefix", "token"]): lambda t: values.StateBackedIterable(
        tuple(map(value, t["prefix"])), bytes.fromhex(t["token"])
    ),
    frozenset(["key", "shard"]): lambda t: values.ShardedKey(value(t["key"]), bytes.fromhex(t["shard"])),
    frozenset(["window"]): lambda t: values.GLOBAL_WINDOW if t["window"] == "global" else values.IntervalWindow(*t["window"]),
    frozenset(["window", "max"]): lambda t: values.CustomWindow(t["max"], value(t["window"])),
    frozenset(["value", "time", "windows", "pane"]): lambda t: values.WindowedValue(
        value(t["value"]), t["time"], tuple(map(value, t["windows"])), pane(t["pane"])
    ),
    frozenset(["key", "tag", "windows"]): lambda t: values.Timer(
        value(t["key"]), t["tag"], tuple(map(value, t["windows"])), clear=True
    ),
    frozenset(["key", "tag", "windows", "fire", "hold", "pane"]): lambda t: values.Timer(
        value(t["key"]), t["tag"], tuple(map(value, t["windows"])), False, t["fire"], t["hold"], pane(t["pane"])
    ),
}


def coder(notation: Any) -> coders.Coder:
    """The coder that `notation` names."""
    if isinstance(notation, str):
        return CONSTRUCTORS[notation]()
    if isinstance(notation, list):
        return CONSTRUCTORS[notation[0]](*map(coder, notation[1:]))
    if "row" in notation:
        return coders.row(json_format.ParseDict(notation["row"], schema_pb2.Schema()))
    element, window = map(coder, notation["param_windowed_value"])
    return coders.param_windowed_value(element, window, bytes.fromhex(notation["payload"]))


def value(notation: Any) -> Any:
    """The value that `notation` stands for."""
    if isinstance(notation, dict):
        return NOTATIONS[frozenset(notation)](notation)
    return [value(item) for item in notation] if isinstance(notation, list) else notation


def pane(notation: list[Any]) -> values.Pane:
    first, last, timing, index, nonspeculative = notation
    return values.Pane(first, last, values.Timing[timing], index, nonspeculative)


def tables(kind: str) -> list[dict[str, Any]]:
    """All `[[kind]]` tables of all files."""
    return [table for path in sorted(FIXTURES.glob("*.toml")) for table in tomllib.loads(path.read_text("utf-8")).get(kind, [])]


def contexts(vector: dict[str, Any]) -> list[tuple[bool, bytes]]:
    """(nested, bytes) for each context that a vector speaks of."""
    names = {"outer": [False], "nested": [True], "both": [False, True]}
    return [(nested, bytes.fromhex(vector[name])) for name in names if name in vector for nested in names[name]]


def same(a: Any, b: Any) -> bool:
    """Equal, where NaN equals itself and 0.0 is not -0.0 nor 0 nor False."""
    if type(a) is not type(b):
        return False
    if isinstance(a, float):
        return (math.isnan(a) and math.isnan(b)) or (a == b and math.copysign(1, a) == math.copysign(1, b))
    if isinstance(a, list | tuple):
        return len(a) == len(b) and all(map(same, a, b))
    return bool(a == b)
