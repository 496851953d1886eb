"""Baselines: exact lists, and every way to go stale."""

from __future__ import annotations

import datetime
from typing import Any

import pytest
import synthetic
from hypothesis import given
from hypothesis import strategies as st
from synthetic import one, run

from conformance.report.baseline import (
    BadBaseline,
    Baseline,
    BaselineError,
    Entry,
    PartialRun,
    compare,
    dumps,
    loads,
    mark,
    read,
    update,
)
from conformance.report.results import Result, Results
from conformance.report.verdicts import NOT_APPLICABLE, Level, Verdict

ISSUE = "https://example.org/issues/1"
GOOD = """
schema = 1
runner = "prism"
[[expected]]
assertion = "TRIG25/no-empty-final-pane"
mode = "streaming"
verdict = "wrong"
message = "an empty"
issue = "https://example.org/issues/1"
expires = 2026-12-31
"""


def listed(**fields: Any) -> Baseline:
    return Baseline(
        expected=(Entry(**{"assertion": "CORE18/x", "verdict": "wrong", "issue": ISSUE, "message": "lost"} | fields),)
    )


FLAKY = {"flaky": True, "note": "two goroutines race"}
LOST = one(verdict=Verdict.WRONG, message="lost 3")


class TestReading:
    def test_good(self) -> None:
        (entry,) = loads(GOOD).expected
        assert entry == Entry("TRIG25/no-empty-final-pane", "wrong", ISSUE, "streaming", "an empty", datetime.date(2026, 12, 31))

    @pytest.mark.parametrize(
        ("change", "says"),
        [
            (("mode =", "mood ="), "mood"),
            (('runner = "prism"', 'runer = "prism"'), "runer"),
            (('issue = "https://example.org/issues/1"', ""), "issue"),
            (('issue = "https://example.org/issues/1"', 'issue = "soon"'), "no issue link"),
            (('verdict = "wrong"', 'verdict = "pass"'), "verdict|pass"),
            (('verdict = "wrong"', 'verdict = "no-verdict"'), "verdict|no-verdict"),
            (("TRIG25/no-empty-final-pane", "TRIG25/*"), "without wildcards"),
            (("expires = 2026-12-31", "flaky = true"), "flaky without a reason"),
            (("schema = 1", "schema = 2"), "schema 2"),
            (("schema = 1", "schema ="), "baseline"),
        ],
    )
    def test_bad(self, change: tuple[str, str], says: str) -> None:
        with pytest.raises(BadBaseline, match=says):
            loads(GOOD.replace(*change))

    def test_twice(self) -> None:
        again = GOOD[GOOD.index("[[") :]
        with pytest.raises(BadBaseline, match="twice"):
            loads(GOOD + again)
        with pytest.raises(BadBaseline, match="every mode and for one"):
            loads(GOOD + again.replace("streaming", "*"))

    def test_missing_file(self, tmp_path: Any) -> None:
        with pytest.raises(BadBaseline, match="baseline update"):
            read(tmp_path / "none.toml")

    @given(st.text(st.characters(exclude_categories=["Cs"])), st.dates() | st.none())
    def test_round_trip(self, text: str, expires: datetime.date | None) -> None:
        baseline = Baseline(1, text, (Entry("CORE18/x", "error", ISSUE, "batch", text, expires, text),))
        assert loads(dumps(baseline)) == baseline

    def test_round_trip_of_a_flaky_one(self) -> None:
        assert loads(dumps(listed(**FLAKY))) == listed(**FLAKY)


@pytest.mark.parametrize(
    ("entry", "result", "known", "unexpected", "stale"),
    [
        ({}, LOST, 1, 0, ""),
        ({"message": ""}, LOST, 1, 0, ""),
        ({"mode": "batch"}, LOST, 1, 0, ""),
        ({"mode": "streaming"}, LOST, 0, 1, "matched nothing"),
        ({"message": "other"}, LOST, 0, 1, "another message"),
        ({"verdict": "error"}, LOST, 0, 1, "it is wrong now"),
        ({}, one(), 0, 0, "passes now"),
        ({}, one(verdict=Verdict.NO_VERDICT, message="blocked by CORE03"), 0, 0, "no verdict .blocked by CORE03"),
        ({}, one("CORE19/x"), 0, 0, "matched nothing"),
        ({}, one(verdict=Verdict.NO_VERDICT, phase=NOT_APPLICABLE), 0, 0, "matched nothing"),
        ({"verdict": "error"}, one(verdict=Verdict.ERROR, message="lost", phase="setup"), 0, 1, ""),
        ({"expires": datetime.date(2026, 1, 1)}, LOST, 0, 1, "expired"),
        ({"expires": datetime.date(2027, 1, 1)}, LOST, 1, 0, ""),
        # A SHOULD may be listed too, so that a change in it is seen.
        ({}, one(verdict=Verdict.WRONG, message="lost", level=Level.SHOULD), 1, 0, ""),
        # What comes out otherwise from run to run.
        (FLAKY, LOST, 1, 0, ""),
        (FLAKY, one(verdict=Verdict.ERROR, message="crashed"), 1, 0, ""),
        (FLAKY, one(), 0, 0, ""),
        (FLAKY, one("CORE19/x"), 0, 0, "matched nothing"),
        (FLAKY, one(verdict=Verdict.ERROR, phase="setup"), 0, 1, ""),
    ],
)
def test_compare(entry: dict[str, Any], result: Result, known: int, unexpected: int, stale: str) -> None:
    found = compare(listed(**entry), run(result), datetime.date(2026, 6, 1))
    assert (len(found.known), len(found.unexpected)) == (known, unexpected)
    if stale:
        assert [why for why in (s.why for s in found.stale) if __import__("re").search(stale, why)], found.stale
    else:
        assert not found.stale


