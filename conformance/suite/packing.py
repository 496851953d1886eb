"""How many programs to pack into a job, measured at the start of a run with trivial programs on the endpoint itself."""

from __future__ import annotations

import time

from conformance.endpoints import Endpoint, JobClient, PackSize, pack_size
from conformance.endpoints.job import Wants
from conformance.harness import Session
from conformance.pipeline import Program

__all__ = ["measured_pack_size"]


def measured_pack_size(endpoint: Endpoint, timeout_scale: float = 1.0) -> PackSize:
    """The pack size for `endpoint`, from a second or so of trivial jobs; 1 if it cannot even run those (the suite will say why)."""

    def run_pack(branches: int) -> float:
        program = Program("measure")
        for branch in range(branches):
            pairs = program.branch(f"m{branch}").create([("k", branch)])
            pairs.group_by_key().observe("out")
        session = Session()
        started = time.monotonic()
        try:
            with JobClient(endpoint, transcript=session.transcript, timeout_scale=timeout_scale) as client:
                outcome = client.run_job(
                    program.build(session.environment()),
                    options=endpoint.options(),
                    job_name="beam-conformance-measure",
                    wants=Wants(metrics=False),
                )
        finally:
            session.close()
        if not outcome.done:
            raise CannotMeasure(outcome.error_text)
        return time.monotonic() - started

    try:
        return pack_size(run_pack, endpoint.profile.packing, known=endpoint.profile.pack)
    except CannotMeasure as error:
        return PackSize(1, reason=f"a trivial job did not end DONE: {error}")


class CannotMeasure(Exception):
    """A trivial job did not come to its end."""
