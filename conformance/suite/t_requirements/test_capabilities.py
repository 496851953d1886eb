"""Capabilities: what a worker does not declare is not asked of it; what the runner declares is honoured; coders unknown to it."""

from __future__ import annotations

from typing import Any

from conformance.harness import Session
from conformance.harness.capabilities import DEFAULT
from conformance.pipeline import Fn, Program, coders, state, windowing
from conformance.suite.assertions import asserts
from conformance.suite.case import Case, Scenario
from conformance.suite.checks import same, same_multiset
from conformance.suite.execution import RunnerUnderTest
from conformance.suite.m_job_api.driving import plain, run_program
from conformance.suite.outcomes import NotExercised
from conformance.suite.run import Run
from conformance.wire import urns

_P = urns.Protocol
GROUPED = {"k": [1, 2, 3]}


def without(*protocols: str) -> tuple[str, ...]:
    """The usual capabilities but for these."""
    return tuple(sorted(DEFAULT - set(protocols)))


def _requests(run: Run, kind: str) -> list[Any]:
    """The instructions of one kind that workers got."""
    return [
        event.message
        for event in run.transcript.events("control", direction="R->S", kind="InstructionRequest")
        if event.message.WhichOneof("request") == kind
    ]


def _bundles(run: Run) -> list[Any]:
    """The ProcessBundle requests. Raises NotExercised if none was seen, as when workers are processes of their own."""
    found = [request.process_bundle for request in _requests(run, "process_bundle")]
    if not found:
        raise NotExercised("the workers' instructions are not in the transcript; run without --beam-environment process")
    return found


@asserts("REQ09/nothing-declared-works", alone=True)
def test_nothing_declared_works(case: Case) -> Scenario:
    case.capabilities = ()
    pairs = case.program.create([("a", 1), ("ä", 2), ("a", 3)], timestamps=[1, 2, 3])
    pairs.group_by_key().observe("grouped")
    pairs.par_do(Fn("swap"), coders.kv(coders.VARINT, coders.STRING)).reshuffle().observe("out")
    run = yield
    same(run.groups("grouped"), {"a": [1, 3], "ä": [2]}, "the groups", rule="P-PIPE-06")
    same_multiset(run.values("out"), [(1, "a"), (2, "ä"), (3, "a")], "the elements", rule="P-PIPE-06")


@asserts("REQ09/no-embedded-input", alone=True)
def test_no_embedded_input(case: Case) -> Scenario:
    case.capabilities = without(_P.CONTROL_REQUEST_ELEMENTS_EMBEDDING)
    plain(case.program)
    run = yield
    embedded = [bundle.process_bundle_descriptor_id for bundle in _bundles(run) if bundle.HasField("elements")]
    same(embedded, [], "bundles whose elements were in the instruction", rule="P-CTL-14")


@asserts("REQ09/no-named-streams", alone=True)
def test_no_named_streams(case: Case) -> Scenario:
    case.capabilities = without(_P.NAMED_DATA_STREAMS)
    plain(case.program)
    run = yield
    same([bundle.data_stream_id for bundle in _bundles(run) if bundle.data_stream_id], [], "data stream names", rule="P-CTL-17")


@asserts("REQ09/no-samples-asked", alone=True)
def test_no_samples_asked(case: Case) -> Scenario:
    case.capabilities = without(_P.DATA_SAMPLING)
    plain(case.program)
    run = yield
    _bundles(run)
    same(len(_requests(run, "sample_data")), 0, "the requests for samples", rule="P-CTL-26")


@asserts("REQ09/no-cache-tokens", alone=True)
def test_no_cache_tokens(case: Case) -> Scenario:
    case.capabilities = without(_P.STATE_CACHING)
    pairs = case.program.create([("a", 1), ("b", 2), ("a", 3)])
    pairs.par_do(Fn("count_by_key"), state={"count": state.value(coders.VARINT)}).observe("out")
    run = yield
    same_multiset(run.values("out"), [("a", 1), ("a", 2), ("b", 1)], rule="P-PIPE-06")
    tokens = sum(len(bundle.cache_tokens) for bundle in _bundles(run))
    same(tokens, 0, "the cache tokens that a worker without caching got", rule="P-PIPE-06")


@asserts("REQ10/embedded-output-read")
def test_embedded_output_read(runner: RunnerUnderTest) -> None:
    def embed(session: Session) -> None:
        session.embed_outputs = True

    def build(program: Program) -> None:
        created = program.create([1, 2, 3], timestamps=[1, 2, 3], window=windowing.fixed(1000))
        created.par_do(Fn("with_key", key="k"), coders.kv(coders.STRING, coders.VARINT)).group_by_key().observe("out")

    run = run_program(runner, build, label="embedded-outputs", setup=embed)
    if not any(worker.runner_has(urns.RunnerProtocol.CONTROL_RESPONSE_ELEMENTS_EMBEDDING) for worker in run.session.workers):
        raise NotExercised("the runner does not declare that it reads elements in responses")
    same(run.groups("out"), GROUPED, rule="P-CTL-15")


@asserts("REQ12/unknown-coder-opaque", alone=True)
def test_unknown_coder_opaque(case: Case) -> Scenario:
    nested = coders.kv(coders.JSON, coders.kv(coders.JSON, coders.VARINT))
    values = [({"x": 1}, ("p", 1)), ({"x": 2}, ({"q": []}, 2)), ({"x": 1}, ("", 3)), ([], ("r", 4))]
    pairs = case.program.create(values, coder=nested)
    pairs.group_by_key().par_do(Fn("ungroup"), nested).observe("out")
    run = yield
    same_multiset(run.values("out"), values, "the elements", rule="P-COD-06")
