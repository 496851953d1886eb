"""The command line. Every command answers bad input with one sentence and exit code 4; the codes are a contract:

0 as expected, 1 an unexpected result, 2 a stale baseline, 3 too little ran to conclude, 4 the environment or the call was at fault.
"""

from __future__ import annotations

import datetime
import os
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from conformance import __version__, cli_sdks
from conformance.cli_engine import with_docker_command
from conformance.cli_errors import CallError
from conformance.cli_mutants import mutants_group
from conformance.cli_report import audit_command, baseline_group, diff_command, merge_command, report_command, tell_github
from conformance.cli_repro import repro_command
from conformance.cli_variants import variants_group

if TYPE_CHECKING:
    from rich.console import Console

    from conformance.progress import ProgressPlugin
    from conformance.report.baseline import Baseline
    from conformance.sdks.rows import Row

__all__ = ["main"]


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="beam-conformance")
def cli() -> None:
    """Conformance of Apache Beam portable runners: what a runner supports, what it gets wrong, and why."""


for _command in (
    report_command,
    audit_command,
    diff_command,
    merge_command,
    baseline_group,
    mutants_group,
    variants_group,
    with_docker_command,
    repro_command,
):
    cli.add_command(_command)


def _output_directory(address: str, output: str | None) -> Path:
    """Where results go: --output, or reports/<runner>/ below the working directory. Raises CallError if it cannot be written."""
    name = address.removeprefix("grpc://")
    directory = Path(output) if output else Path("reports") / "".join(c if c.isalnum() or c in "._-" else "-" for c in name)
    try:
        directory.mkdir(parents=True, exist_ok=True)
        probe = directory / ".writable"
        probe.write_text("")
        probe.unlink()
    except OSError as error:
        raise CallError(
            f"cannot write to {directory}: {error.strerror or error}. Choose another directory with --output."
        ) from None
    return directory


def _jobs(context: click.Context, parameter: click.Parameter, value: str) -> int | None:
    """The value of --jobs: a number, or None for auto."""
    if value == "auto":
        return None
    if not value.isdigit() or int(value) < 1:
        raise click.BadParameter(f"{value!r} is neither a number from 1 nor auto", context, parameter)
    return int(value)


def _processes(profile: str, options: dict[str, Any], pytest_args: tuple[str, ...]) -> int:
    """How many processes run the suite: what was asked for, or as many as the profile and the machine are good for.

    A few leaves or names are sooner asked by one process than two are started; so are words to pytest that want one process.
    """
    from conformance.endpoints.profiles import PROFILES

    if options["jobs"] is not None:
        return int(options["jobs"])
    if options["leaf"] or options["keyword"] or options["pytest_output"] or pytest_args:
        return 1
    return min(PROFILES[profile].processes, len(os.sched_getaffinity(0)))


