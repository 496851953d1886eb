"""Laws over drawn programs: the oracle accepts what a legal runner does, and programs survive JSON."""

from __future__ import annotations

import json
import random

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from conformance.oracle import Program, judge
from conformance.oracle import script_strategies as script_families
from conformance.oracle import strategies as families
from conformance.oracle.analysis import analyse
from tests.oracle.naive import execute, execute_script

FAMILIES = {
    "stateless": families.stateless_programs(),
    "grouping": families.grouping_programs(),
    "regrouping": families.regrouping_programs(),
    "triggered": families.triggered_programs(),
    "side inputs": families.side_input_programs(),
    "stateful": families.stateful_programs(),
}
QUICK = settings(max_examples=60, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])


@pytest.mark.parametrize("family", FAMILIES)
def test_every_legal_outcome_is_accepted(family: str) -> None:
    @QUICK
    @given(FAMILIES[family], st.integers(0, 2**32))
    def law(program: Program, seed: int) -> None:
        seen = execute(program, random.Random(seed))
        verdict = judge(program, seen)
        assert verdict.ok, (verdict, program, seen)

    law()


@QUICK
@given(families.programs())
def test_programs_survive_json(program: Program) -> None:
    assert Program.from_json(json.loads(json.dumps(program.to_json()))) == program


@QUICK
@given(families.programs())
def test_drawn_programs_are_within_what_the_oracle_judges(program: Program) -> None:
    analyse(program)


@QUICK
@given(script_families.script_programs(), st.integers(0, 2**32))
def test_every_legal_outcome_of_a_script_is_accepted(program: Program, seed: int) -> None:
    seen = execute_script(program, random.Random(seed))
    verdict = judge(program, seen)
    assert verdict.ok, (verdict, program, seen)


@QUICK
@given(script_families.script_programs(), st.integers(0, 2**32))
def test_a_script_whose_pane_is_told_twice_is_rejected(program: Program, seed: int) -> None:
    seen = execute_script(program, random.Random(seed))
    (observer, panes) = next(iter(seen.items()))
    assume(panes)
    assert not judge(program, {observer: [*panes, panes[seed % len(panes)]]}).ok
