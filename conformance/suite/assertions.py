"""How a test says which assertion of the ledger it makes, and the two shapes that tests have.

*Scenario* (a generator function): receives a `Case`, builds a program, says `run = yield`, then asserts on the `Run`.
The code before the `yield` touches no runner, so the plugin can collect many programs and pack them into one job::

    @asserts("CORE18/groups-every-value")
    def test_groups_every_value(case):
        pairs = case.program.create([("a", 1), ("b", 2), ("a", 3)], coder=kv(string_utf8(), varint()))
        pairs.group_by_key().observe("out")
        run = yield
        assert run.groups("out") == {"a": [1, 3], "b": [2]}

*Probe* (a plain function): receives the `runner` and drives jobs, streams and faults itself.

Statement, level, rule and source of an assertion stand in the ledger's data, not here.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Generator
from typing import Any

from attrs import frozen

__all__ = ["MARK_ATTRIBUTE", "Marked", "asserts", "marked"]

#: Where a marked test function carries its `Marked`.
MARK_ATTRIBUTE = "__beam_assertion__"


@frozen
class Marked:
    """What `asserts` noted about a test: which assertion, in which modes it makes sense, and how its program may run."""

    assertion: str
    modes: tuple[str, ...]
    #: The program may share a job with others; never true for probes or when the job is expected to fail.
    packable: bool
    #: The test wants the `Run` even if the job did not end DONE (negative tests: they assert the reason).
    any_outcome: bool
    scenario: Callable[..., Generator[None, Any, None]] | None


def asserts(
    assertion: str, *, modes: tuple[str, ...] = ("batch",), alone: bool = False, any_outcome: bool = False
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Mark a test with the `LEAF/slug` of the ledger's assertion that it makes.

    `modes`: in which of "batch" and "streaming" it can be asked. `alone`: its program gets a job of its own (it looks at
    job-level facts: metrics, states, messages, transcript). `any_outcome`: implies `alone`; the test judges a job that
    was refused or failed itself. Raises ValueError for an id that is not of the form LEAF/slug.
    """
    leaf, _, slug = assertion.partition("/")
    if not leaf or not slug or slug != slug.lower():
        raise ValueError(f"{assertion!r} is not an assertion id: write LEAF/slug, as in CORE18/groups-every-value")

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        scenario = function if inspect.isgeneratorfunction(function) else None
        mark = Marked(
            assertion=assertion,
            modes=modes,
            packable=scenario is not None and not alone and not any_outcome,
            any_outcome=any_outcome,
            scenario=scenario,
        )
        test = function
        if scenario is not None:

            @functools.wraps(function)
            def test(case: Any, **parameters: Any) -> None:
                __tracebackhide__ = True
                case.conclude(**parameters)

        setattr(test, MARK_ATTRIBUTE, mark)
        return test

    return decorate


def marked(function: object) -> Marked | None:
    """The mark of a test function, or None."""
    mark = getattr(function, MARK_ATTRIBUTE, None)
    return mark if isinstance(mark, Marked) else None
