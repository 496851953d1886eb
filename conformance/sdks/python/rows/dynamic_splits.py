"""Splittable DoFn that takes its time, so that a runner may split what is left of it; each position comes once all the same."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import apache_beam as beam
from apache_beam.io.restriction_trackers import OffsetRange, OffsetRestrictionTracker

from conformance.sdks.python.task import Task

POSITIONS = 100
#: Seconds a position: long enough to be asked in the middle of it.
PACE = 0.03


class Positions(beam.RestrictionProvider):
    def initial_restriction(self, element: bytes) -> OffsetRange:
        return OffsetRange(0, POSITIONS)

    def create_tracker(self, restriction: OffsetRange) -> OffsetRestrictionTracker:
        return OffsetRestrictionTracker(restriction)

    def restriction_size(self, element: bytes, restriction: OffsetRange) -> int:
        return int(restriction.size())


def count(tracker: Any) -> Iterator[str]:
    position = tracker.current_restriction().start
    while tracker.try_claim(position):
        time.sleep(PACE)
        yield str(position)
        position += 1


class Count(beam.DoFn):
    def process(self, element: bytes, tracker: Any = beam.DoFn.RestrictionParam(Positions())) -> Iterator[str]:
        return count(tracker)


class CountOn(beam.DoFn):
    @beam.DoFn.unbounded_per_element()
    def process(self, element: bytes, tracker: Any = beam.DoFn.RestrictionParam(Positions())) -> Iterator[str]:
        return count(tracker)


def build(pipeline: beam.Pipeline, task: Task) -> beam.PCollection[str]:
    return pipeline | beam.Impulse() | beam.ParDo(CountOn() if task.streaming else Count())
