"""Beam's standard coders as pairs of pure functions over bytes (P-COD-01..12): read, write, skip, cut.

`_base` holds the contract and the varints, `_atoms` the leaves, `_containers` what wraps one or two other coders, `_windowed`
windows, panes, windowed values and timers, `_rows` schemas, `_protos` the way from and to `Components.coders`.

All of it treats input as hostile: a length is compared with what is left before anything is built from it.
"""

from __future__ import annotations

from conformance.wire.coders._atoms import boolean, bytes_coder, double, opaque, raw, string_utf8, varint
from conformance.wire.coders._base import (
    Coder,
    CoderError,
    InvalidCoder,
    UnknownCoder,
    UnwritableValue,
    decode_varint,
    encode_varint,
    read_varint,
    write_varint,
)
from conformance.wire.coders._containers import (
    iterable,
    kv,
    length_prefix,
    nullable,
    sharded_key,
    state_backed_iterable,
)
from conformance.wire.coders._protos import CoderTable, add_to, from_proto
from conformance.wire.coders._rows import row
from conformance.wire.coders._windowed import (
    custom_window,
    global_window,
    interval_window,
    pane,
    param_windowed_value,
    timer,
    timestamp,
    windowed_value,
)

__all__ = [
    "Coder",
    "CoderError",
    "CoderTable",
    "InvalidCoder",
    "UnknownCoder",
    "UnwritableValue",
    "add_to",
    "boolean",
    "bytes_coder",
    "custom_window",
    "decode_varint",
    "double",
    "encode_varint",
    "from_proto",
    "global_window",
    "interval_window",
    "iterable",
    "kv",
    "length_prefix",
    "nullable",
    "opaque",
    "pane",
    "param_windowed_value",
    "raw",
    "read_varint",
    "row",
    "sharded_key",
    "state_backed_iterable",
    "string_utf8",
    "timer",
    "timestamp",
    "varint",
    "windowed_value",
    "write_varint",
]
