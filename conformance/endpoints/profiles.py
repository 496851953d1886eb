"""What is known of each runner that an address may name, as data. How a profile is started lives in `launchers`.

Numbers are measured on 2 cores (see each profile's notes); budgets leave room for a machine ten times slower.
"""

from __future__ import annotations

from typing import Literal

from attrs import frozen

__all__ = ["PROFILES", "Packing", "Profile"]

#: Whether a job of many independent branches is cheaper than many jobs: known to be, known not to be, or to be measured.
Packing = Literal["gains", "loses", "measure"]


@frozen
class Profile:
    """One runner: how it is started, how long that may take, what it runs, and habits that a client may rely on."""

    name: str
    start: str
    #: seconds from the start of the process to an answering job service
    ready_seconds: float
    modes: tuple[str, ...] = ("batch", "streaming")
    #: pipeline options that every job gets unless it sets them itself, by name (without the urn form of P-JOB-14)
    options: tuple[tuple[str, str], ...] = ()
    packing: Packing = "measure"
    #: how many processes of the suite, each with a runner of its own, `--jobs auto` starts at most for a whole run
    processes: int = 1
    #: a message stream opened after the end still tells why a job failed (P-JOB-04 leaves it free)
    keeps_messages: bool = False
    #: the staging stream may be left out for a pipeline without dependencies (P-ART-06 only obliges the runner to serve it)
    staging_optional: bool = False
    #: seconds that it is worth to wait for the end of a job whose worker never connects
    worker_wait: float = 150
    #: said instead of starting it; empty when it can be started
    instead: str = ""
    notes: str = ""


def _not_yet(name: str, how: str) -> str:
    return (
        f"Profiles that launch {name} are not there yet. Start its job server yourself ({how}) "
        f"and pass its address as grpc://HOST:PORT."
    )


PROFILES: dict[str, Profile] = {
    profile.name: profile
    for profile in (
        Profile(
            "reference",
            start="python -m conformance.runner --port 0",
            ready_seconds=20,
            # One suite and one runner keep hardly more than one core busy: 56 and 11 of 67 CPU seconds.
            processes=4,
            keeps_messages=True,
            staging_optional=True,
            worker_wait=20,
            notes="The bundled reference runner, as a process of its own so that suite and runner use a core each.",
        ),
        Profile(
            "prism",
            start="prism --job_port 0 --serve_http=false",
            ready_seconds=20,
            packing="measure",
            keeps_messages=True,
            staging_optional=True,
            worker_wait=75,
            notes="Ready in about 30 ms. Dies as a process on some bad answers. 19 ms a job; 32 ms a branch when 50 are packed, "
            "unless the harness answers a bundle before it sends the bundle's data: then 5 ms. "
            "Tells the reason of a failure after the FAILED state.",
        ),
        Profile(
            "python",
            start="python -m apache_beam.runners.portability.local_job_service_main --port 0",
            ready_seconds=60,
            packing="measure",
            keeps_messages=True,
            staging_optional=True,
            worker_wait=10,
            notes="Ready in about 1 s. One bundle at a time; 43 ms a job, 9 ms a branch when 50 are packed. "
            "Hangs when a worker is lost, and waits for ever for one that does not connect.",
        ),
        Profile("grpc", start="attached to, not started", ready_seconds=10),
        Profile(
            "flink",
            start="java -jar JOB_SERVER_JAR",
            ready_seconds=120,
            packing="gains",
            instead=_not_yet("Flink", "java -jar beam-runners-flink-1.19-job-server.jar --job-port 8099"),
            notes="1.7 s a job, 5 s the first one.",
        ),
        Profile(
            "spark",
            start="java -jar JOB_SERVER_JAR",
            ready_seconds=120,
            packing="gains",
            instead=_not_yet("Spark", "java -jar beam-runners-spark-3-job-server.jar --job-port 8099"),
            notes="0.8 s a job, 8 s the first one; one job at a time, and one that hangs spoils all later ones.",
        ),
        Profile(
            "docker",
            start="docker run --network=host IMAGE",
            ready_seconds=120,
            notes="The image's own command, in the host's network; the port is read from its log.",
        ),
    )
}
