"""WordCount written to Google Cloud Storage by the SDK's own connector; the emulator's address is an option."""

from __future__ import annotations

import os

import apache_beam as beam
from apache_beam.io import WriteToText

from conformance.sdks.python.task import Task, lines, words


def build(pipeline: beam.Pipeline, task: Task) -> None:
    os.environ["STORAGE_EMULATOR_HOST"] = task.options["gcs"]
    counts = lines(pipeline, task) | beam.FlatMap(words) | beam.combiners.Count.PerElement()
    told = counts | beam.MapTuple(lambda word, count: f"{word}: {count}").with_output_types(str)
    _ = told | WriteToText(f"{task.options['bucket']}/counts", file_name_suffix=".txt", num_shards=2)
