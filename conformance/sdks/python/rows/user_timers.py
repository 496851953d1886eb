"""ParDo with user timers: collects the seconds of each word in its minute, and tells them at the end of the minute."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import apache_beam as beam
from apache_beam.coders import VarIntCoder
from apache_beam.transforms.userstate import BagStateSpec, TimeDomain, TimerSpec, on_timer
from apache_beam.transforms.window import FixedWindows

from conformance.sdks.python.task import MINUTE, Task, lines, said, seconds


class Collect(beam.DoFn):
    SEEN = BagStateSpec("seen", VarIntCoder())
    END = TimerSpec("end", TimeDomain.WATERMARK)

    def process(
        self,
        element: tuple[str, int],
        seen: Any = beam.DoFn.StateParam(SEEN),
        end: Any = beam.DoFn.TimerParam(END),
        window: Any = beam.DoFn.WindowParam,
    ) -> None:
        seen.add(element[1])
        end.set(window.max_timestamp())

    @on_timer(END)
    def tell(
        self,
        key: Any = beam.DoFn.KeyParam,
        window: Any = beam.DoFn.WindowParam,
        seen: Any = beam.DoFn.StateParam(SEEN),
    ) -> Iterator[str]:
        found = ",".join(map(str, sorted(seen.read())))
        yield f"{seconds(window.start) // MINUTE} {key}: {found}"


def build(pipeline: beam.Pipeline, task: Task) -> beam.PCollection[str]:
    pairs = lines(pipeline, task) | beam.WindowInto(FixedWindows(MINUTE)) | beam.FlatMap(said).with_output_types(tuple[str, int])
    return pairs | beam.ParDo(Collect()).with_output_types(str)
