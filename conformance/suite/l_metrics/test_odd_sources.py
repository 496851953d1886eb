"""Metrics that come from unusual places: of services outside, of splitting, of the index that a source has read to."""

from __future__ import annotations

from conformance.pipeline import Fn, coders
from conformance.suite.assertions import asserts
from conformance.suite.case import Case, Scenario
from conformance.suite.checks import holds, same, same_multiset
from conformance.suite.execution import RunnerUnderTest
from conformance.suite.l_metrics import functions as functions
from conformance.suite.l_metrics.reading import read, result, results
from conformance.suite.l_metrics.test_user_metrics import metered
from conformance.suite.o_control.test_instructions import progress_answered
from conformance.wire import urns
from conformance.wire.api import fn_pb2, metrics_pb2

_M, _T = urns.Metric, urns.MetricType
PAIRS = coders.kv(coders.VARINT, coders.VARINT)


@asserts("MET19/counted-or-left-out", alone=True)
def test_api_requests(case: Case) -> Scenario:
    """A runner need not report them; what it reports adds up, and nothing beside them is disturbed."""
    called = case.program.create([1, 2, 3]).par_do(Fn("api_calls", count=2), coders.VARINT)
    metered(called, ["counter", "beside", 1]).observe("out")
    run = yield
    same_multiset(run.values("out"), [1, 2, 3], "the elements of a function that calls a service", rule="P-MET-05")
    same(result(run, "counter", "beside"), 3, "the counter beside the requests", rule="P-MET-05")
    found = [info for info in results(run) if info.urn == _M.API_REQUEST_COUNT]
    holds(len(found) <= 1, f"{len(found)} entries of one count of requests", observed=found, rule="P-MET-05")
    for info in found:
        same(read(info), 6, "the count of requests", rule="P-MET-05")
        holds("STATUS" in info.labels, "the count of requests lost its labels", observed=dict(info.labels), rule="P-MET-05")


@asserts("MET22/counted-while-splitting", alone=True)
def test_counted_while_splitting(case: Case) -> Scenario:
    ranged = case.program.create([4]).par_do(Fn("counts_in_split"), PAIRS, restriction_coder=coders.OFFSET_RANGE)
    ranged.observe("out")
    run = yield
    same_multiset(run.values("out"), [(4, position) for position in range(4)], "the positions", rule="M-SDF-02")
    same(result(run, "counter", "parts"), 2, "the counter of the function's split", rule="P-MET-05")


@asserts("MET18/odd-index-tolerated")
def test_odd_read_index(runner: RunnerUnderTest) -> None:
    """A read index is good for "moved or not" only (P-MET-06): one that goes back, for a source that nobody knows, changes nothing."""
    answer = fn_pb2.ProcessBundleProgressResponse(consuming_received_data=True)
    answer.monitoring_infos.add(
        urn=_M.DATA_CHANNEL_READ_INDEX, type=_T.SUM_INT64, labels={"PTRANSFORM": "no-such-source"}, payload=b"\xff\xff\x03"
    )
    answer.monitoring_infos.append(
        metrics_pb2.MonitoringInfo(
            urn=_M.DATA_CHANNEL_READ_INDEX,
            type=_T.SUM_INT64,
            labels={"PTRANSFORM": "no-such-source"},
            payload=b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01",
        )
    )
    progress_answered(runner, "answer", "P-MET-06", response=answer)
