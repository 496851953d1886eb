"""Conducts one run in one process: the endpoint, what passed so far, and the result of each assertion as data."""

from __future__ import annotations

import hashlib
import re
import shlex
from collections.abc import Callable, Sequence
from typing import Any

from attrs import evolve

from conformance.endpoints import Endpoint, PackSize, open_endpoint
from conformance.harness import invariants
from conformance.pipeline import draw
from conformance.report.verdicts import Verdict
from conformance.suite import ledger
from conformance.suite.assertions import Marked
from conformance.suite.case import Case
from conformance.suite.execution import RunnerUnderTest, digest
from conformance.suite.outcomes import Blocked, Judgement
from conformance.suite.packing import measured_pack_size
from conformance.suite.prerequisites import blocked_because, breaks
from conformance.suite.run import Run
from conformance.suite.settings import Settings
from conformance.wire import urns
from conformance.wire.api import pipeline_pb2 as pb

__all__ = ["Conductor", "identity", "invariant_results", "merge_invariants"]

#: Transcripts in evidence are cut to this many events around the end; a job of the suite has 40 to 400.
EVIDENCE_EVENTS = 200


def identity(endpoint: Endpoint, address: str, label: str) -> dict[str, str]:
    """What results call a runner: `label`, "NAME VERSION", before what its profile and itself tell."""
    name, _, version = label.partition(" ")
    return {"name": name or endpoint.profile.name, "version": version or endpoint.version or "unknown", "address": address}


