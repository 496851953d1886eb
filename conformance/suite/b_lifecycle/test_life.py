"""The life of functions: setup, bundles, teardown; output at the edges of bundles; options; large elements."""

from __future__ import annotations

from typing import Any

import pytest

from conformance.harness import Session
from conformance.harness.invariants import discarded
from conformance.pipeline import Fn, Program, coders, state, windowing
from conformance.suite.assertions import asserts
from conformance.suite.b_lifecycle.functions import EmitAtStart  # noqa: F401  (registers the function)
from conformance.suite.b_lifecycle.reading import lives, recorded
from conformance.suite.c_windowing.reading import SECOND, bounds, window_groups
from conformance.suite.case import Case, Scenario
from conformance.suite.checks import holds, same, same_multiset
from conformance.suite.execution import RunnerUnderTest, raise_unless_done

PAIRS = coders.kv(coders.STRING, coders.VARINT)
#: Above gRPC's limit of 4 MiB.
LARGE = 6_000_000
#: How long a runner may take to let a worker go after the end of a job, in seconds.
LET_GO = 10.0


def _two_stages(program: Program) -> None:
    pairs = program.create([("a", 1), ("b", 2), ("a", 3)]).par_do(Fn("identity"))
    pairs.group_by_key().par_do(Fn("drop"), coders.BYTES)


@asserts("LIFE01/setup-before-first-bundle", alone=True)
def test_setup_first(case: Case) -> Scenario:
    _two_stages(case.program)
    run = yield
    found = lives(run)
    holds(bool(found), "no function was ever set up", rule="M-BNDL-08")
    for events in found.values():
        names = [event.event for event in events]
        holds(
            names[0] == "setup" and names.count("setup") == 1,
            f"an instance of {events[0].fn} lived {names}; expected one setup, first",
            observed=names,
            rule="M-BNDL-08",
        )


@asserts("LIFE02/every-bundle-finishes", alone=True)
def test_every_bundle_finishes(case: Case) -> Scenario:
    numbers = case.program.create([20]).par_do(Fn("flat_map", expr=["range", ["value"]]), coders.VARINT)
    keyed = numbers.par_do(Fn("key_by", expr=["%", ["value"], 7]), coders.kv(coders.VARINT, coders.VARINT))
    keyed.group_by_key().par_do(Fn("identity")).observe("out")
    run = yield
    same(run.groups("out"), {key: list(range(key, 20, 7)) for key in range(7)}, "the groups", rule="M-XF-18")
    started = [(event.instance, event.bundle) for event in run.session.observations.events if event.event == "start"]
    finished = [(event.instance, event.bundle) for event in run.session.observations.events if event.event == "finish"]
    same_multiset(finished, started, "bundles that finished, of those that started", rule="M-XF-18")


@asserts("LIFE02/one-bundle-an-instance-at-a-time", alone=True)
def test_one_bundle_at_a_time(case: Case) -> Scenario:
    _two_stages(case.program)
    run = yield
    found = lives(run)
    holds(any(event.event == "start" for events in found.values() for event in events), "no bundle was started", rule="M-BNDL-08")
    for events in found.values():
        within = [event for event in events if event.event in ("start", "finish")]
        for opened, closed in zip(within[::2], within[1::2], strict=True):
            same(
                (opened.event, closed.event, opened.bundle),
                ("start", "finish", closed.bundle),
                f"the edges of bundles in the life of {opened.fn}",
                rule="M-BNDL-08",
            )


def _let_go(runner: RunnerUnderTest, build: Any, label: str, *, done: bool) -> None:
    """Run a job, wait until the runner has let its workers go, and compare setups with teardowns."""
    __tracebackhide__ = True
    program = Program(label)
    build(program)
    with Session() as session, runner.client(session.transcript) as client:
        outcome = client.run_job(program.build(session.environment()), options=runner.job_options(), job_name=label)
        if done:
            raise_unless_done(outcome)
        else:
            outcome.raise_for_error()
        ended = session.wait_ended(LET_GO * runner.settings.timeout_scale)
        events = list(session.observations.events)
    holds(ended, f"a worker was still held {LET_GO:g} s after the job had ended {outcome.state}", rule="P-CH-11")
    instances = {kind: {event.instance for event in events if event.event == kind} for kind in ("setup", "teardown")}
    missing = {event.fn for event in events if event.instance in instances["setup"] - instances["teardown"]}
    failed = set() if done else {"fail"}
    same(missing - failed, set(), "functions that were set up and never torn down", rule="M-BNDL-08")


@asserts("LIFE03/workers-let-go")
def test_teardown_after_success(runner: RunnerUnderTest) -> None:
    _let_go(runner, _two_stages, "LIFE03/workers-let-go", done=True)


@asserts("LIFE04/workers-let-go-after-failure")
@pytest.mark.parametrize("place", ["setup", "start", "process", "finish"])
def test_teardown_after_failure(runner: RunnerUnderTest, place: str) -> None:
    def build(program: Program) -> None:
        groups = program.create([("a", 1), ("b", 2)]).par_do(Fn("identity")).group_by_key()
        groups.par_do(Fn("identity")).par_do(Fn("fail", text="meant to fail", on=place)).par_do(Fn("drop"), coders.BYTES)

    _let_go(runner, build, "LIFE04/workers-let-go-after-failure", done=False)


