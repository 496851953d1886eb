"""WindowInto with sessions: each word's own, with a gap of twenty seconds."""

from __future__ import annotations

from typing import Any

import apache_beam as beam
from apache_beam.transforms.window import Sessions

from conformance.sdks.python.task import Task, lines, said, span

GAP = 20


def tell(pair: tuple[str, int], window: Any = beam.DoFn.WindowParam) -> str:
    return f"{span(window)} {pair[0]} {pair[1]}"


def build(pipeline: beam.Pipeline, task: Task) -> beam.PCollection[str]:
    pairs = lines(pipeline, task) | beam.FlatMap(said).with_output_types(tuple[str, int])
    return pairs | beam.WindowInto(Sessions(GAP)) | beam.combiners.Count.PerKey() | beam.Map(tell)
