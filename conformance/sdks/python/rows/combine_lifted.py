"""Combine behind a Flatten, so that several bundles have values of one key: what lifting is for."""

from __future__ import annotations

import apache_beam as beam

from conformance.sdks.python.rows.combine_first_class import Mean
from conformance.sdks.python.task import MINUTE, Task, lines, said


def build(pipeline: beam.Pipeline, task: Task) -> beam.PCollection[str]:
    pairs = lines(pipeline, task) | beam.FlatMap(said).with_output_types(tuple[str, int])
    early = pairs | "early" >> beam.Filter(lambda pair: pair[1] < MINUTE)
    late = pairs | "late" >> beam.Filter(lambda pair: pair[1] >= MINUTE)
    merged = (early, late) | beam.Flatten()
    return merged | beam.CombinePerKey(Mean()) | beam.MapTuple(lambda word, mean: f"{word} {mean}")
