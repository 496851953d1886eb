"""What is known of assertions beside results: the words of the rules, the mutants that each kills, and how much the suite covers.

Plain data, so that the page stays a pure function; whoever renders a page fills it (`conformance.suite.coverage.knowledge`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from attrs import field, frozen

__all__ = ["Knowledge", "RuleRow", "Sum"]


@frozen
class Sum:
    """One line of the coverage: so many of so many, and how the rest is accounted for."""

    title: str
    part: int
    whole: int
    #: Accounted for in another way (a reason is recorded), beside `part`.
    explained: int = 0
    note: str = ""
    #: What is neither, by name.
    open: Sequence[str] = ()


@frozen
class RuleRow:
    """One MUST rule of the map: what checks it, or why nothing does."""

    id: str
    checked_by: Sequence[str] = ()
    reason: str = ""


@frozen
class Knowledge:
    """All of it; empty where nothing is known, and the page then leaves it out."""

    #: Rule id → level and text.
    rules: Mapping[str, str] = field(factory=dict)
    #: Assertion → the ids of the mutants that it kills.
    kills: Mapping[str, Sequence[str]] = field(factory=dict)
    #: Mutant → its fault in words.
    mutants: Mapping[str, str] = field(factory=dict)
    sums: Sequence[Sum] = ()
    rule_map: Sequence[RuleRow] = ()
