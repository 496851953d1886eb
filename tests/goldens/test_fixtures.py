"""The golden files are what their makers make, and what stands in them adds up."""

from __future__ import annotations

import csv
import importlib.util
import io
import json
import re
import subprocess
from pathlib import Path
from types import ModuleType

import pytest

from conformance.suite.fixtures import golden


def maker(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"make_{name}", golden(name) / "make.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("name", ["nexmark", "gaming"])
def test_answers_are_those_of_sql(name: str) -> None:
    make = maker(name)
    answers = make.results(make.events())
    assert answers
    for answer, rows in answers.items():
        assert rows, f"{answer} answers nothing: the history is too small to test it"
        assert rows == json.loads((golden(name) / f"{answer}.json").read_text(encoding="utf-8"))


def test_nexmark_events_are_those_of_the_generator() -> None:
    lines = (golden("nexmark") / "events.jsonl").read_text(encoding="utf-8").splitlines()
    assert [json.loads(line) for line in lines] == maker("nexmark").events()


def test_gaming_events_are_those_of_the_generator() -> None:
    text = (golden("gaming") / "events.csv").read_text(encoding="utf-8")
    rows = [{**row, "score": int(row["score"]), "t": int(row["t"])} for row in csv.DictReader(io.StringIO(text))]
    assert rows == maker("gaming").events()


def test_windowed_counts_are_those_of_the_command_on_the_page() -> None:
    directory = golden("windowed_words")
    blocks = re.findall(r"(?:^    .*\n)+", (directory / "README.md").read_text(encoding="utf-8"), flags=re.M)
    command = "\n".join(line.strip() for line in blocks[0].splitlines()).replace(" > counts.txt", "")
    made = subprocess.run(["sh", "-c", command], cwd=directory, capture_output=True, text=True, check=True).stdout
    assert made == (directory / "counts.txt").read_text(encoding="utf-8")


def test_drawings_are_current() -> None:
    directory = golden("questions")
    history = json.loads((directory / "history.json").read_text(encoding="utf-8"))
    for name, text in maker("questions").drawings(history).items():
        assert text == (directory / name).read_text(encoding="utf-8"), f"{name} is out of date: run make.py"


def test_every_pane_is_drawn_at_a_firing() -> None:
    make = maker("questions")
    history = json.loads((golden("questions") / "history.json").read_text(encoding="utf-8"))
    for answer in ("when", "how_discarding", "how_accumulating"):
        placed = make.firing_heights(answer, history[answer], make.steps(history["events"]))
        assert [pane for pane, _ in placed] == history[answer]


def test_answers_of_the_questions_agree_with_each_other() -> None:
    """Sums by window add up to the whole; panes for themselves add up to piled-up ones."""
    history = json.loads((golden("questions") / "history.json").read_text(encoding="utf-8"))
    total = history["what"][0][2]
    assert total == sum(score for event in history["events"] for score, _ in event.get("add", ()))
    assert total == sum(value for _, _, value in history["where"])
    apart, piled = history["how_discarding"], history["how_accumulating"]
    for start in (0, 2, 4):
        so_far = 0
        for (_, timing, value), (_, other, sum_) in zip(
            (pane for pane in apart if pane[0] == start), (pane for pane in piled if pane[0] == start), strict=True
        ):
            so_far += value
            assert (timing, so_far) == (other, sum_)


def test_every_golden_has_a_page() -> None:
    directories = [directory for directory in Path(golden("words")).parent.iterdir() if directory.is_dir()]
    assert len(directories) >= 5
    for directory in directories:
        page = (directory / "README.md").read_text(encoding="utf-8")
        for file in directory.glob("*"):
            known = file.name in page or re.fullmatch(r"q\d+\.json|README\.md|__pycache__", file.name)
            assert known, f"{file.name} is not explained in {directory.name}/README.md"


def test_lines_of_the_sdk_rows_are_those_of_their_maker() -> None:
    for name, content in maker("sdks").files().items():
        assert content == (golden("sdks") / name).read_text(encoding="utf-8"), name
