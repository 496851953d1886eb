"""ParDo with side inputs: the words of the same minute, as an iterable and as a multimap."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import apache_beam as beam
from apache_beam.pvalue import AsIter, AsMultiMap
from apache_beam.transforms.window import FixedWindows

from conformance.sdks.python.task import MINUTE, Task, lines, said, seconds, words


class Compare(beam.DoFn):
    def process(
        self,
        line: str,
        everything: Iterable[tuple[str, int]],
        by_word: Mapping[str, Iterable[int]],
        stamp: Any = beam.DoFn.TimestampParam,
    ) -> Iterator[str]:
        yield f"{seconds(stamp)} * {sum(1 for _ in everything)}"
        for word in words(line):
            yield f"{seconds(stamp)} {word} {sum(1 for _ in by_word[word])}"


def build(pipeline: beam.Pipeline, task: Task) -> beam.PCollection[str]:
    main = lines(pipeline, task) | beam.WindowInto(FixedWindows(MINUTE))
    side = main | beam.FlatMap(said).with_output_types(tuple[str, int])
    return main | beam.ParDo(Compare(), AsIter(side), AsMultiMap(side))
