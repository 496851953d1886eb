"""Every rule of validity catches its violation, and a right pipeline none."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from conformance.pipeline import Fn, PipelineError, Program, coders, state, validate, violations
from conformance.wire import urns
from conformance.wire.api import pipeline_pb2 as pb

Damage = Callable[[pb.Pipeline], object]


def right() -> pb.Pipeline:
    program = Program()
    created = program.create([("a", 1)])
    created.group_by_key()
    created.par_do(
        Fn("identity"),
        name="stateful",
        state={"s": state.bag(coders.VARINT)},
        timers={"t": "event"},
        side_inputs={"side": created.as_iterable()},
    )
    created.combine_per_key(Fn("sum"), coders.VARINT, coders.VARINT)
    return program.build(pb.Environment(urn=urns.Env.EXTERNAL))


def transform(pipeline: pb.Pipeline, name: str) -> pb.PTransform:
    return pipeline.components.transforms[name]


def payload(change: Callable[[pb.ParDoPayload], object]) -> Damage:
    def damage(pipeline: pb.Pipeline) -> None:
        spec = transform(pipeline, "stateful").spec
        message = pb.ParDoPayload.FromString(spec.payload)
        change(message)
        spec.payload = message.SerializeToString()

    return damage


def put(mapping: Callable[[pb.Pipeline], object], key: str, value: object) -> Damage:
    return lambda pipeline: mapping(pipeline).__setitem__(key, value)  # type: ignore[attr-defined]


DAMAGES: list[tuple[str, str, Damage]] = [
    ("root", "P-PIPE-01: the pipeline names root 'gone'", lambda p: p.root_transform_ids.append("gone")),
    ("subtransform", "subtransform 'gone'", lambda p: transform(p, "combine_per_key").subtransforms.append("gone")),
    ("input", "input 'gone'", lambda p: transform(p, "group_by_key").inputs.update({"in": "gone"})),
    ("coder", "coder 'gone'", lambda p: setattr(p.components.pcollections["create.out"], "coder_id", "gone")),
    (
        "strategy",
        "windowing strategy 'gone'",
        lambda p: setattr(p.components.pcollections["create.out"], "windowing_strategy_id", "gone"),
    ),
    (
        "window coder",
        "window coder 'gone'",
        lambda p: setattr(p.components.windowing_strategies["w0"], "window_coder_id", "gone"),
    ),
    ("environment", "environment 'gone'", lambda p: setattr(transform(p, "create"), "environment_id", "gone")),
    (
        "component coder",
        "component 'gone'",
        lambda p: p.components.coders["c_iterable_varint"].component_coder_ids.__setitem__(0, "gone"),
    ),
    (
        "state coder",
        "coder of state 's' 'gone'",
        payload(lambda m: setattr(m.state_specs["s"].bag_spec, "element_coder_id", "gone")),
    ),
    (
        "timer coder",
        "coder of timer family 't' 'gone'",
        payload(lambda m: setattr(m.timer_family_specs["t"], "timer_family_coder_id", "gone")),
    ),
    ("restriction coder", "restriction coder 'gone'", payload(lambda m: setattr(m, "restriction_coder_id", "gone"))),
    ("unique names", "2 transforms share", lambda p: setattr(transform(p, "create"), "unique_name", "group_by_key")),
    ("no unique name", "has no unique name", lambda p: setattr(p.components.pcollections["create.out"], "unique_name", "")),
    (
        "two producers",
        "P-PIPE-02: PCollection 'create.out' is produced by",
        lambda p: transform(p, "stateful").outputs.update({"more": "create.out"}),
    ),
    (
        "no producer",
        "which no transform produces",
        lambda p: (
            p.components.pcollections["orphan"].CopyFrom(p.components.pcollections["create.out"]),
            setattr(p.components.pcollections["orphan"], "unique_name", "orphan"),
            transform(p, "group_by_key").inputs.update({"in": "orphan"}),
        ),
    ),
    ("cycle", "in a cycle", lambda p: transform(p, "create").inputs.update({"in": "stateful.out"})),
    ("two parents", "has 2 parents", lambda p: p.root_transform_ids.append("create")),
    ("no parent", "has 0 parents", lambda p: p.root_transform_ids.remove("create")),
    ("leaf without urn", "has no URN", lambda p: setattr(transform(p, "create").spec, "urn", "")),
    ("arity", "needs 1", lambda p: transform(p, "group_by_key").inputs.update({"other": "create.out"})),
    ("environment on gbk", "P-PIPE-04", lambda p: setattr(transform(p, "group_by_key"), "environment_id", "harness")),
    ("no environment", "has no environment", lambda p: setattr(transform(p, "create"), "environment_id", "")),
    ("missing requirement", "P-PIPE-05: a ParDo uses", lambda p: p.ClearField("requirements")),
    ("unknown requirement", "requirement beam:requirement:x is unknown", lambda p: p.requirements.append("beam:requirement:x")),
    ("no do_fn", "has no do_fn", payload(lambda m: m.ClearField("do_fn"))),
    ("foreign side input", "declares side input 'other'", payload(lambda m: m.side_inputs["other"].access_pattern.SetInParent())),
    ("two main inputs", "has 2 main inputs", payload(lambda m: m.side_inputs.pop("side"))),
    ("time domain", "has no time domain", payload(lambda m: setattr(m.timer_family_specs["t"], "time_domain", 0))),
    ("state protocol", "has no protocol", payload(lambda m: m.state_specs["s"].ClearField("protocol"))),
    ("state spec", "has no spec", payload(lambda m: m.state_specs["s"].ClearField("bag_spec"))),
    ("expiry", "which it does not declare", payload(lambda m: setattr(m, "on_window_expiration_timer_family_spec", "gone"))),
    (
        "stateful without keys",
        "stateful ParDo",
        lambda p: setattr(p.components.pcollections["create.out"], "coder_id", "c_varint"),
    ),
    ("group without keys", "P-PIPE-14", lambda p: setattr(p.components.pcollections["create.out"], "coder_id", "c_varint")),
    ("combine payload", "has no combine_fn", lambda p: setattr(transform(p, "combine_per_key").spec, "payload", b"")),
    ("payload on impulse", "has a payload of 1 bytes", lambda p: setattr(transform(p, "create.impulse").spec, "payload", b"x")),
    ("payload that is none", "does not parse", lambda p: setattr(transform(p, "stateful").spec, "payload", b"\xff\xff")),
    ("coder components", "P-COD-04", lambda p: p.components.coders["c_iterable_varint"].ClearField("component_coder_ids")),
    (
        "enum",
        "leaves closing_behavior unspecified",
        lambda p: p.components.windowing_strategies["w0"].ClearField("closing_behavior"),
    ),
    ("trigger", "has no trigger", lambda p: p.components.windowing_strategies["w0"].ClearField("trigger")),
]


def test_a_right_pipeline_has_no_violations() -> None:
    assert violations(right()) == []


@pytest.mark.parametrize(
    ("told", "damage"), [(told, damage) for _, told, damage in DAMAGES], ids=[name for name, _, _ in DAMAGES]
)
def test_each_violation_is_told(told: str, damage: Damage) -> None:
    pipeline = right()
    damage(pipeline)
    found = violations(pipeline)
    assert any(told in each for each in found), found


def test_all_violations_are_told_at_once() -> None:
    pipeline = right()
    pipeline.root_transform_ids.append("gone")
    pipeline.requirements.append("beam:requirement:x")
    with pytest.raises(PipelineError) as caught:
        validate(pipeline)
    assert len(caught.value.violations) == 2
    assert "check=False" in str(caught.value)


def test_an_empty_composite_that_returns_its_input_is_right() -> None:
    program = Program()
    created = program.create([1])
    with program.composite("nothing", "beam-conformance:unknown:v1", inputs={"in": created}) as scope:
        scope.output(created)
    assert violations(program.build(pb.Environment(urn=urns.Env.EXTERNAL))) == []
