"""WordCount: how often each word occurs."""

from __future__ import annotations

import apache_beam as beam

from conformance.sdks.python.task import Task, lines, words


def build(pipeline: beam.Pipeline, task: Task) -> beam.PCollection[str]:
    found = lines(pipeline, task) | beam.FlatMap(words)
    return found | beam.combiners.Count.PerElement() | beam.MapTuple(lambda word, count: f"{word}: {count}")
