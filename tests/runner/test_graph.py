"""Plans: fusion, wire coders, descriptors that resolve in themselves."""

from __future__ import annotations

import pytest

from conformance.pipeline import Fn, PCollection, Program, coders, windowing
from conformance.pipeline import state as cells
from conformance.runner import graph
from conformance.runner.plan import Plan
from conformance.wire import urns
from conformance.wire.api import fn_pb2
from conformance.wire.api import pipeline_pb2 as pb
from tests.runner.lab import plan_of

KV = coders.kv(coders.STRING, coders.VARINT)


def source(program: Program, coder: coders.CoderSpec = KV, name: str = "make") -> PCollection:
    return program.impulse(f"{name}/impulse").par_do(Fn("identity"), coder, name=name)


def stages(plan: Plan) -> list[tuple[str, ...]]:
    return [stage.transforms for stage in plan.stages()]


# ---- fusion (P-PIPE-09)


def test_a_chain_is_one_stage():
    program = Program()
    source(program).par_do(Fn("a"), name="a").par_do(Fn("b"), name="b")
    assert stages(plan_of(program)) == [("make", "a", "b")]


def test_siblings_share_a_source():
    program = Program()
    impulse = program.impulse()
    impulse.par_do(Fn("a"), coders.BYTES, name="a")
    impulse.par_do(Fn("b"), coders.BYTES, name="b")
    assert stages(plan_of(program)) == [("a", "b")]


@pytest.mark.parametrize(
    "options",
    [
        {"state": {"s": cells.bag(coders.VARINT)}},
        {"timers": {"t": "event"}},
        {"requires_time_sorted_input": True},
        {"requires_stable_input": True},
    ],
    ids=lambda options: next(iter(options)),
)
def test_what_must_begin_a_stage(options):
    program = Program()
    source(program).par_do(Fn("a"), name="first", **options).par_do(Fn("b"), name="b")
    assert stages(plan_of(program)) == [("make",), ("first", "b")]


def test_a_side_inputs_producer_is_never_in_its_consumers_stage():
    program = Program()
    made = source(program)
    made.par_do(Fn("a"), name="a", side_inputs={"s": made.par_do(Fn("side"), name="side").as_iterable()})
    assert stages(plan_of(program)) == [("make", "side"), ("a",)]


def test_pair_and_split_share_a_stage_with_side_inputs_and_without():
    for sides in ({}, {"s": 1}):
        program = Program()
        made = source(program)
        views = {"s": source(program, name="side").as_iterable()} if sides else {}
        made.par_do(Fn("sdf"), name="sdf", restriction_coder=coders.JSON, side_inputs=views)
        found = stages(plan_of(program))
        assert any(stage[-2:] == ("sdf/pair", "sdf/split") for stage in found)
        assert ("sdf",) in found


def test_environments_are_never_mixed():
    program = Program()
    source(program).par_do(Fn("a"), name="a", environment="other")
    pipeline = program.build(_environment("localhost:1"), {"other": _environment("localhost:3")})
    plan = graph.plan(pipeline, dict(pipeline.components.environments), "localhost:2")
    assert stages(plan) == [("make",), ("a",)]
    assert sorted(plan.environments) == sorted(pipeline.components.environments)


def _environment(url: str) -> pb.Environment:
    payload = pb.ExternalPayload()
    payload.endpoint.url = url
    return pb.Environment(urn=urns.Env.EXTERNAL, payload=payload.SerializeToString())


# ---- coders (P-PIPE-12)


def shape(descriptor: fn_pb2.ProcessBundleDescriptor, coder_id: str) -> str:
    coder = descriptor.coders[coder_id]
    name = coder.spec.urn.split(":")[2] if coder.spec.urn.startswith("beam:coder:") else "?"
    parts = [shape(descriptor, each) for each in coder.component_coder_ids]
    return f"{name}<{', '.join(parts)}>" if parts else name


def port_shape(plan: Plan, transform: str, urn: str) -> str:
    stage = next(each for each in plan.stages() if transform in each.transforms)
    descriptor = plan.descriptors[stage.id]
    (port,) = [each for each in descriptor.transforms.values() if each.spec.urn == urn]
    return shape(descriptor, fn_pb2.RemoteGrpcPort.FromString(port.spec.payload).coder_id)


@pytest.mark.parametrize(
    ("coder", "expected"),
    [
        (coders.VARINT, "varint"),
        (coders.JSON, "length_prefix<?>"),
        (coders.kv(coders.JSON, coders.VARINT), "kv<length_prefix<?>, varint>"),
        (coders.kv(coders.STRING, coders.iterable(coders.JSON)), "kv<string_utf8, iterable<length_prefix<?>>>"),
        (coders.length_prefix(coders.JSON), "length_prefix<?>"),
        (coders.nullable(coders.kv(coders.JSON, coders.JSON)), "nullable<kv<length_prefix<?>, length_prefix<?>>>"),
    ],
)
def test_unknown_coders_are_length_prefixed_where_they_are_outermost(coder, expected):
    program = Program()
    source(program, coder).redistribute_arbitrarily(name="cut").par_do(Fn("drop"), coders.BYTES, name="read")
    plan = plan_of(program)
    want = f"windowed_value<{expected}, global_window>"
    assert port_shape(plan, "make", urns.Runner.DATA_SINK) == want
    assert port_shape(plan, "read", urns.Runner.DATA_SOURCE) == want


