"""The rows of the classic table: their data, what they are judged by, and the Python SDK's on the reference runner."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from conformance.endpoints import Endpoint, open_endpoint
from conformance.report.verdicts import NOT_APPLICABLE
from conformance.sdks import facts, materials, rows, running
from conformance.sdks.languages import SDKS

ROWS = rows.load()


@pytest.fixture(scope="module")
def endpoint() -> Iterator[Endpoint]:
    with open_endpoint("reference") as endpoint:
        yield endpoint


def test_every_row_has_its_golden_lines_and_facts() -> None:
    for row in ROWS:
        assert materials.expected_lines(row)
        assert all(wire.fact in facts.FACTS for wire in row.wire)


@pytest.mark.parametrize("sdk", SDKS.values(), ids=SDKS)
def test_every_row_has_a_source_file_or_a_reason(sdk) -> None:
    for row in ROWS:
        assert sdk.path(row.name).is_file() != (sdk.name in row.inexpressible), row.name


@given(st.lists(st.sampled_from("abc")), st.randoms())
def test_order_and_only_order_is_free(lines: list[str], chance) -> None:
    shuffled = chance.sample(lines, len(lines))
    assert materials.compare(lines, shuffled).ok
    assert not materials.compare(lines, [*shuffled, "a"]).ok
    assert not lines or not materials.compare(lines, shuffled[1:]).ok


def test_the_source_makes_nothing_late(tmp_path: Path) -> None:
    row = next(row for row in ROWS if row.input.endswith(".tsv"))
    materials.write_input(row, tmp_path / "input")
    entries = [line.split("\t") for line in (tmp_path / "input").read_text().splitlines()]
    marks, stamps = [int(entry[0]) for entry in entries], [int(entry[1]) for entry in entries]
    assert marks == sorted(marks)
    assert all(stamp >= mark for mark, stamp in zip(marks, stamps, strict=True))
    assert stamps != sorted(stamps), "some line has to come after a later one"


#: The drivers of Go and Java are built with their own tools.
LANGUAGES = ["python", pytest.param("go", marks=pytest.mark.sdks), pytest.param("java", marks=pytest.mark.sdks)]


@pytest.fixture(scope="module", params=LANGUAGES)
def turn(request: pytest.FixtureRequest, endpoint: Endpoint) -> Iterator[running.Turn]:
    with running.Turn(running.Plan(endpoint, ROWS, [request.param], rows.MODES), SDKS[request.param], print) as turn:
        yield turn


@pytest.mark.parametrize("mode", rows.MODES)
@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_every_row_passes_on_the_reference_runner(turn: running.Turn, row: rows.Row, mode: str) -> None:
    results = list(turn.results_of(row, mode))
    if row.why_not(turn.sdk.name, mode):
        assert {each["phase"] for each in results} == {NOT_APPLICABLE}
    else:
        assert [each for each in results if each["verdict"] != "pass"] == []


def test_a_runner_that_drops_elements_is_found_out() -> None:
    """A mutant that gives the elements behind a Flatten once where they are there twice."""
    row = next(row for row in ROWS if row.name == "explicit_flatten")
    with open_endpoint("reference:mutant=CMB-12") as broken:
        first, *_ = running.run(running.Plan(broken, [row], ["python"], ["batch"]))
    assert first["verdict"] == "wrong"
    assert first["observed"]
