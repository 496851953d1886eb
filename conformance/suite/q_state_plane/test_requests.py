"""Single requests of the state plane: round trips, their order, keys of every kind."""

from __future__ import annotations

from typing import Any

import pytest

from conformance.pipeline import coders, state
from conformance.suite.assertions import asserts
from conformance.suite.case import Case, Scenario
from conformance.suite.checks import holds, same, same_multiset
from conformance.suite.outcomes import Declined
from conformance.suite.q_state_plane.functions import Answer, ask
from conformance.suite.run import Run

BAG = state.bag(coders.VARINT)
MULTIMAP = state.multimap(coders.VARINT, coders.VARINT)
CELL: dict[str, Any] = {"on": "bag_user_state", "fields": {"user_state_id": "b"}}
#: Nested varints: what a bag of them holds is their concatenation.
ONE, TWO, THREE = b"\x01", b"\x02", b"\x03"


def get(**other: Any) -> dict[str, Any]:
    return {"do": "get", **CELL, **other}


def append(data: bytes, **other: Any) -> dict[str, Any]:
    return {"do": "append", "data": data, **CELL, **other}


def clear(**other: Any) -> dict[str, Any]:
    return {"do": "clear", **CELL, **other}


def told(run: Run, observer: str = "out") -> list[Answer]:
    """The answers for the only element. Raises Wrong if there was not exactly one."""
    seen = run.values(observer)
    same(len(seen), 1, "elements that were processed", rule="P-DATA-11")
    answers: list[Answer] = seen[0][1]
    return answers


def contents(answers: list[Answer]) -> list[bytes]:
    """What each get brought, its bytes sorted: the order of a bag is free (M-STATE-05)."""
    return [bytes(sorted(answer.data)) for answer in answers if answer.kind == "get"]


def no_error(answers: list[Answer], rule: str) -> None:
    errors = [answer.error or answer.kind for answer in answers if answer.kind not in ("get", "append", "clear")]
    holds(
        not errors, f"legal state requests were not answered as they should be: {errors}", expected=[], observed=errors, rule=rule
    )


@asserts("SAPI01/round-trip")
def test_round_trip(case: Case) -> Scenario:
    steps = [get(), append(ONE), get(), append(TWO + THREE), get(), clear(), get(), append(TWO), get()]
    ask(case, case.program.create([("k", 1)]), steps, state={"b": BAG})
    run = yield
    answers = told(run)
    no_error(answers, "P-STATE-07")
    same(contents(answers), [b"", ONE, ONE + TWO + THREE, b"", TWO], "what each get brought", rule="P-STATE-05")


@asserts("SAPI01/answers-of-the-kind")
def test_answers_of_the_kind(case: Case) -> Scenario:
    steps = [get(), append(ONE), clear(), clear(), get()]
    ask(case, case.program.create([("k", 1)]), steps, state={"b": BAG})
    run = yield
    same([answer.kind for answer in told(run)], ["get", "append", "clear", "clear", "get"], "answers", rule="P-STATE-01")


@asserts("SAPI01/written-for-others-unseen")
def test_written_for_others_unseen(case: Case) -> Scenario:
    ask(case, case.program.create([("a", 1), ("b", 1)]), [append(ONE), get()], state={"b": BAG})
    run = yield
    found = {key: contents(answers) for key, answers in run.values("out")}
    same(found, {"a": [ONE], "b": [ONE]}, "what each key's get brought", rule="P-STATE-08")


@asserts("SAPI10/pipelined-in-order")
def test_pipelined_in_order(case: Case) -> Scenario:
    # nobody waits in between: only the order in which they were sent tells what is left
    writes = [append(ONE), clear(), append(TWO), append(THREE), clear(), append(ONE), append(THREE)]
    ask(case, case.program.create([("k", 1)]), [{**step, "wait": False} for step in [*writes, get()]], state={"b": BAG})
    run = yield
    answers = told(run)
    no_error(answers, "P-STATE-05")
    same(contents(answers), [ONE + THREE], "what the get behind all writes brought", rule="P-STATE-05")


@asserts("SAPI10/reads-between-writes")
def test_reads_between_writes(case: Case) -> Scenario:
    steps = [get(), append(ONE), get(), append(TWO), get(), clear(), get()]
    ask(case, case.program.create([("k", 1)]), [{**step, "wait": False} for step in steps], state={"b": BAG})
    run = yield
    same(contents(told(run)), [b"", ONE, ONE + TWO, b""], "what each get brought, sent without waiting", rule="P-STATE-05")


@asserts("SAPI10/many-outstanding")
def test_many_outstanding(case: Case) -> Scenario:
    steps: list[dict[str, Any]] = [{**append(bytes([number])), "wait": False} for number in range(120)]
    ask(case, case.program.create([("k", 1)]), [*steps, get(wait=False)], state={"b": BAG})
    run = yield
    answers = told(run)
    same(len([answer for answer in answers if answer.kind == "append"]), 120, "appends that were acknowledged", rule="P-STATE-01")
    same(contents(answers), [bytes(range(120))], "what the get brought", rule="P-STATE-05")


