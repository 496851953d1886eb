"""What a fault in a right job is, and the list of all of them; the faults themselves stand in faults_*.py.

A Fault is a right job, one change, and what must come of it: this invariant and no other (save those in `also`, where one fault
breaks two rules), at this message, in a sentence that names the offender.
"""

from __future__ import annotations

from collections.abc import Callable

import attrs
from invariant_jobs import (
    Job,
    Record,
    good,
    timer,
)

from conformance.wire.api import fn_pb2

Change = Callable[[Job], Record]


@attrs.frozen
class Fault:
    """One change to a right job."""

    invariant: str
    what: str
    change: Change
    #: A regular expression that the finding's sentence must match.
    says: str
    base: Callable[[], Job] = good
    also: frozenset[str] = frozenset()
    level: str | None = None


FAULTS: list[Fault] = []


def fault(
    invariant: str, says: str, base: Callable[[], Job] = good, also: str = "", level: str | None = None
) -> Callable[[Change], Change]:
    """Register a change as a fault; the function's name says what it does."""

    def register(change: Change) -> Change:
        FAULTS.append(Fault(invariant, change.__name__.strip("_"), change, says, base, frozenset(also.split()), level))
        return change

    return register


#: The two firings of good().
RIGHT = (timer(b"k2", 5_000), timer(b"k1", 9_999, 9_000))


def port_coder(job: Job, stage: str, transform: str, coder_id: str) -> Record:
    spec = job[stage].message.transforms[transform].spec
    port = fn_pb2.RemoteGrpcPort.FromString(spec.payload)
    port.coder_id = coder_id
    spec.payload = port.SerializeToString()
    return job[stage]


def cut_behind(job: Job, name: str) -> None:
    """Leave out what follows a record, up to the end of the job."""
    start, stop = job.records.index(job[name]) + 1, job.records.index(job["message.DONE"])
    del job.records[start:stop]


def declare(job: Job, capability: str) -> None:
    job["prepare.ask"].message.pipeline.components.environments["env"].capabilities.append(capability)


def embed(job: Job, complete: bool = True) -> Record:
    elements = job["b7"].message.process_bundle.elements
    elements.CopyFrom(job.drop("b7.data").message)
    ends = job.drop("b7.ends").message
    if complete:
        elements.MergeFrom(ends)
    return job["b7"]


def fire_timers(job: Job, *timers: bytes) -> Record:
    job["b4.data"].message.timers[0].timers = b"".join(timers)
    return job["b4.data"]
