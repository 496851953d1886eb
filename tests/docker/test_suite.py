"""The suite with its harness in containers, as a user runs it, and what it says where there is no engine."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import docker
import pytest

from conformance.report import results

_RUN = [sys.executable, "-c", "from conformance.cli import main; main()", "run"]


def _run(directory: Path, *words: str) -> tuple[int, dict[str, tuple[str, str]]]:
    """Exit code, and assertion → verdict and message."""
    done = subprocess.run(
        [*_RUN, "--output", str(directory), *words], capture_output=True, text=True, timeout=240, check=False, env={**os.environ}
    )
    file = directory / "results.jsonl"
    assert file.exists(), done.stdout + done.stderr
    return done.returncode, {each.assertion: (each.verdict, each.message) for each in results.read(file).results}


def test_programs_in_containers(engine: docker.DockerClient, tmp_path: Path) -> None:
    code, found = _run(tmp_path, "--environment", "docker", "-k", "test_groups_every_value or test_pairs_every")
    ours = {name: verdict for name, (verdict, _) in found.items()}
    assert code == 0, found
    assert ours
    assert set(ours.values()) == {"pass"}
    assert engine.containers.list(all=True) == []
    assert engine.images.list(name="beam-conformance-session") == []


def test_the_leaf_of_containers(engine: docker.DockerClient, tmp_path: Path) -> None:
    code, found = _run(tmp_path, "--leaf", "ENV01")
    assert code == 0, found
    assert {verdict for name, (verdict, _) in found.items() if name.startswith("ENV01/")} == {"pass"}


@pytest.mark.parametrize("words", [["--leaf", "ENV01"], ["--environment", "docker", "-k", "test_groups_every_value"]])
def test_without_an_engine_nothing_is_judged(words: list[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/no.sock")
    code, found = _run(tmp_path, *words)
    assert code == 3
    assert found
    for verdict, message in found.values():
        assert verdict == "no-verdict"
        assert "no docker engine answers" in message
