"""Drawn examples against an endpoint: the same seed draws the same ones whatever the endpoint and the size of packs.

The examples are drawn first and then run, several a job where packing gains. Only if something goes wrong are they run one by
one, as Hypothesis runs them, so that the smallest that fails is found and told.
"""

from __future__ import annotations

import contextlib
import unittest
from collections.abc import Callable, Sequence
from typing import TypeVar

import pytest
from hypothesis import HealthCheck, Phase, Verbosity, given, settings
from hypothesis import seed as hypothesis_seed
from hypothesis import strategies as st
from hypothesis.database import DirectoryBasedExampleDatabase
from hypothesis.errors import FlakyFailure

from conformance.suite.execution import RunnerUnderTest
from conformance.suite.outcomes import EndpointGone

__all__ = ["draw", "every"]

T = TypeVar("T")


def _settings(examples: int, phases: Sequence[Phase], output: str | None) -> settings:
    return settings(
        max_examples=examples,
        deadline=None,
        # Counter-examples are kept beside the results, one database a runner.
        database=DirectoryBasedExampleDatabase(f"{output}/examples") if output else None,
        suppress_health_check=list(HealthCheck),
        verbosity=Verbosity.quiet,
        phases=phases,
        print_blob=False,
        report_multiple_bugs=False,
    )


def draw(strategy: st.SearchStrategy[T], count: int, seed: int) -> list[T]:
    """The first `count` examples that `strategy` gives for `seed`, without running anything."""
    drawn: list[T] = []

    @hypothesis_seed(seed)
    @_settings(count, [Phase.generate], None)
    @given(strategy)
    def collect(example: T) -> None:
        drawn.append(example)

    collect()
    return drawn


def every(
    runner: RunnerUnderTest, strategy: st.SearchStrategy[T], check: Callable[[Sequence[T]], None], examples: int | None = None
) -> None:
    """`check` holds for what `strategy` draws; raises what it raises for the smallest example that fails.

    `check` is given one example, or several that may share a job; with several it must come to the same as with each alone.
    `examples`: how many, where it is not what the run was asked for.
    """
    __tracebackhide__ = True
    wanted = examples or runner.settings.examples
    if runner.pack_size == 1:
        _one_by_one(runner, strategy, check, wanted, [Phase.explicit, Phase.reuse, Phase.generate, Phase.shrink])
        return
    with contextlib.suppress(unittest.SkipTest, pytest.skip.Exception):  # how Hypothesis says that nothing is stored
        _one_by_one(runner, strategy, check, wanted, [Phase.explicit, Phase.reuse])
    drawn = draw(strategy, wanted, runner.settings.seed)
    for start in range(0, len(drawn), runner.pack_size):
        try:
            check(drawn[start : start + runner.pack_size])
        except EndpointGone:
            raise
        except Exception:
            _one_by_one(runner, strategy, check, wanted, [Phase.generate, Phase.shrink])
            raise


def _one_by_one(
    runner: RunnerUnderTest,
    strategy: st.SearchStrategy[T],
    check: Callable[[Sequence[T]], None],
    examples: int,
    phases: Sequence[Phase],
) -> None:
    __tracebackhide__ = True

    @hypothesis_seed(runner.settings.seed)
    @_settings(examples, phases, runner.settings.output)
    @given(strategy)
    def holds(example: T) -> None:
        check([example])

    try:
        holds()
    except FlakyFailure as group:  # the runner's answer differs from run to run; what it was first is what is told
        raise group.exceptions[0] from None
