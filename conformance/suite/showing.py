"""`beam-conformance show`: a leaf, an assertion or an always-on invariant in full, as lines of text."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Iterator

from conformance.harness import invariants
from conformance.pipeline import draw
from conformance.suite import catalogue, ledger, rules
from conformance.suite.coverage import mutant_words
from conformance.suite.sketch import first_pipeline

__all__ = ["rule_lines", "show_lines"]

#: Rules are shown up to so many characters; the documents have the rest.
RULE_CHARS = 900
WIDTH = 116


def show_lines(name: str) -> Iterator[str]:
    """A leaf ("CORE18"), an assertion ("CORE18/groups-every-value", also with the parameters that results add) or an invariant
    ("I-DATA-01", "CORE03/i-data-01"). Raises NoSuchLeaf with near misses."""
    name = name.partition("--")[0]
    leaf_id, _, slug = name.partition("/")
    invariant = invariants.CATALOGUE.get((slug or leaf_id).upper())
    if invariant is not None and (not slug or leaf_id.upper() in invariant.leaves):
        return _invariant(invariant)
    if not slug:
        return _leaf(ledger.load().leaf(leaf_id.upper()))
    return _assertion(ledger.load().assertion(f"{leaf_id.upper()}/{slug}"))


def _leaf(leaf: ledger.Leaf) -> Iterator[str]:
    area = ledger.load().area(leaf.area)
    yield f"{leaf.id}  {leaf.title}  (tier {leaf.tier}, area {area.id} {area.title})"
    yield f"  {leaf.definition}"
    yield f"  URNs: {', '.join(leaf.urns) or '-'}"
    yield f"  Beam's own tests: {leaf.beam_tests or 'none'}"
    yield f"  prerequisites: {', '.join(leaf.requires) or 'none'}"
    if leaf.untestable:
        yield f"  cannot be tested: {leaf.untestable}"
    if leaf.no_must:
        yield f"  no assertion is a MUST: {leaf.no_must}"
    for assertion in leaf.assertions:
        yield f"  {assertion.level:6} {assertion.id}: {assertion.statement}"
    for rule in catalogue.rules_by_leaf().get(leaf.id, ()):
        yield f"  {rule.level:6} {leaf.id}/{rule.id.lower()} (always on): {rule.statement}"


def _assertion(assertion: ledger.Assertion) -> Iterator[str]:
    book = ledger.load()
    leaf = book.leaf(assertion.leaf)
    yield f"{assertion.id}  ({assertion.level})"
    yield f"  {assertion.statement}"
    yield f"  leaf: {leaf.id} {leaf.title}: {leaf.definition}"
    yield f"  source: {assertion.source or leaf.beam_tests or '-'}"
    yield f"  prerequisites: {', '.join(book.prerequisites(leaf.id)) or 'none'}"
    yield from rule_lines(rules.cited_ids(assertion.rule))
    yield from _mutant_lines(assertion.id)
    for entry in catalogue.by_assertion().get(assertion.id, []):
        yield f"  test: {entry.module}.{entry.function.__name__}  (modes: {', '.join(entry.mark.modes)})"
        pipeline = first_pipeline(entry)
        if pipeline is None:
            yield "  program: it drives the endpoint itself; the page of a run shows what it ran"
            continue
        yield "  program (Mermaid):"
        for line in draw.mermaid(pipeline).splitlines():
            yield f"    {line}"


def _invariant(invariant: invariants.Rule) -> Iterator[str]:
    yield f"{invariant.id}  ({invariant.level}, always on, side {'runner' if invariant.side == 'R' else 'harness'})"
    yield f"  {invariant.statement}"
    yield f"  catches: {invariant.catches}"
    yield f"  leaves: {', '.join(invariant.leaves)}"
    yield "  source: docs/protocol.md, section 13"
    if invariant.note:
        yield f"  {invariant.note}"
    yield from rule_lines(invariant.rules)
    for leaf in invariant.leaves:
        yield from _mutant_lines(f"{leaf}/{invariant.id.lower()}")
    yield "  program: every job of every run; it looks at the transcript"


def rule_lines(ids: Iterable[str]) -> Iterator[str]:
    """Each rule with its level and its text, wrapped."""
    known = rules.rules()
    for each in ids:
        rule = known.get(each)
        if rule is None:
            told = invariants.CATALOGUE.get(each)
            yield f"  rule: {each} {f'{told.level}: {told.statement}' if told else ''}".rstrip()
            continue
        yield f"  rule: {rule.id} {rule.level} {rule.owed}".rstrip() + f"  (docs/{rule.document})"
        yield from textwrap.wrap(
            textwrap.shorten(rule.text, RULE_CHARS, placeholder=" …"), WIDTH, initial_indent=_INDENT, subsequent_indent=_INDENT
        )


_INDENT = "    "


def _mutant_lines(assertion: str) -> Iterator[str]:
    return (f"  kills mutant {told}" for told in mutant_words(assertion))
