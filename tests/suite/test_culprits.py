"""Which job an endpoint died of: not the one that had not come to it yet. Which program a pack failed of: the one that is named."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, ClassVar

import pytest

from conformance.endpoints import errors
from conformance.endpoints.outcome import JobOutcome, Phase, Timeouts
from conformance.endpoints.profiles import PROFILES
from conformance.pipeline import Program
from conformance.suite import execution
from conformance.suite.execution import RunnerUnderTest
from conformance.suite.settings import Settings

DIED = errors.EndpointDied("The endpoint died: the connection broke", phase="prepare")


class Endpoint:
    """A managed endpoint that counts its restarts."""

    managed, mode, restarts, profile = True, None, 0, PROFILES["prism"]

    def alive(self) -> bool:
        return True

    def restart(self) -> None:
        self.restarts += 1


class Client:
    """Answers each job with the next of its outcomes."""

    def __init__(self, *outcomes: JobOutcome) -> None:
        self.outcomes = list(outcomes)

    def run_job(self, *_args: object, **_job: object) -> JobOutcome:
        return self.outcomes.pop(0)


def gone(phase: Phase) -> JobOutcome:
    return JobOutcome("job", error=DIED, phase=phase)


@pytest.mark.parametrize(
    ("outcomes", "told"),
    [
        # Dead before it was asked: an earlier job's doing.
        ([gone(Phase.PREPARE), JobOutcome("job", state="DONE", phase=Phase.RUN)], "DONE"),
        # It dies of this very pipeline.
        ([gone(Phase.PREPARE), gone(Phase.PREPARE)], "died"),
        # It had the job.
        ([gone(Phase.RUN), JobOutcome("job", state="DONE", phase=Phase.RUN)], "died"),
    ],
)
def test_who_is_told_to_have_killed_it(monkeypatch: pytest.MonkeyPatch, outcomes: list[JobOutcome], told: str) -> None:
    monkeypatch.setattr(execution.RunnerUnderTest, "_check", lambda *_, **__: None)
    monkeypatch.setattr(execution.RunnerUnderTest, "job_options", lambda *_: {})
    runner = RunnerUnderTest.__new__(RunnerUnderTest)
    runner.endpoint, runner._client, runner.jobs, runner.settings = Endpoint(), Client(*outcomes), 0, Settings()  # type: ignore[assignment]

    class Session:
        transcript = None

        def close(self) -> None: ...

    outcome = runner.submit(None, Session())  # type: ignore[arg-type]
    assert told == (outcome.state if outcome.error is None else "died")


class Named:
    """As much of a case as dividing a pack looks at."""

    def __init__(self, prefix: str) -> None:
        self.prefix = prefix


@pytest.mark.parametrize(
    ("told", "parts"),
    [
        ("PCollection c2.flatten.out has two producers", [["c2."], ["c1.", "c3.", "c4."]]),
        ("c2.a and c4.b", [["c2.", "c4."], ["c1.", "c3."]]),
        ("the job FAILED", [["c1.", "c2."], ["c3.", "c4."]]),
        ("c1.a, c2.a, c3.a and c4.a", [["c1.", "c2."], ["c3.", "c4."]]),
    ],
)
def test_a_pack_is_divided_by_who_is_named(told: str, parts: list[list[str]]) -> None:
    members = [Named(f"c{number}.") for number in range(1, 5)]
    found = execution._divided(members, told)  # type: ignore[arg-type]
    assert [[case.prefix for case in part] for part in found] == parts


def test_a_job_of_a_runner_gets_the_seconds_of_its_profile() -> None:
    class Named:
        profile, managed = PROFILES["flink"], True

    runner = RunnerUnderTest(Named(), Settings(timeout_scale=2.0))  # type: ignore[arg-type]
    assert runner._client.timeouts.run == PROFILES["flink"].job_seconds * 2
    assert runner._client.timeouts.prepare == Timeouts().prepare * 2


def test_a_runner_that_is_slow_at_first_is_warmed_up_by_a_job_of_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    class Warm(Endpoint):
        profile = PROFILES["flink"]

        def options(self, mode: str) -> dict[str, object]:
            return {"mode": mode}

    def run_job(self: Client, _pipeline: object, *, job_name: str, **_job: object) -> JobOutcome:
        asked.append(job_name)
        return JobOutcome(job_name, error=DIED, phase=Phase.RUN)

    monkeypatch.setattr(Client, "run_job", run_job)
    runner = RunnerUnderTest(Warm(), Settings())  # type: ignore[arg-type]
    runner._client = Client()  # type: ignore[assignment]
    runner.recover(errors.PhaseTimeout("run", "the end", 1))
    assert (runner.endpoint.restarts, asked) == (1, ["beam-conformance-warm-up"])  # type: ignore[attr-defined]
    assert (runner.jobs, runner.breaches) == (0, [])

    Warm.profile = PROFILES["prism"]
    runner.recover(errors.PhaseTimeout("run", "the end", 1))
    assert (runner.endpoint.restarts, len(asked)) == (2, 1)  # type: ignore[attr-defined]


class Stop(Exception):
    """Instead of a job."""


@pytest.mark.parametrize("members", [1, 2, 40])
def test_a_pack_gets_more_time_than_one_program(monkeypatch: pytest.MonkeyPatch, members: int) -> None:
    asked: list[dict[str, object]] = []

    def submit(self: RunnerUnderTest, *_: object, **job: object) -> JobOutcome:
        asked.append(job)
        raise Stop

    class Member:
        session_options: ClassVar[dict[str, Any]] = {}
        options: ClassVar[dict[str, Any]] = {}
        job_options: ClassVar[dict[str, Any]] = {"patience": 5.0}
        capabilities = None

        def __init__(self) -> None:
            self.program = Program("p")
            self.program.create([1])
            self.mark = SimpleNamespace(assertion="CORE18/groups-every-value")

    monkeypatch.setattr(RunnerUnderTest, "submit", submit)
    runner = RunnerUnderTest(Endpoint(), Settings())  # type: ignore[arg-type]
    with pytest.raises(Stop):
        runner._run_together([Member() for _ in range(members)])  # type: ignore[misc]
    alone = PROFILES["prism"].job_seconds
    assert asked[0]["patience"] == (5.0 if members == 1 else alone + execution.BRANCH_SECONDS * members)
