"""Which job an endpoint died of: not the one that had not come to it yet."""

from __future__ import annotations

import pytest

from conformance.endpoints import errors
from conformance.endpoints.outcome import JobOutcome, Phase
from conformance.suite import execution
from conformance.suite.execution import RunnerUnderTest
from conformance.suite.settings import Settings

DIED = errors.EndpointDied("The endpoint died: the connection broke", phase="prepare")


class Endpoint:
    """A managed endpoint that counts its restarts."""

    managed, mode, restarts = True, None, 0

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
