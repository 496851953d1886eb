"""Event scripts: played by TestStream, or by a scripted splittable function where the runner declines TestStream or loses its steps.

The function reports the script's watermarks and gives itself back to the runner after each event, so that the runner sees them.
Without TestStream a runner owes no quiescence: the watermark may lag and panes may come together (M-WM-10, M-TRIG-02). So what is
seen there is wrong only if no such delay explains it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from conformance.pipeline import Fn, PCollection, Program, coders, windowing
from conformance.pipeline.coders import CoderSpec
from conformance.pipeline.teststream import Elements, Event, ProcessingTime, Watermark
from conformance.pipeline.values import to_json
from conformance.suite.outcomes import NotExercised
from conformance.wire import timestamps

__all__ = ["END", "IN_STEP", "PAIRS", "SDF", "TESTSTREAM", "add", "in_step", "play", "tick", "wm"]

TESTSTREAM, SDF = "teststream", "sdf"
#: The usual elements of a script.
PAIRS = coders.kv(coders.STRING, coders.VARINT)
#: What the function asks for after each event, in ms: panes of Prism and the reference runner are through in 5 to 15 ms.
SETTLE = 40


def add(*elements: Any, key: str = "k") -> Event:
    """Elements that arrive together: (value, timestamp), under `key`."""
    return Elements([((key, value), timestamp) for value, timestamp in elements])


def wm(to: int) -> Event:
    """The watermark moves to this instant (ms)."""
    return Watermark(to)


def tick(by: int) -> Event:
    """The clock moves on by this much (ms)."""
    return ProcessingTime(by)


#: The watermark at the end of time.
END = wm(timestamps.MAX)


#: Windows of `in_step`: several, because events that overtake the watermark do not do so every time.
_WINDOWS, _WIDTH = 5, 10
#: What is seen of it where each watermark is through before the next elements come: the other half of them is late (M-TS-01, M-LATE-03).
IN_STEP = [("k", [start]) for start in range(0, _WINDOWS * _WIDTH, _WIDTH)]


def in_step(program: Program) -> None:
    """A script of elements that are on time and elements that are late, in turns, grouped by window; observed as "out"."""
    events: list[Event] = []
    for start in range(0, _WINDOWS * _WIDTH, _WIDTH):
        events += [add((start, start)), wm(start + _WIDTH), add((start + 1, start + 1))]
    windowed = play(TESTSTREAM, program, events).window_into(windowing.fixed(_WIDTH))
    windowed.group_by_key().observe("out")


def play(source: str, into: Program, events: Sequence[Event], coder: CoderSpec = PAIRS, name: str = "script") -> PCollection:
    """The collection that plays `events` and then ends, made by `source`. Raises NotExercised for what a function cannot play."""
    if source == TESTSTREAM:
        made: PCollection = into.test_stream([*events, *([] if events and events[-1] == END else [END])], coder, name=name)
        return made
    steps = [_step(event) for event in events if event != END]
    return into.impulse(f"{name}_start").par_do(
        Fn("event_script", events=steps, settle=SETTLE), coder, name=name, restriction_coder=coders.OFFSET_RANGE, bounded=False
    )


def _step(event: Event) -> list[Any]:
    match event:
        case Elements(elements):
            return ["elements", [[to_json(value), timestamp] for value, timestamp in elements]]
        case Watermark(to):
            return ["watermark", to]
        case ProcessingTime():
            raise NotExercised("the runner declines TestStream, and nothing else can move its processing time")
