"""Combine with an accumulator of a type of its own: the mean second of each word, as `sum/count`."""

from __future__ import annotations

from collections.abc import Iterable

import apache_beam as beam

from conformance.sdks.python.task import Task, lines, said


class Mean(beam.CombineFn):
    """A sum and a count; extracted as text, so that neither can stand in for the other."""

    def create_accumulator(self) -> tuple[int, int]:
        return 0, 0

    def add_input(self, accumulator: tuple[int, int], second: int) -> tuple[int, int]:
        return accumulator[0] + second, accumulator[1] + 1

    def merge_accumulators(self, accumulators: Iterable[tuple[int, int]]) -> tuple[int, int]:
        sums, counts = zip(*accumulators, strict=True)
        return sum(sums), sum(counts)

    def extract_output(self, accumulator: tuple[int, int]) -> str:
        return f"{accumulator[0]}/{accumulator[1]}"


def build(pipeline: beam.Pipeline, task: Task) -> beam.PCollection[str]:
    pairs = lines(pipeline, task) | beam.FlatMap(said).with_output_types(tuple[str, int])
    return pairs | beam.CombinePerKey(Mean()) | beam.MapTuple(lambda word, mean: f"{word} {mean}")
