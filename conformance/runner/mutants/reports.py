"""Faults of metrics: what of them is counted, merged, labelled and asked for."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from conformance.runner.bundles import Bundles
from conformance.runner.cutting import encode_varint
from conformance.runner.engine_events import RunBundle
from conformance.runner.fnapi import BundleError, Worker
from conformance.runner.measures import Measures
from conformance.runner.metrics import MetricTable, merge_payloads
from conformance.runner.mutants.registry import mutant
from conformance.wire import urns

M = urns.MetricType


@mutant("MET-01")
class FailedIsCommitted(Bundles):
    """What a bundle that ran again counted counts once for each attempt."""

    def _answered(self, command: RunBundle, worker: Worker, response: Any, streams: Any) -> None:
        for _ in range(command.attempt - 1):
            self._measures.commit(worker, response)
        super()._answered(command, worker, response, streams)


@mutant("MET-03")
class EntriesTwice(MetricTable):
    def infos(self) -> list[Any]:
        return [*super().infos(), *super().infos()]


@mutant("MET-04")
class ExtremesAddedUp(MetricTable):
    def merged(self, type_urn: str, one: bytes, other: bytes) -> bytes:
        if type_urn != M.DISTRIBUTION_INT64:
            return super().merged(type_urn, one, other)
        parts = []
        at = there = 0
        for _ in range(4):
            left, at = _number(one, at)
            right, there = _number(other, there)
            parts.append(encode_varint(left + right))
        return b"".join(parts)


@mutant("MET-53")
class GaugeKeepsOldest(MetricTable):
    def merged(self, type_urn: str, one: bytes, other: bytes) -> bytes:
        newest = merge_payloads(type_urn, one, other)
        if type_urn in (M.LATEST_INT64, M.LATEST_DOUBLE):
            return one if newest == other else other
        return newest


@mutant("MET-54")
class LastSumStands(MetricTable):
    def merged(self, type_urn: str, one: bytes, other: bytes) -> bytes:
        return other if type_urn in (M.SUM_INT64, M.SUM_DOUBLE) else super().merged(type_urn, one, other)


@mutant("MET-55")
class LabelsDropped(MetricTable):
    def add(self, infos: Iterable[Any]) -> None:
        kept = []
        for info in infos:
            copy = type(info)()
            copy.CopyFrom(info)
            copy.labels.pop("PTRANSFORM", None)
            kept.append(copy)
        super().add(kept)


@mutant("MET-56")
class ShortIdsNotAsked(Measures):
    async def _look_up(self, worker: Worker, shorts: Iterable[str]) -> None:
        """Asks nobody."""


@mutant("MET-57")
class ShortIdsAskedAgain(Measures):
    async def _look_up(self, worker: Worker, shorts: Iterable[str]) -> None:
        for _ in range(2):
            worker.asked_ids.clear()
            worker.short_ids.clear()
            await super()._look_up(worker, shorts)


@mutant("MET-58")
class BothShapesCount(Measures):
    def commit(self, worker: Worker, response: Any) -> None:
        super().commit(worker, response)
        if response.monitoring_infos and response.monitoring_data:
            self._committed.add(response.monitoring_infos)


@mutant("MET-59")
class MetricsTwice(Measures):
    def commit(self, worker: Worker, response: Any) -> None:
        super().commit(worker, response)
        super().commit(worker, response)


@mutant("MET-60")
class MetricsOfOneBundle(Measures):
    def commit(self, worker: Worker, response: Any) -> None:
        self._committed = MetricTable()
        super().commit(worker, response)


@mutant("MET-61")
class UnionIsTheLast(MetricTable):
    def merged(self, type_urn: str, one: bytes, other: bytes) -> bytes:
        return other if type_urn == M.SET_STRING else super().merged(type_urn, one, other)


@mutant("MET-62")
class TypesForgotten(MetricTable):
    def add(self, infos: Iterable[Any]) -> None:
        kept = []
        for info in infos:
            copy = type(info)()
            copy.CopyFrom(info)
            copy.type = M.SUM_INT64
            kept.append(copy)
        super().add(kept)


@mutant("NET-63")
class ReasonCutShort(Bundles):
    def _failed(self, command: RunBundle, why: str) -> None:
        super()._failed(command, str(BundleError("user code failed")))


def _number(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            return value - (1 << 64) if value >= 1 << 63 else value, at


@mutant("MET-63")
class CommittedTwice(Measures):
    def commit(self, worker: Worker, response: Any) -> None:
        super().commit(worker, response)
        super().commit(worker, response)
