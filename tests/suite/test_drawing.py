"""Drawing examples: the seed alone decides what is drawn, and packing changes nothing about what is found."""

from __future__ import annotations

import os
import subprocess
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import strategies as st

from conformance.suite.checks import Wrong
from conformance.suite.generated import drawing
from conformance.suite.generated.drawing import draw, every, seed_for
from conformance.suite.settings import Settings

NUMBERS = st.lists(st.integers(0, 1000), max_size=5)


def runner(pack_size: int, examples: int = 30) -> Any:
    """As much of a runner under test as drawing looks at."""
    return SimpleNamespace(pack_size=pack_size, asked=[], settings=Settings(examples=examples, seed=7))


def test_the_seed_decides_what_is_drawn() -> None:
    assert draw(NUMBERS, 20, 7) == draw(NUMBERS, 20, 7)
    assert draw(NUMBERS, 20, 7) != draw(NUMBERS, 20, 8)


@pytest.mark.parametrize("pack_size", [1, 4, 30, 100])
def test_the_same_examples_are_asked_packed_or_not(pack_size: int) -> None:
    asked: list[list[int]] = []
    every(runner(pack_size), NUMBERS, asked.extend, "numbers")
    assert asked == draw(NUMBERS, 30, seed_for(7, "numbers"))
    assert len({tuple(each) for each in asked}) > 15, "not the simplest example over and over"


@pytest.mark.parametrize("pack_size", [1, 10])
def test_the_smallest_failure_is_told(pack_size: int) -> None:
    def no_large_number(drawn: Sequence[list[int]]) -> None:
        for each in drawn:
            if any(number >= 100 for number in each):
                raise Wrong(f"{each} holds a large number")

    with pytest.raises(Wrong, match=r"^\[100\] holds"):
        every(runner(pack_size), NUMBERS, no_large_number, "numbers")


def costly(kept: Any) -> tuple[int, Wrong]:
    """How many examples were run once the first had failed, and what was told, of a property whose smallest failure is far away."""
    runs: list[bool] = []

    def fails(drawn: Sequence[list[int]]) -> None:
        wrong = len(drawn[0]) >= 40 and len(set(drawn[0])) > 20
        if runs or wrong:
            runs.append(wrong)
        if wrong:
            raise Wrong(f"sum {sum(drawn[0])}")

    with pytest.raises(Wrong) as told:
        every(kept, st.lists(st.integers(0, 1000), min_size=30, max_size=90), fails, "costly")
    return len(runs), told.value


def test_the_search_for_the_smallest_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    """After so many runs what was smallest until then is told, the same in each run; with more runs something smaller is."""
    monkeypatch.setattr(drawing, "SHRINKING_SECONDS", 60.0)
    count, told = costly(capped := runner(1))
    assert count == drawing.SHRINKING_RUNS + 1
    assert str(costly(runner(1))[1]) == str(told)
    assert str(told) == f"sum {sum(eval(capped.asked[0]))}", "what is told to have been asked is what failed"
    assert told.__context__ is None, "printing it must not walk through the whole search"
    assert len(traceback.extract_tb(told.__traceback__)) < 10
    monkeypatch.setattr(drawing, "SHRINKING_RUNS", 5000)
    monkeypatch.setattr(drawing, "SHRINKING_SECONDS", 600.0)
    _, least = costly(runner(1))
    assert str(least) == "sum 210" != str(told)


def test_the_search_ends_on_a_runner_that_takes_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(drawing, "SHRINKING_SECONDS", 0.0)
    count, _ = costly(runner(1))
    assert count == 1


def test_a_failure_of_another_kind_is_not_told_for_the_first() -> None:
    search: drawing._Search[str] = drawing._Search(60.0)
    wrong = Wrong("first")
    search.failed("a", wrong)
    search.failed("b", RuntimeError("the endpoint stumbled"))
    assert (search.example, search.failure) == ("a", wrong)


def test_what_fails_only_in_a_pack_is_raised_as_it_was() -> None:
    def not_together(drawn: Sequence[list[int]]) -> None:
        if len(drawn) > 1:
            raise RuntimeError("these disturb one another")

    with pytest.raises(RuntimeError, match="disturb"):
        every(runner(10), NUMBERS, not_together, "numbers")


def test_each_property_draws_by_itself() -> None:
    """What ran before or beside, and in which order, changes nothing; another property draws something else."""

    def asked(*labels: str) -> dict[str, list[list[int]]]:
        found: dict[str, list[list[int]]] = {}
        for label in labels:
            every(runner(1), NUMBERS, found.setdefault(label, []).extend, label)
        return found

    forth, back = asked("a", "b", "c"), asked("c", "b", "a")
    assert forth == back
    assert len({str(drawn) for drawn in forth.values()}) == 3
    assert seed_for(7, "a") == 1901354859, "the same on every machine and in every version"


def test_what_must_not_share_a_job_does_not() -> None:
    sizes: list[int] = []
    every(runner(10), NUMBERS, lambda drawn: sizes.append(len(drawn)), "numbers", packed=False)
    assert set(sizes) == {1}


def test_counter_examples_are_kept_for_each_property(tmp_path: Path) -> None:
    """A stored counter-example is asked first, and only of its own property."""

    def fails(drawn: Sequence[list[int]]) -> None:
        if any(sum(each) > 1000 for each in drawn):
            raise Wrong(f"{drawn[0]} is large")

    kept = SimpleNamespace(pack_size=1, asked=[], settings=Settings(examples=50, seed=7, output=str(tmp_path)))
    with pytest.raises(Wrong) as first:
        every(kept, NUMBERS, fails, "a/b")
    asked: list[list[int]] = []
    with pytest.raises(Wrong) as second:
        every(kept, NUMBERS, lambda drawn: (asked.extend(drawn), fails(drawn))[1], "a/b")
    assert str(first.value) == str(second.value)
    assert sum(asked[0]) > 1000, "the stored one comes first"
    other: list[list[int]] = []
    every(kept, NUMBERS, other.extend, "c")
    assert other == draw(NUMBERS, 50, seed_for(7, "c"))


FAMILIES = [
    "strategies.programs",
    "script_strategies.script_programs",
    "script_strategies.chain_script_programs",
    "script_strategies.stateful_script_programs",
    "script_strategies.side_script_programs",
]
DRAWN = """
import json, sys
from conformance.oracle import script_strategies, strategies
from conformance.suite.generated.drawing import draw, seed_for
for family in sys.argv[1:]:
    for program in draw(eval(family)(), 6, seed_for(7, family)):
        print(json.dumps(program.to_json()))
"""


def test_another_process_draws_the_same_programs() -> None:
    """Nothing of a process enters what is drawn, neither its hashes nor what it drew before: one process or several, in any order."""

    def drawn(hash_seed: str, families: list[str]) -> list[str]:
        run = subprocess.run(
            [sys.executable, "-c", DRAWN, *families],
            env={**os.environ, "PYTHONHASHSEED": hash_seed},
            capture_output=True,
            text=True,
            check=True,
        )
        return run.stdout.splitlines()

    forth, back = drawn("1", FAMILIES), drawn("2", FAMILIES[::-1])
    assert sorted(forth) == sorted(back)
    assert len(set(forth)) > 20
