"""Nexmark: an auction site asked ten questions; the answers were computed by SQL (`fixtures/golden/nexmark`)."""

from __future__ import annotations

import json
from typing import Any

from conformance.pipeline import Fn, coders
from conformance.suite.assertions import asserts
from conformance.suite.case import Case
from conformance.suite.checks import same_multiset
from conformance.suite.fixtures import golden
from conformance.suite.goldens import functions as functions
from conformance.suite.goldens.nexmark import QUERIES


def expected(query: str) -> list[Any]:
    rows: list[Any] = json.loads((golden("nexmark") / f"{query}.json").read_text(encoding="utf-8"))
    return rows


def _ask(query: str) -> Any:
    @asserts(f"MISC09/nexmark-{query}")
    def test(case: Case) -> Any:
        source = case.program.impulse()
        events = source.par_do(Fn("golden_records", golden_name="nexmark", file="events.jsonl"), coders.JSON, name="read")
        QUERIES[query](events).observe("rows")
        run = yield
        same_multiset([list(row) for row in run.values("rows")], expected(query), f"the rows of query {query[1:]}")

    test.__name__ = test.__qualname__ = f"test_nexmark_{query}"
    return test


for _query in QUERIES:
    globals()[f"test_nexmark_{_query}"] = _ask(_query)
