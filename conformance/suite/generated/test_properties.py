"""Generated bounded programs, judged by the oracle. A failure shows the smallest program that fails, and the rule it breaks."""

from __future__ import annotations

from conformance.oracle import strategies
from conformance.suite.assertions import asserts
from conformance.suite.execution import RunnerUnderTest
from conformance.suite.generated.properties import for_all


@asserts("CORE09/generated-programs")
def test_generated_stateless_programs(runner: RunnerUnderTest) -> None:
    for_all(runner, strategies.stateless_programs(), "generated-stateless")


@asserts("CORE18/generated-groupings")
def test_generated_groupings(runner: RunnerUnderTest) -> None:
    for_all(runner, strategies.grouping_programs(), "generated-groupings")


@asserts("WIN13/generated-regroupings")
def test_generated_regroupings(runner: RunnerUnderTest) -> None:
    for_all(runner, strategies.regrouping_programs(), "generated-regroupings")


@asserts("TRIG28/generated-triggers-on-bounded-input")
def test_generated_triggers_on_bounded_input(runner: RunnerUnderTest) -> None:
    for_all(runner, strategies.triggered_programs(), "generated-triggers")


@asserts("SIDE10/generated-side-inputs")
def test_generated_side_inputs(runner: RunnerUnderTest) -> None:
    for_all(runner, strategies.side_input_programs(), "generated-side-inputs")


@asserts("STATE01/generated-state-programs")
def test_generated_state_programs(runner: RunnerUnderTest) -> None:
    for_all(runner, strategies.stateful_programs(), "generated-state")
