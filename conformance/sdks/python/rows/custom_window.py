"""WindowInto with a window function of the program's own: each window as long as all before it."""

from __future__ import annotations

from typing import Any

import apache_beam as beam
from apache_beam.coders import Coder
from apache_beam.coders.coders import IntervalWindowCoder
from apache_beam.transforms.window import IntervalWindow, NonMergingWindowFn

from conformance.sdks.python.task import Task, lines, said, span

BOUNDS = (0, 15, 30, 60, 120, 240, 480)


class Doubling(NonMergingWindowFn):
    def assign(self, context: Any) -> list[IntervalWindow]:
        start = max(bound for bound in BOUNDS if bound <= context.timestamp)
        return [IntervalWindow(start, BOUNDS[BOUNDS.index(start) + 1])]

    def get_window_coder(self) -> Coder:
        return IntervalWindowCoder()


def tell(pair: tuple[str, int], window: Any = beam.DoFn.WindowParam) -> str:
    return f"{span(window)} {pair[0]} {pair[1]}"


def build(pipeline: beam.Pipeline, task: Task) -> beam.PCollection[str]:
    pairs = lines(pipeline, task) | beam.FlatMap(said).with_output_types(tuple[str, int])
    return pairs | beam.WindowInto(Doubling()) | beam.combiners.Count.PerKey() | beam.Map(tell)
