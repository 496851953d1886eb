"""The list of mutants: planted as listed, and each names what there is. That each is killed is the matrix's to show."""

from __future__ import annotations

import inspect
import re
from pathlib import Path

import msgspec
import pytest

from conformance import mutation
from conformance.endpoints.faults import FAULTS
from conformance.harness import invariants
from conformance.report.results import Result
from conformance.report.verdicts import Level, Verdict
from conformance.runner.habits import Habits
from conformance.runner.mutants import MUTANTS
from conformance.runner.rules import Rules
from conformance.suite import catalogue, coverage, ledger
from conformance.suite.mutants import Mutant, kills, load
from conformance.suite.mutants.judging import Fate, Status, judge

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
    assert set(mutant.areas) <= {area.id for area in ledger.load().areas}, "the letters of areas"


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


class TestWhatIsAsked:
    """Of one mutant, by how much the matrix asks."""

    def areas(self, question: mutation.Question) -> set[str]:
        by_test = {f"{entry.module}::{entry.function.__name__}": name for name, tests in EVERY.items() for entry in tests}
        return {ledger.load().leaf(by_test[test].partition("/")[0]).area for test in question.tests if test in by_test}

    def test_the_named_assertion(self) -> None:
        mutant = load()["TRG-10"]
        assert mutation.question(mutant, mutation.Scope.NAMED).tests == tuple(mutation.node_ids([mutant.killed_by]))

    def test_its_areas(self) -> None:
        mutant = load()["TRG-10"]
        assert self.areas(mutation.question(mutant, mutation.Scope.AREAS)) == {"D"}
        wider = msgspec.structs.replace(mutant, areas="AK")
        assert self.areas(mutation.question(wider, mutation.Scope.AREAS)) == {"A", "D", "K"}

    def test_everything(self) -> None:
        asked = mutation.question(load()["TRG-10"], mutation.Scope.ALL)
        assert self.areas(asked) == {area.id for area in ledger.load().areas}

    def test_only_its_own_of_one_that_hangs(self) -> None:
        (mutant, *_) = [each for each in load().values() if each.verdict == "timeout"]
        assert len(mutation.question(mutant, mutation.Scope.ALL).tests) == len(mutation.node_ids(mutant.questions))

    def test_the_mark_of_a_fate_is_of_its_own_entry_and_module(self) -> None:
        one, other = load()["TRG-10"], load()["NET-62"]
        before = mutation.fingerprints([one, other])
        after = mutation.fingerprints([msgspec.structs.replace(one, says="something else"), other])
        assert before["TRG-10"] != after["TRG-10"]
        assert before["NET-62"] == after["NET-62"]
        assert before["TRG-10"] != before["NET-62"]


EVERY = catalogue.by_assertion()


class TestRunning:
    """Real runners, one mutant each."""

    def test_one_is_killed_and_told(self) -> None:
        (fate,) = mutation.run_matrix([load()["TRG-10"]], mutation.Plan())
        assert (fate.status, fate.killers, fate.scope) == (Status.KILLED, ("TRIG26/empty-on-time-pane",), "named")
        assert next(iter(fate.slowest)) == "TRIG26/empty-on-time-pane"

    def test_the_first_to_be_asked_is_the_last_to_be_left_out(self) -> None:
        tests = mutation.node_ids(["CORE01/one-empty-element", "CORE18/groups-every-value", "CORE03/zero-one-many"])
        kept = mutation.ask("reference", tests, first=["CORE18/groups-every-value"], limit=0.0)
        asked = [result.assertion for result in kept.results if "/i-" not in result.assertion]
        assert asked == ["CORE18/groups-every-value"]

    def test_all_of_its_area_is_asked(self) -> None:
        (fate,) = mutation.run_matrix([load()["ART-67"]], mutation.Plan(scope=mutation.Scope.AREAS))
        assert fate.status is Status.KILLED
        assert fate.asked > 20

    def test_without_a_fault_all_is_well_also_where_an_invariant_has_nothing_to_look_at(self) -> None:
        assert mutation.run_baseline([load()["NET-77"]], mutation.Plan()) == []

    def test_an_assertion_that_does_not_pass_without_a_fault_is_told(self) -> None:
        declined = msgspec.structs.replace(load()["TRG-10"], killed_by="ENV05/runs")
        assert [result.assertion for result in mutation.run_baseline([declined], mutation.Plan())] == ["ENV05/runs"]


class TestKills:
    """What kills what, as committed, and who kills nothing."""

    def test_every_mutant_is_under_the_assertion_that_is_named_for_it(self) -> None:
        missing = [mutant.id for mutant in load().values() if mutant.id not in kills.load().get(mutant.killed_by, ())]
        assert missing == [], "run `mutants run --areas --resume` and `mutants kills`"

    def test_names_what_there_is(self) -> None:
        known = {assertion.id for assertion in ledger.load().assertions} | always_on()
        assert set(kills.load()) <= known
        assert {mutant for listed in kills.load().values() for mutant in listed} <= set(load())

    def test_at_most_a_tenth_of_the_must_assertions_kills_nothing(self) -> None:
        assert kills.idle("MUST").share <= 0.1

    def test_an_invariant_counts_once_whatever_leaf_it_failed_at(self) -> None:
        everything = {assertion.id: ["X-1"] for assertion in ledger.load().assertions}
        rule = next(rule for rule in invariants.CATALOGUE.values() if rule.finding_level == "MUST" and len(rule.leaves) > 1)
        without, with_it = (
            kills.idle("MUST", everything | more) for more in ({}, {f"{rule.leaves[1]}/{rule.id.lower()}": ["X-1"]})
        )
        assert f"{rule.leaves[0]}/{rule.id.lower()}" in without.idle
        assert set(without.idle) - set(with_it.idle) == {f"{rule.leaves[0]}/{rule.id.lower()}"}
        assert without.asked == with_it.asked

    def test_only_of_mutants_that_died_as_they_should(self) -> None:
        good = Fate(mutant="TRG-10", status=Status.KILLED, killers=("TRIG26/empty-on-time-pane", "TRIG02/each-element"))
        bad = Fate(mutant="TRG-12", status=Status.BROKEN, killers=("TRIG24/empty-final-pane",))
        assert kills.killed_by([good, bad]) == {"TRIG02/each-element": ["TRG-10"], "TRIG26/empty-on-time-pane": ["TRG-10"]}

    def test_what_was_known_stands_for_mutants_that_were_not_asked(self) -> None:
        before = {"TRIG26/empty-on-time-pane": ["NET-62", "TRG-10"], "ENV04/i-ch-03": ["NO-1"]}
        again = Fate(mutant="TRG-10", status=Status.KILLED, killers=("TRIG02/each-element",))
        named = load()["TRG-10"].killed_by
        assert kills.killed_by([again], before) == {"TRIG02/each-element": ["TRG-10"], named: ["NET-62", "TRG-10"]}

    def test_pages_tell_the_same(self) -> None:
        known = coverage.knowledge()
        assert {name: tuple(listed) for name, listed in known.kills.items() if listed} == kills.load()
        assert set(known.mutants) == set(load())
        sums = {each.title: each for each in known.sums}
        planted = sums["Planted mutants killed by the assertion named for them"]
        assert (planted.part, planted.whole, list(planted.open)) == (len(load()), len(load()), [])
        seeing = sums["MUST assertions that kill a planted mutant"]
        idle = kills.idle("MUST")
        assert (seeing.part, seeing.whole, tuple(seeing.open)) == (idle.asked - len(idle.idle), idle.asked, idle.idle)
