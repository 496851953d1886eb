"""Variants: each does what it says, as the wire shows, each owes the same answers, and they combine."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from attrs import frozen
from hypothesis import given
from hypothesis import strategies as st

from conformance.harness import capabilities, invariants
from conformance.harness.invariants.elements import Book
from conformance.harness.invariants.index import Bundle, Index
from conformance.harness.session import Session
from conformance.pipeline import Fn, Program, coders, triggers, windowing
from conformance.pipeline import state as cells
from conformance.pipeline.teststream import Elements, Watermark
from conformance.runner import environments, serve, variants
from conformance.runner.engine_events import BundleDiscarded, Residual
from conformance.runner.habits import Habits
from conformance.runner.variants import RANDOM, VARIANTS
from conformance.wire import urns
from conformance.wire.api import pipeline_pb2 as pb
from tests.runner.conftest import Client, Outcome
from tests.runner.lab import Lab, element, kv

P = urns.Protocol
KV = coders.kv(coders.STRING, coders.VARINT)
JSON_KV = coders.kv(coders.STRING, coders.JSON)
KEYS = "abcdef"


@frozen
class Ran:
    """A job that ended, and what can be read of it."""

    session: Session
    outcome: Outcome
    metrics: Any

    @property
    def index(self) -> Index:
        return Index(self.session.transcript.events())

    def asked(self, kind: str) -> list[Any]:
        """The instructions of a kind that the runner sent."""
        return [each.request for each in self.index.instructions if each.kind == kind]

    def bundles(self) -> list[Bundle]:
        return self.index.executed()

    def sizes(self) -> list[int]:
        """How many elements each bundle was given."""
        index = self.index
        book = Book(index)
        return [sum(len(load.elements) for load in book.inputs(bundle).values()) for bundle in index.executed()]

    def pages(self) -> list[Any]:
        events = self.session.transcript.events("state", direction="R->S", kind="StateResponse")
        return [each.message.get for each in events if each.message.WhichOneof("response") == "get"]

    def transforms(self) -> list[set[str]]:
        """The transform URNs of each stage that was fetched, ports aside."""
        stages = [each[0].message for each in self.index.descriptors.values()]
        ports = {urns.Runner.DATA_SOURCE, urns.Runner.DATA_SINK}
        return [{each.spec.urn for each in stage.transforms.values()} - ports for stage in stages]

    def seen(self) -> dict[str, list[str]]:
        return {name: sorted(map(repr, self.session.observations.values_of(name))) for name in self.session.observations}


@contextmanager
def served(variant: str | None, seed: int = 0) -> Iterator[Client]:
    with serve(variant=variant, seed=seed) as server:
        client = Client(server)
        yield client
        client.channel.close()


def run(
    variant: str | None, program: Program, seed: int = 0, declared: Any = capabilities.EVERYTHING, embeds: bool = True
) -> Ran:
    with served(variant, seed) as client, Session(declared) as session:
        session.embed_outputs = embeds
        pipeline = program.build(session.environment())
        outcome = client.run(pipeline)
        metrics = client.metrics(outcome.id)
        session.close()
        found = [each for each in invariants.check(session.transcript, pipeline) if each.level == "MUST"]
        assert found == [], found
        return Ran(session, outcome, metrics)


def everything() -> Program:
    """A bit of all: grouping, combining, state, timers, side inputs, finalization, several elements in a bundle."""
    program = Program()
    pairs = program.create([(key, number) for number, key in enumerate(KEYS * 2, 10)], KV, name="pairs")
    pairs.group_by_key("group").par_do(Fn("sorted_values"), name="sorted").observe("groups")
    pairs.combine_per_key(Fn("sum"), coders.VARINT, coders.VARINT, name="sum").observe("sums")
    on_element = [["do", "s", "add", ["val"]], ["set", "t", ["max"]]]
    fn = Fn("program", on_element=on_element, on_timer={"t": [["read", "n", "s", "read"]]})
    state, timers = {"s": cells.bag(coders.VARINT)}, {"t": "event"}
    pairs.par_do(fn, JSON_KV, name="keyed", state=state, timers=timers).observe("keyed")
    side = program.create([1, 2, 3, 4, 5], coders.VARINT, name="side")
    main = program.flatten([program.create([number], coders.VARINT, name=f"main{number}") for number in range(3)])
    main.par_do(Fn("side_values", side="s"), coders.JSON, name="look", side_inputs={"s": side.as_iterable()}).par_do(
        Fn("map", expr=["len", ["get", ["value"], 1]]), coders.VARINT, name="count"
    ).observe("looked")
    pairs.redistribute_arbitrarily().par_do(Fn("finalizer", observer="final"), name="ask", requests_finalization=True).observe(
        "asked"
    )
    return program


#: What `everything` yields. How many elements a finalizer counted in a bundle depends on its size.
EXPECTED = {
    "groups": sorted(repr((key, [number, number + 6])) for number, key in enumerate(KEYS, 10)),
    "sums": sorted(repr((key, 2 * number + 6)) for number, key in enumerate(KEYS, 10)),
    "looked": ["5"] * 3,
    "asked": sorted(repr((key, number)) for number, key in enumerate(KEYS * 2, 10)),
}


def yielded(ran: Ran) -> bool:
    seen = ran.seen()
    keyed = ran.session.observations.values_of("keyed")
    sums = sorted((key, sorted(record["reads"][0][1])) for key, record in keyed if record.get("reads"))
    assert sums == [(key, [number, number + 6]) for number, key in enumerate(KEYS, 10)]
    return {name: seen[name] for name in EXPECTED} == EXPECTED


# ---- what each variant looks like; none of it is seen without it


def _keys(ran: Ran) -> str:
    """The keys in the order in which they came behind the redistribution."""
    return "".join(value[0] for value in ran.session.observations.values_of("asked"))


def _timer_keys(ran: Ran) -> list[str]:
    return [key for key, record in ran.session.observations.values_of("keyed") if record.get("reads")]


def _orders(ran: Ran) -> bool:
    return _keys(ran) != KEYS * 2


def _bundles_twice(ran: Ran) -> bool:
    bundles = ran.bundles()
    return sum(bundle.discarded for bundle in bundles) * 2 == len(bundles)


def _late(ran: Ran) -> bool:
    index = ran.index
    finalizes = [each.seq for each in index.instructions if each.kind == "finalize_bundle"]
    return bool(finalizes) and min(finalizes) > max(bundle.answered for bundle in index.executed())


def _one_by_one(ran: Ran) -> bool:
    bundles = sorted(ran.bundles(), key=lambda bundle: bundle.seq)
    return all(one.answered < other.seq for one, other in itertools.pairwise(bundles))


def _single_entries(ran: Ran) -> bool:
    messages = [each.message for each in ran.session.transcript.events("data", direction="R->S", kind="Elements")]
    return all(len(message.data) == 1 for message in messages if any(each.data for each in message.data))


#: Name → (what is to be seen on `everything`, what the harness declares).
LOOKS: dict[str, tuple[Callable[[Ran], bool], Any]] = {
    "answers-without-data": (
        lambda ran: bool(ran.session.transcript.events("data", direction="S->R", kind="Elements")),
        capabilities.EVERYTHING,
    ),
    "attempted-only": (lambda ran: bool(ran.metrics.attempted) and not ran.metrics.committed, capabilities.EVERYTHING),
    "embedding-off": (
        lambda ran: not any(each.process_bundle.HasField("elements") for each in ran.asked("process_bundle")),
        capabilities.EVERYTHING,
    ),
    "empty-first-page": (
        lambda ran: any(not each.data and each.continuation_token for each in ran.pages()),
        capabilities.EVERYTHING,
    ),
    "every-bundle-twice": (_bundles_twice, capabilities.EVERYTHING),
    "late-finalization": (_late, capabilities.EVERYTHING),
    "named-streams": (
        lambda ran: len({each.process_bundle.data_stream_id for each in ran.asked("process_bundle")}) == 3,
        capabilities.EVERYTHING,
    ),
    "never-lifted": (
        lambda ran: not any(urns.Transform.COMBINE_PER_KEY_PRECOMBINE in each for each in ran.transforms()),
        capabilities.EVERYTHING,
    ),
    "no-caching": (
        lambda ran: not any(each.process_bundle.cache_tokens for each in ran.asked("process_bundle")),
        capabilities.EVERYTHING,
    ),
    "one-bundle-at-a-time": (_one_by_one, capabilities.EVERYTHING),
    "one-element-bundles": (lambda ran: set(ran.sizes()) <= {0, 1}, capabilities.EVERYTHING),
    "page-size-one": (lambda ran: sum(bool(each.continuation_token) for each in ran.pages()) >= 4, capabilities.EVERYTHING),
    "random-bundles": (lambda ran: len({size for size in ran.sizes() if size} & {1, 2, 3, 5, 8}) >= 3, capabilities.EVERYTHING),
    "retry-after-injected-failure": (
        lambda ran: (
            any(bundle.discarded for bundle in ran.bundles()) and any("on purpose" in each for each in ran.outcome.messages)
        ),
        capabilities.EVERYTHING,
    ),
    "reversed-elements": (lambda ran: _keys(ran) == (KEYS * 2)[::-1], capabilities.EVERYTHING),
    "reversed-timers": (lambda ran: _timer_keys(ran) == list(reversed(KEYS)), capabilities.EVERYTHING),
    "short-ids-off": (
        lambda ran: all(bundle.response.monitoring_infos for bundle in ran.bundles()),
        capabilities.EVERYTHING,
    ),
    "shuffled-elements": (_orders, capabilities.EVERYTHING),
    "small-messages": (_single_entries, capabilities.DEFAULT),
    "terse-states": (lambda ran: ran.outcome.states == ["STOPPED", "RUNNING", "DONE"], capabilities.EVERYTHING),
    "three-element-bundles": (lambda ran: max(ran.sizes()) == 3, capabilities.EVERYTHING),
    "three-workers": (lambda ran: len({bundle.worker for bundle in ran.bundles()}) == 3, capabilities.EVERYTHING),
    "unfused": (lambda ran: all(len(each) <= 1 for each in ran.transforms()), capabilities.EVERYTHING),
}


@pytest.mark.parametrize("name", sorted(LOOKS))
def test_a_variant_is_seen_on_the_wire_and_changes_no_answer(name):
    looks, declared = LOOKS[name]
    varied, plain = run(name, everything(), declared=declared), run(None, everything(), declared=declared)
    assert varied.outcome.state == plain.outcome.state == "DONE"
    assert yielded(plain)
    assert yielded(varied)
    assert looks(varied)
    assert not looks(plain)


def test_large_input_is_embedded_too():
    program = Program()
    program.create([("k", "x" * 100_000)]).group_by_key().par_do(Fn("sorted_values"), name="sorted").observe("o")

    def embedded(ran: Ran) -> bool:
        return all(each.process_bundle.HasField("elements") for each in ran.asked("process_bundle"))

    assert embedded(run("embedding-on", program))
    assert not embedded(run(None, program))
    assert not embedded(run("embedding-on", program, declared=capabilities.DEFAULT))


# ---- failures


@pytest.mark.parametrize(("variant", "attempts"), [(None, 3), ("no-retries", 1), ("many-retries", 10)])
def test_how_often_a_bundle_that_fails_is_tried(variant, attempts):
    program = Program()
    made = program.create([1], coders.VARINT).redistribute_arbitrarily()
    made.par_do(Fn("fail", text="division by cucumber"), name="broken").observe("o")
    ran = run(variant, program)
    assert ran.outcome.state == "FAILED"
    assert sum(bundle.failed for bundle in ran.bundles()) == attempts


@pytest.mark.parametrize("variant", ["every-bundle-twice", "retry-after-injected-failure"])
def test_what_is_thrown_away_leaves_nothing(variant):
    """Neither state nor timers, outputs, metrics, splits or finalizations; the asking for merged and mapped windows counts once too."""
    program = everything()
    gaps = windowing.custom(Fn("value_gap"), coders.INTERVAL_WINDOW, merging=True)
    made = program.create([("k", 10), ("k", 5), ("k", 3)], KV, [0, 8, 30], name="gaps").window_into(gaps)
    made.group_by_key("merged").par_do(Fn("sorted_values"), name="sort").observe("merged")
    sdf = Fn("range", splits=2, every=2, delay=1)
    numbers = program.create([5, 7], coders.VARINT, name="sizes")
    pairs = coders.kv(coders.VARINT, coders.VARINT)
    numbers.par_do(sdf, pairs, name="sdf", restriction_coder=coders.OFFSET_RANGE).observe("positions")
    ran = run(variant, program, seed=3)
    assert yielded(ran)
    assert ran.seen()["merged"] == sorted(map(repr, [("k", [10, 5]), ("k", [3])]))
    assert ran.seen()["positions"] == sorted(repr((size, position)) for size in (5, 7) for position in range(size))
    assert sum(count for _, count in ran.session.observations.values_of("final")) == len(KEYS * 2)
    finalized = {each.finalize_bundle.instruction_id for each in ran.asked("finalize_bundle")}
    assert finalized == {bundle.id for bundle in ran.bundles() if not bundle.discarded}


def test_state_is_not_read_from_the_cache_of_a_worker_that_did_not_write_last():
    program = Program()
    made = program.create([("k", number) for number in range(12)], KV)
    on_element = [["read", "n", "s", "read"], ["do", "s", "add", ["val"]]]
    made.par_do(Fn("program", on_element=on_element), JSON_KV, name="keyed", state={"s": cells.bag(coders.VARINT)}).observe("o")
    ran = run("three-workers+one-element-bundles", program, seed=5)
    reads = sorted(len(record["reads"][0][1]) for _, record in ran.session.observations.values_of("o"))
    assert reads == list(range(12))


def test_the_bundles_of_a_lost_worker_run_on_another():
    with served("three-workers") as client, Session() as session:
        program = Program()
        made = program.create([1, 2, 3], coders.VARINT).redistribute_arbitrarily()
        made.par_do(Fn("identity"), coders.VARINT, name="victim").observe("o")
        session.script.add("exit", transform="victim", at=0, times=1)
        outcome = client.run(program.build(session.environment()))
    assert outcome.state == "DONE", outcome.errors
    assert any("ended its Control stream" in each and "tried again" in each for each in outcome.messages)
    assert sorted(session.observations.values_of("o")) == [1, 2, 3]


# ---- splits and progress


def _gated(client: Client, session: Session, waits: Any = True) -> str:
    program = Program()
    made = program.create([1, 2, 3, 4], coders.VARINT).redistribute_arbitrarily()
    made.par_do(Fn("wait_at", gate="g", expr=waits), name="wait").observe("o")
    return client.start(program.build(session.environment()))


def _asked(session: Session, kind: str) -> int:
    requests = session.transcript.events("control", "Control", "R->S", kind="InstructionRequest")
    return sum(each.message.WhichOneof("request") == kind for each in requests)


def _until_asked(session: Session, kind: str, times: int = 1) -> None:
    deadline = time.monotonic() + 30
    while _asked(session, kind) < times:
        assert time.monotonic() < deadline, f"no {kind} came"
        session.observations.wait_for("o", 1, 0.02)  # nothing comes before the gate opens


def test_bundles_that_wait_are_asked_for_splits_and_progress_or_not():
    """The plain runner asks after a while; by then the variants would have, that do not."""
    names = [None, "no-splits", "no-progress", "eager-splits"]
    with served(None) as plain, served("no-splits") as unsplit, served("no-progress") as silent, served("eager-splits") as eager:
        clients = [plain, unsplit, silent, eager]
        sessions = [Session() for _ in clients]
        jobs = [_gated(client, session) for client, session in zip(clients, sessions, strict=True)]
        assert all(session.gates.arrived("g") for session in sessions)
        for number in (0, 2, 3):
            _until_asked(sessions[number], "process_bundle_split")
        _until_asked(sessions[0], "process_bundle_progress")
        asked = {
            name: (_asked(session, "process_bundle_split") > 0, _asked(session, "process_bundle_progress") > 0)
            for name, session in zip(names, sessions, strict=True)
        }
        for session in sessions:
            session.gates.open("g")
        assert [client.wait(job).state for client, job in zip(clients, jobs, strict=True)] == ["DONE"] * 4
        for session in sessions:
            session.close()
            assert sorted(session.observations.values_of("o")) == [1, 2, 3, 4]
    assert asked[None] == (True, True)
    assert asked["no-splits"] == (False, False)
    assert asked["no-progress"] == (True, False)
    assert asked["eager-splits"][0]


def test_a_bundle_that_could_not_be_split_is_asked_again():
    """An empty answer may mean "not yet": Java's harness gives it before it has begun the bundle (P-SPL-03)."""
    with served(None) as client:
        session = Session()
        job = _gated(client, session, ["==", ["value"], 4])  # nothing is left behind the last one
        _until_asked(session, "process_bundle_split", 2)
        session.gates.open("g")
        assert client.wait(job).state == "DONE"
        session.close()
        assert sorted(session.observations.values_of("o")) == [1, 2, 3, 4]


