"""The list of mutants: planted as listed, and each names what there is. That each is killed is the matrix's to show."""

from __future__ import annotations

import inspect
import re
from pathlib import Path

import pytest

from conformance.endpoints.faults import FAULTS
from conformance.harness import invariants
from conformance.report.results import Result
from conformance.report.verdicts import Level, Verdict
from conformance.runner.habits import Habits
from conformance.runner.mutants import MUTANTS
from conformance.runner.rules import Rules
from conformance.suite import catalogue, ledger
from conformance.suite.mutants import Mutant, load
from conformance.suite.mutants.judging import Status, judge

RULES = {
    word
    for page in ("model.md", "protocol.md")
    for word in re.findall(r"\b[MPI]-[A-Z]+-\d+[a-z]?\b", (Path(__file__).parents[2] / "docs" / page).read_text(encoding="utf-8"))
}


def always_on() -> set[str]:
    return {f"{leaf}/{rule.id.lower()}" for rule in invariants.CATALOGUE.values() for leaf in rule.leaves}


def test_planted_as_listed() -> None:
    assert set(MUTANTS) | set(FAULTS) == set(load())
    assert set(FAULTS) == {name for name, mutant in load().items() if mutant.on_the_wire}


@pytest.mark.parametrize("mutant", load().values(), ids=list(load()))
def test_names_what_there_is(mutant: Mutant) -> None:
    tests = catalogue.by_assertion()
    asked = set(mutant.questions)
    assert asked <= set(tests), "every assertion that is asked has a test"
    known = {assertion.id for assertion in ledger.load().assertions}
    assert mutant.killed_by in (asked & known) | always_on(), "it is killed by what is asked, or by what is always on"
    assert set(mutant.rules) <= RULES, f"no such rule: {set(mutant.rules) - RULES}"
    assert mutant.says.strip(), "it names the reason for which it has to fail"
    assert mutant.origin == "derived" or mutant.origin.strip()


@pytest.mark.parametrize("name", MUTANTS)
def test_overrides_one_step(name: str) -> None:
    """One method, and helpers of its own; what it overrides is there."""
    planted = MUTANTS[name]
    made = planted() if planted.__name__ != "Parts" else planted
    cls = made if inspect.isclass(made) else type(made)
    overridden = {
        step
        for step in vars(cls)
        if not step.startswith("__") and any(step in vars(base) for base in (Rules, Habits) if base is not cls)
    }
    assert overridden, f"{name} overrides nothing"


def result(
    verdict: str, assertion: str = "CORE01/one-empty-element", message: str = "", level: str = "MUST", rule: str = ""
) -> Result:
    return Result(assertion, "CORE01", Level(level), Verdict(verdict), message=message, rule=rule)


MUTANT = Mutant(
    id="X-1", seen="P", defect="it is broken", rules=("M-XF-10",), killed_by="CORE01/one-empty-element", says="observed nothing"
)


@pytest.mark.parametrize(
    ("results", "status"),
    [
        ([result("wrong", message="… observed nothing")], Status.KILLED),
        ([result("wrong", "CORE01/one-empty-element--b", message="observed nothing")], Status.KILLED),
        ([result("pass"), result("wrong", message="observed nothing")], Status.KILLED),
        ([result("wrong", message="observed two")], Status.MISTAKEN),
        ([result("error", message="observed nothing")], Status.BROKEN),
        ([result("timeout", message="observed nothing")], Status.BROKEN),
        ([result("pass"), result("wrong", "CORE01/no-firing-pane")], Status.OTHERS),
        ([result("pass"), result("error", "CORE01/no-firing-pane")], Status.SURVIVED),
        ([result("pass"), result("wrong", "CORE01/other", level="MAY")], Status.SURVIVED),
        ([result("pass")], Status.SURVIVED),
        ([result("no-verdict", message="blocked")], Status.BROKEN),
        ([], Status.BROKEN),
    ],
)
def test_what_became_of_a_mutant(results: list[Result], status: Status) -> None:
    assert judge(MUTANT, results)[0] is status
