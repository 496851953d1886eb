"""Beam's own ValidatesRunner tests of the Java SDK's core against `python -m conformance.runner`: several at a time in one JVM.

What cannot pass and why is a table here; any other failure fails this test.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from conformance.endpoints import Endpoint, open_endpoint
from tests.sdks.test_sdks import HERE, build, tool

pytestmark = pytest.mark.sdks
#: The client asks for a job's state every 3 s, so that most of the time tests wait.
TOGETHER = 12
#: Generous: on a busy machine the slowest that passes takes minutes.
TEST_SECONDS = 600
SUITE_SECONDS = 3600.0
#: class#method, as a regular expression → why it does not pass.
FAILS = {
    # asks for what is not there
    r"ValidateRunnerXlangTest": "needs the expansion services of Java and Python that Beam's build starts",
    r"SdkHarnessEnvironmentTest": "is about the JVM in Beam's container image: its TLS settings, agent and log bridges",
    # the SDK's own
    r"CommittedMetricTests": "PortableMetrics of the client marks every metric as attempted, also committed ones",
    r"TimestampTests#testProcessElementSkew": "the harness checks no skew in a DoFn that observes windows, as one with timers does",
    # by a rule
    r"#testAfterProcessingTimeContinuationTriggerUsingState": "wants an early pane of a bounded input, which is optional (M-BATCH-01)",
    # takes too long
    r"ViewTest#testTriggeredLatestSingleton": "reads 100 sources of one bundle for 10 s each, one after the other",
}


@pytest.fixture(scope="module")
def endpoint() -> Iterator[Endpoint]:
    with open_endpoint("reference") as endpoint:
        yield endpoint


@pytest.fixture(scope="module")
def classpath(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    folder = tmp_path_factory.mktemp("java")
    goals = ["package", "dependency:build-classpath", f"-Dmdep.outputFile={folder}/classpath", f"-Doutput={folder}/target"]
    build([tool("mvn"), "-q", "-B", *goals], HERE / "java")
    return [f"{folder}/target/classes", *(folder / "classpath").read_text().split(os.pathsep)]


def test_suite(classpath: list[str], endpoint: Endpoint, tmp_path: Path) -> None:
    staged = tmp_path / "nothing"  # the worker is the JVM of the test itself: its class path need not be staged hundreds of times
    staged.write_text("nothing to stage\n")
    options = [
        "--runner=TestUniversalRunner",
        f"--jobEndpoint={endpoint.url}",
        "--defaultEnvironmentType=LOOPBACK",
        f"--filesToStage={staged}",
    ]
    (tests,) = [each for each in classpath if re.search(r"java-core-.*-tests\.jar$", each)]
    command = [tool("java"), "-Xmx6g", f"-DbeamTestPipelineOptions={json.dumps(options)}", "-cp", os.pathsep.join(classpath)]
    command += ["conformance.ValidatesRunner", tests, str(TOGETHER), str(TEST_SECONDS), "."]
    done = subprocess.run(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, timeout=SUITE_SECONDS, check=True
    )
    results = [line.split("\t") for line in done.stdout.splitlines() if line.startswith("result\t")]
    print(Counter(verdict for _, verdict, *_ in results))
    unexpected = []
    for _, verdict, name, method, seconds, _, why in results:
        if verdict not in ("PASS", "SKIP"):
            print(f"{verdict:8} {seconds:>8} s {name}#{method}: {why[:300]}")
            if not any(re.search(pattern, f"{name}#{method}") for pattern in FAILS):
                unexpected.append(f"{name}#{method}")
    assert len(results) > 390
    assert not unexpected
