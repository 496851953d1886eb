"""Functions that speak the state plane themselves: bare requests, well-formed or impossible, and what came back for each.

A step is {"do": "get" | "append" | "clear", "on": a field of StateKey, …}. Fields of the key default to those of the cell at hand;
"fields" overrides them, "data" and "token" go into the request, "instruction" replaces the bundle's own id, and a step with
"wait": False is answered for only after the last one. Each answer is reported as an `Answer`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from attrs import frozen

from conformance.harness.api import DoFn
from conformance.harness.context import Context
from conformance.harness.functions import dofn
from conformance.harness.state import Pending
from conformance.pipeline import Fn, PCollection, coders
from conformance.pipeline.builder import ParDoOptions
from conformance.pipeline.values import from_json, to_json
from conformance.suite.case import Case
from conformance.wire import coders as wire
from conformance.wire.api import fn_pb2

__all__ = ["GROUP_TWICE", "IMPOSSIBLE_READ", "PATIENCE", "RAW_PAGES", "STATE_LOOP", "Answer", "ask"]

RAW_PAGES, STATE_LOOP, GROUP_TWICE = "suite_raw_pages", "suite_state_loop", "suite_group_twice"
IMPOSSIBLE_READ = "suite_impossible_read"

#: Seconds that a state request may take; real ones take a millisecond.
PATIENCE = 5.0


@frozen
class Answer:
    """What came back: `kind` is get, append, clear, error, silence (nothing in time) or ended (the stream went away)."""

    kind: str
    data: bytes = b""
    token: bytes = b""
    error: str = ""

    @property
    def answered(self) -> bool:
        return self.kind not in ("silence", "ended")


def ask(case: Case, keyed: PCollection, steps: Sequence[Mapping[str, Any]], observer: str = "out", **options: Any) -> PCollection:
    """A ParDo that takes `steps` for every element and reports (key, answers) under `observer`."""
    known: ParDoOptions = {**options}  # type: ignore[typeddict-item]
    fn = Fn("suite_raw_state", observer=case.program.prefix + observer, steps=[to_json(dict(step)) for step in steps])
    return keyed.par_do(fn, coders.BYTES, **known)


def _key(ctx: Context, kind: str, fields: Mapping[str, Any]) -> fn_pb2.StateKey:
    key = fn_pb2.StateKey()
    body = getattr(key, kind)
    body.SetInParent()
    names = body.DESCRIPTOR.fields_by_name
    filled: dict[str, Any] = {"transform_id": ctx.transform_id, **fields}
    if "user_state_id" in names:
        filled = {"key": ctx.op._key_bytes(ctx.key), **filled}
    for name, value in filled.items():
        if name == "range":
            body.range.start, body.range.end = value
        elif name in names:
            setattr(body, name, value)
    return key


def _send(ctx: Context, step: Mapping[str, Any]) -> Pending:
    state = ctx.run.state
    request = fn_pb2.StateRequest(
        instruction_id=step.get("instruction") or state.instruction_id, state_key=_key(ctx, step["on"], step.get("fields", {}))
    )
    if step["do"] == "get":
        request.get.continuation_token = step.get("token", b"")
    elif step["do"] == "append":
        request.append.data = step["data"]
    else:
        request.clear.SetInParent()
    return state.plane.send(state.url, request)


def _wait(pending: Pending) -> Answer:
    try:
        response = pending.wait(PATIENCE)
    except TimeoutError:
        return Answer("silence")
    if response is None:
        return Answer("ended")
    if response.error:
        return Answer("error", error=response.error)
    return Answer(response.WhichOneof("response") or "", response.get.data, response.get.continuation_token)


def _whole(ctx: Context, step: Mapping[str, Any], answer: Answer) -> Answer:
    """An answer with all further pages behind it, however small they are (P-STATE-06); a step with a token is about that page."""
    while answer.kind == "get" and answer.token and "token" not in step:
        page = _wait(_send(ctx, {**step, "token": answer.token}))
        if page.kind != "get":
            return page
        answer = Answer("get", answer.data + page.data, page.token)
    return answer


@dofn("suite_raw_state")
def raw_state(ctx: Context, observer: str, steps: list[Any]) -> None:
    """Takes the steps and reports (key, answers)."""
    steps = from_json(steps)
    found: list[Answer | Pending] = []
    for step in steps:
        pending = _send(ctx, step)
        found.append(_whole(ctx, step, _wait(pending)) if step.get("wait", True) else pending)
    answers = [
        each if isinstance(each, Answer) else _whole(ctx, step, _wait(each)) for step, each in zip(steps, found, strict=True)
    ]
    ctx.observe(observer, (ctx.key, answers))


@dofn(RAW_PAGES)
def raw_pages(ctx: Context, observer: str, count: int, size: int) -> None:
    """Fills the bag "b" with `count` byte strings of `size` bytes, each other than the rest, and reports twice what its pages hold:
    (key, [whether each page is whole elements, the elements in the first reading, whether the second equals it])."""
    cell = ctx.state("b")
    for number in range(count):
        cell.add(number.to_bytes(4, "big").ljust(size, b"."))
    key = fn_pb2.StateKey(
        bag_user_state=fn_pb2.StateKey.BagUserState(
            transform_id=ctx.transform_id, user_state_id="b", key=ctx.op._key_bytes(ctx.key)
        )
    )
    readings = [list(ctx.run.state.pages(key)) for _ in range(2)]
    whole = all(_elements(page, size) is not None for page in readings[0])
    first, second = (_elements(b"".join(pages), size) for pages in readings)
    ctx.observe(observer, (ctx.key, [whole, first, first == second]))


def _elements(data: bytes, size: int) -> list[int] | None:
    """The numbers of length-prefixed byte strings of `size` bytes; None if `data` is not whole ones."""
    try:
        values = wire.bytes_coder().decode_all(data)
    except wire.CoderError:
        return None
    return [int.from_bytes(value[:4], "big") for value in values] if all(len(value) == size for value in values) else None


@dofn(STATE_LOOP)
class StateLoop(DoFn):
    """Writes the bag "b" over several bundles: a timer loop that reports (fire, what the bag held), clears it at `clear`, adds the
    fire timestamp, and goes on until `stop`."""

    def __init__(self, observer: str, clear: int, stop: int) -> None:
        self.observer, self.clear, self.stop = observer, clear, stop

    def process(self, ctx: Context) -> None:
        ctx.state("b").add(0)
        ctx.timers("t").set(10)

    def on_timer(self, ctx: Context) -> None:
        assert ctx.timer is not None
        fire, bag = ctx.timer.fire_timestamp, ctx.state("b")
        ctx.observe(self.observer, (fire, sorted(bag.read())))
        if fire == self.clear:
            bag.clear()
        bag.add(fire)
        if fire < self.stop:
            ctx.timers("t").set(fire + 10)


@dofn(GROUP_TWICE)
def group_twice(ctx: Context, observer: str) -> None:
    """Iterates a group twice and reports (key, [how many values each time, how many different ones each time, bytes each time])."""
    key, group = ctx.value
    readings = []
    for _ in range(2):
        values = list(group)
        readings.append((len(values), len(set(values)), sum(map(len, values))))
    ctx.observe(observer, (key, readings))


@dofn(IMPOSSIBLE_READ)
def impossible_read(ctx: Context) -> Iterator[Any]:
    """Reads state of a transform that does not exist, as a function with a bug would; an error answer fails the bundle."""
    key = fn_pb2.StateKey(
        bag_user_state=fn_pb2.StateKey.BagUserState(
            transform_id="no-such-transform", user_state_id="no-such-state", key=ctx.op._key_bytes(ctx.key)
        )
    )
    ctx.run.state.read(key)
    yield ctx.value
