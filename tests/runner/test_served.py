"""TestStreams whose events come from a service; it is Beam's own TestStreamService that serves them."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from apache_beam.portability.api import beam_runner_api_pb2
from apache_beam.testing.test_stream_service import TestStreamServiceController

from conformance.harness.session import Session
from conformance.pipeline import Fn, Program, coders, windowing
from conformance.pipeline.teststream import Elements, Event, ProcessingTime, Watermark
from conformance.wire import urns
from conformance.wire.api import job_pb2
from conformance.wire.api import pipeline_pb2 as pb
from tests.runner.conftest import TIMEOUT

FIXED = windowing.fixed(10)
_WITH_KEY = Fn("with_key", key="k")
SCRIPT = [Elements([("a", 1)]), Watermark(10), Elements([("late", 2), ("b", 12)]), Watermark(20)]


class Reader:
    """What Beam's service reads from: events, and what is to be waited for between them."""

    def __init__(self, events: Iterable[Any]) -> None:
        self._events = list(events)
        self.asked: list[list[Any]] = []

    def read_multiple(self, labels: list[Any]) -> Iterator[Any]:
        self.asked.append(labels)
        for event in self._events:
            if callable(event):
                event()
            else:
                yield event


def script_of(pipeline: pb.Pipeline) -> pb.PTransform:
    (found,) = [each for each in pipeline.components.transforms.values() if each.spec.urn == urns.Transform.TEST_STREAM]
    return found


def program_of(events: list[Event], outputs: Any = coders.STRING) -> Program:
    program = Program()
    stream = program.test_stream(events, outputs)
    streams = stream if isinstance(stream, dict) else {"": stream}
    for tag, each in streams.items():
        each.window_into(FIXED, name=f"window{tag}").par_do(
            _WITH_KEY, coders.kv(coders.STRING, coders.STRING), name=f"key{tag}"
        ).group_by_key(f"group{tag}").observe(f"o{tag}")
    return program


@contextmanager
def served(
    program: Program, session: Session, between: Callable[[int], Any] | None = None
) -> Iterator[tuple[pb.Pipeline, Reader]]:
    """The pipeline with its script taken out, and a service that has it; `between` runs before each event."""
    pipeline = program.build(session.environment())
    transform = script_of(pipeline)
    payload = pb.TestStreamPayload.FromString(transform.spec.payload)
    events: list[Any] = []
    for number, event in enumerate(payload.events):
        if between is not None:
            events.append(lambda number=number: between(number))
        events.append(beam_runner_api_pb2.TestStreamPayload.Event.FromString(event.SerializeToString()))
    reader = Reader(events)
    controller = TestStreamServiceController(reader)
    controller.start()
    del payload.events[:]
    payload.endpoint.url = controller.endpoint
    transform.spec.payload = payload.SerializeToString()
    try:
        yield pipeline, reader
    finally:
        controller.stop()


def values(session: Session, observer: str = "o") -> list[Any]:
    return [sorted(each.value[1]) for each in session.observations[observer]]


def test_events_come_from_the_service(client, session):
    with served(program_of(SCRIPT), session) as (pipeline, reader):
        assert client.run(pipeline).state == "DONE"
    assert values(session) == [["a"], ["b"]]
    assert len(reader.asked) == 1


def test_several_outputs_are_asked_for_by_their_tags(client, session):
    events = [Elements([("a", 1)], tag="x"), Watermark(10, "x"), Elements([("b", 2)], tag="y"), Watermark(10, "y")]
    with served(program_of(events, {"x": coders.STRING, "y": coders.STRING}), session) as (pipeline, reader):
        assert client.run(pipeline).state == "DONE"
    assert (values(session, "ox"), values(session, "oy")) == ([["a"]], [["b"]])
    assert reader.asked == [[("full", "x"), ("full", "y")]]


def test_the_pipeline_goes_on_as_far_as_it_was_told(client, session):
    """The service waits with the next event until what the one before it causes was seen."""

    def between(number: int) -> None:
        if number == 2:
            assert session.observations.wait_for("o", 1, TIMEOUT)

    with served(program_of(SCRIPT), session, between) as (pipeline, _):
        assert client.run(pipeline).state == "DONE"
    assert values(session) == [["a"], ["b"]]


def test_a_job_whose_service_says_nothing_can_be_cancelled(client, session):
    quiet, asked = threading.Event(), threading.Event()

    def between(number: int) -> None:
        asked.set()
        quiet.wait(TIMEOUT)

    with served(program_of(SCRIPT), session, between) as (pipeline, _):
        job = client.start(pipeline)
        assert asked.wait(TIMEOUT)
        client.jobs.Cancel(job_pb2.CancelJobRequest(job_id=job), timeout=TIMEOUT)
        assert client.wait(job).state == "CANCELLED"
        quiet.set()


def test_a_service_that_is_not_there_fails_the_job(client, session):
    with served(program_of(SCRIPT), session) as (pipeline, _):
        pass
    outcome = client.run(pipeline)
    assert outcome.state == "FAILED"
    assert "TestStreamService at localhost:" in outcome.errors[0]
    assert "see that it runs" in outcome.errors[0]


@pytest.mark.parametrize(("event", "why"), [(Watermark(5), "moves back to 5"), (ProcessingTime(-3), "moves back by 3 ms")])
def test_time_that_runs_backward_fails_the_job(client, session, event, why):
    program = program_of([Watermark(10), Elements([("a", 12)])])
    pipeline = program.build(session.environment())
    payload = pb.TestStreamPayload.FromString(script_of(pipeline).spec.payload)
    if isinstance(event, Watermark):
        payload.events.add().watermark_event.new_watermark = 5
    else:
        payload.events.add().processing_time_event.advance_duration = -3
    program.build = lambda environment: pipeline  # type: ignore[method-assign]
    script_of(pipeline).spec.payload = payload.SerializeToString()
    with served(program, session) as (changed, _):
        outcome = client.run(changed)
    assert outcome.state == "FAILED"
    assert why in outcome.errors[0]
