"""Real endpoints. A missing program raises ToolMissing, which says which and how to get it; nothing is skipped."""

from __future__ import annotations

import sys
from collections.abc import Iterator

import pytest

from conformance.endpoints import Endpoint, open_endpoint


@pytest.fixture(scope="session")
def prism() -> Iterator[Endpoint]:
    with open_endpoint("prism") as endpoint:
        yield endpoint


@pytest.fixture(scope="session")
def python_service() -> Iterator[Endpoint]:
    with open_endpoint(f"python:python={sys.executable}") as endpoint:
        yield endpoint


@pytest.fixture(params=["prism", "python_service"])
def real(request: pytest.FixtureRequest) -> Endpoint:
    """Each of the two runners that run here as they are released."""
    endpoint: Endpoint = request.getfixturevalue(request.param)
    return endpoint
