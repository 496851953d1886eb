"""Gates: a function waits at one until the test opens it, and the test sees who has arrived. This is how tests do without sleeps."""

from __future__ import annotations

import threading
from collections import Counter

from conformance.harness.errors import BundleAborted

__all__ = ["Counters", "Gates"]


class Gates:
    """All gates of a session, by name; unknown ones are closed."""

    def __init__(self) -> None:
        self._condition = threading.Condition()
        self._open: set[str] = set()
        self._passes: Counter[str] = Counter()
        self._arrivals: Counter[str] = Counter()
        self._all_open = False

    def wait(self, name: str) -> None:
        """Block until the gate is open, or a single pass is given. Raises BundleAborted when the session closes first."""
        with self._condition:
            self._arrivals[name] += 1
            self._condition.notify_all()
            self._condition.wait_for(lambda: self._all_open or name in self._open or self._passes[name] > 0)
            if self._all_open:
                raise BundleAborted(f"session closed while a function waited at gate {name!r}")
            if name not in self._open:
                self._passes[name] -= 1

    def ask(self, name: str, patience: float, first: bool) -> str:
        """For a function in another process: "open" (it passes), "gone" (the session closed) or "closed" after `patience` s."""
        with self._condition:
            if first:
                self._arrivals[name] += 1
                self._condition.notify_all()
            self._condition.wait_for(lambda: self._all_open or name in self._open or self._passes[name] > 0, patience)
            if self._all_open:
                return "gone"
            if name in self._open:
                return "open"
            if self._passes[name] > 0:
                self._passes[name] -= 1
                return "open"
            return "closed"

    def open(self, name: str) -> None:
        """Let everybody pass, now and later."""
        with self._condition:
            self._open.add(name)
            self._condition.notify_all()

    def pass_one(self, name: str, count: int = 1) -> None:
        """Let `count` waiting (or coming) functions pass."""
        with self._condition:
            self._passes[name] += count
            self._condition.notify_all()

    def arrived(self, name: str, count: int = 1, timeout: float = 10.0) -> bool:
        """Wait until `count` functions have come to the gate since the start; False on timeout."""
        with self._condition:
            return self._condition.wait_for(lambda: self._arrivals[name] >= count, timeout)

    def close_down(self) -> None:
        """Free everybody who waits; they fail with BundleAborted."""
        with self._condition:
            self._all_open = True
            self._condition.notify_all()


class Counters:
    """Counts by name that outlive bundles and function instances."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counts: Counter[str] = Counter()

    def next(self, name: str) -> int:
        """1 for the first call with `name`, 2 for the second, …"""
        with self._lock:
            self._counts[name] += 1
            return self._counts[name]
