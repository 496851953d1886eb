"""`beam-conformance variants`: legal ways to run, asked by the command line."""

from __future__ import annotations

import json
from pathlib import Path

from conformance.runner.variants import VARIANTS
from tests.cli.conftest import Cli

FEW = ["--", "--leaf", "CORE18", "--examples", "1", "--jobs", "1"]


def call(cli: Cli, *arguments: str) -> tuple[int, str]:
    done = cli("variants", *arguments)
    return done.returncode, done.stdout + done.stderr


def test_every_variant_is_listed_with_what_it_does(cli: Cli):
    code, told = call(cli, "list")
    assert code == 0
    lines = [line.split(maxsplit=1) for line in told.splitlines()]
    assert {name for name, _ in lines} == set(VARIANTS)
    assert all(len(what) > 20 for _, what in lines)


def test_an_unknown_variant_is_a_wrong_call(cli: Cli):
    code, told = call(cli, "run", "unfusedd")
    assert code == 4
    assert "did you mean unfused?" in told


def test_variants_and_combinations_are_asked_once(cli: Cli, tmp_path: Path):
    arguments = ["run", "unfused", "--random", "1", "--seed", "3", "--output", str(tmp_path)]
    code, told = call(cli, *arguments, *FEW)
    assert code == 0, told
    assert "2 of 2 variants and combinations as expected" in told
    kept = [json.loads(line) for line in (tmp_path / "variants.jsonl").read_text().splitlines()]
    assert [each["variant"] for each in kept] == ["unfused", "random,seed=3"]
    assert all(each["counts"]["pass"] > 3 and each["exit_code"] == 0 for each in kept)
    before = (tmp_path / "unfused" / "results.jsonl").stat().st_mtime_ns
    code, told = call(cli, *arguments, "--resume", *FEW)
    assert code == 0, told
    assert (tmp_path / "unfused" / "results.jsonl").stat().st_mtime_ns == before
    assert len((tmp_path / "variants.jsonl").read_text().splitlines()) == 2


def test_what_does_not_pass_is_told(cli: Cli, tmp_path: Path):
    """No variant fails; a time budget that nothing can meet stands in for one that would."""
    code, told = call(cli, "run", "unfused", "--output", str(tmp_path), *FEW, "--timeout-scale", "0.00001")
    assert code == 1
    assert "0 of 1" in told
    assert "CORE18/" in told
