"""Generated event scripts: output timestamps of groupings under each timestamp combiner."""

from __future__ import annotations

from conformance.suite.assertions import asserts
from conformance.suite.execution import RunnerUnderTest
from conformance.suite.generated.scripts import for_all_scripts


@asserts("TIME05/generated-scripts", modes=("streaming",))
def test_scripts_end_of_window(runner: RunnerUnderTest) -> None:
    for_all_scripts(runner, "TIME05/generated-scripts", output_time="end_of_window")


@asserts("TIME06/generated-scripts", modes=("streaming",))
def test_scripts_earliest(runner: RunnerUnderTest) -> None:
    for_all_scripts(runner, "TIME06/generated-scripts", output_time="earliest")


@asserts("TIME07/generated-scripts", modes=("streaming",))
def test_scripts_latest(runner: RunnerUnderTest) -> None:
    for_all_scripts(runner, "TIME07/generated-scripts", output_time="latest")


@asserts("WIN06/generated-scripts", modes=("streaming",))
def test_scripts_sessions(runner: RunnerUnderTest) -> None:
    for_all_scripts(runner, "WIN06/generated-scripts", sessions=True)