# ---- watermarks and views


def _estimating() -> Program:
    program = Program()
    made = program.create([1], coders.VARINT).par_do(
        Fn("range"), KV, name="sdf", restriction_coder=coders.OFFSET_RANGE, bounded=False
    )
    made.window_into(windowing.fixed(10)).group_by_key("group")
    return program


@pytest.mark.parametrize(("variant", "believed"), [(None, 1234), ("watermark-coarse", 1200)])
def test_how_much_of_a_reported_watermark_is_believed(variant, believed):
    lab = Lab(_estimating(), VARIANTS[variant]() if variant else None)
    lab.answer("create", {lab.plan.nodes[1].sinks[next(iter(lab.plan.nodes[1].sinks))]: [element(b"\x00", 0)]})
    stage = next(each for each in lab.plan.stages() if "sdf" in each.transforms)
    (output,) = stage.split_outputs.values()
    lab.answer("sdf", residuals=(Residual("sdf", "in", b"", 10_000, dict.fromkeys(stage.split_outputs, 1234)),))
    assert lab.engine.context.watermarks[next(iter(stage.sinks.values()))] == believed
    assert output


@pytest.mark.parametrize(("variant", "steps"), [(None, 1), ("watermark-fine", 3)])
def test_how_far_a_watermark_runs_at_a_time(variant, steps):
    """How many steps of the engine it takes until the last of three groupings in a row sees a watermark."""
    rules = VARIANTS[variant]() if variant else None
    program = Program()
    stream = program.test_stream([Watermark(10)], KV)
    for number in range(3):
        stream = stream.group_by_key(f"group{number}")
        stream = stream.par_do(Fn("ungroup"), KV, name=f"ungroup{number}")
    lab = Lab(program, rules)
    assert lab.done
    script, *rest = lab.engine.nodes
    seen: list[list[int]] = []
    fresh = Lab(program, rules).engine
    for run_ in fresh.nodes:
        run_.watermark_in = run_.watermark_out = 0
    fresh.context.watermarks = dict.fromkeys(fresh.context.watermarks, 0)
    fresh.context.watermarks[script.outputs[0]] = 50
    nodes = fresh.nodes[1:]
    while not seen or seen[-1] != [each.watermark_in for each in nodes]:
        seen.append([each.watermark_in for each in nodes])
        fresh._refresh(nodes)
    assert rest
    moved = [state for state in seen if any(state)]
    assert (len(moved) == 1) == (steps == 1)


