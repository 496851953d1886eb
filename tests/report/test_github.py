"""What GitHub Actions is told: every unexpected result once, nothing that could break out of its line, limits kept."""

from __future__ import annotations

import re

from hypothesis import given
from hypothesis import strategies as st
from synthetic import one, run

from conformance.report.baseline import Baseline, Entry, compare
from conformance.report.github import SHOWN, step_summary, workflow_commands
from conformance.report.verdicts import Level, Verdict

COMMAND = re.compile(r"::(error|warning) title=([^:,]*)::(.*)", flags=re.S)
ISSUE = "https://example.org/issues/1"


def test_only_what_is_unexpected_is_an_error() -> None:
    results = run(
        one("CORE18/lost", verdict=Verdict.WRONG, message="lost 3\nat b1"),
        one("CORE18/kept"),
        one("CORE19/should", verdict=Verdict.WRONG, level=Level.SHOULD),
    )
    assert workflow_commands(results) == ["::error title=CORE18/lost [batch] wrong::lost 3"]


def test_known_failures_are_no_errors_and_stale_entries_warn() -> None:
    entries = (Entry("CORE18/lost", "wrong", ISSUE), Entry("CORE18/kept", "wrong", ISSUE))
    results = run(one("CORE18/lost", verdict=Verdict.WRONG), one("CORE18/kept"))
    comparison = compare(Baseline(expected=entries), results)
    (line,) = workflow_commands(results, comparison)
    assert line.startswith("::warning title=CORE18/kept [*] stale::it passes now")
    summary = step_summary(results, comparison)
    assert "Known failures (1)" in summary
    assert "Stale entries of the baseline (1)" in summary
    assert "Unexpected" not in summary


def test_worst_first_and_no_more_than_are_shown() -> None:
    results = run(
        *(one(f"CORE18/declined-{number}", verdict=Verdict.DECLINED) for number in range(SHOWN)),
        one("CORE19/lost", verdict=Verdict.WRONG),
    )
    lines = workflow_commands(results)
    assert len(lines) == SHOWN
    assert "CORE19/lost" in lines[0]
    assert "title=2 more" in lines[-1]


def test_a_partial_run_says_so() -> None:
    results = run(one(), whole=False)
    assert workflow_commands(results)[0].startswith("::warning title=partial run::")
    assert results.why_partial[:20] in step_summary(results).replace("\\", "")


@given(st.text())
def test_messages_stay_on_their_line(message: str) -> None:
    results = run(one("CORE18/lost", verdict=Verdict.WRONG, message=message))
    (line,) = workflow_commands(results)
    assert "\n" not in line
    assert "\r" not in line
    assert COMMAND.fullmatch(line)
    rows = [row for row in step_summary(results).splitlines() if row.startswith("| `CORE18/lost`")]
    assert len(rows) == 1
    assert len(re.findall(r"(?<!\\)\|", re.sub(r"\\\\", "", rows[0]))) == 5
