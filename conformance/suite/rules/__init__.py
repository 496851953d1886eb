"""The normative rules of docs/model.md and docs/protocol.md as data, and which assertion or invariant checks each.

A rule is *checked* when an assertion of the ledger cites it, an always-on invariant is derived from it, or `checks.toml` names what
holds a runner to it on the way. Rules that no observer of a runner can check are listed with the reason in
`unchecked.toml`. A MUST rule that is neither is a gap, and `beam-conformance list --rules` says so. Nothing is executed here.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from importlib.resources import files
from pathlib import Path

import msgspec
from attrs import frozen

import conformance
from conformance.harness import invariants
from conformance.suite import ledger

__all__ = ["Mapped", "Rule", "also", "cited_ids", "documents", "mapping", "parse", "rules", "unchecked"]

#: The documents that state rules, in order.
DOCUMENTS = ("model.md", "protocol.md")
#: A rule opens a list entry: its id and level (with who owes it) are bold. Ids are stable, so they are all that is cited.
_HEAD = re.compile(r"^- \*\*(?P<id>[MP]-[A-Z]+-\d+)(?: (?P<head>[^*]*(?:\*(?!\*)[^*]*)*))?\*\*(?P<rest>.*)$")
_LEVEL = re.compile(r"\b(MUST★?|SHOULD|MAY|UNDEF(?:INED)?)")
_ID = re.compile(r"\b[MPI]-[A-Z]+-\d+\b")


@frozen
class Rule:
    """One rule: `level` is that of its first sentence, `owed` what stands beside it there (R, S, C, B; SDK, author, …)."""

    id: str
    level: str
    owed: str
    text: str
    document: str

    @property
    def must(self) -> bool:
        """Whether breaking it is a defect."""
        return self.level.startswith("MUST")


@frozen
class Mapped:
    """A rule with what checks it, or why nothing does."""

    rule: Rule
    assertions: tuple[str, ...]
    invariants: tuple[str, ...]
    reason: str = ""

    @property
    def checked(self) -> bool:
        return bool(self.assertions or self.invariants)


def parse(text: str, document: str) -> Iterator[Rule]:
    """The rules of one document, in its order."""
    found: list[tuple[re.Match[str], list[str]]] = []
    open_entry = False
    for line in text.splitlines():
        if match := _HEAD.match(line):
            found.append((match, [match["rest"]]))
            open_entry = True
        elif line.startswith(("#", "- **", "**")):
            open_entry = False
        elif open_entry:
            found[-1][1].append(line)
    for match, lines in found:
        head = (match["head"] or "").strip()
        body = re.sub(r"\s+", " ", " ".join(lines)).strip()
        level = _LEVEL.search(head) or _LEVEL.search(body)
        named = level[0] if level else "MUST"
        owed = head.replace(named, "", 1).strip(" :.") if level and level[0] in head else head
        yield Rule(match["id"], "UNDEFINED" if named == "UNDEF" else named, owed, body, document)


@cache
def documents() -> Path:
    """Where the documents are: inside the installed package, or in the repository that it was installed from.

    Raises FileNotFoundError if this installation has none.
    """
    package = Path(conformance.__file__).parent
    for folder in (package / "docs", package.parent / "docs"):
        if (folder / DOCUMENTS[0]).is_file():
            return folder
    raise FileNotFoundError("the rules (docs/model.md, docs/protocol.md) are not installed; reinstall beam-conformance")


@cache
def rules() -> dict[str, Rule]:
    """Every rule by id."""
    return {rule.id: rule for name in DOCUMENTS for rule in parse((documents() / name).read_text(encoding="utf-8"), name)}


class _Entry(msgspec.Struct, forbid_unknown_fields=True):
    rules: tuple[str, ...]
    reason: str = ""
    by: tuple[str, ...] = ()


class _Entries(msgspec.Struct, forbid_unknown_fields=True):
    entry: tuple[_Entry, ...]


def _entries(name: str) -> tuple[_Entry, ...]:
    return msgspec.toml.decode((files(__name__) / name).read_bytes(), type=_Entries).entry


@cache
def unchecked() -> dict[str, str]:
    """Rule id → why no assertion can check it."""
    return {rule: entry.reason for entry in _entries("unchecked.toml") for rule in entry.rules}


@cache
def also() -> dict[str, tuple[str, ...]]:
    """Rule id → assertions and invariants that hold a runner to it, though their entries are about another rule."""
    return {rule: entry.by for entry in _entries("checks.toml") for rule in entry.rules}


def cited_ids(text: str) -> list[str]:
    """The rule ids in a text, in order, each once. A/B-02..04 and M-X-01/02 name each of them."""
    found: list[str] = []
    for match in re.finditer(r"\b([MPI]-[A-Z]+)-(\d+)((?:\.\.|/)\d+)*", text):
        family, first = match[1], match[2]
        numbers = [int(first)]
        for sign, number in re.findall(r"(\.\.|/)(\d+)", match[0]):
            numbers += range(numbers[-1] + 1, int(number) + 1) if sign == ".." else [int(number)]
        found += [f"{family}-{number:02}" for number in numbers]
    return list(dict.fromkeys(found))


@cache
def mapping() -> tuple[Mapped, ...]:
    """Every rule with what checks it."""
    by_assertion: dict[str, dict[str, None]] = {}
    by_invariant: dict[str, dict[str, None]] = {}
    for assertion in ledger.load().assertions:
        for rule in cited_ids(assertion.rule):
            by_assertion.setdefault(rule, {})[assertion.id] = None
    for invariant in invariants.CATALOGUE.values():
        for rule in invariant.rules:
            for each in cited_ids(rule):
                by_invariant.setdefault(each, {})[invariant.id] = None
    for rule, names in also().items():
        for name in names:
            (by_assertion if "/" in name else by_invariant).setdefault(rule, {})[name] = None
    reasons = unchecked()
    return tuple(
        Mapped(rule, tuple(by_assertion.get(rule.id, ())), tuple(by_invariant.get(rule.id, ())), reasons.get(rule.id, ""))
        for rule in rules().values()
    )
