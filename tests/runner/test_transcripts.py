"""Beam's own trigger transcripts, read from the installed apache-beam and played through the engine.

A transcript counts in whole seconds, windows as [first, last]; here a second is a millisecond, so that `last` is the window's
maximum timestamp. What a transcript does not tell of a pane is not compared.
"""

from __future__ import annotations

import importlib.resources
from typing import Any

import pytest
import yaml

from conformance.pipeline import teststream, triggers, windowing
from conformance.wire.values import Timing
from tests.runner.test_sequences import Sequence

#: What the YAML calls things.
TRIGGERS: dict[str, Any] = {
    "Default": triggers.default(),
    "DefaultTrigger": triggers.default,
    "AfterWatermark": lambda early=None, late=None: triggers.after_watermark(
        early and triggers.repeatedly(early), late and triggers.repeatedly(late)
    ),
    "AfterCount": triggers.after_count,
    "AfterAll": triggers.after_all,
    "AfterAny": triggers.after_any,
    "AfterFirst": triggers.after_any,
    "AfterEach": triggers.after_each,
    "OrFinally": triggers.or_finally,
    "Repeatedly": triggers.repeatedly,
    "AfterProcessingTime": lambda seconds=0: triggers.after_processing_time(seconds),
    "Always": triggers.always(),
}
WINDOWS: dict[str, Any] = {
    "FixedWindows": windowing.fixed,
    "CustomTimestampingFixedWindowsWindowFn": windowing.fixed,
    "SlidingWindows": windowing.sliding,
    "Sessions": windowing.sessions,
    "GlobalWindows": windowing.global_windows,
}
COMBINERS = {"OUTPUT_AT_EARLIEST": "earliest", "OUTPUT_AT_LATEST": "latest", "OUTPUT_AT_EOW": "end_of_window"}


def transcripts() -> list[Any]:
    text = importlib.resources.files("apache_beam.testing").joinpath("data/trigger_transcripts.yaml").read_text()
    found = [each for each in yaml.safe_load_all(text) if "error" not in each]
    return [pytest.param(each, id=f"{each['name']}-{number}") for number, each in enumerate(found)]


def assign(window_fn: str) -> Any:
    """(start, end)s of a timestamp."""
    name, _, rest = window_fn.partition("(")
    sizes = [int(each) for each in rest.rstrip(")").split(",")] if rest else []
    if name == "Sessions":
        return lambda at: [(at, at + sizes[0])]
    if name == "SlidingWindows":
        size, period = sizes
        return lambda at: [(s, s + size) for s in range(at - at % period, at - size, -period)]
    return lambda at: [(at // sizes[0] * sizes[0], at // sizes[0] * sizes[0] + sizes[0])]


def matches(expected: dict[str, Any], pane: tuple[Any, ...]) -> bool:
    values, (timing, index, ns, flags), (start, end), timestamp = pane
    seen = {
        "window": [start, end - 1],
        "values": values,
        "timestamp": timestamp,
        "early": timing == Timing.EARLY,
        "late": timing == Timing.LATE,
        "final": "last" in flags,
        "index": index,
        "nonspeculative_index": ns,
    }
    wanted = {name: sorted(value) if name == "values" else value for name, value in expected.items()}
    return all(seen[name] == value for name, value in wanted.items())


@pytest.mark.parametrize("spec", transcripts())
def test_transcript(spec):
    if spec.get("timestamp_combiner") == "OUTPUT_AT_EARLIEST_TRANSFORMED":
        pytest.skip("there is no such output time on the wire")
    events: list[teststream.Event] = []
    expected: dict[int, list[dict[str, Any]]] = {}
    for step in spec["transcript"]:
        ((kind, what),) = step.items()
        if kind == "input":
            events.append(teststream.Elements([(("k", at), at) for at in what]))
        elif kind == "watermark":
            events.append(teststream.Watermark(what))
        elif kind == "expect":
            expected[len(events) - 1] = what
        else:
            assert kind == "state", kind
    window_fn = spec.get("window_fn", "FixedWindows(10)")
    name, _, rest = window_fn.partition("(")
    ran = Sequence(
        events,
        assign(window_fn),
        window_fn=WINDOWS[name](*[int(each) for each in rest.rstrip(")").split(",")] if rest else []),
        trigger=eval(spec.get("trigger_fn", "Default"), {}, TRIGGERS),
        accumulation=spec.get("accumulation_mode", "accumulating").lower(),
        allowed_lateness=spec.get("allowed_lateness", 0),
        timestamp_combiner=COMBINERS[spec.get("timestamp_combiner", "OUTPUT_AT_EOW")],
    )
    for number, event in enumerate(events):
        seen = list(ran.steps[number]) if number < len(ran.steps) else []
        for want in expected.get(number, []):
            found = next((pane for pane in seen if matches(want, pane)), None)
            assert found is not None, f"{event}: no {want} in {seen}"
            seen.remove(found)
        assert not seen or number == len(events) - 1, f"{event}: not expected: {seen}"
