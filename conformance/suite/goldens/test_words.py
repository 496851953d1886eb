"""WordCap, WordCount, windowed WordCount: read a text file, write sharded files by a sink DoFn, compare with what a shell makes of it."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from conformance.pipeline import Fn, PCollection, coders, windowing
from conformance.suite.assertions import asserts
from conformance.suite.case import Case
from conformance.suite.checks import same
from conformance.suite.fixtures import golden
from conformance.suite.goldens import functions as functions

KV = coders.kv(coders.STRING, coders.VARINT)


@contextmanager
def output_directory() -> Iterator[Path]:
    """A directory for the shards, gone when the scenario has compared them."""
    directory = Path(tempfile.mkdtemp(prefix="beam-conformance-"))
    try:
        yield directory
    finally:
        shutil.rmtree(directory)


def lines_of(case: Case) -> PCollection:
    """The lines of the text."""
    text = golden("words") / "input.txt"
    return case.program.impulse().par_do(Fn("read_text_lines", path=str(text)), coders.STRING, name="read")


def written(directory: Path, shards: list[Any]) -> list[str]:
    """The lines of the shards that the sink reported, sorted; a shard that was not reported was not committed."""
    lines: list[str] = []
    for shard in shards:
        path = Path(shard)
        lines += (path if path.is_absolute() else directory / path).read_text(encoding="utf-8").splitlines()
    return sorted(lines)


def expected(name: str, of: str = "words") -> list[str]:
    return sorted((golden(of) / name).read_text(encoding="utf-8").splitlines())


def counts_of(lines: PCollection) -> PCollection:
    """KV<word, count>, by window."""
    words = lines.par_do(Fn("words"), coders.STRING, name="words")
    pairs = words.par_do(Fn("map", expr=["kv", ["value"], 1]), KV, name="one_each")
    return pairs.combine_per_key(Fn("sum"), coders.VARINT, coders.VARINT, name="count")


@asserts("MISC09/word-cap")
def test_word_cap(case: Case) -> Any:
    with output_directory() as directory:
        capitals = (
            lines_of(case)
            .par_do(Fn("filter", expr=["!=", ["value"], ""]), coders.STRING, name="non_empty")
            .par_do(Fn("map", expr=["upper", ["value"]]), coders.STRING, name="capitalize")
        )
        capitals.par_do(Fn("write_shards", directory=str(directory)), coders.STRING, name="write").observe("shards")
        run = yield
        same(written(directory, run.values("shards")), expected("capitals.txt"), "the lines written")


@asserts("MISC09/word-count")
def test_word_count(case: Case) -> Any:
    with output_directory() as directory:
        text = ["+", ["+", ["key"], ": "], ["str", ["val"]]]
        formatted = counts_of(lines_of(case)).par_do(Fn("map", expr=text), coders.STRING, name="format")
        formatted.par_do(Fn("write_shards", directory=str(directory)), coders.STRING, name="write").observe("shards")
        run = yield
        same(written(directory, run.values("shards")), expected("counts.txt"), "the counts written")


@asserts("MISC09/windowed-word-count")
def test_windowed_word_count(case: Case) -> Any:
    with output_directory() as directory:
        source = case.program.impulse()
        read = Fn("timed_lines", golden_name="windowed_words", file="input.tsv")
        lines = source.par_do(read, coders.STRING, name="read").window_into(windowing.fixed(60_000))
        minute = ["str", ["//", ["window_start"], 60_000]]
        text = ["+", ["+", ["+", ["+", minute, " "], ["key"]], ": "], ["str", ["val"]]]
        formatted = counts_of(lines).par_do(Fn("map", expr=text), coders.STRING, name="format")
        formatted.par_do(Fn("write_shards", directory=str(directory)), coders.STRING, name="write").observe("shards")
        run = yield
        same(written(directory, run.values("shards")), expected("counts.txt", of="windowed_words"), "the counts written")
