"""The life of CombineFns, as far as a runner can see it: one that cannot be set up fails its bundles."""

from __future__ import annotations

from conformance.pipeline import Fn, coders
from conformance.suite.assertions import asserts
from conformance.suite.b_lifecycle.reading import ended_failed, told
from conformance.suite.case import Case, Scenario

REASON = "this CombineFn cannot be set up"


@asserts("CORE32/failing-setup-fails-the-job", any_outcome=True)
def test_failing_setup(case: Case) -> Scenario:
    pairs = case.program.create([("a", 1), ("b", 2)])
    combined = pairs.combine_per_key(Fn("sum_without_setup", text=REASON), coders.VARINT, coders.VARINT)
    combined.observe("out")
    run = yield
    ended_failed(run)
    told(run, REASON, rule="M-BNDL-04")
