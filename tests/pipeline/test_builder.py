"""What the builder puts into a pipeline: strategies, coders, requirements, composites, names; and its own refusals."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from conformance.pipeline import Fn, PipelineError, Program, coders, display, state, teststream, triggers, validate, windowing
from conformance.pipeline.encoding import decode, encode
from conformance.pipeline.values import from_json, to_json
from conformance.wire import urns
from conformance.wire.api import pipeline_pb2 as pb
from conformance.wire.values import CustomWindow, GlobalWindow, IntervalWindow, ShardedKey

ENVIRONMENT = pb.Environment(urn=urns.Env.EXTERNAL)
KV = coders.kv(coders.STRING, coders.VARINT)


def par_do(pipeline: pb.Pipeline, transform_id: str) -> pb.ParDoPayload:
    return pb.ParDoPayload.FromString(pipeline.components.transforms[transform_id].spec.payload)


def test_impulse_par_do_group_by_key() -> None:
    program = Program()
    program.create([("a", 1)], timestamps=[5]).group_by_key().observe("seen")
    pipeline = program.build(ENVIRONMENT)
    transforms = pipeline.components.transforms
    assert list(pipeline.root_transform_ids) == ["create.impulse", "create", "group_by_key", "observe_seen"]
    assert [transforms[each].environment_id for each in pipeline.root_transform_ids] == ["", "harness", "", "harness"]
    assert Fn.from_spec(par_do(pipeline, "create").do_fn) == Fn("create", values=[{"tuple": ["a", 1]}], timestamps=[5])
    grouped = pipeline.components.pcollections["group_by_key.out"]
    assert str(coders.CoderSpec.from_components(grouped.coder_id, pipeline.components)) == "kv<string_utf8, iterable<varint>>"
    assert list(pipeline.requirements) == []


def test_an_fn_reads_back_and_has_sorted_keys() -> None:
    fn = Fn("outer", b=1, a=Fn("inner", x=[1, 2]))
    assert fn.payload() == b'{"args":{"a":{"args":{"x":[1,2]},"fn":"inner"},"b":1},"fn":"outer"}'
    assert Fn.from_payload(fn.payload()) == fn
    with pytest.raises(ValueError, match="not the payload"):
        Fn.from_payload(b"\x80pickle")
    with pytest.raises(TypeError, match="to_json"):
        Fn("bad", value=b"bytes")


def test_strategies_write_every_enum_and_propagate() -> None:
    program = Program()
    windowed = program.create([("a", 1)]).window_into(
        windowing.sessions(10_000),
        trigger=triggers.after_watermark(early=triggers.after_count(3)),
        accumulation="accumulating",
        allowed_lateness=5,
        closing="always",
        on_time="if_nonempty",
        timestamp_combiner="latest",
    )
    grouped = windowed.group_by_key()
    again = grouped.par_do(Fn("ungroup"), KV).group_by_key()
    pipeline = program.build(ENVIRONMENT)
    strategies = pipeline.components.windowing_strategies

    def strategy(collection_id: str) -> pb.WindowingStrategy:
        return strategies[pipeline.components.pcollections[collection_id].windowing_strategy_id]

    first = strategy(windowed.id)
    assert first.merge_status == pb.MergeStatus.NEEDS_MERGE
    assert first.accumulation_mode == pb.AccumulationMode.ACCUMULATING
    assert first.output_time == pb.OutputTime.LATEST_IN_PANE
    assert first.closing_behavior == pb.ClosingBehavior.EMIT_ALWAYS
    assert first.on_time_behavior == pb.OnTimeBehavior.FIRE_IF_NONEMPTY
    assert (first.allowed_lateness, first.assigns_to_one_window) == (5, True)
    second = strategy(grouped.id)
    assert second.merge_status == pb.MergeStatus.ALREADY_MERGED
    assert second.trigger == triggers.after_watermark(early=triggers.after_count(1))
    assert strategy(again.id) == second
    assert len(strategies) == 3


@pytest.mark.parametrize(
    ("trigger", "behind"),
    [
        (triggers.default(), triggers.default()),
        (triggers.never(), triggers.never()),
        (triggers.always(), triggers.always()),
        (triggers.after_count(7), triggers.after_count(1)),
        (triggers.after_processing_time(5), triggers.after_synchronized_processing_time()),
        (triggers.after_watermark(), triggers.after_watermark()),
        (
            triggers.after_watermark(triggers.after_count(2), triggers.after_processing_time(1)),
            triggers.after_watermark(triggers.after_count(1), triggers.after_synchronized_processing_time()),
        ),
        (
            triggers.after_each(triggers.after_count(2), triggers.default()),
            triggers.repeatedly(triggers.after_any(triggers.after_count(1), triggers.default())),
        ),
        (triggers.after_all(triggers.after_count(2)), triggers.after_all(triggers.after_count(1))),
        (triggers.after_any(triggers.after_count(2)), triggers.after_any(triggers.after_count(1))),
        (
            triggers.or_finally(triggers.after_count(2), triggers.never()),
            triggers.repeatedly(triggers.or_finally(triggers.after_count(1), triggers.never())),
        ),
        (triggers.repeatedly(triggers.after_count(2)), triggers.repeatedly(triggers.after_count(1))),
    ],
    ids=lambda trigger: trigger.WhichOneof("trigger"),
)
def test_continuation_triggers(trigger: pb.Trigger, behind: pb.Trigger) -> None:
    """M-TRIG-37, row by row."""
    assert triggers.continuation(trigger) == behind


def test_a_missing_early_trigger_is_never_where_there_is_a_late_one() -> None:
    trigger = triggers.after_watermark(late=triggers.after_count(1))
    assert trigger.after_end_of_window.early_firings == triggers.never()
    assert not triggers.after_watermark().after_end_of_window.HasField("early_firings")


@pytest.mark.parametrize(
    ("options", "requirement"),
    [
        ({"state": {"s": state.bag(coders.VARINT)}}, urns.Requirement.REQUIRES_STATEFUL_PROCESSING),
        ({"timers": {"t": "event"}}, urns.Requirement.REQUIRES_STATEFUL_PROCESSING),
        ({"requests_finalization": True}, urns.Requirement.REQUIRES_BUNDLE_FINALIZATION),
        ({"requires_stable_input": True}, urns.Requirement.REQUIRES_STABLE_INPUT),
        ({"requires_time_sorted_input": True}, urns.Requirement.REQUIRES_TIME_SORTED_INPUT),
        ({"restriction_coder": coders.OFFSET_RANGE}, urns.Requirement.REQUIRES_SPLITTABLE_DOFN),
        ({"on_window_expiration": "gc"}, urns.Requirement.REQUIRES_ON_WINDOW_EXPIRATION),
    ],
)
def test_requirements_follow_from_payloads_and_can_be_overridden(options: dict[str, object], requirement: str) -> None:
    program = Program()
    program.create([("a", 1)]).par_do(Fn("identity"), **options)  # type: ignore[arg-type]
    assert requirement in program.build(ENVIRONMENT).requirements
    with pytest.raises(PipelineError, match="P-PIPE-05"):
        program.build(ENVIRONMENT, requirements=[])
    assert list(program.build(ENVIRONMENT, requirements=[], check=False).requirements) == []


def test_every_state_kind_has_its_spec_and_protocol() -> None:
    cells = {
        "value": state.value(coders.VARINT),
        "bag": state.bag(coders.VARINT),
        "combining": state.combining(Fn("sum"), coders.VARINT),
        "map": state.map_(coders.STRING, coders.VARINT),
        "multimap": state.multimap(coders.STRING, coders.VARINT),
        "set": state.set_(coders.VARINT),
        "set_bag": state.set_(coders.VARINT, "bag"),
        "ordered": state.ordered_list(coders.BYTES),
    }
    program = Program()
    program.create([("a", 1)]).par_do(Fn("identity"), state=cells, name="cells")
    specs = par_do(program.build(ENVIRONMENT), "cells").state_specs
    shapes = {name: (spec.WhichOneof("spec"), spec.protocol.urn.split(":")[-2]) for name, spec in specs.items()}
    assert shapes == {
        "value": ("read_modify_write_spec", "bag"),
        "bag": ("bag_spec", "bag"),
        "combining": ("combining_spec", "bag"),
        "map": ("map_spec", "multimap"),
        "multimap": ("multimap_spec", "multimap"),
        "set": ("set_spec", "multimap"),
        "set_bag": ("set_spec", "bag"),
        "ordered": ("ordered_list_spec", "ordered_list"),
    }


def test_composites_have_the_shapes_that_runners_expect() -> None:
    program = Program()
    keyed = program.create([("a", 1)])
    keyed.combine_per_key(Fn("sum"), coders.VARINT, coders.VARINT)
    keyed.window_into(windowing.fixed(10)).reshuffle()
    keyed.redistribute_by_key(allow_duplicates=True)
    keyed.redistribute_arbitrarily()
    keyed.group_into_batches(3, max_buffering_millis=5)
    keyed.group_into_batches(3, sharded=True)
    keyed.co_group_by_key({"other": keyed}, tag="this")
    keyed.combine_globally(Fn("count"), coders.VARINT, coders.VARINT, default=True)
    pipeline = program.build(ENVIRONMENT)
    transforms = pipeline.components.transforms

    def parts(transform_id: str) -> list[str]:
        return [transforms[child].spec.urn.removeprefix("beam:transform:") for child in transforms[transform_id].subtransforms]

    assert parts("combine_per_key") == ["group_by_key:v1", "combine_grouped_values:v1"]
    assert parts("combine_per_key.combine_values") == ["pardo:v1"]
    assert parts("reshuffle") == ["pardo:v1", "group_by_key:v1", "pardo:v1"]
    restored = pipeline.components.pcollections[transforms["reshuffle"].outputs["out"]]
    before = pipeline.components.pcollections["window_into.out"]
    assert restored.windowing_strategy_id == before.windowing_strategy_id
    assert pb.RedistributePayload.FromString(transforms["redistribute_by_key"].spec.payload).allow_duplicates
    assert transforms["group_into_batches_2"].spec.urn == urns.Transform.GROUP_INTO_BATCHES_WITH_SHARDED_KEY
    assert len({transform.unique_name for transform in transforms.values()}) == len(transforms)


def test_tags_side_inputs_environments_display_data_annotations() -> None:
    program = Program()
    side = program.create([("k", 1)], name="side")
    outputs = program.create([1]).par_do(
        Fn("route", tags=["a", "b"], expr="a"),
        {"a": coders.VARINT, "b": coders.STRING},
        name="route",
        side_inputs={"s": side.as_multimap()},
        environment="other",
        annotations={"note": b"x"},
        display_data=[display("label", 3)],
    )
    assert str(outputs["b"].coder) == "string_utf8"
    pipeline = program.build(ENVIRONMENT, {"other": pb.Environment(urn=urns.Env.PROCESS)})
    route = pipeline.components.transforms["route"]
    assert dict(route.inputs) == {"in": "create.out", "s": "side.out"}
    assert route.environment_id == "other"
    assert dict(route.annotations) == {"note": b"x"}
    assert pb.LabelledPayload.FromString(route.display_data[0].payload).int_value == 3
    view = par_do(pipeline, "route").side_inputs["s"]
    assert view.access_pattern.urn == urns.SideInput.MULTIMAP


def test_test_stream_elements_are_in_the_outer_context() -> None:
    program = Program()
    events = [
        teststream.Elements([(("a", "é"), 3)]),
        teststream.Watermark(5),
        teststream.ProcessingTime(7),
        teststream.to_infinity(),
    ]
    collection = program.test_stream(events, coders.kv(coders.STRING, coders.STRING))
    assert not collection.bounded
    payload = pb.TestStreamPayload.FromString(program.build(ENVIRONMENT).components.transforms["test_stream"].spec.payload)
    assert payload.events[0].element_event.elements[0].encoded_element == "\x01aé".encode()
    assert [event.WhichOneof("event") for event in payload.events] == [
        "element_event",
        "watermark_event",
        "processing_time_event",
        "watermark_event",
    ]


def test_branches_prefix_names_and_share_coders() -> None:
    program = Program()
    for prefix in ("one", "two"):
        program.branch(prefix).create([("a", 1)]).group_by_key()
    pipeline = program.build(ENVIRONMENT)
    assert pipeline.components.transforms["one.group_by_key"].unique_name == "one/group_by_key"
    assert set(pipeline.root_transform_ids) == set(pipeline.components.transforms)
    assert len(pipeline.components.windowing_strategies) == 1


def test_custom_window_functions_name_their_environment() -> None:
    program = Program()
    program.create([1]).window_into(windowing.custom(Fn("named", size=10), coders.custom_window(coders.STRING)))
    pipeline = program.build(ENVIRONMENT)
    [custom] = [each for each in pipeline.components.windowing_strategies.values() if each.environment_id]
    assert custom.environment_id == "harness"
    assert Fn.from_spec(custom.window_fn) == Fn("named", size=10)


@pytest.mark.parametrize(
    ("values", "coder"),
    [
        ([1, 2], "varint"),
        ([True], "bool"),
        ([1, True], "json"),
        ([b"x"], "bytes"),
        ([1.5], "double"),
        ([("a", 1), ("b", 2)], "kv<string_utf8, varint>"),
        ([("a", 1), ("b", "x")], "kv<string_utf8, json>"),
        ([("a", [1, 2])], "kv<string_utf8, iterable<varint>>"),
        ([[]], "json"),
        ([], "json"),
        ([None], "json"),
    ],
)
def test_coders_are_inferred_from_values(values: list[object], coder: str) -> None:
    inferred = coders.infer(values)
    assert str(inferred) == coder
    for value in values:
        assert decode(inferred, encode(inferred, value)) == value


def test_what_cannot_be_built_says_why() -> None:
    program = Program()
    plain = program.create([1])
    with pytest.raises(PipelineError, match="need KVs"):
        plain.group_by_key()
    with pytest.raises(PipelineError, match="needs KVs"):
        plain.as_multimap()
    with pytest.raises(PipelineError, match="2 values and 1 timestamps"):
        program.create([1, 2], timestamps=[1])
    with pytest.raises(PipelineError, match="needs a coder"):
        program.flatten([])


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False) | st.text() | st.binary(),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.tuples(inner, inner)
        | st.dictionaries(st.text(), inner, max_size=3)
        | st.builds(ShardedKey, inner, st.binary(max_size=3))
        | st.builds(IntervalWindow, st.integers(-100, 100), st.integers(-100, 100))
        | st.just(GlobalWindow())
        | st.builds(CustomWindow, st.integers(-100, 100), inner)
    ),
    max_leaves=8,
)


@given(json_values)
def test_values_have_a_json_form_that_reads_back(value: object) -> None:
    assert from_json(to_json(value)) == value
    assert decode(coders.JSON, encode(coders.JSON, value)) == value


def test_a_valid_pipeline_passes() -> None:
    program = Program()
    program.create([("a", 1)]).group_by_key()
    validate(program.build(ENVIRONMENT))
