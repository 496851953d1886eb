"""The commands that work on results files and never touch a runner: report, diff, merge, baseline update, baseline check."""

from __future__ import annotations

import datetime
import os
from pathlib import Path
from typing import TYPE_CHECKING

import click

from conformance.cli_errors import CallError

if TYPE_CHECKING:
    from conformance.report.baseline import Comparison
    from conformance.report.results import Results

__all__ = ["audit_command", "baseline_group", "diff_command", "merge_command", "report_command", "tell_github"]

FILE = click.Path(exists=True, dir_okay=False, path_type=Path)


def _write(path: Path, text: str) -> None:
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise CallError(f"cannot write {path}: {error.strerror or error}. Choose another file.") from None
    click.echo(path)


def tell_github(read: Results, comparison: Comparison | None) -> None:
    """Inside GitHub Actions: annotations on the log, and the step's summary."""
    from conformance.report import github

    if os.environ.get("GITHUB_ACTIONS") != "true":
        return
    for line in github.workflow_commands(read, comparison):
        click.echo(line)
    if summary_file := os.environ.get("GITHUB_STEP_SUMMARY"):
        with open(summary_file, "a", encoding="utf-8") as file:
            file.write(github.step_summary(read, comparison))


@click.command("report")
@click.argument("files", nargs=-1, required=True, type=FILE)
@click.option("--output", "-o", default=Path("matrix.html"), show_default=True, metavar="FILE", type=click.Path(path_type=Path))
def report_command(files: tuple[Path, ...], output: Path) -> None:
    """Make one page from results files."""
    from conformance.report import page, results
    from conformance.sdks import table
    from conformance.suite import coverage, features, ledger

    try:
        runs = [results.read(file) for file in files]
        audits = [each for run in runs for each in features.audit_of(run)]
        rendered = page.render(runs, ledger.load(), known=coverage.knowledge(), audits=audits, sdks=table.classic())
    except results.ResultsError as error:
        raise CallError(str(error)) from None
    _write(output, rendered)


@click.command("audit")
@click.argument("files", nargs=-1, required=True, type=FILE)
def audit_command(files: tuple[Path, ...]) -> None:
    """What runners claim against what their results show: over-claims, under-claims, accepted but ignored."""
    from conformance.report import audit, results
    from conformance.suite import features

    try:
        found = [each for file in files for each in features.audit_of(results.read(file))]
    except results.ResultsError as error:
        raise CallError(str(error)) from None
    if not found:
        raise CallError(
            "no profile claims anything for these runners. Audit results of reference, prism, python, flink or spark."
        )
    click.echo(audit.to_text(found), nl=False)


@click.command("diff")
@click.argument("before", type=FILE)
@click.argument("after", type=FILE)
@click.option("--format", "form", type=click.Choice(["text", "markdown", "json"]), default="text", show_default=True)
def diff_command(before: Path, after: Path, form: str) -> None:
    """What changed from one results file to another: regressions, fixes, new, removed."""
    from conformance.report import diff, results

    try:
        found = diff.compare(results.read(before), results.read(after))
    except results.ResultsError as error:
        raise CallError(str(error)) from None
    click.echo({"text": diff.to_text, "markdown": diff.to_markdown, "json": diff.to_json}[form](found), nl=False)


@click.command("merge")
@click.argument("parts", nargs=-1, required=True, type=FILE)
@click.option("--output", "-o", required=True, metavar="FILE", type=click.Path(path_type=Path))
@click.option(
    "--evidence",
    type=click.IntRange(min=1),
    metavar="KIB",
    help="For files to publish: keep so much evidence of what is not a pass, of passes how to repeat them, no paths of this machine.",
)
def merge_command(parts: tuple[Path, ...], output: Path, evidence: int | None) -> None:
    """One results file from the shards of a run, or a smaller one from a whole run."""
    from conformance.report import merge, results

    try:
        read = [results.read(part) for part in parts]
        # A single part stays the run that it was, with what narrowed it and how many were selected.
        whole = merge.merge(read) if len(read) > 1 else read[0]
        results.write_all(output, whole if evidence is None else results.published(whole, evidence * 1024))
    except results.ResultsError as error:
        raise CallError(str(error)) from None
    except OSError as error:
        raise CallError(f"cannot write {output}: {error.strerror or error}. Choose another file.") from None
    click.echo(output)


@click.group("baseline")
def baseline_group() -> None:
    """What is known to fail on a runner."""


@baseline_group.command("update")
@click.argument("results_file", type=FILE)
@click.argument("baseline_file", type=click.Path(dir_okay=False, path_type=Path))
@click.option("--issue", default="", metavar="URL", help="Where new entries are tracked.")
def baseline_update(results_file: Path, baseline_file: Path, issue: str) -> None:
    """Write the baseline that a complete run asks for."""
    from conformance.report import baseline, results

    try:
        old = baseline.read(baseline_file) if baseline_file.exists() else None
        new = baseline.update(results.read(results_file), old, issue=issue)
    except (results.ResultsError, baseline.BaselineError) as error:
        raise CallError(str(error)) from None
    _write(baseline_file, baseline.dumps(new))


@baseline_group.command("check")
@click.argument("results_file", type=FILE)
@click.argument("baseline_file", type=FILE)
@click.pass_context
def baseline_check(context: click.Context, /, results_file: Path, baseline_file: Path) -> None:
    """Hold a results file against a baseline: the exit code that its run would have had with it."""
    from rich.console import Console

    from conformance.report import baseline, results, summary
    from conformance.report.verdicts import exit_code, run_facts
    from conformance.suite import ledger

    try:
        read = results.read(results_file)
        comparison = baseline.compare(baseline.read(baseline_file), read, datetime.date.today())
    except (results.ResultsError, baseline.BaselineError) as error:
        raise CallError(str(error)) from None
    Console().print(summary.render(read, ledger.load(), comparison))
    tell_github(read, comparison)
    unexpected, stale = len(comparison.unexpected), len(comparison.stale)
    facts = run_facts(read.results, selected=read.header.selected, unexpected_count=unexpected, stale=stale)
    context.exit(int(exit_code(facts)))
