"""I-DATA: logical streams, entries, elements, and how many of them there are."""

from __future__ import annotations

from collections import Counter, defaultdict
from typing import Final

from conformance.harness.invariants.catalogue import Docket
from conformance.harness.invariants.elements import Book, Element, Load, cut_data
from conformance.harness.invariants.index import Bundle, Entry, Index, State
from conformance.harness.invariants.stages import RUNNER_ONLY, Port, Stage, shape, window_size
from conformance.wire import timestamps, urns

__all__ = ["check"]

#: How long a bundle may wait for what ends its input, seconds, before the missing end is a finding.
BUDGET: Final = 10.0
#: Values of impulse: empty bytes, nested, without and with a further length prefix.
EMPTY: Final = (b"\x00", b"\x01\x00")


def check(index: Index, book: Book, docket: Docket) -> None:
    """All rules of this module."""
    for bundle in index.bundles.values():
        if bundle.instruction is None:
            _orphan(bundle, index, docket)
            continue
        stage = book.stage(bundle)
        if stage is None:
            continue
        _streams(bundle, stage, index, docket)
        _outputs(bundle, stage, docket)
        for load in book.inputs(bundle).values():
            _entries(bundle, load, docket)
            if load.port.family is None:
                _elements(bundle, load, docket)
    _in_flight(index, docket)
    edges = _Edges(index, book)
    _values(edges, docket)
    _counts(edges, docket)
    _impulses(edges, docket)


# -- streams and entries ---------------------------------------------------------------------------------------------------


def _orphan(bundle: Bundle, index: Index, docket: Docket) -> None:
    docket.look("I-DATA-07")
    if bundle.inputs and index.done and bundle.worker not in index.left:
        first = bundle.inputs[0]
        docket.find(
            "I-DATA-07",
            first.seq,
            f"data for {bundle.id!r} came to worker {bundle.worker!r}, and no bundle of that id ever",
            bundle=bundle.id,
            worker=bundle.worker,
        )


def _label(port: tuple[str, str | None]) -> str:
    return f"source {port[0]!r}" if port[1] is None else f"timer family {port[1]!r} of {port[0]!r}"


def _streams(bundle: Bundle, stage: Stage, index: Index, docket: Docket) -> None:
    wanted: dict[tuple[str, str | None], str] = dict.fromkeys(((name, None) for name in stage.sources), "I-DATA-01")
    wanted.update(dict.fromkeys(stage.families, "I-DATA-02"))
    ended: dict[tuple[str, str | None], Entry] = {}
    first_end: Entry | None = None
    late: Entry | None = None
    for entry in bundle.inputs:
        docket.look("I-DATA-03")
        docket.look("I-DATA-04")
        port, rule = entry.port, wanted.get(entry.port)
        if rule is None:
            known = "of the stage" if entry.transform in stage.transforms else "in the stage"
            what = _label(port) if entry.transform else "no transform"
            docket.find(
                "I-DATA-04",
                entry.seq,
                f"an entry of bundle {bundle.id!r} names {what}, which is no input {known} {stage.id!r}",
                bundle=bundle.id,
                transform=entry.transform,
                family=entry.family,
            )
            continue
        if entry.last:
            docket.look("I-DATA-05")
            if entry.payload:
                docket.find(
                    "I-DATA-05",
                    entry.seq,
                    f"the entry that ends {_label(port)} of bundle {bundle.id!r} carries {len(entry.payload)} bytes",
                    bundle=bundle.id,
                )
        before = ended.get(port)
        if before is not None:
            if entry.last:
                docket.find(
                    rule, entry.seq, f"{_label(port)} of bundle {bundle.id!r} is ended twice", bundle=bundle.id, first=before.seq
                )
            if entry.payload or not entry.last:
                docket.find(
                    "I-DATA-03",
                    entry.seq,
                    f"{len(entry.payload)} bytes come for {_label(port)} of bundle {bundle.id!r} behind its end",
                    bundle=bundle.id,
                    end=before.seq,
                )
            continue
        if entry.last:
            ended[port] = entry
            first_end = first_end or entry
        # Within one message, data and timers have no order (P-DATA-09); on another stream neither.
        elif first_end is not None and entry.seq > first_end.seq and entry.stream == first_end.stream and late is None:
            late = entry
    docket.look("I-DATA-08", len(wanted) > 1)
    if late is not None and first_end is not None:
        docket.find(
            "I-DATA-08",
            late.seq,
            f"{_label(late.port)} of bundle {bundle.id!r} goes on behind the end of {_label(first_end.port)}",
            bundle=bundle.id,
            end=first_end.seq,
        )
    instruction = bundle.instruction
    assert instruction is not None
    for port, rule in wanted.items():
        docket.look(rule)
        if port in ended or bundle.failed:
            # Behind an error the runner may stop writing (P-DATA-15).
            continue
        if not instruction.answers and index.waited(instruction.event) < BUDGET:
            continue
        docket.find(rule, bundle.seq, f"{_label(port)} of bundle {bundle.id!r} is never ended", bundle=bundle.id, port=str(port))