@asserts("SAPI03/user-cells-apart")
def test_user_cells_apart(case: Case) -> Scenario:
    other = {"fields": {"user_state_id": "c"}}
    steps = [append(ONE), append(TWO, **other), get(), get(**other), clear(), get(), get(**other)]
    ask(case, case.program.create([("k", 1)]), steps, state={"b": BAG, "c": BAG})
    run = yield
    same(contents(told(run)), [ONE, TWO, b"", TWO], "gets of b, c, b, c", rule="P-STATE-08")


def _multimap(do: str, kind: str = "multimap_user_state", map_key: bytes = b"", **other: Any) -> dict[str, Any]:
    return {"do": do, "on": kind, "fields": {"user_state_id": "m", "map_key": map_key}, **other}


def supported(answers: list[Answer], rule: str) -> None:
    """Raises Declined for an error: a runner without a kind of key may say so when it is asked for (P-STATE-11)."""
    for answer in answers:
        if answer.kind == "error":
            raise Declined(answer.error)
    no_error(answers, rule)


@asserts("SAPI03/multimap-values")
def test_multimap_values(case: Case) -> Scenario:
    steps = [
        _multimap("get", map_key=ONE),
        _multimap("append", map_key=ONE, data=THREE),
        _multimap("append", map_key=TWO, data=TWO),
        _multimap("get", map_key=ONE),
        _multimap("clear", map_key=ONE),
        _multimap("get", map_key=ONE),
        _multimap("get", map_key=TWO),
    ]
    ask(case, case.program.create([("k", 1)]), steps, state={"m": MULTIMAP})
    run = yield
    answers = told(run)
    supported(answers, "P-STATE-09")
    same(contents(answers), [b"", THREE, b"", TWO], "what each get brought", rule="P-STATE-09")


@asserts("SAPI03/multimap-keys")
def test_multimap_keys(case: Case) -> Scenario:
    steps = [
        _multimap("get", "multimap_keys_user_state"),
        _multimap("append", map_key=ONE, data=THREE),
        _multimap("append", map_key=TWO, data=TWO),
        _multimap("append", map_key=ONE, data=ONE),
        _multimap("get", "multimap_keys_user_state"),
    ]
    ask(case, case.program.create([("k", 1)]), steps, state={"m": MULTIMAP})
    run = yield
    answers = told(run)
    supported(answers, "P-STATE-09")
    same(contents(answers), [b"", ONE + TWO], "the map keys before and behind the appends", rule="P-STATE-09")


def _entry(sort_key: int, value: bytes) -> bytes:
    return bytes([sort_key, len(value)]) + value


def _ordered(do: str, start: int, end: int) -> dict[str, Any]:
    return {"do": do, "on": "ordered_list_user_state", "fields": {"user_state_id": "o", "range": [start, end]}}


def _ordered_append(data: bytes) -> dict[str, Any]:
    return {"do": "append", "on": "ordered_list_user_state", "fields": {"user_state_id": "o"}, "data": data}


@asserts("SAPI03/ordered-list-range")
def test_ordered_list_range(case: Case) -> Scenario:
    two, five, other_five = _entry(2, b"b"), _entry(5, b"a"), _entry(5, b"c")
    steps = [
        _ordered_append(five + two),
        _ordered_append(other_five),
        _ordered("get", 0, 10),
        _ordered("get", 3, 5),
        _ordered("clear", 0, 5),
        _ordered("get", 0, 10),
    ]
    ask(case, case.program.create([("k", 1)]), steps, state={"o": state.ordered_list(coders.BYTES)})
    run = yield
    answers = told(run)
    supported(answers, "P-STATE-10")
    brought = [answer.data for answer in answers if answer.kind == "get"]
    same(brought, [two + five + other_five, b"", five + other_five], "what each get brought", rule="P-STATE-10")


def _side(kind: str, side: str, key: bytes = b"") -> dict[str, Any]:
    return {"do": "get", "on": kind, "fields": {"side_input_id": side, "key": key}}


@asserts("SAPI03/side-inputs-apart")
def test_side_inputs_apart(case: Case) -> Scenario:
    first = case.program.create([1, 2], name="first").as_iterable()
    second = case.program.create([3], name="second").as_iterable()
    steps = [_side("iterable_side_input", "one"), _side("iterable_side_input", "two")]
    ask(case, case.program.create([("k", 1)]), steps, side_inputs={"one": first, "two": second})
    run = yield
    answers = told(run)
    no_error(answers, "P-STATE-09")
    same(contents(answers), [ONE + TWO, THREE], "contents of the two side inputs", rule="P-STATE-09")


@asserts("SAPI03/multimap-side-key")
@pytest.mark.parametrize("asked", [b"\x01a", b"\x01b", b"\x01z", b"\x00"], ids=["first", "second", "unknown", "empty"])
def test_multimap_side_key(case: Case, asked: bytes) -> Scenario:
    view = case.program.create([("a", 1), ("b", 2), ("a", 3)], name="side").as_multimap()
    ask(case, case.program.create([("k", 1)]), [_side("multimap_side_input", "m", asked)], side_inputs={"m": view})
    run = yield
    answers = told(run)
    no_error(answers, "P-STATE-07")
    wanted = {b"\x01a": [1, 3], b"\x01b": [2]}.get(asked, [])
    same_multiset(list(answers[0].data), wanted, f"values of the map key {asked!r}", rule="P-STATE-07")
