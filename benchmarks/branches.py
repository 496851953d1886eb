"""Time of one job with N independent branches (Impulse → ParDo → GroupByKey → ParDo each), for growing N: linear or not."""

from __future__ import annotations

import argparse
import time

from conformance.endpoints import JobClient, open_endpoint
from conformance.endpoints.job import Wants
from conformance.harness import Session
from conformance.pipeline import Program


def run(address: str, sizes: list[int], repeat: int) -> None:
    with open_endpoint(address, progress=print) as endpoint, JobClient(endpoint) as client:
        for size in [1, *sizes]:
            best = float("inf")
            for _ in range(repeat):
                session = Session()
                program = Program("branches")
                for branch in range(size):
                    program.branch(f"b{branch}").create([("key", branch)]).group_by_key().observe("out")
                pipeline = program.build(session.environment())
                started = time.perf_counter()
                outcome = client.run_job(
                    pipeline, options=dict(endpoint.profile.options), transcript=session.transcript, wants=Wants(metrics=False)
                )
                best = min(best, time.perf_counter() - started)
                session.close()
                if not outcome.done:
                    raise RuntimeError(f"{address}: {outcome.state} {outcome.error_text}")
            print(f"{address:24} {size:5} branches {best:8.3f} s {best / size * 1000:8.2f} ms a branch")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--endpoints", nargs="+", default=["reference", "prism", "python"])
    parser.add_argument("--sizes", nargs="+", type=int, default=[10, 50, 100, 200])
    parser.add_argument("--repeat", type=int, default=2)
    arguments = parser.parse_args()
    for address in arguments.endpoints:
        run(address, arguments.sizes, arguments.repeat)


if __name__ == "__main__":
    main()
