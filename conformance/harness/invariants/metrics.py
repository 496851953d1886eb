"""I-MET: what the runner reports against the sums of what committed bundles said."""

from __future__ import annotations

import struct
from collections import defaultdict
from typing import Final

from conformance.harness.invariants.catalogue import Docket
from conformance.harness.invariants.control import IN_FLIGHT
from conformance.harness.invariants.elements import Book
from conformance.harness.invariants.index import Bundle, Index
from conformance.harness.transcript import Event
from conformance.wire import coders, urns
from conformance.wire.api import job_pb2
from conformance.wire.api import metrics_pb2 as met

__all__ = ["TYPES", "check"]

M, T = urns.Metric, urns.MetricType

#: The type of each standard metric (section 9).
TYPES: Final[dict[str, str]] = {
    M.USER_SUM_INT64: T.SUM_INT64,
    M.USER_SUM_DOUBLE: T.SUM_DOUBLE,
    M.USER_DISTRIBUTION_INT64: T.DISTRIBUTION_INT64,
    M.USER_DISTRIBUTION_DOUBLE: T.DISTRIBUTION_DOUBLE,
    M.USER_LATEST_INT64: T.LATEST_INT64,
    M.USER_LATEST_DOUBLE: T.LATEST_DOUBLE,
    M.USER_SET_STRING: T.SET_STRING,
    M.USER_BOUNDED_TRIE: T.BOUNDED_TRIE,
    M.ELEMENT_COUNT: T.SUM_INT64,
    M.SAMPLED_BYTE_SIZE: T.DISTRIBUTION_INT64,
    M.DATA_CHANNEL_READ_INDEX: T.SUM_INT64,
    M.TOTAL_MSECS: T.SUM_INT64,
    M.START_BUNDLE_MSECS: T.SUM_INT64,
    M.PROCESS_BUNDLE_MSECS: T.SUM_INT64,
    M.FINISH_BUNDLE_MSECS: T.SUM_INT64,
}
_INTEGERS: Final = frozenset({T.SUM_INT64})
_USER: Final = "beam:metric:user:"

Key = tuple[str, tuple[tuple[str, str], ...]]


def check(index: Index, book: Book, docket: Docket) -> None:
    """All rules of this module."""
    known = _short_ids(index, docket)
    answers = [
        (request, answer)
        for request, answer in index.job.answers(job_pb2.GetJobMetricsRequest)
        if answer is not None and isinstance(answer.message, job_pb2.GetJobMetricsResponse)
    ]
    if not answers:
        return
    sums, labels = _committed(index, known)
    for request, answer in answers:
        final = index.done and index.job.terminal is not None and request.seq > index.job.terminal[1].seq
        _reported(answer, sums if final and not index.any_failed else {}, labels, index, docket)


def _key(info: met.MonitoringInfo) -> Key:
    return info.urn, tuple(sorted(info.labels.items()))


def _name(key: Key) -> str:
    labels = dict(key[1])
    name = ":".join(labels[part] for part in ("PTRANSFORM", "PCOLLECTION", "NAMESPACE", "NAME") if part in labels)
    return f"{key[0]} {name!r}"


def _number(info: met.MonitoringInfo, payload: bytes) -> float | None:
    """The value of a sum; None for another type or bytes that are none."""
    try:
        if info.type in _INTEGERS:
            return coders.decode_varint(payload)
        if info.type == T.SUM_DOUBLE:
            value: float = struct.unpack(">d", payload)[0]
            return value
    except (coders.CoderError, struct.error):
        return None
    return None


