"""Generated event scripts: output timestamps of groupings under each timestamp combiner."""

from __future__ import annotations

from conformance.suite.assertions import asserts
from conformance.suite.execution import RunnerUnderTest
from conformance.suite.generated.properties import for_all
from conformance.suite.generated.scripts import scripts


@asserts("TIME05/generated-scripts", modes=("streaming",))
def test_scripts_end_of_window(runner: RunnerUnderTest) -> None:
    for_all(runner, scripts(output_time="end_of_window"), "TIME05/generated-scripts")


@asserts("TIME06/generated-scripts", modes=("streaming",))
def test_scripts_earliest(runner: RunnerUnderTest) -> None:
    for_all(runner, scripts(output_time="earliest"), "TIME06/generated-scripts")


@asserts("TIME07/generated-scripts", modes=("streaming",))
def test_scripts_latest(runner: RunnerUnderTest) -> None:
    for_all(runner, scripts(output_time="latest"), "TIME07/generated-scripts")


@asserts("WIN06/generated-scripts", modes=("streaming",))
def test_scripts_sessions(runner: RunnerUnderTest) -> None:
    for_all(runner, scripts(sessions=True), "WIN06/generated-scripts")
