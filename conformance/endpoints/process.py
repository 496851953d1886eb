"""Processes that launchers start: their own process group, a bounded tail of their log, and an end in every case.

A process ends when it is closed, when this interpreter exits, and also when this interpreter is killed: a guard (a shell that
reads from a pipe that only we hold) sees the pipe close and kills the group. Nothing here knows about Beam.
"""

from __future__ import annotations

import atexit
import collections
import contextlib
import os
import re
import signal
import subprocess
import tempfile
import threading
import time
import weakref
from collections.abc import Mapping, Sequence

__all__ = ["LOG_LINES", "SCRATCH", "ManagedProcess"]

#: In a command line: the directory of the process' temporary files.
SCRATCH = "{scratch}"

#: How much of a log is kept: enough for a Go panic with its goroutines or a Java stack trace.
LOG_LINES = 400
_LINE_CHARS = 2000
_GRACE_SECONDS = 2.0

_alive: weakref.WeakSet[ManagedProcess] = weakref.WeakSet()


class ManagedProcess:
    """One running command. Its temporary files go to a directory that is removed with it.

    SCRATCH in `argv` stands for that directory. `grace` is what it gets, in seconds, between a polite request to end and the end.
    """

    def __init__(self, argv: Sequence[str], env: Mapping[str, str] | None = None, grace: float = _GRACE_SECONDS) -> None:
        self._grace = grace
        self._scratch = tempfile.TemporaryDirectory(prefix="beam-conformance-", ignore_cleanup_errors=True)
        self.argv = tuple(word.replace(SCRATCH, self._scratch.name) for word in argv)
        self._lines: collections.deque[str] = collections.deque(maxlen=LOG_LINES)
        self._news = threading.Condition()
        self._ended = False
        self._seen = 0
        self._closed = False
        self._close_lock = threading.Lock()
        try:
            self._process = subprocess.Popen(
                self.argv,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                env={**os.environ, **(env or {}), "TMPDIR": self._scratch.name},
            )
        except OSError:
            self._scratch.cleanup()
            raise
        self._guard = subprocess.Popen(
            ["/bin/sh", "-c", 'read -r _; kill -9 "-$1"', "guard", str(self._process.pid)],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        self._reader = threading.Thread(target=self._read, name=f"log of {self.pid}", daemon=True)
        self._reader.start()
        _alive.add(self)

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def returncode(self) -> int | None:
        """The exit status as subprocess has it, None while the process runs."""
        return self._process.poll()

    def alive(self) -> bool:
        return self._process.poll() is None

    def wait_for_exit(self, seconds: float) -> bool:
        """Whether the process ended within so many seconds."""
        try:
            self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            return False
        self._reader.join(1.0)
        return True

    def wait_for_line(self, pattern: re.Pattern[str], seconds: float) -> re.Match[str] | None:
        """The match in the first line that has one; None when the log ended or the time was up without one."""
        deadline = time.monotonic() + seconds
        seen = 0
        with self._news:
            while True:
                lines = list(self._lines)
                fresh = lines[max(0, len(lines) - (self._seen - seen)) :]
                seen = self._seen
                for line in fresh:
                    if match := pattern.search(line):
                        return match
                left = deadline - time.monotonic()
                if self._ended or left <= 0:
                    return None
                self._news.wait(left)

    def log_tail(self, lines: int = 40) -> str:
        """The last lines that the process wrote, standard output and error together."""
        with self._news:
            return "\n".join(list(self._lines)[-lines:])

    def close(self) -> None:
        """End the process and everything that it started. Safe to call twice, and from any thread."""
        with self._close_lock:
            if self._closed:
                return
            self._closed = True
        _alive.discard(self)
        # The guard goes first: later its group number might be someone else's.
        self._guard.kill()
        self._guard.wait()
        if self._guard.stdin is not None:
            self._guard.stdin.close()
        self._signal(signal.SIGTERM)
        if not self.wait_for_exit(self._grace):
            self._signal(signal.SIGKILL)
            self._process.wait()
        # What the process left behind in its group (workers that it had started) ends without ceremony.
        self._signal(signal.SIGKILL)
        self._reader.join(1.0)
        if self._process.stdout is not None and not self._reader.is_alive():
            self._process.stdout.close()
        self._scratch.cleanup()

    def _signal(self, number: signal.Signals) -> None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, number)

    def _read(self) -> None:
        assert self._process.stdout is not None
        for raw in self._process.stdout:
            line = raw.decode("utf-8", "replace").rstrip()[:_LINE_CHARS]
            with self._news:
                self._lines.append(line)
                self._seen += 1
                self._news.notify_all()
        with self._news:
            self._ended = True
            self._news.notify_all()


@atexit.register
def _close_all() -> None:
    for process in list(_alive):
        process.close()
