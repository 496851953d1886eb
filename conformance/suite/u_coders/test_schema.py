"""The schema coder: new, and known to no runner that was looked at; where it is not known it is opaque (P-PIPE-12)."""

from __future__ import annotations

from conformance.harness.offers import schema
from conformance.pipeline import Fn, coders
from conformance.suite.assertions import asserts
from conformance.suite.case import Case, Scenario
from conformance.suite.checks import same_multiset
from conformance.wire import urns

ROWS = coders.custom(urns.Coder.SCHEMA, payload=schema(name=str, number=int).SerializeToString(deterministic=True))
VALUES = [("é", 1), ("", -(2**40)), ("é", 1)]


@asserts("COD10/elements-unharmed", alone=True)
def test_schema_coder(case: Case) -> Scenario:
    """The worker does not declare the coder, so that a runner may only treat it as unknown (P-PIPE-13)."""
    pairs = case.program.create(VALUES, ROWS).par_do(Fn("key_by", expr=["value"]), coders.kv(ROWS, ROWS))
    pairs.group_by_key().par_do(Fn("ungroup"), coders.kv(ROWS, ROWS)).par_do(Fn("values"), ROWS).observe("out")
    run = yield
    same_multiset(run.values("out"), VALUES, "the elements", rule="P-PIPE-12")
