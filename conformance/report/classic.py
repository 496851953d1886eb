"""The classic table: what an SDK can do on a runner, in batch and in streaming, as the talk of 2018 laid it out.

Rows are given as plain data (the report knows no other part of the project); columns are the runs' runners × SDKs × modes. Each cell opens
to what was asked, the program, what was seen, and the command that repeats it. Phases are summed up below.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from importlib.resources import files
from itertools import groupby
from typing import Any, Final

import jinja2
import markupsafe
import msgspec
from attrs import field, frozen

from conformance.report.results import Result as _Result
from conformance.report.results import Results
from conformance.report.verdicts import NOT_APPLICABLE, SEVERITY, Verdict, cell_word

__all__ = ["Cell", "Classic", "Column", "OtherRunner", "RowOf", "Table", "apart", "render", "table"]

NOT_RUN: Final = "not-run"
INEXPRESSIBLE: Final = "inexpressible"
WORDS: Final[Mapping[str, str]] = {each.value: each.value.replace("-", " ") for each in Verdict} | {
    NOT_RUN: "not run",
    INEXPRESSIBLE: "not expressible",
}
#: Characters of JSON of one side of a difference that a cell shows.
SHOWN: Final = 1500


@frozen
class RowOf:
    """One row: what it asks, its programs, and what the talk's table said."""

    id: str
    title: str
    phase: str
    statement: str
    group: str = ""
    rule: str = ""
    #: SDK → text of the program.
    programs: Mapping[str, str] = field(factory=dict)
    #: "runner" or "runner sdk", both in lower case → the issues that the talk's table named.
    said: Mapping[str, str] = field(factory=dict)

    def said_of(self, runner: str, sdk: str) -> str:
        return self.said.get(f"{runner} {sdk}", self.said.get(runner, ""))


@frozen
class OtherRunner:
    """A runner that the talk names, and what became of it."""

    name: str
    state: str
    why: str
    source: str
    address: str = ""


@frozen
class Classic:
    """All that the table needs beside results."""

    rows: Sequence[RowOf] = ()
    runners: Sequence[OtherRunner] = ()
    sdks: Sequence[str] = ("java", "python", "go")
    modes: Sequence[str] = ("batch", "streaming")


@frozen
class Column:
    """A runner × SDK × mode."""

    runner: str
    version: str
    sdk: str
    mode: str


@frozen
class Cell:
    """One cell: its word, why, and its results, worst first."""

    id: str
    word: str
    reason: str
    results: tuple[_Result, ...] = ()
    said: str = ""

    @property
    def text(self) -> str:
        return WORDS[self.word]

    @property
    def advisory(self) -> str:
        """What is free and was not done, or was: the names of the facts."""
        facts = [result for result in self.results if result.level != "MUST" and result.verdict is not Verdict.NO_VERDICT]
        names = [(result.assertion.partition("/")[2].replace("-", " "), result.verdict is Verdict.PASS) for result in facts]
        return ", ".join(name if seen else f"not {name}" for name, seen in names)


@frozen
class Table:
    """The table as values."""

    columns: tuple[Column, ...]
    #: Each row with its cells, in the order of the columns.
    rows: tuple[tuple[RowOf, tuple[Cell, ...]], ...]
    #: Phase → for each column, how many of its rows pass, of how many that the SDK can say.
    phases: tuple[tuple[str, tuple[tuple[int, int], ...]], ...]


def apart(runs: Sequence[Results], classic: Classic | None) -> tuple[list[Results], list[Results]]:
    """The runs as the ledger's matrix sees them, and as this table does. A run that has nothing for one of them is left out there."""
    ids = {row.id for row in classic.rows} if classic else set()
    of_ledger, of_sdks = [], []
    for run in runs:
        mine = [result for result in run.results if result.leaf in ids]
        others = [result for result in run.results if result.leaf not in ids]
        if mine:
            of_sdks.append(_with(run, mine))
        if others or not mine:
            header = run.header
            if header.sdk == "all":
                header = msgspec.structs.replace(header, sdk="harness")
            of_ledger.append(_with(run, others, header))
    return of_ledger, of_sdks


