"""I-CTL-01 to 04 and 14 to 21: instructions, their answers, cache tokens, finalization."""

from __future__ import annotations

from collections import defaultdict
from typing import Any, Final

from conformance.harness.invariants.catalogue import Docket
from conformance.harness.invariants.channels import PATIENCE, environment_of
from conformance.harness.invariants.elements import Book
from conformance.harness.invariants.index import Bundle, Index, Instruction, StateCall
from conformance.harness.transcript import Event
from conformance.wire import urns

__all__ = ["check", "state_cell"]

#: A question that was on its way when the bundle's answer passed it arrives within this time, seconds.
IN_FLIGHT: Final = 1.0

_NAMING: Final = ("process_bundle_progress", "process_bundle_split", "finalize_bundle")


def check(index: Index, book: Book, docket: Docket) -> None:
    """All rules of this module."""
    _ids(index, docket)
    _answers(index, docket)
    _descriptors(index, docket)
    capabilities = _Capabilities(index, book)
    _embedding(index, book, capabilities, docket)
    _named_bundles(index, capabilities, docket)
    _finalization(index, docket)
    _cache_tokens(index, docket)
    _hints(index, capabilities, docket)


class _Capabilities:
    """What the SDK of a worker declared; where its environment is not known, what any environment declared."""

    def __init__(self, index: Index, book: Book) -> None:
        self._index, self._book = index, book
        self._known: dict[str, frozenset[str]] = {}

    def __call__(self, worker: str) -> frozenset[str]:
        known = self._known.get(worker)
        if known is None:
            served = environment_of(self._index, self._book, worker)
            environments = [served[1]] if served else list(self._index.submitted.components.environments.values())
            known = self._known[worker] = frozenset(c for environment in environments for c in environment.capabilities)
        return known

    def judgeable(self) -> bool:
        """Without the submission nobody knows what was declared."""
        return bool(self._index.submitted.components.environments)


# -- ids and answers -------------------------------------------------------------------------------------------------------


def _ids(index: Index, docket: Docket) -> None:
    seen: dict[tuple[str, str], Instruction] = {}
    for instruction in index.instructions:
        docket.look("I-CTL-01")
        docket.look("I-CTL-03")
        key = (instruction.worker, instruction.id)
        first = seen.setdefault(key, instruction)
        if first is not instruction:
            docket.find(
                "I-CTL-01",
                instruction.seq,
                f"instruction id {instruction.id!r} is used a second time on worker {instruction.worker!r} "
                f"({first.kind or 'unset'} at {first.seq}, {instruction.kind or 'unset'} now)",
                worker=instruction.worker,
                instruction=instruction.id,
                first=first.seq,
            )
        if not instruction.kind:
            docket.find(
                "I-CTL-03", instruction.seq, f"instruction {instruction.id!r} has no request set", instruction=instruction.id
            )


def _answers(index: Index, docket: Docket) -> None:
    for event in index.stray_answers:
        name = event.message.instruction_id
        docket.find("I-CTL-02", event.seq, f"we answered instruction {name!r}, which nobody asked", instruction=name)
    repeated: set[tuple[str, str]] = set()
    for instruction in index.instructions:
        if not instruction.answers:
            # A bundle that is cut short is the runner's to end; the other kinds are answered at once.
            if (
                instruction.kind not in ("process_bundle", "")
                and index.waited(instruction.event) > PATIENCE
                and (instruction.worker, instruction.id) not in repeated
            ):
                docket.find(
                    "I-CTL-02",
                    instruction.seq,
                    f"we never answered {instruction.kind} {instruction.id!r}",
                    instruction=instruction.id,
                )
            continue
        repeated.add((instruction.worker, instruction.id))
        docket.look("I-CTL-02")
        answer = instruction.answers[0].message
        got = answer.WhichOneof("response") or ""
        if not answer.error and got != instruction.kind:
            docket.find(
                "I-CTL-02",
                instruction.answers[0].seq,
                f"we answered {instruction.kind} {instruction.id!r} with {got or 'nothing set'}",
                instruction=instruction.id,
            )
        if len(instruction.answers) > 1 and instruction.seq < instruction.answers[1].seq:
            asked = sum(1 for other in index.instructions if (other.worker, other.id) == (instruction.worker, instruction.id))
            if len(instruction.answers) > asked:
                docket.find(
                    "I-CTL-02",
                    instruction.answers[1].seq,
                    f"we answered {instruction.kind} {instruction.id!r} {len(instruction.answers)} times",
                    instruction=instruction.id,
                )


