"""The commands about mutants: what they print, what they write, and that a mutant that is not killed as named fails the call."""

from __future__ import annotations

import json
from pathlib import Path

from tests.cli.conftest import Cli


def fates(path: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def test_list_tells_fault_and_killer(cli: Cli) -> None:
    done = cli("mutants", "list", "TRG-10")
    assert done.returncode == 0
    assert "an empty on-time pane is suppressed under FIRE_ALWAYS" in done.stdout
    assert "killed by TRIG26/empty-on-time-pane" in done.stdout
    assert done.stdout.rstrip().endswith("1 mutants")


def test_one_that_is_not_there(cli: Cli) -> None:
    done = cli("mutants", "run", "NO-99")
    assert done.returncode == 4
    assert "there is no mutant or family 'NO-99'; `beam-conformance mutants list` prints them all" in done.stderr
    assert "Traceback" not in done.stderr


def test_run_writes_a_matrix_and_resumes(cli: Cli, tmp_path: Path) -> None:
    matrix = tmp_path / "matrix.jsonl"
    done = cli("mutants", "run", "TRG-10", "NET-62", "--output", str(matrix))
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"2 killed; matrix: {matrix}" in done.stdout
    found = {fate["mutant"]: fate for fate in fates(matrix)}
    assert {name: fate["status"] for name, fate in found.items()} == {"TRG-10": "killed", "NET-62": "killed"}
    again = cli("mutants", "run", "TRG-10", "NET-62", "--resume", "--output", str(matrix))
    assert again.returncode == 0
    assert len(fates(matrix)) == 2, "nothing was asked again"


def test_one_that_is_found_surviving_fails_the_call(cli: Cli, tmp_path: Path) -> None:
    matrix = tmp_path / "matrix.jsonl"
    assert cli("mutants", "run", "TRG-10", "--output", str(matrix)).returncode == 0
    (fate,) = fates(matrix)
    matrix.write_text(json.dumps(fate | {"status": "survived"}) + "\n", encoding="utf-8")
    done = cli("mutants", "run", "TRG-10", "--resume", "--output", str(matrix))
    assert done.returncode == 1
    assert f"1 survived; matrix: {matrix}" in done.stdout


def test_idle_ends_with_the_share(cli: Cli) -> None:
    done = cli("mutants", "idle")
    assert done.returncode == 0
    *names, last = done.stdout.splitlines()
    assert last.startswith(f"{len(names)} of ")
    assert last.endswith("kill no mutant")
    assert "MUST assertions" in last
