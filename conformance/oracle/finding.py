"""One thing that is wrong with an outcome: the rule it breaks, in one sentence, with the little data that shows it."""

from __future__ import annotations

from collections.abc import Iterable

from attrs import frozen

from conformance.oracle.content import Item
from conformance.oracle.observed import show_pane, show_value, show_window

__all__ = ["Finding", "show_items"]

_SHOWN = 6


@frozen
class Finding:
    rule: str
    sentence: str
    expected: tuple[str, ...] = ()
    observed: tuple[str, ...] = ()
    #: the observer at which it shows
    observer: str = ""


def show_items(items: Iterable[Item]) -> tuple[str, ...]:
    """Each item in one line; a few of many."""
    lines = [_line(item) for item in items]
    more = len(lines) - _SHOWN
    return (*lines[:_SHOWN], f"… and {more} more") if more > 0 else tuple(lines)


def _line(item: Item) -> str:
    stamps = " or ".join(str(stamp) for stamp in sorted(item.timestamps))
    panes = " or ".join(sorted({show_pane(pane) for pane in item.panes}))
    return f"{show_value(item.value)} at {stamps} in {show_window(item.window)}, pane {panes}"
