"""TestStream itself: its events take effect in order, each after the consequences of the one before (M-TS-01)."""

from __future__ import annotations

from typing import Any

import pytest

from conformance.oracle.program import AddElements, AdvanceProcessingTime, AdvanceWatermark
from conformance.pipeline import coders, teststream
from conformance.suite.assertions import asserts
from conformance.suite.case import Case, Scenario
from conformance.suite.checks import same_multiset
from conformance.suite.execution import RunnerUnderTest
from conformance.suite.generated.scripts import for_all_scripts
from conformance.suite.scripting import TESTSTREAM

STREAMING = ("streaming",)


@asserts("TS01/elements-as-scripted", modes=STREAMING)
def test_elements_as_scripted(case: Case) -> Scenario:
    """Values, timestamps, the global window and no pane (M-TS-02), elements behind the watermark included."""
    events: list[teststream.Event] = [
        teststream.Elements([("a", 1), ("b", 5)]),
        teststream.Watermark(100),
        teststream.Elements([("late", 7)]),
        teststream.to_infinity(),
    ]
    case.program.test_stream(events, coders.STRING).observe("out")
    run = yield
    seen = [(each.value, each.timestamp) for each in run.seen("out")]
    same_multiset(seen, [("a", 1), ("b", 5), ("late", 7)], "values and timestamps", rule="M-TS-02")


@asserts("TS04/infinity-by-default", modes=STREAMING)
def test_infinity_by_default(case: Case) -> Scenario:
    """A script that ends before its watermark does still releases every window (M-TS-05)."""
    events: list[teststream.Event] = [
        teststream.Elements([(("k", 1), 3)]),
        teststream.Watermark(5),
        teststream.Elements([(("k", 2), 8)]),
    ]
    case.program.test_stream(events, coders.kv(coders.STRING, coders.VARINT)).group_by_key().observe("out")
    run = yield
    same_multiset(run.groups("out").items(), [("k", [1, 2])], "the groups", rule="M-TS-05")


@asserts("TS05/coders", modes=STREAMING)
@pytest.mark.parametrize("kind", ["bytes", "string", "varint", "double", "bool", "json"])
def test_coders(case: Case, kind: str) -> Scenario:
    """Elements stand in the outer context of their coder (P-COD-01)."""
    kinds: dict[str, tuple[coders.CoderSpec, list[Any]]] = {
        "bytes": (coders.BYTES, [b"", b"ab"]),
        "string": (coders.STRING, ["", "é"]),
        "varint": (coders.VARINT, [0, -1, 2**40]),
        "double": (coders.DOUBLE, [0.0, -1.5]),
        "bool": (coders.BOOL, [True, False]),
        "json": (coders.JSON, [{"a": [1, None]}, "x"]),
    }
    coder, values = kinds[kind]
    case.program.test_stream([teststream.Elements([(value, 1) for value in values]), teststream.to_infinity()], coder).observe(
        "out"
    )
    run = yield
    same_multiset(run.values("out"), values, f"elements of {kind}", rule="M-TS-02")


@asserts("TS02/generated-scripts", modes=STREAMING)
def test_scripts_watermark(runner: RunnerUnderTest) -> None:
    for_all_scripts(runner, "TS02/generated-scripts", source=TESTSTREAM, event=AdvanceWatermark)


@asserts("TS03/generated-scripts", modes=STREAMING)
def test_scripts_processing_time(runner: RunnerUnderTest) -> None:
    for_all_scripts(runner, "TS03/generated-scripts", source=TESTSTREAM, event=AdvanceProcessingTime)


@asserts("TS10/generated-scripts", modes=STREAMING)
def test_scripts_quiescence(runner: RunnerUnderTest) -> None:
    for_all_scripts(runner, "TS10/generated-scripts", source=TESTSTREAM, event=AddElements)
