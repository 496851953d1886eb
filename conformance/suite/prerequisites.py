"""What a failed prerequisite does to the leaves that rest on it: they are blocked, and do not turn red (DESIGN: verdicts).

A run in one process asks prerequisites first, so what is broken is known in time. Of several processes each knows only its own
results; there `Waiting` keeps a result back until all that decides about it has come, so that the verdicts of a run are the same
whatever process asked what, and in which order.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from conformance.report.verdicts import Verdict
from conformance.suite import ledger

__all__ = ["Waiting", "blocked_because", "breaks", "core_of", "cores"]

#: Verdicts of a core assertion that block nobody.
_HARMLESS = (Verdict.PASS, Verdict.NO_VERDICT)
#: What a judged result has and a blocked one has not.
_JUDGED = ("evidence", "expected", "observed")


def core_of(leaf: ledger.Leaf) -> ledger.Assertion | None:
    """The assertion without which nothing that builds on the leaf can be judged: its first MUST. The finer ones block nobody."""
    return next((assertion for assertion in leaf.assertions if assertion.level == "MUST"), None)


def cores(assertions: Iterable[str]) -> dict[str, int]:
    """How many of a run's tests (given by assertion id) are core assertions, by leaf."""
    asked = Counter(assertions)
    book = ledger.load()
    found = {}
    for leaf in {assertion.partition("/")[0] for assertion in asked}:
        core = core_of(book.leaf(leaf))
        if core is not None and core.id in asked:
            found[leaf] = asked[core.id]
    return found


def breaks(assertion: ledger.Assertion, verdict: Verdict) -> bool:
    """Whether this verdict of this assertion blocks what rests on its leaf."""
    return verdict not in _HARMLESS and assertion == core_of(ledger.load().leaf(assertion.leaf))


def blocked_because(leaf: str, broken: Mapping[str, str]) -> str:
    """Why nothing can be said about `leaf`, "" if it can. `broken`: leaf → its core assertion, which did not pass."""
    for needed in ledger.load().prerequisites(leaf):
        if needed in broken:
            return f"blocked by {needed}: {broken[needed]} did not pass"
    return ""


class Waiting:
    """Results of several processes, each let through when the core assertions that it rests on are in."""

    def __init__(self, expected: Mapping[str, int]) -> None:
        #: Leaf → how many results of its core assertion are still to come.
        self._missing = Counter(expected)
        self._broken: dict[str, str] = {}
        self._held: list[dict[str, Any]] = []

    def take(self, line: dict[str, Any]) -> Iterator[dict[str, Any]]:
        """Take a result; yields those that can now be told, with the verdict that they have in the end."""
        assertion = ledger.load().assertion(line["assertion"].partition("--")[0])
        self._held.append(line)
        if assertion == core_of(ledger.load().leaf(assertion.leaf)):
            self._missing[assertion.leaf] -= 1
            # What is blocked itself blocks nobody: whoever rests on it rests on what blocks it.
            if breaks(assertion, Verdict(line["verdict"])) and not line["message"].startswith("blocked by"):
                self._broken.setdefault(assertion.leaf, assertion.id)
        ready = [held for held in self._held if not self._waits(held)]
        self._held = [held for held in self._held if self._waits(held)]
        yield from map(self._settled, ready)

    def rest(self) -> Iterator[dict[str, Any]]:
        """What is left when nothing more will come."""
        held, self._held = self._held, []
        yield from map(self._settled, held)

    def _waits(self, line: dict[str, Any]) -> bool:
        return any(self._missing[needed] > 0 for needed in ledger.load().prerequisites(line["leaf"]))

    def _settled(self, line: dict[str, Any]) -> dict[str, Any]:
        because = blocked_because(line["leaf"], self._broken)
        if not because:
            return line
        kept = {name: value for name, value in line.items() if name not in _JUDGED}
        return kept | {"verdict": Verdict.NO_VERDICT.value, "message": because, "phase": ""}
