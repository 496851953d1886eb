"""Where elements end: cuts encoded elements, keys, windows and timers out of byte strings without decoding user values.

The runner moves elements as bytes and looks inside only where the model needs it (grouping, keyed state, side inputs).
A `Skip` says where the nested encoding that starts at a position ends; skips are built from the coders of a bundle
descriptor, in which everything unknown is length-prefixed (P-PIPE-12). Pure; knows coders, decides nothing.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

from attrs import frozen

from conformance.runner import bulk
from conformance.runner.bulk import PairCutter, Run
from conformance.wire import timestamps, urns
from conformance.wire.values import NO_FIRING, Pane, Timing

__all__ = [
    "KNOWN_CODERS",
    "CutError",
    "Element",
    "Skip",
    "TimerCut",
    "TimerValue",
    "WindowedCut",
    "encode_pane",
    "encode_timer",
    "encode_varint",
    "interval_window",
    "iterable_end",
    "iterable_of",
    "pair_cutter",
    "read_interval",
    "read_varint",
    "skipper",
    "split_iterable",
    "windowed_value",
]

Skip = Callable[[bytes, int], int]
_INT32 = struct.Struct(">i")


class CutError(ValueError):
    """Bytes that do not decode in the coder that their port names; the harness that wrote them is at fault."""


def read_varint(data: bytes, pos: int) -> tuple[int, int]:
    """The unsigned base-128 number at `pos` and the position behind it."""
    if pos < len(data) and data[pos] < 0x80:  # most are one byte
        return data[pos], pos + 1
    result = shift = 0
    while True:
        if pos >= len(data) or shift > 63:
            raise CutError(f"a varint at offset {pos} is cut off or longer than ten bytes")
        byte = data[pos]
        pos += 1
        result |= (byte & 0x7F) << shift
        if byte < 0x80:
            return result, pos
        shift += 7


def encode_varint(value: int) -> bytes:
    """Base-128 of the 64-bit two's complement of `value`."""
    value &= 0xFFFF_FFFF_FFFF_FFFF
    if value < 0x80:
        return bytes((value,))
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def _fixed(size: int) -> Callable[[list[Skip]], Skip]:
    def build(_: list[Skip]) -> Skip:
        return lambda data, pos: pos + size

    return build


def _varint(_: list[Skip]) -> Skip:
    return lambda data, pos: read_varint(data, pos)[1]


def _prefixed(_: list[Skip]) -> Skip:
    def skip(data: bytes, pos: int) -> int:
        length, pos = read_varint(data, pos)
        return pos + length

    return skip


def _sequence(parts: list[Skip]) -> Skip:
    def skip(data: bytes, pos: int) -> int:
        for part in parts:
            pos = part(data, pos)
        return pos

    return skip


def _nullable(parts: list[Skip]) -> Skip:
    return lambda data, pos: parts[0](data, pos + 1) if data[pos] else pos + 1


def _iterable(parts: list[Skip]) -> Skip:
    (part,) = parts
    return lambda data, pos: iterable_end(data, pos, part)


def _count(data: bytes, pos: int) -> tuple[int, int]:
    """The length word of an iterable; negative for the form with chunks."""
    (count,) = _INT32.unpack_from(data, pos)
    if count > len(data) - pos:  # members without bytes would not end the loop soon
        raise CutError(f"an iterable of {count} members is cut off")
    return count, pos + 4


def iterable_end(data: bytes, pos: int, part: Skip) -> int:
    """Where the iterable that starts at `pos` ends; both forms are read (P-COD-03)."""
    count, pos = _count(data, pos)
    if count >= 0:
        for _ in range(count):
            pos = part(data, pos)
            if pos > len(data):
                raise CutError("an iterable is cut off")
        return pos
    while True:
        chunk, pos = read_varint(data, pos)
        if chunk == 0:
            return pos
        if chunk >= 1 << 63:
            raise CutError("a state-backed iterable whose token this runner never issued")
        if chunk > len(data) - pos:
            raise CutError("an iterable is cut off")
        for _ in range(chunk):
            pos = part(data, pos)
            if pos > len(data):
                raise CutError("an iterable is cut off")


def split_iterable(data: bytes, pos: int, part: Skip) -> tuple[list[bytes], int]:
    """The encoded members of the iterable at `pos`, and where it ends."""
    count, pos = _count(data, pos)
    members = []
    while True:
        if count < 0:
            chunk, pos = read_varint(data, pos)
            if chunk >= 1 << 63:
                raise CutError("a state-backed iterable whose token this runner never issued")
            if chunk > len(data) - pos:
                raise CutError("an iterable is cut off")
        else:
            chunk = count
        for _ in range(chunk):
            end = part(data, pos)
            if end > len(data):
                raise CutError("an iterable is cut off")
            members.append(data[pos:end])
            pos = end
        if count >= 0 or chunk == 0:
            return members, pos


