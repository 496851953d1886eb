"""GroupByKey: the seconds of each word."""

from __future__ import annotations

import apache_beam as beam

from conformance.sdks.python.task import Task, lines, said


def build(pipeline: beam.Pipeline, task: Task) -> beam.PCollection[str]:
    pairs = lines(pipeline, task) | beam.FlatMap(said).with_output_types(tuple[str, int])
    return pairs | beam.GroupByKey() | beam.MapTuple(lambda word, found: f"{word}: {','.join(map(str, sorted(found)))}")
