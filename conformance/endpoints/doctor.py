"""What is installed and reachable of the things that launchers need. Looks only: starts, builds and installs nothing."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable
from importlib import metadata

from attrs import frozen

from conformance.endpoints.launchers import prism_cache

__all__ = ["Finding", "examine"]

#: A command that only prints its version, and a Docker daemon on this machine, answer in well under a second.
_SECONDS = 5.0


@frozen
class Finding:
    """One thing that was looked for; `text` says what was found, or what is missing without it and how to get it."""

    name: str
    ok: bool
    text: str


def examine() -> list[Finding]:
    """Everything that a launcher may need, in the order of the addresses."""
    return [check() for check in _CHECKS]


def _interpreter() -> Finding:
    version = ".".join(map(str, sys.version_info[:3]))
    packages = ", ".join(f"{name} {metadata.version(name)}" for name in ("grpcio", "protobuf", "hypothesis", "pytest"))
    return Finding("interpreter", True, f"Python {version} with {packages}")


def _ports() -> Finding:
    try:
        with socket.create_server(("localhost", 0)) as listener:
            return Finding("ports", True, f"localhost gives out ports (tried {listener.getsockname()[1]})")
    except OSError as error:
        return Finding("ports", False, f"no port can be opened on localhost ({error.strerror}). Check the sandbox or /etc/hosts.")


def _prism() -> Finding:
    if found := shutil.which("prism"):
        return Finding("prism", True, found)
    cached = prism_cache() / "prism"
    if os.access(cached, os.X_OK):
        return Finding("prism", True, str(cached))
    if shutil.which("go"):
        return Finding("prism", False, "not built yet: '--runner prism' builds it once with Go, in some minutes")
    return Finding("prism", False, "neither a binary nor Go to build one. Install Go (https://go.dev/dl), or use prism:bin=PATH.")


def _apache_beam() -> Finding:
    try:
        return Finding("python", True, f"apache-beam {metadata.version('apache-beam')}")
    except metadata.PackageNotFoundError:
        text = "needed by '--runner python': pip install apache-beam, or name an interpreter that has it (python:python=PATH)"
        return Finding("python", False, text)


def _go() -> Finding:
    return _tool("go", ["go", "version"], "builds Prism. Install it from https://go.dev/dl.")


def _java() -> Finding:
    return _tool("java", ["java", "-version"], "runs the job servers of Flink and Spark. Install a JRE of version 11 or 17.")


def _docker() -> Finding:
    from conformance.endpoints import engine, errors

    try:
        client = engine.connect(int(_SECONDS))
    except errors.NoEngine as error:
        how = "'beam-conformance with-docker' can start one." if not engine.missing_for_private() else ""
        return Finding("docker", False, f"DOCKER environments need one, and {error} {how}".strip())
    with contextlib.closing(client):
        return Finding("docker", True, f"engine {client.version()['Version']}")


def _tool(name: str, argv: list[str], need: str) -> Finding:
    if shutil.which(argv[0]) is None:
        return Finding(name, False, f"not on $PATH; it {need}")
    try:
        done = subprocess.run(argv, capture_output=True, text=True, timeout=_SECONDS, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        return Finding(name, False, f"does not run ({type(error).__name__}); it {need}")
    said = (done.stdout or done.stderr).strip().splitlines()
    return Finding(name, done.returncode == 0, said[0] if said else f"says nothing; it {need}")


_CHECKS: tuple[Callable[[], Finding], ...] = (_interpreter, _ports, _prism, _apache_beam, _go, _java, _docker)
