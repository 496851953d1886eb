"""Source mutation of the reference runner's engine and of the oracle: is each line's fault seen?

    python tools/source_mutation.py engine --sample 200 --seed 1 --jobs 2 --output engine.jsonl [--near] [--resume]
    python tools/source_mutation.py oracle --sample 200 --seed 1 --jobs 2 --output oracle.jsonl

Mutations are Cosmic Ray's (`pip install ".[mutation]"`); of all that there are in the modules a sample is drawn by the seed. A
mutant of the engine is judged by the suite alone, as any runner: first by the areas that reach the module, then by all others,
up to the first unexpected result. A mutant of the oracle is judged by the generated part of the suite on the right runner, then by
`tests/oracle`. One JSON object a mutant; a survivor comes with its difference, to be read.

A survivor costs most of a mutant's time, and many mean nothing else than the code did. So there are two passes: `--near` asks only what
is closest, then the survivors are read, those that are explained go to `conformance/suite/mutants/source.toml` by their key, and
`--resume` without `--near` asks the rest of them everything.
"""

from __future__ import annotations

import argparse
import ast
import difflib
import hashlib
import json
import os
import random
import re
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import cosmic_ray.plugins
from cosmic_ray.ast import ast_nodes, get_ast
from cosmic_ray.mutating import mutate_code

from conformance.report import results
from conformance.report.verdicts import Verdict, unexpected
from conformance.suite import ledger
from conformance.suite.mutants import source as record

ROOT = Path(__file__).resolve().parents[1]
#: Module of the engine → areas of the ledger that reach it most directly.
ENGINE = {
    "cutting": "AUP",
    "engine": "AEK",
    "engine_events": "AI",
    "engine_groups": "DAE",
    "engine_nodes": "AHK",
    "engine_stages": "FGI",
    "expand": "AVI",
    "fusion": "AO",
    "graph": "AOH",
    "grouping": "DAC",
    "holds": "EDG",
    "rules": "DEG",
    "script": "KDE",
    "state": "FQH",
    "timers": "GEF",
    "triggers": "DE",
    "windowing": "CD",
}
#: A comparison of values made one of identity: what comes of it is up to the interpreter, which keeps small numbers once.
IDENTITY = re.compile(r"_(Eq|NotEq|Lt|LtE|Gt|GtE|In|NotIn)_(Is|IsNot)$")
#: Seconds for a mutant, all it is asked together.
LIMIT = 300.0


class Mutation(NamedTuple):
    """One change of one module."""

    module: str
    operator: str
    occurrence: int
    line: int

    @property
    def id(self) -> str:
        return f"{self.module}:{self.line}:{self.operator.rpartition('/')[2]}:{self.occurrence}"


def annotations(source: str) -> set[tuple[int, int]]:
    """(line, column) of everything inside annotations, which nothing evaluates."""
    found: set[tuple[int, int]] = set()
    for node in ast.walk(ast.parse(source)):
        for each in (getattr(node, "annotation", None), getattr(node, "returns", None)):
            if isinstance(each, ast.expr):
                spans = (part for part in ast.walk(each) if isinstance(part, ast.expr))
                found |= {
                    (part.lineno, column) for part in spans for column in range(part.col_offset, (part.end_col_offset or 0) + 1)
                }
    return found


def mutations(module: str, source: str) -> Iterator[Mutation]:
    """All that Cosmic Ray knows to change but annotations, and comparisons into identity."""
    tree, unread = get_ast(source), annotations(source)
    for name in cosmic_ray.plugins.operator_names():
        operator = cosmic_ray.plugins.get_operator(name)
        if operator.arguments() or IDENTITY.search(name):
            continue
        positions = (position for node in ast_nodes(tree) for position in operator().mutation_positions(node))
        for occurrence, (start, _) in enumerate(positions):
            if tuple(start) not in unread:
                yield Mutation(module, name, occurrence, start[0])