class Conductor:
    """Holds the endpoint and the runner under test for one process."""

    def __init__(self, endpoint: Endpoint, settings: Settings) -> None:
        # A slow runner gets more time for everything, what the assertions themselves wait for included.
        self.settings = settings = evolve(settings, timeout_scale=settings.timeout_scale * endpoint.profile.slowness)
        self.endpoint = endpoint
        self.packing = (
            PackSize(settings.pack_size, reason="as asked")
            if settings.pack_size
            else measured_pack_size(endpoint, settings.timeout_scale)
        )
        self.runner = RunnerUnderTest(endpoint, settings, self.packing.size)
        self.runner.warm_up()
        #: Leaf → its core assertion, which did not pass.
        self._broken: dict[str, str] = {}

    @classmethod
    def open(cls, settings: Settings, progress: Callable[[str], None] = lambda message: None) -> Conductor:
        """Reach or launch the endpoint; `progress` is told what takes long.

        Raises EndpointError (AddressError, ToolMissing, EndpointUnreachable, …).
        """
        return cls(open_endpoint(settings.runner, progress=progress, timeout_scale=settings.timeout_scale), settings)

    def close(self) -> None:
        self.endpoint.close()
        self.runner.containers.close()

    def identity(self) -> dict[str, str]:
        """Name, version and address of the runner, for the header of the results."""
        return identity(self.endpoint, self.settings.runner, self.settings.label)

    def begin(self, mark: Marked) -> None:
        """Make ready for an assertion. Raise Blocked if a prerequisite of its leaf did not pass."""
        self.runner.begin(self._program_mode(mark))
        if self.settings.blocks and (because := blocked_because(mark.assertion.partition("/")[0], self._broken)):
            raise Blocked(because)

    def conclude(
        self,
        mark: Marked,
        name: str,
        judgement: Judgement | None,
        *,
        seconds: float,
        case: Case | None,
        error: BaseException | None,
        detail: str,
    ) -> dict[str, Any]:
        """The result line of a finished test, as JSON-able data; remembers what did not pass."""
        self.runner.look()
        book = ledger.load()
        entry = book.assertion(mark.assertion)
        leaf = book.leaf(entry.leaf)
        judged = judgement or Judgement(Verdict.PASS, "")
        if entry.level == "MAY" and judged.verdict is Verdict.WRONG:  # a freedom, used the other way: that is no fault
            judged = Judgement(Verdict.NO_VERDICT, f"optional, and not done: {judged.message}")
        if breaks(entry, judged.verdict):
            self._broken.setdefault(leaf.id, mark.assertion)
        parameter = re.sub(r"[^a-z0-9]+", "-", name.partition("[")[2].removesuffix("]").lower()).strip("-")
        result = {
            "assertion": mark.assertion + (f"--{parameter}" if parameter else ""),
            "leaf": leaf.id,
            "tier": leaf.tier,
            "level": entry.level,
            "mode": self._mode(mark),
            "sdk": self.settings.sdk,
            "verdict": judged.verdict.value,
            "seconds": round(seconds, 4),
            "phase": judged.phase,
            "message": judged.message[:1000],
            "rule": getattr(error, "rule", "") or entry.rule,
            "expected": getattr(error, "expected", None),
            "observed": getattr(error, "observed", None),
            "statement": entry.statement,
            "source": entry.source,
        }
        if judged.verdict is not Verdict.NO_VERDICT:
            command = reproduce(self.settings, leaf.id, name.partition("[")[0])
            result["evidence"] = self._evidence(command, case, judged, detail)
        return result

    def _mode(self, mark: Marked) -> str:
        """The mode to tell in results: the runner's, where its address names one, else the program's."""
        return self.endpoint.mode or self._program_mode(mark)

    def _program_mode(self, mark: Marked) -> str:
        return next(mode for mode in self.settings.modes if mode in mark.modes)

    def _evidence(self, command: str, case: Case | None, judged: Judgement, detail: str) -> dict[str, Any]:
        evidence: dict[str, Any] = {"command": command, "seed": self.settings.seed}
        if source := case.played_by if case is not None else self.runner.played_by:
            evidence["script_source"] = source
        if case is None and self.runner.remarks:
            evidence["remarks"] = dict(sorted(self.runner.remarks.items()))
        passed = judged.verdict is Verdict.PASS
        run = case.run if case is not None else (None if passed else self.runner.last_run)
        if case is not None:
            pipeline = case.program.build(environment_for_drawing(), check=False)  # as far as it got
            evidence |= {"program": drawn(pipeline, case.program.prefix), "digest": digest(pipeline)}
        elif run is not None:
            evidence["program"] = drawn(run.pipeline)
        if case is None and self.runner.asked:
            evidence["digest"] = hashlib.sha256("\n".join(self.runner.asked).encode()).hexdigest()[:16]
        if passed:
            return evidence
        evidence["detail"] = detail[-4000:]
        evidence["log_tail"] = self.endpoint.log_tail()
        if run is not None:
            evidence["observations"] = observations_of(run)
            events = [event.to_json() for event in run.transcript.events()]
            evidence["transcript"] = events[-EVIDENCE_EVENTS:]
        return evidence

    def invariants(self) -> list[dict[str, Any]]:
        """What the always-on invariants saw in this process, one entry a rule, JSON-able."""
        violations: dict[tuple[str, str], list[dict[str, Any]]] = {}
        for breach in self.runner.breaches:
            violations.setdefault((breach.mode, breach.finding.invariant), []).append(
                {
                    "statement": breach.finding.statement,
                    "level": breach.finding.level,
                    "evidence": str(dict(breach.finding.evidence))[:2000],
                    "seq": breach.finding.seq,
                    "job": breach.job,
                    "transcript": breach.around,
                }
            )
        return [
            {
                "invariant": name,
                "mode": mode,
                "checked": self.runner.checked.get((mode, name), 0),
                "violations": violations.get((mode, name), []),
            }
            for mode, name in sorted({*self.runner.checked, *violations})
        ]


def reproduce(settings: Settings, leaf: str, test: str = "") -> str:
    """The command that asks one test of a leaf again, or the whole leaf."""
    words = ["beam-conformance", "run", "--runner", settings.runner, "--leaf", leaf]
    words += ["-k", test] if test else []
    words += ["--seed", str(settings.seed)] if settings.seed else []
    words += ["--beam-script-source", settings.script_source] if settings.script_source != "auto" else []
    return shlex.join(words)


