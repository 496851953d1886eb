"""Beam's own integration tests of the Go SDK against `python -m conformance.runner`: each in a process of its own.

What fails and why is a table here; a test that fails without standing in it, or stands in it and passes, fails this one.
"""

from __future__ import annotations

import subprocess
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import pytest

from conformance.endpoints import Endpoint, JobClient, open_endpoint
from conformance.wire.api import job_pb2
from tests.sdks.test_sdks import HERE, build, tool

pytestmark = pytest.mark.sdks
MODULE = "github.com/apache/beam/sdks/v2/go/test"
PACKAGES = ("integration/primitives", "integration/synthetic", "regression")
#: The slowest waits 8 s for its timers.
TEST_SECONDS = 60.0
#: Test → why it does not pass on this runner.
FAILS = {
    "TestTriggerAfterProcessingTime": "expects an element behind a finished trigger, which is to be dropped (M-TRIG-35)",
    "TestOomParDo": "asks the worker for a heap dump in a temp_location; no runner has a part in it",
}
#: Never ends by itself: it is for a runner that somebody drains (M-DRAIN-01).
DRAINED = "TestDrain"


@pytest.fixture(scope="module")
def endpoint() -> Iterator[Endpoint]:
    with open_endpoint("reference") as endpoint:
        yield endpoint


@pytest.fixture(scope="module")
def binaries(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("go")
    build([tool("go"), "test", "-c", "-o", f"{folder}/", *(f"{MODULE}/{each}" for each in PACKAGES)], HERE / "go")
    return sorted(folder.glob("*.test"))


def verdict(binary: Path, endpoint: Endpoint, name: str) -> str:
    """pass, fail, skip or timeout."""
    runner = ["--runner=universal", f"--endpoint={endpoint.url}", "--environment_type=LOOPBACK"]
    command = [str(binary), "-test.v", f"-test.run=^{name}$", *runner]
    try:
        done = subprocess.run(command, cwd=binary.parent, capture_output=True, text=True, timeout=TEST_SECONDS, check=False)
    except subprocess.TimeoutExpired:
        return "timeout"
    if f"--- SKIP: {name}" in done.stdout:
        return "skip"
    return "pass" if done.returncode == 0 and f"--- PASS: {name}" in done.stdout else "fail"


def drain_what_runs(endpoint: Endpoint, over: threading.Event) -> None:
    """Drains every job that runs, until the test is over."""
    with JobClient(endpoint) as client:
        while not over.wait(1.0):
            for job in client.jobs():
                if job.state == job_pb2.JobState.RUNNING:
                    client.drain(job.job_id)


def test_suite(binaries: list[Path], endpoint: Endpoint) -> None:
    found: dict[str, str] = {}
    for binary in binaries:
        listed = subprocess.run([binary, "-test.list=."], cwd=binary.parent, capture_output=True, text=True, check=True).stdout
        names = [each for each in listed.split() if each.startswith("Test") and each != DRAINED]
        with ThreadPoolExecutor(2) as pool:
            found.update(zip(names, pool.map(partial(verdict, binary, endpoint), names), strict=True))
    for name, outcome in found.items():
        print(f"{outcome:8} {name}")
    unexpected = {name: outcome for name, outcome in found.items() if (outcome == "pass") == (name in FAILS)}
    assert len(found) > 60
    assert not unexpected


def test_drain(binaries: list[Path], endpoint: Endpoint) -> None:
    over = threading.Event()
    drainer = threading.Thread(target=drain_what_runs, args=(endpoint, over))
    drainer.start()
    try:
        assert verdict(next(each for each in binaries if each.name == "primitives.test"), endpoint, DRAINED) == "pass"
    finally:
        over.set()
        drainer.join()