def test_a_discarding_view_shows_all_panes():
    events = [
        Elements([("a", 1)], tag="main"),
        *[each for text in "xy" for each in (Elements([(text, 1)], tag="side"), Elements([(f"after {text}", 2)], tag="main"))],
    ]
    program = Program()
    outputs = program.test_stream(events, {"main": coders.STRING, "side": coders.STRING})
    each = triggers.repeatedly(triggers.after_count(1))
    view = outputs["side"].window_into(windowing.global_windows(), name="side", trigger=each).as_iterable()
    outputs["main"].par_do(Fn("side_values", side="s"), coders.JSON, name="look", side_inputs={"s": view}).observe("o")
    assert run("union-views", program).session.observations.values_of("o")[-1] == ("after y", ["x", "y"])
    assert run(None, program).session.observations.values_of("o")[-1] == ("after y", ["y"])


# ---- environments


def test_of_several_environments_the_last_kind_is_taken():
    kinds = {
        urns.Env.EXTERNAL: pb.ExternalPayload(endpoint={"url": "localhost:1"}),
        urns.Env.PROCESS: pb.ProcessPayload(command="sdk"),
    }
    offered = [pb.Environment(urn=urn, payload=payload.SerializeToString()) for urn, payload in kinds.items()]
    either = pb.Environment(urn=urns.Env.ANYOF, payload=pb.AnyOfEnvironmentPayload(environments=offered).SerializeToString())
    assert environments.resolve(either).urn == urns.Env.EXTERNAL
    last = VARIANTS["last-environment"]()
    assert environments.resolve(either, None, last.environment_preference).urn == urns.Env.PROCESS


