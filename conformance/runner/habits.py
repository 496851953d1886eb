"""The free choices of the runner, one small named method each: what the model leaves to it, and its defaults.

`rules.Rules` inherits them, so that a variant overrides a freedom, and a mutant a rule or a step of the shell, in the same
way: one method. Nothing here decides what a pipeline yields. Methods are called once a job, a bundle or a request, never
once an element; where a choice would need elements cut out of chunks, a cheap method tells first whether it is wanted.
"""

from __future__ import annotations

import random
from collections.abc import Collection, Sequence
from typing import TypeVar

from conformance.wire import urns

__all__ = ["CAPABILITIES", "EMBEDDED_BYTES", "Habits"]

T = TypeVar("T")

#: Input up to this size goes with the instruction, where the SDK reads it there.
EMBEDDED_BYTES = 64 << 10
#: What this runner declares to harnesses.
CAPABILITIES = (
    urns.RunnerProtocol.MONITORING_INFO_SHORT_IDS,
    urns.RunnerProtocol.MULTIMAP_KEYS_VALUES_SIDE_INPUT,
    urns.RunnerProtocol.CONTROL_RESPONSE_ELEMENTS_EMBEDDING,
)


class Habits:
    """How this runner uses its freedoms. One for each job; `dice` are the only randomness, the same for the same seed."""

    def __init__(self, seed: int = 0) -> None:
        self.dice = random.Random(seed)

    def part(self, default: type[T]) -> type[T]:
        """The class that does a part of the runner's work: `default`; a mutant puts a subclass in its place."""
        return default

    # ---- stages

    def fuses(self) -> bool:
        """Whether transforms of one environment share stages (P-PIPE-09, M-BNDL-11)."""
        return True

    def lifts(self, legal: bool) -> bool:
        """Whether a Combine runs as precombine, group, merge, extract; `legal`: the model allows it (M-COMB-02, M-COMB-03)."""
        return legal

    def environment_preference(self, kinds: Sequence[str]) -> Sequence[str]:
        """Which alternative of an AnyOf environment is started first (P-ENV-01)."""
        return kinds

    # ---- bundles

    def bundle_elements(self) -> int | None:
        """How many elements the next bundle has at most; None for as many as there are (M-BNDL-01)."""
        return None

    def shuffles(self) -> bool:
        """Whether the order of elements in bundles is `shuffled`; it is where no rule asks for one (M-BNDL-09)."""
        return False

    def shuffled(self, count: int) -> list[int]:
        """The order of so many elements, as their numbers."""
        order = list(range(count))
        self.dice.shuffle(order)
        return order

    def timers_reversed(self) -> bool:
        """Whether keys whose timers are due at once get them in reverse order; of one key they stay in order (M-TIMER-17)."""
        return False

    def replays(self) -> bool:
        """Whether answers without fault may be thrown away. Harnesses are told so, and see by FinalizeBundle what counts (P-CTL-22)."""
        return False

    def throws_away(self, attempts: int) -> bool:
        """Whether an answer without fault is not committed, and its bundle runs again (M-BNDL-05); the first is attempt 1."""
        return False

    def breaks(self, attempts: int) -> bool:
        """Whether something fails between an answer without fault and its commit (M-BNDL-03)."""
        return False

    def retries(self, attempts: int) -> bool:
        """Whether a bundle that failed so often runs again (M-BNDL-04): three attempts in all, then the job fails."""
        return attempts < 3

    def bundles_at_once(self) -> int:
        """How many bundles run at a time on a worker; beyond some dozens they only wait longer for their answers to be read."""
        return 64

    # ---- splits and progress

    def split_attempts(self) -> int:
        """After how many empty answers a bundle is not asked for a split any more (P-SPL-03).

        One may only mean that the worker had not begun yet; with four, the last is asked for after half a minute.
        """
        return 4

    def split_interval(self) -> float:
        """Seconds that a bundle runs before it is asked for progress and a split; the next time comes after four times as long."""
        return 0.3

    def split_fraction(self) -> float:
        """How much of what it has left a bundle is asked to keep (P-SPL-02)."""
        return 0.5

    def asks_progress(self, declared: Collection[str]) -> bool:
        """Whether running bundles are asked for their progress (P-CTL-23)."""
        return bool({urns.Protocol.PROGRESS_REPORTING, urns.Protocol.LEGACY_PROGRESS_REPORTING} & set(declared))

    # ---- watermarks

    def reported_watermark(self, watermark: int) -> int:
        """What is believed of a watermark that a restriction reports: it, or anything below (M-WM-05, M-WM-07)."""
        return watermark

    def sweeps(self) -> bool:
        """Whether a watermark runs down the whole pipeline before work is asked for; else it moves on node by node (M-WM-05)."""
        return True

    # ---- workers

    def workers(self, environment: str) -> int:
        """How many workers an environment gets (M-BNDL-01)."""
        return 1

    def worker_of(self, bundle: str, workers: int) -> int:
        """Which of the workers of its environment runs a bundle (M-BNDL-01)."""
        return 0

    def finalizes_late(self) -> bool:
        """Whether bundles are told of their commit only when all of the job is committed (P-CTL-22)."""
        return False

    # ---- the wire

    def capabilities(self) -> Sequence[str]:
        """What is declared to harnesses in provision: short ids of metrics, outputs in answers (P-MET-02, P-CTL-15)."""
        return CAPABILITIES

    def embeds(self, declared: Collection[str], size: int) -> bool:
        """Whether so many bytes of input go with the instruction, to a harness that reads them there (P-CTL-14)."""
        return urns.Protocol.CONTROL_REQUEST_ELEMENTS_EMBEDDING in declared and size <= EMBEDDED_BYTES

    def caches(self, declared: Collection[str]) -> bool:
        """Whether bundles come with cache tokens (M-BNDL-14)."""
        return urns.Protocol.STATE_CACHING in declared

    def message_bytes(self) -> int:
        """Size at which a message of input is sent; one entry may be larger (P-CH-08, P-DATA-08)."""
        return 4 << 20

    def page_bytes(self, configured: int) -> int:
        """Size of a page of state or side input; at least one element is in each (P-STATE-06)."""
        return configured

    def first_page_empty(self) -> bool:
        """Whether state and side inputs begin with an empty page and a token (P-STATE-06)."""
        return False

    def data_streams(self, configured: int) -> int:
        """How many named Data streams bundles are spread over, for harnesses that open such (P-CTL-17); 0 for none."""
        return configured

    # ---- what clients see

    def tells_passing_states(self) -> bool:
        """Whether STARTING is published (P-JOB-06)."""
        return True

    def offers_committed(self) -> bool:
        """Whether metrics have a list of committed ones beside the attempted (M-BNDL-07)."""
        return True
