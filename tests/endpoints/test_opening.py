"""Opening endpoints: real ones start, restart, die and close; what is missing or wrong is told in a sentence with its class."""

from __future__ import annotations

import os
import signal
import stat
import sys
import time
from pathlib import Path

import pytest
from endpoint_helpers import ScriptedJobs, free_port, impulses, serving, silent_server, web_server

from conformance.endpoints import (
    AddressError,
    Endpoint,
    EndpointDied,
    EndpointUnreachable,
    JobClient,
    NotAJobService,
    NotManaged,
    PhaseTimeout,
    ToolMissing,
    open_endpoint,
    probe,
)
from conformance.endpoints.endpoint import Launched
from conformance.endpoints.launchers import prism_binary
from conformance.endpoints.profiles import PROFILES
from conformance.endpoints.reach import check_job_service, listens


def _program(path: Path, text: str) -> Path:
    path.write_text(text)
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return path


# --- what works ----------------------------------------------------------------------------------------------------------


def test_a_real_runner_answers_and_tells_its_version(real: Endpoint) -> None:
    assert real.managed
    assert real.alive()
    assert real.version is not None
    assert real.version.lstrip("v").startswith("2.")
    with JobClient(real) as client:
        assert isinstance(probe(client).options, tuple)


def test_a_real_runner_can_be_attached_to(real: Endpoint) -> None:
    with open_endpoint(real.url) as attached:
        assert not attached.managed
        assert attached.alive()
        assert not attached.gone(0.5)
        assert attached.profile is PROFILES["grpc"]
        assert attached.log_tail() == ""
        with pytest.raises(NotManaged, match="Restart it yourself"):
            attached.restart()
    assert real.alive(), "leaving an attached endpoint does not end it"


def test_restarting_gives_a_new_process_that_the_client_follows() -> None:
    with open_endpoint("prism") as endpoint, JobClient(endpoint) as client:
        assert isinstance(endpoint, Launched)
        first = endpoint.pid
        assert client.run_job(impulses()).done
        os.kill(first, signal.SIGKILL)
        assert endpoint.gone()
        assert not endpoint.alive()
        endpoint.restart()
        assert endpoint.alive()
        assert endpoint.pid != first
        assert client.run_job(impulses()).done
        url = endpoint.url
    assert not endpoint.alive()
    assert not listens(url)


def test_the_reference_runner_is_launched_as_its_contract_says() -> None:
    with open_endpoint("reference") as endpoint, JobClient(endpoint) as client:
        assert client.run_job(impulses()).state


@pytest.mark.parametrize("address", ["reference:mutant=NO-SUCH", "reference:variant=no-such"])
def test_a_variant_or_mutant_that_does_not_exist(address: str) -> None:
    with pytest.raises(AddressError, match=rf"(?i)does not take '{address}': no (mutant|variant) .* Choose"):
        open_endpoint(address)


# --- what is not there ---------------------------------------------------------------------------------------------------


def test_prism_and_go_missing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ToolMissing, match=r"Install Go .* or name a Prism binary: prism:bin=PATH"):
        prism_binary(cache=tmp_path / "cache")


def test_prism_is_taken_from_the_path_before_the_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    cached = tmp_path / "cache" / "prism"
    cached.parent.mkdir()
    _program(cached, "#!/bin/sh\n")
    monkeypatch.setenv("PATH", str(tmp_path))
    assert prism_binary(cache=cached.parent) == cached
    on_path = _program(tmp_path / "prism", "#!/bin/sh\n")
    assert prism_binary(cache=cached.parent) == on_path


