"""Bundle finalization: after the commit, for whoever asked, once, on the same worker, and never for a bundle that failed."""

from __future__ import annotations

import pytest
from attrs import frozen

from conformance.harness import Observation
from conformance.harness.invariants import discarded, replays
from conformance.pipeline import Fn, PCollection, coders, state
from conformance.suite.assertions import asserts
from conformance.suite.b_lifecycle.reading import ended_failed, recorded
from conformance.suite.case import Case, Scenario
from conformance.suite.checks import holds, same, same_multiset
from conformance.suite.execution import raise_unless_done
from conformance.suite.j_finalization.functions import Finalizing  # noqa: F401  (registers the function)
from conformance.suite.run import Run

PAIRS = coders.kv(coders.STRING, coders.VARINT)
#: How long a callback may take after its request has come.
CALLBACK_SECONDS = 2.0
GIVEN = [("a", 1), ("b", 2), ("a", 3)]


@frozen
class Asked:
    """What the transcript says of finalization; bundles are (worker, instruction id)."""

    #: Bundles that asked, by the position of their answer in the transcript.
    asking: dict[tuple[str, str], int]
    #: Every FinalizeBundle, with its position, in order.
    finalized: list[tuple[tuple[str, str], int]]
    #: Bundles that were answered with an error, or whose answer the runner threw away.
    failed: set[tuple[str, str]]


def _asked(run: Run) -> Asked:
    transcript = recorded(run)
    asking: dict[tuple[str, str], int] = {}
    failed = discarded(transcript)
    for event in transcript.events(plane="control", direction="S->R", kind="InstructionResponse"):
        bundle = (event.worker_id, event.message.instruction_id)
        if event.message.error:
            failed.add(bundle)
        elif event.message.process_bundle.requires_finalization and bundle not in failed:
            asking[bundle] = event.seq
    requests = transcript.events(plane="control", direction="R->S", kind="InstructionRequest")
    finalized = [
        ((event.worker_id, event.message.finalize_bundle.instruction_id), event.seq)
        for event in requests
        if event.message.WhichOneof("request") == "finalize_bundle"
    ]
    if failed or replays(transcript):  # a harness that was told of replays asks for finalization of every bundle
        own = {(each.worker, each.bundle) for each in run.session.observations.events if each.fn == "finalizing"}
        asking = {bundle: seq for bundle, seq in asking.items() if bundle in own}
        finalized = [(bundle, seq) for bundle, seq in finalized if bundle in own]
    return Asked(asking, finalized, failed)


def _callbacks(run: Run, count: int) -> list[Observation]:
    """What the callbacks reported; the last one may still be at it when the job is DONE, so `count` of them are waited for."""
    run.session.observations.wait_for(f"{run.prefix}finalized", count, CALLBACK_SECONDS)
    return list(run.seen("finalized"))


def _groups(case: Case) -> PCollection:
    """GIVEN, grouped: what follows begins a stage of its own, so that nothing is asked of fusion."""
    return case.program.create(GIVEN).group_by_key()


def _finalizing(case: Case, pairs: PCollection, on: list[str], **args: str) -> PCollection:
    fn = Fn("finalizing", observer=case.program.prefix + "finalized", on=on, **args)
    return pairs.par_do(fn, requests_finalization=True)


def _all_finalized(run: Run, at_least: int) -> None:
    """Every bundle that asked was told, and its callback ran."""
    __tracebackhide__ = True
    asked = _asked(run)
    holds(len(asked.asking) >= at_least, "too few bundles asked for finalization", observed=asked.asking, rule="M-BNDL-06")
    told = {bundle for bundle, _ in asked.finalized}
    same(set(asked.asking) - told, set(), "bundles that asked and were not finalized", rule="M-BNDL-06")
    done = {seen.bundle for seen in _callbacks(run, len(asked.asking))}
    same(done, {bundle for _, bundle in asked.asking}, "bundles whose callback ran", rule="M-BNDL-06")


