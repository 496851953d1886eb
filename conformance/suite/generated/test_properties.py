"""Generated programs, judged by the oracle. A failure shows the smallest program that fails, and the rule it breaks."""

from __future__ import annotations

from conformance.oracle import script_strategies, strategies
from conformance.suite.assertions import asserts
from conformance.suite.execution import RunnerUnderTest
from conformance.suite.generated.properties import for_all, for_all_under_scripts


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


@asserts("SDF08/generated-splits")
def test_generated_splits(runner: RunnerUnderTest) -> None:
    for_all(runner, strategies.splittable_programs(), "generated-splits")


@asserts("TRIG17/generated-chains", modes=("streaming",))
def test_generated_chains(runner: RunnerUnderTest) -> None:
    for_all_under_scripts(runner, script_strategies.chain_script_programs(), "generated-chains")


@asserts("TS06/generated-sources", modes=("streaming",))
def test_generated_sources(runner: RunnerUnderTest) -> None:
    for_all_under_scripts(runner, script_strategies.several_source_programs(), "generated-sources")


@asserts("STATE24/generated-state-scripts", modes=("streaming",))
def test_generated_state_scripts(runner: RunnerUnderTest) -> None:
    for_all_under_scripts(runner, script_strategies.stateful_script_programs(), "generated-state-scripts")


@asserts("TIME10/generated-holds", modes=("streaming",))
def test_generated_holds(runner: RunnerUnderTest) -> None:
    for_all_under_scripts(runner, script_strategies.held_script_programs(), "generated-holds")


@asserts("SIDE14/generated-side-input-scripts", modes=("streaming",))
def test_generated_side_input_scripts(runner: RunnerUnderTest) -> None:
    for_all_under_scripts(runner, script_strategies.side_script_programs(), "generated-side-input-scripts")
