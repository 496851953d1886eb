"""Reads metrics: payloads by type, what a job's result lists say, and what the workers reported (protocol section 9)."""

from __future__ import annotations

import struct
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from attrs import frozen

from conformance.harness import Event
from conformance.harness.invariants import discarded
from conformance.pipeline import PCollection
from conformance.suite.checks import Wrong, holds
from conformance.suite.outcomes import Declined, NotExercised
from conformance.suite.run import Run
from conformance.wire import coders, urns
from conformance.wire.api import metrics_pb2

__all__ = ["NAMESPACE", "Key", "committed", "merged", "read", "reported", "result", "results", "user"]

#: The namespace that the harness gives user metrics unless a function names another.
NAMESPACE = "beam-conformance"
_M, _T = urns.Metric, urns.MetricType
_DOUBLE = struct.Struct(">d")

#: Kind of user metric (conformance.harness.metrics.KINDS) → its URN.
USER: Mapping[str, str] = {
    "counter": _M.USER_SUM_INT64,
    "counter_double": _M.USER_SUM_DOUBLE,
    "distribution": _M.USER_DISTRIBUTION_INT64,
    "distribution_double": _M.USER_DISTRIBUTION_DOUBLE,
    "gauge": _M.USER_LATEST_INT64,
    "gauge_double": _M.USER_LATEST_DOUBLE,
    "top": _M.USER_TOP_N_INT64,
    "top_double": _M.USER_TOP_N_DOUBLE,
    "bottom": _M.USER_BOTTOM_N_INT64,
    "bottom_double": _M.USER_BOTTOM_N_DOUBLE,
    "set": _M.USER_SET_STRING,
    "trie": _M.USER_BOUNDED_TRIE,
    "histogram": _M.USER_HISTOGRAM,
}


@frozen
class Key:
    """What tells two metrics apart: URN and all labels."""

    urn: str
    labels: tuple[tuple[str, str], ...]

    @classmethod
    def of(cls, info: Any) -> Key:
        return cls(info.urn, tuple(sorted(info.labels.items())))


# Payloads


def _varints(data: bytes) -> list[int]:
    """All varints of a payload, as signed 64-bit numbers."""
    found, position = [], 0
    while position < len(data):
        value, position = coders.varint().read(data, position, len(data), True)
        found.append(value)
    return found


def _distribution(data: bytes) -> tuple[int, int, int, int]:
    """Count, sum, minimum, maximum; the single byte 00 is an empty one (P-MET-07)."""
    found = _varints(data)
    return (0, 0, 0, 0) if found == [0] else (found[0], found[1], found[2], found[3])


