"""`python -m conformance.runner` as a process."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import pytest

from conformance.runner import environments
from conformance.wire import rpc, urns
from conformance.wire.api import job_pb2


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "conformance.runner", *arguments]


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT])
def test_it_says_where_it_listens_and_ends_when_asked(how):
    with subprocess.Popen(command("--port", "0"), stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        word, _, url = process.stdout.readline().strip().rpartition(" ")
        assert word == "listening on"
        with rpc.insecure_channel(url) as channel:
            jobs = rpc.stub(channel, "org.apache.beam.model.job_management.v1.JobService")
            assert not jobs.GetJobs(job_pb2.GetJobsRequest(), timeout=10).job_info
        process.send_signal(how)
        assert process.wait(20) == 0


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--port", "0", "--variant", "nothing"], "no variant 'nothing'"),
        (["--port", "0", "--mutant", "nothing"], "no mutant 'nothing'"),
        (["--port", "0", "--default-environment", "magic"], "external:HOST:PORT"),
    ],
)
def test_what_it_cannot_do_is_told(arguments, words):
    done = subprocess.run(command(*arguments), capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 4
    assert words in done.stderr
    assert "Traceback" not in done.stderr


def test_a_port_in_use_is_told(server):
    done = subprocess.run(command("--port", str(server.port)), capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 4
    assert f":{server.port}" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("text", "urn"),
    [("external:h:1", urns.Env.EXTERNAL), ("process:/bin/w", urns.Env.PROCESS), ("docker:i:tag", urns.Env.DOCKER)],
)
def test_default_environments(text, urn):
    default = environments.parse_default(text)
    wanted = type(default)(urn=urns.Env.DEFAULT, capabilities=["c"])
    chosen = environments.resolve(wanted, default)
    assert (chosen.urn, list(chosen.capabilities)) == (urn, ["c"])
    with pytest.raises(environments.UnsupportedEnvironment, match="--default-environment"):
        environments.resolve(wanted)


def test_grpc_does_nothing_in_forked_children() -> None:
    """Its handlers say so when threads are in calls at a fork, and have crashed the worker that was to be started."""
    code = (
        "import conformance, grpc, os, sys\n"
        "server = grpc.server(__import__('concurrent.futures').futures.ThreadPoolExecutor(1)); server.start()\n"
        "child = os.fork()\n"
        "if child == 0: os._exit(0)\n"
        "os.waitpid(child, 0); server.stop(None)\n"
    )
    environment = {key: value for key, value in os.environ.items() if key != "GRPC_ENABLE_FORK_SUPPORT"}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True, env=environment)
    assert "fork" not in done.stderr
