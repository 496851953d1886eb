"""The Docker engine: reached as the docker package finds it (DOCKER_HOST, else the usual socket), or a private one started here.

A private engine has its own socket, data and state in a directory of its own, touches no network settings of the machine
(containers use the host's network) and leaves nothing behind. It needs root, as every engine without user namespaces does.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import docker
from docker.errors import DockerException

from conformance.endpoints.errors import EndpointDied, NoEngine, PhaseTimeout
from conformance.endpoints.process import ManagedProcess

__all__ = ["PRIVATE_SECONDS", "connect", "missing_for_private", "private_engine"]

#: A private engine answers after about 2 s on 2 cores.
PRIVATE_SECONDS = 60.0
#: One call to the engine; taking in an image of 100 MB takes some 3 s.
_CALL_SECONDS = 300
_PROGRAMS = ("dockerd", "containerd", "runc")
_READY = re.compile(r"API listen on ")


def connect(seconds: int = _CALL_SECONDS) -> docker.DockerClient:
    """A client of the engine that the environment names. Raises NoEngine if none answers."""
    try:
        client = docker.from_env(timeout=seconds)
        client.ping()
    except (DockerException, OSError) as error:
        where = f"DOCKER_HOST={os.environ['DOCKER_HOST']}: {error}" if "DOCKER_HOST" in os.environ else "at the usual socket"
        raise NoEngine(
            f"no docker engine answers ({where}). Start Docker or set DOCKER_HOST; "
            f"as root, 'beam-conformance with-docker COMMAND' runs a command beside an engine of its own."
        ) from None
    return client


def missing_for_private() -> str:
    """What keeps this process from starting an engine of its own, in words; empty if nothing does."""
    if os.name != "posix" or os.geteuid() != 0:
        return "an engine of its own needs root"
    absent = [program for program in _PROGRAMS if shutil.which(program) is None]
    if absent:
        return f"{', '.join(absent)} not on $PATH (on Debian: apt-get install docker.io)"
    return ""


@contextlib.contextmanager
def private_engine(data: Path | None = None, seconds: float = PRIVATE_SECONDS) -> Iterator[str]:
    """Start an engine of our own, give its DOCKER_HOST, and stop it. Images are kept in `data`, or forgotten at the end.

    Raises NoEngine if it cannot be started here, EndpointDied or PhaseTimeout if it does not come up.
    """
    if missing := missing_for_private():
        raise NoEngine(f"no docker engine can be started: {missing}. Start Docker another way, or set DOCKER_HOST.")
    # A short path: a socket's may have 107 bytes.
    with tempfile.TemporaryDirectory(prefix="docker-", ignore_cleanup_errors=True) as name:
        scratch = Path(name)
        root = data or scratch / "data"
        host = f"unix://{scratch / 'docker.sock'}"
        argv = ["dockerd", "--host", host, "--data-root", str(root), "--exec-root", str(scratch / "exec")]
        argv += ["--pidfile", str(scratch / "pid"), "--bridge=none", "--iptables=false", "--ip6tables=false"]
        process = ManagedProcess(argv, grace=20.0)
        try:
            if process.wait_for_line(_READY, seconds) is None:
                raise _not_up(process, seconds)
            yield host
        finally:
            process.close()
            _unmount(scratch)


def _not_up(process: ManagedProcess, seconds: float) -> Exception:
    if not process.wait_for_exit(0.5 if process.alive() else 0):
        return PhaseTimeout("launch", f"dockerd to answer; it said:\n{process.log_tail(10)}\n", seconds)
    return EndpointDied(
        f"dockerd ended before it answered. Its log ends:\n{process.log_tail(15)}\nRun it by hand to see why.",
        phase="launch",
        log_tail=process.log_tail(),
    )


def _unmount(scratch: Path) -> None:
    """Whatever an engine that was killed has left mounted below its directory."""
    with contextlib.suppress(OSError):
        mounts = Path("/proc/mounts").read_text(encoding="utf-8").splitlines()
        for place in sorted((line.split()[1] for line in mounts if str(scratch) in line), reverse=True):
            subprocess.run(["umount", "-l", place], check=False, capture_output=True)
