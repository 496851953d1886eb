"""How tests read what scripted functions reported: lists as multisets, counts by key and window."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

from conformance.suite.checks import Wrong
from conformance.suite.run import Run

__all__ = ["FAR", "answers", "counts", "counts_by_window", "firings", "unordered"]

#: A timestamp that no test's data reaches, far inside the global window.
FAR = 1_000_000


def unordered(value: Any) -> Any:
    """Lists sorted by their text, also those inside tuples: the order of a read is free (M-STATE-05)."""
    if isinstance(value, list):
        return sorted((unordered(item) for item in value), key=repr)
    if isinstance(value, tuple):
        return tuple(unordered(item) for item in value)
    return value


def answers(run: Run, observer: str = "out", *, ordered: bool = False) -> dict[Any, list[Any]]:
    """{key: answers} of keys with one element each, each list among the answers sorted unless `ordered`.

    Raises Wrong if a key reported more than once: then its function ran more often than it has elements.
    """
    found: dict[Any, list[Any]] = {}
    for key, given in run.values(observer):
        if key in found:
            raise Wrong(
                f"the element of key {key!r} was processed twice", expected="one report a key", observed=run.values(observer)
            )
        found[key] = given if ordered else [unordered(answer) for answer in given]
    return found


def counts(run: Run, observer: str = "out") -> dict[Any, list[Any]]:
    """{key: sorted counts} as `state_count` reported them: 1 to n if each element saw its predecessors' state, and only that."""
    found: dict[Any, list[Any]] = defaultdict(list)
    for key, count in run.values(observer):
        found[key].append(count)
    return {key: sorted(each) for key, each in found.items()}


def counts_by_window(run: Run, observer: str = "out") -> dict[Any, list[Any]]:
    """{(key, window start): sorted counts}."""
    found: dict[Any, list[Any]] = defaultdict(list)
    for seen in run.seen(observer):
        key, count = seen.value
        found[key, getattr(seen.window, "start", None)].append(count)
    return {group: sorted(each) for group, each in found.items()}


def firings(run: Run) -> list[tuple[Any, str, int]]:
    """(key, tag, fire timestamp) of every timer callback."""
    return [(key, tag, fire) for key, _, tag, fire, _ in run.values("fired")]
