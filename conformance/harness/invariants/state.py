"""I-ST: a model of every state cell, kept from what the harness wrote, against what it reads."""

from __future__ import annotations

from collections import Counter, defaultdict
from typing import Any, Final

import attrs

from conformance.harness.invariants.catalogue import Docket
from conformance.harness.invariants.elements import Book
from conformance.harness.invariants.index import Bundle, Index, StateCall
from conformance.wire import coders, urns
from conformance.wire.api import fn_pb2

__all__ = ["check"]

#: A state request that has waited so long, seconds, will not be answered.
BUDGET: Final = 10.0

#: (kind, transform, state id, window, key, map key)
Cell = tuple[str, str, str, bytes, bytes, bytes]


def check(index: Index, book: Book, docket: Docket) -> None:
    """All rules of this module."""
    _pairing(index, docket)
    chains = _chains(index)
    _pages(chains, index, book, docket)
    _side_inputs(chains, index, book, docket)
    _Model(index, book, chains, docket).run()


def _describe(key: fn_pb2.StateKey) -> str:
    kind = key.WhichOneof("type") or "no kind"
    part = getattr(key, kind, None)
    name = getattr(part, "user_state_id", "") or getattr(part, "side_input_id", "")
    where = f" of key {part.key.hex()}" if part is not None and getattr(part, "key", None) else ""
    return f"{kind} {name!r} of {getattr(part, 'transform_id', '')!r}{where}"


# -- pairing ---------------------------------------------------------------------------------------------------------------


def _pairing(index: Index, docket: Docket) -> None:
    for event in index.stray_state_answers:
        docket.find(
            "I-ST-01",
            event.seq,
            f"a state answer to worker {event.worker_id!r} has the id {event.message.id!r}, which is not outstanding",
            id=event.message.id,
        )
    for call in index.state_calls:
        request = call.request
        docket.look("I-ST-01")
        docket.look("I-ST-02")
        if not call.answers:
            if index.waited(call.event) > BUDGET:
                docket.find(
                    "I-ST-02",
                    call.event.seq,
                    f"state request {request.id!r} of bundle {request.instruction_id!r} ({_describe(request.state_key)}) "
                    f"was not answered in {index.waited(call.event):.0f} s",
                    id=request.id,
                )
            continue
        answer = call.answers[0].message
        asked, got = request.WhichOneof("request"), answer.WhichOneof("response")
        if not answer.error and asked != got:
            docket.find(
                "I-ST-01",
                call.answers[0].seq,
                f"state request {request.id!r} asks {asked} and is answered with {got or 'nothing set'}",
                id=request.id,
            )


# -- pages -----------------------------------------------------------------------------------------------------------------


@attrs.define(eq=False)
class Chain:
    """One read of a cell: a get and the gets that follow its continuation tokens."""

    calls: list[StateCall]
    #: Every page came and the last has no token.
    complete: bool = False
    error: str = ""

    @property
    def first(self) -> StateCall:
        return self.calls[0]

    @property
    def pages(self) -> list[bytes]:
        return [call.answers[0].message.get.data for call in self.calls if call.answers]

    @property
    def content(self) -> bytes:
        return b"".join(self.pages)

    @property
    def answer_seq(self) -> int:
        return self.calls[-1].answers[0].seq if self.calls[-1].answers else self.calls[-1].event.seq


def _chains(index: Index) -> list[Chain]:
    chains: list[Chain] = []
    waiting: dict[tuple[str, str, bytes, bytes], Chain] = {}
    for call in index.state_calls:
        request = call.request
        if request.WhichOneof("request") != "get":
            continue
        where = (call.worker, request.instruction_id, request.state_key.SerializeToString(deterministic=True))
        token = request.get.continuation_token
        chain = waiting.pop((*where, token), None) if token else None
        if chain is None:
            chain = Chain([])
            if not token:
                chains.append(chain)
        chain.calls.append(call)
        if not call.answers:
            continue
        answer = call.answers[0].message
        if answer.error:
            chain.error = answer.error
        elif answer.get.continuation_token:
            waiting[(*where, answer.get.continuation_token)] = chain
        else:
            chain.complete = True
    return chains


