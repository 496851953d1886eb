"""Daemon threads that are used again: bundles and streams need many short-lived ones, and none may keep the process alive."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from typing import Any

__all__ = ["THREADS", "Threads"]

_Task = tuple[Callable[..., Any], tuple[Any, ...]]


class Threads:
    """Runs each task at once, in an idle thread if there is one and in a new one otherwise: bundles may depend on each
    other, so none may wait for a free thread (P-CTL-05)."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._idle: list[queue.SimpleQueue[_Task]] = []
        self._lock = threading.Lock()

    def run(self, task: Callable[..., Any], *args: Any) -> None:
        """Start `task(*args)`; it must handle its own exceptions."""
        with self._lock:
            inbox = self._idle.pop() if self._idle else None
        if inbox is None:
            inbox = queue.SimpleQueue()
            threading.Thread(target=self._loop, args=(inbox,), name=self._name, daemon=True).start()
        inbox.put((task, args))

    def _loop(self, inbox: queue.SimpleQueue[_Task]) -> None:
        while True:
            task, args = inbox.get()
            try:
                task(*args)
            finally:
                del task, args
                with self._lock:
                    self._idle.append(inbox)


THREADS = Threads("harness")
