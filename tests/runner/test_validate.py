"""What Prepare refuses: each feature by name and id, all of them at once."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from conformance.pipeline import Fn, Program, coders, windowing
from conformance.pipeline import state as cells
from conformance.runner import validate
from conformance.wire import urns
from conformance.wire.api import pipeline_pb2 as pb
from tests.runner.lab import environment

KV = coders.kv(coders.STRING, coders.VARINT)
Change = Callable[[pb.Pipeline], None]


def good() -> pb.Pipeline:
    program = Program()
    pairs = program.impulse().par_do(Fn("identity"), KV, name="make")
    side = pairs.as_multimap()
    pairs.par_do(Fn("a"), name="keyed", state={"s": cells.bag(coders.VARINT)}, timers={"t": "event"})
    pairs.par_do(Fn("b"), name="sided", side_inputs={"m": side})
    pairs.par_do(Fn("c"), name="sdf", restriction_coder=coders.JSON)
    pairs.window_into(windowing.sessions(10), name="window").group_by_key("group")
    return program.build(environment())


def test_a_good_pipeline_has_no_problems():
    assert validate.problems(good()) == []


def strategies(pipeline: pb.Pipeline) -> list[pb.WindowingStrategy]:
    return list(pipeline.components.windowing_strategies.values())


def payload(pipeline: pb.Pipeline, name: str, change: Callable[[pb.ParDoPayload], None]) -> None:
    spec = pipeline.components.transforms[name].spec
    inner = pb.ParDoPayload.FromString(spec.payload)
    change(inner)
    spec.payload = inner.SerializeToString()


def _set(change: Callable[[pb.Pipeline], object]) -> Change:
    def apply(pipeline: pb.Pipeline) -> None:
        change(pipeline)

    return apply


def _retract(pipeline: pb.Pipeline) -> None:
    for strategy in strategies(pipeline):
        strategy.accumulation_mode = pb.AccumulationMode.RETRACTING


def _no_trigger(pipeline: pb.Pipeline) -> None:
    for strategy in strategies(pipeline):
        strategy.ClearField("trigger")


def _nested_trigger(pipeline: pb.Pipeline) -> None:
    for strategy in strategies(pipeline):
        strategy.trigger.repeat.SetInParent()


def _merging_state(pipeline: pb.Pipeline) -> None:
    found = pipeline.components.windowing_strategies
    session = next(name for name in found if found[name].merge_status == pb.MergeStatus.NEEDS_MERGE)
    pipeline.components.pcollections["make.out"].windowing_strategy_id = session


def _two_producers(pipeline: pb.Pipeline) -> None:
    pipeline.components.transforms["sided"].outputs["out"] = "keyed.out"


def _unknown_environment(pipeline: pb.Pipeline) -> None:
    for each in pipeline.components.environments.values():
        each.urn = "example:env:v1"


def _unknown_state(inner: pb.ParDoPayload) -> None:
    inner.state_specs["s"].protocol.urn = "example:state:v1"


def _no_domain(inner: pb.ParDoPayload) -> None:
    inner.timer_family_specs["t"].time_domain = pb.TimeDomain.UNSPECIFIED


def _stateful_sdf(inner: pb.ParDoPayload) -> None:
    inner.restriction_coder_id = next(iter(good().components.coders))


def _pattern(inner: pb.ParDoPayload) -> None:
    inner.side_inputs["m"].access_pattern.urn = "example:side:v1"


CASES: list[tuple[Change, list[str]]] = [
    (_set(lambda p: p.requirements.append("example:requirement:v1")), ["example:requirement:v1"]),
    (_set(lambda p: setattr(p.components.transforms["sided"].spec, "urn", "example:leaf:v1")), ["example:leaf:v1", "'sided'"]),
    (
        _set(lambda p: setattr(p.components.transforms["sided"], "environment_id", "")),
        [urns.Transform.PAR_DO, "'sided'", "environment"],
    ),
    (
        _set(lambda p: setattr(p.components.transforms["impulse"].spec, "urn", urns.Transform.TEST_STREAM)),
        [urns.Transform.TEST_STREAM, "'impulse'"],
    ),
    (_unknown_environment, ["example:env:v1"]),
    (_retract, ["RETRACTING"]),
    (_no_trigger, ["trigger is unset"]),
    (_nested_trigger, ["trigger is unset"]),
    (_merging_state, ["merging", "'keyed'"]),
    (_two_producers, ["two producers", "'keyed.out'"]),
    (_set(lambda p: payload(p, "keyed", _unknown_state)), ["example:state:v1", "'s'", "'keyed'"]),
    (_set(lambda p: payload(p, "keyed", _no_domain)), ["time domain", "'t'", "'keyed'"]),
    (_set(lambda p: payload(p, "keyed", _stateful_sdf)), ["splittable", "'keyed'"]),
    (_set(lambda p: payload(p, "sided", _pattern)), ["example:side:v1", "'m'", "'sided'"]),
    (_set(lambda p: setattr(p.components.transforms["sided"].spec, "payload", b"\xff")), ["does not parse"]),
    (_set(lambda p: setattr(p.components.pcollections["make.out"], "coder_id", "gone")), ["dangling", "'gone'", "'make.out'"]),
    (_set(lambda p: setattr(p.components.pcollections["make.out"], "windowing_strategy_id", "gone")), ["dangling", "'gone'"]),
    (_set(lambda p: p.root_transform_ids.append("gone")), ["dangling", "'gone'"]),
    (_set(lambda p: p.components.transforms["sided"].subtransforms.append("gone")), ["dangling", "'gone'", "'sided'"]),
    (_set(lambda p: p.components.transforms["sided"].inputs.__setitem__("in", "gone")), ["dangling", "'gone'", "'sided'"]),
    (_set(lambda p: p.components.transforms["sided"].subtransforms.append("sided")), ["contains itself"]),
    (_set(lambda p: p.ClearField("root_transform_ids")), ["no root transforms"]),
]


@pytest.mark.parametrize(("change", "words"), CASES, ids=range(len(CASES)))
def test_refused(change, words):
    pipeline = good()
    change(pipeline)
    found = validate.problems(pipeline)
    assert any(all(word in each for word in words) for each in found), found


def test_all_reasons_come_at_once():
    pipeline = good()
    pipeline.requirements.append("example:requirement:v1")
    _retract(pipeline)
    payload(pipeline, "keyed", _unknown_state)
    text = validate.refusal(validate.problems(pipeline))
    for word in ("example:requirement:v1", "RETRACTING", "example:state:v1"):
        assert word in text


def test_what_must_be_ignored_is_ignored():
    pipeline = good()
    transform = pipeline.components.transforms["sided"]
    transform.annotations["example"] = b"x"
    transform.display_data.add(urn="example:display:v1")
    environment = next(iter(pipeline.components.environments.values()))
    environment.capabilities.append("example:capability:v1")
    environment.resource_hints["example:hint:v1"] = b"1"
    assert validate.problems(pipeline) == []


def test_an_unknown_composite_is_expanded_and_an_empty_one_dropped():
    pipeline = good()
    transforms = pipeline.components.transforms
    transforms["outer"].CopyFrom(pb.PTransform(unique_name="outer", subtransforms=["sided"]))
    transforms["outer"].spec.urn = "example:composite:v1"
    transforms["empty"].CopyFrom(pb.PTransform(unique_name="empty", inputs={"a": "make.out"}, outputs={"b": "make.out"}))
    transforms["empty"].spec.urn = "example:nothing:v1"
    roots = [name for name in pipeline.root_transform_ids if name != "sided"]
    del pipeline.root_transform_ids[:]
    pipeline.root_transform_ids.extend([*roots, "outer", "empty"])
    assert validate.problems(pipeline) == []
