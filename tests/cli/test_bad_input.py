"""Bad input: one clear sentence with the next step, exit code 4, nothing written over, no traceback."""

from __future__ import annotations

import http.server
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.conftest import Cli


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("localhost", 0))
        port: int = probe.getsockname()[1]
        return port


@pytest.fixture
def silent_port() -> Iterator[int]:
    """A TCP server that accepts and never says anything."""
    with socket.socket() as listener:
        listener.bind(("localhost", 0))
        listener.listen()
        yield listener.getsockname()[1]


@pytest.fixture
def http_port() -> Iterator[int]:
    """A web server where a job service was expected."""
    with http.server.ThreadingHTTPServer(("localhost", 0), http.server.BaseHTTPRequestHandler) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield server.server_address[1]
        server.shutdown()
        thread.join()


def assert_one_clear_answer(result: object, *words: str) -> None:
    stderr = result.stderr  # type: ignore[attr-defined]
    assert result.returncode == 4, stderr  # type: ignore[attr-defined]
    assert "Traceback" not in stderr
    for word in words:
        assert word in stderr


def test_address_typo_names_the_near_miss(cli: Cli) -> None:
    assert_one_clear_answer(cli("run", "--runner", "prisn"), "prism")


def test_unreachable_endpoint(cli: Cli) -> None:
    port = free_port()
    assert_one_clear_answer(cli("run", "--runner", f"grpc://localhost:{port}", "--timeout-scale", "0.2"), str(port))


def test_something_else_on_the_port(cli: Cli, http_port: int) -> None:
    assert_one_clear_answer(cli("smoke", "--runner", f"grpc://localhost:{http_port}", "--timeout-scale", "0.2"), str(http_port))


def test_port_that_accepts_and_never_answers(cli: Cli, silent_port: int) -> None:
    assert_one_clear_answer(cli("run", "--runner", f"grpc://localhost:{silent_port}", "--timeout-scale", "0.2"), str(silent_port))


def test_unknown_option_of_the_command(cli: Cli) -> None:
    assert_one_clear_answer(cli("smoke", "--runer", "prism"), "--runner")


def test_unknown_option_that_goes_to_pytest(cli: Cli) -> None:
    assert_one_clear_answer(cli("run", "--no-such-option"), "--no-such-option")


def test_unwritable_output(cli: Cli, tmp_path: Path) -> None:
    blocker = tmp_path / "file"
    blocker.write_text("")
    assert_one_clear_answer(cli("run", "--output", str(blocker / "below")), "--output")


def test_leaf_that_does_not_exist(cli: Cli) -> None:
    assert_one_clear_answer(cli("run", "--leaf", "CORE99"), "CORE99", "CORE")


def test_area_that_does_not_exist(cli: Cli) -> None:
    assert_one_clear_answer(cli("run", "--area", "Z"), "Core transforms")


def test_show_of_something_unknown(cli: Cli) -> None:
    assert_one_clear_answer(cli("show", "CORE18/no-such-thing"), "CORE18")


def test_runner_that_is_not_installed(cli: Cli) -> None:
    assert_one_clear_answer(cli("run", "--runner", "prism:bin=/no/such/prism"), "/no/such/prism")


def test_nothing_selected_is_not_a_success(cli: Cli) -> None:
    result = cli("run", "-k", "no_test_has_this_name")
    assert result.returncode == 3, result.stderr
    assert "nothing ran" in result.stderr


def test_report_of_something_that_is_no_results_file(cli: Cli, tmp_path: Path) -> None:
    file = tmp_path / "x.jsonl"
    file.write_text("hello\n")
    assert_one_clear_answer(cli("report", str(file)), "x.jsonl")
