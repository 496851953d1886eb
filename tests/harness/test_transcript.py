"""The transcript keeps order, filters, and renders any message as JSON."""

from __future__ import annotations

import json
import threading

from conformance.harness.transcript import End, Open, Transcript
from conformance.wire import timestamps
from conformance.wire.api import fn_pb2, google_pb2, pipeline_pb2


def test_events_keep_their_order_and_filter() -> None:
    transcript = Transcript()
    transcript.append("control", "Control", "S->R", "w", Open("localhost:1", (("worker_id", "w"),)))
    transcript.append("control", "Control", "R->S", "w", fn_pb2.InstructionRequest(instruction_id="i1"))
    transcript.append("data", "Data", "R->S", "w", fn_pb2.Elements())
    transcript.append("control", "Control", "R->S", "w", End("OK"))
    assert [event.seq for event in transcript] == [0, 1, 2, 3]
    assert [event.kind for event in transcript.events(plane="control")] == ["open", "InstructionRequest", "end"]
    assert len(transcript.events(kind="Elements", worker_id="w")) == 1
    assert transcript.events(method="Data", direction="S->R") == []


def test_to_json_is_json_with_readable_messages() -> None:
    transcript = Transcript()
    transcript.append("data", "Data", "R->S", "w", fn_pb2.Elements(data=[fn_pb2.Elements.Data(instruction_id="i", data=b"x")]))
    transcript.append("data", "Data", "R->S", "w", End("CANCELLED", "bye"))
    rendered = json.loads(json.dumps(transcript.to_json()))
    assert rendered[0]["message"]["data"][0] == {"instruction_id": "i", "data": "eA=="}
    assert rendered[1]["message"] == {"status": "CANCELLED", "detail": "bye"}


def test_appending_from_many_threads_loses_nothing() -> None:
    transcript = Transcript()

    def append() -> None:
        for _ in range(200):
            transcript.append("state", "State", "S->R", "w", Open())

    threads = [threading.Thread(target=append) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [event.seq for event in transcript] == list(range(800))


def test_timestamps_at_the_ends_of_time_are_rendered_too() -> None:
    """Protobuf's own JSON form refuses them; a source that has reported nothing yet sends the minimum (M-TIME-01)."""
    seconds, rest = divmod(timestamps.MIN, 1000)
    root = fn_pb2.DelayedBundleApplication(
        application=fn_pb2.BundleApplication(
            transform_id="t",
            element=b"ab",
            output_watermarks={"out": google_pb2.Timestamp(seconds=seconds, nanos=rest * 1_000_000)},
            is_bounded=pipeline_pb2.IsBounded.UNBOUNDED,
        )
    )
    response = fn_pb2.InstructionResponse(
        instruction_id="i1", process_bundle=fn_pb2.ProcessBundleResponse(residual_roots=[root], requires_finalization=True)
    )
    transcript = Transcript()
    transcript.append("control", "Control", "S->R", "w", response)
    (rendered,) = json.loads(json.dumps(transcript.to_json()))
    assert rendered["message"]["instruction_id"] == "i1"
    bundle = rendered["message"]["process_bundle"]
    assert bundle["requires_finalization"] is True
    application = bundle["residual_roots"][0]["application"]
    assert application == {
        "transform_id": "t",
        "element": "YWI=",
        "output_watermarks": {"out": {"seconds": seconds, "nanos": rest * 1_000_000}},
        "is_bounded": "UNBOUNDED",
    }
