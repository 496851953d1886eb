"""Cuts many small keyed elements at once: a regular expression made of their coders, run over a whole chunk. Pure.

A loop over elements in Python costs microseconds each; the expression a tenth of that. It reads what is common and small: one window
an element, lengths below 128, any pane. A chunk that it does not match from end to end is left to the loop of `cutting`. Why that is
safe: the expression reads each layout in one way only, so a match that starts where an element starts ends where it ends; and
matches whose lengths add up to the chunk leave no gap, so each starts where the one before ended.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping
from functools import lru_cache
from itertools import chain
from typing import NamedTuple

from attrs import frozen

from conformance.wire import timestamps

__all__ = ["LEAST", "PREFIXED", "VARINT", "Chunk", "PairCutter", "Run", "fixed", "sequence"]

#: Chunks below this many bytes are not worth an expression.
LEAST = 2048
#: Patterns of nested encodings.
VARINT = rb"[\x80-\xff]{0,9}+[\x00-\x7f]"
PREFIXED = b"(?:" + b"|".join(re.escape(bytes((size,))) + b".{%d}" % size for size in range(128)) + b")"
_PANE = rb"(?:[\x00-\x0f]|[\x10-\x1f]" + VARINT + rb"|[\x20-\x2f](?:" + VARINT + b"){2})"
_TIMESTAMP = b".{8}"
_ONE_WINDOW = rb"\x00\x00\x00\x01"
#: Elements at the beginning of a chunk by which is told whether all share what stands in front of the value.
_SAMPLE = 4


def fixed(size: int) -> bytes:
    """The pattern of any `size` bytes."""
    return b".{%d}" % size


def sequence(parts: Iterable[bytes | None]) -> bytes | None:
    """The pattern of one part after the other; None if one of them has none."""
    found = list(parts)
    return None if None in found else b"".join(part for part in found if part is not None)


class Run(NamedTuple):
    """Pairs that have the same timestamp and window (encoded): values by key, in their order."""

    timestamp: int
    window: bytes
    groups: Mapping[bytes, list[bytes]]


class Chunk(bytes):
    """A chunk with its runs, cut as it came in: while the worker still makes the rest of the bundle."""

    runs: list[Run]


@lru_cache(maxsize=256)
def _compiled(pattern: bytes) -> re.Pattern[bytes]:
    return re.compile(pattern, re.DOTALL)


@frozen
class PairCutter:
    """Cuts chunks of windowed_value<kv<key, value>, window>, given the patterns of key, value and window."""

    key: bytes
    value: bytes
    window: bytes

    def cut(self, data: bytes) -> bytes:
        """The same bytes; with their runs, if they have any."""
        found = self.runs(data)
        if found is None:
            return data
        chunk = Chunk(data)
        chunk.runs = found
        return chunk

    def runs(self, chunk: bytes) -> list[Run] | None:
        """The pairs of a chunk; None if it has to be cut element by element."""
        if isinstance(chunk, Chunk):
            return chunk.runs
        if len(chunk) < LEAST:
            return None
        pair = b"(" + self.key + b")(" + self.value + b")"
        element = _compiled(b"(" + _TIMESTAMP + _ONE_WINDOW + self.window + _PANE + b")" + pair)
        heads = set()
        at = 0
        for _ in range(_SAMPLE):
            match = element.match(chunk, at)
            if match is None:
                return None
            heads.add(match[1])
            at = match.end()
        if len(heads) == 1:  # most chunks have one head: it need not be cut out a million times
            (head,) = heads
            pairs = _compiled(re.escape(head) + pair).findall(chunk)
            if len(head) * len(pairs) + _length(pairs) == len(chunk):
                return [self._run(head, pairs)]
        elements = element.findall(chunk)
        if _length(elements) != len(chunk):
            return None
        by_head: defaultdict[bytes, list[tuple[bytes, bytes]]] = defaultdict(list)
        for head, key, value in elements:
            by_head[head].append((key, value))
        return [self._run(head, pairs) for head, pairs in by_head.items()]

    def _run(self, head: bytes, pairs: list[tuple[bytes, bytes]]) -> Run:
        match = _compiled(_TIMESTAMP + _ONE_WINDOW + b"(" + self.window + b")").match(head)
        assert match is not None
        groups: defaultdict[bytes, list[bytes]] = defaultdict(list)
        for key, value in pairs:
            groups[key].append(value)
        return Run(timestamps.decode_timestamp(head), match[1], groups)


def _length(found: Iterable[tuple[bytes, ...]]) -> int:
    return sum(map(len, chain.from_iterable(found)))
