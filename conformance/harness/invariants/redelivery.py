"""I-CTL-22 to 29: what must come again (residuals, splits, failed bundles), and what must not come at once."""

from __future__ import annotations

import hashlib
import math
from collections import Counter, defaultdict
from collections.abc import Callable
from typing import Any, Final, NamedTuple

from conformance.harness.invariants.catalogue import Docket
from conformance.harness.invariants.elements import Book, Element, cut_data
from conformance.harness.invariants.index import NEVER, Bundle, Index, Instruction, State
from conformance.harness.invariants.stages import Port, Stage
from conformance.wire import urns
from conformance.wire.api import fn_pb2, job_pb2

__all__ = ["check"]

#: Data that arrived so long before a split request was sent before it too (Data and Control are different streams), seconds.
SETTLED: Final = 2.0
#: A residual may come this much too early: clocks and transport, seconds.
DELAY_SLACK: Final = 0.1
#: More attempts at one input than this are no longer a retry policy.
MAX_ATTEMPTS: Final = 100
#: Nothing outstanding and nothing happening for so long is a stuck runner, seconds.
WATCHDOG: Final = 60.0

Unit = tuple[int, bytes, tuple[int, int, int], bytes]


def check(index: Index, book: Book, docket: Docket) -> None:
    """All rules of this module."""
    deliveries = _Deliveries(index, book)
    _residuals(index, book, deliveries, docket)
    _splits(index, book, docket)
    _failures(index, book, deliveries, docket)
    _concurrent_keys(index, book, docket)
    _watchdog(index, docket)


class _Deliveries:
    """Every element of every bundle, once a window, by what the stage does and the PCollection of its source."""

    def __init__(self, index: Index, book: Book) -> None:
        self.stages: dict[tuple[frozenset[str], str], list[tuple[Bundle, Stage, Port]]] = defaultdict(list)
        for bundle in index.executed():
            stage = book.stage(bundle)
            if stage is not None:
                for port in stage.sources.values():
                    self.stages[(stage.work, port.pcollection)].append((bundle, stage, port))
        self._book = book
        self._units: dict[tuple[frozenset[str], str], dict[Unit, list[tuple[int, Bundle]]]] = {}

    def units(self, key: tuple[frozenset[str], str]) -> dict[Unit, list[tuple[int, Bundle]]]:
        """Unit -> where it was delivered, in the order of the transcript."""
        known = self._units.get(key)
        if known is None:
            known = self._units[key] = defaultdict(list)
            for bundle, _, port in self.stages[key]:
                load = self._book.inputs(bundle).get((port.transform, None))
                for element in load.elements if load is not None else ():
                    for unit in element.units():
                        known[unit].append((element.seq, bundle))
        return known


class _Owed(NamedTuple):
    """An element that must come again."""

    unit: Unit
    bundle: Bundle
    #: Our answer that gave it back.
    seq: int
    time: float
    delay: float
    invariant: str


def _port_of(stage: Stage, application: fn_pb2.BundleApplication) -> Port | None:
    """The source that feeds the named input; where it is named in another way, the only source there is."""
    transform = stage.transforms.get(application.transform_id)
    if transform is not None:
        pcollection = transform.inputs.get(application.input_id)
        for port in stage.sources.values():
            if port.pcollection == pcollection:
                return port
    return next(iter(stage.sources.values())) if len(stage.sources) == 1 else None


def _answer(instruction: Instruction) -> tuple[int, float]:
    return instruction.answers[0].seq, instruction.answers[0].time


def _owed(book: Book, bundle: Bundle, stage: Stage) -> list[tuple[Port, _Owed]]:
    """What the bundle gave back: residual roots of its answer and of splits, and elements behind a channel split."""
    owed: list[tuple[Port, _Owed]] = []

    def roots(given: list[fn_pb2.DelayedBundleApplication], seq: int, time: float) -> None:
        for root in given:
            port = _port_of(stage, root.application)
            if port is None:
                continue
            delay = root.requested_time_delay.seconds + root.requested_time_delay.nanos / 1e9
            for element in cut_data(root.application.element, port, seq).elements:
                owed.extend((port, _Owed(unit, bundle, seq, time, delay, "I-CTL-22")) for unit in element.units())

    assert bundle.instruction is not None
    roots(list(bundle.response.residual_roots), *_answer(bundle.instruction))
    for split in bundle.splits:
        if split.ok and split.response is not None:
            roots(list(split.response.process_bundle_split.residual_roots), *_answer(split))
    for port in stage.sources.values():
        load = book.inputs(bundle).get((port.transform, None))
        elements = load.elements if load is not None else []
        stop = len(elements)
        # Each split takes off the tail that the one before it left.
        for split, begin in book.channel_splits(bundle, port.transform):
            seq, time = _answer(split)
            for element in elements[max(begin, 0) : stop]:
                owed.extend((port, _Owed(unit, bundle, seq, time, 0.0, "I-CTL-25")) for unit in element.units())
            stop = min(stop, max(begin, 0))
    return owed


