"""The three SDKs: what each needs, how its driver is built, and the command that starts it.

A driver reads tasks from its standard input and answers on its standard output, a JSON object a line; see `python/__main__.py`.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from attrs import frozen

from conformance.endpoints.errors import ToolMissing
from conformance.sdks import builds
from conformance.sdks.builds import Progress

__all__ = ["SDKS", "Progress", "Sdk"]

HERE = Path(__file__).parent
#: A row is a small job: the quick compiler and the plain collector start soonest (see the job servers of Flink and Spark).
JVM = ("-Xmx1g", "-XX:+IgnoreUnrecognizedVMOptions", "-XX:-UseContainerSupport", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC")


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


def go_command(progress: Progress) -> tuple[str, ...]:
    go = tool("go", "The Go SDK's programs are built with Go, which is not on $PATH. Install it (https://go.dev/dl).")

    def make(sources: Path, output: Path) -> None:
        builds.run([go, "build", "-o", str(output / "rows"), "."], sources, progress)

    return (str(builds.built("go", HERE / "go", make, progress) / "rows"),)


def java_command(progress: Progress) -> tuple[str, ...]:
    java = tool("java", "The Java SDK's programs run on Java, which is not on $PATH. Install a JDK of version 11 or 17.")
    target = builds.cached("java", HERE / "java")
    if not target.is_dir():
        maven = tool("mvn", "The Java SDK's programs are built with Maven, which is not on $PATH. Install it.")

        def make(sources: Path, output: Path) -> None:
            goals = ["package", "dependency:copy-dependencies", f"-Doutput={output}/target", f"-DoutputDirectory={output}/jars"]
            builds.run([maven, "-B", *goals], sources, progress)

        builds.built("java", HERE / "java", make, progress)
    return (java, *JVM, "-cp", os.pathsep.join([str(target / "target" / "classes"), f"{target}/jars/*"]), "conformance.Driver")


def tool(name: str, missing: str) -> str:
    found = shutil.which(name)
    if found is None:
        raise ToolMissing(missing)
    return found


SDKS: dict[str, Sdk] = {
    sdk.name: sdk
    for sdk in (
        Sdk("python", "python/rows/{}.py", python_command),
        Sdk("java", "java/src/main/java/conformance/rows/{}.java", java_command),
        Sdk("go", "go/{}.go", go_command),
    )
}