@cli.command(context_settings={"ignore_unknown_options": True})
@click.option(
    "--runner",
    default="reference",
    show_default=True,
    metavar="ADDRESS",
    help="reference, grpc://HOST:PORT, prism, python, flink, spark, docker:IMAGE.",
)
@click.option("--area", multiple=True, metavar="AREA", help="Only this area of the ledger (repeatable).")
@click.option("--leaf", multiple=True, metavar="LEAF", help="Only this leaf (repeatable).")
@click.option("-k", "keyword", metavar="EXPRESSION", help="Only tests whose names match (pytest's -k).")
@click.option("--mode", type=click.Choice(["batch", "streaming", "both"]), default="both", show_default=True)
@click.option("--examples", type=click.IntRange(1), default=15, show_default=True, help="Generated programs per property.")
@click.option("--seed", type=int, default=0, show_default=True, help="Seed of generated programs.")
@click.option(
    "--jobs", default="auto", show_default=True, metavar="N|auto", callback=_jobs, help="Parallel processes, a runner each."
)
@click.option("--shard", metavar="I/N", help="Run the I-th of N parts.")
@click.option("--baseline", type=click.Path(exists=True, dir_okay=False), help="Judge the results by this baseline.")
@click.option("--timeout-scale", type=click.FloatRange(min=0, min_open=True), default=1.0, show_default=True)
@click.option("--label", default="", metavar="'NAME VERSION'", help="What results call the runner, if it does not tell.")
@click.option("--environment", type=click.Choice(["loopback", "process", "docker"]), default="loopback", show_default=True)
@click.option(
    "--sdk",
    type=click.Choice(cli_sdks.CHOICES),
    default="harness",
    show_default=True,
    help="Whose programs run.",
)
@click.option("--no-pack", is_flag=True, help="A job of its own for every program.")
@click.option(
    "--output", metavar="DIR", help="Where to write results.jsonl, junit.xml and index.html [default: reports/<runner>]"
)
@click.option("--pytest-output", is_flag=True, help="Show pytest's own output instead of the progress display.")
@click.argument("pytest_args", nargs=-1, type=click.UNPROCESSED)
@click.pass_context
def run(context: click.Context, /, runner: str, pytest_args: tuple[str, ...], **options: Any) -> None:
    """Run the suite against a runner and write the matrix. Other words go to pytest (-x, --lf, ...)."""
    from rich.console import Console

    from conformance.endpoints import address, errors
    from conformance.report import baseline
    from conformance.suite.selection import SelectionError, check_names
    from conformance.suite.settings import Settings

    os.environ.setdefault("GRPC_VERBOSITY", "ERROR")
    try:
        profile = address.parse(runner).kind
        rows = cli_sdks.rows_of(options) if options["sdk"] != "harness" else []
        leaves = cli_sdks.without_rows(options["leaf"]) if options["sdk"] != "harness" else options["leaf"]
        check_names(Settings(areas=options["area"], leaves=leaves))
    except (errors.EndpointError, SelectionError) as error:
        raise CallError(str(error)) from None
    directory = _output_directory(runner, options["output"])
    known = None
    if options["baseline"]:
        try:
            known = baseline.read(options["baseline"])
        except (baseline.BaselineError, OSError) as error:
            raise CallError(str(error)) from None
    console = Console(stderr=False)
    code = 0
    by_harness = options["sdk"] in ("harness", "all") and (leaves or not options["leaf"])
    if by_harness:
        code = _run_harness(profile, runner, directory, options | {"leaf": leaves}, pytest_args, known, console)
    if options["sdk"] != "harness":
        code = _run_sdks(runner, rows, options, directory, console, code if by_harness else None)
    context.exit(code)


def _run_sdks(
    runner: str, rows: Sequence[Row], options: dict[str, Any], directory: Path, console: Console, harness: int | None
) -> int:
    """The rows in real SDKs, behind what the harness found (its exit code, if it ran); the answer is the exit code of all."""
    from conformance.report import results

    if not rows:
        if harness is None:
            click.echo("Error: no row is left to run. Check -k and --leaf; docs/sdks.md says what there is.", err=True)
            return 3
        return harness
    if harness in (3, 4):
        return harness
    before = results.read(directory / "results.jsonl") if harness is not None else None
    found = cli_sdks.run_rows(runner, rows, options, directory, console, shlex.join(["beam-conformance", *sys.argv[1:]]))
    code = cli_sdks.conclude(cli_sdks.publish(found, before, directory), console, directory)
    # Of the two the one that comes first in the contract's order of weight.
    return next((each for each in (4, 1, 3, 2) if each in (code, harness)), 0)


def _run_harness(
    profile: str,
    runner: str,
    directory: Path,
    options: dict[str, Any],
    pytest_args: tuple[str, ...],
    known: Baseline | None,
    console: Console,
) -> int:
    """The suite's own programs, by pytest; the answer is the exit code."""
    import pytest

    from conformance.progress import ProgressPlugin

    arguments = _pytest_arguments(runner, directory, options)
    if (processes := _processes(profile, options, pytest_args)) > 1:
        # In the order of the collection, prerequisites first, a few at a time.
        arguments += ["-n", str(processes), "--dist", "load", "--maxschedchunk", "1"]
    progress = ProgressPlugin(console, quiet_pytest=not options["pytest_output"])
    code = int(pytest.main([*arguments, *pytest_args], plugins=[progress]))
    return _conclude(code, progress, directory, known, console)


