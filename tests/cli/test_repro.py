"""`repro`: a recorded failure asked again comes to the same verdict with the same pipeline, and another runner can be asked the same."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest

from conformance.cli_errors import CallError
from conformance.cli_repro import find, words_for
from conformance.report.results import Header, Result, Results, Runner
from conformance.report.verdicts import Level, Verdict
from tests.cli.conftest import Cli

MUTANT = "reference:mutant=TRG-13"
ASSERTION = "TRIG25/no-empty-final-pane"


def test_a_failure_again_and_on_another_runner(cli: Cli, tmp_path: Path) -> None:
    assert cli("run", "--runner", MUTANT, "--leaf", "TRIG25", "-k", "no_empty_final", "--output", "out").returncode == 1
    file = str(tmp_path / "out" / "results.jsonl")
    again = cli("repro", ASSERTION, "--results", file)
    assert again.returncode == 1, again.stdout + again.stderr
    assert "recorded: wrong" in again.stdout
    assert "now:      wrong" in again.stdout
    assert "the same to the byte" in again.stdout
    right = cli("repro", ASSERTION, "--results", file, "--runner", "reference")
    assert right.returncode == 0, right.stdout + right.stderr
    assert "now:      pass" in right.stdout
    assert "the same to the byte" in right.stdout


def results(*made: Result, command: str = "beam-conformance run --examples 7 --seed 3") -> Results:
    return Results(Header(suite="1", runner=Runner("r"), command=command), made, path=Path("r.jsonl"))


def result(verdict: Verdict, **evidence: str) -> Result:
    return Result(assertion="AB01/x", leaf="AB01", level=Level.MUST, verdict=verdict, evidence=dict(evidence))


def test_the_failure_is_taken_before_a_pass() -> None:
    assert find(results(result(Verdict.PASS), result(Verdict.WRONG)), "ab01/x").verdict is Verdict.WRONG


def test_what_the_run_was_asked_is_asked_again() -> None:
    recorded = result(Verdict.WRONG, command="beam-conformance run --runner prism --leaf AB01 -k test_x --seed 3")
    words = words_for(results(recorded), recorded, Path("o"), "reference")
    assert shlex.join(words) == "run --runner reference --leaf AB01 -k test_x --seed 3 --examples 7 --jobs 1 --output o"


def test_unknown_and_unjudged() -> None:
    with pytest.raises(CallError, match="what did not pass there: AB01/x"):
        find(results(result(Verdict.WRONG)), "AB02/y")
    with pytest.raises(CallError, match="nothing to ask again"):
        words_for(results(), result(Verdict.NO_VERDICT), Path("o"), None)
