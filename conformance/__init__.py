"""Conformance test suite and reference runner for Apache Beam portable runners. The map of the package is docs/architecture.md."""

import os

__version__ = "0.1.0"

# Read when gRPC is first imported, so here. Nothing calls gRPC between fork and exec; its handlers in a forked child, run while other
# threads are in the middle of calls, have crashed the child before it became the worker that was to be started.
os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "0")
