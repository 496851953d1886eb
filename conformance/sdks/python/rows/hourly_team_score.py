"""The mobile game, second part: the sum of every team's scores by the hour, between 12:30 and 15:30."""

from __future__ import annotations

from typing import Any

import apache_beam as beam
from apache_beam.transforms.window import FixedWindows

from conformance.sdks.python.task import Task, lines, seconds

HOUR = 3600
HALF_AN_HOUR_MS = 1_800_000


def by_team(line: str) -> tuple[str, int]:
    _, team, score, _ = line.split(",")
    return team, int(score)


def in_time(line: str) -> bool:
    return HALF_AN_HOUR_MS < int(line.rpartition(",")[2]) < 7 * HALF_AN_HOUR_MS


def tell(score: tuple[str, int], window: Any = beam.DoFn.WindowParam) -> str:
    return f"{score[0]} {1000 * seconds(window.start)} {score[1]}"


def build(pipeline: beam.Pipeline, task: Task) -> beam.PCollection[str]:
    hourly = lines(pipeline, task) | beam.Filter(in_time) | beam.WindowInto(FixedWindows(HOUR))
    scores = hourly | beam.Map(by_team).with_output_types(tuple[str, int])
    return scores | beam.CombinePerKey(sum) | beam.Map(tell)
