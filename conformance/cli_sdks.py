"""`run --sdk …`: the rows of the classic table in Beam's own SDKs, beside or instead of the suite's own harness.

Rows are written to `sdks.jsonl` as they end; when all have, `results.jsonl` has them too, behind those of the harness where both ran.
"""

from __future__ import annotations

import os
import platform
import time
from collections import Counter
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from conformance import __version__
from conformance.cli_errors import CallError

if TYPE_CHECKING:
    from rich.console import Console

    from conformance.report.results import Results
    from conformance.sdks.rows import Row

__all__ = ["CHOICES", "conclude", "languages_of", "publish", "rows_of", "run_rows", "without_rows"]

CHOICES = ("harness", "python", "java", "go", "all")
#: Where rows are written as they end.
FILE = "sdks.jsonl"


def languages_of(sdk: str) -> tuple[str, ...]:
    """The real SDKs that a value of --sdk asks for."""
    from conformance.sdks.rows import LANGUAGES

    return {"harness": (), "all": LANGUAGES}.get(sdk, (sdk,))


def without_rows(leaves: Sequence[str]) -> tuple[str, ...]:
    """Of the values of --leaf those that are no rows: leaves of the ledger, or nothing that is known."""
    from conformance.sdks.rows import load

    ids = {row.id for row in load()}
    return tuple(leaf for leaf in leaves if leaf.upper() not in ids)


def rows_of(options: dict[str, Any]) -> list[Row]:
    """The rows that --leaf and -k leave; none where only leaves of the ledger were asked for."""
    from _pytest.mark.expression import Expression

    from conformance.sdks.rows import load

    wanted = {leaf.upper() for leaf in options["leaf"]}
    chosen = [row for row in load() if not options["area"] and (not wanted or row.id in wanted)]
    if not options["keyword"]:
        return chosen
    try:
        expression = Expression.compile(options["keyword"])
    except SyntaxError as error:
        raise CallError(f"-k {options['keyword']}: {error}. Write names of rows, joined by and, or, not.") from None

    def matches(row: Row) -> bool:
        def has(name: str, /, **_: str | int | bool | None) -> bool:
            return name.lower() in row.name

        return expression.evaluate(has)

    return [row for row in chosen if matches(row)]


def run_rows(
    runner: str, rows: Sequence[Row], options: dict[str, Any], directory: Path, console: Console, command: str
) -> Results:
    """Run rows on a runner; the answer is what was written. Raises CallError where the runner cannot be reached."""
    from conformance.endpoints import errors, open_endpoint
    from conformance.report import results
    from conformance.sdks import running
    from conformance.suite.conductor import identity
    from conformance.suite.recording import BEAM_VERSION

    modes = ("batch", "streaming") if options["mode"] == "both" else (options["mode"],)
    started = time.monotonic()
    try:
        endpoint = open_endpoint(runner, progress=console.print, timeout_scale=options["timeout_scale"])
    except errors.EndpointError as error:
        raise CallError(str(error)) from None
    with endpoint, running.storage(console.print) as storage:
        plan = running.Plan(endpoint, rows, languages_of(options["sdk"]), modes, options["timeout_scale"], runner, storage)
        header = results.Header(
            suite=__version__,
            beam=BEAM_VERSION,
            runner=results.Runner(**identity(endpoint, runner, options["label"])),
            sdk=options["sdk"],
            environment="loopback",
            command=command,
            started=datetime.now(UTC).isoformat(timespec="seconds"),
            modes=modes,
            selected=running.planned(plan),
            selection=" ".join(f"--leaf {leaf}" for leaf in options["leaf"]),
            host=f"{platform.system()} {platform.machine()}, {os.cpu_count()} CPUs, Python {platform.python_version()}",
        )
        with results.ResultsWriter(directory / FILE, header) as writer:
            show = _progress(console, running.planned(plan))
            for line in running.run(plan, console.print):
                writer.write(_as_result(line))
                show(line)
            writer.finish(seconds=time.monotonic() - started, ended=datetime.now(UTC).isoformat(timespec="seconds"))
    return results.read(directory / FILE)


def _as_result(line: dict[str, Any]) -> Any:
    from conformance.suite.recording import as_result

    return as_result(line)


def _progress(console: Console, total: int) -> Callable[[dict[str, Any]], None]:
    """A line a row: there are few, and each takes a while."""
    counts: Counter[str] = Counter()

    def show(line: dict[str, Any]) -> None:
        counts[line["verdict"]] += 1
        if line["level"] != "MUST":
            return
        done = sum(counts.values())
        told = " ".join(f"{count} {verdict}" for verdict, count in counts.most_common())
        name = line["assertion"].partition("/")[2]
        console.print(
            f"{done}/{total} {line['sdk']:6} {line['mode']:9} {name:22} {line['verdict']} ({told})",
            highlight=False,
            soft_wrap=True,
        )

    return show


def publish(found: Results, harness: Results | None, directory: Path) -> Results:
    """Write results.jsonl, junit.xml and the page: the rows, behind the harness' results where there are any."""
    import msgspec

    from conformance.report import junit, page, results
    from conformance.report.verdicts import exit_code, run_facts, unexpected
    from conformance.sdks import table
    from conformance.suite import coverage, features, ledger

    path = directory / "results.jsonl"
    lines = (*(harness.results if harness else ()), *found.results)
    header = found.header
    if harness is not None:
        selected = None
        if harness.header.selected is not None and found.header.selected is not None:
            selected = harness.header.selected + found.header.selected
        header = msgspec.structs.replace(harness.header, sdk="all", selected=selected)
    footers = [each.footer for each in (harness, found) if each is not None]
    with results.ResultsWriter(path, header) as writer:
        for result in lines:
            writer.write(result)
        if all(footer is not None for footer in footers):
            writer.finish(
                seconds=sum(footer.seconds for footer in footers if footer),
                unexpected=sum(map(unexpected, lines)),
                exit_code=int(exit_code(run_facts(lines))),
                ended=found.footer.ended if found.footer else "",
                interrupted="; ".join(footer.interrupted for footer in footers if footer and footer.interrupted),
            )
    read = results.read(path)
    (directory / "junit.xml").write_text(junit.render(read, ledger.load()), encoding="utf-8")
    audits = features.audit_of(harness) if harness is not None else ()
    text = page.render([read], ledger.load(), known=coverage.knowledge(), audits=audits, sdks=table.classic())
    (directory / "index.html").write_text(text, encoding="utf-8")
    return read


def conclude(read: Results, console: Console, directory: Path) -> int:
    """Print the summary; the answer is the exit code, 1 where something unexpected was seen."""
    from conformance.report import summary
    from conformance.report.verdicts import exit_code, run_facts
    from conformance.suite import ledger

    console.print(summary.render(read, ledger.load()))
    console.print(f"page: {directory / 'index.html'}", highlight=False, soft_wrap=True)
    for reason in dict.fromkeys(result.message for result in read.results if result.phase == "setup" and result.sdk != "harness"):
        click.echo(reason, err=True)
    return int(exit_code(run_facts(read.results, selected=read.header.selected)))
