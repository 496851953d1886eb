"""The summary that a terminal shows at the end of a run: verdicts, areas, what did not pass and why, in one line each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from conformance.report.baseline import Comparison
from conformance.report.ledgers import LedgerLike, area_of
from conformance.report.results import Result, Results
from conformance.report.verdicts import NOT_APPLICABLE, SEVERITY, Verdict, counts

__all__ = ["STYLE", "render"]

#: Colour is never alone: the word stands beside it.
STYLE: Mapping[Verdict, str] = {
    Verdict.PASS: "green",
    Verdict.WRONG: "bold red",
    Verdict.DECLINED: "blue",
    Verdict.ERROR: "magenta",
    Verdict.TIMEOUT: "yellow",
    Verdict.NO_VERDICT: "dim",
}
assert set(STYLE) == set(Verdict)


def render(
    results: Results, ledger: LedgerLike | None = None, comparison: Comparison | None = None, *, limit: int = 40
) -> RenderableType:
    """Something for `rich.console.Console.print`. At most `limit` lines of what did not pass, worst first."""
    shown = [result for result in results.results if result.phase != NOT_APPLICABLE]
    parts: list[RenderableType] = [_counts_line(results, shown), _areas(shown, ledger), *_not_passed(shown, limit)]
    if comparison and comparison.stale:
        parts.append(Text(f"\nStale baseline entries ({len(comparison.stale)})", style="bold"))
        parts += [
            Text.assemble("  ", (stale.entry.assertion, "cyan"), f" [{stale.entry.mode}] {stale.why}")
            for stale in comparison.stale
        ]
    if results.partial:
        parts.append(Text(f"\n{results.why_partial}", style="bold yellow"))
    return Group(*parts)


def _counts_line(results: Results, shown: Sequence[Result]) -> Text:
    line = Text.assemble((results.label or "runner", "bold"), "  ")
    for verdict, number in counts(shown).items():
        line.append(f"{number} {verdict}  ", style=STYLE[verdict])
    if not shown:
        line.append("nothing ran", style="bold yellow")
    return line


def _areas(shown: Sequence[Result], ledger: LedgerLike | None) -> Table:
    groups: dict[str, list[Result]] = {}
    for result in shown:
        area = area_of(result.leaf, ledger)
        groups.setdefault(f"{area.id} {area.title}" if area.id != area.title else area.title, []).append(result)
    present = [verdict for verdict in Verdict if any(result.verdict is verdict for result in shown)]
    table = Table(box=None, pad_edge=False, header_style="dim")
    table.add_column("area")
    for verdict in present:
        table.add_column(str(verdict), justify="right")
    for title in sorted(groups):
        found = counts(groups[title])
        numbers = [(str(found[v]), STYLE[v]) if v in found else ("·", "dim") for v in present]
        table.add_row(title, *(Text(number, style=style) for number, style in numbers))
    return table


def _not_passed(shown: Sequence[Result], limit: int) -> list[RenderableType]:
    bad = [result for result in shown if result.verdict is not Verdict.PASS]
    bad.sort(key=lambda result: (-SEVERITY.index(result.verdict), bool(result.listed), result.assertion, result.mode))
    if not bad:
        return []
    lines: list[RenderableType] = [Text("\nDid not pass", style="bold")]
    for result in bad[:limit]:
        level = "" if result.level == "MUST" else f" {result.level}"
        known = f" (known: {result.listed})" if result.listed else ""
        reason = result.message.partition("\n")[0] or "no reason given"
        verdict = (f"{result.verdict:<10}", STYLE[result.verdict])
        lines.append(Text.assemble("  ", verdict, " ", (result.assertion, "cyan"), f" [{result.mode}{level}] {reason}{known}"))
    if len(bad) > limit:
        lines.append(Text(f"  … and {len(bad) - limit} more; the page and results.jsonl have all", style="dim"))
    return lines