def test_no_baseline() -> None:
    found = compare(None, run(LOST, one("CORE19/x", Verdict.NO_VERDICT)))
    assert found.unexpected == (LOST,)


@pytest.mark.parametrize("results", [run(whole=False), run(selection="-k x"), run(shard="1/2")])
def test_what_had_no_chance_is_not_stale(results: Results) -> None:
    found = compare(listed(), results)
    assert not found.stale
    assert len(found.unchecked) == 1


@pytest.mark.parametrize("outcome", ["passes", "elsewhere"])
def test_an_always_on_rule_sees_less_in_a_part_of_the_suite(outcome: str) -> None:
    name = "CTRL03/i-ctl-06"
    result = one(name) if outcome == "passes" else one(name, Verdict.WRONG, message="seen in another job first")
    part = compare(listed(assertion=name, message="lost"), run(result, selection="--leaf CORE18"))
    assert (len(part.unexpected), len(part.stale)) == (0, 0)
    assert len(part.unchecked) == (outcome == "passes")
    whole = compare(listed(assertion=name, message="lost"), run(result))
    assert len(whole.stale) == 1


def test_mark() -> None:
    results = run(LOST, one("CORE19/x"))
    assert [result.listed for result in mark(results.results, compare(listed(), results))] == [ISSUE, ""]


class TestUpdate:
    def test_what_it_writes_holds(self) -> None:
        results = synthetic.results(quality=0.6)
        written = update(results, issue=ISSUE)
        assert written.expected
        found = compare(loads(dumps(written)), results)
        assert not found.stale
        assert not found.unexpected

    def test_partial_runs_are_refused(self) -> None:
        for results in (run(LOST, whole=False), run(LOST, selection="--area C")):
            with pytest.raises(PartialRun, match="whole runs only"):
                update(results, issue=ISSUE)

    def test_new_failures_need_an_issue(self) -> None:
        with pytest.raises(BaselineError, match="--issue URL"):
            update(run(LOST))

    def test_setup_failures_are_refused(self) -> None:
        with pytest.raises(BaselineError, match="repair the set-up"):
            update(run(one(verdict=Verdict.ERROR, phase="setup")), issue=ISSUE)

    def test_old_entries_keep_their_issue_and_note(self) -> None:
        old = listed(note="since 2.70", expires=datetime.date(2027, 1, 1))
        assert update(run(LOST), old) == Baseline(1, "prism", old.expected)

    def test_a_changed_failure_keeps_its_issue_too(self) -> None:
        (entry,) = update(run(one(verdict=Verdict.ERROR, message="crashed")), listed(note="n")).expected
        assert (entry.verdict, entry.message, entry.issue, entry.note) == ("error", "crashed", ISSUE, "n")

    def test_passing_entries_go(self) -> None:
        assert update(run(one()), listed()).expected == ()

    def test_every_mode_is_split_when_one_mode_passes(self) -> None:
        results = run(LOST, one(mode="streaming"))
        (entry,) = update(results, listed()).expected
        assert entry.mode == "batch"
        assert not compare(Baseline(expected=(entry,)), results).stale

    def test_volatile_ends_of_messages_are_left_out(self) -> None:
        result = one(verdict=Verdict.ERROR, message="connection to localhost:43212 was lost")
        (entry,) = update(run(result), issue=ISSUE).expected
        assert entry.message == "connection to "

    def test_what_is_said_of_a_drawn_program_is_left_out(self) -> None:
        result = one(verdict=Verdict.WRONG, message="The outcome of a drawn program is not admissible: key 0: too many")
        (entry,) = update(run(result), issue=ISSUE).expected
        assert entry.message == "The outcome of a drawn program is not admissible: "

    @pytest.mark.parametrize("result", [LOST, one(), one(verdict=Verdict.DECLINED, message="metrics are missing")])
    def test_flaky_entries_stay_as_they_are(self, result: Result) -> None:
        assert update(run(result), listed(**FLAKY)).expected == listed(**FLAKY).expected

    def test_flaky_entries_go_with_their_assertion(self) -> None:
        assert update(run(one("CORE19/x")), listed(**FLAKY)).expected == ()