def test_prism_is_built_once_with_progress(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A stand-in for the go command, since building really takes minutes: it leaves its arguments as the binary."""
    _program(tmp_path / "go", '#!/bin/sh\necho "go: downloading beam"\necho "$@" > "$GOBIN/prism"\nchmod +x "$GOBIN/prism"\n')
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    said: list[str] = []
    built = prism_binary(progress=said.append, cache=tmp_path / "cache")
    assert built.read_text() == "install github.com/apache/beam/sdks/v2/go/cmd/prism@v2.77.0\n"
    assert said[0].startswith("building Prism v2.77.0")
    assert "go: downloading beam" in said
    said.clear()
    assert prism_binary(progress=said.append, cache=tmp_path / "cache") == built
    assert said == []


def test_a_failing_build_shows_what_go_said(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    _program(tmp_path / "go", '#!/bin/sh\necho "no network"\nexit 1\n')
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    with pytest.raises(ToolMissing, match=r"(?s)no network.*Build it yourself with 'go install"):
        prism_binary(cache=tmp_path / "cache")
    assert not (tmp_path / "cache" / "prism").exists()


def test_python_without_apache_beam(tmp_path: Path) -> None:
    bare = _program(tmp_path / "python", f'#!/bin/sh\nexec {sys.executable} -S -I "$@"\n')
    with pytest.raises(ToolMissing, match=r"-m pip install apache-beam"):
        open_endpoint(f"python:python={bare}")


@pytest.mark.parametrize("address", ["prism:bin=/nowhere/prism", "python:python=/nowhere/python"])
def test_a_path_that_leads_nowhere(address: str) -> None:
    with pytest.raises(AddressError, match=r"/nowhere/.* is no program"):
        open_endpoint(address)


def test_a_program_for_another_machine(tmp_path: Path) -> None:
    broken = _program(tmp_path / "prism", "\x7fELF not really")
    with pytest.raises(ToolMissing, match="could not be started"):
        open_endpoint(f"prism:bin={broken}")


def test_a_program_that_ends_before_it_is_ready(tmp_path: Path) -> None:
    broken = _program(tmp_path / "prism", "#!/bin/sh\necho 'cannot read my licence'\nexit 7\n")
    with pytest.raises(EndpointDied, match=r"(?s)exit status 7 before it was ready.*cannot read my licence"):
        open_endpoint(f"prism:bin={broken}")


def test_a_program_that_never_gets_ready(tmp_path: Path) -> None:
    slow = _program(tmp_path / "prism", "#!/bin/sh\necho 'thinking'\nexec tail -f /dev/null\n")
    with pytest.raises(PhaseTimeout, match=r"(?s)phase 'launch'.*thinking.*--timeout-scale"):
        open_endpoint(f"prism:bin={slow}", timeout_scale=0.02)


# --- what else may listen ------------------------------------------------------------------------------------------------


def test_nothing_listens() -> None:
    with pytest.raises(EndpointUnreachable, match=r"Nothing listens at localhost:\d+ \(Connection refused\)\. Start") as caught:
        open_endpoint(f"grpc://localhost:{free_port()}")
    assert caught.value.exit_code == 4


def test_a_host_that_does_not_resolve() -> None:
    with pytest.raises(EndpointUnreachable, match=r"does not resolve .* Check its spelling"):
        open_endpoint("no-such-host.invalid:8099")


def test_a_server_that_never_says_a_word() -> None:
    with silent_server() as url, pytest.raises(NotAJobService, match=r"did not speak gRPC within 0.5 s") as caught:
        check_job_service(url, 0.5)
    assert caught.value.exit_code == 4


def test_a_web_server() -> None:
    started = time.monotonic()
    with web_server() as url, pytest.raises(NotAJobService, match=r"does not speak gRPC, so it is no job service"):
        open_endpoint(url)
    assert time.monotonic() - started < 5, "a wrong protocol is told at once, not by time-out"


def test_a_grpc_server_without_the_job_service() -> None:
    with serving() as url, pytest.raises(NotAJobService, match="gRPC server without Beam's JobService"):
        open_endpoint(url)


def test_a_job_service_that_implements_little_is_one() -> None:
    class Little:
        def GetState(self, request: object, context: object) -> object:
            raise LookupError("no such job")

    with serving(Little()) as url, open_endpoint(url) as endpoint:
        assert endpoint.alive()


def test_a_job_service_that_never_answers() -> None:
    jobs = ScriptedJobs()
    jobs.DescribePipelineOptions = lambda request, context: jobs.over.wait(30)  # type: ignore[method-assign]
    with serving(jobs) as url:
        with pytest.raises(PhaseTimeout, match=r"phase 'connect' after 0.5 s.*to DescribePipelineOptions"):
            check_job_service(url, 0.5)
        jobs.over.set()
