"""Impulse: one element, empty, at the beginning of time."""

from __future__ import annotations

from typing import Any

import apache_beam as beam

from conformance.sdks.python.task import Task


def tell(element: bytes, stamp: Any = beam.DoFn.TimestampParam) -> str:
    # Cut toward zero, as the SDK itself cuts microseconds for the wire.
    return f"{len(element)} bytes at {-(-stamp.micros // 1000)}"


def build(pipeline: beam.Pipeline, task: Task) -> beam.PCollection[str]:
    return pipeline | beam.Impulse() | beam.Map(tell)