def _pages(chains: list[Chain], index: Index, book: Book, docket: Docket) -> None:
    for chain in chains:
        if len(chain.calls) < 2:
            continue
        docket.look("I-ST-05")
        what = _describe(chain.first.request.state_key)
        tokens: set[bytes] = set()
        for call in chain.calls:
            if not call.answers:
                break
            token = call.answers[0].message.get.continuation_token
            if token and token in tokens:
                docket.find(
                    "I-ST-05",
                    call.answers[0].seq,
                    f"reading {what} leads back to the page {token.hex()}: it never ends",
                    bundle=call.request.instruction_id,
                    token=token.hex(),
                )
                break
            tokens.add(token)
        else:
            element = _element_coder(chain.first, index, book)
            for call, page in zip(chain.calls, chain.pages, strict=False) if element is not None else ():
                try:
                    assert element is not None
                    for _ in element.iter_spans(page):
                        pass
                except coders.CoderError as error:
                    docket.find(
                        "I-ST-05",
                        call.answers[0].seq,
                        f"a page of {what} does not hold whole elements ({error})",
                        bundle=call.request.instruction_id,
                    )
                    break


def _element_coder(call: StateCall, index: Index, book: Book) -> coders.Coder | None:
    """The coder of what a bag or side input is a concatenation of; None where that is not certain."""
    key = call.request.state_key
    kind = key.WhichOneof("type")
    bundle = index.bundle_of(call.worker, call.request.instruction_id)
    stage = book.stage(bundle) if bundle is not None and bundle.instruction is not None else None
    if stage is None:
        return None
    if kind == "bag_user_state":
        payload = stage.payloads.get(key.bag_user_state.transform_id)
        spec = payload.state_specs.get(key.bag_user_state.user_state_id) if payload is not None else None
        return stage.coder(spec.bag_spec.element_coder_id) if spec is not None and spec.WhichOneof("spec") == "bag_spec" else None
    if kind in ("iterable_side_input", "multimap_side_input"):
        part = getattr(key, kind)
        for name, local, pcollection in stage.side_inputs():
            if (name, local) == (part.transform_id, part.side_input_id) and pcollection in stage.pcollections:
                coder = stage.coder(stage.pcollections[pcollection].coder_id)
                if kind == "multimap_side_input":
                    return coder.components[1] if coder is not None and coder.urn == urns.Coder.KV else None
                return coder
    return None


# -- side inputs -----------------------------------------------------------------------------------------------------------


def _side_inputs(chains: list[Chain], index: Index, book: Book, docket: Docket) -> None:
    read: dict[tuple[str, str, bytes], Chain] = {}
    listed: dict[tuple[str, str, str, str, bytes], set[bytes]] = {}
    used: dict[tuple[str, str, str, str, bytes], list[tuple[bytes, Chain]]] = defaultdict(list)
    for chain in chains:
        call = chain.first
        key = call.request.state_key
        kind = key.WhichOneof("type") or ""
        if not kind.endswith("side_input") or not chain.complete:
            continue
        docket.look("I-ST-06")
        bundle = call.request.instruction_id
        before = read.setdefault((call.worker, bundle, key.SerializeToString(deterministic=True)), chain)
        # The order of a view's elements is free (M-SIDE-04), so only bytes that came or went tell a change.
        if before.content != chain.content and Counter(before.content) != Counter(chain.content):
            docket.find(
                "I-ST-06",
                chain.answer_seq,
                f"{_describe(key)} changed within bundle {bundle!r}",
                bundle=bundle,
                first=before.answer_seq,
            )
        part = getattr(key, kind)
        view = (call.worker, bundle, part.transform_id, part.side_input_id, part.window)
        if kind == "multimap_side_input" and chain.content:
            used[view].append((part.key, chain))
        elif kind == "multimap_keys_side_input":
            values = fn_pb2.StateKey(
                multimap_side_input=fn_pb2.StateKey.MultimapSideInput(
                    transform_id=part.transform_id, side_input_id=part.side_input_id
                )
            )
            keys = _key_coder(values, call, index, book)
            if keys is not None:
                try:
                    listed[view] = set(keys.split_all(chain.content))
                except coders.CoderError:
                    continue
    for view, keys_read in used.items():
        for key_bytes, chain in keys_read if view in listed else ():
            if key_bytes not in listed[view]:
                docket.find(
                    "I-ST-06",
                    chain.answer_seq,
                    f"side input {view[3]!r} of {view[2]!r} has values under key {key_bytes.hex()}, which its keys do not list",
                    bundle=view[1],
                )
                break


