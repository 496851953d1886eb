"""WordCount from a text file into a text file, by the SDK's own source and sink.

In streaming mode the lines come from the unbounded source, in one window that ends: such a sink writes by windows.
"""

from __future__ import annotations

import os

import apache_beam as beam
from apache_beam.io import ReadFromText, WriteToText

from conformance.sdks.python.task import Task, lines, words


def build(pipeline: beam.Pipeline, task: Task) -> None:
    read = lines(pipeline, task) if task.streaming else pipeline | ReadFromText(task.options["text"])
    counts = read | beam.FlatMap(words) | beam.combiners.Count.PerElement()
    told = counts | beam.MapTuple(lambda word, count: f"{word}: {count}").with_output_types(str)
    _ = told | WriteToText(os.path.join(task.output, "counts"), file_name_suffix=".txt", num_shards=2)