def _custom_window(parts: list[Skip]) -> Skip:
    return lambda data, pos: parts[0](data, pos + 8)


def _interval(_: list[Skip]) -> Skip:
    return lambda data, pos: read_varint(data, pos + 8)[1]


#: Coders that this runner reads: number of components and how to step over a nested value. All others are length-prefixed.
KNOWN_CODERS: Mapping[str, tuple[int, Callable[[list[Skip]], Skip]]] = {
    urns.Coder.BYTES: (0, _prefixed),
    urns.Coder.STRING_UTF8: (0, _prefixed),
    urns.Coder.BOOL: (0, _fixed(1)),
    urns.Coder.VARINT: (0, _varint),
    urns.Coder.DOUBLE: (0, _fixed(8)),
    urns.Coder.KV: (2, _sequence),
    urns.Coder.ITERABLE: (1, _iterable),
    urns.Coder.STATE_BACKED_ITERABLE: (1, _iterable),
    urns.Coder.LENGTH_PREFIX: (1, _prefixed),
    urns.Coder.NULLABLE: (1, _nullable),
    urns.Coder.SHARDED_KEY: (1, lambda parts: _sequence([_prefixed([]), *parts])),
    urns.Coder.GLOBAL_WINDOW: (0, _fixed(0)),
    urns.Coder.INTERVAL_WINDOW: (0, _interval),
    urns.Coder.CUSTOM_WINDOW: (1, _custom_window),
}


def skipper(coder_id: str, coders: Mapping[str, Any]) -> Skip:
    """How to step over a nested value of the wire coder `coder_id`."""
    coder = coders[coder_id]
    if coder.spec.urn == urns.Coder.LENGTH_PREFIX:  # what is inside is not the runner's business
        return _prefixed([])
    _, build = KNOWN_CODERS[coder.spec.urn]
    return build([skipper(component, coders) for component in coder.component_coder_ids])


#: Patterns (see `bulk`) of the coders in whose layout nothing repeats.
_PATTERNS: Mapping[str, Callable[[list[bytes | None]], bytes | None]] = {
    urns.Coder.BYTES: lambda _: bulk.PREFIXED,
    urns.Coder.STRING_UTF8: lambda _: bulk.PREFIXED,
    urns.Coder.LENGTH_PREFIX: lambda _: bulk.PREFIXED,
    urns.Coder.BOOL: lambda _: bulk.fixed(1),
    urns.Coder.VARINT: lambda _: bulk.VARINT,
    urns.Coder.DOUBLE: lambda _: bulk.fixed(8),
    urns.Coder.KV: bulk.sequence,
    urns.Coder.SHARDED_KEY: lambda parts: bulk.sequence([bulk.PREFIXED, *parts]),
    urns.Coder.GLOBAL_WINDOW: lambda _: b"",
    urns.Coder.INTERVAL_WINDOW: lambda _: bulk.fixed(8) + bulk.VARINT,
    urns.Coder.CUSTOM_WINDOW: lambda parts: bulk.sequence([bulk.fixed(8), *parts]),
}


def _pattern(coder_id: str, coders: Mapping[str, Any]) -> bytes | None:
    coder = coders[coder_id]
    make = _PATTERNS.get(coder.spec.urn)
    return None if make is None else make([_pattern(component, coders) for component in coder.component_coder_ids])


def pair_cutter(key: str, value: str, window: str, coders: Mapping[str, Any]) -> PairCutter | None:
    """How to cut many pairs of two wire coders at once; None if one of them has no pattern."""
    patterns = [pattern for each in (key, value, window) if (pattern := _pattern(each, coders)) is not None]
    return PairCutter(*patterns) if len(patterns) == 3 else None


def iterable_of(parts: list[bytes]) -> bytes:
    """The known-length iterable of encoded members."""
    return _INT32.pack(len(parts)) + b"".join(parts)


def encode_pane(pane: Pane) -> bytes:
    """The shortest of the three canonical forms (M-PANE-02)."""
    low = (1 if pane.is_first else 0) | (2 if pane.is_last else 0) | pane.timing << 2
    if pane.timing == Timing.UNKNOWN or (pane.index == 0 and pane.nonspeculative_index == 0):
        return bytes((low,))
    if pane.timing == Timing.EARLY or pane.index == pane.nonspeculative_index:
        return bytes((low | 0x10,)) + encode_varint(pane.index)
    return bytes((low | 0x20,)) + encode_varint(pane.index) + encode_varint(pane.nonspeculative_index)


