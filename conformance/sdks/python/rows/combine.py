"""Combine: sums by key, and one maximum of all."""

from __future__ import annotations

import apache_beam as beam

from conformance.sdks.python.task import Task, lines, said


def build(pipeline: beam.Pipeline, task: Task) -> beam.PCollection[str]:
    pairs = lines(pipeline, task) | beam.FlatMap(said)
    ones = pairs | beam.MapTuple(lambda word, _: (word, 1)).with_output_types(tuple[str, int])
    counts = ones | beam.CombinePerKey(sum) | "told" >> beam.MapTuple(lambda word, count: f"{word} {count}")
    lengths = pairs | beam.MapTuple(lambda word, _: len(word)).with_output_types(int)
    longest = lengths | beam.CombineGlobally(max).without_defaults() | beam.Map(lambda length: f"longest {length}")
    return (counts, longest) | beam.Flatten()
