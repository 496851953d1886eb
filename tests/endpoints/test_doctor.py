"""The doctor tells what is there and, of what is not, how to get it."""

from __future__ import annotations

from pathlib import Path

import pytest

from conformance.endpoints import doctor


def test_everything_is_looked_at_and_every_gap_has_a_remedy(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/no.sock")
    found = {finding.name: finding for finding in doctor.examine()}
    assert list(found) == ["interpreter", "ports", "prism", "python", "go", "java", "docker"]
    assert found["interpreter"].ok
    assert found["ports"].ok
    for name, remedy in {"prism": "Install Go", "go": "Install it", "java": "Install a JRE", "docker": "Start Docker"}.items():
        assert not found[name].ok
        assert remedy in found[name].text


def test_tools_on_the_path_are_found(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name, body in {"prism": "", "go": "echo go version go9", "java": "echo openjdk 99 >&2"}.items():
        (tmp_path / name).write_text(f"#!/bin/sh\n{body}\n")
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    found = {finding.name: finding for finding in doctor.examine()}
    assert (found["prism"].ok, found["prism"].text) == (True, str(tmp_path / "prism"))
    assert (found["go"].ok, found["go"].text) == (True, "go version go9")
    assert (found["java"].ok, found["java"].text) == (True, "openjdk 99")