def _residuals(index: Index, book: Book, deliveries: _Deliveries, docket: Docket) -> None:
    # Beside a TestStream delays go by its clock, which stands still and jumps (M-TS-04).
    scripted = any(each.spec.urn == urns.Transform.TEST_STREAM for each in index.submitted.components.transforms.values())
    for key, bundles in deliveries.stages.items():
        by_unit: dict[Unit, list[_Owed]] = defaultdict(list)
        for bundle, stage, port in bundles:
            if not bundle.ok or not (bundle.response.residual_roots or bundle.splits):
                continue
            for owner, owed in _owed(book, bundle, stage):
                if owner is port:
                    by_unit[owed.unit].append(owed)
                    docket.look(owed.invariant)
        if not by_unit:
            continue
        units = deliveries.units(key)
        for unit, debts in by_unit.items():
            seen = units.get(unit, [])
            first = debts[0]
            again = [(seq, bundle) for seq, bundle in seen if bundle is not first.bundle and not bundle.failed]
            if first.invariant == "I-CTL-22" and first.delay > 0 and not scripted:
                docket.look("I-CTL-23")
                later = [seq for seq, bundle in seen if bundle is not first.bundle and seq > first.seq]
                if later and index.time_of(later[0]) < first.time + first.delay - DELAY_SLACK:
                    waited = index.time_of(later[0]) - first.time
                    docket.find(
                        "I-CTL-23",
                        later[0],
                        f"a residual of bundle {first.bundle.id!r} that asked for {first.delay:.2f} s came again after {waited:.2f} s",
                        bundle=first.bundle.id,
                    )
            if not index.done:
                continue
            _settle(unit, debts, again, seen, lambda each, places: scripted or _comes_twice(each, places, index, book), docket)


def _comes_twice(owed: _Owed, seen: list[tuple[int, Bundle]], index: Index, book: Book) -> bool:
    """Whether equal elements may come: some are in what the owing bundle got or what workers wrote, or a bundle failed and ran again."""
    if index.any_failed:
        return True
    if sum(bundle is owed.bundle for _, bundle in seen) > 1 or sum(seq < owed.seq for seq, _ in seen) > 1:
        return True
    loads = (load for bundle in index.executed() if bundle.ok for load in book.outputs(bundle).values())
    return sum(unit == owed.unit for load in loads for element in load.elements for unit in element.units()) > 1


def _settle(
    unit: Unit,
    debts: list[_Owed],
    again: list[tuple[int, Bundle]],
    seen: list[tuple[int, Bundle]],
    comes_twice: Callable[[_Owed, list[tuple[int, Bundle]]], bool],
    docket: Docket,
) -> None:
    """Does what was owed come exactly once? Equal elements are told apart by their number only."""
    first = debts[0]
    what = "residual root" if first.invariant == "I-CTL-22" else "element behind the split"
    evidence: dict[str, Any] = {"bundle": first.bundle.id, "value": unit[3][:64].hex(), "timestamp": unit[0]}
    behind = [place for place in again if place[0] > first.seq]
    if len(behind) < len(debts):
        docket.find(first.invariant, first.seq, f"{what} of bundle {first.bundle.id!r} never came again", **evidence)
        return
    # More than owed is only certain if the input has it once, and if nothing was run again; a TestStream may add equal elements later.
    if len(behind) > len(debts) and not comes_twice(first, seen):
        docket.find(
            first.invariant,
            behind[len(debts)][0],
            f"{what} of bundle {first.bundle.id!r} came again {len(behind)} times, in bundles "
            f"{', '.join(repr(bundle.id) for _, bundle in behind)}",
            **evidence,
        )


