"""Median time of a job Impulse → ParDo → GroupByKey → ParDo, from Prepare to DONE seen, on several endpoints in turn.

The worker declares everything that a runner may make use of, elements in instructions too; each runner takes what it knows.
Jobs come in blocks of ten on one endpoint, as in real use, blocks of all endpoints in turn, in an order drawn anew each time: what
else the machine does falls on all alike. A job begins when the workers of the one before it have ended.
"""

from __future__ import annotations

import argparse
import random
import statistics
import time
from contextlib import ExitStack

from conformance.endpoints import Endpoint, JobClient, open_endpoint
from conformance.endpoints.job import Wants
from conformance.harness import Session
from conformance.harness.capabilities import EVERYTHING
from conformance.pipeline import Program

BLOCK = 10


def one_job(client: JobClient, endpoint: Endpoint, plain: bool) -> float:
    """Seconds from before Prepare to the terminal state. Raises RuntimeError if the job did not end DONE with its element."""
    session = Session() if plain else Session(EVERYTHING)
    session.embed_outputs = not plain
    program = Program("latency")
    program.create([("key", 1), ("key", 2)]).group_by_key().observe("out")
    pipeline = program.build(session.environment())
    started = time.perf_counter()
    outcome = client.run_job(
        pipeline, options=dict(endpoint.profile.options), transcript=session.transcript, wants=Wants(metrics=False)
    )
    seconds = time.perf_counter() - started
    seen = session.observations["out"]
    session.wait_ended(timeout=5.0)
    session.close()
    if not outcome.done or len(seen) != 1:
        raise RuntimeError(f"{endpoint.address}: {outcome.state} {outcome.error_text}, {len(seen)} groups")
    return seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--endpoints", nargs="+", default=["reference", "prism", "python"])
    parser.add_argument("--blocks", type=int, default=10, help=f"of {BLOCK} jobs each, on every endpoint")
    parser.add_argument("--warm-up", type=int, default=5)
    parser.add_argument("--plain", action="store_true", help="a worker that has all elements sent on Data streams")
    arguments = parser.parse_args()
    with ExitStack() as stack:
        endpoints = [stack.enter_context(open_endpoint(address, progress=print)) for address in arguments.endpoints]
        clients = [stack.enter_context(JobClient(endpoint)) for endpoint in endpoints]
        times: list[list[float]] = [[] for _ in endpoints]
        rivals = list(enumerate(zip(clients, endpoints, strict=True)))
        order = random.Random(0)
        for _, (client, endpoint) in rivals * arguments.warm_up:
            one_job(client, endpoint, arguments.plain)
        for _ in range(arguments.blocks):
            order.shuffle(rivals)
            for index, (client, endpoint) in rivals:
                times[index] += [one_job(client, endpoint, arguments.plain) for _ in range(BLOCK)]
        base = statistics.median(times[0])
        print(f"{'endpoint':32} {'median ms':>10} {'p95 ms':>8} {'to ' + str(endpoints[0].address):>14}")
        for endpoint, found in zip(endpoints, times, strict=True):
            median = statistics.median(found)
            p95 = sorted(found)[int(len(found) * 0.95) - 1]
            print(f"{endpoint.address!s:32} {median * 1000:10.1f} {p95 * 1000:8.1f} {median / base:14.2f}")


if __name__ == "__main__":
    main()
