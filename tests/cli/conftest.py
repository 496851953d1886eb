"""The command line as a user calls it: the installed program in a directory of its own."""

from __future__ import annotations

import os
import subprocess
import sysconfig
from collections.abc import Callable
from pathlib import Path

import pytest

#: What `run` needs at most for the few assertions that these tests select; a hang must not hang CI.
TIMEOUT = 120

#: A baseline that lists nothing.
EMPTY_BASELINE = "schema = 1\n"


def expected(assertion: str, verdict: str) -> str:
    """An entry of a baseline."""
    return f'[[expected]]\nassertion = "{assertion}"\nverdict = "{verdict}"\nissue = "https://example.org/1"\n'


Cli = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def program() -> str:
    path = Path(sysconfig.get_path("scripts")) / "beam-conformance"
    assert path.exists(), f"{path} is not there; install the project with pip install -e '.[test]'"
    return str(path)


@pytest.fixture
def cli(program: str, tmp_path: Path) -> Cli:
    """Call beam-conformance with words, in an empty directory."""

    def call(*words: str, cwd: Path = tmp_path, **environment: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [program, *words],
            cwd=cwd,
            env={**os.environ, "COLUMNS": "160", **environment},
            capture_output=True,
            text=True,
            timeout=TIMEOUT,
            check=False,
        )

    return call
