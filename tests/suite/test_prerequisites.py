"""Blocking by failed prerequisites: the verdicts are the same in whatever order the results of several processes come in."""

from __future__ import annotations

import random
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from conformance.report.verdicts import Verdict
from conformance.suite import ledger
from conformance.suite.prerequisites import Waiting, blocked_because, core_of, cores

#: A chain of prerequisites of some depth, each leaf with a core assertion, and one that rests on none of them.
LEAVES = [
    leaf for leaf in ("CORE01", "CORE03", "CORE18", "CORE26", "STATE01", "TIMER01", "JOB01") if core_of(ledger.load().leaf(leaf))
]


def line(assertion: str, verdict: str) -> dict[str, Any]:
    return {
        "assertion": assertion,
        "leaf": assertion.partition("/")[0],
        "verdict": verdict,
        "message": verdict,
        "phase": "run",
        "evidence": {"command": "c"},
    }


def settled(results: list[dict[str, Any]]) -> dict[str, tuple[str, str]]:
    waiting = Waiting(cores(result["assertion"].partition("--")[0] for result in results))
    told = [each for result in results for each in waiting.take(result)]
    told += waiting.rest()
    assert len(told) == len(results), "nothing is lost or told twice"
    return {each["assertion"]: (each["verdict"], each["message"]) for each in told}


def all_of(verdicts: list[str]) -> list[dict[str, Any]]:
    asked = [assertion.id for leaf in LEAVES for assertion in ledger.load().leaf(leaf).assertions][: len(verdicts)]
    return [line(assertion, verdict) for assertion, verdict in zip(asked, verdicts, strict=False)]


@given(
    st.lists(st.sampled_from([verdict.value for verdict in Verdict]), min_size=20, max_size=40), st.randoms(use_true_random=False)
)
def test_the_order_of_arrival_has_no_say(verdicts: list[str], chance: random.Random) -> None:
    results = all_of(verdicts)
    shuffled = chance.sample(results, len(results))
    assert settled(results) == settled(shuffled)


def test_a_broken_core_blocks_what_rests_on_it_and_nothing_else() -> None:
    core = core_of(ledger.load().leaf("CORE01"))
    assert core is not None
    found = settled([line("CORE18/groups-every-value", "wrong"), line(core.id, "wrong")])
    assert found[core.id] == ("wrong", "wrong")
    assert found["CORE18/groups-every-value"] == ("no-verdict", f"blocked by CORE01: {core.id} did not pass")


def test_a_result_that_waits_for_nothing_is_told_at_once() -> None:
    core = core_of(ledger.load().leaf("CORE01"))
    assert core is not None
    waiting = Waiting({"CORE01": 1})
    assert list(waiting.take(line("CORE18/groups-every-value", "pass"))) == []
    assert [each["assertion"] for each in waiting.take(line(core.id, "pass"))] == ["CORE18/groups-every-value", core.id]
    assert [each["verdict"] for each in waiting.take(line("CORE18/keeps-equal-values", "wrong"))] == ["wrong"]


def test_the_farthest_broken_prerequisite_is_named() -> None:
    broken = {"CORE01": "CORE01/a", "CORE03": "CORE03/b"}
    assert blocked_because("STATE07", broken) == "blocked by CORE01: CORE01/a did not pass"
    assert blocked_because("CORE01", broken) == ""
