"""How each kind of endpoint that can be started is started: the program found or built, the command, the line that says ready.

A launcher answers a `Launch` (what to run); running it, readiness and restarts are `endpoint`'s. Every launcher lets the server
choose its port and reads it from the server's own log, so no port is ever picked and lost again.
"""

from __future__ import annotations

import contextlib
import functools
import mmap
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import platformdirs
from attrs import frozen

from conformance import __version__
from conformance.endpoints import engine, images, java
from conformance.endpoints.address import Address
from conformance.endpoints.building import run_build
from conformance.endpoints.errors import AddressError, EndpointError, ToolMissing

__all__ = ["LAUNCHERS", "PRISM_MODULE", "PRISM_VERSION", "Launch", "Progress", "prism_binary", "prism_cache"]

#: Told what takes long while it takes long.
Progress = Callable[[str], None]

PRISM_VERSION = "v2.77.0"
PRISM_MODULE = "github.com/apache/beam/sdks/v2/go/cmd/prism"
#: About 160 s on 2 cores with cold caches.
_PRISM_BUILD_SECONDS = 1800.0


@frozen
class Launch:
    """A command, the pattern whose first group in its log is the port, and what is known of the program."""

    argv: tuple[str, ...]
    ready: re.Pattern[str]
    version: Callable[[], str | None]
    #: Makes sense of a process that ended before it was ready: exit status and log to an error, or None for the general one.
    explain: Callable[[int, str], EndpointError | None] = lambda status, log: None
    env: tuple[tuple[str, str], ...] = ()


def _reference(address: Address, progress: Progress) -> Launch:
    argv = [sys.executable, "-m", "conformance.runner", "--port", "0"]
    for name, value in address.options:
        argv += [f"--{name}", value]

    def explain(status: int, log: str) -> EndpointError | None:
        # 2: an option that it does not have; 4: a variant or mutant that it does not have. It says which in its last line.
        if status not in (2, 4):
            return None
        said = log.strip().splitlines()
        return AddressError(
            f"The reference runner does not take {str(address)!r}: "
            f"{said[-1].removeprefix('python -m conformance.runner: ') if said else 'it did not say why'}. "
            f"Choose a variant or mutant that it knows, or leave the option out."
        )

    ready = re.compile(r"\blistening on \S*:(\d+)\b")
    return Launch(tuple(argv), ready, lambda: __version__, explain, env=(("PYTHONUNBUFFERED", "1"),))


def _prism(address: Address, progress: Progress) -> Launch:
    binary = prism_binary(address.option("bin"), progress)
    # The port is only logged at level info.
    argv = (str(binary), "--job_port", "0", "--serve_http=false", "--log_kind", "text", "--log_level", "info")
    return Launch(
        argv, re.compile(r'msg="Serving JobManagement" endpoint=\S*:(\d+)'), functools.partial(_go_module_version, binary)
    )


def _python(address: Address, progress: Progress) -> Launch:
    chosen = address.option("python")
    python = _executable(chosen, "python") if chosen else sys.executable
    probe = subprocess.run(
        [python, "-c", "import importlib.metadata as m; print(m.version('apache-beam'))"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    if probe.returncode:
        raise ToolMissing(
            f"The Python job service needs apache-beam, which {python} does not have. "
            f"Install it with '{python} -m pip install apache-beam', or name an interpreter that has it: python:python=PATH."
        )
    module = "apache_beam.runners.portability.local_job_service_main"
    version = probe.stdout.strip()
    return Launch(
        (python, "-m", module, "--port", "0"),
        re.compile(r"Listening for beam jobs on port (\d+)"),
        lambda: version,
        env=(("PYTHONUNBUFFERED", "1"),),
    )


def _docker(address: Address, progress: Progress) -> Launch:
    """The image with its own command; its log tells the port, as those of Beam's job servers and of ours do."""
    image = address.target
    with contextlib.closing(engine.connect()) as client:
        images.pull_if_absent(client, image, progress)
    argv = (sys.executable, "-m", "conformance.endpoints.contained", image)
    ready = re.compile(r"(?:\blistening on|JobService started on|Serving JobManagement\"? endpoint=)\s*\S*:(\d+)\b")
    return Launch(argv, ready, lambda: image)


def _java(address: Address, progress: Progress) -> Launch:
    server = java.SERVERS[address.kind]
    jar = address.option("jar")
    argv = java.command(server, jar, progress)
    return Launch(argv, re.compile(r"JobService started on \S*:(\d+)"), lambda: Path(jar).name if jar else server.version)


LAUNCHERS: dict[str, Callable[[Address, Progress], Launch]] = {
    "reference": _reference,
    "prism": _prism,
    "python": _python,
    "docker": _docker,
    "flink": _java,
    "spark": _java,
}


def prism_cache() -> Path:
    """Where a Prism that was built here is kept, one directory a version."""
    return platformdirs.user_cache_path("beam-conformance") / "prism" / PRISM_VERSION


def prism_binary(chosen: str | None = None, progress: Progress = lambda message: None, cache: Path | None = None) -> Path:
    """Prism: the one that was chosen, else the one on $PATH, else the cached one, else built with Go into the cache.

    Raises AddressError when the chosen one cannot be run, ToolMissing when there is none and no Go to build it.
    """
    if chosen:
        return Path(_executable(chosen, "bin"))
    if found := shutil.which("prism"):
        return Path(found)
    cached = (cache or prism_cache()) / "prism"
    if os.access(cached, os.X_OK):
        return cached
    go = shutil.which("go")
    if go is None:
        raise ToolMissing(
            "Prism is neither on $PATH nor in the cache, and there is no Go to build it. Install Go (https://go.dev/dl), "
            "or name a Prism binary: prism:bin=PATH."
        )
    return _build_prism(go, cached, progress)


def _build_prism(go: str, target: Path, progress: Progress) -> Path:
    target.parent.mkdir(parents=True, exist_ok=True)
    source = f"{PRISM_MODULE}@{PRISM_VERSION}"
    progress(f"building Prism {PRISM_VERSION} with Go, once; this takes some minutes")
    # Built beside the target and moved into place, so that two builds at once cannot show each other half a binary.
    with tempfile.TemporaryDirectory(dir=target.parent) as folder:
        status, said = run_build([go, "install", source], progress, _PRISM_BUILD_SECONDS, environment={"GOBIN": folder})
        if status:
            last = "\n".join(said[-10:])
            raise ToolMissing(
                f"Go could not build Prism:\n{last}\nBuild it yourself with 'go install {source}' and name it: prism:bin=PATH."
            )
        os.replace(Path(folder) / "prism", target)
    progress(f"built {target}")
    return target


def _executable(path: str, option: str) -> str:
    found = shutil.which(os.path.expanduser(path))
    if found is None:
        raise AddressError(f"{option}={path} is no program that can be run. Check the path and its permissions.")
    return found


def _go_module_version(binary: Path) -> str | None:
    """The version of the main module that Go wrote into its binary."""
    with open(binary, "rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        match = re.search(rb"path\t[^\n\t]+\nmod\t[^\n\t]+\t(v[^\n\t]+)\t", data)
        return match[1].decode() if match else None