@asserts("FIN01/every-asking-bundle", alone=True)
def test_every_asking_bundle(case: Case) -> Scenario:
    first = _finalizing(case, _groups(case), ["finish"])
    again = first.par_do(Fn("ungroup"), PAIRS).group_by_key(name="again")
    _finalizing(case, again, ["finish"]).par_do(Fn("ungroup"), PAIRS, name="apart").observe("out")
    run = yield
    same(run.sorted_values("out"), sorted(GIVEN), "the elements", rule="M-XF-18")
    _all_finalized(run, 2)


@asserts("FIN01/function-behind-others", alone=True)
def test_function_behind_others(case: Case) -> Scenario:
    first = _finalizing(case, case.program.create(GIVEN).par_do(Fn("identity")), ["finish"])
    _finalizing(case, first.group_by_key().par_do(Fn("ungroup"), PAIRS), ["finish"]).observe("out")
    run = yield
    same(run.sorted_values("out"), sorted(GIVEN), "the elements", rule="M-XF-18")
    _all_finalized(run, 2)


@asserts("FIN01/after-the-bundle", alone=True)
def test_after_the_bundle(case: Case) -> Scenario:
    _finalizing(case, _groups(case), ["finish"]).observe("out")
    run = yield
    asked = _asked(run)
    holds(bool(asked.finalized), "no bundle was finalized", rule="M-BNDL-06")
    early = [bundle for bundle, seq in asked.finalized if bundle in asked.asking and seq < asked.asking[bundle]]
    same(early, [], "bundles that were finalized before they were answered", rule="M-BNDL-06")


@asserts("FIN01/once-on-the-same-worker", alone=True)
def test_once(case: Case) -> Scenario:
    _finalizing(case, _groups(case), ["finish"]).observe("out")
    run = yield
    asked = _asked(run)
    same_multiset(
        [bundle for bundle, _ in asked.finalized if bundle[1] in {each for _, each in asked.asking}],
        asked.asking,
        "(worker, bundle) that were finalized",
        rule="P-CTL-22",
    )
    same(
        [seen.value for seen in _callbacks(run, len(asked.asking))],
        ["finish"] * len(asked.asking),
        "callbacks that ran",
        rule="P-CTL-22",
    )


@asserts("FIN02/beside-state", alone=True)
def test_beside_state(case: Case) -> Scenario:
    fn = Fn("finalizing", observer=case.program.prefix + "finalized", on=["process"], cell="count")
    cells = {"count": state.value(coders.VARINT)}
    _groups(case).par_do(fn, PAIRS, state=cells, requests_finalization=True).observe("out")
    run = yield
    same(run.sorted_values("out"), [("a", 1), ("b", 1)], "counts from state", rule="M-STATE-01")
    same([seen.value for seen in _callbacks(run, 2)], ["process"] * 2, "callbacks that ran, one an element", rule="M-BNDL-06")


@asserts("FIN02/beside-side-input", alone=True)
def test_beside_side_input(case: Case) -> Scenario:
    side = case.program.create([7, 8], name="side")
    fn = Fn("finalizing", observer=case.program.prefix + "finalized", on=["process"], side="side")
    groups = _groups(case)
    coder = coders.kv(groups.coder, coders.iterable(coders.VARINT))
    groups.par_do(fn, coder, side_inputs={"side": side.as_iterable()}, requests_finalization=True).observe("out")
    run = yield
    seen = sorted((key, beside) for (key, _), beside in run.values("out"))
    same(seen, [("a", [7, 8]), ("b", [7, 8])], "keys with their side input", rule="M-SIDE-11")
    same([seen.value for seen in _callbacks(run, 2)], ["process"] * 2, "callbacks that ran, one an element", rule="M-BNDL-06")


@asserts("FIN03/failing-callback-is-no-failure", alone=True)
def test_failing_callback(case: Case) -> Scenario:
    _finalizing(case, _groups(case), ["finish"], fail="meant to fail: callback").observe("out")
    run = yield
    same(run.groups("out"), {"a": [1, 3], "b": [2]}, "the groups of a job whose callbacks failed", rule="M-BNDL-06")
    holds(bool(_asked(run).finalized), "no bundle was finalized", rule="M-BNDL-06")


