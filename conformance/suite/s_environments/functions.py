"""Functions that worker processes need to tell of themselves; a process imports them because its environment says so."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from conformance.harness.__main__ import DIRECTORY_VARIABLE, STAGED
from conformance.harness.context import Context
from conformance.harness.functions import dofn

__all__ = ["environment_variable", "path_exists", "staged_files"]


@dofn("environment_variable")
def environment_variable(ctx: Context, name: str) -> Iterator[str]:
    """The value of a variable of the process' environment, for each element."""
    yield os.environ.get(name, "(not set)")


@dofn("staged_files")
def staged_files(ctx: Context) -> Iterator[str]:
    """Name and text of each file that was staged for the worker, as "name=text", for each element."""
    directory = Path(os.environ[DIRECTORY_VARIABLE]) / STAGED
    for path in sorted(path for path in directory.rglob("*") if path.is_file()):
        yield f"{path.relative_to(directory)}={path.read_text(encoding='utf-8')}"


@dofn("path_exists")
def path_exists(ctx: Context, path: str) -> Iterator[bool]:
    """Whether the worker sees this path in its own file system, for each element."""
    yield Path(path).exists()
