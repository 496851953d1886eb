"""The suite as a gate, by the command line: each regression is named wherever somebody looks, and each exit code means what it says.

The runner is the reference runner; a regression is a fault of the wire that a proxy plants before it.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from tests.cli.conftest import EMPTY_BASELINE, Cli, expected
from tests.cli.test_bad_input import free_port

LEAVES = ("--leaf", "CORE18", "--leaf", "SAPI01", "--leaf", "LIFE10")
#: fault of the wire: the assertion that it breaks
REGRESSIONS = {
    "PXY-01": "CORE18/groups-every-value",  # an element is lost on the way to a worker
    "PXY-10": "SAPI01/round-trip",  # a write to state does not arrive
    "PXY-14": "LIFE10/reason-is-an-error-message",  # what a function failed with is lost
}


@pytest.fixture(scope="module")
def before(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the results of the runner without a fault are."""
    return tmp_path_factory.mktemp("gate")


@pytest.fixture
def good(cli: Cli, before: Path) -> Path:
    """Results of the runner without a fault."""
    file = before / "results.jsonl"
    if not file.exists():
        done = cli("run", *LEAVES, "--output", str(before))
        assert done.returncode == 0, done.stdout + done.stderr
    return file


def on_page(page: Path) -> dict[str, Any]:
    """The results that a page embeds, by assertion."""
    script = re.search(r"<script[^>]*>(.*?)</script>", page.read_text(), re.DOTALL)
    assert script
    return {result["assertion"]: result for result in json.loads(script[1])["results"]}


@pytest.mark.parametrize(("fault", "assertion"), REGRESSIONS.items())
def test_a_regression_is_named_everywhere(cli: Cli, tmp_path: Path, good: Path, fault: str, assertion: str) -> None:
    (tmp_path / "baseline.toml").write_text(EMPTY_BASELINE)
    summary = tmp_path / "summary.md"
    done = cli(
        "run",
        *("--runner", f"proxy:{fault}@reference"),
        *LEAVES,
        *("--baseline", "baseline.toml", "--output", "after", "--timeout-scale", "0.3"),
        GITHUB_ACTIONS="true",
        GITHUB_STEP_SUMMARY=str(summary),
    )
    assert done.returncode == 1, done.stdout + done.stderr
    verdict = on_page(tmp_path / "after" / "index.html")[assertion]["verdict"]
    assert verdict in ("wrong", "timeout", "error")
    assert re.search(rf"^::error title={assertion} \[\w+\] {verdict}::", done.stdout, re.MULTILINE)
    assert assertion in summary.read_text()
    after = str(tmp_path / "after" / "results.jsonl")
    for form in ("text", "markdown"):
        told = cli("diff", str(good), after, "--format", form)
        assert re.search(rf"{assertion}.*{verdict}", told.stdout), told.stdout
    changes = json.loads(cli("diff", str(good), after, "--format", "json").stdout)
    assert assertion in {change["assertion"] for change in changes["changes"] if change["kind"] == "regression"}


def test_what_is_known_passes_the_gate_until_it_is_mended(cli: Cli, tmp_path: Path) -> None:
    """Listed, a failure is excused (0); once mended, its entry is stale (2)."""
    leaf = ("--leaf", "CORE18")
    broken = cli("run", "--runner", "proxy:PXY-01@reference", *leaf, "--output", "broken")
    assert broken.returncode == 1
    failed = [result for result in on_page(tmp_path / "broken" / "index.html").values() if result["verdict"] != "pass"]
    known = tmp_path / "known.toml"
    known.write_text(EMPTY_BASELINE + "".join(expected(result["assertion"], result["verdict"]) for result in failed))
    same = cli("run", "--runner", "proxy:PXY-01@reference", *leaf, "--baseline", str(known))
    assert same.returncode == 0, same.stdout + same.stderr
    mended = cli("run", *leaf, "--baseline", str(known), GITHUB_ACTIONS="true")
    assert mended.returncode == 2, mended.stdout + mended.stderr
    assert re.search(r"^::warning title=CORE18/groups-every-value \[\*\] stale::", mended.stdout, re.MULTILINE)


def test_an_empty_run_is_no_pass(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "baseline.toml").write_text(EMPTY_BASELINE)
    done = cli("run", "-k", "nothing_is_called_like_this", "--baseline", "baseline.toml")
    assert done.returncode == 3, done.stdout + done.stderr


def test_a_dead_endpoint_is_no_verdict_on_the_runner(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "baseline.toml").write_text(EMPTY_BASELINE)
    done = cli("run", "--runner", f"grpc://localhost:{free_port()}", "--baseline", "baseline.toml", "--timeout-scale", "0.2")
    assert done.returncode == 4, done.stdout + done.stderr