# ---- names, combinations


ELSEWHERE = {
    "eager-splits",
    "embedding-on",
    "last-environment",
    "many-retries",
    "no-progress",
    "no-retries",
    "no-splits",
    "triggers-asked-late",  # test_sequences
    "union-views",
    "watermark-coarse",
    "watermark-fine",
}


def test_every_variant_is_tested_here_and_tells_its_rule():
    assert set(LOOKS) | ELSEWHERE == set(VARIANTS)
    assert len(VARIANTS) >= 15
    for variant in VARIANTS.values():
        assert "(M-" in variants.describe(variant) or "(P-" in variants.describe(variant)


def test_variants_override_freedoms_only():
    """Those that do not override habits override what the model leaves open."""
    own = {name: {each for each in vars(variant) if not each.startswith("_")} for name, variant in VARIANTS.items()}
    assert {name for name, methods in own.items() if not methods <= set(dir(Habits))} == {"triggers-asked-late", "union-views"}


@pytest.mark.parametrize(
    ("text", "names", "seed"),
    [
        ("unfused", ["unfused"], 0),
        ("unfused+page-size-one,seed=7", ["unfused", "page-size-one"], 7),
        ("unfused,page-size-one,seed=-1", ["unfused", "page-size-one"], -1),
        ("unfused+unfused", ["unfused"], 0),
        ("", [], 0),
    ],
)
def test_names_are_read(text, names, seed):
    assert variants.parse(text) == (names, seed)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("unfuse", "did you mean unfused"),
        ("zzz", "known: "),
        ("one-element-bundles+three-element-bundles", "both decide bundle_elements"),
        ("no-retries+retry-after-injected-failure", "no bundle that fails would be tried again"),
        ("speed=7", "cannot read 'speed=7'"),
    ],
)
def test_bad_names_are_told(text, why):
    with pytest.raises(ValueError, match=why):
        serve(variant=text)


