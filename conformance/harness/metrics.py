"""Metrics of one bundle: cells by URN and labels, their payloads, and the short ids of a worker (P-MET-01..08)."""

from __future__ import annotations

import struct
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from conformance.wire import coders, urns
from conformance.wire.api import metrics_pb2

__all__ = ["BundleMetrics", "Labels", "ShortIds", "UserMetrics", "gather"]

_M, _T = urns.Metric, urns.MetricType
Labels = tuple[tuple[str, str], ...]
Key = tuple[str, str, Labels]
_DOUBLE = struct.Struct(">d")


def _varints(*values: int) -> bytes:
    return b"".join(coders.encode_varint(value) for value in values)


class Sum:
    """A counter of integers or doubles."""

    __slots__ = ("value",)

    def __init__(self) -> None:
        self.value: float = 0

    def update(self, value: float) -> None:
        self.value += value

    def int_payload(self) -> bytes:
        return _varints(int(self.value))

    def double_payload(self) -> bytes:
        return _DOUBLE.pack(self.value)


class Distribution:
    """Count, sum, minimum, maximum."""

    __slots__ = ("count", "high", "low", "total")

    def __init__(self) -> None:
        self.count, self.total, self.low, self.high = 0, 0.0, 0.0, 0.0

    def update(self, value: float) -> None:
        self.low = value if not self.count else min(self.low, value)
        self.high = value if not self.count else max(self.high, value)
        self.count += 1
        self.total += value

    def int_payload(self) -> bytes:
        return _varints(self.count, int(self.total), int(self.low), int(self.high))

    def double_payload(self) -> bytes:
        return _varints(self.count) + b"".join(_DOUBLE.pack(value) for value in (self.total, self.low, self.high))


class Latest:
    """A gauge: the newest value and when it was set (milliseconds)."""

    __slots__ = ("timestamp", "value")

    def __init__(self) -> None:
        self.timestamp, self.value = 0, 0.0

    def update(self, value: float, timestamp: int | None = None) -> None:
        now = int(time.time() * 1000) if timestamp is None else timestamp
        if now >= self.timestamp:
            self.timestamp, self.value = now, value

    def int_payload(self) -> bytes:
        return _varints(self.timestamp, int(self.value))

    def double_payload(self) -> bytes:
        return _varints(self.timestamp) + _DOUBLE.pack(self.value)


class Best:
    """The n largest (or smallest) values."""

    __slots__ = ("largest", "n", "values")

    def __init__(self, largest: bool, n: int = 10) -> None:
        self.largest, self.n = largest, n
        self.values: list[float] = []

    def update(self, value: float) -> None:
        self.values = sorted([*self.values, value], reverse=self.largest)[: self.n]

    def int_payload(self) -> bytes:
        return coders.iterable(coders.varint()).encode([int(value) for value in self.values])

    def double_payload(self) -> bytes:
        return coders.iterable(coders.double()).encode(self.values)


class StringSet:
    __slots__ = ("values",)

    def __init__(self) -> None:
        self.values: set[str] = set()

    def update(self, value: str) -> None:
        self.values.add(value)

    def payload(self) -> bytes:
        return coders.iterable(coders.string_utf8()).encode(sorted(self.values))


class Trie:
    """A set of paths, with the bound that says when to truncate it."""

    __slots__ = ("bound", "paths")

    def __init__(self, bound: int = 100) -> None:
        self.bound = bound
        self.paths: set[tuple[str, ...]] = set()

    def update(self, path: Iterable[str]) -> None:
        self.paths.add(tuple(path))

    def payload(self) -> bytes:
        trie = metrics_pb2.BoundedTrie(bound=self.bound)
        if len(self.paths) == 1:
            trie.singleton.extend(next(iter(self.paths)))
        else:
            for path in sorted(self.paths):
                node = trie.root
                for part in path:
                    node = node.children[part]
        return bytes(trie.SerializeToString(deterministic=True))


