"""Build tools as processes: heard line by line while they run, ended when their time is over."""

from __future__ import annotations

import os
import subprocess
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

__all__ = ["run_build"]


def run_build(
    argv: Sequence[str],
    heard: Callable[[str], None],
    seconds: float,
    directory: Path | None = None,
    environment: Mapping[str, str] | None = None,
) -> tuple[int, list[str]]:
    """Exit status and all lines of a build command, which is killed after so many seconds; `heard` gets each line as it comes.

    `environment` is added to our own.
    """
    said: list[str] = []
    with subprocess.Popen(
        argv,
        cwd=directory,
        env={**os.environ, **(environment or {})},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        assert process.stdout is not None
        limit = threading.Timer(seconds, process.kill)
        limit.start()
        try:
            for line in process.stdout:
                said.append(line.rstrip())
                heard(line.rstrip())
            return process.wait(), said
        finally:
            limit.cancel()
            process.kill()