@given(st.integers(-(1 << 40), 1 << 40))
def test_a_seed_stands_for_a_combination(seed):
    names, kept = variants.parse(RANDOM, seed)
    assert kept == seed
    assert 2 <= len(names) <= 6
    assert variants.parse(f"{RANDOM},seed={seed}") == (names, seed)
    assert len(variants.classes(names)) == len(names)
    assert all(variants.clash(one, other) is None for one, other in itertools.combinations(names, 2))


def test_seeds_differ():
    assert len({tuple(variants.draw(seed)) for seed in range(30)}) >= 28


def test_overrides_that_add_to_each_other_combine():
    with serve(variant="short-ids-off+answers-without-data") as server:
        assert server.rules().capabilities() == [urns.RunnerProtocol.MULTIMAP_KEYS_VALUES_SIDE_INPUT]


@pytest.mark.parametrize("seed", range(4))
def test_random_combinations_owe_the_same_answers(seed):
    ran = run(RANDOM, everything(), seed=seed)
    assert ran.outcome.state == "DONE", (variants.draw(seed), ran.outcome.errors)
    assert yielded(ran)


def test_the_same_seed_makes_the_same_choices():
    made = [[VARIANTS["random-bundles"](7).bundle_elements() for _ in range(1)] for _ in range(3)]
    assert made[0] == made[1] == made[2]
    one, other = VARIANTS["random-bundles"](7), VARIANTS["random-bundles"](8)
    assert [one.bundle_elements() for _ in range(20)] != [other.bundle_elements() for _ in range(20)]


def test_a_discarded_bundle_runs_again_as_it_was():
    program = Program()
    program.impulse().par_do(Fn("identity"), KV, name="make").par_do(
        Fn("program"), KV, name="keyed", state={"s": cells.bag(coders.VARINT)}
    )
    lab = Lab(program)
    lab.answer("make", {next(iter(lab.plan.stages()[0].sinks.values())): [element(kv("a", 1), 0)]})
    first = lab.next("keyed")
    del lab.open[first.bundle]
    lab.send(BundleDiscarded(first.bundle))
    again = lab.next("keyed")
    assert again.bundle != first.bundle
    assert (again.data, again.stage) == (first.data, first.stage)
    assert (first.attempt, again.attempt) == (1, 2)
    assert again.state_token != first.state_token
    lab.answer("keyed")
    assert lab.done
