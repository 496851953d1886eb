"""Metrics over bundles: merged by type, retries, system metrics, short ids."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from conformance.harness import Session
from conformance.harness.capabilities import DEFAULT
from conformance.pipeline import Fn, Program, coders
from conformance.suite.assertions import asserts
from conformance.suite.case import Case, Scenario
from conformance.suite.checks import holds, same, same_multiset
from conformance.suite.execution import RunnerUnderTest
from conformance.suite.l_metrics.reading import Key, merged, read, reported, result, results, user
from conformance.suite.l_metrics.test_user_metrics import VALUE, metered
from conformance.suite.m_job_api.driving import plain, run_program
from conformance.suite.n_artifacts.staging import SECOND, run_in_two
from conformance.suite.outcomes import Declined, NotExercised
from conformance.suite.run import Run
from conformance.wire import urns

_M = urns.Metric
#: Positions of the splittable function, one a bundle.
POSITIONS = 4
POSITION = ["get", VALUE, 1]
TIMES = [_M.START_BUNDLE_MSECS, _M.PROCESS_BUNDLE_MSECS, _M.FINISH_BUNDLE_MSECS, _M.TOTAL_MSECS]


def _both_shapes(session: Session) -> None:
    session.both_metric_shapes = True


def _many_bundles(program: Program) -> None:
    """A function that checkpoints itself after every position, so that what is fused behind it runs in several bundles."""
    ranged = program.create([POSITIONS]).par_do(
        Fn("range", every=1), coders.kv(coders.VARINT, coders.VARINT), restriction_coder=coders.OFFSET_RANGE
    )
    updates: list[list[Any]] = [
        ["counter", "n", 1],
        ["distribution", "spread", ["+", POSITION, 10]],
        ["gauge", "level", POSITION],
        ["set", "names", ["str", POSITION]],
    ]
    metered(ranged, *updates).observe("out")


@asserts("MET10/bundles-of-a-transform-merged")
@pytest.mark.parametrize("kind", ["counter", "distribution", "gauge", "set"])
def test_bundles_merged(runner: RunnerUnderTest, kind: str) -> None:
    run = run_program(runner, _many_bundles, label="many-bundles", setup=_both_shapes)
    same_multiset([value[1] for value in run.values("out")], range(POSITIONS), "the positions", rule="P-CTL-20")
    bundles = {seen.bundle for seen in run.seen("out")}
    if len(bundles) < 2:
        raise NotExercised("everything came in one bundle")
    name = {"counter": "n", "distribution": "spread", "gauge": "level", "set": "names"}[kind]
    found = result(run, kind, name)
    if kind == "gauge":
        levels = next(values for key, values in reported(run).items() if dict(key.labels).get("NAME") == name)
        newest = max(time for time, _ in levels)
        possible = {value for time, value in levels if time == newest}
        holds(found[1] in possible, f"the gauge is {found[1]}", expected=f"one of {possible}", observed=found, rule="P-MET-05")
        return
    expected: dict[str, Any] = {"counter": POSITIONS, "distribution": (4, 46, 10, 13), "set": ["0", "1", "2", "3"]}
    observed = sorted(found) if kind == "set" else found
    same(observed, expected[kind], f"the {kind} of {len(bundles)} bundles", rule="P-MET-05")


@asserts("MET10/one-entry-per-label-set", alone=True)
def test_one_entry_per_label_set(case: Case) -> Scenario:
    created = case.program.create([("a", 1), ("b", 2), ("a", 3)])
    meter = metered(created, ["counter", "n", 1], ["distribution", "d", ["val"]])
    metered(meter.group_by_key(), ["counter", "n", 1], name="behind").observe("out")
    run = yield
    results(run)
    assert run.outcome.metrics is not None
    for name in ("attempted", "committed"):
        counts = Counter(Key.of(info) for info in getattr(run.outcome.metrics, name))
        same([key for key, count in counts.items() if count > 1], [], f"what is {name} more than once", rule="P-MET-05")


@asserts("MET11/failed-attempt-not-committed", any_outcome=True)
def test_failed_attempt_not_committed(case: Case) -> Scenario:
    pairs = metered(case.program.create([("k", 1), ("k", 2)]), ["counter", "before", 1], name="meter1")
    counted = metered(pairs.group_by_key(), ["counter", "behind", 1], name="meter2")
    counted.par_do(Fn("fail", text="fails the first time", times=1, name="first")).observe("out")
    run = yield
    run.outcome.raise_for_error()
    metrics = run.outcome.metrics
    if metrics is None or not metrics.committed:
        raise NotExercised("the runner reports no committed metrics of this job")
    found = [read(info) for info in user(metrics.committed, "counter", "behind")]
    expected = [[1]] if run.outcome.state == "DONE" else [[], [0]]
    what = f"the committed counter of a bundle that failed once, in a job that ended {run.outcome.state}"
    holds(found in expected, f"{what}, is {found}", expected=f"one of {expected}", observed=found, rule="P-MET-04")


def _system(run: Run, urn: str, label: str, known: set[str]) -> int:
    """Compare each entry of a system metric about a submitted component with what the workers reported; how many there were."""
    __tracebackhide__ = True
    theirs = {Key.of(info): read(info) for info in results(run) if info.urn == urn and info.labels.get(label) in known}
    ours = reported(run)
    compared = 0
    for key, value in theirs.items():
        if key in ours:
            same(value, merged(ours[key]), f"{urn} of {dict(key.labels)[label]}", rule="P-MET-07")
            compared += 1
    return compared


def _compared(run: Run, urns_: list[str], label: str, known: set[str]) -> None:
    __tracebackhide__ = True
    if not sum(_system(run, urn, label, known) for urn in urns_):
        raise Declined(f"the runner reports none of {', '.join(urns_)} for what was submitted")


def _counted(program: Program) -> None:
    created = program.create([("a", 1), ("b", 2), ("a", 3)])
    created.par_do(Fn("identity")).group_by_key().par_do(Fn("keys"), coders.STRING).observe("out")


@asserts("MET15/sum-of-reports")
def test_element_count(runner: RunnerUnderTest) -> None:
    run = run_program(runner, _counted, label="element-count", setup=_both_shapes)
    _compared(run, [_M.ELEMENT_COUNT], "PCOLLECTION", set(run.pipeline.components.pcollections))


@asserts("MET16/merge-of-reports")
def test_sampled_byte_size(runner: RunnerUnderTest) -> None:
    run = run_program(runner, _counted, label="byte-size", setup=_both_shapes)
    _compared(run, [_M.SAMPLED_BYTE_SIZE], "PCOLLECTION", set(run.pipeline.components.pcollections))


@asserts("MET17/sum-of-reports")
def test_execution_times(runner: RunnerUnderTest) -> None:
    run = run_program(runner, _counted, label="execution-times", setup=_both_shapes)
    _compared(run, TIMES, "PTRANSFORM", set(run.pipeline.components.transforms))


def _declares_short_ids(run: Run) -> bool:
    return any(worker.runner_has(urns.RunnerProtocol.MONITORING_INFO_SHORT_IDS) for worker in run.session.workers)


@asserts("MET20/short-ids-resolved", alone=True)
def test_short_ids_resolved(case: Case) -> Scenario:
    metered(case.program.create([1, 2, 3]), ["counter", "n", 1]).observe("out")
    run = yield
    if not _declares_short_ids(run):
        raise NotExercised("the runner does not declare short ids, so that workers send full infos")
    same(result(run, "counter", "n"), 3, "a counter that was named by its short id alone", rule="P-MET-03")


@asserts("MET20/short-ids-of-a-worker")
def test_short_ids_of_a_worker(runner: RunnerUnderTest) -> None:
    def build(program: Program) -> None:
        pairs = metered(program.create([("a", 1), ("b", 2), ("a", 3)]), ["counter", "first", 1], name="meter1")
        grouped = pairs.group_by_key()
        meter = Fn("metrics", updates=[["counter", "second", 7]])
        grouped.par_do(meter, environment=SECOND, name="meter2").par_do(Fn("drop"), environment=SECOND)

    def equal_ids(session: Session) -> None:
        session.equal_short_ids = True

    run = run_in_two(runner, build, label="equal-short-ids", setup=equal_ids).first.run
    if not _declares_short_ids(run):
        raise NotExercised("the runner does not declare short ids, so that workers send full infos")
    same(result(run, "counter", "first"), 3, "the counter of the first environment", rule="P-MET-03")
    same(result(run, "counter", "second"), 14, "the counter of the second environment", rule="P-MET-03")


@asserts("MET20/asked-once", alone=True)
def test_asked_once(case: Case) -> Scenario:
    created = case.program.create([("a", 1), ("b", 2)])
    metered(created, ["counter", "n", 1]).group_by_key().observe("out")
    run = yield
    asked: Counter[tuple[str, str]] = Counter()
    for event in run.transcript.events("control", direction="R->S", kind="InstructionRequest"):
        for short in event.message.monitoring_infos.monitoring_info_id:
            asked[event.worker_id, short] += 1
    if not asked:
        raise NotExercised("the runner asked for the meaning of no short id")
    same(
        [short for short, times in asked.items() if times > 1],
        [],
        "short ids that were asked for more than once",
        rule="P-MET-03",
    )


@asserts("MET21/only-when-declared", alone=True)
def test_harness_infos_only_when_declared(case: Case) -> Scenario:
    case.capabilities = tuple(sorted(DEFAULT - {urns.Protocol.HARNESS_MONITORING_INFOS}))
    plain(case.program)
    run = yield
    asked = Counter(
        event.message.WhichOneof("request")
        for event in run.transcript.events("control", direction="R->S", kind="InstructionRequest")
    )
    if not asked["process_bundle"]:
        raise NotExercised("the workers' instructions are not in the transcript; run without --beam-environment process")
    same(asked["harness_monitoring_infos"], 0, "the requests for harness monitoring infos", rule="P-CTL-26")
