"""Thousands of jobs in one server, one after another and many at a time: is any lost, does memory, threads or files grow?

Memory, threads and open files are those of the endpoint's own process (Linux). Growth counts from a mark (10 % of the jobs, at most 500),
when caches are warm and the runner remembers as many finished jobs as it ever will.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from attrs import frozen

from conformance.endpoints import Endpoint, JobClient, open_endpoint
from conformance.endpoints.job import Wants
from conformance.harness import Session
from conformance.pipeline import Program

#: A runner may let go of the last streams a moment after it said DONE.
SETTLE_SECONDS = 3.0


@frozen
class Size:
    """What a process holds."""

    megabytes: float
    threads: int
    files: int

    @classmethod
    def of(cls, pid: int) -> Size:
        status = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text(encoding="utf-8").splitlines())
        return cls(int(status["VmRSS"].split()[0]) / 1024, int(status["Threads"]), len(os.listdir(f"/proc/{pid}/fd")))

    def __str__(self) -> str:
        return f"{self.megabytes:7.1f} MB {self.threads:4} threads {self.files:4} files"


def one_job(client: JobClient, endpoint: Endpoint) -> str:
    """Empty, or what went wrong."""
    with Session() as session:
        program = Program("endurance")
        program.create([("key", 1), ("key", 2)]).group_by_key().observe("out")
        pipeline = program.build(session.environment())
        options = dict(endpoint.profile.options)
        outcome = client.run_job(pipeline, options=options, transcript=session.transcript, wants=Wants(metrics=False))
        seen = session.observations["out"]
        ended = session.wait_ended(SETTLE_SECONDS)
    if not outcome.done or len(seen) != 1:
        return f"{outcome.job_id}: {outcome.state} {outcome.error_text}, {len(seen)} groups"
    return "" if ended else f"{outcome.job_id}: the runner did not let its worker go"


def phase(endpoint: Endpoint, client: JobClient, jobs: int, at_once: int) -> bool:
    """Runs jobs and prints what became of them and of the server; whether all went well."""
    mark = min(500, jobs // 10)
    lost: list[str] = []
    before = marked = Size.of(endpoint.pid)
    started = time.perf_counter()

    def results() -> Iterator[str]:
        if at_once == 1:
            yield from (one_job(client, endpoint) for _ in range(jobs))
            return
        with ThreadPoolExecutor(at_once) as threads:
            yield from threads.map(lambda _: one_job(client, endpoint), range(jobs))

    for number, wrong in enumerate(results(), 1):
        if wrong:
            lost.append(wrong)
        if number == mark:
            marked = Size.of(endpoint.pid)
    seconds = time.perf_counter() - started
    deadline = time.monotonic() + SETTLE_SECONDS
    while (after := Size.of(endpoint.pid)).files > before.files + 2 and time.monotonic() < deadline:
        time.sleep(0.05)
    growth = after.megabytes / marked.megabytes - 1
    print(f"{jobs} jobs, {at_once} at a time: {seconds:.1f} s, {len(lost)} lost {lost[:3] or ''}")
    for name, size in (("before", before), (f"after {mark}", marked), ("at the end", after)):
        print(f"  {name:12} {size}")
    print(f"  memory {growth:+.1%} after the first {mark}", flush=True)
    return not lost and growth < 0.10


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--endpoint", default="reference")
    parser.add_argument("--jobs", type=int, default=5000)
    parser.add_argument("--at-once", nargs="+", type=int, default=[1, 16])
    arguments = parser.parse_args()
    with open_endpoint(arguments.endpoint, progress=print) as endpoint, JobClient(endpoint) as client:
        fine = [phase(endpoint, client, arguments.jobs, at_once) for at_once in arguments.at_once]
    return 0 if all(fine) else 1


if __name__ == "__main__":
    sys.exit(main())
