"""A runner may decline some of the programs that a property draws: the rest is asked all the same, and a fault in it is told."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import strategies as st

from conformance.endpoints import errors
from conformance.suite.checks import Wrong
from conformance.suite.generated import properties
from conformance.suite.outcomes import Declined
from conformance.suite.settings import Settings


def ask(monkeypatch: pytest.MonkeyPatch, declines: Any, wrong: Any, pack_size: int = 5) -> tuple[Any, list[int]]:
    """A property over numbers on a runner that declines some of them and is wrong about others; what of them ran to an end."""
    ran: list[int] = []

    def check(_runner: Any, numbers: Sequence[int], _label: str, _source: str = "") -> None:
        if any(map(declines, numbers)):
            raise Declined("no such requirement")
        if any(map(wrong, numbers)):
            raise Wrong("out of the set")
        ran.extend(numbers)

    monkeypatch.setattr(properties, "check_programs", check)
    runner = SimpleNamespace(pack_size=pack_size, asked=[], settings=Settings(examples=40, seed=3), remarks=Counter())
    properties.for_all(runner, st.integers(0, 9), "numbers")  # type: ignore[arg-type]
    return runner, ran


@pytest.mark.parametrize("pack_size", [1, 5])
def test_the_rest_is_asked(monkeypatch: pytest.MonkeyPatch, pack_size: int) -> None:
    runner, ran = ask(monkeypatch, lambda number: number == 3, lambda number: False, pack_size)
    assert 3 not in ran
    assert len(set(ran)) > 5
    assert runner.remarks["declined"] > 0


@pytest.mark.parametrize("pack_size", [1, 5])
def test_a_fault_in_the_rest_is_told(monkeypatch: pytest.MonkeyPatch, pack_size: int) -> None:
    with pytest.raises(Wrong):
        ask(monkeypatch, lambda number: number == 3, lambda number: number == 7, pack_size)


def test_a_runner_that_declines_all_has_declined(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(Declined):
        ask(monkeypatch, lambda number: True, lambda number: False)


@pytest.mark.parametrize("error", [errors.PhaseTimeout("run", "a terminal state", 20), RuntimeError("ours")])
def test_a_program_that_fails_alone_is_not_asked_again(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    """Of a pack each is asked alone; of one there is nothing left to tell apart, however it failed."""
    asked: list[int] = []

    def run(_runner: Any, numbers: Sequence[int], _label: str, _source: str = "") -> Any:
        asked.append(len(numbers))
        raise error

    monkeypatch.setattr(properties, "run_programs", run)
    with pytest.raises(type(error)):
        properties.check_programs(SimpleNamespace(), [1, 2, 3], "numbers")  # type: ignore[arg-type, list-item]
    assert asked == [3, 1]
