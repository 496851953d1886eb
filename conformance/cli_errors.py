"""The one way in which a command says that the call or the environment is at fault."""

from __future__ import annotations

import click

__all__ = ["CallError"]


class CallError(click.ClickException):
    """A call or an environment that cannot work; exit code 4."""

    exit_code = 4
