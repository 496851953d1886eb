"""One reference runner for the tests that attach to an endpoint, and suites of a few scenarios written into a directory."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from conformance.endpoints import Endpoint, open_endpoint
from conformance.report import results

HEAD = """
from conformance.harness import dofn
from conformance.pipeline import Fn, coders
from conformance.suite.assertions import asserts
from conformance.suite.checks import same
"""

PYTEST = (sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider")

Suite = Callable[..., dict[str, results.Result]]


@pytest.fixture(scope="session")
def reference() -> Iterator[Endpoint]:
    with open_endpoint("reference") as endpoint:
        yield endpoint


@pytest.fixture
def suite(tmp_path: Path, reference: Endpoint) -> Suite:
    """Run scenarios, given as Python text, against the reference runner; the answer is assertion id → result."""

    def run(
        text: str,
        *words: str,
        check: Callable[[subprocess.CompletedProcess[str]], Any] = lambda done: None,
        keep: list[results.Result] | None = None,
    ) -> Any:
        (tmp_path / "test_scenarios.py").write_text(HEAD + text)
        output = tmp_path / "report"
        done = subprocess.run(
            [*PYTEST, "test_scenarios.py", "--runner-url", reference.url, "--beam-report", str(output), *words],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert "INTERNALERROR" not in done.stdout + done.stderr, done.stdout + done.stderr
        check(done)
        assert (output / "results.jsonl").exists(), done.stdout + done.stderr
        found = results.read(output / "results.jsonl").results
        if keep is not None:
            keep.extend(found)
        return {result.assertion: result for result in found}

    return run
