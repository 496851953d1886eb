"""What a row is given and what must come out of it: inputs made of golden texts, output read from files, the two compared. Pure but
for reading and writing files."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from attrs import frozen

from conformance.sdks.rows import Row
from conformance.suite.fixtures import golden

__all__ = ["Comparison", "compare", "compare_metrics", "expected_lines", "golden_file", "observed_lines", "write_input"]

#: How many lines of a difference a result shows.
SHOWN = 20


@frozen
class Comparison:
    """Whether what came out is what had to; else a sentence, and the two sides where they differ."""

    ok: bool
    sentence: str
    expected: Any = None
    observed: Any = None


def golden_file(name: str) -> Path:
    """A golden file by `directory/file`."""
    directory, _, file = name.partition("/")
    return golden(directory) / file


def write_input(row: Row, path: Path) -> None:
    """The row's input in the one form that all drivers read: watermark, timestamp (both ms), text, with tabulators between.

    The watermark before a line is the least timestamp that is still to come: the source never makes anything late.
    """
    stamped = _stamped(golden_file(row.input))
    marks: list[int] = []
    for stamp, _ in reversed(stamped):
        marks.append(min(stamp, marks[-1] if marks else stamp))
    path.write_text(
        "".join(f"{mark}\t{stamp}\t{text}\n" for mark, (stamp, text) in zip(reversed(marks), stamped, strict=True)),
        encoding="utf-8",
    )


def _stamped(source: Path) -> list[tuple[int, str]]:
    """(ms, line) of a golden text: seconds before a tabulator, the last column of a table, the field `t` of JSON, or 0."""
    lines = source.read_text(encoding="utf-8").splitlines()
    match source.suffix:
        case ".tsv":
            return [(1000 * int(second), text) for second, _, text in (line.partition("\t") for line in lines)]
        case ".csv":
            return [(int(line.rpartition(",")[2]), line) for line in lines[1:]]
        case ".jsonl":
            return [(json.loads(line)["t"], line) for line in lines]
        case ".json":
            return []  # a script, which the program reads itself
        case _:
            return [(0, line) for line in lines]


def expected_lines(row: Row) -> list[str]:
    """The lines that must come out; of JSON rows, the values of each with spaces between."""
    name, _, part = row.expected.partition("#")
    source = golden_file(name)
    text = source.read_text(encoding="utf-8")
    if source.suffix == ".json":
        found = json.loads(text)
        return [" ".join(map(str, values)) for values in (found[part] if part else found)]
    return text.splitlines()


def observed_lines(directory: Path) -> list[str]:
    """All lines of all files that were written, hidden and half-written ones left out."""
    files = sorted(path for path in directory.rglob("*") if path.is_file() and not path.name.startswith((".", "_")))
    whole = [path for path in files if path.suffix != ".part"]
    return [line for path in whole for line in path.read_text(encoding="utf-8").splitlines()]


def compare(expected: Sequence[str], observed: Sequence[str]) -> Comparison:
    """Lines as multisets: neither their order nor the number of files says anything."""
    wanted, found = Counter(expected), Counter(observed)
    if wanted == found:
        return Comparison(True, f"{len(expected)} lines as they have to be")
    missing, extra = sorted((wanted - found).elements()), sorted((found - wanted).elements())
    if not observed:
        return Comparison(False, f"nothing came out; {len(expected)} lines had to", expected[:SHOWN], [])
    return Comparison(
        False,
        f"{len(missing)} of {len(expected)} lines are missing and {len(extra)} are too many",
        {"missing": missing[:SHOWN]},
        {"too many": extra[:SHOWN]},
    )


def compare_metrics(row: Row, told: dict[str, Any]) -> Comparison:
    """The user's metrics as the SDK was told them, against the golden ones."""
    wanted = json.loads(golden_file(row.metrics).read_text(encoding="utf-8"))
    found = {name: told.get(name) for name in wanted}
    if found == wanted:
        return Comparison(True, f"metrics {', '.join(sorted(wanted))} as they have to be")
    return Comparison(False, "the SDK was told other metrics", wanted, found)
