"""The page as text: what it says, that it loads nothing, and that nothing in a results file can become markup or code."""

from __future__ import annotations

import json
import re
from functools import cached_property
from html.parser import HTMLParser
from typing import Any

import pytest
import synthetic
from synthetic import one, run

from conformance.report import page
from conformance.report.knowledge import Knowledge, RuleRow, Sum
from conformance.report.page import NOT_RUN, embeddable, matrix, render
from conformance.report.results import Results, Runner
from conformance.report.verdicts import MEANING, NOT_APPLICABLE, Level, Verdict
from conformance.suite.ledger import parse

LEDGER = synthetic.ledger()
VOID = {"meta", "input", "link", "br", "hr", "img"}


class Reader(HTMLParser):
    """A strict reader: every element is closed in order; collects texts, attributes and scripts."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.stack: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text: list[str] = []
        self.scripts: list[str] = []
        self.feed(text)
        self.close()
        assert not self.stack

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.stack.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.stack.pop() == tag

    def handle_data(self, data: str) -> None:
        (self.scripts if self.stack and self.stack[-1] == "script" else self.text).append(data)

    @cached_property
    def data(self) -> dict[str, Any]:
        return json.loads(self.scripts[0])  # type: ignore[no-any-return]


@pytest.fixture(scope="module")
def two() -> list[Results]:
    return [synthetic.results("prism"), synthetic.results("flink", version="1.19", seed=2, quality=0.5, partial=True)]


@pytest.fixture(scope="module")
def read(two: list[Results]) -> Reader:
    return Reader(render(two, LEDGER))


class TestMatrix:
    def test_columns_are_runner_sdk_mode(self, two: list[Results]) -> None:
        labels = [column.label for column in matrix(two, LEDGER).columns]
        assert labels == [
            "prism 2.77.0 harness batch",
            "prism 2.77.0 harness streaming",
            "flink 1.19 harness batch",
            "flink 1.19 harness streaming",
        ]

    def test_every_leaf_is_a_row(self, two: list[Results]) -> None:
        rows = [row.leaf.id for section in matrix(two, LEDGER).sections for row in section.rows]
        assert rows == [leaf.id for leaf in LEDGER.leaves]

    def test_summaries_add_up(self, two: list[Results]) -> None:
        table = matrix(two, LEDGER)
        for section in table.sections:
            assert all(sum(number for _, number in summary) == len(section.rows) for summary in section.summaries)
        assert sum(n for _, n in table.score(table.columns[0], 1)) == 298
        assert sum(n for _, n in table.score(table.columns[0], 2)) == 115

    def test_a_mode_that_was_asked_for_and_gave_nothing_is_a_column(self) -> None:
        table = matrix([run(one(), modes=("batch", "streaming"))], LEDGER)
        assert [column.mode for column in table.columns] == ["batch", "streaming"]

    def test_unknown_leaves_are_shown_apart(self) -> None:
        stray = one("ZZZ01/x", Verdict.WRONG)
        assert matrix([run(stray)], LEDGER).strays == (stray,)
        assert "ZZZ01/x" in render([run(stray)], LEDGER)

    @pytest.mark.parametrize(
        ("results", "leaf", "reason"),
        [
            (run(one()), "AB01", "No assertion of this suite reaches it yet"),
            (run(one()), "AB02", "None of its assertions ran in batch mode"),
            (run(one()), "AB03", "It cannot be tested: no way to see it"),
            (run(one(), whole=False), "AB02", "The run did not come to it"),
            (run(one(), selection="--area A"), "AB02", "--area A"),
            (run(one("AB02/x", Verdict.NO_VERDICT, phase=NOT_APPLICABLE)), "AB02", "does not apply in batch mode"),
        ],
    )
    def test_not_run_says_why(self, results: Results, leaf: str, reason: str) -> None:
        plain = "[[leaf]]\nid = '{}'\ntitle = 't'\ndefinition = 'd'\ntier = 1\n"
        book = parse(
            {
                "a.toml": (
                    "area = 'A'\ntitle = 'x'\n"
                    + plain.format("AB01")
                    + plain.format("AB02")
                    + "[[leaf.assertions]]\nslug = 'x'\nlevel = 'MUST'\nstatement = 's'\n"
                    + plain.format("AB03")
                    + "untestable = 'no way to see it'\n"
                ).encode()
            }
        )
        (section,) = matrix([results], book).sections
        (cell,) = next(row for row in section.rows if row.leaf.id == leaf).cells
        assert cell.word == NOT_RUN
        assert reason in cell.reason

    def test_coverage_counts_leaves_with_an_executed_assertion(self) -> None:
        results = run(one("CORE18/x"), one("CORE19/x", Verdict.NO_VERDICT), one("WIN02/x", Verdict.WRONG))
        reached = {area.title: area.reached for area in matrix([results], LEDGER).coverage}
        assert reached["A Core transforms"] == (1, 0)
        assert reached["C Windowing"] == (1, 0)

    def test_lower_levels_never_change_the_word(self) -> None:
        results = run(one("CORE18/x"), one("CORE18/y", Verdict.WRONG, level=Level.SHOULD))
        cell = next(row for s in matrix([results], LEDGER).sections for row in s.rows if row.leaf.id == "CORE18").cells[0]
        assert (cell.word, cell.advisory) == ("pass", "SHOULD 0/1")


class TestText:
    def test_every_cell_has_a_word_beside_its_colour(self, read: Reader) -> None:
        cells = [attrs for tag, attrs in read.tags if tag == "button" and (attrs.get("class") or "").startswith("cell ")]
        assert len(cells) == 413 * 4
        words = set(page.WORDS.values())
        assert all(any(f": {word}" in (attrs["aria-label"] or "") for word in words) for attrs in cells)

    def test_ids_are_unique(self, read: Reader) -> None:
        ids = [attrs["id"] for _, attrs in read.tags if "id" in attrs]
        assert len(ids) == len(set(ids))

    def test_partial_runs_are_flagged_loudly(self, read: Reader) -> None:
        text = " ".join(read.text)
        assert "flink 1.19: partial run." in text
        assert text.count("partial") >= 3

    def test_facts_of_the_run(self, read: Reader) -> None:
        text = " ".join(" ".join(read.text).split())
        for fact in ("0.1.0", "2026-03-01T12:00:00", "beam-conformance run --runner prism --seed 1", "61.4 s", "external"):
            assert fact in text

    def test_every_verdict_is_explained(self, read: Reader) -> None:
        text = " ".join(read.text)
        assert all(meaning in text for meaning in MEANING.values())

    def test_no_runs(self) -> None:
        assert "nothing to show yet" in render([], LEDGER)

    def test_same_input_same_page(self, two: list[Results]) -> None:
        assert render(two, LEDGER) == render(two, LEDGER)


class TestSelfContained:
    def test_nothing_is_loaded(self, read: Reader) -> None:
        for tag, attrs in read.tags:
            assert tag not in {"link", "img", "iframe", "object", "embed", "base", "form"}
            assert "src" not in attrs
            assert not any(name.startswith("on") for name in attrs)
            if "href" in attrs:
                assert (attrs["href"] or "").startswith("#")

    def test_policy_allows_exactly_the_one_script(self, read: Reader) -> None:
        import base64
        import hashlib

        (policy,) = (attrs["content"] or "" for tag, attrs in read.tags if attrs.get("http-equiv") == "Content-Security-Policy")
        digest = base64.b64encode(hashlib.sha256(read.scripts[1].encode()).digest()).decode()
        assert f"script-src 'sha256-{digest}'" in policy
        assert policy.startswith("default-src 'none'")

    def test_data_is_whole(self, read: Reader, two: list[Results]) -> None:
        assert len(read.data["results"]) == sum(len(results.results) for results in two)
        assert len(read.data["cells"]) == 413
        for result in read.data["results"]:
            for value in result["evidence"].values():
                if isinstance(value, dict) and value.keys() == {"blob"}:
                    assert value["blob"] in read.data["blobs"]


HOSTILE = [
    "</script><script>alert(1)</script>",
    "<!--<script>",
    "]]>",
    "\u2028\u2029",
    "'\"><img src=x onerror=alert(1)>",
    "{{ 7*7 }} {% raw %}",
    "\x00\x1b[0m",
    "&lt;&amp;",
]


class TestHostile:
    @pytest.mark.parametrize("text", HOSTILE)
    def test_embedded_text_comes_back_as_it_was(self, text: str) -> None:
        safe = embeddable({"x": text})
        assert not re.search("[<>&\u2028\u2029]", safe)
        assert json.loads(safe) == {"x": text}

    @pytest.mark.parametrize("text", HOSTILE)
    def test_everywhere(self, text: str) -> None:
        clean, read = Reader(self.page_with("plain")), Reader(self.page_with(text))
        assert [tag for tag, _ in read.tags] == [tag for tag, _ in clean.tags]
        assert len(read.scripts) == 2
        (found,) = (r for r in read.data["results"] if r["assertion"] == "CORE18/x")
        assert found["message"] == text
        assert found["evidence"]["observed"] == {"a": text}

    @staticmethod
    def page_with(text: str) -> str:
        result = one(
            verdict=Verdict.WRONG,
            message=text,
            statement=text,
            source=text,
            rule=text,
            phase=text,
            expected=text,
            observed={"a": text},
            evidence={"program": {"mermaid": text, "svg": text}, "transcript": [{"method": text, "seq": 0}], "command": text},
        )
        stray = one("ZZZ01/x", message=text)
        facts: dict[str, Any] = {"command": text, "selection": text, "host": text, "environment": text}
        return render([run(result, stray, runner=Runner(text, text, text), **facts)], LEDGER, title=text)


def test_a_page_has_a_budget(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(page, "EVIDENCE_BUDGET", 20_000)
    results = [
        one(
            f"CORE18/x{n}",
            Verdict.WRONG,
            evidence={"transcript": [e | {"worker_id": str(n)} for e in synthetic.transcript(30)], "command": "c"},
        )
        for n in range(50)
    ]
    text = render([run(*results)], LEDGER)
    data = Reader(text).data
    assert len(data["blobs"]) < 10
    assert sum("left out of this page" in str(result["evidence"].get("notes")) for result in data["results"]) > 40
    assert all(result["evidence"]["command"] == "c" for result in data["results"])


class TestKnowledge:
    KNOWN = Knowledge(
        rules={"M-X-01": "MUST <b>words</b>"},
        kills={"CORE18/all-values": ["GBK-01"]},
        mutants={"GBK-01": "loses a value"},
        sums=[Sum("MUST rules", 3, 5, 1, "a note", ["M-X-02"])],
        rule_map=[RuleRow("M-X-01", ["CORE18/all-values"]), RuleRow("M-X-02", reason="because"), RuleRow("M-X-03")],
    )

    def test_is_shown_and_escaped(self) -> None:
        text = render([run(one())], LEDGER, known=self.KNOWN)
        assert "What the suite covers" in text
        assert "3 of 5" in text
        assert "not checked: because" in text
        assert "nothing yet" in text
        assert "<b>words</b>" not in text
        data = Reader(text).data
        assert data["kills"] == {"CORE18/all-values": ["GBK-01"]}
        assert data["mutants"] == {"GBK-01": "loses a value"}

    def test_is_left_out_where_nothing_is_known(self) -> None:
        assert "What the suite covers" not in render([run(one())], LEDGER)
