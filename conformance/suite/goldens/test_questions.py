"""What, where, when, how: the four questions of the Beam model asked of one event history (`fixtures/golden/questions`).

The sums of scores: of everything (what), by windows of two minutes (where), at the watermark (when), and with early and late firings,
the panes apart or piled up (how).
"""

from __future__ import annotations

from typing import Any

from conformance.pipeline import Fn, PCollection, coders, triggers
from conformance.suite.assertions import asserts
from conformance.suite.case import Case
from conformance.suite.checks import same
from conformance.suite.goldens.histories import MINUTE, fixed, history, panes, script, times

KEY = "scores"
KV = coders.kv(coders.STRING, coders.VARINT)
HISTORY = history("questions", "history.json")
#: Late data is waited for so long after the end of a window.
LATENESS = 4 * MINUTE


def total(scores: PCollection) -> PCollection:
    """The sum of the scores, by key and window."""
    return scores.combine_per_key(Fn("sum"), coders.VARINT, coders.VARINT, name="sum")


def bounded(case: Case) -> PCollection:
    """The history as a bounded collection: no clock, no watermark but the one at the end."""
    arrived = times(HISTORY["events"])
    return case.program.create([(KEY, score) for [score], _ in arrived], KV, timestamps=[at for _, at in arrived])


def unbounded(case: Case) -> PCollection:
    """The history as it happens."""
    scores: PCollection = case.program.test_stream(script(HISTORY["events"], lambda score: (KEY, score)), KV)
    return scores


def firings() -> Any:
    """Early a minute after the first new score, on time, and late for each."""
    return triggers.after_watermark(
        early=triggers.repeatedly(triggers.after_processing_time(MINUTE)), late=triggers.repeatedly(triggers.after_count(1))
    )


def expected(answer: str) -> list[list[Any]]:
    return [[KEY, *pane] for pane in HISTORY[answer]]


def sums(seen: list[list[Any]]) -> list[list[Any]]:
    """Panes without their timing, which is free for bounded input (M-BATCH-06)."""
    return [[key, start, value] for key, start, _, value in seen]


@asserts("MISC09/what-is-computed")
def test_what(case: Case) -> Any:
    total(bounded(case)).observe("sums")
    run = yield
    same(sums(panes(run, "sums")), sums(expected("what")), "the sum of everything", rule="M-BATCH-04")


@asserts("MISC09/where-in-event-time")
def test_where(case: Case) -> Any:
    total(bounded(case).window_into(fixed(2))).observe("sums")
    run = yield
    same(sums(panes(run, "sums")), sums(expected("where")), "the sums by window", rule="M-BATCH-04")


@asserts("MISC10/when-in-processing-time", modes=("streaming",))
def test_when(case: Case) -> Any:
    windowed = unbounded(case).window_into(fixed(2), trigger=triggers.after_watermark())
    total(windowed).observe("sums")
    run = yield
    same(panes(run, "sums"), expected("when"), "the sums at the watermark", rule="M-TRIG-10")


@asserts("MISC10/how-discarding", modes=("streaming",))
def test_how_discarding(case: Case) -> Any:
    windowed = unbounded(case).window_into(fixed(2), trigger=firings(), allowed_lateness=LATENESS)
    total(windowed).observe("sums")
    run = yield
    same(panes(run, "sums"), expected("how_discarding"), "the panes, each for itself", rule="M-PANE-11")


@asserts("MISC10/how-accumulating", modes=("streaming",))
def test_how_accumulating(case: Case) -> Any:
    windowed = unbounded(case).window_into(fixed(2), trigger=firings(), accumulation="accumulating", allowed_lateness=LATENESS)
    total(windowed).observe("sums")
    run = yield
    same(panes(run, "sums"), expected("how_accumulating"), "the panes, each with those before it", rule="M-PANE-11")
