"""Windowed WordCount: how often each word occurs in each minute."""

from __future__ import annotations

from typing import Any

import apache_beam as beam
from apache_beam.transforms.window import FixedWindows

from conformance.sdks.python.task import MINUTE, Task, lines, seconds, words


def tell(pair: tuple[str, int], window: Any = beam.DoFn.WindowParam) -> str:
    return f"{seconds(window.start) // MINUTE} {pair[0]}: {pair[1]}"


def build(pipeline: beam.Pipeline, task: Task) -> beam.PCollection[str]:
    windowed = lines(pipeline, task) | beam.WindowInto(FixedWindows(MINUTE))
    return windowed | beam.FlatMap(words) | beam.combiners.Count.PerElement() | beam.Map(tell)