def _descriptors(index: Index, docket: Docket) -> None:
    for event in index.stray_descriptors:
        name = event.message.id
        docket.find(
            "I-CTL-04",
            event.seq,
            f"worker {event.worker_id!r} got the descriptor {name!r}, which it did not ask for",
            descriptor=name,
        )
    for (worker, name), events in index.descriptors.items():
        docket.look("I-CTL-04", len(events))
        if len(events) < 2:
            continue
        first = events[0].message.SerializeToString(deterministic=True)
        for event in events[1:]:
            if event.message.SerializeToString(deterministic=True) != first:
                docket.find(
                    "I-CTL-04",
                    event.seq,
                    f"descriptor {name!r} has other contents than when worker {worker!r} fetched it before",
                    descriptor=name,
                    worker=worker,
                    first=events[0].seq,
                )


# -- what only some SDKs can do --------------------------------------------------------------------------------------------


def _embedding(index: Index, book: Book, capabilities: _Capabilities, docket: Docket) -> None:
    for bundle in index.executed():
        if not bundle.request.HasField("elements"):
            continue
        docket.look("I-CTL-14")
        if capabilities.judgeable() and urns.Protocol.CONTROL_REQUEST_ELEMENTS_EMBEDDING not in capabilities(bundle.worker):
            docket.find(
                "I-CTL-14",
                bundle.seq,
                f"bundle {bundle.id!r} has its elements in the request, which worker {bundle.worker!r} did not declare",
                bundle=bundle.id,
            )
        outside = [entry for entry in bundle.inputs if not entry.embedded]
        if outside:
            docket.find(
                "I-CTL-14",
                outside[0].seq,
                f"bundle {bundle.id!r} has elements in the request, and more on Data for {outside[0].transform!r}",
                bundle=bundle.id,
            )
        stage = book.stage(bundle)
        if stage is not None:
            ended = {entry.port for entry in bundle.inputs if entry.embedded and entry.last}
            missing = sorted(str(port) for port in {*((name, None) for name in stage.sources), *stage.families} - ended)
            if missing:
                docket.find(
                    "I-CTL-14",
                    bundle.seq,
                    f"the elements in the request of bundle {bundle.id!r} do not end {missing[0]}",
                    missing=missing,
                )


def _named_bundles(index: Index, capabilities: _Capabilities, docket: Docket) -> None:
    needed = {
        "sample_data": urns.Protocol.DATA_SAMPLING,
        "harness_monitoring_infos": urns.Protocol.HARNESS_MONITORING_INFOS,
    }
    for instruction in index.instructions:
        kind = instruction.kind
        if kind in needed:
            docket.look("I-CTL-18")
            if capabilities.judgeable() and needed[kind] not in capabilities(instruction.worker):
                docket.find(
                    "I-CTL-18",
                    instruction.seq,
                    f"{kind} {instruction.id!r} was sent to worker {instruction.worker!r}, which did not declare {needed[kind]}",
                    instruction=instruction.id,
                )
            continue
        if kind not in _NAMING:
            continue
        docket.look("I-CTL-18")
        named = getattr(instruction.request, kind).instruction_id
        bundle = index.bundle_of(instruction.worker, named)
        asked = bundle.instruction if bundle is not None else None
        if asked is None or asked.seq > instruction.seq or asked.connection != instruction.connection:
            elsewhere = sorted({worker for worker, name in index.bundles if name == named} - {instruction.worker})
            where = f" (it runs on {elsewhere[0]!r})" if elsewhere else ""
            docket.find(
                "I-CTL-18",
                instruction.seq,
                f"{kind} {instruction.id!r} names {named!r}, which is no bundle of this Control stream{where}",
                instruction=instruction.id,
                bundle=named,
            )
            continue
        if kind != "finalize_bundle" and asked.answers:
            docket.look("I-CTL-19")
            late = instruction.event.time - asked.answers[0].time
            if late > IN_FLIGHT:
                docket.find(
                    "I-CTL-19",
                    instruction.seq,
                    f"{kind} {instruction.id!r} names bundle {named!r}, which was answered {late:.1f} s before",
                    instruction=instruction.id,
                    bundle=named,
                )


