"""The rows of the classic table: their data, what they are judged by, and the Python SDK's on the reference runner."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from conformance.endpoints import Endpoint, JobClient, open_endpoint
from conformance.endpoints.job import Wants
from conformance.harness.session import Session
from conformance.pipeline import Fn, Program
from conformance.report.verdicts import NOT_APPLICABLE
from conformance.sdks import facts, materials, rows, running
from conformance.sdks.languages import SDKS
from conformance.sdks.recording import recorded
from conformance.suite import mutants

ROWS = rows.load()
MUTANTS = mutants.load()


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


#: The emulator of Google Cloud Storage is built with Go.
PARAMETERS = [pytest.param(row, id=row.name, marks=pytest.mark.sdks if row.writes == "gcs" else ()) for row in ROWS]
#: The drivers of Go and Java are built with their own tools.
LANGUAGES = ["python", pytest.param("go", marks=pytest.mark.sdks), pytest.param("java", marks=pytest.mark.sdks)]


@pytest.fixture(scope="module", params=LANGUAGES)
def turn(request: pytest.FixtureRequest, endpoint: Endpoint) -> Iterator[running.Turn]:
    sdk = SDKS[request.param]
    with (
        running.storage(print) as storage,
        running.Turn(running.Plan(endpoint, ROWS, [sdk.name], rows.MODES, storage=storage), sdk, print) as turn,
    ):
        yield turn


@pytest.mark.parametrize("mode", rows.MODES)
@pytest.mark.parametrize("row", PARAMETERS)
def test_every_row_passes_on_the_reference_runner(turn: running.Turn, row: rows.Row, mode: str) -> None:
    results = list(turn.results_of(row, mode))
    if row.why_not(turn.sdk.name, mode):
        assert {each["phase"] for each in results} == {NOT_APPLICABLE}
    else:
        assert [each for each in results if each["verdict"] != "pass"] == []


@pytest.mark.parametrize("row", PARAMETERS)
def test_every_row_has_a_mutant_that_turns_it_red(row: rows.Row) -> None:
    """The SDK's own job, on the reference runner with one fault: what comes out is wrong, and is told as wrong."""
    mutant, _, mode = row.mutant.partition(" ")
    assert mutant in MUTANTS
    with (
        open_endpoint(f"reference:mutant={mutant}") as broken,
        running.storage(print) as storage,
        running.Turn(running.Plan(broken, [row], ["python"], rows.MODES, storage=storage), SDKS["python"]) as turn,
    ):
        first, *_ = turn.results_of(row, mode or "batch")
    assert first["verdict"] == "wrong", first["message"]
    assert first["expected"] != first["observed"]


def test_silence_is_a_timeout_and_the_next_row_runs(endpoint: Endpoint) -> None:
    """A job that takes longer than its time is cancelled; the driver goes on."""
    slow, quick = (next(row for row in ROWS if row.name == name) for name in ("dynamic_splits", "impulse"))
    with running.Turn(running.Plan(endpoint, ROWS, ["python"], rows.MODES), SDKS["python"]) as turn:
        list(turn.results_of(quick, "batch"))  # the driver is up
        turn.plan = evolve(turn.plan, timeout_scale=0.02)
        late, *_ = turn.results_of(slow, "batch")
        turn.plan = evolve(turn.plan, timeout_scale=1.0)
        after, *_ = turn.results_of(quick, "batch")
    assert (late["verdict"], late["phase"]) == ("timeout", "run")
    assert after["verdict"] == "pass"


def test_a_driver_that_dies_is_no_fault_of_the_runner(endpoint: Endpoint) -> None:
    broken = evolve(SDKS["python"], command=lambda progress: ("/bin/sh", "-c", 'echo \'{"ready": "1"}\'; read -r line; exit 3'))
    with running.Turn(running.Plan(endpoint, ROWS, ["python"], rows.MODES), broken) as turn:
        first, *_ = turn.results_of(ROWS[0], "batch")
    assert (first["verdict"], first["phase"]) == ("no-verdict", "sdk")
    assert "status 3" in first["message"]


def test_a_broken_rule_of_the_wire_is_remarked_upon() -> None:
    """The reference runner with a fault that the lines do not show: descriptors hold composites."""
    row = next(row for row in ROWS if row.name == "group_by_key")
    told = {}
    for address in ("reference", "reference:mutant=DSC-02"):
        with (
            open_endpoint(address) as runner,
            running.Turn(running.Plan(runner, [row], ["python"], rows.MODES), SDKS["python"]) as turn,
        ):
            first, *_ = turn.results_of(row, "batch")
        told[address] = [note for note in first["evidence"]["notes"] if note.startswith("on the wire")]
    assert told["reference"] == []
    assert any("I-CTL-06" in note for note in told["reference:mutant=DSC-02"])


def test_a_reason_that_the_client_does_not_hear_is_asked_of_the_runner(endpoint: Endpoint) -> None:
    """The reason of a failed job comes from the runner's messages where the SDK's own client has none."""
    with running.Turn(running.Plan(endpoint, ROWS, ["python"], rows.MODES), SDKS["python"]) as turn, Session() as session:
        program = Program()
        program.create([1]).par_do(Fn("fail", text="the function's own words"))
        with recorded(endpoint.url) as (url, transcript), JobClient(url) as client:
            outcome = client.run_job(program.build(session.environment()), wants=Wants(messages="never"))
            assert outcome.state == "FAILED"
            assert facts.errors_told(transcript) == ""
            judged = turn.not_done({"state": "FAILED", "error": "the job failed"}, transcript)
    assert judged.verdict == "error"
    assert "the function's own words" in judged.message
