"""Nexmark, query 1: bids in another currency, at 89 cents."""

from __future__ import annotations

import json
from typing import Any

import apache_beam as beam

from conformance.sdks.python.task import Task, lines


def of_kind(line: str, kind: str) -> list[dict[str, Any]]:
    """The event of a line, where it is of that kind."""
    event = json.loads(line)
    return [event] if event["kind"] == kind else []


def tell(bid: dict[str, Any]) -> str:
    return f"{bid['auction']} {bid['bidder']} {bid['price'] * 89 // 100} {bid['t']}"


def build(pipeline: beam.Pipeline, task: Task) -> beam.PCollection[str]:
    return lines(pipeline, task) | beam.FlatMap(of_kind, "bid") | beam.Map(tell)
