"""Who plays event scripts is learnt from the runner: TestStream that keeps its steps, or a function."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from conformance.endpoints import Endpoint
from conformance.suite.execution import RunnerUnderTest
from conformance.suite.outcomes import Declined, EndpointGone, JobEndedBadly
from conformance.suite.scripting import IN_STEP, SDF, TESTSTREAM
from conformance.suite.settings import Settings


@pytest.fixture
def runner(reference: Endpoint) -> Iterator[RunnerUnderTest]:
    made = RunnerUnderTest(reference, Settings(modes=("streaming",)))
    made.begin("streaming")
    return made


def test_a_runner_that_keeps_the_steps_plays_them_by_teststream(runner: RunnerUnderTest) -> None:
    assert runner.script_source == TESTSTREAM
    assert runner.last_run is not None
    assert runner.last_run.sorted_values("out") == IN_STEP
    assert runner.jobs == 1


class Seen:
    """A run that saw this."""

    def __init__(self, values: list[Any]) -> None:
        self.values = values

    def sorted_values(self, observer: str) -> list[Any]:
        return self.values


def raising(error: Exception) -> Callable[..., Any]:
    def run(*_: Any, **__: Any) -> Any:
        raise error

    return run


@pytest.mark.parametrize(
    ("run_builders", "source"),
    [
        # Elements overtake the watermark: all of a window come on time, or come again in a pane of their own.
        (lambda *_, **__: [Seen([("k", [start, start + 1]) for _, (start,) in IN_STEP])], SDF),
        (lambda *_, **__: [Seen([*IN_STEP, ("k", [41])])], SDF),
        (raising(Declined("no TestStream")), SDF),
        (raising(JobEndedBadly("FAILED")), TESTSTREAM),
    ],
)
def test_what_else_there_is(
    monkeypatch: pytest.MonkeyPatch, runner: RunnerUnderTest, run_builders: Callable[..., Any], source: str
) -> None:
    monkeypatch.setattr(runner, "run_builders", run_builders)
    assert runner.script_source == source


def test_an_endpoint_that_is_gone_is_told(monkeypatch: pytest.MonkeyPatch, runner: RunnerUnderTest) -> None:
    monkeypatch.setattr(runner, "run_builders", raising(EndpointGone("it is gone")))
    with pytest.raises(EndpointGone):
        _ = runner.script_source


def test_the_choice_of_the_caller_is_not_doubted(reference: Endpoint) -> None:
    runner = RunnerUnderTest(reference, Settings(script_source=SDF))
    assert (runner.script_source, runner.jobs) == (SDF, 0)
