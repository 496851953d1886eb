"""ParDo with user state: numbers the occurrences of each word in its minute, kept in a value and in a bag from bundle to bundle."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import apache_beam as beam
from apache_beam.coders import VarIntCoder
from apache_beam.transforms.userstate import BagStateSpec, ReadModifyWriteStateSpec
from apache_beam.transforms.window import FixedWindows

from conformance.sdks.python.task import MINUTE, Task, in_two, lines, said, seconds


class Number(beam.DoFn):
    LAST = ReadModifyWriteStateSpec("last", VarIntCoder())
    SEEN = BagStateSpec("seen", VarIntCoder())

    def process(
        self,
        element: tuple[str, int],
        last: Any = beam.DoFn.StateParam(LAST),
        seen: Any = beam.DoFn.StateParam(SEEN),
        window: Any = beam.DoFn.WindowParam,
    ) -> Iterator[str]:
        number = (last.read() or 0) + 1
        last.write(number)
        seen.add(number)
        # The two kinds of state have to be of one mind.
        kept = sorted(seen.read())
        minute = seconds(window.start) // MINUTE
        yield f"{minute} {element[0]} {number}" if kept == list(range(1, number + 1)) else f"{element[0]}: {number} but {kept}"


def build(pipeline: beam.Pipeline, task: Task) -> beam.PCollection[str]:
    pairs = lines(pipeline, task) | beam.WindowInto(FixedWindows(MINUTE)) | beam.FlatMap(said).with_output_types(tuple[str, int])
    return in_two(pairs) | beam.ParDo(Number())
