"""Which pack size is chosen: the decision as a table, and the measuring with runners that are only numbers."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from endpoint_helpers import impulses

from conformance.endpoints import Endpoint, JobClient
from conformance.endpoints.measure import BUDGET_SECONDS, LARGE_PACK, choose, pack_size

#: Seconds of a job by its branches, the size to choose, and whose numbers these are.
DECISIONS: list[tuple[dict[int, float], int, str]] = [
    ({1: 0.019, 10: 0.315}, 1, "Prism, bundle answered after its data"),
    ({1: 0.019, 10: 0.060, 30: 0.160}, 10, "Prism, bundle answered first: 6 and 5.3 ms a branch are the same"),
    ({1: 0.043, 10: 0.103, 30: 0.270}, 10, "the Python service"),
    ({1: 0.043, 10: 0.200, 30: 0.270}, 30, "a job that is nearly free of branches"),
    ({1: 0.020, 10: 0.180}, 1, "ten per cent are noise"),
    ({1: 0.020, 10: 0.140}, 10, "thirty per cent are worth it"),
    ({1: 1.7}, LARGE_PACK, "Flink: too slow to measure"),
    ({1: 0.02}, 1, "nothing larger was measured"),
    ({1: 0.02, 10: 0.1, 30: 3.0}, 10, "superlinear"),
]


@pytest.mark.parametrize(("samples", "size", "who"), DECISIONS, ids=[who for _, _, who in DECISIONS])
def test_choose(samples: dict[int, float], size: int, who: str) -> None:
    chosen = choose(samples)
    assert chosen.size == size
    assert chosen.samples == tuple(sorted(samples.items()))
    assert chosen.reason


#: A runner's cost of a job of n branches, the size to find.
RUNNERS: list[tuple[Callable[[int], float], int, str]] = [
    (lambda n: 0.019 if n == 1 else 0.0315 * n, 1, "prism"),
    (lambda n: 0.035 + 0.0085 * n, 30, "python"),
    (lambda n: 0.060 + 0.001 * n, 30, "mostly overhead"),
    (lambda n: 1.6 + 0.05 * n, LARGE_PACK, "flink"),
    (lambda n: 0.3 + 0.3 * n, LARGE_PACK, "slow"),
]


@pytest.mark.parametrize(("cost", "size", "who"), RUNNERS, ids=[who for _, _, who in RUNNERS])
def test_measuring_finds_the_size_within_its_budget(cost: Callable[[int], float], size: int, who: str) -> None:
    spent: list[float] = []

    def run(n: int) -> float:
        spent.append(cost(n))
        return spent[-1]

    assert pack_size(run).size == size
    # The first job cannot be known beforehand; the others keep to the budget.
    assert sum(spent[1:]) <= BUDGET_SECONDS


@pytest.mark.parametrize(("packing", "size"), [("gains", LARGE_PACK), ("loses", 1)])
def test_a_profile_that_knows_saves_the_measuring(packing: str, size: int) -> None:
    def run(n: int) -> float:
        raise AssertionError("nothing need be measured")

    assert pack_size(run, packing).size == size  # type: ignore[arg-type]


def test_measuring_a_real_runner(prism: Endpoint) -> None:
    with JobClient(prism) as client:
        found = pack_size(lambda branches: client.run_job(impulses(branches)).seconds)
    assert [branches for branches, _ in found.samples][:2] == [1, 10]
    assert found.size in dict(found.samples)
