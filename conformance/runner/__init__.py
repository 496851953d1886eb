"""The reference runner: job and artifact services, graph fusion, a pure engine, workers.

`serve()` starts a job endpoint in this process, `python -m conformance.runner` one in a process of its own. The engine
(`engine*`, `rules`, `state`, `grouping`, `cutting`) is pure: events in, commands out, no gRPC, threads, clock or randomness.
Everything else is the shell around it. Nothing here knows the oracle, the suite or the harness.
"""

from __future__ import annotations

from conformance.runner.server import Server, serve

__all__ = ["Server", "serve"]
