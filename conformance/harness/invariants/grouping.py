"""I-GBK: what a GroupByKey of the runner hands out: panes, groups, one of each."""

from __future__ import annotations

from collections import defaultdict
from typing import Final

from conformance.harness.invariants.catalogue import Docket
from conformance.harness.invariants.elements import Book, Element
from conformance.harness.invariants.index import Bundle, Index
from conformance.harness.invariants.stages import Stage
from conformance.wire import urns
from conformance.wire.api import pipeline_pb2 as pb

__all__ = ["check"]

NON_MERGING: Final = frozenset({urns.WindowFn.GLOBAL, urns.WindowFn.FIXED, urns.WindowFn.SLIDING})
_EARLY, _ON_TIME, _LATE, _UNKNOWN = range(4)
_TIMINGS: Final = ("EARLY", "ON_TIME", "LATE", "UNKNOWN")


def check(index: Index, book: Book, docket: Docket) -> None:
    """All rules of this module."""
    sunk: set[str] = set()
    for stage in book.stages:
        sunk.update(port.pcollection for port in stage.sinks.values())
    producers = {
        pcollection: transform.spec.urn
        for transform in index.submitted.components.transforms.values()
        if not transform.subtransforms
        for pcollection in transform.outputs.values()
    }
    groups: dict[tuple[frozenset[str], str], list[tuple[Bundle, Stage, Element]]] = defaultdict(list)
    incomplete: set[tuple[frozenset[str], str]] = set()
    for bundle in index.executed():
        held = book.stage(bundle)
        if held is None or not bundle.ok:
            continue
        for port in held.sources.values():
            # Grouped, written by no stage, and by no other transform of the submission: the runner's own GroupByKey made it.
            made_by = producers.get(port.pcollection, urns.Transform.GROUP_BY_KEY)
            if not port.is_grouped or port.pcollection in sunk or made_by != urns.Transform.GROUP_BY_KEY:
                continue
            load = book.inputs(bundle).get((port.transform, None))
            if load is None:
                continue
            key = (held.work, port.pcollection)
            kept = book.kept(bundle, port.transform)
            if len(kept) != len(load.elements) or not load.complete:
                incomplete.add(key)
            groups[key] += [(bundle, held, element) for element in kept]
    for key, elements in groups.items():
        _one_source(key[1], elements, key in incomplete, index, docket)


def _default_trigger(strategy: pb.WindowingStrategy) -> bool:
    return strategy.trigger.WhichOneof("trigger") in (None, "default") and strategy.allowed_lateness == 0


def _one_source(
    pcollection: str, elements: list[tuple[Bundle, Stage, Element]], incomplete: bool, index: Index, docket: Docket
) -> None:
    stage = elements[0][1] if elements else None
    if stage is None:
        return
    strategy = stage.strategy_of(pcollection)
    panes: dict[tuple[bytes, bytes], list[tuple[Element, Bundle]]] = defaultdict(list)
    for bundle, _, element in elements:
        docket.look("I-GBK-02")
        if len(element.windows) != 1:
            docket.find(
                "I-GBK-02",
                element.seq,
                f"a group of {pcollection!r} in bundle {bundle.id!r} is in {len(element.windows)} windows, not one",
                bundle=bundle.id,
                key=element.key.hex(),
            )
            continue
        panes[(element.key, element.windows[0])].append((element, bundle))
    single = strategy is not None and _default_trigger(strategy)
    merging = strategy is None or strategy.window_fn.urn not in NON_MERGING
    for (key, window), fired in panes.items():
        where = f"key {key.hex()} in window {window.hex() or 'global'} of {pcollection!r}"
        if single:
            _single(where, fired, docket)
        seen: dict[int, int] = {}
        # After a failure a runner may go back to a checkpoint and hand out again what it had handed out.
        for element, bundle in fired:
            place = element.pane[1]
            if place in seen and not index.any_failed:
                docket.find(
                    "I-GBK-02",
                    element.seq,
                    f"{where} has two panes of index {place}, the second in bundle {bundle.id!r}",
                    bundle=bundle.id,
                    first=seen[place],
                )
            seen.setdefault(place, element.seq)
        if merging:
            continue
        _indices(where, fired, incomplete or bool(stage.stateful) or index.any_failed or not index.done, docket)


def _single(where: str, fired: list[tuple[Element, Bundle]], docket: Docket) -> None:
    docket.look("I-GBK-03", len(fired))
    for element, bundle in fired:
        timing = element.pane[0] >> 2
        if timing in (_EARLY, _LATE):
            docket.find(
                "I-GBK-03",
                element.seq,
                f"{where} fired {_TIMINGS[timing]} in bundle {bundle.id!r} under the default trigger without lateness",
                bundle=bundle.id,
            )
            return
    if len({element.pane[1] for element, _ in fired}) > 1:
        docket.find(
            "I-GBK-03",
            fired[1][0].seq,
            f"{where} has {len(fired)} panes under the default trigger without lateness",
            bundle=fired[1][1].id,
        )


def _indices(where: str, fired: list[tuple[Element, Bundle]], partial: bool, docket: Docket) -> None:
    """I-GBK-01. `partial`: not all panes need have been seen, so a gap proves nothing."""
    highest = max(element.pane[1] for element, _ in fired)
    for element, bundle in fired:
        docket.look("I-GBK-01")
        flags, place, _ = element.pane
        if bool(flags & 0x01) != (place == 0):
            docket.find(
                "I-GBK-01",
                element.seq,
                f"{where}: the pane of index {place} in bundle {bundle.id!r} has is_first {bool(flags & 1)}",
                bundle=bundle.id,
                index=place,
            )
            return
        if flags & 0x02 and place < highest:
            docket.find(
                "I-GBK-01",
                element.seq,
                f"{where}: pane {place} in bundle {bundle.id!r} says it is the last, and pane {highest} came too",
                bundle=bundle.id,
                index=place,
            )
            return
    if not partial:
        missing = sorted(set(range(highest)) - {element.pane[1] for element, _ in fired})
        if missing:
            later, bundle = next((element, bundle) for element, bundle in fired if element.pane[1] > missing[0])
            docket.find(
                "I-GBK-01",
                later.seq,
                f"{where}: pane {later.pane[1]} in bundle {bundle.id!r} without pane {missing[0]}",
                bundle=bundle.id,
                missing=missing,
            )