class Histogram:
    """Counts in linear buckets; values outside go to the first or last one."""

    __slots__ = ("counts", "start", "width")

    def __init__(self, start: float = 0.0, width: float = 10.0, buckets: int = 10) -> None:
        self.start, self.width, self.counts = start, width, [0] * buckets

    def update(self, value: float) -> None:
        index = int((value - self.start) // self.width)
        self.counts[min(max(index, 0), len(self.counts) - 1)] += 1

    def payload(self) -> bytes:
        message = metrics_pb2.HistogramValue(count=sum(self.counts), bucket_counts=self.counts)
        linear = message.bucket_options.linear
        linear.number_of_buckets, linear.width, linear.start = len(self.counts), self.width, self.start
        return bytes(message.SerializeToString(deterministic=True))


#: Short name of a user metric's kind: its URN, type, cell and payload method.
KINDS: Mapping[str, tuple[str, str, Callable[[], Any], str]] = {
    "counter": (_M.USER_SUM_INT64, _T.SUM_INT64, Sum, "int_payload"),
    "counter_double": (_M.USER_SUM_DOUBLE, _T.SUM_DOUBLE, Sum, "double_payload"),
    "distribution": (_M.USER_DISTRIBUTION_INT64, _T.DISTRIBUTION_INT64, Distribution, "int_payload"),
    "distribution_double": (_M.USER_DISTRIBUTION_DOUBLE, _T.DISTRIBUTION_DOUBLE, Distribution, "double_payload"),
    "gauge": (_M.USER_LATEST_INT64, _T.LATEST_INT64, Latest, "int_payload"),
    "gauge_double": (_M.USER_LATEST_DOUBLE, _T.LATEST_DOUBLE, Latest, "double_payload"),
    "top": (_M.USER_TOP_N_INT64, _T.TOP_N_INT64, lambda: Best(True), "int_payload"),
    "top_double": (_M.USER_TOP_N_DOUBLE, _T.TOP_N_DOUBLE, lambda: Best(True), "double_payload"),
    "bottom": (_M.USER_BOTTOM_N_INT64, _T.BOTTOM_N_INT64, lambda: Best(False), "int_payload"),
    "bottom_double": (_M.USER_BOTTOM_N_DOUBLE, _T.BOTTOM_N_DOUBLE, lambda: Best(False), "double_payload"),
    "set": (_M.USER_SET_STRING, _T.SET_STRING, StringSet, "payload"),
    "trie": (_M.USER_BOUNDED_TRIE, _T.BOUNDED_TRIE, Trie, "payload"),
    "histogram": (_M.USER_HISTOGRAM, _T.HISTOGRAM, Histogram, "payload"),
}


class BundleMetrics:
    """The user metrics of one bundle so far. System metrics are read from the operations when they are asked for."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._cells: dict[Key, tuple[Any, str]] = {}

    def update(self, kind: str, transform_id: str, namespace: str, name: str, value: Any) -> None:
        """One update of a user metric. Raises KeyError for an unknown kind."""
        urn, metric_type, make, method = KINDS[kind]
        key = (urn, metric_type, (("NAME", name), ("NAMESPACE", namespace), ("PTRANSFORM", transform_id)))
        with self._lock:
            cell, _ = self._cells.setdefault(key, (make(), method))
            cell.update(value)

    def api_request(self, labels: Mapping[str, str], milliseconds: float) -> None:
        """One request to a service outside: counted, and its latency noted (P-MET-07's `io:api_request_*`)."""
        told = tuple(sorted(labels.items()))
        count: Key = (_M.API_REQUEST_COUNT, _T.SUM_INT64, told)
        latencies: Key = (_M.API_REQUEST_LATENCIES, _T.HISTOGRAM, told)
        with self._lock:
            self._cells.setdefault(count, (Sum(), "int_payload"))[0].update(1)
            self._cells.setdefault(latencies, (Histogram(), "payload"))[0].update(milliseconds)

    def payloads(self) -> dict[Key, bytes]:
        with self._lock:
            return {key: getattr(cell, method)() for key, (cell, method) in self._cells.items()}


class UserMetrics:
    """The metrics of one transform, as a function sees them."""

    def __init__(self, metrics: BundleMetrics, transform_id: str) -> None:
        self._metrics, self._transform_id = metrics, transform_id

    def update(self, kind: str, name: str, value: Any = 1, namespace: str = "beam-conformance") -> None:
        """`kind` is a key of KINDS: counter, distribution, gauge, set, …"""
        self._metrics.update(kind, self._transform_id, namespace, name, value)


def system(urn: str, metric_type: str, label: str, subject: str) -> Key:
    """The key of a metric with one label."""
    return urn, metric_type, ((label, subject),)


def int_sum(value: int) -> bytes:
    return _varints(value)


def distribution(values: Iterable[int]) -> bytes:
    """The payload of a distribution of these values."""
    cell = Distribution()
    for value in values:
        cell.update(value)
    return cell.int_payload()


def progress(values: Iterable[float]) -> bytes:
    return coders.iterable(coders.double()).encode(list(values))


class ShortIds:
    """Short ids of one worker, stable for its life (P-MET-03); they begin with `prefix`."""

    def __init__(self, prefix: str = "m") -> None:
        self._prefix = prefix
        self._lock = threading.Lock()
        self._ids: dict[Key, str] = {}
        self._infos: dict[str, metrics_pb2.MonitoringInfo] = {}

    def of(self, key: Key) -> str:
        with self._lock:
            short = self._ids.get(key)
            if short is None:
                short = self._ids[key] = f"{self._prefix}{len(self._ids)}"
                urn, metric_type, labels = key
                self._infos[short] = metrics_pb2.MonitoringInfo(urn=urn, type=metric_type, labels=dict(labels))
            return short

    def info(self, short: str) -> metrics_pb2.MonitoringInfo | None:
        """The metadata of a short id, without payload."""
        with self._lock:
            return self._infos.get(short)


def gather(
    payloads: Mapping[Key, bytes], short_ids: ShortIds, infos_too: bool
) -> tuple[dict[str, bytes], list[metrics_pb2.MonitoringInfo]]:
    """Both shapes: data by short id, and full infos unless the runner reads short ids (P-MET-02)."""
    data = {short_ids.of(key): payload for key, payload in payloads.items()}
    if not infos_too:
        return data, []
    infos = [
        metrics_pb2.MonitoringInfo(urn=urn, type=metric_type, labels=dict(labels), payload=payload)
        for (urn, metric_type, labels), payload in payloads.items()
    ]
    return data, infos
