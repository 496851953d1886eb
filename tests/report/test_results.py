"""The file format: what is written is read back, validated by an independent reader, and every broken file has its own error."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import attrs
import jsonschema
import msgspec
import pytest
import synthetic
from hypothesis import given
from hypothesis import strategies as st
from synthetic import one

import conformance.report
from conformance.report import evidence
from conformance.report.results import (
    BadLine,
    Header,
    NotResults,
    Results,
    ResultsWriter,
    Runner,
    UnknownSchema,
    published,
    read,
    schema_text,
    write_all,
)
from conformance.report.verdicts import Verdict

HEADER = Header(suite="0.1.0", runner=Runner("prism", "2.77.0", "prism"), seed=1, selected=2)
PUBLISHED = Path(conformance.report.__file__).parent / "results.schema.json"


def write(path: Path, *results: Any, finish: bool = True) -> Path:
    with ResultsWriter(path, HEADER) as writer:
        for result in results:
            writer.write(result)
        if finish:
            writer.finish(seconds=2.5, unexpected=1, exit_code=1)
    return path


class TestRoundTrip:
    def test_whole_run(self, tmp_path: Path) -> None:
        run = synthetic.results(leaves=["CORE18", "TRIG25", "STATE01"])
        write_all(tmp_path / "r.jsonl", run)
        again = read(tmp_path / "r.jsonl")
        assert again.header == run.header
        assert again.results == run.results
        assert again.footer == run.footer
        assert not again.partial

    def test_footer_counts_what_was_written(self, tmp_path: Path) -> None:
        results = read(write(tmp_path / "r.jsonl", one(), one("CORE19/x", Verdict.WRONG)))
        assert results.footer
        assert results.footer.counts == {Verdict.PASS: 1, Verdict.WRONG: 1}
        assert results.footer.exit_code == 1

    def test_each_line_is_there_as_soon_as_it_is_written(self, tmp_path: Path) -> None:
        writer = ResultsWriter(tmp_path / "r.jsonl", HEADER)
        writer.write(one())
        assert len(read(tmp_path / "r.jsonl").results) == 1
        writer.write(one("CORE19/x"))
        assert len(read(tmp_path / "r.jsonl").results) == 2
        writer.close()

    def test_unknown_fields_are_ignored(self, tmp_path: Path) -> None:
        path = write(tmp_path / "r.jsonl", one())
        path.write_text(path.read_text().replace('"kind":"result"', '"kind":"result","later":1'))
        assert len(read(path).results) == 1

    @given(st.text(), st.text(), st.sampled_from(list(Verdict)))
    def test_any_text(self, tmp_path_factory: pytest.TempPathFactory, message: str, observed: str, verdict: Verdict) -> None:
        result = one(verdict=verdict, message=message, observed=observed, expected={"a": [observed]})
        path = tmp_path_factory.mktemp("r") / "r.jsonl"
        assert read(write(path, result)).results == (result,)

    @pytest.mark.parametrize(
        "value", ["\ud800", {1, 2}, object(), {("a", "b"): 1}, b"x", float("nan"), Header], ids=lambda value: type(value).__name__
    )
    def test_nothing_that_a_check_hands_over_stops_the_run(self, tmp_path: Path, value: Any) -> None:
        path = write(tmp_path / "r.jsonl", one(observed=value, evidence={"script": [value], "command": "c"}))
        (result,) = read(path).results
        assert result.evidence["command"] == "c"


class TestPartial:
    def test_no_footer(self, tmp_path: Path) -> None:
        results = read(write(tmp_path / "r.jsonl", one(), finish=False))
        assert results.partial
        assert "1 of 2 selected" in results.why_partial

    def test_interrupted(self, tmp_path: Path) -> None:
        with ResultsWriter(tmp_path / "r.jsonl", HEADER) as writer:
            writer.finish(interrupted="stopped by the user")
        assert "stopped by the user" in read(tmp_path / "r.jsonl").why_partial

    def test_a_line_cut_in_the_middle(self, tmp_path: Path) -> None:
        path = write(tmp_path / "r.jsonl", one(), one("CORE19/x"), finish=False)
        path.write_bytes(path.read_bytes()[:-20])
        results = read(path)
        assert results.partial
        assert len(results.results) == 1


class TestBroken:
    def test_missing(self, tmp_path: Path) -> None:
        with pytest.raises(NotResults, match="cannot be read"):
            read(tmp_path / "none.jsonl")

    @pytest.mark.parametrize("text", ["", "<html>", "{}", "[]", '{"kind":"footer","counts":{}}', "\x00\xff"])
    def test_something_else(self, tmp_path: Path, text: str) -> None:
        (tmp_path / "r.jsonl").write_text(text)
        with pytest.raises(NotResults):
            read(tmp_path / "r.jsonl")

    def test_later_schema(self, tmp_path: Path) -> None:
        (tmp_path / "r.jsonl").write_text('{"kind":"header","schema":99,"whatever":1}\n')
        with pytest.raises(UnknownSchema, match="99"):
            read(tmp_path / "r.jsonl")

    @pytest.mark.parametrize(
        ("change", "number"),
        [
            (lambda lines: [lines[0].replace('"suite"', '"sweet"'), *lines[1:]], 1),
            (lambda lines: [lines[0], "nonsense", *lines[1:]], 2),
            (lambda lines: [lines[0], lines[1].replace('"pass"', '"passed"'), lines[2]], 2),
            (lambda lines: [lines[0], lines[0], *lines[1:]], 2),
            (lambda lines: [*lines, lines[1]], 4),
            (lambda lines: [lines[0], lines[1].replace('"evidence":{}', '"evidence":{"program":{"blob":"x"}}'), lines[2]], 2),
        ],
        ids=["header", "nonsense", "verdict", "second-header", "after-footer", "blob"],
    )
    def test_bad_line_is_numbered(self, tmp_path: Path, change: Any, number: int) -> None:
        path = write(tmp_path / "r.jsonl", one(evidence={"seed": 1}))
        lines = path.read_text().replace('"evidence":{"seed":1}', '"evidence":{}').splitlines()
        path.write_text("\n".join(change(lines)) + "\n")
        with pytest.raises(BadLine) as caught:
            read(path)
        assert caught.value.number == number


class TestSchema:
    def test_published_is_generated(self) -> None:
        assert PUBLISHED.read_text() == schema_text(), (
            "run: python -m conformance.report.results > conformance/report/results.schema.json"
        )

    def test_written_lines_are_valid(self, tmp_path: Path) -> None:
        schema = json.loads(PUBLISHED.read_text())
        jsonschema.Draft202012Validator.check_schema(schema)
        validator = jsonschema.Draft202012Validator(schema)
        write_all(tmp_path / "r.jsonl", synthetic.results(leaves=["CORE18", "CORE19", "TRIG25"], quality=0.1))
        lines = (tmp_path / "r.jsonl").read_text().splitlines()
        assert {json.loads(line)["kind"] for line in lines} == {"header", "result", "blob", "footer"}
        for line in lines:
            validator.validate(json.loads(line))

    @pytest.mark.parametrize(
        "change", [{"verdict": "passed"}, {"level": "must"}, {"seconds": -1}, {"assertion": "x"}, {"kind": "r"}]
    )
    def test_invalid_lines_are_not(self, change: dict[str, Any]) -> None:
        validator = jsonschema.Draft202012Validator(json.loads(PUBLISHED.read_text()))
        line = json.loads(msgspec.json.encode(one()))
        validator.validate(line)
        assert not validator.is_valid(line | change)

    def test_every_field_is_described(self) -> None:
        definitions = json.loads(PUBLISHED.read_text())["$defs"]
        for name, plain in (("Header", {"kind", "runner"}), ("Result", {"kind", "sdk", "level", "verdict"})):
            undescribed = {key for key, value in definitions[name]["properties"].items() if "description" not in value}
            assert undescribed <= plain


class TestSize:
    BIG = synthetic.evidence("CORE18/x", "batch", 1) | {"transcript": synthetic.transcript(5000), "mark_seq": 2500}

    def test_evidence_is_cut_and_says_so(self) -> None:
        kept = evidence.cap(self.BIG)
        assert evidence.size(kept) <= evidence.RESULT_LIMIT
        assert "messages of the transcript" in kept["notes"][-1]
        kept_seqs = [event["seq"] for event in kept["transcript"]]
        assert {0, 2499, 2500, 2501, 4999} <= set(kept_seqs)
        assert kept_seqs == sorted(kept_seqs)
        assert kept["program"] == self.BIG["program"]

    def test_small_evidence_is_left_alone(self) -> None:
        small = synthetic.evidence("CORE18/x", "batch", 1)
        assert evidence.cap(small) == small

    @pytest.mark.parametrize("key", sorted(evidence.KEYS))
    def test_any_key_may_be_the_big_one(self, key: str) -> None:
        kept = evidence.cap({"seed": 1, key: "x" * 300_000})
        assert evidence.size(kept) <= evidence.RESULT_LIMIT
        assert kept["notes"]

    def test_huge_message(self) -> None:
        event = synthetic.transcript(1)[0] | {"message": {"data": "A" * 500_000}}
        kept = evidence.cap({"transcript": [event]})
        assert kept["transcript"][0]["seq"] == 0
        assert "left out" in kept["transcript"][0]["message"]["cut"]

    def test_same_pieces_are_written_once(self, tmp_path: Path) -> None:
        shared = synthetic.evidence("CORE18/x", "batch", 1)
        results = [one(f"CORE18/x{n}", Verdict.WRONG, evidence=shared) for n in range(50)]
        path = write(tmp_path / "r.jsonl", *results)
        assert path.stat().st_size < evidence.size(shared) + 50 * 600
        assert read(path).results == tuple(results)

    def test_a_file_has_a_budget(self, tmp_path: Path) -> None:
        with ResultsWriter(tmp_path / "r.jsonl", HEADER, budget=100_000) as writer:
            for number in range(100):
                events = [event | {"worker_id": str(number)} for event in synthetic.transcript(100)]
                writer.write(one(f"CORE18/x{number}", Verdict.WRONG, evidence={"transcript": events, "command": "c"}))
            writer.finish()
        assert (tmp_path / "r.jsonl").stat().st_size < 100_000 + 100 * (evidence.FLOOR + 600)
        results = read(tmp_path / "r.jsonl").results
        assert all(result.evidence["command"] == "c" for result in results)
        assert "Cut to fit" in results[-1].evidence["notes"][-1]


def test_a_file_for_publishing_is_small(tmp_path: Path) -> None:
    """Of a pass it keeps how to repeat it, of anything else so much evidence; the verdicts stay."""
    made = synthetic.results(leaves=["CORE18", "CORE19", "TRIG25"], quality=0.3)
    seen = {"command": "run it", "transcript": [{"seq": number, "message": "x" * 200} for number in range(100)], "notes": ["n"]}
    whole = attrs.evolve(made, results=tuple(msgspec.structs.replace(result, evidence=seen) for result in made.results))
    assert {Verdict.PASS, Verdict.DECLINED} <= {result.verdict for result in whole.results}
    write_all(tmp_path / "whole.jsonl", whole)
    write_all(tmp_path / "brief.jsonl", published(whole, 2048))
    brief = read(tmp_path / "brief.jsonl")
    assert (tmp_path / "brief.jsonl").stat().st_size < (tmp_path / "whole.jsonl").stat().st_size / 2
    assert [(r.key, r.verdict, r.message) for r in brief.results] == [(r.key, r.verdict, r.message) for r in whole.results]
    assert brief.footer == whole.footer
    for result in brief.results:
        if result.verdict is Verdict.PASS:
            assert result.evidence == {"command": "run it"}
        else:
            assert 0 < len(result.evidence["transcript"]) < 100
            assert len(str(result.evidence)) < 4096


def test_what_is_published_tells_no_paths_of_the_machine() -> None:
    said = 'File "/home/me/venv/lib/python3.11/site-packages/apache_beam/runner.py", line 3; /root/go/pkg/mod/x/y.go:4; /tmp/a-b/c.log; /v1'
    header = Header("0.1.0", Runner("prism"), command="beam-conformance run --runner prism --output /tmp/out -k window")
    run = Results(header, (one(verdict=Verdict.ERROR, message=said),))
    kept = published(run, 2048)
    assert kept.results[0].message == ('File "/…/site-packages/apache_beam/runner.py", line 3; /…/pkg/mod/x/y.go:4; /…; /v1')
    assert kept.header.command == "beam-conformance run --runner prism -k window"
