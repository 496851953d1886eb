"""Combine of keys that have values in more than one bundle: what lifting is for."""

from __future__ import annotations

import apache_beam as beam

from conformance.sdks.python.rows.combine_first_class import Mean
from conformance.sdks.python.task import Task, in_two, lines, said


def build(pipeline: beam.Pipeline, task: Task) -> beam.PCollection[str]:
    pairs = lines(pipeline, task) | beam.FlatMap(said).with_output_types(tuple[str, int])
    return in_two(pairs) | beam.CombinePerKey(Mean()) | beam.MapTuple(lambda word, mean: f"{word} {mean}")
