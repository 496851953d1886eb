"""Element values as JSON and back, so that payloads and observations can be read; tuples, bytes and odd floats stay apart.

None, bool, int, str, finite float   themselves
list                                 a list
tuple                                {"tuple": […]}
bytes                                {"hex": "…"}
nan, inf, -inf                       {"float": "nan"}
dict with string keys                {"dict": {…}}
"""

from __future__ import annotations

import math
from typing import Any

from conformance.wire.values import GLOBAL_WINDOW, CustomWindow, GlobalWindow, IntervalWindow, ShardedKey

__all__ = ["from_json", "to_json"]


def to_json(value: Any) -> Any:
    """A JSON-able form of `value`. Raises TypeError for a value that has none."""
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else {"float": str(value)}
    if isinstance(value, bytes | bytearray | memoryview):
        return {"hex": bytes(value).hex()}
    if isinstance(value, tuple):
        return {"tuple": [to_json(item) for item in value]}
    if isinstance(value, dict):
        if not all(isinstance(key, str) for key in value):
            raise TypeError(f"only string keys have a JSON form, not {list(value)!r}; use a list of pairs")
        return {"dict": {key: to_json(item) for key, item in value.items()}}
    if isinstance(value, ShardedKey):
        return {"sharded": [to_json(value.key), value.shard_id.hex()]}
    if isinstance(value, IntervalWindow):
        return {"window": [value.start, value.end]}
    if isinstance(value, GlobalWindow):
        return {"window": None}
    if isinstance(value, CustomWindow):
        return {"window": {"max": value.max_timestamp, "window": to_json(value.window)}}
    if isinstance(value, list | set | frozenset):
        items = [to_json(item) for item in value]
        return sorted(items, key=repr) if isinstance(value, set | frozenset) else items
    raise TypeError(f"{type(value).__name__} has no JSON form; make it of None, bool, int, float, str, bytes, tuple, list, dict")


def from_json(data: Any) -> Any:
    """The value of a JSON form made by `to_json`. Raises ValueError for another object."""
    if isinstance(data, list):
        return [from_json(item) for item in data]
    if isinstance(data, dict):
        if len(data) == 1:
            [(kind, body)] = data.items()
            if kind == "tuple":
                return tuple(from_json(item) for item in body)
            if kind == "hex":
                return bytes.fromhex(body)
            if kind == "float":
                return float(body)
            if kind == "dict":
                return {key: from_json(item) for key, item in body.items()}
            if kind == "sharded":
                return ShardedKey(from_json(body[0]), bytes.fromhex(body[1]))
            if kind == "window":
                return _window(body)
        raise ValueError(f"{data!r} is not the JSON form of a value; write a dict as {{'dict': …}}")
    return data


def _window(body: Any) -> GlobalWindow | IntervalWindow | CustomWindow:
    if body is None:
        return GLOBAL_WINDOW
    if isinstance(body, list):
        return IntervalWindow(*body)
    return CustomWindow(body["max"], from_json(body["window"]))