# -- finalization ----------------------------------------------------------------------------------------------------------


def _finalization(index: Index, docket: Docket) -> None:
    for bundle in index.executed():
        asked = bundle.ok and bundle.response.requires_finalization
        assert bundle.instruction is not None
        answer_seq = bundle.instruction.answer_seq
        if bundle.failed:
            docket.look("I-CTL-21")
        if bundle.failed and bundle.finalizes:
            docket.find("I-CTL-21", bundle.finalizes[0].seq, f"bundle {bundle.id!r} failed and was finalized", bundle=bundle.id)
            continue
        if asked or bundle.finalizes:
            docket.look("I-CTL-20")
        for finalize in bundle.finalizes:
            if answer_seq is None or finalize.seq < answer_seq:
                docket.find(
                    "I-CTL-20",
                    finalize.seq,
                    f"finalize {finalize.id!r} came before bundle {bundle.id!r} was answered",
                    bundle=bundle.id,
                )
            elif not asked:
                docket.find(
                    "I-CTL-20",
                    finalize.seq,
                    f"finalize {finalize.id!r} names bundle {bundle.id!r}, which did not ask for it",
                    level="SHOULD",
                    bundle=bundle.id,
                )
        # At most once to success (P-CTL-22): a second attempt behind a failed one is legal.
        successes = [finalize for finalize in bundle.finalizes if finalize.ok]
        if len(successes) > 1:
            docket.find(
                "I-CTL-20", successes[1].seq, f"bundle {bundle.id!r} was finalized {len(successes)} times", bundle=bundle.id
            )
        if asked and not bundle.finalizes and index.done and index.control_end(bundle.worker, bundle.instruction.connection):
            docket.find(
                "I-CTL-20",
                answer_seq or bundle.seq,
                f"bundle {bundle.id!r} asked for finalization and the job ended DONE without it",
                bundle=bundle.id,
            )


# -- caches ----------------------------------------------------------------------------------------------------------------


def state_cell(call: StateCall) -> tuple[Any, ...] | None:
    """What a user state request is about: (transform, state id, window, key); None for other kinds."""
    key = call.request.state_key
    kind = key.WhichOneof("type") or ""
    if not kind.endswith("user_state"):
        return None
    part = getattr(key, kind)
    return (part.transform_id, part.user_state_id, part.window, part.key)


def _tokens(bundle: Bundle) -> dict[tuple[str, str] | None, list[bytes]]:
    """Cache tokens of a bundle: those of user state under None, those of side inputs under (transform, side input)."""
    tokens: dict[tuple[str, str] | None, list[bytes]] = defaultdict(list)
    for token in bundle.request.cache_tokens:
        if token.WhichOneof("type") == "side_input":
            tokens[(token.side_input.transform_id, token.side_input.side_input_id)].append(token.token)
        else:
            tokens[None].append(token.token)
    return tokens


