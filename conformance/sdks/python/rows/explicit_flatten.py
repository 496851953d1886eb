"""Flatten as a step of its own: one collection twice and another once, grouped behind it."""

from __future__ import annotations

import apache_beam as beam

from conformance.sdks.python.task import Task, lines, words


def build(pipeline: beam.Pipeline, task: Task) -> beam.PCollection[str]:
    everything = lines(pipeline, task)
    questions = everything | beam.Filter(lambda line: line.endswith("?"))
    return (
        (everything, everything, questions)
        | beam.Flatten()
        | beam.FlatMap(lambda line: [(word, 1) for word in words(line)]).with_output_types(tuple[str, int])
        | beam.GroupByKey()
        | beam.MapTuple(lambda word, ones: f"{word} {sum(ones)}")
    )