def _entries(bundle: Bundle, load: Load, docket: Docket) -> None:
    for entry, cut in load.entries:
        if not entry.payload:
            continue
        docket.look("I-DATA-06")
        docket.look("I-COD-01", len(cut.elements) + len(cut.firings))
        for flaw in cut.flaws:
            docket.find(
                flaw.invariant,
                entry.seq,
                f"an entry of {_label(entry.port)} of bundle {bundle.id!r}: {flaw.reason} (byte {flaw.offset} of {len(entry.payload)})",
                bundle=bundle.id,
                bytes=entry.payload[flaw.offset : flaw.offset + 32].hex(),
            )


def _elements(bundle: Bundle, load: Load, docket: Docket) -> None:
    port, strategy = load.port, load.port.strategy
    grid = window_size(strategy) if strategy is not None else None
    if port.window is None or port.window.urn != urns.Coder.INTERVAL_WINDOW:
        grid = None
    low, high = timestamps.MIN, timestamps.MAX
    for _, cut in load.entries:
        docket.look("I-DATA-09", len(cut.elements))
        for element in cut.elements:
            problem = ""
            if not low <= element.timestamp <= high:
                problem = f"timestamp {element.timestamp} is outside the model's range"
            elif not element.windows:
                problem = "is in no window"
            else:
                for span in element.spans:
                    if span is None:
                        continue
                    start, end = span
                    if start >= end:
                        problem = f"window [{start}, {end}) is empty"
                    elif grid is not None and (end - start != grid[0] or (start - grid[2]) % grid[1]):
                        problem = f"window [{start}, {end}) is none of its strategy's (size {grid[0]}, period {grid[1]})"
            if problem:
                docket.find(
                    "I-DATA-09",
                    element.seq,
                    f"an element of {_label((port.transform, None))} of bundle {bundle.id!r}: {problem}",
                    # An element without windows is no output at all; R SHOULD not send it (P-DATA-18).
                    level=None if element.windows else "SHOULD",
                    bundle=bundle.id,
                    timestamp=element.timestamp,
                )


def _outputs(bundle: Bundle, stage: Stage, docket: Docket) -> None:
    """Our own side: outputs go to sinks and families, each ended once; the order of outputs and answer is free (P-CTL-18)."""
    if not bundle.ok:
        return
    docket.look("I-DATA-14")
    wanted: set[tuple[str, str | None]] = {*((name, None) for name in stage.sinks), *stage.families}
    ends = Counter(entry.port for entry in bundle.outputs if entry.last)
    for entry in bundle.outputs:
        if entry.port not in wanted:
            docket.find(
                "I-DATA-14",
                entry.seq,
                f"we sent output of bundle {bundle.id!r} to {entry.transform!r}, which is no sink or timer family of its stage",
                bundle=bundle.id,
            )
            return
    for port in sorted(wanted, key=str):
        if ends[port] != 1:
            docket.find(
                "I-DATA-14",
                bundle.answered,
                f"we ended output {port[0]!r}{'' if port[1] is None else f' family {port[1]!r}'} of bundle {bundle.id!r} "
                f"{ends[port]} times",
                bundle=bundle.id,
            )
            return


def _in_flight(index: Index, docket: Docket) -> None:
    if index.job.terminal is None or index.final_state != State.Value("DONE"):
        return
    done = index.job.terminal[1]
    for bundle in index.executed():
        docket.look("I-DATA-13")
        # We had not answered when DONE came: no order of streams can explain that. A worker that was lost is another matter.
        end = index.control_end(bundle.worker)
        if bundle.answered > done.seq and not (end is not None and end.seq < done.seq):
            docket.find(
                "I-DATA-13",
                done.seq if bundle.seq < done.seq else bundle.seq,
                f"the job became DONE while bundle {bundle.id!r} was in flight on worker {bundle.worker!r}",
                bundle=bundle.id,
            )