def _short_ids(index: Index, docket: Docket) -> dict[tuple[str, str], met.MonitoringInfo]:
    """What each short id of a worker stands for; and whether the runner asked only for ids it had been told (I-MET-03)."""
    known: dict[tuple[str, str], met.MonitoringInfo] = {}
    told: dict[str, set[str]] = defaultdict(set)
    answered_at: dict[tuple[str, str, int], float] = {}
    steps = [(i.seq, i, False) for i in index.instructions] + [
        (i.answers[0].seq, i, True) for i in index.instructions if i.answers
    ]
    for seq, instruction, answered in sorted(steps, key=lambda step: step[0]):
        worker, kind = instruction.worker, instruction.kind
        if answered:
            response = instruction.response
            assert response is not None
            if kind == "process_bundle":
                told[worker].update(response.process_bundle.monitoring_data)
            elif kind == "process_bundle_progress":
                told[worker].update(response.process_bundle_progress.monitoring_data)
            elif kind == "harness_monitoring_infos":
                told[worker].update(response.harness_monitoring_infos.monitoring_data)
            elif kind == "monitoring_infos":
                for short, info in response.monitoring_infos.monitoring_info.items():
                    known[(worker, short)] = info
                    answered_at.setdefault((worker, short, instruction.connection), instruction.answers[0].time)
            continue
        if kind != "monitoring_infos":
            continue
        for short in instruction.request.monitoring_infos.monitoring_info_id:
            docket.look("I-MET-03")
            if short not in told[worker]:
                docket.find(
                    "I-MET-03",
                    seq,
                    f"{instruction.id!r} asks what metric {short!r} is, which worker {worker!r} never reported",
                    id=short,
                )
            # Another bundle may have told of the id while the first answer was on its way.
            elif (
                instruction.event.time - answered_at.get((worker, short, instruction.connection), instruction.event.time)
                > IN_FLIGHT
            ):
                docket.find("I-MET-03", seq, f"{instruction.id!r} asks again what metric {short!r} of {worker!r} is", id=short)
    return known


def _infos(bundle: Bundle, known: dict[tuple[str, str], met.MonitoringInfo]) -> list[tuple[met.MonitoringInfo, bytes]]:
    """The final metrics of a bundle with their payloads, from infos or, where there are none, from data and what its ids stand for."""
    if bundle.response.monitoring_infos:
        return [(info, info.payload) for info in bundle.response.monitoring_infos]
    told = ((known.get((bundle.worker, short)), payload) for short, payload in bundle.response.monitoring_data.items())
    return [(info, payload) for info, payload in told if info is not None]


def _committed(index: Index, known: dict[tuple[str, str], met.MonitoringInfo]) -> tuple[dict[Key, float], set[Key]]:
    """Sums of user metrics over bundles that were answered OK, and every label set that was reported of one."""
    sums: dict[Key, float] = defaultdict(float)
    labels: set[Key] = set()
    for bundle in index.executed():
        if not bundle.ok:
            continue
        for info, payload in _infos(bundle, known):
            if info.urn.startswith(_USER):
                key = _key(info)
                labels.add(key)
                value = _number(info, payload)
                if value is not None:
                    sums[key] += value
    return sums, labels


def _reported(answer: Event, sums: dict[Key, float], labels: set[Key], index: Index, docket: Docket) -> None:
    metrics = answer.message.metrics
    lists = {"committed": list(metrics.committed), "attempted": list(metrics.attempted)}
    values: dict[str, dict[Key, float]] = {"committed": {}, "attempted": {}}
    for name, infos in lists.items():
        seen: set[Key] = set()
        for info in infos:
            key = _key(info)
            docket.look("I-MET-01")
            if key in seen:
                # Clients read user metrics by their labels; system metrics of a PCollection between two stages are left as the stages
                # told them by Flink, and no client is misled (P-MET-05).
                docket.find(
                    "I-MET-01",
                    answer.seq,
                    f"{name} metrics hold {_name(key)} more than once",
                    level=None if info.urn.startswith(_USER) else "SHOULD",
                    metric=_name(key),
                )
            seen.add(key)
            docket.look("I-MET-02")
            if info.urn in TYPES and info.type != TYPES[info.urn]:
                docket.find(
                    "I-MET-02",
                    answer.seq,
                    f"{name} metric {_name(key)} has the type {info.type!r}, not {TYPES[info.urn]}",
                    type=info.type,
                )
            if not info.urn.startswith(_USER):
                continue
            if labels and key not in labels and sums:
                docket.find(
                    "I-MET-02",
                    answer.seq,
                    f"{name} metrics hold {_name(key)}, with labels that no bundle reported",
                    metric=_name(key),
                )
            value = _number(info, info.payload)
            if value is not None:
                values[name][key] = value
    for key, value in values["committed"].items():
        if key in sums and abs(sums[key] - value) > 1e-9 * max(1.0, abs(value)):
            docket.find(
                "I-MET-01",
                answer.seq,
                f"committed {_name(key)} is {value:g}, committed bundles sum to {sums[key]:g}",
                metric=_name(key),
                reported=value,
                expected=sums[key],
            )
        attempted = values["attempted"].get(key)
        if attempted is not None and attempted < value:
            docket.find(
                "I-MET-02",
                answer.seq,
                f"attempted {_name(key)} is {attempted:g}, less than the committed {value:g}",
                metric=_name(key),
            )