def _splits(index: Index, book: Book, docket: Docket) -> None:
    for bundle in index.bundles.values():
        stage = book.stage(bundle) if bundle.instruction is not None else None
        if stage is None:
            continue
        for split in bundle.splits:
            request = split.request.process_bundle_split
            docket.look("I-CTL-24")

            def find(problem: str, split: Instruction = split, bundle: Bundle = bundle) -> None:
                docket.find(
                    "I-CTL-24",
                    split.seq,
                    f"split {split.id!r} of bundle {bundle.id!r} {problem}",
                    split=split.id,
                    bundle=bundle.id,
                )

            if not request.desired_splits:
                find("names no source")
            for name, desired in request.desired_splits.items():
                if name not in stage.sources:
                    find(f"names {name!r}, which is no source of its stage ({', '.join(sorted(stage.sources))})")
                    continue
                if not 0 <= desired.fraction_of_remainder <= 1 or math.isnan(desired.fraction_of_remainder):
                    find(f"asks for the fraction {desired.fraction_of_remainder}")
                sent = 0
                load = book.inputs(bundle).get((name, None))
                for entry, cut in load.entries if load is not None else ():
                    if entry.time < split.event.time - SETTLED:
                        sent += len(cut.elements)
                for earlier in bundle.splits:
                    # What was split off before is not the bundle's any more (P-SPL-02: PR lowers its estimate to F).
                    if earlier.ok and earlier.response is not None and earlier.answers[0].seq < split.seq:
                        for channel in earlier.response.process_bundle_split.channel_splits:
                            if channel.transform_id in ("", name):
                                sent = min(sent, int(channel.first_residual_element))
                if desired.estimated_input_elements < sent:
                    find(f"estimates {desired.estimated_input_elements} elements for {name!r}, {sent} were sent")


# -- failed bundles --------------------------------------------------------------------------------------------------------


def _failures(index: Index, book: Book, deliveries: _Deliveries, docket: Docket) -> None:
    failed = [bundle for bundle in index.executed() if bundle.failed]
    if not failed:
        return
    attempts: Counter[bytes] = Counter()
    for bundle in [each for each in failed if not each.discarded]:
        docket.look("I-CTL-27")
        digest = hashlib.blake2b(digest_size=16)
        for entry in sorted(bundle.inputs, key=lambda entry: (entry.transform, entry.family or "", entry.payload)):
            digest.update(entry.transform.encode() + entry.payload)
        attempts[digest.digest()] += 1
        if attempts[digest.digest()] == MAX_ATTEMPTS:
            docket.find(
                "I-CTL-27", bundle.seq, f"bundle {bundle.id!r} is the {MAX_ATTEMPTS}th attempt at an input that failed each time"
            )
    if index.final_state == State.Value("FAILED"):
        _error_text(index, [bundle for bundle in failed if not bundle.discarded], docket)
    if not index.done:
        return
    for key, bundles in deliveries.stages.items():
        for bundle, stage, port in bundles:
            if not bundle.failed:
                continue
            docket.look("I-CTL-26")
            missing = _not_retried(book, bundle, stage, port, bundles)
            if missing is not None:
                docket.find(
                    "I-CTL-26",
                    bundle.answered,
                    f"bundle {bundle.id!r} failed, the job ended DONE, and an element of source {port.transform!r} was never retried",
                    bundle=bundle.id,
                    pcollection=key[1],
                    value=missing.value[:64].hex(),
                )


def _not_retried(
    book: Book, failed: Bundle, stage: Stage, port: Port, bundles: list[tuple[Bundle, Stage, Port]]
) -> Element | None:
    """An element of the failed bundle that no later bundle which succeeded got.

    Timestamps and panes are left out, and of groups all but the key: what is computed anew may come in another order.
    """
    load = book.inputs(failed).get((port.transform, None))
    if load is None:
        return None

    def essence(element: Element) -> set[tuple[bytes, bytes]]:
        value = element.key if port.is_grouped else element.value
        return {(window, value) for window in element.windows}

    retried: set[tuple[bytes, bytes]] = set()
    for bundle, _, other in bundles:
        if bundle.ok and bundle.seq > failed.seq:
            again = book.inputs(bundle).get((other.transform, None))
            for element in again.elements if again is not None else ():
                retried |= essence(element)
    return next((element for element in load.elements if not essence(element) <= retried), None)


