"""Nexmark, query 7: the highest bids of each ten seconds; the highest price is a side input of the same window."""

from __future__ import annotations

from typing import Any

import apache_beam as beam
from apache_beam.pvalue import AsSingleton
from apache_beam.transforms.window import FixedWindows

from conformance.sdks.python.rows.nexmark_q1 import of_kind
from conformance.sdks.python.task import Task, lines

SPAN = 10


def tell(bid: dict[str, Any]) -> str:
    return f"{bid['auction']} {bid['bidder']} {bid['price']} {bid['t']}"


def build(pipeline: beam.Pipeline, task: Task) -> beam.PCollection[str]:
    bids = lines(pipeline, task) | beam.FlatMap(of_kind, "bid") | beam.WindowInto(FixedWindows(SPAN))
    prices = bids | "prices" >> beam.Map(lambda bid: bid["price"]).with_output_types(int)
    highest = prices | beam.CombineGlobally(max).without_defaults()
    return bids | beam.Filter(lambda bid, price: bid["price"] == price, AsSingleton(highest)) | beam.Map(tell)
