"""The private engine: it comes up, it goes, and what keeps it from coming up is said."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import docker
import pytest

from conformance.endpoints import engine as engines
from conformance.endpoints import errors


def _mounts_below(path: str) -> list[str]:
    return [line for line in Path("/proc/mounts").read_text().splitlines() if path in line]


def test_it_answers_and_leaves_nothing_behind() -> None:
    with engines.private_engine() as host:
        client = docker.DockerClient(base_url=host)
        assert client.version()["Version"]
        client.close()
        directory = str(Path(host.removeprefix("unix://")).parent)
        assert Path(directory).exists()
    assert not Path(directory).exists()
    assert _mounts_below(directory) == []


def test_an_engine_of_this_machine_is_found_or_its_absence_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/no.sock")
    with pytest.raises(errors.NoEngine, match=r"no docker engine answers .*no\.sock.*with-docker"):
        engines.connect()


def test_missing_programs_are_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    if os.geteuid() == 0:
        with pytest.raises(errors.NoEngine, match=r"dockerd, containerd, runc not on \$PATH"), engines.private_engine():
            pass
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(errors.NoEngine, match="needs root"), engines.private_engine():
        pass


def test_one_that_ends_at_once_tells_its_log(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("dockerd", "containerd", "runc"):
        (tmp_path / name).write_text("#!/bin/sh\necho no room at the inn\nexit 3\n")
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    with pytest.raises(errors.EndpointDied, match="no room at the inn"), engines.private_engine():
        pass


def test_the_command_runs_another_beside_an_engine() -> None:
    code = "import docker, sys; sys.exit(7 if docker.from_env().ping() else 1)"
    done = subprocess.run([*_COMMAND, sys.executable, "-c", code], capture_output=True, text=True, timeout=90, check=False)
    assert done.returncode == 7, done.stderr


def test_the_command_serves_until_interrupted() -> None:
    with subprocess.Popen(_COMMAND, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        host = process.stdout.readline().strip().removeprefix("export DOCKER_HOST=")
        client = docker.DockerClient(base_url=host)
        assert client.ping()
        client.close()
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=60)
    assert process.returncode == 0
    assert not Path(host.removeprefix("unix://")).exists()


def test_a_command_that_does_not_exist_is_named() -> None:
    done = subprocess.run([*_COMMAND, "no-such-command"], capture_output=True, text=True, timeout=90, check=False)
    assert done.returncode == 4
    assert "no-such-command" in done.stderr


_COMMAND = [sys.executable, "-c", "from conformance.cli import main; main()", "with-docker"]
