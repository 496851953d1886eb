"""What is published: whole runs, small enough to keep, each failure listed with a link and explained on a page that exists."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from conformance.report import baseline, results
from conformance.report.baseline import Entry

ROOT = Path(__file__).parents[2]
REPORTS = sorted((ROOT / "reports").glob("*.jsonl"))
BASELINES = sorted((ROOT / "reports" / "baselines").glob("*.toml"))
PAGES = sorted((ROOT / "docs" / "findings").glob("*.md"))
LINK = re.compile(r"\]\(([^)#]+)\)")


@pytest.mark.parametrize("path", REPORTS, ids=lambda path: path.stem)
def test_reports_are_whole_small_and_of_no_machine(path: Path) -> None:
    report = results.read(path)
    assert not report.partial
    assert not report.narrowed
    assert len(report.results) >= (report.header.selected or 0)
    assert report.header.runner.version
    assert path.stat().st_size < 2 * 2**20, "beam-conformance merge --evidence writes smaller files"
    assert not re.search(r"/(?:root|home|tmp)/", path.read_text()), "beam-conformance merge --evidence leaves them out"


def entries() -> list[tuple[str, Entry]]:
    return [(path.stem, entry) for path in BASELINES for entry in baseline.read(path).expected]


@pytest.mark.parametrize("path", BASELINES, ids=lambda path: path.stem)
def test_baselines_are_those_of_the_reports(path: Path) -> None:
    (report,) = [results.read(other) for other in REPORTS if other.name.startswith(f"{path.stem}-")]
    found = baseline.compare(baseline.read(path), report)
    assert not found.unexpected
    assert not found.stale


def test_every_failure_has_a_page() -> None:
    """What a runner declines needs none."""
    for runner, entry in entries():
        if entry.verdict != "declined":
            page = entry.note.partition(";")[0]
            assert (ROOT / page).is_file(), f"{runner}: {entry.assertion} names no page of docs/findings in its note"
            assert entry.assertion in (ROOT / page).read_text() or entry.flaky, f"{page} does not tell of {entry.assertion}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_links_of_findings_lead_somewhere(page: Path) -> None:
    for target in LINK.findall(page.read_text()):
        assert target.startswith("https://github.com/apache/beam/") or (page.parent / target).exists(), target


def test_the_index_names_every_page() -> None:
    index = (ROOT / "docs" / "findings" / "README.md").read_text()
    assert {page.name for page in PAGES} - {"README.md"} <= set(LINK.findall(index))
