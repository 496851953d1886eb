"""The smoke test: one element through Impulse, ParDo and GroupByKey, step by step, so that a broken set-up is told from a broken runner."""

from __future__ import annotations

import time

from attrs import field, frozen

from conformance.endpoints import JobClient, open_endpoint
from conformance.harness import Session
from conformance.pipeline import Fn, Program, coders

__all__ = ["Smoke", "smoke"]


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
            return Smoke(False, lines)
        if seen != [("key", [1])]:
            lines.append(f"DONE, but the element did not come through: expected [('key', [1])], observed {seen}")
            return Smoke(False, lines)
        lines.append("the element came through Impulse, ParDo and GroupByKey: the set-up works")
        return Smoke(True, lines)
