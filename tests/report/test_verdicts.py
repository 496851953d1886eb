"""The counting rules as tables."""

from __future__ import annotations

import itertools

import pytest
from synthetic import one

from conformance.report.verdicts import (
    NOT_APPLICABLE,
    SEVERITY,
    Cell,
    ExitCode,
    Level,
    RunFacts,
    Verdict,
    cell_word,
    counts,
    exit_code,
    run_facts,
    unexpected,
    worst,
)

P, W, D, E, T, N = (Verdict.PASS, Verdict.WRONG, Verdict.DECLINED, Verdict.ERROR, Verdict.TIMEOUT, Verdict.NO_VERDICT)
MUST, SHOULD, MAY = Level


def judged(*pairs: tuple[Level, Verdict]) -> Cell:
    return cell_word(one(level=level, verdict=verdict) for level, verdict in pairs)


@pytest.mark.parametrize(
    ("pairs", "word", "basis", "passed", "total"),
    [
        ([], None, None, 0, 0),
        ([(MUST, P)], P, MUST, 1, 1),
        ([(MUST, P), (MUST, P)], P, MUST, 2, 2),
        ([(MUST, P), (MUST, W)], W, MUST, 1, 2),
        ([(MUST, E), (MUST, W)], W, MUST, 0, 2),
        ([(MUST, T), (MUST, E)], E, MUST, 0, 2),
        ([(MUST, D), (MUST, T)], T, MUST, 0, 2),
        ([(MUST, D), (MUST, N)], D, MUST, 0, 2),
        ([(MUST, P), (MUST, N)], N, MUST, 1, 2),
        # A lower level never colours a leaf that has a MUST.
        ([(MUST, P), (SHOULD, W)], P, MUST, 1, 1),
        ([(MUST, N), (MAY, W)], N, MUST, 0, 1),
        ([(SHOULD, W), (MAY, P)], W, SHOULD, 0, 1),
        ([(MAY, P)], P, MAY, 1, 1),
    ],
)
def test_cell_word(
    pairs: list[tuple[Level, Verdict]], word: Verdict | None, basis: Level | None, passed: int, total: int
) -> None:
    cell = judged(*pairs)
    assert (cell.word, cell.basis, cell.passed, cell.total) == (word, basis, passed, total)


def test_levels_are_counted_apart() -> None:
    cell = judged((MUST, P), (SHOULD, W), (SHOULD, W), (MAY, N))
    assert cell.must == {P: 1}
    assert cell.should == {W: 2}
    assert cell.may == {N: 1}
    assert cell.executed
    assert not judged((MUST, N)).executed


def test_what_does_not_apply_counts_nowhere() -> None:
    results = [one(verdict=N, phase=NOT_APPLICABLE), one(verdict=P)]
    assert cell_word(results).total == 1
    assert cell_word(results[:1]).word is None
    assert run_facts(results) == RunFacts(selected=1, executed=1)


def test_worst_is_a_total_order() -> None:
    assert worst([]) is None
    for a, b in itertools.product(Verdict, repeat=2):
        assert worst([a, b]) is worst([b, a]) is max(a, b, key=SEVERITY.index)


def test_counts_keep_the_order_and_leave_out_zeros() -> None:
    assert list(counts([one(verdict=v) for v in (N, W, P, W)]).items()) == [(P, 1), (W, 2), (N, 1)]


UNEXPECTED = {
    MUST: {P: False, W: True, D: True, E: True, T: True, N: False},
    SHOULD: dict.fromkeys(Verdict, False),
    MAY: dict.fromkeys(Verdict, False),
}


@pytest.mark.parametrize(("level", "verdict"), list(itertools.product(Level, Verdict)))
def test_unexpected(level: Level, verdict: Verdict) -> None:
    assert unexpected(one(level=level, verdict=verdict)) is UNEXPECTED[level][verdict]


EXIT_CODES: list[tuple[RunFacts, int]] = [
    (RunFacts(selected=10, executed=10), 0),
    (RunFacts(selected=10, executed=5), 0),
    (RunFacts(selected=10, executed=4), 3),
    (RunFacts(selected=0, executed=0), 3),
    (RunFacts(selected=10, executed=0), 3),
    (RunFacts(selected=10, executed=10, unexpected=1), 1),
    (RunFacts(selected=10, executed=1, unexpected=1), 1),
    (RunFacts(selected=10, executed=10, stale=1), 2),
    (RunFacts(selected=10, executed=10, stale=1, unexpected=1), 1),
    (RunFacts(selected=10, executed=1, stale=1), 3),
    (RunFacts(selected=10, executed=10, environment_at_fault=True), 4),
    (RunFacts(selected=0, executed=0, unexpected=3, stale=2, environment_at_fault=True), 4),
]


@pytest.mark.parametrize(("facts", "code"), EXIT_CODES)
def test_exit_code(facts: RunFacts, code: int) -> None:
    assert exit_code(facts) == code


def test_every_exit_code_has_a_row() -> None:
    assert {code for _, code in EXIT_CODES} == {int(code) for code in ExitCode}


def test_run_facts() -> None:
    results = [one(verdict=v) for v in (P, W, N)]
    assert run_facts(results) == RunFacts(selected=3, executed=2, unexpected=1)
    assert run_facts(results, selected=9, unexpected_count=0, stale=2) == RunFacts(selected=9, executed=2, stale=2)
