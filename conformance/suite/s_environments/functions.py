"""Functions that worker processes need to tell of themselves; a process imports them because its environment says so."""

from __future__ import annotations

import os
from collections.abc import Iterator

from conformance.harness.context import Context
from conformance.harness.functions import dofn

__all__ = ["environment_variable"]


@dofn("environment_variable")
def environment_variable(ctx: Context, name: str) -> Iterator[str]:
    """The value of a variable of the process' environment, for each element."""
    yield os.environ.get(name, "(not set)")
