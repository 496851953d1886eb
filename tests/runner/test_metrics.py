"""Merging of metrics by type, and tables by label set."""

from __future__ import annotations

import pytest

from conformance.runner.metrics import MERGES, MetricTable, merge_payloads
from conformance.wire import urns
from conformance.wire.api import metrics_pb2

M = urns.MetricType


def trie(*paths: str, bound: int = 100, truncated: bool = False) -> bytes:
    value = metrics_pb2.BoundedTrie(bound=bound)
    for path in paths:
        node = value.root
        for part in path.split("/"):
            node = node.children[part]
        node.truncated = truncated
    return value.SerializeToString(deterministic=True)


def test_every_type_but_progress_has_a_merge():
    types = {value for name, value in vars(M).items() if name.isupper()}
    assert set(MERGES) == types - {M.PROGRESS}


@pytest.mark.parametrize(
    ("kind", "one", "other", "merged"),
    [
        (M.SUM_INT64, "05", "ac02", "b102"),
        (M.SUM_INT64, "05", "ffffffffffffffffff01", "04"),
        (M.SUM_DOUBLE, "3ff8000000000000", "3ff0000000000000", "4004000000000000"),
        (M.DISTRIBUTION_INT64, "030a0106", "01090909", "04130109"),
        (M.DISTRIBUTION_INT64, "030a0106", "00", "030a0106"),
        (M.DISTRIBUTION_INT64, "00000000", "030a0106", "030a0106"),
        (M.LATEST_INT64, "dc0b2a", "0101", "dc0b2a"),
        (M.LATEST_INT64, "0101", "dc0b2a", "dc0b2a"),
        (M.TOP_N_INT64, "000000020905", "000000020801", "000000020908"),
        (M.BOTTOM_N_INT64, "000000020509", "000000020108", "000000020105"),
        (M.SET_STRING, "00000002016102" + "6263", "000000010161", "0000000201610262" + "63"),
        (M.PROGRESS, "00000001" + "3fd0000000000000", "00000001" + "3fe8000000000000", "00000001" + "3fe8000000000000"),
        ("example:type:v1", "01", "02", "02"),
        (M.SUM_INT64, "80", "02", "02"),  # what does not decode is never fatal
    ],
)
def test_merge(kind, one, other, merged):
    assert merge_payloads(kind, bytes.fromhex(one), bytes.fromhex(other)) == bytes.fromhex(merged)


def test_tries_are_united_and_bounded():
    assert merge_payloads(M.BOUNDED_TRIE, trie("a/b"), trie("a/c")) == trie("a/b", "a/c")
    single = metrics_pb2.BoundedTrie(bound=100, singleton=["a", "b"]).SerializeToString()
    assert merge_payloads(M.BOUNDED_TRIE, single, single) == single
    assert merge_payloads(M.BOUNDED_TRIE, single, trie("a/c")) == trie("a/b", "a/c")
    small = merge_payloads(M.BOUNDED_TRIE, trie("a/b", "a/c", bound=2), trie("d", bound=2))
    assert metrics_pb2.BoundedTrie.FromString(small).root.children["a"].truncated


def test_histograms_add_bucket_by_bucket():
    def histogram(*counts: int) -> bytes:
        options = metrics_pb2.HistogramValue.BucketOptions(
            linear=metrics_pb2.HistogramValue.BucketOptions.Linear(number_of_buckets=2, width=1.0, start=0.0)
        )
        value = metrics_pb2.HistogramValue(count=sum(counts), bucket_options=options, bucket_counts=counts)
        return value.SerializeToString(deterministic=True)

    assert merge_payloads(M.HISTOGRAM, histogram(1, 2), histogram(3, 4)) == histogram(4, 6)


def test_one_entry_for_each_label_set():
    def info(value: int, **labels: str) -> metrics_pb2.MonitoringInfo:
        return metrics_pb2.MonitoringInfo(urn=urns.Metric.USER_SUM_INT64, type=M.SUM_INT64, payload=bytes([value]), labels=labels)

    table = MetricTable()
    table.add([info(1, PTRANSFORM="a"), info(2, PTRANSFORM="b"), info(3, PTRANSFORM="a")])
    assert {each.labels["PTRANSFORM"]: each.payload for each in table.infos()} == {"a": b"\x04", "b": b"\x02"}
    together = table.with_others([[info(10, PTRANSFORM="a")]])
    assert {each.labels["PTRANSFORM"]: each.payload for each in together} == {"a": b"\x0e", "b": b"\x02"}
    assert {each.payload for each in table.infos()} == {b"\x04", b"\x02"}
