"""Cross-language: a transform that another SDK's expansion service makes, run by that SDK's worker, between two ParDos of this one."""

from __future__ import annotations

import apache_beam as beam
from apache_beam.transforms.external import ImplicitSchemaPayloadBuilder

from conformance.sdks.python.task import Task, lines, words

PREFIX = "beam:transforms:xlang:test:prefix"


def build(pipeline: beam.Pipeline, task: Task) -> beam.PCollection[str]:
    far = beam.ExternalTransform(PREFIX, ImplicitSchemaPayloadBuilder({"data": "far "}), task.options["expansion"])
    there = lines(pipeline, task) | beam.FlatMap(words).with_output_types(str) | far
    return there | "back" >> beam.Map(lambda text: f"{text} and back")