def _pytest_arguments(runner: str, directory: Path, options: dict[str, Any]) -> list[str]:
    """What pytest is called with; the working directory's own pytest settings stay out of it."""
    ini = Path(__file__).parent / "suite" / "pytest.ini"
    # The suite's checks tell their own story, so rewriting `assert` would only cost: 2 s a process where no bytecode is kept.
    arguments = ["--pyargs", "conformance.suite", "--noconftest", "-c", str(ini), "--rootdir", str(Path.cwd()), "--assert=plain"]
    arguments += [
        "-o",
        f"cache_dir={(directory / '.pytest_cache').resolve()}",
        "--runner",
        runner,
        "--beam-report",
        str(directory),
    ]
    arguments += [
        "--beam-mode",
        options["mode"],
        "--beam-examples",
        str(options["examples"]),
        "--beam-seed",
        str(options["seed"]),
    ]
    arguments += ["--timeout-scale", str(options["timeout_scale"]), "--beam-environment", options["environment"]]
    if options["label"]:
        arguments += ["--beam-label", options["label"]]
    arguments += [word for area in options["area"] for word in ("--beam-area", area)]
    arguments += [word for leaf in options["leaf"] for word in ("--beam-leaf", leaf)]
    if options["keyword"]:
        arguments += ["-k", options["keyword"]]
    if options["shard"]:
        arguments += ["--beam-shard", options["shard"]]
    if options["no_pack"]:
        arguments.append("--no-pack")
    return [*arguments, "--beam-command", shlex.join(["beam-conformance", *sys.argv[1:]])]


def _conclude(code: int, progress: ProgressPlugin, directory: Path, known: Baseline | None, console: Console) -> int:
    """Print what was found; the answer is the exit code."""
    from conformance.report import baseline, results, summary
    from conformance.report.verdicts import exit_code, run_facts
    from conformance.suite import ledger

    for text in progress.collection_errors:
        click.echo(text, err=True)
    recorder = progress.recorder
    comparison = None
    if recorder is not None and recorder.output is not None and recorder.counts:
        read = results.read(directory / "results.jsonl")
        comparison = baseline.compare(known, read, datetime.date.today()) if known is not None else None
        console.print(summary.render(read, ledger.load(), comparison))
        console.print(f"page: {directory / 'index.html'}", highlight=False, soft_wrap=True)
        tell_github(read, comparison)
    if progress.fatal is not None:
        click.echo(f"Error: {progress.fatal}", err=True)
        return 4
    if progress.collection_errors or code == 4:
        return 4
    if progress.interrupted:
        click.echo("Interrupted: what finished is in the results; the file has no footer and counts as partial.", err=True)
        return 3
    if recorder is None or not recorder.counts:
        click.echo(
            "Error: nothing ran. Check -k, --area, --leaf and --mode; `beam-conformance list` shows what there is.", err=True
        )
        return 3
    if comparison is not None:
        facts = run_facts(
            recorder.results,
            selected=recorder.selected,
            unexpected_count=len(comparison.unexpected),
            stale=len(comparison.stale),
        )
        return int(exit_code(facts))
    return int(recorder.exit_code)


@cli.command()
@click.option("--runner", default="reference", show_default=True, metavar="ADDRESS")
@click.option("--timeout-scale", type=float, default=1.0)
def smoke(runner: str, timeout_scale: float) -> None:
    """Can this endpoint run one element through Impulse, ParDo and GroupByKey? Says what is wrong if not."""
    from conformance.endpoints import errors
    from conformance.suite.smoke import smoke as run_smoke

    try:
        steps = run_smoke(runner, timeout_scale)
    except errors.EndpointError as error:
        raise CallError(str(error)) from None
    for step in steps.lines:
        click.echo(step)
    sys.exit(0 if steps.ok else 1)