def _key_coder(key: fn_pb2.StateKey, call: StateCall, index: Index, book: Book) -> coders.Coder | None:
    bundle = index.bundle_of(call.worker, call.request.instruction_id)
    stage = book.stage(bundle) if bundle is not None and bundle.instruction is not None else None
    part = key.multimap_side_input
    for name, local, pcollection in stage.side_inputs() if stage is not None else ():
        if stage is not None and (name, local) == (part.transform_id, part.side_input_id) and pcollection in stage.pcollections:
            coder = stage.coder(stage.pcollections[pcollection].coder_id)
            return coder.components[0] if coder is not None and coder.urn == urns.Coder.KV else None
    return None


# -- user state ------------------------------------------------------------------------------------------------------------


@attrs.define
class Write:
    """What a bundle did to a cell so far: cleared it or not, and what it appended since."""

    cleared: bool = False
    appended: bytes = b""

    def on(self, base: bytes) -> bytes:
        return self.appended if self.cleared else base + self.appended


def _cell(key: fn_pb2.StateKey) -> Cell | None:
    """The cell of a bag, or of one map key; None for what is not a plain run of values."""
    kind = key.WhichOneof("type")
    if kind == "bag_user_state":
        bag = key.bag_user_state
        return ("bag", bag.transform_id, bag.user_state_id, bag.window, bag.key, b"")
    if kind == "multimap_user_state":
        entry = key.multimap_user_state
        return ("multimap", entry.transform_id, entry.user_state_id, entry.window, entry.key, entry.map_key)
    return None


