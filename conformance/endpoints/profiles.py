"""What is known of each runner that an address may name, as data. How a profile is started lives in `launchers`.

Numbers are measured on 2 cores (see each profile's notes); budgets leave room for a machine ten times slower.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Literal

from attrs import field, frozen

__all__ = ["LARGE_PACK", "PROFILES", "Packing", "Profile"]

#: Branches a job for runners whose single job is dear (Spark 0.8 s, Flink 1.7 s): nearly all is the job's own cost.
LARGE_PACK = 20

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
    #: sets of options that an address may ask for by name (`with=NAME`), over all others
    variants: Mapping[str, tuple[tuple[str, str | bool], ...]] = field(factory=dict)
    #: more of them for programs of one mode
    mode_options: Mapping[str, tuple[tuple[str, str | bool], ...]] = field(factory=dict)
    packing: Packing = "measure"
    #: how many processes of the suite, each with a runner of its own, `--jobs auto` starts at most for a whole run
    processes: int = 1
    #: branches a job where packing is known to gain
    pack: int = LARGE_PACK
    #: a message stream opened after the end still tells why a job failed (P-JOB-04 leaves it free)
    keeps_messages: bool = False
    #: the staging stream may be left out for a pipeline without dependencies (P-ART-06 only obliges the runner to serve it)
    staging_optional: bool = False
    #: seconds that it is worth to wait for the end of a job whose worker never connects
    worker_wait: float = 150
    #: the first job after a start takes several times as long as the next ones
    slow_at_first: bool = False
    #: seconds after which a job, or a pack of them, is taken for hung
    job_seconds: float = 60
    #: multiplies every time budget of the suite
    slowness: float = 1.0
    #: features (`conformance/suite/features.toml`) that Beam's capability matrix, or the runner's own words, claim for it; None: nobody
    #: claims anything
    claims: tuple[str, ...] | None = None
    #: more of them in one mode
    mode_claims: Mapping[str, tuple[str, ...]] = field(factory=dict)
    notes: str = ""

    def options_for(self, mode: str, variants: Iterable[str] = ()) -> dict[str, Any]:
        """The pipeline options of a job whose program is of this mode. KeyError for a variant that there is not."""
        found = {**dict(self.options), **dict(self.mode_options.get(mode, ()))}
        for name in variants:
            found |= dict(self.variants[name])
        return found

    def claimed(self, mode: str) -> frozenset[str] | None:
        """The features that are claimed for it in a mode; None if nobody claims anything."""
        return None if self.claims is None else frozenset(self.claims) | frozenset(self.mode_claims.get(mode, ()))


#: What all runners with state, timers and splittable functions claim.
_USUAL = (
    "event-timers",
    "processing-timers",
    "shared-flatten-input",
    "splittable",
    "user-counters",
    "value-and-bag-state",
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
            claims=(
                *_USUAL,
                "any-of-environments",
                "custom-merging-windows",
                "custom-windows",
                "drain",
                "dynamic-splits",
                "finalization",
                "map-and-set-state",
                "on-window-expiration",
                "ordered-list-state",
                "self-checkpoints",
                "test-stream",
                "unknown-requirements",
            ),
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
            # Its list of supported requirements, and the test filters of the SDKs.
            claims=(
                *_USUAL,
                "any-of-environments",
                "dynamic-splits",
                "finalization",
                "map-and-set-state",
                "on-window-expiration",
                "ordered-list-state",
                "self-checkpoints",
                "test-stream",
                "unknown-requirements",
            ),
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
            # Its list of supported requirements, and the tests of its own class.
            claims=(
                *_USUAL,
                "custom-windows",
                "dynamic-splits",
                "finalization",
                "self-checkpoints",
                "unknown-requirements",
            ),
            notes="Ready in about 1 s. One bundle at a time; 43 ms a job, 9 ms a branch when 50 are packed. "
            "Hangs when a worker is lost, and waits for ever for one that does not connect.",
        ),
        Profile("grpc", start="attached to, not started", ready_seconds=10),
        Profile(
            "flink",
            start="java -cp CACHE/* org.apache.beam.runners.flink.FlinkJobServerDriver --job-port 0",
            ready_seconds=120,
            # Bundles of a stream last until their time is up, 1 s unless told otherwise; a function that defers its rest waits for that.
            mode_options={"streaming": (("streaming", True), ("max_bundle_time_mills", "50"))},
            # Checkpoints, and sources that shut down all the same, as Beam's own tests of finalization have it.
            variants={
                "checkpoints": (
                    ("checkpointing_interval", "1000"),
                    ("shutdown_sources_after_idle_ms", "2000"),
                    ("max_bundle_time_mills", "1000"),
                )
            },
            packing="gains",
            pack=40,
            # The job server and the suite keep 0.85 of a core busy.
            processes=2,
            worker_wait=10,
            slow_at_first=True,
            job_seconds=20,
            slowness=2.0,
            # Beam's capability matrix, and what its Python test class for this runner does not skip.
            claims=(*_USUAL, "any-of-environments", "self-checkpoints"),
            mode_claims={"streaming": ("finalization", "test-stream")},
            notes="Ready in 4 s. 1.7 s a job, the first one of a JVM 5 s. CPU of the server a branch: 2.6 s alone, 0.44 s in a pack of 10, "
            "0.27 s of 20, 0.18 s of 40. Streams where a program asks for it, or mode=streaming does.",
        ),
        Profile(
            "spark",
            start="java -cp CACHE/* org.apache.beam.runners.spark.SparkJobServerDriver --job-port 0",
            ready_seconds=120,
            mode_options={"streaming": (("streaming", True),)},
            packing="gains",
            processes=2,
            worker_wait=10,
            slow_at_first=True,
            job_seconds=20,
            slowness=2.0,
            # The same; its test class skips little of it.
            claims=(*_USUAL, "any-of-environments"),
            notes="Ready in 5 s. 0.8 s a job, the first one of a JVM 8 s; one job at a time, and one that hangs spoils all later ones.",
        ),
        Profile(
            "docker",
            start="docker run --network=host IMAGE",
            ready_seconds=120,
            notes="The image's own command, in the host's network; the port is read from its log.",
        ),
    )
}
