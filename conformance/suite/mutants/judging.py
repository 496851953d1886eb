"""What became of a mutant, from the results of the assertions that were asked. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum

import msgspec

from conformance.report.results import Result
from conformance.report.verdicts import Level, Verdict
from conformance.suite.mutants import Mutant

__all__ = ["Fate", "Status", "judge", "kills"]

#: Verdicts by which an assertion says that something is not as it has to be.
ACCUSING = (Verdict.WRONG, Verdict.DECLINED, Verdict.ERROR, Verdict.TIMEOUT)


class Status(StrEnum):
    """What became of a mutant; only the first is as it should be."""

    #: By the assertion that is named for it, for the reason that is named.
    KILLED = "killed"
    #: The named assertion fails, and for another reason.
    MISTAKEN = "mistaken"
    #: Other assertions fail, the named one does not.
    OTHERS = "killed by others"
    SURVIVED = "survived"
    #: It did not start, it crashed or hung, or nothing could be judged: that is no kill.
    BROKEN = "broken"


class Fate(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One line of the matrix: a mutant and what the suite said of it."""

    mutant: str
    status: Status
    #: What the named assertion said.
    verdict: str = ""
    message: str = ""
    rule: str = ""
    #: Assertions that accused the mutant.
    killers: tuple[str, ...] = ()
    #: Assertions that were judged.
    asked: int = 0
    seconds: float = 0.0
    #: The slowest of them, with their seconds: where a fault keeps back what assertions wait for.
    slowest: dict[str, float] = {}
    #: How much was asked: the named assertions, the areas of the fault, or the whole suite.
    scope: str = "named"
    #: Of the code and data that this was found with.
    fingerprint: str = ""


def plain(assertion: str) -> str:
    """The id of an assertion without the parameters of its test."""
    return assertion.partition("--")[0]


def accuses(result: Result) -> bool:
    """Whether a result says that the runner is at fault; a MAY never does."""
    return result.verdict in ACCUSING and result.level is not Level.MAY


def judge(mutant: Mutant, results: Iterable[Result]) -> tuple[Status, Result | None]:
    """What became of `mutant`, and the result of its named assertion that tells."""
    results = list(results)
    named = [result for result in results if plain(result.assertion) == mutant.killed_by]
    failed = [result for result in named if result.verdict.value == mutant.verdict]
    for result in failed:
        if mutant.says in result.message or mutant.says in (result.rule or "").split():
            return Status.KILLED, result
    if failed:
        return Status.MISTAKEN, failed[0]
    accused = [result for result in named if accuses(result)]
    if accused:
        return Status.BROKEN if accused[0].verdict is not Verdict.WRONG else Status.MISTAKEN, accused[0]
    shown = named[0] if named else None
    if any(result.verdict is Verdict.WRONG and accuses(result) for result in results):
        return Status.OTHERS, shown
    if not any(result.verdict is Verdict.PASS for result in named):
        return Status.BROKEN, shown
    return Status.SURVIVED, shown


def kills(results: Iterable[Result]) -> tuple[str, ...]:
    """The assertions that accuse a mutant by a verdict that can be believed: `wrong`."""
    return tuple(sorted({plain(result.assertion) for result in results if result.verdict is Verdict.WRONG and accuses(result)}))
