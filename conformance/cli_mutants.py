"""The commands about mutants: list them, run the matrix, write down which assertion kills which."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from conformance.cli_errors import CallError

if TYPE_CHECKING:
    from conformance.suite.mutants import Mutant

__all__ = ["mutants_group"]

MATRIX = Path("reports/mutants/matrix.jsonl")


@click.group("mutants")
def mutants_group() -> None:
    """Runners with one fault each: proof that the suite sees."""


def _chosen(names: Sequence[str]) -> list[Mutant]:
    """The mutants of these ids or families (`TRG`), all of them if none is named. Raises CallError for what is not there."""
    from conformance.suite.mutants import MutantError, load

    try:
        known = load()
    except MutantError as error:
        raise CallError(str(error)) from None
    found: dict[str, Mutant] = {}
    for name in names or ("",):
        matching = {each: known[each] for each in known if each == name or each.partition("-")[0] == name or not name}
        if not matching:
            raise CallError(f"there is no mutant or family {name!r}; `beam-conformance mutants list` prints them all")
        found |= matching
    return list(found.values())


@mutants_group.command("list")
@click.argument("names", nargs=-1)
def list_mutants(names: tuple[str, ...]) -> None:
    """Print mutants (ids or families): the fault, and the assertion that has to fail of it."""
    mutants = _chosen(names)
    for mutant in mutants:
        click.echo(f"{mutant.id:8} {mutant.defect}")
        if mutant.planted:
            click.echo(f"         planted: {mutant.planted}")
        told = "" if mutant.verdict == "wrong" else f" ({mutant.verdict})"
        click.echo(f"         killed by {mutant.killed_by}{told}, which says {mutant.says!r}; breaks {', '.join(mutant.rules)}")
    click.echo(f"{len(mutants)} mutants")


@mutants_group.command("run")
@click.argument("names", nargs=-1)
@click.option("--areas", "scope", flag_value="areas", help="Ask all of the areas in which the fault shows.")
@click.option("--all", "scope", flag_value="all", help="Ask the whole suite.")
@click.option("--resume", is_flag=True, help="Leave out what the output has of the same code.")
@click.option("--jobs", type=click.IntRange(1), default=1, show_default=True, help="Processes that ask at a time.")
@click.option("--seed", type=int, default=0, show_default=True, help="Seed of generated programs.")
@click.option("--output", default=MATRIX, show_default=True, metavar="FILE", type=click.Path(path_type=Path))
def run_mutants(names: tuple[str, ...], scope: str | None, resume: bool, jobs: int, seed: int, output: Path) -> None:
    """Run mutants (ids or families; all if none is named) and tell what became of each.

    Only the assertion that is named for a mutant is asked, unless --areas or --all asks more: which others kill it too.
    Exit code 1 unless every mutant was killed by the assertion that is named for it, for the reason that is named.
    """
    import msgspec

    from conformance import mutation
    from conformance.suite.mutants.judging import Status

    mutants = _chosen(names)
    plan = mutation.Plan(scope=mutation.Scope(scope or "named"), jobs=jobs, seed=seed)
    marks = mutation.fingerprints(mutants)
    known = mutation.read_fates(output) if resume else {}
    kept = {
        mutant.id: known[mutant.id]
        for mutant in mutants
        if mutant.id in known and (known[mutant.id].fingerprint, known[mutant.id].scope) == (marks[mutant.id], plan.scope)
    }
    left = [mutant for mutant in mutants if mutant.id not in kept]
    if left:
        _check_baseline(left, plan)
    output.parent.mkdir(parents=True, exist_ok=True)
    fates = list(kept.values())
    with output.open("ab" if resume else "wb") as file:
        for fate in mutation.run_matrix(left, plan):
            fate = msgspec.structs.replace(fate, fingerprint=marks[fate.mutant])
            fates.append(fate)
            file.write(msgspec.json.encode(fate) + b"\n")
            file.flush()
            sign = (
                ""
                if fate.status is Status.KILLED
                else f"  {fate.verdict} {fate.message.splitlines()[0][:160] if fate.message else ''}"
            )
            click.echo(f"{len(fates):4}/{len(mutants)} {fate.mutant:8} {fate.status}{sign}")
    counts = Counter(fate.status for fate in fates)
    click.echo(", ".join(f"{counts[status]} {status}" for status in Status if counts[status]) + f"; matrix: {output}")
    sys.exit(0 if counts[Status.KILLED] == len(mutants) else 1)


def _check_baseline(mutants: Sequence[Mutant], plan: object) -> None:
    """Raises CallError if the runner without a fault does not pass what the mutants are to fail."""
    from conformance import mutation

    failed = mutation.run_baseline(mutants, plan)  # type: ignore[arg-type]
    if failed:
        told = "; ".join(f"{result.assertion}: {result.verdict.value} {result.message[:120]}" for result in failed[:5])
        raise CallError(f"{len(failed)} named assertions do not pass on the reference runner without a fault: {told}")


@mutants_group.command("kills")
@click.option(
    "--matrix",
    "matrices",
    multiple=True,
    default=[MATRIX],
    show_default=True,
    metavar="FILE",
    type=click.Path(exists=True, path_type=Path),
    help="What `run` wrote; of several files the kills are added up.",
)
@click.option("--check", is_flag=True, help="Only tell whether the file is what the matrix says.")
def write_kills(matrices: tuple[Path, ...], check: bool) -> None:
    """Write which mutants each assertion kills, from a matrix, into the suite's data.

    Of mutants that the matrix does not have, what was known stands.
    """
    from importlib import resources

    from conformance import mutation
    from conformance.suite.mutants import kills, load

    fates = [fate for matrix in matrices for fate in mutation.read_fates(matrix).values()]
    found = kills.killed_by(fates, kills.load())
    missing = sorted(load().keys() - {mutant for listed in found.values() for mutant in listed})
    if missing:
        raise CallError(
            f"{len(missing)} mutants were never killed as they should be ({', '.join(missing[:5])}, …); see `mutants run --areas` of them"
        )
    target = Path(str(resources.files("conformance.suite.mutants") / kills.FILE))
    text = kills.render(found)
    if check:
        sys.exit(0 if target.read_text(encoding="utf-8") == text else 1)
    target.write_text(text, encoding="utf-8")
    click.echo(target)


@mutants_group.command("idle")
@click.option("--level", type=click.Choice(["MUST", "SHOULD", "MAY"]), default="MUST", show_default=True)
def list_idle(level: str) -> None:
    """Print the assertions of a level that kill no mutant, by what `kills` last wrote: nothing shows yet that they see anything."""
    from conformance.suite.mutants import kills

    found = kills.idle(level)
    for name in found.idle:
        click.echo(name)
    click.echo(f"{len(found.idle)} of {found.asked} {level} assertions ({found.share:.1%}) kill no mutant")
