"""Our expansion service and the client that splices its answers: against each other, and against Beam's own on either side."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from conformance.harness import Session
from conformance.harness.expansion import ExpansionService, client_files
from conformance.harness.offers import OFFERS, TEST, schema
from conformance.pipeline import Fn, PipelineError, Program, coders, external, violations, windowing
from conformance.suite.n_artifacts.staging import file
from conformance.wire import urns
from conformance.wire.api import expansion_pb2
from conformance.wire.api import pipeline_pb2 as pb

ENVIRONMENT = pb.Environment(urn="x:there", capabilities=["c"])
PREFIX = external.configuration(schema(data=str), data="0")


@pytest.fixture
def service() -> Iterator[ExpansionService]:
    with ExpansionService(OFFERS, ENVIRONMENT) as running:
        yield running


def prefixed(program: Program, service: ExpansionService, name: str = "prefixed") -> pb.Pipeline:
    words = program.create(["a"], name=f"words-{name}")
    external.expand(program, service.ask, name, TEST + "prefix", PREFIX, {"in": words})["output"].observe(f"out-{name}")
    return program.build(pb.Environment(urn="x:here"))


def test_answer_is_named_as_asked(service: ExpansionService) -> None:
    """Every new id begins with the namespace, old components come back as they were, the root is not among them (P-XP-02, P-XP-03)."""
    program = Program("p")
    words = program.create(["a"], window=windowing.sliding(10, 5))
    asked = external.request(program, "prefixed", TEST + "prefix", PREFIX, {"in": words}, "ns_")
    answer = service.ask(asked)
    assert not answer.error
    for kind in ("coders", "pcollections", "windowing_strategies", "environments", "transforms"):
        before, after = getattr(asked.components, kind), getattr(answer.components, kind)
        assert all(after[known] == before[known] for known in before)
        assert all(new.startswith("ns_") for new in set(after) - set(before))
    assert set(answer.transform.subtransforms) <= set(answer.components.transforms)
    assert all(answer.transform.unique_name != each.unique_name for each in answer.components.transforms.values())
    assert answer.components.environments[answer.transform.environment_id] == ENVIRONMENT


def test_spliced_pipeline_is_valid(service: ExpansionService) -> None:
    program = Program("p")
    prefixed(program, service, "one")
    pipeline = prefixed(program, service, "two")
    assert violations(pipeline) == []
    assert not [name for name in pipeline.components.transforms if name.startswith(external.STAND_IN)]
    homes = {each.unique_name: each.environment_id for each in pipeline.components.transforms.values()}
    assert homes["one/affix"] == "one_expanded_environment"
    assert homes["observe_out-one"] == "harness"


def test_same_name_twice(service: ExpansionService) -> None:
    program = Program("p")
    once = external.expand(program, service.ask, "x", TEST + "prefix", PREFIX, {"in": program.create(["a"])})["output"]
    external.expand(program, service.ask, "x", TEST + "prefix", PREFIX, {"in": once})
    names = [each.unique_name for each in program.build(pb.Environment(urn="x:here")).components.transforms.values()]
    assert {"x", "x_2", "x/affix", "x_2/affix"} <= set(names)


def test_inside_a_composite(service: ExpansionService) -> None:
    program = Program("p")
    words = program.create(["a"])
    with program.composite("outer", inputs={"in": words}) as scope:
        scope.output(external.expand(program, service.ask, "inner", TEST + "prefix", PREFIX, {"in": words})["output"])
    pipeline = program.build(pb.Environment(urn="x:here"))
    names = {transform.unique_name: transform for transform in pipeline.components.transforms.values()}
    assert "outer/inner/affix" in names
    [child] = names["outer"].subtransforms
    assert pipeline.components.transforms[child].unique_name == "outer/inner"


def test_windowing_survives(service: ExpansionService) -> None:
    program = Program("p")
    pairs = program.create([("a", 1)], window=windowing.sessions(1000))
    made = external.expand(program, service.ask, "grouped", TEST + "gbk", inputs={"in": pairs})["output"]
    assert made.strategy == pairs.strategy.after_grouping()
    assert made.coder == coders.kv(coders.STRING, coders.iterable(coders.VARINT))


@pytest.mark.parametrize("own", [False, True])
def test_coders_are_shared_unless_asked_otherwise(own: bool) -> None:
    with ExpansionService(OFFERS, ENVIRONMENT, own_coders=own) as service:
        program = Program("p")
        pairs = program.create([("a", 1)])
        external.expand(program, service.ask, "grouped", TEST + "gbk", inputs={"in": pairs})
    strings = [proto for proto in program.graph.components.coders.values() if proto.spec.urn == urns.Coder.STRING_UTF8]
    assert len(strings) == (2 if own else 1)


def test_requested_coder(service: ExpansionService) -> None:
    program = Program("p")
    wanted = {"output": coders.BYTES}
    made = external.expand(program, service.ask, "x", TEST + "prefix", PREFIX, {"in": program.create(["a"])}, wanted)
    assert made["output"].coder == coders.BYTES


def test_requirements_are_taken_over() -> None:
    with ExpansionService(OFFERS, ENVIRONMENT, requirements=(urns.Requirement.REQUIRES_STABLE_INPUT,)) as service:
        assert urns.Requirement.REQUIRES_STABLE_INPUT in prefixed(Program("p"), service).requirements


@pytest.mark.parametrize(
    ("urn", "payload", "says"),
    [
        (TEST + "nothing", b"", "nothing here is called"),
        (TEST + "prefix", b"\xff", "DecodeError"),
        (urns.Expansion.SCHEMA_TRANSFORM, external.schema_transform("x:no", schema()), "nothing here is called 'x:no'"),
        (
            urns.Expansion.JAVA_CLASS_LOOKUP,
            external.class_lookup("org.beam.conformance.Affix", (schema(), {}), ("delete", schema(), {})),
            "no method 'delete'",
        ),
    ],
)
def test_refused_in_words(service: ExpansionService, urn: str, payload: bytes, says: str) -> None:
    """The call succeeds, the answer says why there is no expansion (P-XP-06)."""
    program = Program("p")
    with pytest.raises(PipelineError, match=re.escape(says)):
        external.expand(program, service.ask, "x", urn, payload, {"in": program.create(["a"])})


def test_client_refuses_foreign_ids(service: ExpansionService) -> None:
    program = Program("p")
    asked = external.request(program, "x", TEST + "prefix", PREFIX, {"in": program.create(["a"])}, "ns_")
    answer = service.ask(asked)
    changed, stray = expansion_pb2.ExpansionResponse(), expansion_pb2.ExpansionResponse()
    changed.CopyFrom(answer)
    changed.components.pcollections[asked.transform.inputs["in"]].coder_id = "other"
    stray.CopyFrom(answer)
    stray.components.coders["stray"].spec.urn = "x:y"
    with pytest.raises(PipelineError, match="changed pcollections"):
        external.splice(program, asked, changed)
    with pytest.raises(PipelineError, match="'stray'"):
        external.splice(program, asked, stray)


def test_every_offer_is_discovered(service: ExpansionService) -> None:
    found = service.discover()
    assert set(found) == set(OFFERS)
    assert list(found[TEST + "multi"].input_pcollection_names) == ["main1", "main2", "side"]
    assert all(config.description for config in found.values())


def test_dependencies_are_fetched() -> None:
    artifact = file("a.txt")
    path = pb.ArtifactFilePayload.FromString(artifact.type_payload).path
    environment = pb.Environment(urn="x:there", dependencies=[artifact])
    data = b"x" * (2 << 20)
    with ExpansionService({}, environment, {path: data}) as service:
        taken, files = client_files(service.url, environment, "/fetched")
    assert files == {"/fetched/0": data}
    assert taken.dependencies[0].role_payload == artifact.role_payload
    assert pb.ArtifactFilePayload.FromString(taken.dependencies[0].type_payload).path == "/fetched/0"


# Beam's own SDK on the other side


def test_against_beams_expansion_service() -> None:
    """Our client asks Beam's Python service for Beam's own test transform, and what comes back is a valid part of our pipeline."""
    import grpc
    from apache_beam.options.pipeline_options import PipelineOptions
    from apache_beam.portability.api import beam_expansion_api_pb2_grpc
    from apache_beam.runners.portability import expansion_service, expansion_service_test
    from apache_beam.utils.thread_pool_executor import shared_unbounded_instance

    from conformance.wire import rpc

    assert expansion_service_test.TEST_PREFIX_URN == TEST + "prefix"
    server = grpc.server(shared_unbounded_instance())
    servicer = expansion_service.ExpansionServiceServicer(PipelineOptions())
    beam_expansion_api_pb2_grpc.add_ExpansionServiceServicer_to_server(servicer, server)  # type: ignore[no-untyped-call]
    port = server.add_insecure_port("localhost:0")
    server.start()
    channel = rpc.insecure_channel(f"localhost:{port}")
    try:
        ask = rpc.stub(channel, "org.apache.beam.model.expansion.v1.ExpansionService").Expand
        program = Program("p")
        multi = {local: program.create(["a"], name=local) for local in ("main1", "main2", "side")}
        prefix = external.expand(program, ask, "prefixed", TEST + "prefix", PREFIX, {"in": multi["main1"]})
        outputs = external.expand(program, ask, "multi", TEST + "multi", inputs=multi)
    finally:
        channel.close()
        server.stop(None)
    [made] = prefix.values()
    assert made.coder == coders.STRING
    assert set(outputs) == {"main", "side"}
    for output in (made, *outputs.values()):
        output.par_do(Fn("identity"))
    pipeline = program.build(pb.Environment(urn="x:here"))
    assert violations(pipeline) == []
    assert len(pipeline.components.environments) > 1


def test_beams_client_against_our_service() -> None:
    """Beam's own pipeline takes our expansion; Beam's SDK and our harness run the result together on the reference runner."""
    import apache_beam as beam
    from apache_beam.options.pipeline_options import PipelineOptions
    from apache_beam.testing.util import assert_that, equal_to
    from apache_beam.transforms.external import ImplicitSchemaPayloadBuilder

    from conformance.endpoints import open_endpoint
    from conformance.endpoints.address import parse

    with (
        Session() as session,
        ExpansionService(OFFERS, session.environment()) as service,
        open_endpoint(parse("reference")) as endpoint,
    ):
        options = PipelineOptions(
            ["--runner=PortableRunner", f"--job_endpoint={endpoint.url}", "--environment_type=LOOPBACK", "--streaming"]
        )
        with beam.Pipeline(options=options) as pipeline:
            payload = ImplicitSchemaPayloadBuilder({"data": "0"})
            words = pipeline | beam.Create(["a", "b"]).with_output_types(str)
            made = words | beam.ExternalTransform(TEST + "prefix", payload, service.url)
            assert_that(made, equal_to(["0a", "0b"]))
        assert any("affix" in event.transform for event in session.observations.events)
