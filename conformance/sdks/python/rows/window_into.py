"""WindowInto: words counted in fixed windows of a minute, and in sliding ones that begin every half minute."""

from __future__ import annotations

from typing import Any

import apache_beam as beam
from apache_beam.transforms.window import FixedWindows, SlidingWindows

from conformance.sdks.python.task import MINUTE, Task, lines, said, span


def tell(pair: tuple[str, int], kind: str, window: Any = beam.DoFn.WindowParam) -> str:
    return f"{kind} {span(window)} {pair[0]} {pair[1]}"


def build(pipeline: beam.Pipeline, task: Task) -> beam.PCollection[str]:
    pairs = lines(pipeline, task) | beam.FlatMap(said).with_output_types(tuple[str, int])
    parts = []
    for kind, windows in (("fixed", FixedWindows(MINUTE)), ("sliding", SlidingWindows(MINUTE, MINUTE // 2))):
        counts = pairs | kind >> beam.WindowInto(windows) | f"count {kind}" >> beam.combiners.Count.PerKey()
        told = counts | f"tell {kind}" >> beam.Map(tell, kind)
        parts.append(told | f"whole {kind}" >> beam.WindowInto(beam.window.GlobalWindows()))
    return parts | beam.Flatten()
