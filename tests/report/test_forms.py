"""JUnit, diff, merge and summary, each read by a strict reader of its kind."""

from __future__ import annotations

import io
import json
from typing import Any
from xml.etree import ElementTree

import pytest
import synthetic
from rich.console import Console
from synthetic import one, run

from conformance.report import baseline, diff, junit, merge, summary
from conformance.report.results import Runner
from conformance.report.verdicts import Level, Verdict

P, W, D, E, T, N = (Verdict.PASS, Verdict.WRONG, Verdict.DECLINED, Verdict.ERROR, Verdict.TIMEOUT, Verdict.NO_VERDICT)


class TestJUnit:
    @pytest.mark.parametrize(
        ("fields", "element"),
        [
            ({"verdict": P}, None),
            ({"verdict": W}, "failure"),
            ({"verdict": D}, "failure"),
            ({"verdict": E}, "error"),
            ({"verdict": T}, "error"),
            ({"verdict": N}, "skipped"),
            ({"verdict": W, "level": Level.SHOULD}, "skipped"),
            ({"verdict": W, "listed": "https://example.org/1"}, "skipped"),
        ],
    )
    def test_element(self, fields: dict[str, Any], element: str | None) -> None:
        (suite,) = ElementTree.fromstring(junit.render(run(one(message="because", **fields))))
        case = suite.find("testcase")
        assert case is not None
        outcomes = [child.tag for child in case]
        assert outcomes == ([element] if element else [])
        if element:
            assert "because" in case[0].attrib["message"]
            assert str(fields["verdict"]) in case[0].attrib["message"]

    def test_counts_and_areas(self) -> None:
        results = synthetic.results(quality=0.5)
        root = ElementTree.fromstring(junit.render(results, synthetic.ledger()))
        cases = root.findall(".//testcase")
        assert len(cases) == len(results.results) == int(root.attrib["tests"])
        assert len({(case.attrib["classname"], case.attrib["name"]) for case in cases}) == len(cases)
        assert "Windowing" in {suite.attrib["name"] for suite in root}
        for tag, attribute in (("failure", "failures"), ("error", "errors"), ("skipped", "skipped")):
            assert len(root.findall(f".//{tag}")) == int(root.attrib[attribute]) == sum(int(s.attrib[attribute]) for s in root)
        assert all(float(case.attrib["time"]) > 0 for case in cases)

    def test_hostile_text_is_still_xml(self) -> None:
        nasty = "\x00\x1b[31m <&\"']]> \ufffe \ud800 𝄞"
        root = ElementTree.fromstring(junit.render(run(one(verdict=W, message=nasty, observed=nasty))).encode("utf-8", "strict"))
        failure = root.find(".//failure")
        assert failure is not None
        assert "<&\"']]>" in failure.attrib["message"]
        assert "𝄞" in (failure.text or "")

    def test_partial_is_said(self) -> None:
        assert 'name="partial"' in junit.render(run(one(), whole=False))


