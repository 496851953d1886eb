"""The plugin on suites of a few scenarios: verdicts, packs, blocked prerequisites, what pytest sees."""

from __future__ import annotations

import subprocess

import pytest

from conformance.report import results
from conformance.report.verdicts import Verdict
from tests.suite.conftest import Suite

GOOD = """
@asserts("CORE18/groups-every-value")
def test_groups(case):
    case.program.create([("a", 1), ("a", 2)]).group_by_key().observe("out")
    run = yield
    same(run.groups("out"), {"a": [1, 2]})
"""
WRONG = """
@asserts("CORE18/keeps-equal-values")
def test_wrong(case):
    case.program.create([("a", 1), ("a", 1)]).group_by_key().observe("out")
    run = yield
    same(run.groups("out"), {"a": [1]}, rule="M-XF-18")
"""
FAILING = """
@asserts("CORE05/each-tag-its-own-elements")
def test_failing(case):
    case.program.create([1]).par_do(Fn("fail", on="process", text="on purpose")).observe("out")
    run = yield
"""
UNFINISHED = """
@asserts("CORE18/groups-by-window-too")
def test_forgets_to_yield(case):
    case.program.create([1]).observe("out")
    if False:
        yield
"""


@pytest.mark.parametrize("words", [("--no-pack",), ("--beam-pack", "8")], ids=["alone", "packed"])
def test_verdicts_are_the_same_packed_or_not(suite: Suite, words: tuple[str, ...]) -> None:
    found = suite(GOOD + WRONG, *words)
    assert found["CORE18/groups-every-value"].verdict is Verdict.PASS
    wrong = found["CORE18/keeps-equal-values"]
    assert wrong.verdict is Verdict.WRONG
    assert wrong.expected == "{'a': [1]}"
    assert wrong.observed == "{'a': [1, 1]}"
    assert wrong.rule == "M-XF-18"


def test_a_failing_program_of_a_pack_stands_alone(suite: Suite) -> None:
    found = suite(GOOD + FAILING, "--beam-pack", "8")
    assert found["CORE18/groups-every-value"].verdict is Verdict.PASS
    failing = found["CORE05/each-tag-its-own-elements"]
    assert failing.verdict is Verdict.ERROR
    assert "on purpose" in failing.message


def test_a_broken_scenario_is_an_error_and_not_wrong(suite: Suite) -> None:
    found = suite(GOOD + UNFINISHED)
    assert found["CORE18/groups-every-value"].verdict is Verdict.PASS
    assert found["CORE18/groups-by-window-too"].verdict is Verdict.ERROR
    assert "yield" in found["CORE18/groups-by-window-too"].message


def test_failed_prerequisite_blocks_and_does_not_turn_red(suite: Suite) -> None:
    broken = """
@asserts("CORE01/one-empty-element")
def test_impulse(case):
    case.program.impulse().observe("out")
    run = yield
    same(run.values("out"), [], "impulse")
"""
    found = suite(GOOD + broken)
    assert found["CORE01/one-empty-element"].verdict is Verdict.WRONG
    blocked = found["CORE18/groups-every-value"]
    assert blocked.verdict is Verdict.NO_VERDICT
    assert "CORE01" in blocked.message


def test_skip_is_refused(suite: Suite) -> None:
    skipping = """
import pytest
@asserts("CORE18/groups-every-value")
def test_skips(case):
    case.program.create([1]).observe("out")
    run = yield
    pytest.skip("not today")
"""
    found = suite(skipping)
    assert found["CORE18/groups-every-value"].verdict is Verdict.ERROR
    assert "skip" in found["CORE18/groups-every-value"].message


def test_unknown_assertion_ends_the_run_with_one_sentence(suite: Suite) -> None:
    seen: list[subprocess.CompletedProcess[str]] = []
    with pytest.raises(AssertionError):
        suite(GOOD.replace("groups-every-value", "no-such-thing"), check=seen.append)
    assert seen[0].returncode == 4
    assert "CORE18/no-such-thing" in seen[0].stderr


def test_pytest_sees_passed_and_failed(suite: Suite) -> None:
    seen: list[subprocess.CompletedProcess[str]] = []
    suite(GOOD + WRONG, check=seen.append)
    assert seen[0].returncode == 1
    assert "1 failed, 1 passed" in seen[0].stdout


def test_other_tests_are_left_alone(suite: Suite) -> None:
    seen: list[subprocess.CompletedProcess[str]] = []
    suite(GOOD + "def test_plain(): assert 1 + 1 == 2\n", check=seen.append)
    assert "2 passed" in seen[0].stdout


def test_xdist_gives_the_same_results(suite: Suite) -> None:
    found = suite(GOOD + WRONG + FAILING, "-n", "2")
    verdicts = {assertion: result.verdict for assertion, result in found.items() if "/i-" not in assertion}
    assert verdicts == {
        "CORE18/groups-every-value": Verdict.PASS,
        "CORE18/keeps-equal-values": Verdict.WRONG,
        "CORE05/each-tag-its-own-elements": Verdict.ERROR,
    }
    assert any("/i-data-01" in assertion for assertion in found), "workers' invariants reach the results"


STREAMED = """
@asserts("TRIG01/generated-scripts", modes=("streaming",))
def test_streamed(case):
    case.program.create([1]).observe("out")
    run = yield
"""


@pytest.mark.parametrize("words", [(), ("-n", "2")], ids=["one-process", "two"])
def test_invariants_count_in_the_mode_whose_jobs_they_looked_at(suite: Suite, words: tuple[str, ...]) -> None:
    """A rule that only batch jobs exercised has no result in streaming, and one that nothing exercised has none at all."""
    read: list[results.Result] = []
    suite(GOOD + STREAMED, "--no-pack", *words, keep=read)
    modes: dict[str, set[str]] = {}
    for result in read:
        if "/i-" in result.assertion:
            modes.setdefault(result.assertion.partition("/")[2], set()).add(result.mode)
            assert result.evidence["checked"] > 0
    assert modes["i-data-01"] == {"batch", "streaming"}
    assert modes["i-gbk-02"] == {"batch"}, "only the batch job groups"
    assert "i-ctl-14" not in modes, "nobody embeds elements"
