"""`run --sdk …` as a user calls it: rows in Beam's own SDKs, with and without the harness, and without the tools."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from conformance.report import results
from tests.cli.conftest import Cli


@pytest.fixture
def toolless(tmp_path: Path) -> dict[str, str]:
    """An environment without Go, Java and Maven, and with empty caches."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for name in ("sh", "env"):
        os.symlink(f"/bin/{name}", folder / name)
    return {"PATH": str(folder), "XDG_CACHE_HOME": str(tmp_path / "cache")}


def words(path: Path) -> dict[tuple[str, str, str], str]:
    return {result.key: result.verdict.value for result in results.read(path).results}


def test_rows_of_one_sdk(cli: Cli, tmp_path: Path) -> None:
    done = cli("run", "--sdk", "python", "--leaf", "SDK02", "--leaf", "sdk12", "--mode", "batch", "--output", "out")
    assert done.returncode == 0, done.stdout + done.stderr
    assert words(tmp_path / "out" / "results.jsonl") == {
        ("SDK02/par-do", "batch", "python"): "pass",
        ("SDK12/combine-lifted", "batch", "python"): "pass",
        ("SDK12/lifted", "batch", "python"): "pass",
    }
    page = (tmp_path / "out" / "index.html").read_text(encoding="utf-8")
    assert 'id="classic"' in page
    assert "class Sort(beam.DoFn)" in page, "the programs are on the page"


def test_all_sdks_without_their_tools(cli: Cli, tmp_path: Path, toolless: dict[str, str]) -> None:
    """The harness and the SDK that is there run; of the others it is said what is missing."""
    done = cli("run", "--sdk", "all", "--leaf", "CORE01", "--leaf", "SDK01", "--mode", "batch", "--output", "out", **toolless)
    found = words(tmp_path / "out" / "results.jsonl")
    assert found["SDK01/impulse", "batch", "python"] == "pass"
    assert found["SDK01/impulse", "batch", "java"] == found["SDK01/impulse", "batch", "go"] == "no-verdict"
    assert any(sdk == "harness" and verdict == "pass" for (_, _, sdk), verdict in found.items())
    assert done.returncode == 0, done.stdout + done.stderr
    for missing in ("Go, which is not on $PATH", "Java, which is not on $PATH"):
        assert missing in done.stderr
        assert missing in (tmp_path / "out" / "index.html").read_text(encoding="utf-8")


def test_one_sdk_without_its_tools_is_too_little(cli: Cli, toolless: dict[str, str]) -> None:
    done = cli("run", "--sdk", "go", "--leaf", "SDK01", "--output", "out", **toolless)
    assert done.returncode == 3, done.stdout + done.stderr
    assert "Install it (https://go.dev/dl)" in done.stderr


def test_a_broken_runner_is_found_out(cli: Cli, tmp_path: Path) -> None:
    done = cli("run", "--runner", "reference:mutant=CMB-12", "--sdk", "python", "-k", "explicit_flatten", "--output", "out")
    assert done.returncode == 1, done.stdout + done.stderr
    assert words(tmp_path / "out" / "results.jsonl")["SDK09/explicit-flatten", "streaming", "python"] == "wrong"


def test_rows_alone_are_known_with_an_sdk_only(cli: Cli) -> None:
    assert cli("run", "--leaf", "SDK01").returncode == 4
    assert cli("run", "--sdk", "python", "--leaf", "SDK99").returncode == 4
    assert cli("run", "--sdk", "python", "-k", "nothing_of_that_name").returncode == 3
