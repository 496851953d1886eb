"""The same seed asks the same programs and comes to the same verdicts: packed or not, in one process or four, in any order."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from conformance.report import results
from tests.cli.conftest import Cli

#: Scenarios, probes and generated programs of several kinds, with prerequisites among them.
LEAVES = [word for leaf in ("CORE01", "CORE09", "CORE20", "TRIG01", "SIDE10", "CTRL01") for word in ("--leaf", leaf)]
WORDS = [*LEAVES, "--examples", "4", "--seed", "3"]


def told(directory: Path) -> dict[str, tuple[str, Any]]:
    """Assertion → its verdict and the digest of what was asked. What an always-on rule saw depends on jobs, not on programs."""
    read = results.read(directory / "results.jsonl")
    assert not read.partial
    assert read.header.modes
    found = {
        result.assertion: (result.verdict.value, result.evidence.get("digest"))
        for result in read.results
        if "/i-" not in result.assertion
    }
    assert read.header.selected == len(found)
    return found


@pytest.fixture(scope="module")
def first() -> dict[str, Any]:
    return {}


@pytest.mark.parametrize(
    "words",
    [
        ("--jobs", "1"),
        ("--jobs", "1", "--no-pack"),
        ("--jobs", "1", "--beam-pack", "5"),
        ("--jobs", "4"),
        ("--jobs", "2", "--reversed"),
    ],
    ids=["plain", "alone", "packed", "four-processes", "reversed"],
)
def test_same_programs_and_verdicts(cli: Cli, tmp_path: Path, words: tuple[str, ...], first: dict[str, Any]) -> None:
    if "--reversed" in words:  # as far as prerequisites let it: a plugin of the test's own turns the collection round
        (tmp_path / "turned.py").write_text("def pytest_collection_modifyitems(items):\n    items.reverse()\n")
        done = cli("run", *WORDS, "--jobs", "1", "--output", "out", "-p", "turned", PYTHONPATH=str(tmp_path))
    else:
        done = cli("run", *WORDS, *words, "--output", "out")
    assert done.returncode == 0, done.stdout + done.stderr
    found = told(tmp_path / "out")
    assert len(found) > 8
    assert sum(digest is not None for _, digest in found.values()) > 0.9 * len(found)
    assert found == first.setdefault("found", found)


def test_another_seed_asks_other_programs(cli: Cli, tmp_path: Path) -> None:
    digests = []
    for seed in ("1", "2"):
        assert cli("run", "--leaf", "CORE09", "-k", "generated", "--seed", seed, "--output", seed).returncode == 0
        digests.append(told(tmp_path / seed)["CORE09/generated-programs"][1])
    assert digests[0] != digests[1]


def test_a_wrong_address_ends_several_processes_with_one_sentence(cli: Cli) -> None:
    done = cli("run", "--jobs", "2", "--runner", "prism:bin=/nonexistent", "--leaf", "CORE01")
    assert done.returncode == 4
    assert done.stderr.strip() == "Error: bin=/nonexistent is no program that can be run. Check the path and its permissions."


def test_jobs_that_make_no_sense(cli: Cli) -> None:
    for value in ("0", "many"):
        done = cli("run", "--jobs", value)
        assert done.returncode == 4
        assert "neither a number from 1 nor auto" in done.stderr
