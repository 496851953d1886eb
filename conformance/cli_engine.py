"""The command that runs another beside a Docker engine of its own, for machines where none runs."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from types import FrameType

import click

from conformance.cli_errors import CallError

__all__ = ["with_docker_command"]


@click.command("with-docker", context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False})
@click.option(
    "--data",
    type=click.Path(file_okay=False, path_type=Path),
    help="Directory for images, kept for the next time [default: forgotten at the end].",
)
@click.argument("command", nargs=-1, type=click.UNPROCESSED)
def with_docker_command(data: Path | None, command: tuple[str, ...]) -> None:
    """Start a Docker engine of one's own, run COMMAND with DOCKER_HOST set, and stop the engine; as root.

    Without a COMMAND the engine runs until interrupted. It has its own socket and data and changes no network settings.
    """
    from conformance.endpoints import engine, errors

    try:
        with engine.private_engine(data.resolve() if data else None) as host:
            if command:
                code = _run(command, host)
            else:
                click.echo(f"export DOCKER_HOST={host}")
                click.echo("Stop with Ctrl-C.")
                sys.stdout.flush()
                code = _until_interrupted()
    except errors.EndpointError as error:
        raise CallError(str(error)) from None
    sys.exit(code)


def _run(command: tuple[str, ...], host: str) -> int:
    try:
        with subprocess.Popen(command, env={**os.environ, "DOCKER_HOST": host}) as process:
            # The terminal sends Ctrl-C to both; the command decides what it means.
            handler = signal.signal(signal.SIGINT, signal.SIG_IGN)
            try:
                return process.wait()
            finally:
                signal.signal(signal.SIGINT, handler)
    except OSError as error:
        raise CallError(f"cannot run {command[0]!r}: {error.strerror or error}. Check its name.") from None


def _until_interrupted() -> int:
    stop: list[int] = []

    def note(number: int, frame: FrameType | None) -> None:
        stop.append(number)

    for each in (signal.SIGINT, signal.SIGTERM):
        signal.signal(each, note)
    while not stop:
        signal.pause()
    return 0