# -- edges: what came out of one stage and went into another ----------------------------------------------------------------


class _Edges:
    """Sinks and sources by the PCollection that they carry."""

    def __init__(self, index: Index, book: Book) -> None:
        self.index, self.book = index, book
        #: PCollection -> sink -> the bundles of its stage.
        self.out: dict[str, dict[tuple[frozenset[str], str], list[tuple[Bundle, Stage]]]] = defaultdict(lambda: defaultdict(list))
        #: PCollection -> (work of the stage, source) -> the bundles of that stage, whatever its descriptor is called.
        self.into: dict[str, dict[tuple[frozenset[str], str], list[tuple[Bundle, Stage]]]] = defaultdict(
            lambda: defaultdict(list)
        )
        for bundle in index.executed():
            stage = book.stage(bundle)
            if stage is None:
                continue
            for sink in stage.sinks.values():
                self.out[sink.pcollection][(stage.work, sink.transform)].append((bundle, stage))
            for source in stage.sources.values():
                self.into[source.pcollection][(stage.work, source.pcollection)].append((bundle, stage))
        self.producers: dict[str, str] = {}
        self.runner_made: set[str] = set()
        for name, transform in index.submitted.components.transforms.items():
            if transform.subtransforms:
                continue
            for pcollection in transform.outputs.values():
                self.producers[pcollection] = name
                if transform.spec.urn in RUNNER_ONLY or transform.spec.urn == urns.Transform.FLATTEN:
                    self.runner_made.add(pcollection)

    def source(self, stage: Stage, pcollection: str) -> Port:
        return next(port for port in stage.sources.values() if port.pcollection == pcollection)

    def sink(self, stage: Stage, name: str) -> Port:
        return stage.sinks[name]

    def load(self, bundle: Bundle, port: Port, outbound: bool) -> Load | None:
        loads = self.book.outputs(bundle) if outbound else self.book.inputs(bundle)
        return loads.get((port.transform, None))


def _same_coder(one: Stage, mine: Port, other: Stage, theirs: Port) -> bool:
    """Do the two ports write a value with the same bytes?"""
    return shape(mine.coder_id, one.coders, keep_prefixes=True) == shape(theirs.coder_id, other.coders, keep_prefixes=True)


def _residual_values(bundles: list[tuple[Bundle, Stage]], port: Port) -> set[bytes]:
    """Values that the SDK itself returned for this source in residual and primary roots."""
    values: set[bytes] = set()
    for bundle, _ in bundles:
        applications = []
        if bundle.ok:
            applications += [root.application.element for root in bundle.response.residual_roots]
        for split in bundle.splits:
            if split.ok and split.response is not None:
                applications += [root.application.element for root in split.response.process_bundle_split.residual_roots]
        for application in applications:
            values.update(element.value for element in cut_data(application, port, 0).elements)
    return values


def _values(edges: _Edges, docket: Docket) -> None:
    for pcollection, stages in edges.into.items():
        sinks = edges.out.get(pcollection)
        if not sinks or pcollection in edges.runner_made:
            continue
        produced: set[bytes] = set()
        comparable, first_stage, first_port = True, None, None
        for (_, name), bundles in sinks.items():
            for bundle, stage in bundles:
                port = edges.sink(stage, name)
                first_stage, first_port = first_stage or stage, first_port or port
                comparable = comparable and _same_coder(first_stage, first_port, stage, port)
                load = edges.load(bundle, port, outbound=True)
                if load is not None:
                    comparable = comparable and load.complete
                    produced.update(element.value for element in load.elements)
        if not comparable or first_stage is None or first_port is None:
            continue
        # What one stage gave back may go to another that reads the same PCollection: to be truncated, when the job drains.
        returned = set().union(*(_residual_values(each, edges.source(each[0][1], pcollection)) for each in stages.values()))
        for bundles in stages.values():
            port = edges.source(bundles[0][1], pcollection)
            if not _same_coder(first_stage, first_port, bundles[0][1], port):
                continue
            allowed = produced | returned
            for bundle, stage in bundles:
                load = edges.load(bundle, edges.source(stage, pcollection), outbound=False)
                for element in load.elements if load is not None else ():
                    docket.look("I-DATA-10")
                    if element.value not in allowed:
                        docket.find(
                            "I-DATA-10",
                            element.seq,
                            f"bundle {bundle.id!r} got a value of PCollection {pcollection!r} that no bundle wrote",
                            bundle=bundle.id,
                            pcollection=pcollection,
                            value=element.value[:64].hex(),
                        )
                        break


