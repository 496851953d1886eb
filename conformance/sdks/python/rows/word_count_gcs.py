"""WordCount written to Google Cloud Storage by the SDK's own connector; the emulator's address is an option.

One object, by `FileSystems`: WriteToText renames what it wrote by the batch interface, which the emulator (fake-gcs-server 1.56) answers
without the parts that the connector needs.
"""

from __future__ import annotations

import os
from collections.abc import Iterable

import apache_beam as beam
from apache_beam.io.filesystems import FileSystems

from conformance.sdks.python.task import Task, lines, words


class Write(beam.DoFn):
    def __init__(self, path: str) -> None:
        self.path = path

    def process(self, group: tuple[int, Iterable[str]]) -> None:
        with FileSystems.create(self.path) as file:
            file.write("".join(f"{line}\n" for line in group[1]).encode())


def build(pipeline: beam.Pipeline, task: Task) -> None:
    os.environ["STORAGE_EMULATOR_HOST"] = task.options["gcs"]
    counts = lines(pipeline, task) | beam.FlatMap(words) | beam.combiners.Count.PerElement()
    told = counts | beam.MapTuple(lambda word, count: (0, f"{word}: {count}")).with_output_types(tuple[int, str])
    _ = told | "together" >> beam.GroupByKey() | beam.ParDo(Write(f"{task.options['bucket']}/counts.txt"))
