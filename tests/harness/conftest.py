"""Fixtures of the harness tests: a session and a hand-driven runner; the Python local job service for whole jobs."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from scripted import ScriptedRunner

from conformance.harness import Session


@pytest.fixture
def session() -> Iterator[Session]:
    with Session() as session:
        yield session


@pytest.fixture
def runner(session: Session) -> Iterator[ScriptedRunner]:
    with ScriptedRunner(session) as runner:
        yield runner