def steps(target: str, module: str) -> list[list[str]]:
    """What is asked of a mutant, one command after the other; the first that fails kills it."""
    cli = [sys.executable, "-c", "from conformance.cli import main; main()", "run", "--jobs", "1", "--timeout-scale", "0.5", "-x"]
    if target == "oracle":
        return [
            [*cli, "-k", "generated or scripts", "--examples", "10"],
            [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", "tests/oracle"],
        ]
    near = [word for area in ENGINE[module] for word in ("--area", area)]
    far = [word for area in ledger.load().areas if area.id not in ENGINE[module] for word in ("--area", area.id)]
    return [[*cli, "--examples", "5", *near], [*cli, "--examples", "5", *far]]


def key_of(difference: str) -> str:
    """Names a mutation by what it changes and what stands around it, so that it outlives changes elsewhere in its module."""
    lines = [line for line in difference.splitlines() if not line.startswith(("@@", "---", "+++"))]
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()[:10]


def judge(target: str, mutation: Mutation, near: bool) -> dict[str, Any]:
    """The fate of one mutant, in a copy of the project; by `near` only the first step is asked."""
    place = "runner" if target == "engine" else "oracle"
    with tempfile.TemporaryDirectory(prefix="mutant-") as folder:
        copy = Path(folder)
        # With the bytecode of what is not changed, which is told by time and size: compiling all of it costs some seconds a process.
        shutil.copytree(ROOT / "conformance", copy / "conformance")
        for each in ("tests", "fixtures", "docs", "pyproject.toml"):
            (copy / each).symlink_to(ROOT / each)
        path = copy / "conformance" / place / f"{mutation.module}.py"
        source = path.read_text(encoding="utf-8")
        mutated = mutate_code(source, cosmic_ray.plugins.get_operator(mutation.operator)(), mutation.occurrence)
        difference = "\n".join(difflib.unified_diff(source.splitlines(), mutated.splitlines(), lineterm="", n=2))
        fate: dict[str, Any] = {"id": mutation.id, "key": key_of(difference), "fate": "survived", "by": ""}
        if fate["key"] in record.load()[target].explained:
            return fate | {"fate": "explained"}
        path.write_text(mutated, encoding="utf-8")
        for bytecode in (path.parent / "__pycache__").glob(f"{mutation.module}.*"):
            bytecode.unlink()
        environment = {**os.environ, "PYTHONPATH": str(copy), "PYTHONDONTWRITEBYTECODE": "1"}
        asked = steps(target, mutation.module)
        for number, command in enumerate(asked[:1] if near else asked):
            extra = ["--output", str(copy / f"out{number}")] if "run" in command else []
            try:
                done = subprocess.run(
                    [*command, *extra], cwd=copy, env=environment, capture_output=True, text=True, timeout=LIMIT, check=False
                )
            except subprocess.TimeoutExpired:
                return fate | {"fate": "hung"}
            by = killer(copy / f"out{number}" / "results.jsonl") if extra else done.stdout[-300:] * (done.returncode != 0)
            if by or done.returncode != 0:
                return fate | {"fate": "killed" if by else "broken", "by": by or (done.stdout + done.stderr)[-300:]}
        return fate | {"near": near, "difference": difference}


def killer(path: Path) -> str:
    """The first result that is not what the right runner has, of any level; "" if there is none, since the runner did not start, say."""
    try:
        read = results.read(path).results
    except (OSError, results.ResultsError):
        return ""
    bad = (each for each in read if unexpected(each) or each.verdict in (Verdict.WRONG, Verdict.ERROR, Verdict.TIMEOUT))
    return next(
        (f"{each.assertion} {each.verdict.value}{'' if each.level == 'MUST' else f' ({each.level})'}" for each in bad), ""
    )


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("target", choices=("engine", "oracle"))
    parser.add_argument("--sample", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--near", action="store_true", help="ask only what is closest")
    parser.add_argument("--resume", action="store_true")
    given = parser.parse_args(arguments)
    place = ROOT / "conformance" / ("runner" if given.target == "engine" else "oracle")
    modules = (
        sorted(ENGINE)
        if given.target == "engine"
        else sorted(path.stem for path in place.glob("*.py") if path.stem != "__init__")
    )
    every = [each for module in modules for each in mutations(module, (place / f"{module}.py").read_text(encoding="utf-8"))]
    chosen = random.Random(given.seed).sample(every, min(given.sample, len(every)))
    known = {}
    if given.resume and given.output.exists():
        known = {fate["id"]: fate for fate in map(json.loads, given.output.read_text(encoding="utf-8").splitlines())}
        known = {name: fate for name, fate in known.items() if given.near or not fate.get("near")}
    left = [each for each in chosen if each.id not in known]
    fates = [known[each.id] for each in chosen if each.id in known]
    print(f"{len(chosen)} of {len(every)} mutations of {len(modules)} modules, {len(left)} to judge", flush=True)
    with given.output.open("a" if given.resume else "w", encoding="utf-8") as file, ThreadPoolExecutor(given.jobs) as pool:
        for fate in pool.map(lambda each: judge(given.target, each, given.near), left):
            fates.append(fate)
            file.write(json.dumps(fate) + "\n")
            file.flush()
            print(f"{len(fates):4}/{len(chosen)} {fate['fate']:8} {fate['id']} {fate['by'][:100]!r}", flush=True)
    counts = Counter(fate["fate"] for fate in fates)
    killed, judged = counts["killed"] + counts["hung"], len(fates) - counts["broken"]
    print(
        f"{dict(counts)}: {killed} of {judged} that ran are killed, {killed / max(1, judged):.1%}; without the explained ", end=""
    )
    print(f"{killed / max(1, judged - counts['explained']):.1%}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