def environment_for_drawing() -> pb.Environment:
    """An environment that no job uses: pictures and listings are made without a session."""
    return pb.Environment(urn=urns.Env.EXTERNAL)


def drawn(pipeline: pb.Pipeline, prefix: str = "") -> dict[str, str]:
    """The pipeline's picture, for the page, without the prefix that its ids have."""
    pictures = {"mermaid": draw.mermaid(pipeline), "svg": draw.svg(pipeline)}
    return {form: text.replace(prefix, "") if prefix else text for form, text in pictures.items()}


def observations_of(run: Run) -> dict[str, list[str]]:
    """Observer → what it saw, as text, for this run's observers only; long lists are cut."""
    shown: dict[str, list[str]] = {}
    for name in run.session.observations:
        if name.startswith(run.prefix):
            shown[name.removeprefix(run.prefix)] = [str(seen)[:300] for seen in run.session.observations[name][:50]]
    return shown


def merge_invariants(parts: Sequence[Sequence[dict[str, Any]]]) -> list[dict[str, Any]]:
    """One entry a rule from several processes' entries: counts added, violations joined (the first ten are kept)."""
    merged: dict[tuple[str, str], dict[str, Any]] = {}
    for entry in (entry for part in parts for entry in part):
        into = merged.setdefault(
            (entry["invariant"], entry["mode"]),
            {"invariant": entry["invariant"], "mode": entry["mode"], "checked": 0, "violations": [], "count": 0},
        )
        into["checked"] += entry["checked"]
        into["count"] += len(entry["violations"])
        joined = sorted([*into["violations"], *entry["violations"]], key=lambda breach: _GRAVITY.index(breach["level"]))
        into["violations"] = joined[:10]
    return [merged[name] for name in sorted(merged)]


def invariant_results(merged: Sequence[dict[str, Any]], settings: Settings) -> list[dict[str, Any]]:
    """Result lines of the always-on invariants: for each rule that some job exercised or broke, one a leaf that it speaks to."""
    return [
        _invariant_line(entry, rule, leaf, settings)
        for entry in merged
        if entry["checked"] or entry["count"]  # what was never exercised has not passed
        for rule in [invariants.CATALOGUE[entry["invariant"]]]
        for leaf in rule.leaves
    ]


#: Levels of findings, the gravest first.
_GRAVITY = ("MUST", "SHOULD", "MAY")


def _invariant_line(entry: dict[str, Any], rule: invariants.Rule, leaf_id: str, settings: Settings) -> dict[str, Any]:
    leaf = ledger.load().leaf(leaf_id)
    # A rule may be broken in ways of different weight; the gravest one speaks.
    first = min(entry["violations"], key=lambda breach: _GRAVITY.index(breach["level"]), default=None)
    evidence: dict[str, Any] = {"command": reproduce(settings, leaf.id), "checked": entry["checked"]}
    verdict, message = Verdict.PASS, f"held in all of {entry['checked']} looks"
    if first is not None:
        ours = "" if rule.side == "R" else "our own fault, please report it: "
        verdict = Verdict.WRONG if rule.side == "R" else Verdict.ERROR
        message = f"{ours}{first['statement']} ({entry['count']} times in {entry['checked']} looks; first in {first['job']})"
        told = [{key: value for key, value in breach.items() if key != "transcript"} for breach in entry["violations"]]
        evidence |= {"violations": told, "transcript": first["transcript"], "mark_seq": first["seq"]}
    return {
        "assertion": f"{leaf.id}/{rule.id.lower()}",
        "leaf": leaf.id,
        "tier": leaf.tier,
        "level": first["level"] if first is not None else rule.finding_level,
        "mode": entry["mode"],
        "sdk": settings.sdk,
        "verdict": verdict.value,
        "phase": "",
        "message": message,
        "rule": " ".join([rule.id, *rule.rules]),
        "statement": f"Always on: {rule.statement}",
        "expected": rule.statement if first else None,
        "observed": first["statement"] if first else None,
        "evidence": evidence,
    }
