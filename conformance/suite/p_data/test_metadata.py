"""Element metadata: bytes in the pane that only a worker which declared them can read (P-COD-09)."""

from __future__ import annotations

from conformance.harness.capabilities import DEFAULT
from conformance.pipeline import Fn, coders, state, windowing
from conformance.suite.assertions import asserts
from conformance.suite.case import Case, Scenario
from conformance.suite.checks import same, same_multiset
from conformance.wire import urns

PAIRS = coders.kv(coders.STRING, coders.VARINT)


def _every_way(case: Case) -> None:
    """Elements by every way that a runner has: impulses, groups, side inputs, a Reshuffle, keyed state, an expired window."""
    pairs = case.program.create([("a", 1), ("b", 2), ("a", 3)], timestamps=[1, 2, 11], window=windowing.fixed(10))
    pairs.group_by_key().observe("groups")
    pairs.par_do(Fn("side_values", side="side"), coders.JSON, side_inputs={"side": pairs.as_iterable()}).observe("beside")
    pairs.reshuffle().observe("shuffled")
    pairs.par_do(Fn("count_by_key"), state={"count": state.value(coders.VARINT)}).observe("counted")


@asserts("DATA09/unasked-not-sent", alone=True)
def test_unasked_not_sent(case: Case) -> Scenario:
    """The harness refuses a pane byte that announces metadata where it did not declare that it reads them."""
    case.capabilities = tuple(DEFAULT - {urns.Protocol.ELEMENT_METADATA})
    _every_way(case)
    run = yield
    same([str(error) for error in run.session.remote_errors], [], "what the worker could not read", rule="P-COD-09")
    same_multiset(run.values("shuffled"), [("a", 1), ("b", 2), ("a", 3)], "the elements", rule="P-COD-09")


@asserts("DATA09/declared-is-right", alone=True)
def test_declared_is_right(case: Case) -> Scenario:
    case.capabilities = tuple(DEFAULT | {urns.Protocol.ELEMENT_METADATA})
    _every_way(case)
    run = yield
    groups = sorted((key, sorted(values)) for key, values in run.values("groups"))
    same(groups, [("a", [1]), ("a", [3]), ("b", [2])], "the groups where elements may carry metadata", rule="P-COD-09")
    same_multiset(run.values("counted"), [("a", 1), ("b", 1), ("a", 1)], "counts by key and window", rule="P-COD-09")
    same(len(run.values("beside")), 3, "the elements beside their side input", rule="P-COD-09")