def _distribution_double(data: bytes) -> tuple[int, float, float, float]:
    count, position = coders.varint().read(data, 0, len(data), True)
    rest = [_DOUBLE.unpack_from(data, position + 8 * index)[0] for index in range((len(data) - position) // 8)]
    return (count, *rest) if len(rest) == 3 else (count, 0.0, 0.0, 0.0)


def _latest_double(data: bytes) -> tuple[int, float]:
    timestamp, position = coders.varint().read(data, 0, len(data), True)
    return timestamp, _DOUBLE.unpack_from(data, position)[0]


def _paths(data: bytes) -> set[tuple[str, ...]]:
    """The paths of a bounded trie; one that was cut ends with "…"."""
    trie = metrics_pb2.BoundedTrie.FromString(data)
    return {tuple(trie.singleton)} if trie.singleton else set(_below(trie.root, ()))


def _below(node: Any, path: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    if node.truncated:
        yield (*path, "…")
    elif not node.children and path:
        yield path
    for name, child in node.children.items():
        yield from _below(child, (*path, name))


def _buckets(data: bytes) -> tuple[int, list[int]]:
    histogram = metrics_pb2.HistogramValue.FromString(data)
    return histogram.count, list(histogram.bucket_counts)


#: Type → what its payload says.
DECODERS: Mapping[str, Callable[[bytes], Any]] = {
    _T.SUM_INT64: lambda data: _varints(data)[0],
    _T.SUM_DOUBLE: lambda data: _DOUBLE.unpack(data)[0],
    _T.DISTRIBUTION_INT64: _distribution,
    _T.DISTRIBUTION_DOUBLE: _distribution_double,
    _T.LATEST_INT64: lambda data: tuple(_varints(data)),
    _T.LATEST_DOUBLE: _latest_double,
    _T.TOP_N_INT64: lambda data: coders.iterable(coders.varint()).decode(data),
    _T.TOP_N_DOUBLE: lambda data: coders.iterable(coders.double()).decode(data),
    _T.BOTTOM_N_INT64: lambda data: coders.iterable(coders.varint()).decode(data),
    _T.BOTTOM_N_DOUBLE: lambda data: coders.iterable(coders.double()).decode(data),
    _T.SET_STRING: lambda data: coders.iterable(coders.string_utf8()).decode(data),
    _T.BOUNDED_TRIE: _paths,
    _T.HISTOGRAM: _buckets,
}


def read(info: Any) -> Any:
    """What the payload of a MonitoringInfo says. Raises Wrong for bytes that are no payload of its type."""
    __tracebackhide__ = True
    try:
        return DECODERS[info.type](info.payload)
    except (KeyError, ValueError, IndexError, struct.error) as error:
        raise Wrong(
            f"the payload of {info.urn} is none of type {info.type or '(none)'}: {error}",
            expected=info.type,
            observed=bytes(info.payload).hex(),
            rule="P-MET-05",
        ) from error


# What the runner says


def results(run: Run) -> list[Any]:
    """The job's metrics as tests read them: committed if there are any, else attempted (M-BNDL-07).

    Raises NotExercised if they could not be had, Declined if there are none at all, which is legal (P-JOB-15).
    """
    metrics = run.outcome.metrics
    if metrics is None:
        raise NotExercised(f"GetJobMetrics gave no answer: {'; '.join(run.outcome.remarks) or 'no remark'}")
    if not metrics.committed and not metrics.attempted:
        raise Declined("the runner does not support metrics: both lists are empty (P-JOB-15)")
    return list(metrics.committed or metrics.attempted)


def committed(run: Run) -> list[Any]:
    """The committed metrics. Raises NotExercised if the runner reports none."""
    if not results(run) or run.outcome.metrics is None or not run.outcome.metrics.committed:
        raise NotExercised("the runner reports no committed metrics")
    return list(run.outcome.metrics.committed)


def transform_of(collection: PCollection) -> str:
    """The id of the transform that makes a collection."""
    found = collection.program.graph.components.transforms
    return next(key for key, transform in found.items() if collection.id in transform.outputs.values())


def user(infos: Iterable[Any], kind: str, name: str, transform: str = "", namespace: str = "") -> list[Any]:
    """The entries of one user metric; of every transform and namespace unless they are named."""
    return [
        info
        for info in infos
        if info.urn == USER[kind]
        and info.labels.get("NAME") == name
        and (not namespace or info.labels.get("NAMESPACE") == namespace)
        and (not transform or info.labels.get("PTRANSFORM") == transform)
    ]


def result(run: Run, kind: str, name: str) -> Any:
    """The value of the one user metric `name` in the job's result.

    A kind that the runner drops is one that it declines (M-BNDL-07); of a counter, metrics without it are wrong.
    """
    __tracebackhide__ = True
    infos = results(run)
    found = user(infos, kind, name)
    if not found and kind != "counter":
        raise Declined(f"the runner does not report {USER[kind]} (it reports {', '.join(sorted({i.urn for i in infos}))})")
    holds(
        len(found) == 1,
        f"{len(found)} entries of the {kind} {name!r}",
        expected=f"one entry of {USER[kind]} with NAME {name}",
        observed=sorted(f"{info.urn} {dict(info.labels)}" for info in (found or infos)),
        rule="P-MET-05",
    )
    return read(found[0])


# What the workers said


def reported(run: Run) -> dict[Key, list[Any]]:
    """Key → the decoded payload of each bundle that was answered OK for good, in order, from the transcript's full infos."""
    found: dict[Key, list[Any]] = defaultdict(list)
    lost = discarded(run.transcript)
    for event in _answers(run.transcript.events("control", direction="S->R", kind="InstructionResponse")):
        if not event.message.error and (event.worker_id, event.message.instruction_id) not in lost:
            for info in event.message.process_bundle.monitoring_infos:
                if info.type in DECODERS:
                    found[Key.of(info)].append(read(info))
    return found


def _answers(events: Iterable[Event]) -> Iterator[Event]:
    return (event for event in events if event.message.WhichOneof("response") == "process_bundle")


def _add_distributions(one: tuple[Any, ...], other: tuple[Any, ...]) -> tuple[Any, ...]:
    if not one[0] or not other[0]:
        return one if one[0] else other
    return one[0] + other[0], one[1] + other[1], min(one[2], other[2]), max(one[3], other[3])


def merged(values: Iterable[Any]) -> Any:
    """Sums added, distributions merged."""
    total: Any = None
    for value in values:
        if total is None:
            total = value
        else:
            total = _add_distributions(total, value) if isinstance(value, tuple) else total + value
    return total
