"""What every row is given, and the two ends of its pipeline: a source of lines with timestamps, and an observer that writes files.

The source uses Impulse and a ParDo in batch mode; in streaming mode the ParDo is a splittable function declared unbounded, which
tells the watermark that stands in the file. The observer writes one file a bundle, moved into place when the bundle is finished.
"""

from __future__ import annotations

import dataclasses
import os
import re
import uuid
from collections.abc import Iterable, Iterator
from typing import Any

import apache_beam as beam
from apache_beam.io.restriction_trackers import OffsetRange, OffsetRestrictionTracker
from apache_beam.io.watermark_estimators import ManualWatermarkEstimator
from apache_beam.transforms.window import FixedWindows, TimestampedValue
from apache_beam.utils.timestamp import Timestamp

__all__ = ["MINUTE", "FollowLines", "Lines", "Task", "in_two", "lines", "observe", "said", "seconds", "span", "words"]

MINUTE = 60
#: Longer than any input.
DAY = 24 * 3600


@dataclasses.dataclass(frozen=True)
class Task:
    """One row in one mode: where its input is, and where its output belongs."""

    row: str
    mode: str
    endpoint: str
    output: str
    input: str = ""
    options: dict[str, Any] = dataclasses.field(default_factory=dict)

    @property
    def streaming(self) -> bool:
        return self.mode == "streaming"


def entries(path: str) -> list[tuple[int, int | None, str]]:
    """The input: before each line the watermark (ms), the line's timestamp (ms, or None), the line."""
    with open(path, encoding="utf-8") as file:
        parts = [line.rstrip("\n").split("\t", 2) for line in file]
    return [(int(watermark), int(stamp) if stamp else None, text) for watermark, stamp, text in parts]


def stamped(text: str, stamp: int | None) -> Any:
    return text if stamp is None else TimestampedValue(text, Timestamp(micros=1000 * stamp))


class ReadLines(beam.DoFn):
    """All lines of a file, each at its timestamp."""

    def process(self, path: str) -> Iterator[Any]:
        for _, stamp, text in entries(path):
            yield stamped(text, stamp)


class Lines(beam.RestrictionProvider):
    """The lines of a file by number."""

    def initial_restriction(self, path: str) -> OffsetRange:
        return OffsetRange(0, len(entries(path)))

    def create_tracker(self, restriction: OffsetRange) -> OffsetRestrictionTracker:
        return OffsetRestrictionTracker(restriction)

    def restriction_size(self, path: str, restriction: OffsetRange) -> int:
        return int(restriction.size())


class FollowLines(beam.DoFn):
    """All lines of a file as an unbounded source: the watermark goes along."""

    @beam.DoFn.unbounded_per_element()
    def process(
        self,
        path: str,
        tracker: Any = beam.DoFn.RestrictionParam(Lines()),
        watermark: Any = beam.DoFn.WatermarkEstimatorParam(ManualWatermarkEstimator.default_provider()),
    ) -> Iterator[Any]:
        position = tracker.current_restriction().start
        for mark, stamp, text in entries(path)[position:]:
            if not tracker.try_claim(position):
                return
            watermark.set_watermark(Timestamp(micros=1000 * mark))
            yield stamped(text, stamp)
            position += 1


def lines(pipeline: beam.Pipeline, task: Task) -> beam.PCollection[str]:
    """The lines of the task's input: bounded in batch mode; in streaming mode unbounded, and in one window that has them all,
    since an unbounded collection cannot be grouped in the global window."""
    source = FollowLines() if task.streaming else ReadLines()
    path = task.input
    found = (
        pipeline
        | "impulse" >> beam.Impulse()
        | "path" >> beam.Map(lambda _: path)
        | "lines" >> beam.ParDo(source).with_output_types(str)
    )
    return found | "one window" >> beam.WindowInto(FixedWindows(DAY)) if task.streaming else found


class Observe(beam.DoFn):
    """Writes the lines of each bundle to a file of its own."""

    def __init__(self, directory: str) -> None:
        self.directory = directory
        self.seen: list[str] = []

    def start_bundle(self) -> None:
        self.seen = []

    def process(self, line: str) -> None:
        self.seen.append(line)

    def finish_bundle(self) -> None:
        if not self.seen:
            return
        name = os.path.join(self.directory, uuid.uuid4().hex)
        with open(f"{name}.part", "w", encoding="utf-8") as file:
            file.writelines(f"{line}\n" for line in self.seen)
        os.replace(f"{name}.part", f"{name}.txt")


def observe(found: beam.PCollection[str], task: Task) -> None:
    """Write the lines where the suite looks for them."""
    _ = found | "observe" >> beam.ParDo(Observe(task.output))


def words(line: str) -> list[str]:
    """Runs of letters and apostrophes, in lower case."""
    return re.findall(r"[a-z']+", line.lower())


def seconds(stamp: Any) -> int:
    """A timestamp of Beam as whole seconds."""
    return int(stamp.micros // 1_000_000)


def said(line: str, stamp: Any = beam.DoFn.TimestampParam) -> Iterable[tuple[str, int]]:
    """(word, second) of each word of a line."""
    return [(word, seconds(stamp)) for word in words(line)]


def in_two(pairs: beam.PCollection[tuple[str, int]]) -> beam.PCollection[tuple[str, int]]:
    """The pairs of even seconds at once, the others behind a grouping, so that keys have values in more than one bundle."""
    direct = pairs | "at once" >> beam.Filter(lambda pair: pair[1] % 2 == 0)
    held = pairs | "not at once" >> beam.Filter(lambda pair: pair[1] % 2 == 1) | "held up" >> beam.GroupByKey()
    ungroup = beam.FlatMapTuple(lambda word, found: [(word, second) for second in found])
    behind = held | "let go" >> ungroup.with_output_types(tuple[str, int])
    return (direct, behind) | "in two" >> beam.Flatten()


def span(window: Any) -> str:
    """A window as `start-end` in seconds."""
    return f"{seconds(window.start)}-{seconds(window.end)}"