def test_keys_have_one_shape_in_data_state_and_timers():
    program = Program()
    pairs = source(program, coders.kv(coders.JSON, coders.JSON))
    pairs.par_do(Fn("a"), coders.BYTES, name="keyed", state={"s": cells.bag(coders.JSON)}, timers={"t": "event"})
    plan = plan_of(program)
    stage = next(each for each in plan.stages() if "keyed" in each.transforms)
    descriptor = plan.descriptors[stage.id]
    payload = pb.ParDoPayload.FromString(descriptor.transforms["keyed"].spec.payload)
    assert shape(descriptor, payload.timer_family_specs["t"].timer_family_coder_id) == "timer<length_prefix<?>, global_window>"
    assert shape(descriptor, payload.state_specs["s"].bag_spec.element_coder_id) == "length_prefix<?>"
    main = descriptor.pcollections[descriptor.transforms["keyed"].inputs["in"]]
    assert shape(descriptor, main.coder_id) == "kv<length_prefix<?>, length_prefix<?>>"


def test_elements_that_are_windowed_values_themselves_are_wrapped_for_the_sdk():
    """Java and Python take a windowed_value coder of a PCollection for that of its port, and would lose a layer (P-PIPE-11)."""
    program = Program()
    element = coders.windowed_value(coders.STRING, coders.GLOBAL_WINDOW)
    made = source(program, element)
    made.par_do(Fn("a"), element).par_do(Fn("a"), coders.BYTES, name="read")
    made.redistribute_arbitrarily(name="cut").par_do(Fn("drop"), coders.BYTES, name="behind")
    plan = plan_of(program)
    inner = "windowed_value<string_utf8, global_window>"
    for transform, expected in (("read", f"windowed_value<{inner}, global_window>"), ("behind", f"length_prefix<{inner}>")):
        stage = next(each for each in plan.stages() if transform in each.transforms)
        descriptor = plan.descriptors[stage.id]
        (collection,) = descriptor.transforms[transform].inputs.values()
        assert shape(descriptor, descriptor.pcollections[collection].coder_id) == expected
    assert port_shape(plan, "behind", urns.Runner.DATA_SOURCE) == f"windowed_value<length_prefix<{inner}>, global_window>"


def test_a_flatten_of_two_coders_is_transcoded_by_the_sdk():
    program = Program()
    one, other = source(program, coders.VARINT, "one"), source(program, coders.JSON, "other")
    program.flatten([one, other], coder=coders.JSON, name="both").par_do(Fn("drop"), coders.BYTES, name="read")
    found = stages(plan_of(program))
    assert ("one", "both/transcode/i0") in found
    assert ("other",) in found


# ---- descriptors (P-CTL-08, I-CTL-05 to I-CTL-11)


def rich() -> Program:
    program = Program()
    pairs = source(program, coders.kv(coders.JSON, coders.VARINT)).window_into(windowing.fixed(10), name="window")
    side = source(program, coders.kv(coders.STRING, coders.JSON), "side")
    stateful = pairs.par_do(
        Fn("a"),
        name="keyed",
        state={"s": cells.multimap(coders.JSON, coders.JSON)},
        timers={"t": "event"},
        on_window_expiration="x",
    )
    grouped = stateful.group_by_key("group")
    tagged = grouped.par_do(
        Fn("b"), {"x": coders.JSON, "unused": coders.VARINT}, name="tagged", side_inputs={"m": side.as_multimap()}
    )
    tagged["x"].par_do(Fn("sdf"), coders.VARINT, name="sdf", restriction_coder=coders.JSON, requests_finalization=True)
    pairs.combine_per_key(Fn("sum"), coders.VARINT, coders.VARINT, name="sum")
    return program


def test_descriptors_are_closed_and_hold_no_composites():
    plan = plan_of(rich())
    assert len(plan.descriptors) == len(plan.stages())
    for stage in plan.stages():
        descriptor = plan.descriptors[stage.id]
        for transform in descriptor.transforms.values():
            assert transform.spec.urn
            assert not transform.subtransforms
            assert {*transform.inputs.values(), *transform.outputs.values()} <= set(descriptor.pcollections)
            if transform.spec.urn not in (urns.Runner.DATA_SOURCE, urns.Runner.DATA_SINK):
                assert transform.environment_id in descriptor.environments
        for collection in descriptor.pcollections.values():
            assert collection.coder_id in descriptor.coders
            assert descriptor.windowing_strategies[collection.windowing_strategy_id].window_coder_id in descriptor.coders
        for coder in descriptor.coders.values():
            assert set(coder.component_coder_ids) <= set(descriptor.coders)
        sources = [each for each in descriptor.transforms.values() if each.spec.urn == urns.Runner.DATA_SOURCE]
        assert len(sources) == 1
        assert descriptor.state_api_service_descriptor.url == "localhost:2"
        assert bool(descriptor.timer_api_service_descriptor.url) == bool(stage.timers)
        assert not descriptor.state_api_service_descriptor.HasField("authentication")


def test_unconsumed_outputs_stay_in_the_descriptor_without_a_sink():
    plan = plan_of(rich())
    stage = next(each for each in plan.stages() if "tagged" in each.transforms)
    assert "unused" in plan.descriptors[stage.id].transforms["tagged"].outputs
    assert "tagged.unused" not in stage.sinks.values()


def test_payloads_are_the_submitted_ones_but_for_coder_ids():
    program = rich()
    plan = plan_of(program)
    submitted = program.graph.components.transforms
    for stage in plan.stages():
        for name in stage.transforms:
            if name in submitted and name != "keyed":
                assert plan.descriptors[stage.id].transforms[name].spec.payload == submitted[name].spec.payload
