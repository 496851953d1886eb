"""Metrics of a job: merged by type, one entry for each urn and label set (P-MET-04, P-MET-05). Pure."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable
from typing import Any

from conformance.runner.cutting import CutError, encode_varint, iterable_of, read_varint
from conformance.wire import urns
from conformance.wire.api import metrics_pb2

__all__ = ["MERGES", "MetricTable", "merge_payloads"]

M = urns.MetricType
_DOUBLE = struct.Struct(">d")
_INT32 = struct.Struct(">i")


def _signed(value: int) -> int:
    return value - (1 << 64) if value >= 1 << 63 else value


def _int64(data: bytes, pos: int) -> tuple[int, int]:
    value, pos = read_varint(data, pos)
    return _signed(value), pos


def _double(data: bytes, pos: int) -> tuple[float, int]:
    return float(_DOUBLE.unpack_from(data, pos)[0]), pos + 8


def _pack(value: float) -> bytes:
    return encode_varint(value) if isinstance(value, int) else _DOUBLE.pack(value)


Number = Callable[[bytes, int], tuple[Any, int]]


def _sum(number: Number) -> Callable[[bytes, bytes], bytes]:
    return lambda one, other: _pack(number(one, 0)[0] + number(other, 0)[0])


def _distribution(number: Number) -> Callable[[bytes, bytes], bytes]:
    def read(data: bytes) -> tuple[int, Any, Any, Any] | None:
        count, pos = _int64(data, 0)
        if count == 0:  # four zeros, or the single byte (P-MET-07)
            return None
        total, pos = number(data, pos)
        least, pos = number(data, pos)
        most, pos = number(data, pos)
        return count, total, least, most

    def merge(one: bytes, other: bytes) -> bytes:
        left, right = read(one), read(other)
        if left is None or right is None:
            return other if left is None else one
        merged = (left[0] + right[0], left[1] + right[1], min(left[2], right[2]), max(left[3], right[3]))
        return b"".join(_pack(each) for each in merged)

    return merge


def _latest(one: bytes, other: bytes) -> bytes:
    return one if _int64(one, 0)[0] > _int64(other, 0)[0] else other


def _numbers(data: bytes, number: Number) -> list[Any]:
    (count,) = _INT32.unpack_from(data, 0)
    pos, found = 4, []
    while True:
        if count < 0:
            chunk, pos = read_varint(data, pos)
        else:
            chunk = count
        for _ in range(chunk):
            value, pos = number(data, pos)
            found.append(value)
        if count >= 0 or chunk == 0:
            return found


def _best(number: Number, top: bool) -> Callable[[bytes, bytes], bytes]:
    def merge(one: bytes, other: bytes) -> bytes:
        left, right = _numbers(one, number), _numbers(other, number)
        kept = sorted(left + right, reverse=top)[: max(len(left), len(right))]
        return iterable_of([_pack(value) for value in kept])

    return merge


def _string(data: bytes, pos: int) -> tuple[bytes, int]:
    size, at = read_varint(data, pos)
    return data[pos : at + size], at + size


def _union(one: bytes, other: bytes) -> bytes:
    return iterable_of(sorted({*_numbers(one, _string), *_numbers(other, _string)}))


def _trie(one: bytes, other: bytes) -> bytes:
    left, right = (metrics_pb2.BoundedTrie.FromString(each) for each in (one, other))
    if not left.HasField("root") and not left.singleton:
        return other
    if not right.HasField("root") and not right.singleton:
        return one
    if list(left.singleton) == list(right.singleton) and not left.HasField("root") and not right.HasField("root"):
        return one
    merged = metrics_pb2.BoundedTrie(bound=min(left.bound, right.bound) or max(left.bound, right.bound))
    for side in (left, right):
        root = metrics_pb2.BoundedTrieNode()
        if side.HasField("root"):
            root.CopyFrom(side.root)
        else:
            node = root
            for part in side.singleton:
                node = node.children[part]
        _graft(merged.root, root)
    while merged.bound and _size(merged.root) > merged.bound:
        if not _trim(merged.root):
            break
    encoded: bytes = merged.SerializeToString(deterministic=True)
    return encoded


def _graft(into: Any, node: Any) -> None:
    if node.truncated or into.truncated:
        into.truncated = True
        into.ClearField("children")
        return
    for name, child in node.children.items():
        _graft(into.children[name], child)


def _size(node: Any) -> int:
    return sum(_size(child) for child in node.children.values()) if node.children else 1


def _trim(node: Any) -> bool:
    """Cuts the deepest forks first: a node whose children are all leaves loses them."""
    if not node.children:
        return False
    for name in sorted(node.children, key=lambda name: _size(node.children[name]), reverse=True):
        if node.children[name].children:
            return _trim(node.children[name])
    node.ClearField("children")
    node.truncated = True
    return True


def _histogram(one: bytes, other: bytes) -> bytes:
    left, right = (metrics_pb2.HistogramValue.FromString(each) for each in (one, other))
    if left.bucket_options != right.bucket_options:
        return other
    width = max(len(left.bucket_counts), len(right.bucket_counts))
    counts = [
        sum(each.bucket_counts[index] for each in (left, right) if index < len(each.bucket_counts)) for index in range(width)
    ]
    merged = metrics_pb2.HistogramValue(count=left.count + right.count, bucket_options=left.bucket_options, bucket_counts=counts)
    encoded: bytes = merged.SerializeToString(deterministic=True)
    return encoded


#: How two payloads of a type become one; types that are not here keep the newer one.
MERGES: dict[str, Callable[[bytes, bytes], bytes]] = {
    M.SUM_INT64: _sum(_int64),
    M.SUM_DOUBLE: _sum(_double),
    M.DISTRIBUTION_INT64: _distribution(_int64),
    M.DISTRIBUTION_DOUBLE: _distribution(_double),
    M.LATEST_INT64: _latest,
    M.LATEST_DOUBLE: _latest,
    M.TOP_N_INT64: _best(_int64, True),
    M.TOP_N_DOUBLE: _best(_double, True),
    M.BOTTOM_N_INT64: _best(_int64, False),
    M.BOTTOM_N_DOUBLE: _best(_double, False),
    M.SET_STRING: _union,
    M.BOUNDED_TRIE: _trie,
    M.HISTOGRAM: _histogram,
}


def merge_payloads(type_urn: str, one: bytes, other: bytes) -> bytes:
    """The payload of both together. Payloads that do not decode are never fatal: the newer one stands."""
    merge = MERGES.get(type_urn)
    if merge is None or not one or not other:
        return other or one
    try:
        return merge(one, other)
    except (CutError, struct.error, IndexError, ValueError):
        return other


class MetricTable:
    """MonitoringInfos by urn and labels."""

    def __init__(self) -> None:
        self._infos: dict[tuple[str, frozenset[tuple[str, str]]], Any] = {}

    def add(self, infos: Iterable[Any]) -> None:
        """Merges infos in."""
        for info in infos:
            key = (info.urn, frozenset(info.labels.items()))
            known = self._infos.get(key)
            if known is None:
                known = self._infos[key] = metrics_pb2.MonitoringInfo()
                known.CopyFrom(info)
            else:
                known.payload = self.merged(info.type, known.payload, info.payload)

    def merged(self, type_urn: str, one: bytes, other: bytes) -> bytes:
        """Two payloads of one metric as one."""
        return merge_payloads(type_urn, one, other)

    def infos(self) -> list[Any]:
        """One info for each urn and label set."""
        return list(self._infos.values())

    def with_others(self, others: Iterable[Iterable[Any]]) -> list[Any]:
        """What this table and further infos come to together."""
        table = type(self)()
        table.add(self.infos())
        for infos in others:
            table.add(infos)
        return table.infos()
