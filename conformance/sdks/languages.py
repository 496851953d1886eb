"""The three SDKs: what each needs, how its driver is built, and the command that starts it. Builds go into the cache, once.

A driver reads tasks from its standard input and answers on its standard output, a JSON object a line; see `python/__main__.py`.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from attrs import frozen

from conformance.endpoints.errors import ToolMissing

__all__ = ["SDKS", "Progress", "Sdk"]

Progress = Callable[[str], None]
HERE = Path(__file__).parent


@frozen
class Sdk:
    """One SDK. `command` builds the driver if need be and answers its command line; it raises ToolMissing."""

    name: str
    #: Where the source of a row is, below this package; `{}` stands for the row's name.
    source: str
    command: Callable[[Progress], tuple[str, ...]]

    def path(self, row: str) -> Path:
        """The source file of a row."""
        name = row if self.name != "java" else "".join(part.capitalize() for part in row.split("_"))
        return HERE / self.source.format(name)


def python_command(progress: Progress) -> tuple[str, ...]:
    probe = [sys.executable, "-c", "import importlib.metadata as m; print(m.version('apache-beam'))"]
    done = subprocess.run(probe, capture_output=True, text=True, timeout=60, check=False)
    if done.returncode:
        raise ToolMissing(
            f"Beam's Python SDK is not installed beside this suite. Install it with '{sys.executable} -m pip install "
            "beam-conformance[sdks]'."
        )
    return (sys.executable, "-m", "conformance.sdks.python")


SDKS: dict[str, Sdk] = {sdk.name: sdk for sdk in (Sdk("python", "python/rows/{}.py", python_command),)}
