"""The classic table as values and as text: every row in every column, what is asked apart from the ledger's matrix, phases."""

from __future__ import annotations

import synthetic
from synthetic import one, run

from conformance.report import classic
from conformance.report.classic import Classic, OtherRunner, RowOf
from conformance.report.page import render
from conformance.report.verdicts import NOT_APPLICABLE, Level, Verdict

LEDGER = synthetic.ledger()
ROWS = [
    RowOf("SDK01", "Impulse", "P1", "One element.", programs={"go": "func <main>"}),
    RowOf("SDK02", "w/ lifting", "P3", "A mean.", group="Combine", said={"prism": "BEAM-1", "prism go": "BEAM-2"}),
]
CLASSIC = Classic(ROWS, [OtherRunner("Apex", "retired", "Removed.", "https://example.org/apex")])


def cells(*results) -> dict[tuple[str, str, str], classic.Cell]:
    found = classic.table([run(*results)], CLASSIC)
    return {
        (row.id, column.sdk, column.mode): cell
        for row, across in found.rows
        for column, cell in zip(found.columns, across, strict=True)
    }


def test_no_cell_is_empty() -> None:
    found = cells(one("SDK01/impulse", sdk="go"))
    assert len(found) == 2 * 3 * 2
    assert found["SDK01", "go", "batch"].word == "pass"
    unasked = {key: cell for key, cell in found.items() if key != ("SDK01", "go", "batch")}
    assert all(cell.word == "not-run" and cell.reason for cell in unasked.values())


def test_what_is_free_turns_no_cell() -> None:
    free = one("SDK02/lifted", verdict=Verdict.WRONG, level=Level.MAY, sdk="go")
    cell = cells(one("SDK02/mean", sdk="go"), free)["SDK02", "go", "batch"]
    assert (cell.word, cell.advisory) == ("pass", "not lifted")


def test_not_expressible_and_not_run_are_told_apart() -> None:
    words = {"phase": NOT_APPLICABLE, "verdict": Verdict.NO_VERDICT, "message": "not expressible: no word for it"}
    found = cells(
        one("SDK01/impulse", sdk="go", **words),
        one("SDK01/impulse", sdk="java", phase="setup", verdict=Verdict.NO_VERDICT, message="not run: no Java"),
        one("SDK02/mean", sdk="go"),
    )
    assert found["SDK01", "go", "batch"].text == "not expressible"
    assert found["SDK01", "java", "batch"].reason == "not run: no Java"


def test_phases_count_what_can_be_said() -> None:
    inexpressible = one("SDK02/mean", sdk="go", phase=NOT_APPLICABLE, verdict=Verdict.NO_VERDICT, message="not expressible")
    found = classic.table([run(one("SDK01/impulse", sdk="go"), inexpressible)], CLASSIC)
    index = next(i for i, column in enumerate(found.columns) if (column.sdk, column.mode) == ("go", "batch"))
    assert {phase: counts[index] for phase, counts in found.phases} == {"P1": (1, 1), "P3": (0, 0)}


def test_what_the_talk_named_is_that_of_the_sdk_first() -> None:
    assert ROWS[1].said_of("prism", "go") == "BEAM-2"
    assert ROWS[1].said_of("prism", "java") == "BEAM-1"
    assert ROWS[0].said_of("prism", "go") == ""


def test_rows_stay_out_of_the_ledgers_matrix() -> None:
    mixed = run(one("CORE01/element"), one("SDK01/impulse", sdk="go"))
    of_ledger, of_sdks = classic.apart([mixed], CLASSIC)
    assert [result.leaf for each in of_ledger for result in each.results] == ["CORE01"]
    assert [result.leaf for each in of_sdks for result in each.results] == ["SDK01"]
    assert classic.apart([mixed], None) == ([mixed], [])


def test_the_page_has_the_table_only_where_a_run_has_rows() -> None:
    assert 'id="classic"' not in render([run(one("CORE01/element"))], LEDGER, sdks=CLASSIC)
    text = render([run(one("SDK01/impulse", sdk="go"))], LEDGER, sdks=CLASSIC)
    assert 'id="classic"' in text
    assert "func &lt;main&gt;" in text
    assert "https://example.org/apex" in text
    assert "BEAM-2" in text
