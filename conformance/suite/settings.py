"""What a run of the suite was asked for, as frozen data: shared by the plugin, the command line and the execution."""

from __future__ import annotations

from attrs import frozen

__all__ = ["ENVIRONMENTS", "Settings"]

#: In the process of the suite; as a process, or in a container, that the runner starts.
ENVIRONMENTS = ("loopback", "process", "docker")


@frozen
class Settings:
    """The answers to every option; defaults are those of a bare `beam-conformance run`."""

    #: Address of the runner (`conformance.endpoints.address` has the grammar).
    runner: str = "reference"
    #: What results call the runner, "NAME VERSION"; "" takes what its profile and itself tell.
    label: str = ""
    modes: tuple[str, ...] = ("batch",)
    #: How many generated programs a property-based assertion tries.
    examples: int = 15
    seed: int = 0
    #: Whether a generated program that fails is made as small as possible before it is told.
    shrink: bool = True
    #: Multiplies every time budget.
    timeout_scale: float = 1.0
    #: None: measured at the start; 1: no packing.
    pack_size: int | None = None
    #: Whether a prerequisite that fails keeps what rests on it from being judged; each by itself otherwise.
    blocks: bool = True
    #: Where the harness runs: one of ENVIRONMENTS.
    environment: str = "loopback"
    #: What plays event scripts: "auto" is TestStream, or "sdf" where the runner declines it.
    script_source: str = "auto"
    sdk: str = "harness"
    areas: tuple[str, ...] = ()
    leaves: tuple[str, ...] = ()
    #: (I, N) of `--shard I/N`, counted from 1.
    shard: tuple[int, int] | None = None
    #: Directory for results.jsonl, junit.xml and index.html; None writes nothing.
    output: str | None = None
    #: File for what of Beam's interface the run's messages reached; "" does not look, which saves a tenth of the time.
    reach: str = ""
    #: What narrowed the run, in words; empty for the whole suite.
    selection: str = ""
    #: The command line to print as the way to reproduce.
    command: str = "beam-conformance run"