class TestDiff:
    @pytest.mark.parametrize(
        ("before", "after", "kind"),
        [
            (P, W, "regression"),
            (P, D, "regression"),
            (W, P, "fix"),
            (T, P, "fix"),
            (W, E, "changed"),
            (D, W, "changed"),
            (P, N, "changed"),
            (N, P, "changed"),
            (N, W, "changed"),
            (None, P, "new"),
            (None, W, "new"),
            (P, None, "removed"),
            (W, None, "removed"),
        ],
    )
    def test_kind(self, before: Verdict | None, after: Verdict | None, kind: str) -> None:
        a, b = (run(one(verdict=v)) if v else run() for v in (before, after))
        found = diff.compare(a, b)
        assert [change.kind for change in found.changes] == [kind]
        assert found.same == 0

    def test_same(self) -> None:
        results = synthetic.results()
        found = diff.compare(results, results)
        assert not found.changes
        assert found.same == len(results.results)

    def test_modes_are_apart(self) -> None:
        found = diff.compare(run(one(), one(mode="streaming")), run(one(), one(mode="streaming", verdict=W)))
        assert [change.mode for change in found.of("regression")] == ["streaming"]

    def test_forms_agree(self) -> None:
        found = diff.compare(synthetic.results(seed=1), synthetic.results(seed=2, version="2.78.0"))
        data = json.loads(diff.to_json(found))
        assert sum(data["counts"].values()) == len(data["changes"]) == len(found.changes)
        text, markdown = diff.to_text(found), diff.to_markdown(found)
        for change in found.changes:
            assert change.assertion in text
            assert f"`{change.assertion}`" in markdown
        assert text.index("Regressions") < text.index("Fixes") < text.index("Changed")

    def test_partial_and_foreign_are_said(self) -> None:
        found = diff.compare(run(one(), whole=False), run(one(), suite="0.2.0", selection="-k x"))
        assert len(found.caveats) == 3
        assert "partial" in diff.to_text(found)

    def test_markdown_cannot_be_broken(self) -> None:
        found = diff.compare(run(one()), run(one(verdict=W, message="a | b <script>")))
        assert "a \\| b \\<script\\>" in diff.to_markdown(found)


class TestMerge:
    def test_shards(self) -> None:
        merged = merge.merge([run(one("CORE18/a"), shard="1/2", selected=1), run(one("CORE18/b"), shard="2/2", selected=1)])
        assert [result.assertion for result in merged.results] == ["CORE18/a", "CORE18/b"]
        assert not merged.partial
        assert not merged.narrowed
        assert merged.header.selected == 2
        assert merged.footer
        assert merged.footer.counts == {P: 2}

    def test_missing_shard(self) -> None:
        merged = merge.merge([run(one("CORE18/a"), shard="1/3"), run(one("CORE18/b"), shard="3/3")])
        assert "shard 2/3 is missing" in merged.why_partial

    def test_partial_part(self) -> None:
        assert merge.merge([run(one("CORE18/a")), run(one("CORE18/b"), whole=False)]).partial

    def test_worse_verdict_stays(self) -> None:
        merged = merge.merge([run(one(verdict=P)), run(one(verdict=W, message="bad")), run(one(verdict=D))])
        assert [(r.verdict, r.message) for r in merged.results] == [
            (W, "bad (another part of this run came to pass) (another part of this run came to declined)")
        ]

    def test_foreign_parts(self) -> None:
        with pytest.raises(merge.CannotMerge, match="differ in runner"):
            merge.merge([run(), run(runner=Runner("flink"))])
        with pytest.raises(merge.CannotMerge, match="different divisions"):
            merge.merge([run(shard="1/2"), run(shard="1/3")])
        with pytest.raises(merge.CannotMerge, match="nothing to merge"):
            merge.merge([])


class TestSummary:
    @staticmethod
    def text(*args: object, **options: object) -> str:
        console = Console(file=io.StringIO(), width=140)
        console.print(summary.render(*args, **options))  # type: ignore[arg-type]
        assert isinstance(console.file, io.StringIO)
        return console.file.getvalue()

    def test_counts_areas_and_reasons(self) -> None:
        results = synthetic.results(quality=0.9)
        text = self.text(results, synthetic.ledger())
        assert "prism 2.77.0" in text
        assert "C Windowing" in text
        bad = [result for result in results.results if result.verdict is not P]
        assert f"and {len(bad) - 40} more" in text
        worst_first = text[text.index("Did not pass") :]
        assert worst_first.splitlines()[1].split()[0] == "wrong"

    def test_markup_in_messages_is_text(self) -> None:
        assert "[bold]x[/nope]" in self.text(run(one(verdict=W, message="[bold]x[/nope]")))

    def test_partial_stale_and_nothing(self) -> None:
        entry = baseline.Entry("CORE18/x", "wrong", "https://example.org/1")
        results = run(one(), whole=False)
        text = self.text(results, None, baseline.compare(baseline.Baseline(expected=(entry,)), results))
        assert "it passes now" in text
        assert "Partial run" in text
        assert "nothing ran" in self.text(run())
