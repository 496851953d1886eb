"""`docker:IMAGE`: a job server's image as the runner under test, with the reference runner in a container as the image."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading

import docker
import pytest

from conformance.endpoints import errors, images, open_endpoint
from conformance.suite.smoke import smoke


@pytest.fixture(scope="module")
def job_server(engine: docker.DockerClient) -> str:
    return images.build(engine, images.RUNNER)


def _of(engine: docker.DockerClient, image: str) -> list[str]:
    return [each.status for each in engine.containers.list(all=True, filters={"ancestor": image})]


def test_smoke(engine: docker.DockerClient, job_server: str) -> None:
    told = smoke(f"docker:{job_server}")
    assert told.ok, told.lines
    assert _of(engine, job_server) == []


def test_restart_and_death(engine: docker.DockerClient, job_server: str) -> None:
    with open_endpoint(f"docker:{job_server}") as endpoint:
        assert endpoint.version == job_server
        assert len(_of(engine, job_server)) == 1
        endpoint.restart()
        assert endpoint.alive()
        assert len(_of(engine, job_server)) == 1
        engine.containers.list(filters={"ancestor": job_server})[0].kill()
        assert endpoint.gone(20)
        endpoint.restart()
        assert endpoint.alive()
    assert _of(engine, job_server) == []


def test_the_container_goes_when_its_process_is_killed(engine: docker.DockerClient, job_server: str) -> None:
    argv = [sys.executable, "-m", "conformance.endpoints.contained", job_server]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert "listening on" in process.stdout.readline()
        process.send_signal(signal.SIGKILL)
    waiting = threading.Event()
    for _ in range(100):
        if not _of(engine, job_server):
            break
        waiting.wait(0.2)
    assert _of(engine, job_server) == []


def test_an_image_that_is_not_there_is_named(engine: docker.DockerClient) -> None:
    with pytest.raises(errors.ImageMissing, match=r"localhost:1/none:none is not on the engine and cannot be pulled"):
        open_endpoint("docker:localhost:1/none:none")


def test_an_image_that_is_no_job_server_shows_its_log(engine: docker.DockerClient, image: str) -> None:
    with pytest.raises(errors.EndpointDied, match="give --id and --provision_endpoint"):
        open_endpoint(f"docker:{image}")


def test_without_an_engine(monkeypatch: pytest.MonkeyPatch, tmp_path: object) -> None:
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/no.sock")
    with pytest.raises(errors.NoEngine, match="Start Docker"):
        open_endpoint("docker:some/image:1")
