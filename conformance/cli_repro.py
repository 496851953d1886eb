"""`repro`: one recorded result asked again, of the same runner unless another is named, with the same pipeline to the byte.

The programs of an assertion follow from its name and the seed alone, so they are made again rather than stored; the digest in the
evidence proves that they are the same. A counter-example that Hypothesis kept beside the results is asked first.
"""

from __future__ import annotations

import shlex
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from conformance.cli_errors import CallError

if TYPE_CHECKING:
    from conformance.report.results import Result, Results

__all__ = ["find", "repro_command", "words_for"]


def find(read: Results, name: str) -> Result:
    """The result called `name` (LEAF/slug): the first that is not a pass, else the first. Raises CallError with what failed."""
    named = [result for result in read.results if result.assertion.lower() == name.lower()]
    if not named:
        failed = [result.assertion for result in read.results if result.verdict.value not in ("pass", "no-verdict")]
        hint = f"what did not pass there: {', '.join(failed[:10])}" if failed else "everything passed there"
        raise CallError(f"{read.path} has no result {name}; {hint}")
    return next((result for result in named if result.verdict.value != "pass"), named[0])


def words_for(read: Results, result: Result, output: Path, runner: str | None) -> list[str]:
    """The words after `beam-conformance` that ask `result` again: its own command, with what the whole run was asked to do."""
    command = result.evidence.get("command")
    if not command:
        raise CallError(
            f"{result.assertion} was not judged ({result.message or result.verdict.value}), so there is nothing to ask again"
        )
    words = shlex.split(command)[1:]
    whole = shlex.split(read.header.command)
    for option in ("--examples", "--timeout-scale", "--environment"):
        if option in whole[:-1]:
            words += [option, whole[whole.index(option) + 1]]
    if runner is not None:
        words[words.index("--runner") + 1] = runner
    return [*words, "--jobs", "1", "--output", str(output)]


@click.command("repro")
@click.argument("name")
@click.option(
    "--results",
    "file",
    default=Path("reports/reference/results.jsonl"),
    show_default=True,
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="The results in which it was recorded.",
)
@click.option("--runner", metavar="ADDRESS", help="Ask another runner than the one that was asked.")
def repro_command(name: str, file: Path, runner: str | None) -> None:
    """Ask one recorded result (LEAF/slug) again, with the same pipeline to the byte."""
    from conformance.cli import cli
    from conformance.report import results

    try:
        read = results.read(file)
    except results.ResultsError as error:
        raise CallError(str(error)) from None
    recorded = find(read, name)
    output = file.parent / "repro"
    words = words_for(read, recorded, output, runner)
    if (kept := file.parent / "examples").is_dir():
        shutil.copytree(kept, output / "examples", dirs_exist_ok=True)
    click.echo(f"beam-conformance {shlex.join(words)}")
    try:
        code = cli.main(words, standalone_mode=False)
    except click.exceptions.Exit as done:
        code = done.exit_code
    if not (output / "results.jsonl").exists():
        sys.exit(code if isinstance(code, int) else 4)
    again = next((each for each in results.read(output / "results.jsonl").results if each.assertion == recorded.assertion), None)
    if again is None:
        click.echo("It was not asked: see above.", err=True)
        sys.exit(code if isinstance(code, int) and code else 3)
    click.echo(f"recorded: {recorded.verdict.value}: {recorded.message or '-'}")
    click.echo(f"now:      {again.verdict.value}: {again.message or '-'}")
    then, now = recorded.evidence.get("digest"), again.evidence.get("digest")
    if then is not None or now is not None:
        click.echo(f"pipeline: {'the same to the byte' if then == now else 'NOT the same'} ({then}, {now})")
    sys.exit(code if isinstance(code, int) else 0)
