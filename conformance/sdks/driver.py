"""A driver: the process of an SDK that runs rows as it is told. Knows nothing of rows; starts, asks, and ends it."""

from __future__ import annotations

import collections
import contextlib
import json
import os
import queue
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Sequence
from types import TracebackType
from typing import Any, Self

__all__ = ["Answer", "Driver", "DriverDied", "DriverSilent"]

Answer = dict[str, Any]
#: A JVM with Beam on its class path took 3 s to answer on two busy cores, Python 4 s.
READY_SECONDS = 120.0
LOG_LINES = 200


class DriverDied(RuntimeError):
    """The process ended without an answer; the text has the end of its log."""


class DriverSilent(RuntimeError):
    """There is no answer within the time that was given."""


class Driver:
    """One running driver. It ends with this object, and when this process ends: it reads our end of a pipe."""

    def __init__(self, argv: Sequence[str], environment: dict[str, str] | None = None) -> None:
        self.argv = tuple(argv)
        self._log: collections.deque[str] = collections.deque(maxlen=LOG_LINES)
        self._answers: queue.Queue[str | None] = queue.Queue()
        self._numbers = 0
        # Go's SDK leaves an empty file behind for every job; they go with the driver.
        self._scratch = tempfile.TemporaryDirectory(prefix="beam-conformance-", ignore_cleanup_errors=True)
        self._process = subprocess.Popen(
            self.argv,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
            env={**os.environ, **(environment or {}), "TMPDIR": self._scratch.name},
        )
        for work in (self._read_answers, self._read_log):
            threading.Thread(target=work, daemon=True).start()
        try:
            self.version = str(self._next(READY_SECONDS)["ready"])
        except BaseException:
            self.close()
            raise

    def ask(self, task: dict[str, Any], seconds: float) -> Answer:
        """The answer to a task. Raises DriverDied, or DriverSilent after so many seconds: the driver still runs then, and `late`
        can wait for what it says."""
        self._numbers += 1
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps({"id": self._numbers, **task}) + "\n")
            self._process.stdin.flush()
        except OSError:
            raise self._died() from None
        return self.late(seconds)

    def late(self, seconds: float) -> Answer:
        """The answer to the task that was last asked, within so many seconds more."""
        deadline = time.monotonic() + seconds
        while True:
            answer = self._next(deadline - time.monotonic())
            if answer.get("id") == self._numbers:
                return answer

    def log_tail(self, lines: int = 40) -> str:
        return "\n".join(list(self._log)[-lines:])

    def alive(self) -> bool:
        return self._process.poll() is None

    def close(self) -> None:
        """End it and what it started. Safe to call twice."""
        with contextlib.suppress(OSError):
            if self._process.stdin is not None:
                self._process.stdin.close()
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        self._scratch.cleanup()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def _next(self, seconds: float) -> Answer:
        try:
            line = self._answers.get(timeout=max(0.0, seconds))
        except queue.Empty:
            raise DriverSilent(f"no answer within {seconds:.0f} s") from None
        if line is None:
            self._answers.put(None)
            raise self._died()
        answer: Answer = json.loads(line)
        return answer

    def _died(self) -> DriverDied:
        status = self._process.wait()
        return DriverDied(f"the SDK's process ended with status {status}; it said last:\n{self.log_tail(20)}")

    def _read_answers(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self._answers.put(line)
        self._answers.put(None)

    def _read_log(self) -> None:
        assert self._process.stderr is not None
        for line in self._process.stderr:
            self._log.append(line.rstrip()[:2000])
