"""A pack of drawn programs that takes too long says nothing of a program that ends alone, and all of one that does not."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from conformance.endpoints.errors import PhaseTimeout
from conformance.oracle.program import Bounded, Element, Program
from conformance.suite.generated import properties
from conformance.suite.outcomes import JobEndedBadly

PROGRAMS = [Program((Bounded("s0", (Element(number, 0),)),)) for number in range(3)]


def check(monkeypatch: pytest.MonkeyPatch, of_a_pack: Exception, hangs: Sequence[Program]) -> list[int]:
    """The sizes of the jobs that were run."""
    asked: list[int] = []

    def run_programs(runner: Any, programs: Sequence[Program], label: str, source: str = "") -> list[Any]:
        asked.append(len(programs))
        if len(programs) > 1:
            raise of_a_pack
        if programs[0] in hangs:
            raise PhaseTimeout("run", "the end", 1)
        return []

    monkeypatch.setattr(properties, "run_programs", run_programs)
    properties.check_programs(None, PROGRAMS, "label")  # type: ignore[arg-type]
    return asked


def test_programs_that_end_alone_are_well(monkeypatch: pytest.MonkeyPatch) -> None:
    assert check(monkeypatch, PhaseTimeout("run", "the end", 1), []) == [3, 1, 1, 1]


def test_one_that_hangs_alone_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(PhaseTimeout):
        check(monkeypatch, PhaseTimeout("run", "the end", 1), PROGRAMS[1:2])


def test_a_pack_that_fails_is_told_although_each_ends_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(JobEndedBadly):
        check(monkeypatch, JobEndedBadly("the job FAILED"), [])
