"""Nexmark, query 8: who opened auctions in the same ten seconds in which they came, joined by CoGroupByKey."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

import apache_beam as beam
from apache_beam.transforms.window import FixedWindows

from conformance.sdks.python.rows.nexmark_q1 import of_kind
from conformance.sdks.python.rows.nexmark_q7 import SPAN
from conformance.sdks.python.task import Task, lines


def tell(person: int, found: Mapping[str, Iterable[object]]) -> Iterator[str]:
    opened = len(list(found["auctions"]))
    for name in found["names"]:
        if opened:
            yield f"{person} {name} {opened}"


def build(pipeline: beam.Pipeline, task: Task) -> beam.PCollection[str]:
    events = lines(pipeline, task) | beam.WindowInto(FixedWindows(SPAN))
    persons = events | "persons" >> beam.FlatMap(of_kind, "person")
    auctions = events | "auctions" >> beam.FlatMap(of_kind, "auction")
    sides = {
        "names": persons | "by id" >> beam.Map(lambda each: (each["id"], each["name"])).with_output_types(tuple[int, str]),
        "auctions": auctions
        | "by seller" >> beam.Map(lambda each: (each["seller"], each["id"])).with_output_types(tuple[int, int]),
    }
    return sides | beam.CoGroupByKey() | beam.FlatMapTuple(tell)
