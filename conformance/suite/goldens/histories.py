"""Event histories of goldens: a file says once what arrives, when the watermark moves and how the clock goes; programs play it.

Times in the files are minutes. An event is {"add": [[…, minute], …]}, {"watermark": minute}, {"clock": minutes} or {"end": true}.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from conformance.pipeline import teststream, windowing
from conformance.suite.fixtures import golden
from conformance.suite.run import Run
from conformance.wire.values import IntervalWindow

__all__ = ["MINUTE", "history", "panes", "script", "times"]

MINUTE = 60_000


def history(name: str, file: str) -> dict[str, Any]:
    """A history and the outcomes expected of it."""
    found: dict[str, Any] = json.loads((golden(name) / file).read_text(encoding="utf-8"))
    return found


def _ms(minutes: float) -> int:
    return round(minutes * MINUTE)


def times(events: list[dict[str, Any]]) -> list[tuple[list[Any], int]]:
    """All that arrives, as (fields, ms)."""
    return [(fields, _ms(minute)) for event in events for *fields, minute in event.get("add", ())]


def script(events: list[dict[str, Any]], element: Callable[..., Any]) -> list[teststream.Event]:
    """The history as events of a TestStream; `element` makes a value of the fields."""
    made: list[teststream.Event] = []
    for event in events:
        if "add" in event:
            made.append(teststream.Elements([(element(*fields), at) for fields, at in times([event])]))
        elif "watermark" in event:
            made.append(teststream.Watermark(_ms(event["watermark"])))
        elif "clock" in event:
            made.append(teststream.ProcessingTime(_ms(event["clock"])))
        else:
            made.append(teststream.to_infinity())
    return made


def panes(run: Run, observer: str) -> list[list[Any]]:
    """What an observer of KVs saw, in order of panes: [key, start of the window in minutes or None, timing, value]."""
    seen = sorted(run.seen(observer), key=lambda each: (each.value[0], each.timestamp, each.pane.index))
    starts = [each.window.start // MINUTE if isinstance(each.window, IntervalWindow) else None for each in seen]
    return [[each.value[0], start, each.pane.timing.name, each.value[1]] for each, start in zip(seen, starts, strict=True)]


def fixed(minutes: float) -> windowing.WindowFn:
    """Fixed windows of so many minutes."""
    return windowing.fixed(_ms(minutes))
