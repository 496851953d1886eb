"""How much of the model and of Beam's interface the suite covers, counted from its data: leaves, assertions, rules, URNs, fields.

What is counted here is what the suite asks. That it ran, and what came of it, is in the results of a run: their page counts that.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterator

from attrs import frozen

from conformance.harness import invariants
from conformance.report.knowledge import Knowledge, RuleRow, Sum
from conformance.suite import interface, ledger, mutants, rules
from conformance.suite.mutants import kills, source

__all__ = ["Counts", "Depth", "counts", "coverage_lines", "killed_by", "knowledge", "mutant_words", "rule_lines"]


@frozen
class Depth:
    """One area: its leaves by tier, and those with a MUST assertion that a test makes or an always-on MUST invariant."""

    area: str
    title: str
    tier1: int
    asked1: int
    reasoned1: int
    tier2: int
    asked2: int
    assertions: int


@frozen
class Counts:
    """All that `list --coverage` tells."""

    areas: tuple[Depth, ...]
    #: Tier-1 leaves with neither an executed MUST assertion nor a reason.
    open_leaves: tuple[str, ...]
    assertions: int
    invariants: int
    rules: int
    rules_checked: int
    rules_reasoned: int
    open_rules: tuple[str, ...]
    urns: interface.Coverage
    fields: interface.Coverage

    def total(self, name: str) -> int:
        """The sum of one of the numbers of the areas."""
        return sum(getattr(area, name) for area in self.areas)


def asked_leaves(level: str = "MUST") -> set[str]:
    """Leaves with an assertion of `level` (a test sees to it that each has one that makes it), or an always-on invariant of that level."""
    always = (leaf for rule in invariants.CATALOGUE.values() if rule.finding_level == level for leaf in rule.leaves)
    return {assertion.leaf for assertion in ledger.load().assertions if assertion.level == level} | set(always)


def _depth(area: ledger.Area, must: set[str], some: set[str]) -> Depth:
    tier1 = [leaf for leaf in area.leaves if leaf.tier == 1]
    tier2 = [leaf for leaf in area.leaves if leaf.tier == 2]
    return Depth(
        area=area.id,
        title=area.title,
        tier1=len(tier1),
        asked1=sum(leaf.id in must for leaf in tier1),
        reasoned1=sum(leaf.id not in must and bool(leaf.untestable or leaf.no_must) for leaf in tier1),
        tier2=len(tier2),
        asked2=sum(leaf.id in some for leaf in tier2),
        assertions=sum(len(leaf.assertions) for leaf in area.leaves),
    )


def counts() -> Counts:
    """The counts of the shipped suite."""
    book = ledger.load()
    must = asked_leaves()
    some = must | asked_leaves("SHOULD") | asked_leaves("MAY")
    rule_entries = [mapped for mapped in rules.mapping() if mapped.rule.must]
    return Counts(
        areas=tuple(_depth(area, must, some) for area in book.areas),
        open_leaves=tuple(
            leaf.id for leaf in book.leaves if leaf.tier == 1 and leaf.id not in must and not (leaf.untestable or leaf.no_must)
        ),
        assertions=len(book.assertions),
        invariants=len(invariants.CATALOGUE),
        rules=len(rule_entries),
        rules_checked=sum(mapped.checked for mapped in rule_entries),
        rules_reasoned=sum(not mapped.checked and bool(mapped.reason) for mapped in rule_entries),
        open_rules=tuple(mapped.rule.id for mapped in rule_entries if not mapped.checked and not mapped.reason),
        urns=interface.coverage(interface.all_urns()),
        fields=interface.coverage(interface.all_fields()),
    )


def _percent(part: int, whole: int) -> str:
    return f"{100 * part / whole:.1f} %"


def coverage_lines() -> Iterator[str]:
    """What the suite asks, by area, and the sums; then what is open, by name."""
    found = counts()
    for area in found.areas:
        reasoned = f" + {area.reasoned1} with a reason" if area.reasoned1 else ""
        yield (
            f"{area.area}. {area.title:40} tier 1: {area.asked1:3}/{area.tier1:<3} tier 2: {area.asked2:2}/{area.tier2:<3}"
            f" assertions: {area.assertions:3}{reasoned}"
        )
    asked, reasoned1 = found.total("asked1"), found.total("reasoned1")
    yield f"tier-1 leaves with a MUST assertion: {asked} of {found.total('tier1')}, and {reasoned1} with a reason why there is none"
    yield f"tier-2 leaves with an assertion: {found.total('asked2')} of {found.total('tier2')}"
    yield f"assertions: {found.assertions}, and {found.invariants} always-on invariants"
    covered = found.rules_checked + found.rules_reasoned
    yield (
        f"MUST rules mapped: {covered} of {found.rules} ({_percent(covered, found.rules)}): {found.rules_checked} checked "
        f"({_percent(found.rules_checked, found.rules)}), {found.rules_reasoned} with the reason why none can be"
    )
    for name, part in (("URNs", found.urns), ("message fields", found.fields)):
        yield f"{name}: {part.reached} of {part.total} reached by a run, {part.explained} explained, {len(part.missing)} neither"
    for name, left in (
        ("tier-1 leaves", found.open_leaves),
        ("MUST rules", found.open_rules),
        ("URNs", found.urns.missing),
        ("message fields", found.fields.missing),
    ):
        if left:
            yield f"open {name}: {', '.join(left)}"


def rule_lines() -> Iterator[str]:
    """Every MUST rule with what checks it, or why nothing does; what is open comes last once more."""
    mapped = [each for each in rules.mapping() if each.rule.must]
    for each in mapped:
        by = ", ".join((*each.assertions, *each.invariants))
        yield f"{each.rule.id:11} {by or (f'not checked: {each.reason}' if each.reason else 'OPEN: nothing checks it')}"
    open_rules = [each.rule.id for each in mapped if not each.checked and not each.reason]
    checked = sum(each.checked for each in mapped)
    yield f"{checked} of {len(mapped)} MUST rules are checked, {len(mapped) - checked - len(open_rules)} have a reason why not"
    yield f"open: {', '.join(open_rules) or 'none'}"


#: Of a rule's text the page shows so much; the documents have the rest.
RULE_CHARS = 420


def knowledge() -> Knowledge:
    """What the page shows beside results."""
    found = counts()
    must = [each for each in rules.mapping() if each.rule.must]
    cited = {rule for assertion in ledger.load().assertions for rule in rules.cited_ids(assertion.rule)}
    cited |= {each.rule.id for each in must}
    texts = {
        rule.id: f"{rule.level} {textwrap.shorten(rule.text, RULE_CHARS, placeholder=' …')}"
        for rule in rules.rules().values()
        if rule.id in cited
    }
    return Knowledge(
        rules=texts,
        kills={name: killed_by(name) for name in sorted(_killers())},
        mutants={mutant.id: mutant.defect for mutant in mutants.load().values()},
        sums=_sums(found),
        rule_map=[RuleRow(each.rule.id, (*each.assertions, *each.invariants), each.reason) for each in must],
    )


def _sums(found: Counts) -> list[Sum]:
    planted = mutants.load()
    killed = {mutant for names in kills.load().values() for mutant in names}
    named = {mutant.killed_by for mutant in planted.values()}
    idle = kills.idle("MUST")
    note = f"{found.assertions} assertions, {found.invariants} always-on invariants"
    return [
        Sum(
            "Tier-1 leaves with a MUST assertion",
            found.total("asked1"),
            found.total("tier1"),
            found.total("reasoned1"),
            note,
            found.open_leaves,
        ),
        Sum("Tier-2 leaves with an assertion", found.total("asked2"), found.total("tier2")),
        Sum("MUST rules that something checks", found.rules_checked, found.rules, found.rules_reasoned, open=found.open_rules),
        Sum("URNs that a run reaches", found.urns.reached, found.urns.total, found.urns.explained, open=found.urns.missing),
        Sum(
            "Message fields that a run reaches",
            found.fields.reached,
            found.fields.total,
            found.fields.explained,
            open=found.fields.missing,
        ),
        Sum(
            "Planted mutants killed by the assertion named for them",
            len(killed & set(planted)),
            len(planted),
            note=f"{len(named)} assertions are named as killers" if killed else "the matrix has not been run for this version",
            open=sorted(set(planted) - killed) if killed else (),
        ),
        Sum(
            "MUST assertions that kill a planted mutant",
            idle.asked - len(idle.idle),
            idle.asked,
            note="always-on invariants among them; the others have not shown yet that they see anything",
            open=idle.idle,
        ),
        *(_source_sum(name, sample) for name, sample in source.load().items() if sample.sample),
    ]


def _source_sum(name: str, sample: source.Sample) -> Sum:
    """What became of a sample of mutations of the source."""
    return Sum(
        f"Source mutants killed: {sample.of}",
        sample.killed,
        sample.sample - sample.broken,
        sample.explained_in_sample,
        f"a sample of {sample.sample} of {sample.mutations} mutations (seed {sample.seed}); {sample.broken} did not start. "
        "Explained: the same meaning, or a legal other one, or only slower (`conformance/suite/mutants/source.toml`)",
        sample.open,
    )


def _killers() -> set[str]:
    return set(kills.load()) | {mutant.killed_by for mutant in mutants.load().values()}


def killed_by(assertion: str) -> tuple[str, ...]:
    """The mutants that an assertion kills, as the last matrix has it; before there was one, those that name it as their killer."""
    measured = kills.load()
    if measured:
        return measured.get(assertion, ())
    return tuple(mutant.id for mutant in mutants.load().values() if mutant.killed_by == assertion)


def mutant_words(assertion: str) -> list[str]:
    """The mutants that an assertion kills, each as "ID: defect"."""
    known = mutants.load()
    return [f"{name}: {known[name].defect}" if name in known else name for name in killed_by(assertion)]
