"""The page: one self-contained HTML file, a pure function of results files and a ledger.

Here the matrix is computed and everything is made safe to embed; how it looks is in `templates/`. The page loads nothing: a content
security policy forbids it any request and any script but its own, so that a runner's message or drawing cannot become code.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable, Sequence
from importlib.resources import files
from typing import Any, Final

import attrs
import jinja2
import markupsafe
import msgspec

from conformance.report import classic
from conformance.report import evidence as _evidence
from conformance.report.audit import MEANING as CLAIMS
from conformance.report.audit import Audit
from conformance.report.knowledge import Knowledge
from conformance.report.ledgers import AreaLike, LeafLike, LedgerLike
from conformance.report.results import Result, Results
from conformance.report.verdicts import MEANING, NOT_APPLICABLE, SEVERITY, Cell, Level, Verdict, cell_word

__all__ = ["NOT_RUN", "Column", "Matrix", "matrix", "render"]

NOT_RUN: Final = "not-run"
NOT_RUN_MEANING: Final = "Nothing was asked, so nothing is known; the cell says why."
#: How a word is written for people.
WORDS: Final = {verdict.value: verdict.value.replace("-", " ") for verdict in Verdict} | {NOT_RUN: "not run"}
#: Beyond this the page would open slowly on a phone; drawings and transcripts of further results stay in results.jsonl.
EVIDENCE_BUDGET: Final = 12 * 1024 * 1024
HEAVY: Final = ("transcript", "program", "log_tail", "script")


@attrs.frozen
class Column:
    """A runner × SDK × mode."""

    index: int
    run: int
    runner: str
    version: str
    sdk: str
    mode: str
    partial: bool

    @property
    def label(self) -> str:
        return " ".join(part for part in (self.runner, self.version, self.sdk, self.mode) if part)


@attrs.frozen
class CellView:
    """One cell, ready to be written."""

    word: str
    cell: Cell
    results: tuple[Result, ...] = ()
    #: Why nothing was run, where nothing was.
    reason: str = ""

    @property
    def text(self) -> str:
        return WORDS[self.word]

    @property
    def tally(self) -> str:
        """Passed of all, where there is more than one and they are of one mind or not."""
        return f"{self.cell.passed}/{self.cell.total}" if self.cell.total > 1 else ""

    @property
    def advisory(self) -> str:
        """What SHOULD and MAY add, where they do not pass."""
        parts = []
        for level, found in ((Level.SHOULD, self.cell.should), (Level.MAY, self.cell.may)):
            total, passed = sum(found.values()), found.get(Verdict.PASS, 0)
            if level is not self.cell.basis and passed < total:
                parts.append(f"{level} {passed}/{total}")
        return " ".join(parts)

    @property
    def basis(self) -> str:
        """The level of the word where that is not MUST."""
        return str(self.cell.basis) if self.cell.basis not in (None, Level.MUST) else ""


@attrs.frozen
class Row:
    leaf: LeafLike
    cells: tuple[CellView, ...]

    @property
    def words(self) -> str:
        return " ".join(dict.fromkeys(cell.word for cell in self.cells))


@attrs.frozen
class Section:
    """An area with its rows and, a column, how many leaves have each word."""

    area: AreaLike
    rows: tuple[Row, ...]
    summaries: tuple[tuple[tuple[str, int], ...], ...]


@attrs.frozen
class Coverage:
    """Leaves of an area, by tier, with an executed assertion in any column."""

    title: str
    reached: tuple[int, int]
    total: tuple[int, int]


@attrs.frozen
class Matrix:
    columns: tuple[Column, ...]
    sections: tuple[Section, ...]
    coverage: tuple[Coverage, ...]
    #: Results of leaves that the ledger does not have; shown, not lost.
    strays: tuple[Result, ...]

    def score(self, column: Column, tier: int = 1) -> tuple[tuple[str, int], ...]:
        """How many leaves of a tier have each word in a column."""
        return _words(row.cells[column.index] for section in self.sections for row in section.rows if row.leaf.tier == tier)


def matrix(runs: Sequence[Results], ledger: LedgerLike) -> Matrix:
    """The matrix as values: rows from the ledger, columns from the runs."""
    columns = _columns(runs)
    found: dict[tuple[str, int], list[Result]] = {}
    where = {(column.run, column.sdk, column.mode): column.index for column in columns}
    for number, run in enumerate(runs):
        for result in run.results:
            found.setdefault((result.leaf, where[number, result.sdk, result.mode]), []).append(result)
    sections = []
    for area in ledger.areas:
        rows = tuple(
            Row(leaf, tuple(_view(leaf, found.pop((leaf.id, column.index), []), column, runs[column.run]) for column in columns))
            for leaf in area.leaves
        )
        summaries = tuple(_words(row.cells[column.index] for row in rows) for column in columns)
        sections.append(Section(area, rows, summaries))
    strays = tuple(result for results in found.values() for result in results)
    return Matrix(columns, tuple(sections), tuple(_coverage(section) for section in sections), strays)


def render(
    results: Sequence[Results],
    ledger: LedgerLike,
    *,
    title: str = "",
    docs_url: str = "",
    known: Knowledge | None = None,
    audits: Sequence[Audit] = (),
    sdks: classic.Classic | None = None,
) -> str:
    """The HTML text.

    `known` adds the words of rules, the mutants that assertions kill, and what the suite covers. `docs_url` is where docs/model.md
    and docs/protocol.md can be read (a URL or path that ends in a slash); rule ids then link there. `audits`: claims against results.
    `sdks` has the rows of the classic table, which is shown where a run has results of it.
    """
    of_ledger, of_sdks = classic.apart(results, sdks)
    table = matrix(of_ledger, ledger)
    known = known or Knowledge()
    style, script = _template("page.css"), _template("page.js")
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    return environment.from_string(_template("page.html.j2")).render(
        title=title or "Support matrix: " + (", ".join(dict.fromkeys(run.label for run in results)) or "no runs"),
        runs=results,
        matrix=table,
        heads=_heads(table.columns),
        words=WORDS,
        order=[*(verdict.value for verdict in reversed(SEVERITY)), NOT_RUN],
        legend=[*((verdict.value, meaning) for verdict, meaning in MEANING.items()), (NOT_RUN, NOT_RUN_MEANING)],
        style=markupsafe.Markup(style),
        script=markupsafe.Markup(script),
        script_hash=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
        data=markupsafe.Markup(
            embeddable(_data(of_ledger, table, docs_url) | {"rules": known.rules, "kills": known.kills, "mutants": known.mutants})
        ),
        known=known,
        audits=audits,
        claims=CLAIMS,
        classic=classic.render(of_sdks, sdks) if sdks is not None else "",
        percent=lambda part, whole: round(100 * part / whole, 2) if whole else 0,
    )


def embeddable(value: Any) -> str:
    """JSON that can stand in a script element: nothing in it can end the element or open a comment."""
    text = _evidence.encode(value).decode()
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text


def _template(name: str) -> str:
    return (files(__package__) / "templates" / name).read_text(encoding="utf-8")


def _columns(runs: Sequence[Results]) -> tuple[Column, ...]:
    columns: list[Column] = []
    for number, run in enumerate(runs):
        seen = dict.fromkeys((result.sdk, result.mode) for result in run.results)
        asked = dict.fromkeys((run.header.sdk, mode) for mode in run.header.modes)
        for sdk, mode in sorted(seen | asked) or [(run.header.sdk, "batch")]:
            runner = run.header.runner
            columns.append(Column(len(columns), number, runner.name, runner.version, sdk, mode, run.partial))
    return tuple(columns)


def _heads(columns: Sequence[Column]) -> list[tuple[str, str, bool, int]]:
    """Runner, version, partial and width of each run, for the upper header line."""
    runs: dict[int, list[Column]] = {}
    for column in columns:
        runs.setdefault(column.run, []).append(column)
    return [(group[0].runner, group[0].version, group[0].partial, len(group)) for group in runs.values()]


def _view(leaf: LeafLike, found: list[Result], column: Column, run: Results) -> CellView:
    cell = cell_word(found)
    if cell.word is None:
        return CellView(NOT_RUN, cell, tuple(found), _why_not_run(leaf, found, column, run))
    return CellView(cell.word.value, cell, tuple(sorted(found, key=lambda r: (-SEVERITY.index(r.verdict), r.assertion))))


def _why_not_run(leaf: LeafLike, found: list[Result], column: Column, run: Results) -> str:
    if leaf.untestable:
        return f"It cannot be tested: {leaf.untestable}"
    if found:
        return next((result.message for result in found if result.message), f"It does not apply in {column.mode} mode.")
    if not leaf.assertions:
        return "No assertion of this suite reaches it yet."
    if run.partial:
        return f"The run did not come to it. {run.why_partial}"
    if run.narrowed:
        return f"This run covered only a part of the suite: {run.header.selection or 'shard ' + run.header.shard}."
    return f"None of its assertions ran in {column.mode} mode."


def _words(cells: Iterable[CellView]) -> tuple[tuple[str, int], ...]:
    words = [cell.word for cell in cells]
    return tuple((word, words.count(word)) for word in (*(v.value for v in SEVERITY), NOT_RUN) if word in words)


def _coverage(section: Section) -> Coverage:
    reached, total = [0, 0], [0, 0]
    for row in section.rows:
        total[row.leaf.tier - 1] += 1
        reached[row.leaf.tier - 1] += any(cell.cell.executed for cell in row.cells)
    return Coverage(f"{section.area.id} {section.area.title}", (reached[0], reached[1]), (total[0], total[1]))


def _data(runs: Sequence[Results], table: Matrix, docs_url: str) -> dict[str, Any]:
    """What the page's script needs: columns, leaves, cells, results, and evidence pieces by digest."""
    budget = EVIDENCE_BUDGET
    blobs: dict[str, Any] = {}
    results: list[dict[str, Any]] = []
    leaves: dict[str, Any] = {}
    cells: dict[str, list[dict[str, Any]]] = {}

    def pack(result: Result) -> int:
        nonlocal budget
        item = {name: value for name, value in msgspec.to_builtins(result, enc_hook=repr).items() if value not in ("", None, {})}
        proof = {"expected": result.expected, "observed": result.observed} | result.evidence
        for name in HEAVY:
            if (piece := proof.get(name)) is None:
                continue
            encoded = _evidence.encode(piece)
            digest = hashlib.sha256(encoded).hexdigest()[:12]
            if digest not in blobs and len(encoded) > budget:
                del proof[name]
                proof["notes"] = [*proof.get("notes", []), f"{name} is left out of this page for its size; results.jsonl has it"]
                continue
            if digest not in blobs:
                budget -= len(encoded)
                blobs[digest] = piece
            proof[name] = {"blob": digest}
        item["evidence"] = {name: value for name, value in proof.items() if value not in (None, "", [])}
        for name in ("kind", "expected", "observed", "leaf", "tier"):
            item.pop(name, None)
        results.append(item)
        return len(results) - 1

    for section in table.sections:
        for row in section.rows:
            leaf = row.leaf
            leaves[leaf.id] = {
                "area": f"{section.area.id} {section.area.title}",
                "title": leaf.title,
                "definition": leaf.definition,
                "tier": leaf.tier,
                "urns": [*leaf.urns, *leaf.fields],
                "tests": leaf.beam_tests,
                "requires": list(leaf.requires),
                "assertions": [
                    {"id": a.id, "level": str(a.level), "statement": a.statement, "rule": a.rule, "source": a.source}
                    for a in leaf.assertions
                ],
            }
            cells[leaf.id] = [
                {
                    "word": cell.word,
                    "reason": cell.reason,
                    "counts": {level.value: cell.cell.at(level) for level in Level if cell.cell.at(level)},
                    "results": [
                        pack(result) for result in cell.results if cell.word == NOT_RUN or result.phase != NOT_APPLICABLE
                    ],
                }
                for cell in row.cells
            ]
    return {
        "columns": [attrs.asdict(column) | {"label": column.label} for column in table.columns],
        "leaves": leaves,
        "cells": cells,
        "results": results,
        "blobs": blobs,
        "words": WORDS,
        "meaning": {verdict.value: text for verdict, text in MEANING.items()} | {NOT_RUN: NOT_RUN_MEANING},
        "docs": docs_url,
    }