def _error_text(index: Index, failed: list[Bundle], docket: Docket) -> None:
    streams = [stream for stream in index.job.streams if stream.method == "GetMessageStream"]
    if (
        not failed
        or not streams
        or not any(stream.ended is not None and stream.ended.message.status == "OK" for stream in streams)
    ):
        return
    said = "\n".join(
        event.message.message_response.message_text
        for stream in streams
        for event in stream.items
        if isinstance(event.message, job_pb2.JobMessagesResponse) and event.message.WhichOneof("response") == "message_response"
    )
    terminal = index.job.terminal
    at = terminal[1].seq if terminal is not None else failed[0].answered
    for bundle in failed:
        assert bundle.instruction is not None
        text = bundle.instruction.answers[0].message.error
        lines = [line.strip() for line in text.splitlines() if len(line.strip()) >= 4]
        # The last line of a traceback names the error; a runner may leave out the rest.
        if not lines or any(line in said for line in (lines[-1], lines[0])):
            return
    last = failed[-1].instruction
    assert last is not None
    docket.find(
        "I-CTL-27",
        at,
        f"the job FAILED, and no message holds the error of bundle {failed[-1].id!r}: {last.answers[0].message.error[:120]!r}",
        bundle=failed[-1].id,
    )


# -- keys in two bundles at once -------------------------------------------------------------------------------------------


def _concurrent_keys(index: Index, book: Book, docket: Docket) -> None:
    #: (work of the stage, transform, key) -> (bundle, where its answer is)
    holders: dict[tuple[frozenset[str], str], list[tuple[int, int, Bundle, frozenset[bytes]]]] = defaultdict(list)
    for bundle in index.executed():
        stage = book.stage(bundle)
        if stage is None or not stage.stateful or not bundle.instruction or not bundle.instruction.answers:
            continue
        keyed = dict(stage.keyed_sources())
        for name in sorted(stage.stateful):
            found: set[bytes] = set()
            if name in keyed:
                found.update(element.key for element in book.kept(bundle, keyed[name].transform))
            for (transform, _), load in book.inputs(bundle).items():
                if transform == name and load.port.family is not None:
                    found.update(firing.key for firing in load.firings)
            if found:
                docket.look("I-CTL-28")
                holders[(stage.work, name)].append((bundle.seq, bundle.answered, bundle, frozenset(found)))
    for (_, name), held in holders.items():
        held.sort(key=lambda holder: holder[0])
        active: list[tuple[int, int, Bundle, frozenset[bytes]]] = []
        for begin, end, bundle, keys in held:
            # Asked for before we had answered the other: the runner cannot have known that it was over.
            active = [holder for holder in active if holder[1] > begin]
            for _, _, other, others in active:
                if shared := keys & others:
                    key = min(shared)
                    docket.find(
                        "I-CTL-28",
                        bundle.seq,
                        f"bundles {other.id!r} and {bundle.id!r} of stateful {name!r} hold the key {key.hex()} at once",
                        bundles=[other.id, bundle.id],
                        key=key.hex(),
                    )
                    break
            active.append((begin, end, bundle, keys))


def _watchdog(index: Index, docket: Docket) -> None:
    """Only silence that nothing explains: no bundle out, no timer or delay that may be awaited."""
    if index.job.run is None:
        return
    docket.look("I-CTL-29")
    if any(bundle.ok and bundle.response.residual_roots for bundle in index.bundles.values()):
        return
    if any(entry.family is not None and entry.payload for bundle in index.bundles.values() for entry in bundle.outputs):
        return
    terminal = index.job.terminal[1].seq if index.job.terminal is not None else NEVER
    open_bundles, previous = 0, None
    for event in index.events:
        if event.seq > terminal:
            return
        if previous is not None and open_bundles == 0 and event.time - previous.time > WATCHDOG:
            docket.find(
                "I-CTL-29",
                previous.seq,
                f"for {event.time - previous.time:.0f} s nothing was outstanding and nothing came",
                seconds=event.time - previous.time,
            )
            return
        if isinstance(event.message, fn_pb2.InstructionRequest):
            open_bundles += event.message.WhichOneof("request") == "process_bundle"
        elif isinstance(event.message, fn_pb2.InstructionResponse):
            bundle = index.bundle_of(event.worker_id, event.message.instruction_id)
            open_bundles -= bundle is not None and bundle.answered == event.seq
            previous = event
            continue
        if event.direction in ("R->S", "S->R"):
            previous = event if index.instructions else None
