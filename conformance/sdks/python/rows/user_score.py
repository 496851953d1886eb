"""The mobile game, first part: the sum of every user's scores."""

from __future__ import annotations

import apache_beam as beam

from conformance.sdks.python.task import Task, lines


def by_user(line: str) -> tuple[str, int]:
    user, _, score, _ = line.split(",")
    return user, int(score)


def build(pipeline: beam.Pipeline, task: Task) -> beam.PCollection[str]:
    scores = lines(pipeline, task) | beam.Map(by_user).with_output_types(tuple[str, int])
    return scores | beam.CombinePerKey(sum) | beam.MapTuple(lambda user, score: f"{user} {score}")
