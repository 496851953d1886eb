"""What a failed job of a probe says of its runner: an unsupported feature is its refusal, whatever our own functions said is not."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from conformance.endpoints import Endpoint
from conformance.endpoints.outcome import Importance
from conformance.pipeline import Fn, Program
from conformance.suite.execution import RunnerUnderTest
from conformance.suite.m_job_api.driving import Job, started
from conformance.suite.o_control.test_instructions import ends_done
from conformance.suite.outcomes import Declined
from conformance.suite.settings import Settings

HANDLER = "UnsupportedOperationException: The ActiveBundle does not have a registered bundle finalization handler."


class Said:
    """A message stream that has ended."""

    ended = True

    def __init__(self, *messages: tuple[Importance, str]) -> None:
        self.messages = [SimpleNamespace(importance=int(importance), message_text=text) for importance, text in messages]

    def wait_for(self, condition: Any, seconds: float) -> bool:
        return bool(condition())

    def stop(self) -> None:
        pass


def failed(monkeypatch: pytest.MonkeyPatch, *messages: tuple[Importance, str]) -> Job:
    """A job that ended FAILED with these messages."""
    session: Any = SimpleNamespace(remote_errors=[], local_errors=["the function said UnsupportedOperationException: of ours"])
    runner: Any = SimpleNamespace(settings=Settings())
    job = Job(runner, None, session, None, None)  # type: ignore[arg-type]
    monkeypatch.setattr(Job, "watch_messages", lambda self: Said(*messages))
    monkeypatch.setattr(Job, "end", lambda self: "FAILED")
    return job


def test_a_feature_that_is_named_is_declined(monkeypatch: pytest.MonkeyPatch) -> None:
    job = failed(monkeypatch, (Importance.ERROR, f"java.lang.{HANDLER}"))
    with pytest.raises(Declined, match="finalization handler"):
        ends_done(job, "a job", "P-CTL-22")


@pytest.mark.parametrize(
    "message",
    [
        (Importance.ERROR, "the function said UnsupportedOperationException: of ours"),
        (Importance.BASIC, HANDLER),
        (Importance.ERROR, "java.lang.NullPointerException"),
    ],
)
def test_nothing_else_is(monkeypatch: pytest.MonkeyPatch, message: tuple[Importance, str]) -> None:
    assert failed(monkeypatch, message).lacks() == ""


def test_a_job_that_fails_of_its_function_lacks_nothing(reference: Endpoint) -> None:
    def fails(program: Program) -> None:
        program.create([1]).par_do(Fn("fail", text="the function goes wrong")).observe("out")

    runner = RunnerUnderTest(reference, Settings())
    with started(runner, fails) as job:
        assert job.end() == "FAILED"
        assert job.lacks() == ""
