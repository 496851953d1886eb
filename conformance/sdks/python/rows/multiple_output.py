"""ParDo with several outputs: short words, long ones, questions."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import apache_beam as beam
from apache_beam.pvalue import TaggedOutput

from conformance.sdks.python.task import Task, lines, seconds, words


class Sort(beam.DoFn):
    def process(self, line: str, stamp: Any = beam.DoFn.TimestampParam) -> Iterator[Any]:
        for word in words(line):
            yield word if len(word) <= 3 else TaggedOutput("long", word)
        if line.endswith("?"):
            yield TaggedOutput("question", str(seconds(stamp)))


def build(pipeline: beam.Pipeline, task: Task) -> beam.PCollection[str]:
    parts = lines(pipeline, task) | beam.ParDo(Sort()).with_outputs("long", "question", main="short")
    named = [parts[tag] | tag >> beam.Map(lambda text, tag: f"{tag} {text}", tag) for tag in ("short", "long", "question")]
    return named | beam.Flatten()
