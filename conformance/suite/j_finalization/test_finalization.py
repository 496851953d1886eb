"""Bundle finalization: after the commit, for whoever asked, once, on the same worker, and never for a bundle that failed."""

from __future__ import annotations

import pytest
from attrs import frozen

from conformance.pipeline import Fn, PCollection, coders, state
from conformance.suite.assertions import asserts
from conformance.suite.b_lifecycle.reading import ended_failed
from conformance.suite.case import Case, Scenario
from conformance.suite.checks import holds, same, same_multiset
from conformance.suite.j_finalization.functions import Finalizing  # noqa: F401  (registers the function)
from conformance.suite.run import Run

PAIRS = coders.kv(coders.STRING, coders.VARINT)
GIVEN = [("a", 1), ("b", 2), ("a", 3)]


@frozen
class Asked:
    """What the transcript says of finalization; bundles are (worker, instruction id)."""

    #: Bundles that asked, by the position of their answer in the transcript.
    asking: dict[tuple[str, str], int]
    #: Every FinalizeBundle, with its position, in order.
    finalized: list[tuple[tuple[str, str], int]]
    #: Bundles that were answered with an error.
    failed: set[tuple[str, str]]


def _asked(run: Run) -> Asked:
    asking: dict[tuple[str, str], int] = {}
    failed: set[tuple[str, str]] = set()
    for event in run.transcript.events(plane="control", direction="S->R", kind="InstructionResponse"):
        bundle = (event.worker_id, event.message.instruction_id)
        if event.message.error:
            failed.add(bundle)
        elif event.message.process_bundle.requires_finalization:
            asking[bundle] = event.seq
    requests = run.transcript.events(plane="control", direction="R->S", kind="InstructionRequest")
    finalized = [
        ((event.worker_id, event.message.finalize_bundle.instruction_id), event.seq)
        for event in requests
        if event.message.WhichOneof("request") == "finalize_bundle"
    ]
    return Asked(asking, finalized, failed)


def _finalizing(case: Case, pairs: PCollection, on: list[str], **args: str) -> PCollection:
    fn = Fn("finalizing", observer=case.program.prefix + "finalized", on=on, **args)
    return pairs.par_do(fn, requests_finalization=True)


@asserts("FIN01/every-asking-bundle", alone=True)
def test_every_asking_bundle(case: Case) -> Scenario:
    first = _finalizing(case, case.program.create(GIVEN), ["finish"])
    _finalizing(case, first.group_by_key().par_do(Fn("ungroup"), PAIRS), ["finish"]).observe("out")
    run = yield
    same(run.sorted_values("out"), sorted(GIVEN), "the elements", rule="M-XF-18")
    asked = _asked(run)
    holds(len(asked.asking) >= 2, "fewer than two bundles asked for finalization", observed=asked.asking, rule="M-BNDL-06")
    told = {bundle for bundle, _ in asked.finalized}
    same(set(asked.asking) - told, set(), "bundles that asked and were not finalized", rule="M-BNDL-06")
    done = {seen.bundle for seen in run.seen("finalized")}
    same(done, {bundle for _, bundle in asked.asking}, "bundles whose callback ran", rule="M-BNDL-06")


@asserts("FIN01/after-the-bundle", alone=True)
def test_after_the_bundle(case: Case) -> Scenario:
    _finalizing(case, case.program.create(GIVEN), ["finish"]).group_by_key().observe("out")
    run = yield
    asked = _asked(run)
    holds(bool(asked.finalized), "no bundle was finalized", rule="M-BNDL-06")
    early = [bundle for bundle, seq in asked.finalized if bundle in asked.asking and seq < asked.asking[bundle]]
    same(early, [], "bundles that were finalized before they were answered", rule="M-BNDL-06")


@asserts("FIN01/once-on-the-same-worker", alone=True)
def test_once(case: Case) -> Scenario:
    _finalizing(case, case.program.create(GIVEN), ["finish"]).group_by_key().observe("out")
    run = yield
    asked = _asked(run)
    same_multiset(
        [bundle for bundle, _ in asked.finalized if bundle[1] in {each for _, each in asked.asking}],
        asked.asking,
        "(worker, bundle) that were finalized",
        rule="P-CTL-22",
    )
    same(run.values("finalized"), ["finish"] * len(asked.asking), "callbacks that ran", rule="P-CTL-22")


