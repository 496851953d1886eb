"""A job server's image as a process of this machine: `python -m conformance.endpoints.contained IMAGE`.

Runs the image in the host's network, copies what it says to standard output and ends with its exit code. The container ends with
this process, however this process ends: a guard in a session of its own sees a pipe close and removes it.
"""

from __future__ import annotations

import contextlib
import signal
import subprocess
import sys
from types import FrameType

from docker.errors import DockerException
from docker.models.containers import Container

from conformance.endpoints import engine, errors

__all__ = ["main"]

#: Reads until the other end closes, then removes the container.
_GUARD = """
import sys, docker
sys.stdin.buffer.read()
try:
    docker.from_env().containers.get(sys.argv[1]).remove(force=True)
except (docker.errors.DockerException, OSError):
    pass
"""
#: What a shell answers for a program that it cannot run.
_CANNOT_RUN = 126


def main(image: str) -> int:
    """Run `image` until it ends; its exit code."""
    try:
        client = engine.connect()
        container = client.containers.create(image, network_mode="host", auto_remove=True)
    except (errors.EndpointError, DockerException, OSError) as error:
        print(f"cannot run {image}: {error}", flush=True)
        return _CANNOT_RUN
    guard = subprocess.Popen(
        [sys.executable, "-c", _GUARD, str(container.id)],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )

    def end(number: int, frame: FrameType | None) -> None:
        # Gone when this returns, so that a fixed port of the image is free again.
        with contextlib.suppress(DockerException, OSError):
            container.remove(force=True)
        sys.exit(128 + number)

    signal.signal(signal.SIGTERM, end)
    try:
        output = container.attach(stdout=True, stderr=True, stream=True, logs=True)
        container.start()
        for chunk in output:
            sys.stdout.buffer.write(chunk)
            sys.stdout.buffer.flush()
        return _exit_code(container)
    except (DockerException, OSError) as error:
        print(f"cannot run {image}: {error}", flush=True)
        return _CANNOT_RUN
    finally:
        if guard.stdin is not None:
            guard.stdin.close()
        guard.wait()


def _exit_code(container: Container) -> int:
    """What it ended with; the engine forgets that when it has removed it."""
    try:
        return int(container.wait()["StatusCode"])
    except (DockerException, OSError):
        return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
