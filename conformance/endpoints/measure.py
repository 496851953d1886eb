"""How many independent branches one job should carry, measured at the start of a run.

Packing gains where a job costs much beside its branches (the Python service, Flink, Spark) and loses where branches disturb one
another (Prism, depending on how the harness answers). `choose` decides and is pure; `pack_size` measures.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from attrs import frozen

from conformance.endpoints.profiles import LARGE_PACK, Packing

__all__ = ["BUDGET_SECONDS", "LARGE_PACK", "PackSize", "choose", "pack_size"]

#: What all measuring may take together.
BUDGET_SECONDS = 1.5
#: The sizes that are tried, in order. Beyond some 50 branches the Python service gets slower per branch again (9 to 15 ms).
_SIZES = (1, 10, 30)
_SLOW_SECONDS = 0.4
#: A pack must save a quarter of a branch's cost, for a failing pack has to be split; and 15 % are the noise of one run.
_WORTHWHILE = 0.75
_NOISE = 1.15


@frozen
class PackSize:
    """A size, the measured seconds by number of branches, and the reason in words."""

    size: int
    samples: tuple[tuple[int, float], ...] = ()
    reason: str = ""


def pack_size(
    run_pack: Callable[[int], float], packing: Packing = "measure", budget: float = BUDGET_SECONDS, known: int = LARGE_PACK
) -> PackSize:
    """The number of branches a job at which a branch is cheapest. `run_pack(n)` runs one job of n trivial branches and answers
    its seconds; it is called for no more than about `budget` seconds, and not at all where the profile knows."""
    if packing == "gains":
        return PackSize(known, reason="the runner's profile says that packing gains")
    if packing == "loses":
        return PackSize(1, reason="the runner's profile says that packing loses")
    # The first job of a fresh runner is dearer than the others, so it only counts where it is all there is time for.
    samples: dict[int, float] = {}
    left = budget - (first := run_pack(1))
    if first >= _SLOW_SECONDS:
        return choose({1: first})
    for size in _SIZES:
        largest = max(samples, default=1)
        expected = samples.get(largest, first) * size / largest
        if (samples and expected > left) or (size > 10 and not _gains(samples)):
            break
        # Two runs, the better one counts: noise only ever adds.
        for _ in range(2):
            if left > 0:
                seconds = run_pack(size)
                left -= seconds
                samples[size] = min(seconds, samples.get(size, seconds))
            if expected > left:
                break
    return choose(samples)


def choose(samples: Mapping[int, float]) -> PackSize:
    """The size to use, given the seconds of jobs by their number of branches; {1: …} must be among them."""
    kept = tuple(sorted(samples.items()))
    alone = samples[1]
    if len(kept) == 1:
        if alone >= _SLOW_SECONDS:
            return PackSize(LARGE_PACK, kept, f"one job takes {alone:.2g} s, nearly all of it the job's own cost")
        return PackSize(1, kept, "no larger pack was measured")
    best = min(seconds / size for size, seconds in kept)
    size = next(size for size, seconds in kept if seconds / size <= best * _NOISE)
    if size == 1 or samples[size] / size > alone * _WORTHWHILE:
        cheapest = min(kept[1:], key=lambda sample: sample[1] / sample[0])
        told = f"{cheapest[1] / cheapest[0] * 1000:.3g} ms a branch in a pack of {cheapest[0]}"
        return PackSize(1, kept, f"{alone * 1000:.3g} ms a job, {told}: packing does not gain")
    return PackSize(size, kept, f"{alone * 1000:.3g} ms a job, {samples[size] / size * 1000:.3g} ms a branch in a pack of {size}")


def _gains(samples: Mapping[int, float]) -> bool:
    return choose(samples).size > 1
