"""`python -m conformance.runner --port 0`: the reference runner as a process. Prints `listening on HOST:PORT` when ready."""

from __future__ import annotations

import argparse
import gc
import signal
import sys

from conformance.runner import environments
from conformance.runner.server import serve


def main(arguments: list[str] | None = None) -> int:
    """Serves until SIGINT or SIGTERM."""
    parser = argparse.ArgumentParser(
        prog="python -m conformance.runner", description="The reference runner as a Beam job endpoint."
    )
    parser.add_argument("--port", type=int, default=8099, help="port to listen on; 0 takes a free one (default: 8099)")
    parser.add_argument("--host", default="localhost", help="name under which clients and workers reach it (default: localhost)")
    parser.add_argument(
        "--variant", help="legal ways to run, as in one-element-bundles+unfused; random: those that --seed stands for"
    )
    parser.add_argument("--seed", type=int, default=0, help="of what variants draw (default: 0)")
    parser.add_argument("--mutant", help="one planted fault, by name")
    parser.add_argument(
        "--default-environment",
        metavar="KIND:WHERE",
        help="what beam:env:default:v1 stands for: external:HOST:PORT, process:COMMAND or docker:IMAGE",
    )
    given = parser.parse_args(arguments)
    try:
        default = environments.parse_default(given.default_environment) if given.default_environment else None
        server = serve(given.port, given.host, given.variant, given.mutant, default, given.seed)
    except (ValueError, OSError) as error:
        print(f"{parser.prog}: {error}", file=sys.stderr)
        return 4
    for each in (signal.SIGINT, signal.SIGTERM):
        signal.signal(each, lambda *_: server.request_stop())
    gc.freeze()  # what has been loaded stays; a collection in the middle of a job is over the sooner
    print(f"listening on {server.url}", flush=True)
    server.wait_for_request()
    server.stop()
    return 0


if __name__ == "__main__":
    sys.exit(main())
