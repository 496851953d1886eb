"""Window-into as a transform, composites that a runner may know, and transforms that no runner knows."""

from __future__ import annotations

import pytest

from conformance.pipeline import Fn, coders, windowing
from conformance.pipeline.builder import OUT
from conformance.pipeline.windowing import Strategy
from conformance.suite.assertions import asserts
from conformance.suite.c_windowing.reading import SECOND, bounds
from conformance.suite.case import Case, Scenario
from conformance.suite.checks import refused_naming, same, same_multiset
from conformance.wire import urns
from conformance.wire.api import pipeline_pb2 as pb

UNKNOWN = "beam-conformance:transform:no_runner_knows_this:v1"
#: What WindowInto is given and what it makes of it: value, timestamp, window.
ASSIGNED = [("a", 0, (0, 10_000)), ("b", 9999, (0, 10_000)), ("c", 10_000, (10_000, 20_000))]


@asserts("CORE42/assigned-by-sdk-or-runner")
def test_assigned_by_sdk_or_runner(case: Case) -> Scenario:
    created = case.program.create(["a", "b", "c"], timestamps=[0, 9999, 10_000])
    created.window_into(windowing.fixed(10 * SECOND)).observe("out")
    run = yield
    seen = [(seen.value, seen.timestamp, bounds(seen.window)) for seen in run.seen("out")]
    same_multiset(seen, ASSIGNED, "values, timestamps and windows", rule="M-WIN-18")


@asserts("CORE42/assigned-without-environment")
def test_assigned_without_environment(case: Case) -> Scenario:
    strategy = Strategy(windowing.fixed(10 * SECOND))
    created = case.program.create(["a", "b", "c"], timestamps=[0, 9999, 10_000])
    payload = pb.WindowIntoPayload(window_fn=strategy.window_fn.to_spec())
    windowed = case.program.raw(
        "window_into",
        urns.Transform.ASSIGN_WINDOWS,
        payload.SerializeToString(deterministic=True),
        inputs={"in": created},
        outputs={OUT: created.coder},
        strategy=strategy,
    )
    windowed[OUT].observe("out")
    run = yield
    seen = [(seen.value, seen.timestamp, bounds(seen.window)) for seen in run.seen("out")]
    same_multiset(seen, ASSIGNED, "values, timestamps and windows", rule="P-PIPE-04")


@asserts("CORE45/read-runs-by-its-expansion")
def test_read_runs_by_its_expansion(case: Case) -> Scenario:
    source = pb.FunctionSpec(urn="beam-conformance:source:v1", payload=b"[1, 2, 3]")
    payload = pb.ReadPayload(source=source, is_bounded=pb.IsBounded.BOUNDED).SerializeToString(deterministic=True)
    with case.program.composite("read", urns.Transform.READ, payload) as scope:
        records = scope.output(case.program.create([1, 2, 3]))
    records.observe("out")
    run = yield
    same(run.sorted_values("out"), [1, 2, 3], rule="M-XF-15")


@asserts("CORE46/known-composite-runs-by-its-parts")
def test_known_composite_runs_by_its_parts(case: Case) -> Scenario:
    created = case.program.create(["line one", "line two"])
    sink = pb.FunctionSpec(urn="beam-conformance:sink:v1")
    payload = pb.WriteFilesPayload(sink=sink).SerializeToString(deterministic=True)
    with case.program.composite("write", urns.Transform.WRITE_FILES, payload, inputs={"in": created}) as scope:
        written = scope.output(created.par_do(Fn("identity")))
    written.observe("out")
    run = yield
    same(run.sorted_values("out"), ["line one", "line two"], rule="P-PIPE-03")


@asserts("CORE47/unknown-leaf-refused", any_outcome=True)
@pytest.mark.parametrize("payload", [b"", b"\x01payload"], ids=["no-payload", "payload"])
@pytest.mark.parametrize("consumed", [True, False], ids=["consumed", "unconsumed"])
def test_unknown_leaf_refused(case: Case, payload: bytes, consumed: bool) -> Scenario:
    created = case.program.create([1, 2, 3])
    made = case.program.raw("mystery", UNKNOWN, payload, inputs={"in": created}, outputs={OUT: coders.VARINT})
    if consumed:
        made[OUT].observe("out")
    run = yield
    refused_naming(run, [UNKNOWN, "mystery"], rule="M-XF-16")


@asserts("CORE47/unknown-composite-expanded")
def test_unknown_composite_expanded(case: Case) -> Scenario:
    created = case.program.create([("a", 1), ("b", 2), ("a", 3)])
    with case.program.composite("mystery", UNKNOWN, b"\x01payload", inputs={"in": created}) as outer:
        with case.program.composite("inner", "", b"", inputs={"in": created}) as inner:
            grouped = inner.output(created.group_by_key())
        result = outer.output(grouped.par_do(Fn("identity")))
    result.observe("out")
    run = yield
    same(run.groups("out"), {"a": [1, 3], "b": [2]}, rule="M-XF-16")
