"""Throughput and memory of a GroupByKey of many small pairs from Beam's Python SDK, on several endpoints in turn.

Impulse → FlatMap (N pairs of 11-byte keys and ints, 10,000 distinct keys) → GroupByKey → count, with the SDK's worker in this process
(LOOPBACK). Memory is the peak of the endpoint's own process.
"""

from __future__ import annotations

import argparse
import logging
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import apache_beam as beam
from apache_beam.metrics import Metrics, MetricsFilter
from apache_beam.options.pipeline_options import PipelineOptions

from conformance.endpoints import open_endpoint

KEYS = 10_000


class Pairs(beam.DoFn):  # type: ignore[misc]
    """Emits `count` pairs of (bytes, int)."""

    def __init__(self, count: int) -> None:
        self.count = count

    def process(self, _: Any) -> Iterator[tuple[bytes, int]]:
        for index in range(self.count):
            yield b"key-%07d" % (index % KEYS), index


class Count(beam.DoFn):  # type: ignore[misc]
    """Counts keys and values, so that a wrong grouping is seen."""

    def __init__(self) -> None:
        self.keys = Metrics.counter("group_by_key", "keys")
        self.values = Metrics.counter("group_by_key", "values")

    def process(self, group: tuple[bytes, Iterable[int]]) -> None:
        self.keys.inc()
        self.values.inc(sum(1 for _ in group[1]))


def one_job(url: str, count: int) -> float:
    """Seconds from submission to DONE. Raises RuntimeError if keys or values were lost."""
    options = PipelineOptions(
        [
            "--runner=PortableRunner",
            f"--job_endpoint={url}",
            "--environment_type=LOOPBACK",
            "--experiments=disable_logging_submission_environment",
        ]
    )
    pipeline = beam.Pipeline(options=options)
    pairs = pipeline | beam.Impulse() | beam.ParDo(Pairs(count)).with_output_types(tuple[bytes, int])
    _ = pairs | beam.GroupByKey() | beam.ParDo(Count())
    started = time.perf_counter()
    result = pipeline.run()
    state = result.wait_until_finish()
    seconds = time.perf_counter() - started
    counters = {
        each.key.metric.name: each.result
        for each in result.metrics().query(MetricsFilter().with_namespace("group_by_key"))["counters"]
    }
    if state != "DONE" or counters != {"keys": min(KEYS, count), "values": count}:
        raise RuntimeError(f"{url}: {state}, {counters}")
    return seconds


def peak_megabytes(pid: int) -> float:
    """The peak resident size of a process (Linux)."""
    status = Path(f"/proc/{pid}/status").read_text(encoding="utf-8")
    return int(status.split("VmHWM:")[1].split()[0]) / 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--endpoints", nargs="+", default=["reference", "prism", "python"])
    parser.add_argument("--pairs", nargs="+", type=int, default=[100_000, 1_000_000])
    parser.add_argument("--repeat", type=int, default=2)
    arguments = parser.parse_args()
    logging.disable(logging.ERROR)
    print(f"{'endpoint':24} {'pairs':>10} {'seconds':>9} {'pairs/s':>10} {'peak MB':>8}")
    for count in arguments.pairs:
        for address in arguments.endpoints:
            # A fresh process each, so that the peak is that of this size.
            with open_endpoint(address) as endpoint:
                best = min(one_job(endpoint.url, count) for _ in range(arguments.repeat))
                peak = f"{peak_megabytes(endpoint.pid):8.0f}" if endpoint.managed and endpoint.pid else f"{'-':>8}"
                print(f"{address:24} {count:10} {best:9.2f} {count / best:10.0f} {peak}", flush=True)


if __name__ == "__main__":
    main()
