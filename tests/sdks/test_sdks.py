"""Word counts of Beam's Go and Java SDKs, unchanged, against `python -m conformance.runner`.

The programs assert on their own output by the SDK's PAssert; a spoiled input shows that a wrong count would be seen.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from conformance.endpoints import Endpoint, open_endpoint

pytestmark = pytest.mark.sdks
HERE = Path(__file__).parent
#: The first build of each fetches its SDK.
BUILD_SECONDS = 1200.0
RUN_SECONDS = 120.0


def tool(name: str) -> str:
    """Where a tool is; its absence fails the test, since --sdks asked for it."""
    found = shutil.which(name)
    if found is None:
        pytest.fail(f"{name} is not on $PATH; install it, or deselect these tests with -k")
    return found


def build(command: list[str], folder: Path) -> None:
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=BUILD_SECONDS, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture(scope="module")
def endpoint() -> Iterator[Endpoint]:
    with open_endpoint("reference") as endpoint:
        yield endpoint


@pytest.fixture(scope="module")
def go_program(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    binary = tmp_path_factory.mktemp("go") / "wordcount"
    build([tool("go"), "build", "-o", str(binary), "."], HERE / "go")
    return [str(binary)]


@pytest.fixture(scope="module")
def java_program(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    java, folder = tool("java"), tmp_path_factory.mktemp("java")
    goals = ["package", "dependency:build-classpath", f"-Dmdep.outputFile={folder}/classpath", f"-Doutput={folder}/target"]
    build([tool("mvn"), "-q", "-B", *goals], HERE / "java")
    classpath = os.pathsep.join([f"{folder}/target/classes", (folder / "classpath").read_text()])
    return [java, "-cp", classpath, "conformance.WordCount"]


def run(command: list[str]) -> tuple[int, str]:
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=RUN_SECONDS, check=False)
    return done.returncode, done.stdout


@pytest.mark.parametrize("flags", [[], ["--windowed"]], ids=["global", "windowed"])
def test_go(go_program: list[str], endpoint: Endpoint, flags: list[str]) -> None:
    runner = ["--runner=universal", f"--endpoint={endpoint.url}", "--environment_type=LOOPBACK"]
    status, said = run([*go_program, *runner, *flags])
    assert status == 0, said
    status, said = run([*go_program, *runner, *flags, "--spoiled"])
    assert status != 0, said


@pytest.mark.parametrize("windowed", ["false", "true"], ids=["global", "windowed"])
def test_java(java_program: list[str], endpoint: Endpoint, windowed: str) -> None:
    runner = ["--runner=PortableRunner", f"--jobEndpoint={endpoint.url}", "--defaultEnvironmentType=LOOPBACK"]
    status, said = run([*java_program, *runner, f"--windowed={windowed}"])
    assert status == 0, said
    status, said = run([*java_program, *runner, f"--windowed={windowed}", "--spoiled=true"])
    assert status != 0, said
