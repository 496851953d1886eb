"""Requests that cannot be honoured: answered, with an error, and the stream goes on; an error fails the bundle with its text."""

from __future__ import annotations

from typing import Any

import pytest

from conformance.harness.transcript import Event
from conformance.pipeline import Fn, coders, state
from conformance.suite.assertions import asserts
from conformance.suite.case import Case, Scenario
from conformance.suite.checks import holds, same
from conformance.suite.outcomes import NotExercised
from conformance.suite.q_state_plane.functions import IMPOSSIBLE_READ, PATIENCE, Answer, ask
from conformance.suite.q_state_plane.test_requests import BAG, ONE, append, get, told

#: What is impossible, by name. "m" is a side input of the ParDo, "b" its bag.
IMPOSSIBLE: dict[str, dict[str, Any]] = {
    "unknown-transform": get(fields={"user_state_id": "b", "transform_id": "no-such-transform"}),
    "unknown-state": get(fields={"user_state_id": "no-such-state"}),
    "unknown-instruction": get(instruction="no-such-instruction"),
    "append-to-side-input": {"do": "append", "on": "iterable_side_input", "fields": {"side_input_id": "m"}, "data": ONE},
    "clear-of-side-input": {"do": "clear", "on": "iterable_side_input", "fields": {"side_input_id": "m"}},
    "unknown-side-input": {"do": "get", "on": "iterable_side_input", "fields": {"side_input_id": "no-such-side-input"}},
    "runner-key-never-issued": {"do": "get", "on": "runner", "fields": {"key": b"no-such-token"}},
    "token-never-issued": get(token=b"no-such-token"),
}
every_kind = pytest.mark.parametrize("kind", list(IMPOSSIBLE))


def _ask_impossible(case: Case, kind: str) -> None:
    """The impossible request between two legal ones of the same stream."""
    side = case.program.create([1, 2], name="side").as_iterable()
    steps = [append(ONE), IMPOSSIBLE[kind], get()]
    ask(case, case.program.create([("k", 1)]), steps, state={"b": BAG}, side_inputs={"m": side})


@asserts("SAPI09/impossible-answered", alone=True)
@every_kind
def test_impossible_answered(case: Case, kind: str) -> Scenario:
    _ask_impossible(case, kind)
    run = yield
    answers = told(run)
    holds(
        answers[1].answered,
        f"a state request that cannot be honoured ({kind}) met {answers[1].kind}: nothing came in {PATIENCE:g} s",
        expected="an answer with `error`",
        observed=answers[1],
        rule="P-STATE-02",
    )


@asserts("SAPI09/impossible-refused", alone=True)
@every_kind
def test_impossible_refused(case: Case, kind: str) -> Scenario:
    _ask_impossible(case, kind)
    run = yield
    same(told(run)[1].kind, "error", f"the answer to a state request that cannot be honoured ({kind})", rule="P-STATE-02")


@asserts("SAPI09/stream-outlives-errors", alone=True)
@pytest.mark.parametrize("kind", ["unknown-transform", "unknown-instruction", "append-to-side-input"])
def test_stream_outlives_errors(case: Case, kind: str) -> Scenario:
    _ask_impossible(case, kind)
    run = yield
    same(told(run)[2], Answer("get", data=ONE), f"a legal get behind an impossible request ({kind})", rule="P-STATE-02")


@asserts("SAPI09/unset-is-no-error")
def test_unset_is_no_error(case: Case) -> Scenario:
    multimap = state.multimap(coders.VARINT, coders.VARINT)
    absent = {"on": "multimap_user_state", "fields": {"user_state_id": "m", "map_key": ONE}}
    steps = [{"do": "get", **absent}, {"do": "clear", **absent}, {"do": "get", **absent}]
    ask(case, case.program.create([("k", 1)]), steps, state={"m": multimap})
    run = yield
    same(told(run), [Answer("get"), Answer("clear"), Answer("get")], "answers about an absent map key", rule="P-STATE-07")


@asserts("SAPI09/error-fails-the-bundle", any_outcome=True)
def test_error_fails_the_bundle(case: Case) -> Scenario:
    keyed = case.program.create([("k", 1)])
    keyed.par_do(Fn(IMPOSSIBLE_READ), state={"b": BAG}).observe("out")
    run = yield
    errors = [
        event.message.error for event in _responses(run.transcript.events("state", direction="R->S")) if event.message.error
    ]
    if run.outcome.state == "DONE" and not errors:
        raise NotExercised("the runner answers a read of a transform that does not exist without an error")
    same(run.outcome.state, "FAILED", "the job whose bundle met an error of the state plane", rule="P-CTL-19")
    text = run.outcome.error_text
    holds(
        bool(errors) and errors[0] in text,
        "the text of the state plane's error is not in what the job says of its failure",
        expected=errors[:1],
        observed=text,
        rule="I-CTL-27",
    )


def _responses(events: list[Event]) -> list[Event]:
    return [event for event in events if event.kind == "StateResponse"]
