"""The smoke test: one element through Impulse, ParDo and GroupByKey, step by step, so that a broken set-up is told from a broken runner."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from typing import Final

from attrs import field, frozen

from conformance.endpoints import JobClient, open_endpoint
from conformance.harness import Session
from conformance.harness.transcript import Event, Open
from conformance.pipeline import Fn, Program, coders

__all__ = ["MILESTONES", "Milestone", "Smoke", "missing", "smoke"]


@frozen
class Milestone:
    """Something on the wire that a job of one element comes by, and what to look at where it does not."""

    name: str
    seen: Callable[[Event], bool]
    advice: str


#: In the order in which a job comes by them.
MILESTONES: Final = (
    Milestone(
        "a worker was asked for",
        lambda event: event.kind == "StartWorkerRequest",
        "StartWorker was not called on the URL in the payload of the EXTERNAL environment, or did not get here: the suite listens on "
        "loopback, so a runner in a container needs the host's network",
    ),
    Milestone(
        "the worker opened Control",
        lambda event: event.plane == "control" and isinstance(event.message, Open),
        "the control endpoint of StartWorker has to be one that this machine can dial",
    ),
    Milestone(
        "a bundle was asked for",
        lambda event: event.kind == "InstructionRequest" and bool(event.message.WhichOneof("request") == "process_bundle"),
        "the worker is connected and waits for process_bundle",
    ),
    Milestone(
        "a bundle was answered",
        lambda event: event.kind == "InstructionResponse" and bool(event.message.WhichOneof("response") == "process_bundle"),
        "the worker has the bundle and waits for the rest of its input, or for answers of the state service",
    ),
)


def missing(events: Iterable[Event]) -> Milestone | None:
    """The first milestone that a job did not come by; None if it came by all."""
    seen = list(events)
    return next((each for each in MILESTONES if not any(map(each.seen, seen))), None)


@frozen
class Smoke:
    """Whether the element came through, and a line for each step."""

    ok: bool
    lines: list[str] = field(factory=list)


def smoke(address: str, timeout_scale: float = 1.0) -> Smoke:
    """Run the smoke test against `address`. Raises EndpointError if there is no job service to ask."""
    lines: list[str] = []
    started = time.monotonic()
    with open_endpoint(address, timeout_scale=timeout_scale, progress=lines.append) as endpoint:
        lines.append(f"reached {endpoint.address} at {endpoint.url} in {time.monotonic() - started:.2f} s")
        session = Session()
        scale = timeout_scale * endpoint.profile.slowness
        client = JobClient(endpoint, transcript=session.transcript, timeout_scale=scale)
        try:
            program = Program("smoke")
            pair = program.impulse().par_do(Fn("create", values=[{"tuple": ["key", 1]}]), coders.kv(coders.STRING, coders.VARINT))
            pair.group_by_key().observe("out")
            outcome = client.run_job(
                program.build(session.environment()), options=endpoint.options(), job_name="beam-conformance-smoke"
            )
            seen = [(observation.value[0], list(observation.value[1])) for observation in session.observations["out"]]
        finally:
            client.close()
            session.close()
        for phase, seconds in outcome.timings:
            lines.append(f"{phase.value}: {seconds * 1000:.0f} ms")
        lines.append(f"job ended {outcome.state or 'nowhere'}")
        if outcome.error is not None or outcome.state != "DONE":
            lines.append(f"the runner said: {outcome.error_text or 'nothing'}")
            if (lacking := missing(session.transcript)) is not None:
                lines.append(f"not seen: {lacking.name}. {lacking.advice[0].upper()}{lacking.advice[1:]}.")
            return Smoke(False, lines)
        if seen != [("key", [1])]:
            lines.append(f"DONE, but the element did not come through: expected [('key', [1])], observed {seen}")
            return Smoke(False, lines)
        lines.append("the element came through Impulse, ParDo and GroupByKey: the set-up works")
        return Smoke(True, lines)
