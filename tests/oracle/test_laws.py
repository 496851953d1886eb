"""Laws over drawn programs: the oracle accepts what a legal runner does, and programs survive JSON."""

from __future__ import annotations

import json
import random

import pytest
from attrs import evolve
from hypothesis import HealthCheck, assume, given, reject, settings
from hypothesis import strategies as st

from conformance.oracle import Program, Seen, UnsupportedProgram, Verdict, judge
from conformance.oracle import script_strategies as script_families
from conformance.oracle import strategies as families
from conformance.oracle.analysis import analyse
from conformance.wire.values import IntervalWindow
from tests.oracle.naive import execute
from tests.oracle.naive_script import execute_script

FAMILIES = {
    "stateless": families.stateless_programs(),
    "grouping": families.grouping_programs(),
    "regrouping": families.regrouping_programs(),
    "triggered": families.triggered_programs(),
    "side inputs": families.side_input_programs(),
    "stateful": families.stateful_programs(),
    "splittable": families.splittable_programs(),
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


SCRIPTS = {
    "grouping": script_families.script_programs(),
    "chain": script_families.chain_script_programs(),
    "several sources": script_families.several_source_programs(),
    "stateful": script_families.stateful_script_programs(),
    "held": script_families.held_script_programs(),
    "side inputs": script_families.side_script_programs(),
}


@pytest.mark.parametrize("family", SCRIPTS)
def test_every_legal_outcome_of_a_script_is_accepted(family: str) -> None:
    @QUICK
    @given(SCRIPTS[family], st.integers(0, 2**32))
    def law(program: Program, seed: int) -> None:
        seen = execute_script(program, random.Random(seed))
        verdict = _judged(program, seen)
        assert verdict.ok, (verdict, program, seen)

    law()


@pytest.mark.parametrize("family", SCRIPTS)
@pytest.mark.parametrize("corruption", ["twice", "another time", "another window", "another value"])
def test_a_corrupted_outcome_of_a_script_is_rejected(family: str, corruption: str) -> None:
    @settings(QUICK, max_examples=25)
    @given(SCRIPTS[family], st.integers(0, 2**32))
    def law(program: Program, seed: int) -> None:
        seen = execute_script(program, random.Random(seed))
        places = [(observer, index) for observer, outs in seen.items() for index in range(len(outs))]
        assume(places)
        observer, index = places[seed % len(places)]
        outs = list(seen[observer])
        outs[index : index + 1] = _corrupted(corruption, outs[index])
        verdict = _judged(program, {**seen, observer: outs})
        assert not verdict.ok, (program, seen, observer, index)
        assert verdict.rule
        assert verdict.sentence

    law()


def _corrupted(corruption: str, one: Seen) -> list[Seen]:
    match corruption:
        case "twice":
            return [one, one]
        case "another time":
            return [evolve(one, timestamp=7_000_000)]
        case "another window":
            return [evolve(one, window=IntervalWindow(5_000, 5_010))]
        case _:
            return [evolve(one, value=("nobody", *one.value[1:]))]


def _judged(program: Program, seen: dict[str, list[Seen]]) -> Verdict:
    """The verdict; programs whose outcome has too many explanations are left out."""
    try:
        return judge(program, seen)
    except UnsupportedProgram as error:
        reject()
        raise AssertionError from error
