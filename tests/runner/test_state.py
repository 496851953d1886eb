"""User state and side inputs as the state plane sees them."""

from __future__ import annotations

import pytest

from conformance.pipeline import Fn, Program, coders, windowing
from conformance.pipeline import state as cells
from conformance.runner.engine_events import JobDone
from conformance.runner.state import BundleState
from conformance.wire.api import fn_pb2
from tests.runner.lab import Lab, element, kv, string, window

KV = coders.kv(coders.STRING, coders.VARINT)


class Wire:
    """Asks as a harness does."""

    def __init__(self, state: BundleState) -> None:
        self.state = state
        self.number = 0

    def _ask(self, key: fn_pb2.StateKey, **kind: object) -> fn_pb2.StateResponse:
        self.number += 1
        request = fn_pb2.StateRequest(id=str(self.number), instruction_id="b", state_key=key, **kind)
        response = self.state.answer(request)
        assert response.id == str(self.number)
        return response

    def get(self, key: fn_pb2.StateKey) -> list[bytes]:
        """The pages."""
        pages, token = [], b""
        while True:
            response = self._ask(key, get=fn_pb2.StateGetRequest(continuation_token=token))
            assert not response.error, response.error
            pages.append(response.get.data)
            token = response.get.continuation_token
            if not token:
                return pages

    def content(self, key: fn_pb2.StateKey) -> bytes:
        return b"".join(self.get(key))

    def append(self, key: fn_pb2.StateKey, data: bytes) -> None:
        response = self._ask(key, append=fn_pb2.StateAppendRequest(data=data))
        assert response.WhichOneof("response") == "append", response.error

    def clear(self, key: fn_pb2.StateKey) -> None:
        assert self._ask(key, clear=fn_pb2.StateClearRequest()).WhichOneof("response") == "clear"

    def error(self, key: fn_pb2.StateKey, **kind: object) -> str:
        response = self._ask(key, **(kind or {"get": fn_pb2.StateGetRequest()}))
        assert response.error
        return response.error


def key(kind: str, state: str, who: str = "k", transform: str = "keyed", **more: object) -> fn_pb2.StateKey:
    result = fn_pb2.StateKey()
    getattr(result, kind).CopyFrom(
        type(getattr(result, kind))(transform_id=transform, user_state_id=state, key=string(who), **more)
    )
    return result


BAG, MAP, LIST = "bag_user_state", "multimap_user_state", "ordered_list_user_state"
FULL = fn_pb2.OrderedListRange(start=-(2**63), end=2**63 - 1)


@pytest.fixture
def lab() -> Lab:
    program = Program()
    both = program.flatten([program.impulse(f"{n}/i").par_do(Fn("identity"), KV, name=n) for n in ("one", "two")])
    both.par_do(
        Fn("a"),
        KV,
        name="keyed",
        state={
            "bag": cells.bag(coders.VARINT),
            "other": cells.bag(coders.VARINT),
            "map": cells.multimap(coders.STRING, coders.VARINT),
            "list": cells.ordered_list(coders.BYTES),
        },
    )
    lab = Lab(program)
    lab.answer("one", {"one.out": [element(kv("k", 1))]})
    return lab


@pytest.fixture
def wire(lab: Lab) -> Wire:
    return Wire(state_of(lab))


def state_of(lab: Lab) -> BundleState:
    state = lab.engine.state(lab.next("keyed").bundle)
    assert state is not None
    return state


def test_unset_state_reads_empty(wire):
    for one in (
        key(BAG, "bag"),
        key(MAP, "map", map_key=b"m"),
        key("multimap_keys_user_state", "map"),
        key(LIST, "list", range=FULL),
    ):
        assert wire.get(one) == [b""]
        if one.WhichOneof("type") != "multimap_entries_user_state":
            wire.clear(one)


def test_a_bundle_reads_its_own_writes_in_order(wire):
    bag = key(BAG, "bag")
    wire.append(bag, b"\x01")
    wire.append(bag, b"\x02\x03")
    assert wire.content(bag) == b"\x01\x02\x03"
    wire.clear(bag)
    wire.append(bag, b"\x04")
    assert wire.content(bag) == b"\x04"


def test_cells_never_share(wire):
    wire.append(key(BAG, "bag"), b"\x01")
    for other in (key(BAG, "other"), key(BAG, "bag", "j"), key(BAG, "bag", window=window(0, 10))):
        assert wire.content(other) == b""


def test_multimaps(wire):
    one, two = key(MAP, "map", map_key=string("a")), key(MAP, "map", map_key=string("b"))
    keys, entries = key("multimap_keys_user_state", "map"), key("multimap_entries_user_state", "map")
    wire.append(one, b"\x01")
    wire.append(one, b"\x02\x03")
    wire.append(two, b"\x09")
    assert wire.content(one) == b"\x01\x02\x03"
    assert wire.content(keys) == string("a") + string("b")
    assert wire.content(entries) == string("a") + bytes.fromhex("00000003010203") + string("b") + bytes.fromhex("0000000109")
    wire.clear(one)
    assert wire.content(keys) == string("b")
    wire.append(one, b"\x05")
    assert wire.content(one) == b"\x05"
    wire.clear(keys)
    assert wire.content(keys) == wire.content(one) == b""


