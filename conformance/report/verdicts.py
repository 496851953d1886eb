"""The six verdicts and every rule that counts them: the word of a cell, what is unexpected, the exit code.

Pure functions over values, with tests as tables; nothing here reads a file or knows a runner. Whoever shows or sums verdicts asks
here, so that terminal, page, JUnit and exit code cannot disagree.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from enum import IntEnum, StrEnum
from typing import Protocol

import attrs

__all__ = [
    "MEANING",
    "NOT_APPLICABLE",
    "SEVERITY",
    "Cell",
    "ExitCode",
    "Judged",
    "Level",
    "RunFacts",
    "Verdict",
    "always_on",
    "cell_word",
    "counts",
    "executed",
    "exit_code",
    "run_facts",
    "unexpected",
    "worst",
]


class Verdict(StrEnum):
    """What became of one assertion. Never collapsed into fewer."""

    PASS = "pass"
    WRONG = "wrong"
    DECLINED = "declined"
    ERROR = "error"
    TIMEOUT = "timeout"
    NO_VERDICT = "no-verdict"


class Level(StrEnum):
    """How strongly the model asks for it."""

    MUST = "MUST"
    SHOULD = "SHOULD"
    MAY = "MAY"


#: One sentence each, for legends.
MEANING: Mapping[Verdict, str] = {
    Verdict.PASS: "The runner did what the model asks.",
    Verdict.WRONG: "The job ran, and its outcome is not one that the model allows.",
    Verdict.DECLINED: "The runner refused the pipeline cleanly and named what it does not support.",
    Verdict.ERROR: "The job, the runner or a worker failed for a reason other than an unsupported feature.",
    Verdict.TIMEOUT: "The runner did not get to the end in its time; the message names the phase and what was awaited.",
    Verdict.NO_VERDICT: "It never came to a judgement: a prerequisite failed, the mode does not apply, or the endpoint was gone.",
}

#: From harmless to worst. A silent wrong answer is worse than a crash, a crash worse than a refusal; "no verdict" is worse than
#: "pass" because it hides what it did not see.
SEVERITY: tuple[Verdict, ...] = (
    Verdict.PASS,
    Verdict.NO_VERDICT,
    Verdict.DECLINED,
    Verdict.TIMEOUT,
    Verdict.ERROR,
    Verdict.WRONG,
)
_RANK = {verdict: rank for rank, verdict in enumerate(SEVERITY)}
assert set(SEVERITY) == set(MEANING) == set(Verdict)

#: The phase of a result that has no verdict because the assertion says nothing in this mode. It is no lack, so it counts nowhere.
NOT_APPLICABLE = "not-applicable"


class Judged(Protocol):
    """What the counting rules need of a result."""

    @property
    def verdict(self) -> Verdict: ...
    @property
    def level(self) -> Level: ...
    @property
    def phase(self) -> str: ...


@attrs.frozen
class Cell:
    """A leaf in one column of the matrix. `word` is None when nothing was even tried."""

    word: Verdict | None
    #: The level that the word speaks of: MUST, or a lower one where the leaf has no MUST result.
    basis: Level | None
    #: Counts by verdict, a level; verdicts that did not occur are absent.
    must: Mapping[Verdict, int]
    should: Mapping[Verdict, int]
    may: Mapping[Verdict, int]

    def at(self, level: Level) -> Mapping[Verdict, int]:
        return {Level.MUST: self.must, Level.SHOULD: self.should, Level.MAY: self.may}[level]

    @property
    def passed(self) -> int:
        return self.at(self.basis).get(Verdict.PASS, 0) if self.basis else 0

    @property
    def total(self) -> int:
        return sum(self.at(self.basis).values()) if self.basis else 0

    @property
    def executed(self) -> bool:
        return any(verdict is not Verdict.NO_VERDICT for level in Level for verdict in self.at(level))


class ExitCode(IntEnum):
    AS_EXPECTED = 0
    UNEXPECTED = 1
    STALE_BASELINE = 2
    TOO_LITTLE_RAN = 3
    ENVIRONMENT = 4


@attrs.frozen
class RunFacts:
    """All that the exit code depends on."""

    #: Results that were to be had; those that do not apply in their mode are not counted.
    selected: int
    #: Of these, how many came to a verdict.
    executed: int
    unexpected: int = 0
    stale: int = 0
    #: The call, the set-up or the endpoint was at fault before anything could be judged.
    environment_at_fault: bool = False


def worst(verdicts: Iterable[Verdict]) -> Verdict | None:
    """The worst of them, or None of nothing."""
    return max(verdicts, key=_RANK.__getitem__, default=None)


def counts(results: Iterable[Judged]) -> dict[Verdict, int]:
    """How often each verdict occurs, in the order of the enumeration; absent ones are left out."""
    found = [result.verdict for result in results]
    return {verdict: found.count(verdict) for verdict in Verdict if verdict in found}


def executed(result: Judged) -> bool:
    """Was it judged at all?"""
    return result.verdict is not Verdict.NO_VERDICT


def unexpected(result: Judged) -> bool:
    """Does it count as unexpected where no baseline lists it? Only a MUST that came out other than "pass"; what has no verdict is
    not a finding about the runner but a lack, which the exit code 3 is for."""
    return result.level is Level.MUST and result.verdict not in (Verdict.PASS, Verdict.NO_VERDICT)


def always_on(assertion: str) -> bool:
    """Is it an invariant, which looks at whatever jobs run, for one of the leaves that it speaks to? No other slug begins so."""
    return "/i-" in assertion


def cell_word(results: Iterable[Judged]) -> Cell:
    """The cell of one leaf in one column: the worst of its MUST assertions; SHOULD and MAY are counted apart. Only a leaf
    without any MUST result takes its word from the next lower level that has one."""
    kept = [result for result in results if result.phase != NOT_APPLICABLE]
    by_level = {level: counts(result for result in kept if result.level is level) for level in Level}
    basis = next((level for level in Level if by_level[level]), None)
    return Cell(
        word=worst(by_level[basis]) if basis else None,
        basis=basis,
        must=by_level[Level.MUST],
        should=by_level[Level.SHOULD],
        may=by_level[Level.MAY],
    )


def run_facts(
    results: Iterable[Judged], *, selected: int | None = None, unexpected_count: int | None = None, stale: int = 0
) -> RunFacts:
    """The facts of a run that came as far as having results. `selected` is more than the results when the run was cut short;
    `unexpected_count` is what a baseline left of the unexpected ones."""
    applicable = [result for result in results if result.phase != NOT_APPLICABLE]
    return RunFacts(
        selected=len(applicable) if selected is None else max(selected, len(applicable)),
        executed=sum(map(executed, applicable)),
        unexpected=sum(map(unexpected, applicable)) if unexpected_count is None else unexpected_count,
        stale=stale,
    )


def exit_code(facts: RunFacts) -> ExitCode:
    """The first that holds: the environment was at fault (4); something unexpected was seen, which no amount of missing results
    makes unseen (1); nothing, or less than half of what was selected, came to a verdict (3); the baseline is stale (2); all as
    expected (0). Stale comes after "too little" because an entry that never had its chance is not stale."""
    if facts.environment_at_fault:
        return ExitCode.ENVIRONMENT
    if facts.unexpected:
        return ExitCode.UNEXPECTED
    if facts.executed == 0 or facts.executed * 2 < facts.selected:
        return ExitCode.TOO_LITTLE_RAN
    if facts.stale:
        return ExitCode.STALE_BASELINE
    return ExitCode.AS_EXPECTED
