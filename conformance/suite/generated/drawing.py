"""Drawn examples against an endpoint: the same seed draws the same ones whatever the endpoint, the size of packs, the number of
processes and the order of properties, for each property draws from a seed of its own, made of the run's seed and its label.

The examples are drawn first and then run, several a job where packing gains. Only if something goes wrong are they run one by
one, as Hypothesis runs them, so that the smallest that fails is found and told. The search for it is cut short: on a runner that is
known to fail, the smallest program is worth some jobs, not minutes.
"""

from __future__ import annotations

import contextlib
import time
import unittest
import zlib
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

import pytest
from attrs import define, field, frozen
from hypothesis import HealthCheck, Phase, Verbosity, given, settings
from hypothesis import seed as hypothesis_seed
from hypothesis import strategies as st
from hypothesis.database import DirectoryBasedExampleDatabase
from hypothesis.errors import FlakyFailure

from conformance.suite.execution import RunnerUnderTest
from conformance.suite.outcomes import EndpointGone

__all__ = ["draw", "every", "seed_for"]

T = TypeVar("T")

#: How many smaller examples are tried once one has failed, and for how many seconds on a runner of usual speed. The count alone ends the
#: search where a job takes 50 ms, so that two runs tell the same example; the seconds are for runners that die or hang of each.
SHRINKING_RUNS = 60
SHRINKING_SECONDS = 5.0


def seed_for(seed: int, label: str) -> int:
    """The seed of one property. Nothing else enters it, so it does not matter what ran before or beside."""
    return zlib.crc32(f"{seed} {label}".encode())


def _settings(examples: int, phases: Sequence[Phase], database: str | None) -> settings:
    return settings(
        max_examples=examples,
        deadline=None,
        database=DirectoryBasedExampleDatabase(database) if database else None,
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
    runner: RunnerUnderTest,
    strategy: st.SearchStrategy[T],
    check: Callable[[Sequence[T]], None],
    label: str,
    *,
    examples: int | None = None,
    packed: bool = True,
) -> None:
    """`check` holds for what `strategy` draws; raises what it raises for the smallest example that fails.

    `check` is given one example, or several that may share a job; with several it must come to the same as with each alone.
    `label` names the property: it decides the seed, and where counter-examples are kept. `examples`: how many, where it is not what the
    run was asked for. Not `packed`: the examples cannot share a job.
    """
    __tracebackhide__ = True
    wanted = examples or runner.settings.examples
    smallest = [Phase.shrink] if runner.settings.shrink else []
    one_by_one = _OneByOne(runner, strategy, check, wanted, label)
    earlier = list(runner.asked)
    size = runner.pack_size if packed else 1
    if size == 1:
        asked = one_by_one.go([Phase.explicit, Phase.reuse, Phase.generate, *smallest])
        runner.asked[:] = [*earlier, *asked]
        return
    with contextlib.suppress(unittest.SkipTest, pytest.skip.Exception):  # how Hypothesis says that nothing is stored
        one_by_one.go([Phase.explicit, Phase.reuse])
    drawn = draw(strategy, wanted, seed_for(runner.settings.seed, label))
    for start in range(0, len(drawn), size):
        try:
            check(drawn[start : start + size])
        except EndpointGone:
            raise
        except Exception:
            if smallest:
                one_by_one.go([Phase.generate, *smallest])
            raise
    runner.asked[:] = [*earlier, *map(repr, drawn)]


class _Enough(KeyboardInterrupt):
    """Ends Hypothesis' search as a user would: any Exception counts as a failure of the example, and any other BaseException has the
    example stored as one."""


@define
class _Search(Generic[T]):
    """What has failed so far, and how long the search for something smaller may still go on."""

    seconds: float
    clock: Callable[[], float] = time.monotonic
    #: The smallest failure: Hypothesis tries only what is smaller than the last one of its kind.
    failure: Exception | None = None
    example: T | None = None
    _runs: int = field(default=0, init=False)
    #: When the run began that failed first: where a job hangs, no time is left for another that may.
    _since: float = field(default=0.0, init=False)

    def failed(self, example: T, error: Exception) -> None:
        if self.failure is not None and type(error) is not type(self.failure):
            return
        self.example, self.failure = example, error

    def go_on(self) -> None:
        """Called before each run. Raises _Enough when it is one too many."""
        if self.failure is None:
            self._since = self.clock()
            return
        self._runs += 1
        if self._runs > SHRINKING_RUNS or self.clock() - self._since > self.seconds:
            raise _Enough


@frozen
class _OneByOne(Generic[T]):
    """The examples as Hypothesis runs them, each alone, with a database of counter-examples for each runner and property."""

    runner: RunnerUnderTest
    strategy: st.SearchStrategy[T]
    check: Callable[[Sequence[T]], None]
    examples: int
    label: str

    def go(self, phases: Sequence[Phase]) -> list[str]:
        """What was asked, in words; where it fails, `runner.asked` is left with what fails."""
        __tracebackhide__ = True
        asked: list[str] = []
        search: _Search[T] = _Search(SHRINKING_SECONDS * self.runner.settings.timeout_scale)
        output = self.runner.settings.output
        database = f"{output}/examples/{self.label.replace('/', '-')}" if output else None

        @_settings(self.examples, phases, database)  # outermost: a seed on top of it would take the database away
        @hypothesis_seed(seed_for(self.runner.settings.seed, self.label))
        @given(self.strategy)
        def holds(example: T) -> None:
            search.go_on()
            asked.append(repr(example))
            try:
                self.check([example])
            except EndpointGone:
                raise
            except Exception as error:
                search.failed(example, error)
                raise

        try:
            holds()
        except _Enough:
            self.runner.asked[:] = [repr(search.example)]
        except FlakyFailure as group:  # the runner's answer differs from run to run; what it was first is what is told
            raise group.exceptions[0] from None
        except Exception:
            self.runner.asked[:] = asked[-1:]
            raise
        else:
            return asked
        assert search.failure is not None
        # As new: what it and those before it went through fills hundreds of frames, and whoever prints a failure walks through them all.
        search.failure.__context__ = None
        raise search.failure.with_traceback(None)
