"""Splittable DoFn: a file by its lines, split into three at the start; in streaming mode it also defers its rest, again and again."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import apache_beam as beam
from apache_beam.io.restriction_trackers import OffsetRange
from apache_beam.io.watermark_estimators import ManualWatermarkEstimator
from apache_beam.utils.timestamp import Timestamp

from conformance.sdks.python.task import Lines, Task, entries, seconds, stamped

#: How many lines are read before the rest is deferred.
TURN = 3


class InThree(Lines):
    def split(self, path: str, restriction: OffsetRange) -> Iterator[OffsetRange]:
        return iter(restriction.split(desired_num_offsets_per_split=max(1, -(-restriction.size() // 3))))


class Read(beam.DoFn):
    def process(self, path: str, tracker: Any = beam.DoFn.RestrictionParam(InThree())) -> Iterator[Any]:
        position = tracker.current_restriction().start
        while tracker.try_claim(position):
            _, stamp, text = entries(path)[position]
            yield stamped(text, stamp)
            position += 1


class Follow(beam.DoFn):
    @beam.DoFn.unbounded_per_element()
    def process(
        self,
        path: str,
        tracker: Any = beam.DoFn.RestrictionParam(Lines()),
        watermark: Any = beam.DoFn.WatermarkEstimatorParam(ManualWatermarkEstimator.default_provider()),
    ) -> Iterator[Any]:
        start = position = tracker.current_restriction().start
        while tracker.try_claim(position):
            mark, stamp, text = entries(path)[position]
            watermark.set_watermark(Timestamp(micros=1000 * mark))
            yield stamped(text, stamp)
            position += 1
            if position - start == TURN:
                tracker.defer_remainder()
                return


def tell(line: str, stamp: Any = beam.DoFn.TimestampParam) -> str:
    return f"{seconds(stamp)} {line}"


def build(pipeline: beam.Pipeline, task: Task) -> beam.PCollection[str]:
    path = task.input
    read = Follow() if task.streaming else Read()
    return pipeline | beam.Impulse() | beam.Map(lambda _: path) | beam.ParDo(read) | "tell" >> beam.Map(tell)
