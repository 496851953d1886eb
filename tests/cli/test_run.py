"""The main job through the command line: what it writes, what it answers, and that nothing finished is ever lost."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator
from concurrent import futures
from pathlib import Path
from typing import Any

import grpc
import pytest

from conformance.endpoints import open_endpoint
from conformance.report import results
from conformance.report.verdicts import Verdict
from conformance.suite import interface
from conformance.wire import rpc
from conformance.wire.api import job_pb2
from tests.cli.conftest import EMPTY_BASELINE, Cli, expected

JOB_SERVICE = "org.apache.beam.model.job_management.v1.JobService"
#: Lines are to be seen as they are written, not when a buffer is full.
UNBUFFERED = {**os.environ, "PYTHONUNBUFFERED": "1"}
LEAVES = ("--leaf", "CORE01", "--leaf", "CORE03", "--leaf", "CORE18")


def test_run_writes_results_junit_and_page(cli: Cli, tmp_path: Path) -> None:
    done = cli("run", *LEAVES)
    assert done.returncode == 0, done.stdout + done.stderr
    directory = tmp_path / "reports" / "reference"
    read = results.read(directory / "results.jsonl")
    assert not read.partial
    assert read.footer is not None
    assert read.footer.exit_code == 0
    assert {result.verdict for result in read.results} == {Verdict.PASS}
    assert ElementTree.parse(directory / "junit.xml").getroot().iter("testcase")
    assert "<!doctype html>" in (directory / "index.html").read_text().lower()[:200]
    assert str(Path("reports") / "reference" / "index.html") in done.stdout


def test_the_directory_it_is_called_from_has_no_say(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "pytest.ini").write_text("[pytest]\naddopts = --no-such-option\n")
    (tmp_path / "conftest.py").write_text("raise RuntimeError('not ours')\n")
    assert cli("run", "--leaf", "CORE01").returncode == 0


def test_words_go_to_pytest(cli: Cli) -> None:
    done = cli("run", "--leaf", "CORE01", "--pytest-output", "-v")
    assert "test_" in done.stdout
    assert "PASSED" in done.stdout


def test_endpoint_killed_in_the_middle(cli: Cli, tmp_path: Path, program: str) -> None:
    """An endpoint that we did not start dies: the run ends with code 4, and what finished is readable and marked as partial."""
    with open_endpoint("reference") as endpoint:
        pid = endpoint.pid  # type: ignore[attr-defined]
        process = subprocess.Popen(
            [
                program,
                "run",
                "--runner",
                f"grpc://{endpoint.url}",
                "--output",
                "out",
                "--pytest-output",
                "-v",
                "--no-pack",
                "--area",
                "A",
            ],
            cwd=tmp_path,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=UNBUFFERED,
        )
        assert process.stdout is not None
        for line in process.stdout:
            if "PASSED" in line:
                os.kill(pid, signal.SIGKILL)
                break
        stdout, stderr = process.communicate(timeout=120)
    assert process.returncode == 4, stdout + stderr
    assert "Traceback" not in stderr
    read = results.read(tmp_path / "out" / "results.jsonl")
    assert read.partial
    assert any(result.verdict is Verdict.PASS for result in read.results)
    assert (tmp_path / "out" / "index.html").exists()


def test_interrupted_run_keeps_what_finished(tmp_path: Path, program: str) -> None:
    process = subprocess.Popen(
        [program, "run", "--output", "out", "--pytest-output", "-v", "--no-pack", "--area", "A"],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=UNBUFFERED,
        # A shell that runs this in the background has SIGINT ignored, and children inherit that.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    assert process.stdout is not None
    for line in process.stdout:
        if "PASSED" in line:
            process.send_signal(signal.SIGINT)
            break
    _, stderr = process.communicate(timeout=120)
    assert process.returncode == 3, stderr
    assert "Interrupted" in stderr
    read = results.read(tmp_path / "out" / "results.jsonl")
    assert read.partial
    assert read.results


class NeverRuns:
    """A job service that accepts a pipeline and never says anything again."""

    def DescribePipelineOptions(self, request: Any, context: grpc.ServicerContext) -> Any:
        return job_pb2.DescribePipelineOptionsResponse()

    def Prepare(self, request: Any, context: grpc.ServicerContext) -> Any:
        return job_pb2.PrepareJobResponse(preparation_id="p")

    def Run(self, request: Any, context: grpc.ServicerContext) -> Any:
        return job_pb2.RunJobResponse(job_id="j")

    def GetJobs(self, request: Any, context: grpc.ServicerContext) -> Any:
        return job_pb2.GetJobsResponse()

    def GetState(self, request: Any, context: grpc.ServicerContext) -> Any:
        return job_pb2.JobStateEvent(state=job_pb2.JobState.RUNNING)

    def GetStateStream(self, request: Any, context: grpc.ServicerContext) -> Iterator[Any]:
        yield job_pb2.JobStateEvent(state=job_pb2.JobState.RUNNING)
        ended = futures.Future[None]()
        context.add_callback(lambda: ended.set_result(None))
        ended.result()


@pytest.fixture
def silent_service() -> Iterator[int]:
    server = grpc.server(futures.ThreadPoolExecutor(max_workers=32))
    server.add_generic_rpc_handlers((rpc.service_handler(JOB_SERVICE, NeverRuns()),))
    port = server.add_insecure_port("localhost:0")
    server.start()
    yield port
    server.stop(None)


def test_endpoint_that_accepts_and_never_answers(cli: Cli, tmp_path: Path, silent_service: int) -> None:
    """Its verdict is a timeout that names the phase; what builds on it is blocked, so the run does not wait for each."""
    address = f"grpc://localhost:{silent_service}"
    done = cli(
        "run", "--runner", address, "--leaf", "CORE01", "--output", "out", "--timeout-scale", "0.02", "--no-pack", "-k", "impulse"
    )
    assert done.returncode == 1, done.stdout + done.stderr
    read = results.read(tmp_path / "out" / "results.jsonl")
    timeouts = [result for result in read.results if result.verdict is Verdict.TIMEOUT]
    assert timeouts
    assert timeouts[0].phase == "run"
    assert "terminal state" in timeouts[0].message


def test_smoke_tells_how_far_a_job_came(cli: Cli, silent_service: int) -> None:
    done = cli("smoke", "--runner", f"grpc://localhost:{silent_service}", "--timeout-scale", "0.02")
    assert done.returncode == 1, done.stdout + done.stderr
    assert "not seen: a worker was asked for. StartWorker was not called" in done.stdout


def test_an_attached_runner_is_called_as_its_author_says(cli: Cli, tmp_path: Path) -> None:
    """The steps of docs/new-runner.md, with an endpoint that has no profile."""
    with open_endpoint("python") as endpoint:
        address = f"grpc://{endpoint.url}"
        assert cli("smoke", "--runner", address).returncode == 0
        done = cli("run", "--runner", address, "--label", "mine 0.1", "--leaf", "CORE18", "--output", "report")
        assert done.returncode in (0, 1), done.stdout + done.stderr
        assert "mine 0.1" in done.stdout
        runner = results.read(tmp_path / "report" / "results.jsonl").header.runner
        assert (runner.name, runner.version, runner.address) == ("mine", "0.1", address)
        again = cli("repro", "CORE18/groups-every-value", "--results", "report/results.jsonl", "--runner", address)
        assert again.returncode == 0, again.stdout + again.stderr


def test_the_command_in_the_evidence_asks_the_same_assertion_again(cli: Cli, tmp_path: Path) -> None:
    assert cli("run", "--leaf", "CORE05", "--output", "a").returncode == 0
    asked = [result for result in results.read(tmp_path / "a" / "results.jsonl").results if "/i-" not in result.assertion]
    for result in asked[:2]:
        words = shlex.split(result.evidence["command"])
        assert cli(*words[1:], "--output", "b").returncode == 0
        again = results.read(tmp_path / "b" / "results.jsonl").results
        assert [each.assertion for each in again if "/i-" not in each.assertion] == [result.assertion]


def test_what_a_run_reaches_is_in_the_shipped_data(cli: Cli, tmp_path: Path) -> None:
    for jobs in ("1", "2"):
        assert cli("run", "--leaf", "CORE18", "-k", "groups", "--jobs", jobs, "--beam-reach", jobs).returncode == 0
        found = set((tmp_path / jobs).read_text().split())
        assert {"GetProcessBundleDescriptorRequest.process_bundle_descriptor_id", "beam:transform:group_by_key:v1"} <= found
        assert found <= interface.reached()


def test_smoke(cli: Cli) -> None:
    done = cli("smoke")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "the set-up works" in done.stdout


def test_list_and_show(cli: Cli) -> None:
    listed = cli("list", "--area", "A", "--assertions")
    assert "CORE18/groups-every-value" in listed.stdout
    shown = cli("show", "CORE18/groups-every-value")
    assert "flowchart" in shown.stdout
    assert "group_by_key" in shown.stdout
    leaf = cli("show", "core18")
    assert "GroupByKey" in leaf.stdout


def test_report_diff_and_baseline(cli: Cli, tmp_path: Path) -> None:
    assert cli("run", "--leaf", "CORE01", "--output", "a").returncode == 0
    file = str(tmp_path / "a" / "results.jsonl")
    assert cli("report", file, "-o", "page.html").returncode == 0
    assert (tmp_path / "page.html").stat().st_size > 10_000
    assert "0 regression" in cli("diff", file, file).stdout
    refused = cli("baseline", "update", file, "baseline.toml")
    assert refused.returncode == 4, "a narrowed run is not a baseline"


def test_github_gets_annotations_and_a_summary(cli: Cli, tmp_path: Path) -> None:
    """Inside GitHub Actions what a baseline lists in vain is a warning on the log, and the step's summary has the counts."""
    (tmp_path / "baseline.toml").write_text(EMPTY_BASELINE + expected("CORE01/one-empty-element", "wrong"))
    summary = tmp_path / "summary.md"
    done = cli("run", "--leaf", "CORE01", "--baseline", "baseline.toml", GITHUB_ACTIONS="true", GITHUB_STEP_SUMMARY=str(summary))
    assert done.returncode == 2
    assert "::warning title=CORE01/one-empty-element" in done.stdout
    assert "Stale entries of the baseline (1)" in summary.read_text()


def test_parts_held_against_a_baseline_answer_as_the_whole(cli: Cli, tmp_path: Path) -> None:
    """Two shards merged: the same exit code by `baseline check` as a whole run has with `--baseline`."""
    (tmp_path / "stale.toml").write_text(EMPTY_BASELINE + expected("CORE01/one-empty-element", "wrong"))
    (tmp_path / "empty.toml").write_text(EMPTY_BASELINE)
    for part in ("1", "2"):
        assert cli("run", "--leaf", "CORE01", "--shard", f"{part}/2", "--output", part).returncode == 0
    assert cli("merge", "1/results.jsonl", "2/results.jsonl", "--output", "whole.jsonl").returncode == 0
    assert cli("baseline", "check", "whole.jsonl", "empty.toml").returncode == 0
    stale = cli("baseline", "check", "whole.jsonl", "stale.toml")
    assert stale.returncode == 2, stale.stdout + stale.stderr
    assert "CORE01/one-empty-element" in stale.stdout
