"""The mobile game, fourth part: the sum of every team's scores by the hour, without users who score more than twice the hour's mean."""

from __future__ import annotations

from collections.abc import Iterable

import apache_beam as beam
from apache_beam.pvalue import AsIter, AsSingleton
from apache_beam.transforms.combiners import MeanCombineFn
from apache_beam.transforms.window import FixedWindows

from conformance.sdks.python.rows.hourly_team_score import HOUR, by_team, tell
from conformance.sdks.python.rows.user_score import by_user
from conformance.sdks.python.task import Task, lines


def is_robot(total: tuple[str, int], mean: float) -> bool:
    return total[1] > 2 * mean


def is_honest(line: str, robots: Iterable[str]) -> bool:
    return by_user(line)[0] not in set(robots)


def build(pipeline: beam.Pipeline, task: Task) -> beam.PCollection[str]:
    hourly = lines(pipeline, task) | beam.WindowInto(FixedWindows(HOUR))
    totals = hourly | beam.Map(by_user).with_output_types(tuple[str, int]) | "by user" >> beam.CombinePerKey(sum)
    mean = totals | "sums" >> beam.Values() | beam.CombineGlobally(MeanCombineFn()).without_defaults()
    robots = totals | beam.Filter(is_robot, AsSingleton(mean)) | "names" >> beam.Keys()
    honest = hourly | "honest" >> beam.Filter(is_honest, AsIter(robots))
    scores = honest | "teams" >> beam.Map(by_team).with_output_types(tuple[str, int])
    return scores | "by team" >> beam.CombinePerKey(sum) | beam.Map(tell)
