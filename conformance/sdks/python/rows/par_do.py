"""ParDo: each line becomes its words, at the line's timestamp."""

from __future__ import annotations

import apache_beam as beam

from conformance.sdks.python.task import Task, lines, said


def build(pipeline: beam.Pipeline, task: Task) -> beam.PCollection[str]:
    return lines(pipeline, task) | beam.FlatMap(said) | beam.MapTuple(lambda word, second: f"{second} {word}")
