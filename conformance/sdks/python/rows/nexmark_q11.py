"""Nexmark, query 11: each user's bids by session, with a gap of two seconds."""

from __future__ import annotations

from typing import Any

import apache_beam as beam
from apache_beam.transforms.window import Sessions

from conformance.sdks.python.rows.nexmark_q1 import of_kind
from conformance.sdks.python.task import Task, lines

GAP = 2


def tell(count: tuple[int, int], window: Any = beam.DoFn.WindowParam) -> str:
    return f"{count[0]} {window.start.micros // 1000} {window.end.micros // 1000} {count[1]}"


def build(pipeline: beam.Pipeline, task: Task) -> beam.PCollection[str]:
    bids = lines(pipeline, task) | beam.FlatMap(of_kind, "bid")
    bidders = bids | beam.Map(lambda bid: (bid["bidder"], bid["id"])).with_output_types(tuple[int, int])
    return bidders | beam.WindowInto(Sessions(GAP)) | beam.combiners.Count.PerKey() | beam.Map(tell)
