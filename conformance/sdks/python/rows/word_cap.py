"""WordCap: every line in capitals, empty ones left out."""

from __future__ import annotations

import apache_beam as beam

from conformance.sdks.python.task import Task, lines


def build(pipeline: beam.Pipeline, task: Task) -> beam.PCollection[str]:
    return lines(pipeline, task) | beam.Filter(bool) | beam.Map(str.upper)
