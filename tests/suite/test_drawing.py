"""Drawing examples: the seed alone decides what is drawn, and packing changes nothing about what is found."""

from __future__ import annotations

from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import strategies as st

from conformance.suite.checks import Wrong
from conformance.suite.generated.drawing import draw, every
from conformance.suite.settings import Settings

NUMBERS = st.lists(st.integers(0, 1000), max_size=5)


def runner(pack_size: int, examples: int = 30) -> Any:
    """As much of a runner under test as drawing looks at."""
    return SimpleNamespace(pack_size=pack_size, settings=Settings(examples=examples, seed=7))


def test_the_seed_decides_what_is_drawn() -> None:
    assert draw(NUMBERS, 20, 7) == draw(NUMBERS, 20, 7)
    assert draw(NUMBERS, 20, 7) != draw(NUMBERS, 20, 8)


@pytest.mark.parametrize("pack_size", [1, 4, 30, 100])
def test_the_same_examples_are_asked_packed_or_not(pack_size: int) -> None:
    asked: list[list[int]] = []
    every(runner(pack_size), NUMBERS, asked.extend)
    assert asked == draw(NUMBERS, 30, 7)
    assert len({tuple(each) for each in asked}) > 15, "not the simplest example over and over"


@pytest.mark.parametrize("pack_size", [1, 10])
def test_the_smallest_failure_is_told(pack_size: int) -> None:
    def no_large_number(drawn: Sequence[list[int]]) -> None:
        for each in drawn:
            if any(number >= 100 for number in each):
                raise Wrong(f"{each} holds a large number")

    with pytest.raises(Wrong, match=r"^\[100\] holds"):
        every(runner(pack_size), NUMBERS, no_large_number)


def test_what_fails_only_in_a_pack_is_raised_as_it_was() -> None:
    def not_together(drawn: Sequence[list[int]]) -> None:
        if len(drawn) > 1:
            raise RuntimeError("these disturb one another")

    with pytest.raises(RuntimeError, match="disturb"):
        every(runner(10), NUMBERS, not_together)
