"""docs/engine.md is as the engine is."""

from __future__ import annotations

from tests.runner import engine_docs


def test_the_page_is_up_to_date():
    page = engine_docs.PAGE.read_text(encoding="utf-8")
    assert engine_docs.written(page) == page, "run python -m tests.runner.engine_docs"


def test_every_generated_part_is_on_the_page_once():
    page = engine_docs.PAGE.read_text(encoding="utf-8")
    assert sorted(engine_docs.parts_of(page)) == sorted(engine_docs.PARTS)


def test_a_change_of_the_engine_is_noticed(monkeypatch):
    monkeypatch.setattr(type(engine_docs.RULES), "count_reached", lambda self, count, wanted: count > wanted)
    page = engine_docs.PAGE.read_text(encoding="utf-8")
    assert engine_docs.written(page) != page