def _with(run: Results, results: Iterable[_Result], header: Any = None) -> Results:
    return Results(header or run.header, tuple(results), run.footer, run.path)


def table(runs: Sequence[Results], classic: Classic) -> Table:
    """The table of these runs; every row has a cell in every column of every runner, asked or not."""
    columns: list[Column] = []
    cells: dict[str, list[Cell]] = {row.id: [] for row in classic.rows}
    for number, run in enumerate(runs):
        found: dict[tuple[str, str, str], list[_Result]] = {}
        for result in run.results:
            found.setdefault((result.leaf, result.sdk, result.mode), []).append(result)
        runner = run.header.runner
        for sdk in classic.sdks:
            for mode in classic.modes:
                columns.append(Column(runner.name, runner.version, sdk, mode))
                for row in classic.rows:
                    name = f"c-{number}-{row.id}-{sdk}-{mode}"
                    seen = found.get((row.id, sdk, mode), [])
                    cells[row.id].append(_cell(name, seen, run, row.said_of(runner.name, sdk)))
    rows = tuple((row, tuple(cells[row.id])) for row in classic.rows)
    return Table(tuple(columns), rows, tuple(_phases(rows, len(columns))))


def _cell(name: str, found: list[_Result], run: Results, said: str) -> Cell:
    if not found:
        why = run.why_partial or (f"This run covered a part: {run.header.selection}." if run.header.selection else "")
        return Cell(name, NOT_RUN, why or f"This run was of --sdk {run.header.sdk}.", said=said)
    ordered = tuple(sorted(found, key=lambda result: (result.level != "MUST", -SEVERITY.index(result.verdict))))
    main = ordered[0]
    if main.phase == NOT_APPLICABLE:
        return Cell(name, INEXPRESSIBLE, main.message, ordered, said)
    if main.phase == "setup":
        return Cell(name, NOT_RUN, main.message, ordered, said)
    word = cell_word(found).word
    assert word is not None
    return Cell(name, word.value, main.message, ordered, said)


def _phases(rows: Iterable[tuple[RowOf, tuple[Cell, ...]]], width: int) -> Iterable[tuple[str, tuple[tuple[int, int], ...]]]:
    by_phase = sorted(rows, key=lambda pair: pair[0].phase)
    for phase, group in groupby(by_phase, key=lambda pair: pair[0].phase):
        members = [cells for _, cells in group]
        counts = []
        for index in range(width):
            words = [cells[index].word for cells in members if cells[index].word != INEXPRESSIBLE]
            counts.append((words.count("pass"), len(words)))
        yield phase, tuple(counts)


def render(runs: Sequence[Results], classic: Classic) -> markupsafe.Markup:
    """The section of the page; empty where no run has a row of it."""
    if not runs:
        return markupsafe.Markup("")
    text = (files(__package__) / "templates" / "classic.html.j2").read_text(encoding="utf-8")
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    found = table(runs, classic)
    return markupsafe.Markup(
        environment.from_string(text).render(
            table=found,
            classic=classic,
            runners=_spans(found.columns, lambda column: (column.runner, column.version)),
            sdks=_spans(found.columns, lambda column: (column.runner, column.version, column.sdk)),
            reached={run.header.runner.name for run in runs},
            words=WORDS,
            json=_json,
        )
    )


def _spans(columns: Sequence[Column], key: Any) -> list[tuple[Any, int]]:
    return [(name, len(list(group))) for name, group in groupby(columns, key=key)]


def _json(value: Any) -> str:
    text = value if isinstance(value, str) else msgspec.json.format(msgspec.json.encode(value, enc_hook=repr), indent=1).decode()
    return text if len(text) <= SHOWN else f"{text[:SHOWN]} …"
