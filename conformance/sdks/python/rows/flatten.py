"""Flatten: the words of the first minute and those of the others, together again."""

from __future__ import annotations

import apache_beam as beam

from conformance.sdks.python.task import MINUTE, Task, lines, said


def build(pipeline: beam.Pipeline, task: Task) -> beam.PCollection[str]:
    pairs = lines(pipeline, task) | beam.FlatMap(said)
    early = pairs | "early" >> beam.FlatMapTuple(lambda word, second: [f"early {word}"] if second < MINUTE else [])
    late = pairs | "late" >> beam.FlatMapTuple(lambda word, second: [f"late {word}"] if second >= MINUTE else [])
    return (early, late) | beam.Flatten()