@asserts("LIFE05/output-from-finish")
def test_output_from_finish(case: Case) -> Scenario:
    times = [1 * SECOND, 2 * SECOND, 12 * SECOND, -1]
    pairs = [("a", 1), ("a", 2), ("a", 3), ("b", 4)]
    created = case.program.create(pairs, timestamps=times, window=windowing.fixed(10 * SECOND))
    late = created.par_do(Fn("emit_at_finish"))
    late.observe("elements")
    late.group_by_key().observe("groups")
    run = yield
    seen = [(each.value, each.timestamp, bounds(each.window)) for each in run.seen("elements")]
    starts = [0, 0, 10 * SECOND, -10 * SECOND]
    wanted = [(pair, time, (start, start + 10 * SECOND)) for pair, time, start in zip(pairs, times, starts, strict=True)]
    same_multiset(seen, wanted, "values, timestamps and windows of what finish_bundle emitted", rule="M-XF-18")
    expected = {("a", 0, 10_000): [1, 2], ("a", 10_000, 20_000): [3], ("b", -10_000, 0): [4]}
    same(window_groups(run, "groups"), expected, "groups of what finish_bundle emitted", rule="M-XF-18")


@asserts("LIFE06/output-from-start", alone=True)
def test_output_from_start(case: Case) -> Scenario:
    created = case.program.create([1, 2, 3])
    marked = created.par_do(Fn("emit_at_start", timestamp=5000), PAIRS)
    marked.observe("elements")
    marked.group_by_key().observe("groups")
    run = yield
    events = run.session.observations.events
    lost = discarded(run.transcript)
    began = {(event.worker, event.bundle) for event in events if event.event == "start" and event.fn == "emit_at_start"}
    bundles = began - lost
    expected = {"start": [1] * len(bundles), "element": [1, 1, 1]}
    same(run.groups("groups"), expected, "one element a bundle from start_bundle, beside the others", rule="M-XF-18")
    times = {seen.timestamp for seen in run.seen("elements") if seen.value[0] == "start"}
    same(times, {5000}, "timestamps of what start_bundle emitted", rule="M-XF-18")


@asserts("LIFE15/options-reach-workers", alone=True)
def test_options_reach_workers(case: Case) -> Scenario:
    given: dict[str, Any] = {
        "conformance_text": "é \u65e5",
        "conformance_flag": True,
        "conformance_number": 0.5,
        "conformance_list": ["a", "", "b"],
        "conformance_map": {"k": {"l": ["m"]}, "empty": ""},
    }
    case.options = given
    case.program.create([1]).observe("out")
    run = yield
    answers = [event.to_json() for event in recorded(run).events(plane="provision", kind="GetProvisionInfoResponse")]
    holds(bool(answers), "no worker was offered provision information", rule="P-BOOT-03")
    for answer in answers:
        options = answer["message"].get("info", {}).get("pipeline_options", {})
        options = options.get("options", options)
        found = {name: options.get(f"beam:option:{name}:v1", options.get(name)) for name in given}
        same(found, given, "the options that reached a worker", rule="P-BOOT-03")


def _large(program: Program, name: str) -> Any:
    return program.create(["k"], name=name).par_do(Fn("large", size=LARGE), coders.BYTES, name=f"{name}_large")


_LENGTH = Fn("map", expr=["len", ["value"]])


@asserts("LIFE16/large-element-through-grouping")
def test_large_through_grouping(case: Case) -> Scenario:
    keyed = _large(case.program, "source").par_do(Fn("with_key", key="k"), coders.kv(coders.STRING, coders.BYTES))
    values = keyed.group_by_key().par_do(Fn("flat_map", expr=["val"]), coders.BYTES)
    values.par_do(_LENGTH, coders.VARINT).observe("out")
    run = yield
    same(run.values("out"), [LARGE], "the size of a large element behind a GroupByKey", rule="P-CH-08")


@asserts("LIFE16/large-key")
def test_large_key(case: Case) -> Scenario:
    keyed = _large(case.program, "source").par_do(
        Fn("map", expr=["kv", ["value"], 1]), coders.kv(coders.BYTES, coders.VARINT), name="key"
    )
    keyed.group_by_key().par_do(Fn("map", expr=["len", ["key"]]), coders.VARINT).observe("out")
    run = yield
    same(run.values("out"), [LARGE], "the size of a large key behind a GroupByKey", rule="P-CH-08")


@asserts("LIFE16/large-element-as-side-input")
def test_large_side_input(case: Case) -> Scenario:
    side = _large(case.program, "source")
    pairs = coders.kv(coders.VARINT, coders.iterable(coders.BYTES))
    beside = case.program.create([1], name="main").par_do(
        Fn("side_values", side="side"), pairs, side_inputs={"side": side.as_iterable()}
    )
    beside.par_do(Fn("map", expr=["len", ["get", ["get", ["value"], 1], 0]]), coders.VARINT).observe("out")
    run = yield
    same(run.values("out"), [LARGE], "the size of a large element of a side input", rule="P-CH-08")


@asserts("LIFE16/large-value-in-state")
def test_large_state(case: Case) -> Scenario:
    keyed = case.program.create([("k", 1)], timestamps=[1000], window=windowing.fixed(10 * SECOND))
    program = Fn(
        "program",
        on_element=[["do", "cell", "add", ["bytes", LARGE]], ["set", "end", ["max"]]],
        on_timer={"end": [["emit", ["len", ["get", ["cell", "cell", "read"], 0]]]]},
    )
    keyed.par_do(program, coders.VARINT, state={"cell": state.bag(coders.BYTES)}, timers={"end": "event"}).observe("out")
    run = yield
    same(run.values("out"), [LARGE], "the size of a large value of user state", rule="P-CH-08")
