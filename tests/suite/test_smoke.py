"""The smoke test tells how far a job came."""

from __future__ import annotations

import pytest

from conformance.endpoints import JobClient, open_endpoint
from conformance.harness import Session
from conformance.harness.transcript import Event
from conformance.pipeline import Fn, Program, coders
from conformance.suite.smoke import MILESTONES, Milestone, missing


@pytest.fixture(scope="module")
def events() -> list[Event]:
    """All that crossed the wire in a job of one element."""
    with open_endpoint("reference") as endpoint, Session() as session:
        client = JobClient(endpoint, transcript=session.transcript)
        program = Program()
        program.impulse().par_do(Fn("identity"), coders.BYTES).observe("out")
        assert client.run_job(program.build(session.environment())).state == "DONE"
        client.close()
        return list(session.transcript)


def test_a_job_that_is_done_came_by_all(events: list[Event]) -> None:
    assert missing(events) is None


@pytest.mark.parametrize("milestone", MILESTONES, ids=lambda milestone: milestone.name.replace(" ", "-"))
def test_the_first_that_is_missing_is_told(events: list[Event], milestone: Milestone) -> None:
    first = next(number for number, event in enumerate(events) if milestone.seen(event))
    assert missing(events[:first]) is milestone
