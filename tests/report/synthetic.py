"""Results that never happened, for the tests of what shows results. Deterministic, with every verdict and level."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

import attrs
import msgspec

from conformance.report.results import Footer, Header, Result, Results, Runner
from conformance.report.verdicts import Level, Verdict, counts
from conformance.suite.ledger import Assertion, Ledger, checked, load

MERMAID = """flowchart LR
  impulse[Impulse] --> create[Create 3 values]
  create --> window[WindowInto fixed 10 s]
  window --> group[GroupByKey]
  group --> observe[observe out]
"""
SVG = """<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 640 80" width="640" height="80" role="img">
<style>.n{fill:none;stroke:currentColor}.t{font:13px sans-serif;fill:currentColor;text-anchor:middle}</style>
<defs><marker id="a" viewBox="0 0 8 8" refX="8" refY="4" markerWidth="8" markerHeight="8" orient="auto">
<path d="M0 0L8 4L0 8z" fill="currentColor"/></marker></defs>
<g><rect class="n" x="4" y="20" width="100" height="40" rx="8"/><text class="t" x="54" y="45">Impulse</text>
<path class="n" d="M104 40H160" marker-end="url(#a)"/><rect class="n" x="160" y="20" width="120" height="40" rx="8"/>
<text class="t" x="220" y="45">Create 3</text><path class="n" d="M280 40H336" marker-end="url(#a)"/>
<rect class="n" x="336" y="20" width="120" height="40" rx="8"/><text class="t" x="396" y="45">GroupByKey</text>
<path class="n" d="M456 40H512" marker-end="url(#a)"/><rect class="n" x="512" y="20" width="120" height="40" rx="8"/>
<text class="t" x="572" y="45">observe</text></g></svg>"""

MESSAGES: dict[Verdict, Sequence[str]] = {
    Verdict.PASS: ("",),
    Verdict.WRONG: ("an empty final pane was emitted", "value 3 of key a is missing", "two panes carry index 0"),
    Verdict.DECLINED: ("Prepare refused: unsupported urn beam:transform:window_into:v1 with merging windows",),
    Verdict.ERROR: ("job FAILED: java.lang.IllegalStateException: no such stage", "the runner closed the control stream"),
    Verdict.TIMEOUT: ("run: waited 20 s for a terminal state, last was RUNNING",),
    Verdict.NO_VERDICT: ("blocked by CORE18", "blocked by STATE01"),
}


def transcript(length: int = 14) -> list[dict[str, Any]]:
    steps = [
        ("job", "Prepare", "C->R", "PrepareJobRequest"),
        ("job", "Prepare", "R->C", "PrepareJobResponse"),
        ("job", "Run", "C->R", "RunJobRequest"),
        ("pool", "StartWorker", "R->S", "StartWorkerRequest"),
        ("control", "Control", "S->R", "open"),
        ("control", "Control", "R->S", "InstructionRequest"),
        ("control", "GetProcessBundleDescriptor", "S->R", "GetProcessBundleDescriptorRequest"),
        ("control", "GetProcessBundleDescriptor", "R->S", "ProcessBundleDescriptor"),
        ("data", "Data", "R->S", "Elements"),
        ("state", "State", "S->R", "StateRequest"),
        ("state", "State", "R->S", "StateResponse"),
        ("data", "Data", "S->R", "Elements"),
        ("control", "Control", "S->R", "InstructionResponse"),
        ("job", "GetStateStream", "R->C", "JobStateEvent"),
    ]
    return [
        {
            "seq": seq,
            "time": 1_700_000_000 + seq * 0.0031,
            "plane": steps[seq % len(steps)][0],
            "method": steps[seq % len(steps)][1],
            "direction": steps[seq % len(steps)][2],
            "worker_id": "" if steps[seq % len(steps)][0] == "job" else "w1",
            "kind": steps[seq % len(steps)][3],
            "message": {"instruction_id": f"b{seq}", "note": "bytes are base64", "data": "AAECAw=="},
        }
        for seq in range(length)
    ]


def evidence(assertion: str, mode: str, seed: int) -> dict[str, Any]:
    return {
        "program": {"mermaid": MERMAID, "svg": SVG},
        "transcript": transcript(),
        "mark_seq": 8,
        "seed": seed,
        "command": f"beam-conformance run --runner prism --leaf {assertion.partition('/')[0]} --mode {mode} --seed {seed}",
        "log_tail": "INFO  stage 3 bundle 7 done\nWARN  watermark of stage 4 held at 10000\nINFO  job DONE",
    }


def bare() -> Ledger:
    """The shipped ledger's leaves without the suite's assertions, which change from day to day."""
    leaves = [attrs.evolve(leaf, assertions=(), untestable="") for leaf in load().leaves]
    areas = [attrs.evolve(area, leaves=tuple(leaf for leaf in leaves if leaf.area == area.id)) for area in load().areas]
    return checked(areas)


def ledger() -> Ledger:
    """The shipped leaves with one to three assertions for most of them."""
    chance = random.Random(7)
    words = ["values-arrive-once", "order-does-not-matter", "empty-input-ends"]
    levels = ["MUST", "MUST", "SHOULD"]
    invented = [
        Assertion(
            id=f"{leaf.id}/{words[number]}",
            leaf=leaf.id,
            level=levels[number],  # type: ignore[arg-type]
            statement=f"{leaf.title}: {leaf.definition.rstrip('.')}; observed as {words[number].replace('-', ' ')}.",
            rule=chance.choice(["M-WIN-02", "M-TIME-07", "P-CH-01 I-DATA-02", ""]),
            source="Beam model, beam_runner_api.proto",
        )
        for leaf in bare().leaves
        for number in range(chance.choice([0, 1, 2, 3]) if leaf.tier == 2 else chance.choice([1, 1, 2, 3]))
    ]
    return bare().with_assertions(invented)


def results(
    name: str = "prism",
    *,
    version: str = "2.77.0",
    seed: int = 1,
    modes: Sequence[str] = ("batch", "streaming"),
    quality: float = 0.8,
    partial: bool = False,
    leaves: Sequence[str] | None = None,
) -> Results:
    """A whole run against the synthetic ledger."""
    chance = random.Random(f"{name}{version}{seed}")
    found: list[Result] = []
    book = ledger()
    for assertion in book.assertions:
        leaf = book.leaf(assertion.leaf)
        if leaves is not None and leaf.id not in leaves:
            continue
        fate = chance.random()
        for mode in modes:
            if fate < quality or chance.random() < 0.3:
                verdict = Verdict.PASS
            else:
                verdict = chance.choices(list(Verdict)[1:], [4, 3, 2, 1, 3])[0]
            bad = verdict not in (Verdict.PASS, Verdict.NO_VERDICT)
            found.append(
                Result(
                    assertion=assertion.id,
                    leaf=leaf.id,
                    level=Level(assertion.level),
                    verdict=verdict,
                    mode=mode,
                    tier=leaf.tier,
                    seconds=round(chance.uniform(0.01, 1.5), 3),
                    phase="prepare" if verdict is Verdict.DECLINED else "run",
                    message=chance.choice(MESSAGES[verdict]),
                    statement=assertion.statement,
                    source=assertion.source,
                    rule=assertion.rule,
                    expected="('a', [1, 2, 3]) in [0, 10) ON_TIME 0\n('b', [4]) in [0, 10) ON_TIME 0" if bad else None,
                    observed="('a', [1, 2]) in [0, 10) ON_TIME 0\n('b', [4]) in [0, 10) ON_TIME 0" if bad else None,
                    evidence=evidence(assertion.id, mode, seed) if bad else {},
                )
            )
    if partial:
        selected = len(found)
        found = found[: len(found) // 3]
    header = Header(
        suite="0.1.0",
        runner=Runner(name, version, f"{name}:"),
        beam="2.77",
        environment="external",
        seed=seed,
        command=f"beam-conformance run --runner {name} --seed {seed}",
        started="2026-03-01T12:00:00+00:00",
        modes=tuple(modes),
        selected=selected if partial else len(found),
    )
    footer = None if partial else Footer(counts(found), seconds=61.4, ended="2026-03-01T12:01:01+00:00")
    return Results(header, tuple(found), footer)


def one(assertion: str = "CORE18/x", verdict: Verdict = Verdict.PASS, **fields: Any) -> Result:
    """One result with only the given fields."""
    plain = Result(assertion=assertion, leaf=assertion.partition("/")[0], level=Level.MUST, verdict=verdict)
    return msgspec.structs.replace(plain, **fields)


def run(*found: Result, whole: bool = True, **header: Any) -> Results:
    """A small run of exactly these results."""
    facts = Header(suite="0.1.0", runner=Runner("prism", "2.77.0"))
    footer = Footer(counts(found), seconds=1.0) if whole else None
    return Results(msgspec.structs.replace(facts, **header), found, footer)
