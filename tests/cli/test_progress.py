"""What the progress of a run makes of an interrupt."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from typing import Any

import pytest
from rich.console import Console

from conformance.progress import ProgressPlugin


@pytest.fixture
def python_handles_interrupts() -> Iterator[None]:
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


class InterruptedWhileFinalized:
    def __del__(self) -> None:
        os.kill(os.getpid(), signal.SIGINT)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_an_interrupt_that_python_dropped_ends_the_run_at_the_next_test(python_handles_interrupts: None) -> None:
    progress: Any = ProgressPlugin(Console())
    progress.pytest_sessionstart()
    InterruptedWhileFinalized()
    with pytest.raises(KeyboardInterrupt):
        progress.pytest_runtest_logreport(object())


def test_an_interrupt_that_is_ignored_stays_ignored(python_handles_interrupts: None) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    ProgressPlugin(Console()).pytest_sessionstart()
    assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
