"""ParDo with user metrics: a counter of words and a distribution of their lengths."""

from __future__ import annotations

from typing import Any

import apache_beam as beam
from apache_beam.metrics import Metrics

from conformance.sdks.python.task import Task, lines, seconds, words


class Measure(beam.DoFn):
    def __init__(self) -> None:
        self.count = Metrics.counter("conformance", "words")
        self.length = Metrics.distribution("conformance", "length")

    def process(self, line: str, stamp: Any = beam.DoFn.TimestampParam) -> Any:
        for word in words(line):
            self.count.inc()
            self.length.update(len(word))
        yield str(seconds(stamp))


def build(pipeline: beam.Pipeline, task: Task) -> beam.PCollection[str]:
    return lines(pipeline, task) | beam.ParDo(Measure())
