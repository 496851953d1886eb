"""The mobile game, third part: the sum of every team's scores by the hour while they come in, late ones too: early, on time and late panes.

The history, with the moves of watermark and clock, is played by TestStream. The pane at a window's expiry has nothing new here; whether
there is one is the SDK's choice (Python asks for it, Java and Go do not), so it is left out.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import apache_beam as beam
from apache_beam.coders import StrUtf8Coder
from apache_beam.testing.test_stream import TestStream
from apache_beam.transforms.trigger import AccumulationMode, AfterProcessingTime, AfterWatermark
from apache_beam.transforms.window import FixedWindows, TimestampedValue
from apache_beam.utils.windowed_value import PaneInfoTiming

from conformance.sdks.python.task import MINUTE, Task, seconds

HOUR = 60 * MINUTE


def played(history: list[dict[str, Any]]) -> TestStream:
    """The history: plays (team, user, score, minute), the watermark and the clock in minutes."""
    stream = TestStream(coder=StrUtf8Coder())
    for event in history:
        if "add" in event:
            stream.add_elements([TimestampedValue(f"{team} {score}", MINUTE * at) for team, _, score, at in event["add"]])
        elif "watermark" in event:
            stream.advance_watermark_to(MINUTE * event["watermark"])
        elif "clock" in event:
            stream.advance_processing_time(MINUTE * event["clock"])
    return stream.advance_watermark_to_infinity()


def by_team(line: str) -> tuple[str, int]:
    team, score = line.split()
    return team, int(score)


def tell(score: tuple[str, int], window: Any = beam.DoFn.WindowParam, pane: Any = beam.DoFn.PaneInfoParam) -> Iterator[str]:
    if not pane.is_last:
        yield f"{score[0]} {seconds(window.start) // MINUTE} {PaneInfoTiming.to_string(pane.timing)} {score[1]}"


def build(pipeline: beam.Pipeline, task: Task) -> beam.PCollection[str]:
    with open(task.options["text"], encoding="utf-8") as file:
        history = json.load(file)["events"]
    scores = pipeline | played(history) | beam.Map(by_team).with_output_types(tuple[str, int])
    windowed = scores | beam.WindowInto(
        FixedWindows(HOUR),
        trigger=AfterWatermark(early=AfterProcessingTime(5 * MINUTE), late=AfterProcessingTime(10 * MINUTE)),
        accumulation_mode=AccumulationMode.ACCUMULATING,
        allowed_lateness=2 * HOUR,
    )
    return windowed | beam.CombinePerKey(sum) | beam.FlatMap(tell)