class _Model:
    """Committed contents and the writes of open bundles, replayed in the order of the transcript."""

    def __init__(self, index: Index, book: Book, chains: list[Chain], docket: Docket) -> None:
        self.index, self.book, self.docket = index, book, docket
        self.chains = {chain.first: chain for chain in chains}
        #: Cell -> [(where it became so, content)], from the beginning empty.
        self.history: dict[Cell, list[tuple[int, bytes]]] = defaultdict(lambda: [(-1, b"")])
        self.open: dict[Bundle, dict[Cell, Write]] = defaultdict(dict)
        #: Writes of failed bundles.
        self.dropped: dict[Cell, list[tuple[str, Write]]] = defaultdict(list)
        self.failures: list[int] = sorted(b.answered for b in index.bundles.values() if b.failed)

    def run(self) -> None:
        """Replay: state requests where they were sent, commits where the bundle was answered."""
        steps: list[tuple[int, Any]] = [(call.event.seq, call) for call in self.index.state_calls]
        if not steps:
            return
        steps += [(b.answered, b) for b in self.index.executed() if b.instruction is not None and b.instruction.answers]
        steps.sort(key=lambda step: step[0])
        for _, step in steps:
            if isinstance(step, Bundle):
                self._end(step)
            else:
                self._call(step)

    def _end(self, bundle: Bundle) -> None:
        for cell, write in self.open.pop(bundle, {}).items():
            if bundle.ok:
                self.history[cell].append((bundle.answered, write.on(self.history[cell][-1][1])))
            else:
                self.dropped[cell].append((bundle.id, write))

    def _call(self, call: StateCall) -> None:
        request = call.request
        bundle = self.index.bundle_of(call.worker, request.instruction_id)
        if bundle is None or bundle.instruction is None:
            return
        kind = request.WhichOneof("request")
        cell = _cell(request.state_key)
        if kind == "get":
            chain = self.chains.get(call)
            if cell is not None and chain is not None:
                self._read(cell, chain, bundle)
            return
        if call.answers and call.answers[0].message.error:
            return
        if cell is None:
            if kind == "clear" and request.state_key.WhichOneof("type") == "multimap_keys_user_state":
                part = request.state_key.multimap_keys_user_state
                whole = ("multimap", part.transform_id, part.user_state_id, part.window, part.key)
                for known in [known for known in (*self.history, *self.open[bundle]) if known[:5] == whole]:
                    self.open[bundle][known] = Write(cleared=True)
            return
        write = self.open[bundle].setdefault(cell, Write())
        if kind == "clear":
            write.cleared, write.appended = True, b""
        elif kind == "append":
            write.appended += request.append.data

    def _bases(self, cell: Cell, bundle: Bundle) -> list[bytes]:
        """What the cell may hold for a bundle before its own writes."""
        history = self.history[cell]
        last = max(place for place, (seq, _) in enumerate(history) if seq < bundle.seq)
        if any(seq < bundle.seq for seq in self.failures):
            last = 0  # A runner may have gone back to any checkpoint.
        bases = [content for _, content in history[last:]]
        if cell[3]:
            bases.append(b"")  # The window may have expired (P-STATE-14).
        return bases

    def _read(self, cell: Cell, chain: Chain, bundle: Bundle) -> None:
        own = self.open[bundle].get(cell, Write())
        fresh = len(self.history[cell]) == 1 and cell not in self.open[bundle]
        what = f"{cell[2]!r} of {cell[1]!r} for key {cell[4].hex()}"
        if fresh:
            self.docket.look("I-ST-08")
        if chain.error:
            stage = self.book.stage(bundle)
            known = stage is not None and cell[1] in stage.payloads and cell[2] in stage.payloads[cell[1]].state_specs
            if fresh and known and cell[0] == "bag":
                self.docket.find(
                    "I-ST-08",
                    chain.answer_seq,
                    f"reading state {what}, never written, fails in bundle {bundle.id!r}: {chain.error[:120]}",
                    bundle=bundle.id,
                )
            return
        if not chain.complete:
            return
        others = [other for other, writes in self.open.items() if other is not bundle and cell in writes]
        if others:
            return  # Two bundles of one key at once: I-CTL-28 says so.
        for rule in ("I-ST-03", "I-ST-07"):
            self.docket.look(rule)
        if self.dropped.get(cell):
            self.docket.look("I-ST-04")
        got = chain.content
        bases = self._bases(cell, bundle)
        if any(got == own.on(base) for base in bases):
            return
        rule, why = self._explain(cell, got, own, bases)
        self.docket.find(
            rule,
            chain.answer_seq,
            f"state {what} reads as {len(got)} bytes in bundle {bundle.id!r}, {len(own.on(bases[0]))} were written{why}",
            bundle=bundle.id,
            got=got[:64].hex(),
            expected=own.on(bases[0])[:64].hex(),
        )
        # Go on from what the runner believes, so that one fault is told once.
        self.open[bundle][cell] = Write(cleared=True, appended=got)

    def _explain(self, cell: Cell, got: bytes, own: Write, bases: list[bytes]) -> tuple[str, str]:
        for failed, write in self.dropped.get(cell, ()):
            if any(got == own.on(write.on(base)) for base in bases):
                return "I-ST-04", f": it holds what the failed bundle {failed!r} wrote"
        if got:
            for other, history in self.history.items():
                theirs = [content for _, content in history if content]
                if other != cell and any(
                    got in (own.on(content), own.on(base + content)) for content in theirs for base in bases
                ):
                    return "I-ST-07", f": it holds what was written to {other[2]!r} of {other[1]!r} for key {other[4].hex()}"
        return "I-ST-03", ""
