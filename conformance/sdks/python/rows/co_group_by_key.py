"""CoGroupByKey: the seconds of each word in questions and elsewhere, side by side."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import apache_beam as beam

from conformance.sdks.python.task import Task, lines, said


def tell(word: str, found: Mapping[str, Iterable[int]]) -> str:
    asked, told = (",".join(map(str, sorted(found[side]))) for side in ("asked", "told"))
    return f"{word}: {asked} | {told}"


def build(pipeline: beam.Pipeline, task: Task) -> beam.PCollection[str]:
    everything = lines(pipeline, task)
    asked = everything | "asked" >> beam.Filter(lambda line: line.endswith("?"))
    told = everything | "told" >> beam.Filter(lambda line: not line.endswith("?"))
    sides = {
        "asked": asked | "asked words" >> beam.FlatMap(said).with_output_types(tuple[str, int]),
        "told": told | "told words" >> beam.FlatMap(said).with_output_types(tuple[str, int]),
    }
    return sides | beam.CoGroupByKey() | beam.MapTuple(tell)