def _weight(elements: list[Element]) -> int:
    """Elements, each once a window."""
    return sum(len(element.windows) for element in elements)


def _counts(edges: _Edges, docket: Docket) -> None:
    index = edges.index
    if not index.done or index.any_failed:
        return
    for pcollection, stages in edges.into.items():
        sinks = edges.out.get(pcollection)
        if not sinks or pcollection in edges.runner_made:
            continue
        # A sink a consumer is legal (P-PIPE-10), and so is one for all: each sink of a stage carries the whole.
        by_stage: dict[frozenset[str], list[int]] = defaultdict(list)
        decided = True
        for (work, name), bundles in sinks.items():
            loads = [edges.load(bundle, edges.sink(stage, name), outbound=True) for bundle, stage in bundles]
            decided = decided and all(load is None or load.complete for load in loads)
            decided = decided and not _repeated(bundles)
            by_stage[work].append(sum(_weight(load.elements) for load in loads if load is not None))
        if not decided or len(by_stage) != 1 or len(set(next(iter(by_stage.values())))) != 1:
            continue
        produced = next(iter(by_stage.values()))[0]
        for (work, _), bundles in stages.items():
            stage = bundles[0][1]
            if any(b.splits or b.response.residual_roots for b, _ in bundles if b.ok) or stage.splittable:
                continue  # I-CTL-22 and 25 count these.
            loads = [edges.load(bundle, edges.source(held, pcollection), outbound=False) for bundle, held in bundles]
            if not all(load is None or load.complete for load in loads):
                continue
            delivered = sum(_weight(load.elements) for load in loads if load is not None)
            docket.look("I-DATA-11")
            # A stateful consumer drops what is late (P-DATA-17).
            if delivered == produced or (stage.stateful and delivered < produced):
                continue
            what = "lost" if delivered < produced else "duplicated"
            so_far, place = 0, bundles[-1][0]
            for load, (bundle, _) in zip(loads, bundles, strict=True):
                so_far += _weight(load.elements) if load is not None else 0
                if so_far > produced:
                    place = bundle
                    break
            docket.find(
                "I-DATA-11",
                place.seq,
                f"PCollection {pcollection!r} left its stage as {produced} elements and came to {sorted(work)[0]!r} as {delivered}: "
                f"{abs(delivered - produced)} {what}",
                pcollection=pcollection,
                produced=produced,
                delivered=delivered,
            )


def _repeated(bundles: list[tuple[Bundle, Stage]]) -> bool:
    """Did the stage get the same input in two bundles? Then it was run again, as Spark does for each consumer."""
    inputs = [tuple(sorted((e.transform, e.payload) for e in b.inputs if e.payload and e.family is None)) for b, _ in bundles]
    inputs = [one for one in inputs if one]
    return len(set(inputs)) != len(inputs)


def _impulses(edges: _Edges, docket: Docket) -> None:
    index = edges.index
    for name, transform in index.submitted.components.transforms.items():
        if transform.spec.urn != urns.Transform.IMPULSE:
            continue
        for pcollection in transform.outputs.values():
            for bundles in edges.into.get(pcollection, {}).values():
                seen: list[tuple[Element, Bundle]] = []
                for bundle, stage in bundles:
                    if bundle.failed:
                        continue
                    # What a split took away comes again in another bundle (P-SPL-07).
                    kept = edges.book.kept(bundle, edges.source(stage, pcollection).transform)
                    seen += [(element, bundle) for element in kept]
                docket.look("I-DATA-12", len(seen))
                for element, bundle in seen:
                    problem = ""
                    if element.timestamp != timestamps.MIN:
                        problem = f"has timestamp {element.timestamp}, not the minimum"
                    elif element.value not in EMPTY:
                        problem = f"has the value {element.value[:16].hex()}, not the empty one"
                    elif element.spans != (None,):
                        problem = f"is in {len(element.windows)} windows, not the global one"
                    if problem:
                        docket.find(
                            "I-DATA-12",
                            element.seq,
                            f"the element of Impulse {name!r} in bundle {bundle.id!r} {problem}",
                            impulse=name,
                        )
                if len(seen) > 1 and not index.any_failed:
                    docket.find(
                        "I-DATA-12", seen[1][0].seq, f"Impulse {name!r} gave {len(seen)} elements to one consumer", impulse=name
                    )
                elif not seen and index.done:
                    docket.find("I-DATA-12", bundles[0][0].seq, f"Impulse {name!r} gave no element to its consumer", impulse=name)