def _cache_tokens(index: Index, docket: Docket) -> None:
    by_bundle: dict[tuple[str, str], dict[tuple[str, str] | None, list[bytes]]] = {}
    for bundle in index.executed():
        given = by_bundle[(bundle.worker, bundle.id)] = _tokens(bundle)
        if given:
            docket.look("I-CTL-15")
        for what, held in given.items():
            if len(held) > 1:
                name = "user state" if what is None else f"side input {what[1]!r} of {what[0]!r}"
                docket.find(
                    "I-CTL-15", bundle.seq, f"bundle {bundle.id!r} has {len(held)} cache tokens for {name}", bundle=bundle.id
                )
    if not any(by_bundle.values()):
        return
    content: dict[tuple[Any, ...], tuple[bytes, Event]] = {}
    spoilt: dict[tuple[Any, ...], Bundle] = {}
    for call in index.state_calls:
        request = call.request
        state_key = request.state_key
        reader = index.bundle_of(call.worker, request.instruction_id)
        tokens = by_bundle.get((call.worker, request.instruction_id))
        if not tokens or reader is None or reader.instruction is None:
            continue
        cell = state_cell(call)
        part = getattr(state_key, state_key.WhichOneof("type") or "runner")
        held = tokens.get(None if cell else (getattr(part, "transform_id", ""), getattr(part, "side_input_id", "")), [])
        if not held:
            continue
        token, whose = held[0], cell or state_key.SerializeToString(deterministic=True)
        place = (call.worker, token, whose)
        failed = spoilt.get(place)
        if cell is not None and failed is not None and reader.seq > failed.answered:
            docket.find(
                "I-CTL-15",
                reader.seq,
                f"bundle {reader.id!r} has the cache token of bundle {failed.id!r}, which failed after it wrote state {cell[1]!r}",
                bundle=reader.id,
                failed=failed.id,
            )
            del spoilt[place]
        if request.WhichOneof("request") != "get":
            for known in [known for known in content if known[0] == place]:
                del content[known]
            if cell is not None and reader.failed:
                spoilt[place] = reader
            continue
        if not call.answers or call.answers[0].message.error:
            continue
        docket.look("I-CTL-16")
        answer = call.answers[0]
        key = (place, state_key.SerializeToString(deterministic=True), request.get.continuation_token)
        got = answer.message.get.data
        before = content.setdefault(key, (got, answer))
        if before[0] != got:
            docket.find(
                "I-CTL-16",
                answer.seq,
                f"bundle {reader.id!r} reads other contents of {_what(state_key)} under the cache token of an earlier read",
                bundle=reader.id,
                first=before[1].seq,
            )
            content[key] = (got, answer)


def _what(state_key: Any) -> str:
    kind = state_key.WhichOneof("type") or "nothing"
    part = getattr(state_key, kind, None)
    name = getattr(part, "user_state_id", "") or getattr(part, "side_input_id", "")
    return f"{kind} {name!r} of {getattr(part, 'transform_id', '')!r}" if name else kind


def _hints(index: Index, capabilities: _Capabilities, docket: Docket) -> None:
    stateless: dict[tuple[str, str], Bundle] = {}
    for bundle in index.executed():
        if bundle.request.data_stream_id:
            docket.look("I-CTL-17")
            if capabilities.judgeable() and urns.Protocol.NAMED_DATA_STREAMS not in capabilities(bundle.worker):
                docket.find(
                    "I-CTL-17",
                    bundle.seq,
                    f"bundle {bundle.id!r} names the data stream {bundle.request.data_stream_id!r}, "
                    f"which worker {bundle.worker!r} did not declare",
                    bundle=bundle.id,
                )
        if bundle.request.has_no_state:
            docket.look("I-CTL-17")
            stateless[(bundle.worker, bundle.id)] = bundle
    if not stateless:
        return
    written: set[tuple[Any, ...]] = set()
    for call in index.state_calls:
        bundle_key = (call.worker, call.request.instruction_id)
        cell = state_cell(call)
        if bundle_key not in stateless or cell is None:
            continue
        if call.request.WhichOneof("request") != "get":
            written.add((bundle_key, cell))
        elif (bundle_key, cell) not in written and call.answers and call.answers[0].message.get.data:
            docket.find(
                "I-CTL-17",
                call.answers[0].seq,
                f"bundle {bundle_key[1]!r} has has_no_state set, but {_what(call.request.state_key)} is not empty",
                bundle=bundle_key[1],
            )