@asserts("FIN04/failed-bundle-is-not-finalized", any_outcome=True)
def test_failed_bundle(case: Case) -> Scenario:
    finalizing = _finalizing(case, _groups(case), ["start", "process", "finish"])
    finalizing.par_do(Fn("fail", text="meant to fail", on="finish")).observe("out")
    run = yield
    ended_failed(run)
    asked = _asked(run)
    if not asked.failed:  # the job failed before any bundle did: the runner may not offer finalization
        raise_unless_done(run.outcome, run.session)
    same(
        [bundle for bundle, _ in asked.finalized if bundle in asked.failed],
        [],
        "failed bundles that were finalized",
        rule="M-BNDL-06",
    )
    # Callbacks of the same function may run all the same: in bundles of a stage without the one that fails (M-BNDL-11).
    ran = [seen.value for seen in run.seen("finalized") if (seen.worker, seen.bundle) in asked.failed]
    same(ran, [], "callbacks of failed bundles that ran", rule="M-BNDL-06")


@asserts("FIN06/unasked-is-not-finalized", alone=True)
def test_unasked(case: Case) -> Scenario:
    quiet = _finalizing(case, _groups(case), [])
    again = quiet.par_do(Fn("ungroup"), PAIRS).group_by_key(name="again")
    _finalizing(case, again, ["finish"]).observe("out")
    run = yield
    asked = _asked(run)
    surplus = [bundle for bundle, _ in asked.finalized if bundle not in asked.asking]
    same(surplus, [], "bundles that were finalized without having asked", rule="P-CTL-22")


@asserts("FIN07/from-every-callback", alone=True)
@pytest.mark.parametrize("on", ["start", "process", "finish"])
def test_from_every_callback(case: Case, on: str) -> Scenario:
    _finalizing(case, _groups(case), [on]).observe("out")
    run = yield
    same(run.groups("out"), {"a": [1, 3], "b": [2]}, "the elements", rule="M-XF-18")
    asking = {bundle for _, bundle in _asked(run).asking}
    expected = 2 if on == "process" else len(asking)
    called = _callbacks(run, expected)
    same({seen.bundle for seen in called}, asking, "bundles whose callback ran", rule="M-BNDL-06")
    same([seen.value for seen in called], [on] * expected, "callbacks that ran", rule="M-BNDL-06")


@asserts("FIN03/outcome-unharmed", any_outcome=True)
def test_outcome_unharmed(case: Case) -> Scenario:
    """Callbacks run behind the commit: whatever becomes of them, what was committed stands (M-BNDL-06)."""
    _finalizing(case, _groups(case), ["finish"], fail="meant to fail: callback").observe("out")
    run = yield
    if run.outcome.state == "FAILED":
        holds(bool(run.outcome.error_text.strip()), "the job FAILED without a word about its callbacks", rule="P-JOB-05")
        return
    run.outcome.raise_for_error()
    same(run.outcome.state, "DONE", "the end of a job whose callbacks fail", rule="M-BNDL-06")
    same(run.groups("out"), {"a": [1, 3], "b": [2]}, "the groups of a job whose callbacks failed", rule="M-BNDL-06")


@asserts("FIN06/asking-is-finalized", alone=True)
def test_asking_is_finalized(case: Case) -> Scenario:
    """Two stages that may be finalized, one of which asks."""
    quiet = _finalizing(case, _groups(case), [])
    again = quiet.par_do(Fn("ungroup"), PAIRS).group_by_key(name="again")
    _finalizing(case, again, ["finish"]).observe("out")
    run = yield
    asked = _asked(run)
    holds(bool(asked.asking), "no bundle asked for finalization", rule="P-CTL-22")
    missing = set(asked.asking) - {bundle for bundle, _ in asked.finalized}
    same(missing, set(), "bundles that asked and were not finalized", rule="P-CTL-22")