def test_a_value_of_no_bytes_makes_its_map_key_present(wire):
    """So the Java SDK keeps sets: a multimap whose values are Void (M-STATE-11)."""
    member, keys = key(MAP, "map", map_key=string("a")), key("multimap_keys_user_state", "map")
    wire.append(member, b"")
    assert wire.content(keys) == string("a")
    assert wire.content(member) == b""
    wire.clear(member)
    assert wire.content(keys) == b""


@pytest.mark.parametrize(
    ("entries", "start", "end", "expected"),
    [
        ("05016102016301016a", 0, 10, "01016a020163050161"),
        ("050161050162", 5, 6, "050161050162"),  # equal sort keys are all kept
        ("050161020163", 2, 5, "020163"),  # the end is exclusive
        ("ffffffffffffffffff010161000162", -(2**63), 2**63 - 1, "ffffffffffffffffff010161000162"),
    ],
)
def test_ordered_lists(wire, entries, start, end, expected):
    span = fn_pb2.OrderedListRange(start=start, end=end)
    wire.append(key(LIST, "list", range=FULL), bytes.fromhex(entries))
    assert wire.content(key(LIST, "list", range=span)) == bytes.fromhex(expected)
    wire.clear(key(LIST, "list", range=span))
    assert wire.content(key(LIST, "list", range=span)) == b""


@pytest.mark.parametrize(
    ("state_key", "words"),
    [
        (key(BAG, "unknown"), "declares no state unknown"),
        (key(BAG, "bag", transform="elsewhere"), "elsewhere"),
        (key(MAP, "bag", map_key=b"x"), "was declared bag"),
        (fn_pb2.StateKey(runner=fn_pb2.StateKey.Runner(key=b"t")), "no state-backed iterables"),
        (fn_pb2.StateKey(), "without a type"),
        (
            fn_pb2.StateKey(iterable_side_input=fn_pb2.StateKey.IterableSideInput(transform_id="keyed", side_input_id="s")),
            "no side input s",
        ),
    ],
)
def test_what_cannot_be_answered_is_an_error(wire, state_key, words):
    assert words in wire.error(state_key)


def test_requests_that_change_what_is_read_only_are_errors(wire):
    side = fn_pb2.StateKey(iterable_side_input=fn_pb2.StateKey.IterableSideInput(transform_id="keyed", side_input_id="s"))
    assert "read-only" in wire.error(side, append=fn_pb2.StateAppendRequest(data=b"x"))
    assert "cannot be appended" in wire.error(key("multimap_keys_user_state", "map"), append=fn_pb2.StateAppendRequest(data=b"x"))


def test_pages_hold_whole_elements_and_are_one_snapshot(lab):
    lab.engine.context.page_bytes = 2
    wire = Wire(BundleState(lab.engine.nodes[-1].node, lab.engine.nodes[-1].store, {}, 2))
    bag = key(BAG, "bag")
    for chunk in (b"\x01", b"\x02", b"\x03\x04\x05", b"\x06"):
        wire.append(bag, chunk)
    assert wire.get(bag) == [b"\x01\x02", b"\x03\x04\x05", b"\x06"]
    first = wire._ask(bag, get=fn_pb2.StateGetRequest())
    wire.clear(bag)
    second = wire._ask(bag, get=fn_pb2.StateGetRequest(continuation_token=first.get.continuation_token))
    assert second.get.data == b"\x03\x04\x05"
    assert "continuation token" in wire.error(bag, get=fn_pb2.StateGetRequest(continuation_token=b"made up"))


def test_state_is_committed_with_the_bundle_and_freed_at_the_end(lab):
    Wire(state_of(lab)).append(key(BAG, "bag"), b"\x01")
    lab.answer("two", {"two.out": [element(kv("k", 2))]})
    lab.answer("keyed")
    assert Wire(state_of(lab)).content(key(BAG, "bag")) == b"\x01"
    assert lab.answer("keyed") == [JobDone()]
    assert lab.engine.nodes[-1].store.cells == {}


# ---- side inputs


def side_key(kind: str, at: bytes, **more: bytes) -> fn_pb2.StateKey:
    result = fn_pb2.StateKey()
    getattr(result, kind).CopyFrom(type(getattr(result, kind))(transform_id="read", side_input_id="s", window=at, **more))
    return result


def test_side_inputs_by_window_and_key():
    program = Program()
    side = program.impulse("i").par_do(Fn("identity"), KV, name="side").window_into(windowing.fixed(10), name="window")
    program.impulse("j").par_do(Fn("drop"), coders.BYTES, name="read", side_inputs={"s": side.as_multimap()})
    lab = Lab(program)
    first, second = window(0, 10), window(10, 20)
    elements = [element(kv("a", 1), 1, first), element(kv("b", 2), 2, first, second), element(kv("a", 3), 3, first)]
    lab.answer("side", {"window.out": elements})
    state = lab.engine.state(lab.next("read").bundle)
    assert state is not None
    wire = Wire(state)
    assert wire.content(side_key("multimap_side_input", first, key=string("a"))) == b"\x01\x03"
    assert wire.content(side_key("multimap_side_input", second, key=string("a"))) == b""
    assert wire.content(side_key("multimap_side_input", window(50, 60), key=string("a"))) == b""
    assert wire.content(side_key("multimap_keys_side_input", first)) == string("a") + string("b")
    assert wire.content(side_key("multimap_keys_values_side_input", second)) == string("b") + bytes.fromhex("0000000102")
    assert "was declared multimap" in wire.error(side_key("iterable_side_input", first))