@asserts("FIN02/beside-state", alone=True)
def test_beside_state(case: Case) -> Scenario:
    fn = Fn("finalizing", observer=case.program.prefix + "finalized", on=["process"], cell="count")
    cells = {"count": state.value(coders.VARINT)}
    case.program.create(GIVEN).par_do(fn, PAIRS, state=cells, requests_finalization=True).observe("out")
    run = yield
    same(run.sorted_values("out"), [("a", 1), ("a", 2), ("b", 1)], "counts from state", rule="M-STATE-01")
    same(run.values("finalized"), ["process"] * 3, "callbacks that ran, one an element", rule="M-BNDL-06")


@asserts("FIN02/beside-side-input", alone=True)
def test_beside_side_input(case: Case) -> Scenario:
    side = case.program.create([7, 8], name="side")
    fn = Fn("finalizing", observer=case.program.prefix + "finalized", on=["process"], side="side")
    coder = coders.kv(coders.VARINT, coders.iterable(coders.VARINT))
    main = case.program.create([1, 2], name="main")
    main.par_do(fn, coder, side_inputs={"side": side.as_iterable()}, requests_finalization=True).observe("out")
    run = yield
    same(run.sorted_values("out"), [(1, [7, 8]), (2, [7, 8])], "elements with their side input", rule="M-SIDE-11")
    same(run.values("finalized"), ["process"] * 2, "callbacks that ran, one an element", rule="M-BNDL-06")


@asserts("FIN03/failing-callback-is-no-failure", alone=True)
def test_failing_callback(case: Case) -> Scenario:
    _finalizing(case, case.program.create(GIVEN), ["finish"], fail="meant to fail: callback").group_by_key().observe("out")
    run = yield
    same(run.groups("out"), {"a": [1, 3], "b": [2]}, "the groups of a job whose callbacks failed", rule="M-BNDL-06")
    holds(bool(_asked(run).finalized), "no bundle was finalized", rule="M-BNDL-06")


@asserts("FIN04/failed-bundle-is-not-finalized", any_outcome=True)
def test_failed_bundle(case: Case) -> Scenario:
    finalizing = _finalizing(case, case.program.create(GIVEN), ["start", "process", "finish"])
    finalizing.par_do(Fn("fail", text="meant to fail", on="finish")).group_by_key().observe("out")
    run = yield
    if run.outcome.state != "FAILED":
        # A runner that does not offer finalization says so here; the plugin then takes it as declined.
        run.outcome.raise_for_error()
    ended_failed(run)
    asked = _asked(run)
    holds(bool(asked.failed), "no bundle failed", rule="M-BNDL-06")
    same(
        [bundle for bundle, _ in asked.finalized if bundle in asked.failed],
        [],
        "failed bundles that were finalized",
        rule="M-BNDL-06",
    )
    same(run.values("finalized"), [], "callbacks that ran", rule="M-BNDL-06")


@asserts("FIN06/unasked-is-not-finalized", alone=True)
def test_unasked(case: Case) -> Scenario:
    quiet = _finalizing(case, case.program.create(GIVEN), [])
    _finalizing(case, quiet.group_by_key().par_do(Fn("ungroup"), PAIRS), ["finish"]).observe("out")
    run = yield
    asked = _asked(run)
    surplus = [bundle for bundle, _ in asked.finalized if bundle not in asked.asking]
    same(surplus, [], "bundles that were finalized without having asked", rule="P-CTL-22")


@asserts("FIN07/from-every-callback", alone=True)
@pytest.mark.parametrize("on", ["start", "process", "finish"])
def test_from_every_callback(case: Case, on: str) -> Scenario:
    _finalizing(case, case.program.create(GIVEN), [on]).observe("out")
    run = yield
    same(run.sorted_values("out"), sorted(GIVEN), "the elements", rule="M-XF-18")
    bundles = {seen.bundle for seen in run.seen("finalized")}
    same(bundles, {bundle for _, bundle in _asked(run).asking}, "bundles whose callback ran", rule="M-BNDL-06")
    expected = len(GIVEN) if on == "process" else len(bundles)
    same(run.values("finalized"), [on] * expected, "callbacks that ran", rule="M-BNDL-06")
