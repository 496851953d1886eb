"""The commands about legal variants of the reference runner: list them, and ask the whole suite of them and of combinations.

A variant is as right as the runner without it: what does not pass there is the runner's fault or, more likely, an assertion that
asks for more than the rules do.
"""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click
import msgspec

from conformance.cli_errors import CallError
from conformance.resuming import digest_of_code, read_lines

__all__ = ["variants_group"]

OUTPUT = Path("reports/variants")


class Outcome(msgspec.Struct, frozen=True, omit_defaults=True):
    """What the suite said of one variant or combination; a line of `variants.jsonl`."""

    variant: str
    #: The variants that it stands for.
    names: list[str]
    exit_code: int
    counts: dict[str, int]
    seconds: float
    #: MUST assertions that neither passed nor had nothing to judge: assertion, mode, verdict, message.
    unexpected: list[str] = []
    #: Of the code and data that the outcome depends on.
    mark: str = ""


@click.group("variants")
def variants_group() -> None:
    """Legal ways to run: proof that the suite is fair."""


@variants_group.command("list")
def list_variants() -> None:
    """Print the legal variants of the reference runner and what each does."""
    from conformance.runner import variants

    for name, variant in sorted(variants.VARIANTS.items()):
        click.echo(f"{name:30} {(variant.__doc__ or '').splitlines()[0]}")


@variants_group.command("run")
@click.argument("words", nargs=-1, metavar="[NAME]... [-- RUN_OPTIONS]")
@click.option("--random", "drawn", type=click.IntRange(0), default=0, show_default=True, help="So many drawn combinations too.")
@click.option("--seed", type=int, default=0, show_default=True, help="The first of the seeds that combinations are drawn from.")
@click.option("--resume", is_flag=True, help="Leave out what the output has of the same code.")
@click.option(
    "--output", default=OUTPUT, show_default=True, metavar="DIR", type=click.Path(path_type=Path), help="Where results are kept."
)
def run_variants(words: tuple[str, ...], **options: Any) -> None:
    """Ask the suite of variants (all of them if none is named); options for each `run` stand behind `--`.

    Exit code 1 if any MUST assertion did not pass on any of them.
    """
    at = next((index for index, each in enumerate(words) if each.startswith("-")), len(words))
    _run(list(words[:at]), list(words[at:]), **options)


def _run(names: list[str], run_options: list[str], drawn: int, seed: int, resume: bool, output: Path) -> None:
    from conformance.runner import variants

    try:
        for name in names:
            variants.classes(variants.parse(name)[0])
    except ValueError as error:
        raise CallError(str(error)) from None
    chosen = names or ([] if drawn else sorted(variants.VARIANTS))
    chosen += [f"{variants.RANDOM},seed={number}" for number in range(seed, seed + drawn)]
    output.mkdir(parents=True, exist_ok=True)
    kept_in, digest = output / "variants.jsonl", digest_of_code()
    digest.update(" ".join(run_options).encode())
    mark = digest.hexdigest()[:16]
    known = {each.variant: each for each in read_lines(kept_in, Outcome) if each.mark == mark} if resume else {}
    outcomes: list[Outcome] = []
    with kept_in.open("ab" if resume else "wb") as file:
        for number, variant in enumerate(chosen, 1):
            outcome = known.get(variant) or _ask(variant, run_options, output, mark)
            outcomes.append(outcome)
            if variant not in known:
                file.write(msgspec.json.encode(outcome) + b"\n")
                file.flush()
            told = "as expected" if outcome.exit_code == 0 else f"exit code {outcome.exit_code}"
            stands_for = f" ({'+'.join(outcome.names)})" if variant.startswith(variants.RANDOM) else ""
            click.echo(f"{number:3}/{len(chosen)} {variant}{stands_for}: {told}, {outcome.counts.get('pass', 0)} pass")
            for line in outcome.unexpected:
                click.echo(f"      {line}")
    good = sum(outcome.exit_code == 0 for outcome in outcomes)
    click.echo(f"{good} of {len(outcomes)} variants and combinations as expected; results: {output}")
    sys.exit(0 if good == len(outcomes) else 1)


def _ask(variant: str, run_options: Sequence[str], output: Path, mark: str) -> Outcome:
    """Runs the suite in a process of its own. Raises CallError if it leaves no results."""
    from conformance.report import results
    from conformance.report.verdicts import unexpected
    from conformance.runner import variants

    folder = output / variant.replace(",", "-").replace("=", "-").replace("+", "_")
    command = [
        sys.executable,
        "-c",
        "from conformance.cli import main; main()",
        "run",
        "--runner",
        f"reference:variant={variant}",
    ]
    done = subprocess.run([*command, "--output", str(folder), *run_options], capture_output=True, text=True, check=False)
    try:
        read = results.read(folder / "results.jsonl")
    except (OSError, results.ResultsError) as error:
        raise CallError(
            f"the suite left no results of {variant}: {error}; it said: {(done.stderr or done.stdout)[-2000:]}"
        ) from None
    counts = dict(Counter(result.verdict.value for result in read.results))
    broken = [
        f"{each.assertion} [{each.mode}] {each.verdict.value}: {each.message.splitlines()[0] if each.message else ''}"
        for each in read.results
        if unexpected(each)
    ]
    seconds = read.footer.seconds if read.footer is not None else 0.0
    return Outcome(variant, variants.parse(variant)[0], done.returncode, counts, round(seconds, 1), broken, mark)