def _pane_end(data: bytes, pos: int) -> int:
    first = data[pos]
    pos += 1
    if first < 0x10:
        return pos
    for _ in range((first & 0x70) >> 4):
        pos = read_varint(data, pos)[1]
    if first & 0x80:  # element metadata (P-COD-09): never asked for, yet stepped over
        length, pos = read_varint(data, pos)
        pos += length
    return pos


def interval_window(start: int, end: int) -> bytes:
    """The encoding of [start, end) (M-WIN-17)."""
    return timestamps.encode_timestamp(end) + encode_varint(end - start)


def read_interval(data: bytes) -> tuple[int, int]:
    """(start, end) of an encoded interval window."""
    end = timestamps.decode_timestamp(data)
    span, _ = read_varint(data, 8)
    return end - span, end


def windowed_value(timestamp: int, windows: list[bytes], pane: bytes, value: bytes) -> bytes:
    """An element in the full windowed_value form."""
    return b"".join((timestamps.encode_timestamp(timestamp), _INT32.pack(len(windows)), *windows, pane, value))


class Element(NamedTuple):
    """One element cut out of a chunk: its parts still encoded. A tuple, since there are as many as elements."""

    timestamp: int
    windows: tuple[bytes, ...]
    pane: bytes
    value: bytes
    whole: bytes


@frozen
class WindowedCut:
    """Cuts chunks of windowed_value<element, window> into elements, and values into key and rest where they are KVs."""

    element: Skip
    window: Skip
    key: Skip | None = None
    pairs: PairCutter | None = None

    def runs(self, data: bytes) -> list[Run] | None:
        """A chunk of KVs in one window each as runs of pairs, at once; None if it has to go by `elements`."""
        return self.pairs.runs(data) if self.pairs is not None else None

    def elements(self, data: bytes) -> Iterator[Element]:
        """The elements of a chunk in order. Raises CutError if they do not fill it exactly."""
        pos = 0
        size = len(data)
        window = self.window
        try:
            while pos < size:
                start = pos
                timestamp = timestamps.decode_timestamp(data, pos)
                (count,) = _INT32.unpack_from(data, pos + 8)
                pos += 12
                if not 0 <= count <= size - pos:  # global windows have no bytes: nothing else would end the loop soon
                    raise CutError(f"an element at offset {start} claims {count} windows")
                windows = []
                for _ in range(count):
                    end = window(data, pos)
                    windows.append(data[pos:end])
                    pos = end
                end = _pane_end(data, pos)
                pane = data[pos:end]
                pos = self.element(data, end)
                if pos > size:
                    raise CutError(f"an element at offset {start} is cut off")
                yield Element(timestamp, tuple(windows), pane, data[end:pos], data[start:pos])
        except (IndexError, struct.error) as error:
            raise CutError(f"an element at offset {start} of {size} bytes is cut off ({error})") from None

    def key_of(self, value: bytes) -> tuple[bytes, bytes]:
        """The nested key bytes of a KV, and its value."""
        assert self.key is not None, "not a KV coder"
        end = self.key(value, 0)
        return value[:end], value[end:]


@frozen
class TimerValue:
    """A timer message (P-TMR-01); windows and key still encoded."""

    key: bytes
    tag: bytes
    windows: tuple[bytes, ...]
    clear: bool
    fire: int = 0
    hold: int = 0
    pane: bytes = b"\x0f"


@frozen
class TimerCut:
    """Cuts the timers of one family out of their stream."""

    key: Skip
    window: Skip

    def timers(self, data: bytes) -> Iterator[TimerValue]:
        """The timer settings of a chunk in order."""
        pos = 0
        tag_of = _prefixed([])
        try:
            while pos < len(data):
                start = pos
                pos = self.key(data, pos)
                key = data[start:pos]
                end = tag_of(data, pos)
                tag = data[pos:end]
                windows, pos = split_iterable(data, end, self.window)
                clear = data[pos] != 0
                pos += 1
                if clear:
                    yield TimerValue(key, tag, tuple(windows), True)
                    continue
                fire = timestamps.decode_timestamp(data, pos)
                hold = timestamps.decode_timestamp(data, pos + 8)
                end = _pane_end(data, pos + 16)
                yield TimerValue(key, tag, tuple(windows), False, fire, hold, data[pos + 16 : end])
                pos = end
        except (IndexError, struct.error) as error:
            raise CutError(f"a timer is cut off ({error})") from None


def encode_timer(key: bytes, tag: bytes, window: bytes, fire: int, hold: int, pane: bytes | None = None) -> bytes:
    """A timer firing: one window, clear bit 0 (P-TMR-05)."""
    return b"".join(
        (
            key,
            tag,
            iterable_of([window]),
            b"\x00",
            timestamps.encode_timestamp(fire),
            timestamps.encode_timestamp(hold),
            encode_pane(NO_FIRING) if pane is None else pane,
        )
    )
