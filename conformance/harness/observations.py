"""What observers saw: kept when the bundle was answered OK, apart otherwise; and the life of every function instance."""

from __future__ import annotations

import threading
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from typing import Any

from attrs import evolve, frozen

from conformance.wire.values import NO_FIRING, Pane, Window

__all__ = ["LifecycleEvent", "Observation", "Observations", "Sink"]


@frozen
class Observation:
    """One element, in one window, as one observer saw it.

    `attempt` is 1 plus the times that an equal observation was lost with a failed bundle. `bundle` is the instruction id.
    """

    observer: str
    value: Any
    timestamp: int
    window: Window
    pane: Pane = NO_FIRING
    key: Any = None
    bundle: str = ""
    worker: str = ""
    attempt: int = 1

    @property
    def identity(self) -> tuple[str, str]:
        """What makes two sightings the same element, whatever the types of their values."""
        return self.observer, repr((self.value, self.timestamp, self.window))


@frozen
class LifecycleEvent:
    """setup, start, process, timer, finish, teardown, finalize of one function instance; `bundle` is empty outside bundles."""

    event: str
    instance: int
    fn: str
    transform: str
    bundle: str
    worker: str


class Sink:
    """Where a harness reports to; the in-process one is `Observations`, the one of a process is `reporting.RemoteSink`."""

    def bundle_done(self, observations: list[Observation], committed: bool) -> None:
        """A bundle was answered: OK (`committed`) or with an error."""
        raise NotImplementedError

    def lifecycle(self, event: LifecycleEvent) -> None:
        raise NotImplementedError


class Observations(Sink, Mapping[str, list[Observation]]):
    """Committed observations by observer, in order of arrival; `uncommitted` holds those of failed bundles."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._changed = threading.Condition(self._lock)
        self._committed: dict[str, list[Observation]] = defaultdict(list)
        self._lost: Counter[tuple[str, str]] = Counter()
        self.uncommitted: list[Observation] = []
        self.events: list[LifecycleEvent] = []

    def bundle_done(self, observations: list[Observation], committed: bool) -> None:
        with self._changed:
            for observation in observations:
                numbered = evolve(observation, attempt=self._lost[observation.identity] + 1)
                if committed:
                    self._committed[observation.observer].append(numbered)
                else:
                    self._lost[observation.identity] += 1
                    self.uncommitted.append(numbered)
            self._changed.notify_all()

    def lifecycle(self, event: LifecycleEvent) -> None:
        with self._changed:
            self.events.append(event)
            self._changed.notify_all()

    def wait_for(self, observer: str, count: int, timeout: float) -> list[Observation]:
        """Wait until `observer` has at least `count` committed observations; the answer may be shorter on timeout."""
        with self._changed:
            self._changed.wait_for(lambda: len(self._committed.get(observer, ())) >= count, timeout)
            return list(self._committed.get(observer, ()))

    def __getitem__(self, observer: str) -> list[Observation]:
        """Those of one observer; an empty list for one that saw nothing."""
        with self._lock:
            return list(self._committed.get(observer, ()))

    def __iter__(self) -> Iterator[str]:
        with self._lock:
            return iter(list(self._committed))

    def __len__(self) -> int:
        return len(self._committed)

    def values_of(self, observer: str) -> list[Any]:
        """Only the values, in order of arrival."""
        return [observation.value for observation in self[observer]]