@cli.command()
@click.option("--port", type=click.IntRange(0, 65535), default=8099, show_default=True, help="0 picks a free one.")
@click.option("--host", default="localhost", show_default=True)
@click.option("--variant", help="Legal freedoms to use, as in one-element-bundles,seed=7.")
@click.option("--mutant", help="One fault to run with.")
def serve(port: int, host: str, variant: str | None, mutant: str | None) -> None:
    """Serve the reference runner as a job endpoint for any Beam SDK, until interrupted."""
    from conformance import runner

    try:
        server = runner.serve(port=port, host=host, variant=variant, mutant=mutant)
    except (OSError, RuntimeError) as error:
        raise CallError(f"cannot serve on {host}:{port}: {error}. Choose another --port, or 0 for a free one.") from None
    except ValueError as error:
        raise CallError(str(error)) from None
    endpoint = f"{host}:{server.port}"
    click.echo(f"listening on {endpoint}")
    click.echo(f"  Python: --runner=PortableRunner --job_endpoint={endpoint} --environment_type=LOOPBACK")
    click.echo(f"  Java:   --runner=PortableRunner --jobEndpoint={endpoint} --defaultEnvironmentType=LOOPBACK")
    click.echo(f"  Go:     --runner=universal --endpoint={endpoint} --environment_type=LOOPBACK")
    click.echo("Stop with Ctrl-C.")
    sys.stdout.flush()
    try:
        server.wait()
    except KeyboardInterrupt:
        server.stop()


@cli.command("list")
@click.option("--area", multiple=True, metavar="AREA")
@click.option("--tier", type=click.Choice(["1", "2"]))
@click.option("--assertions", is_flag=True, help="The assertions below each leaf.")
@click.option("--coverage", is_flag=True, help="How much is asked: leaves by area, assertions, rules, URNs, message fields.")
@click.option("--rules", is_flag=True, help="The MUST rules of the model and the protocol, with what checks each.")
def list_command(area: tuple[str, ...], tier: str | None, assertions: bool, coverage: bool, rules: bool) -> None:
    """Print the ledger: areas, leaves, assertions."""
    from conformance.suite import catalogue
    from conformance.suite import coverage as counting
    from conformance.suite.selection import SelectionError, check_names
    from conformance.suite.settings import Settings

    try:
        check_names(Settings(areas=area))
    except SelectionError as error:
        raise CallError(str(error)) from None
    wanted = {name.upper() for name in area}
    if coverage or rules:
        lines = counting.coverage_lines() if coverage else counting.rule_lines()
    else:
        lines = catalogue.list_lines(wanted, tier, assertions)
    for line in lines:
        click.echo(line)


@cli.command()
@click.argument("name")
def show(name: str) -> None:
    """Show a leaf or an assertion: requirement, source, rule, prerequisites, the program as Mermaid, and the mutants that it kills."""
    from conformance.suite import showing
    from conformance.suite.ledger import NoSuchLeaf

    try:
        for line in showing.show_lines(name):
            click.echo(line)
    except NoSuchLeaf as error:
        raise CallError(str(error)) from None


@cli.command()
def doctor() -> None:
    """What is installed and reachable: interpreters, runners' binaries, Docker, ports."""
    from conformance.endpoints import doctor as checks

    for finding in checks.examine():
        click.echo(f"{'ok     ' if finding.ok else 'missing'} {finding.name:12} {finding.text}")


def main() -> None:
    """Entry point: click's own usage errors become exit code 4, as the contract has it."""
    try:
        code = cli.main(standalone_mode=False)
    except click.exceptions.Exit as done:
        code = done.exit_code
    except click.exceptions.Abort:
        click.echo("Interrupted.", err=True)
        code = 3
    except click.ClickException as error:
        error.show()
        code = 4
    sys.exit(code if isinstance(code, int) else 0)
