"""The always-on invariants: what holds on the transcript of every job, whatever the job was for (docs/protocol.md section 13).

`check` reads a transcript once into an index (who answered what, which bundle an entry belongs to), cuts data into elements, and
lets each family of rules look at it. Rules accuse nobody of an order across streams that the network may have made; only a
question that was put before its answer was given proves one.

One module a family; all have `check(index, book, docket)`:

    channels     I-CH, I-PRV, I-LOG     connections, pool, provision, logging
    control      I-CTL-01..04, 14..21   instructions and their answers
    descriptors  I-CTL-05..13           bundle descriptors against themselves and the submission
    redelivery   I-CTL-22..29           residuals, splits, failed bundles, keys in two bundles at once
    data         I-DATA                 streams, entries, elements, counts
    grouping     I-GBK                  panes and groups
    state        I-ST                   a model of each state cell
    timers       I-TMR, I-COD-02        a model of each timer, byte-equal keys
    elements     I-COD-01               what cutting an entry shows of its bytes (told by data)
    jobs         I-JOB                  states, messages, staging
    metrics      I-MET                  sums over committed bundles
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final

from conformance.harness.invariants import (
    channels,
    control,
    data,
    descriptors,
    grouping,
    jobs,
    metrics,
    redelivery,
    state,
    timers,
)
from conformance.harness.invariants.catalogue import CATALOGUE, Docket, Finding, Level, Rule, Side
from conformance.harness.invariants.elements import Book
from conformance.harness.invariants.index import Index
from conformance.harness.transcript import Event
from conformance.wire.api import pipeline_pb2 as pb

__all__ = ["CATALOGUE", "Finding", "Level", "Rule", "Side", "check", "checked", "discarded", "judge", "replays"]

FAMILIES: Final[tuple[Callable[[Index, Book, Docket], None], ...]] = tuple(
    family.check for family in (channels, control, descriptors, redelivery, data, grouping, state, timers, jobs, metrics)
)


def judge(transcript: Iterable[Event], submitted: pb.Pipeline | None = None) -> tuple[list[Finding], dict[str, int]]:
    """The findings, and how often each invariant had something to look at, in one pass. `submitted` is the pipeline as the client
    sent it; without it the one in the transcript's PrepareJobRequest is taken."""
    docket = Docket()
    index = Index(transcript, submitted)
    book = Book(index)
    for family in FAMILIES:
        family(index, book, docket)
    return docket.findings(), docket.checked()


def check(transcript: Iterable[Event], submitted: pb.Pipeline | None = None) -> list[Finding]:
    """The breaches of the invariants in a transcript, in its order. Empty is what a right runner leaves."""
    return judge(transcript, submitted)[0]


def checked(transcript: Iterable[Event], submitted: pb.Pipeline | None = None) -> dict[str, int]:
    """How often each invariant of the catalogue had something to look at; 0 tells that it was never exercised."""
    return judge(transcript, submitted)[1]


def discarded(transcript: Iterable[Event]) -> set[tuple[str, str]]:
    """(worker, instruction id) of bundles that were answered without error and do not count: the runner said in provision that it
    may throw answers away, and ran their input again (M-BNDL-05)."""
    return {key for key, bundle in Index(transcript).bundles.items() if bundle.discarded}


def replays(transcript: Iterable[Event]) -> bool:
    """Whether the runner said that it may throw answers away: then our harness asks for finalization of every bundle."""
    return Index(transcript).replays
