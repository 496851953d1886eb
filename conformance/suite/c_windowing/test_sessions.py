"""Session windows in bounded execution: which elements share one, where it ends, merge status."""

from __future__ import annotations

from attrs import evolve

from conformance.pipeline import Fn, coders, triggers, windowing
from conformance.pipeline.windowing import Strategy
from conformance.suite.a_core.functions import FLAT_VALUES
from conformance.suite.assertions import asserts
from conformance.suite.c_windowing.reading import SECOND, bounds, window_groups
from conformance.suite.case import Case, Scenario
from conformance.suite.checks import same, same_multiset
from conformance.wire.api import pipeline_pb2 as pb

GAP = windowing.sessions(10 * SECOND)


@asserts("WIN05/overlapping-merge")
def test_overlapping_merge(case: Case) -> Scenario:
    case.program.create([("k", 1), ("k", 2)], timestamps=[0, 9999], window=GAP).group_by_key().observe("out")
    run = yield
    same(window_groups(run, "out"), {("k", 0, 19_999): [1, 2]}, "the sessions", rule="M-WIN-09")


@asserts("WIN05/transitive")
def test_transitive(case: Case) -> Scenario:
    pairs = [("k", 1), ("k", 2), ("k", 3)]
    case.program.create(pairs, timestamps=[0, 14_000, 7000], window=GAP).group_by_key().observe("out")
    run = yield
    same(window_groups(run, "out"), {("k", 0, 24_000): [1, 2, 3]}, "the sessions", rule="M-WIN-08")


@asserts("WIN05/touching-stay-apart")
def test_touching_stay_apart(case: Case) -> Scenario:
    case.program.create([("k", 1), ("k", 2)], timestamps=[0, 10_000], window=GAP).group_by_key().observe("out")
    run = yield
    expected = {("k", 0, 10_000): [1], ("k", 10_000, 20_000): [2]}
    same(window_groups(run, "out"), expected, "the sessions", rule="M-WIN-08")


@asserts("WIN05/keys-do-not-merge")
def test_keys_do_not_merge(case: Case) -> Scenario:
    pairs = [("j", 1), ("k", 2), ("j", 3)]
    case.program.create(pairs, timestamps=[0, 8000, 16_000], window=GAP).group_by_key().observe("out")
    run = yield
    expected = {("j", 0, 10_000): [1], ("j", 16_000, 26_000): [3], ("k", 8000, 18_000): [2]}
    same(window_groups(run, "out"), expected, "the sessions", rule="M-WIN-09")


@asserts("WIN05/far-apart-stay-apart")
def test_far_apart_stay_apart(case: Case) -> Scenario:
    pairs = [("k", number) for number in range(1, 6)]
    moments = [0, 3000, 100_000, 105_000, 300_000]
    case.program.create(pairs, timestamps=moments, window=GAP).group_by_key().observe("out")
    run = yield
    expected = {("k", 0, 13_000): [1, 2], ("k", 100_000, 115_000): [3, 4], ("k", 300_000, 310_000): [5]}
    same(window_groups(run, "out"), expected, "the sessions", rule="M-WIN-08")
    same(len(run.seen("out")), 3, "the number of panes", rule="M-WIN-08")


@asserts("WIN05/timestamp-of-session")
def test_timestamp_of_session(case: Case) -> Scenario:
    case.program.create([("k", 1), ("k", 2)], timestamps=[0, 4000], window=GAP).group_by_key().observe("out")
    run = yield
    same([seen.timestamp for seen in run.seen("out")], [13_999], "timestamps of the groups", rule="M-HOLD-08")


@asserts("WIN05/earliest-of-session")
def test_earliest_of_session(case: Case) -> Scenario:
    created = case.program.create([("k", 1), ("k", 2), ("k", 3)], timestamps=[4000, 1000, 9000])
    created.window_into(GAP, timestamp_combiner="earliest").group_by_key().observe("out")
    run = yield
    same([seen.timestamp for seen in run.seen("out")], [1000], "timestamps of the groups", rule="M-HOLD-08")


@asserts("WIN06/elements-of-several-sources-merge")
def test_elements_of_several_sources_merge(case: Case) -> Scenario:
    parts = [
        case.program.create([("k", number)], timestamps=[moment], window=GAP, name=f"c{number}")
        for number, moment in enumerate([14_000, 0, 50_000, 7000])
    ]
    case.program.flatten(parts).group_by_key().observe("out")
    run = yield
    expected = {("k", 0, 24_000): [0, 1, 3], ("k", 50_000, 60_000): [2]}
    same(window_groups(run, "out"), expected, "the sessions", rule="M-WIN-10")


@asserts("WIN11/sessions-before-epoch")
def test_sessions_before_epoch(case: Case) -> Scenario:
    pairs = [("k", 1), ("k", 2), ("k", 3)]
    case.program.create(pairs, timestamps=[-5000, 1000, -60_000], window=GAP).group_by_key().observe("out")
    run = yield
    expected = {("k", -5000, 11_000): [1, 2], ("k", -60_000, -50_000): [3]}
    same(window_groups(run, "out"), expected, "the sessions", rule="M-WIN-08")


@asserts("WIN15/already-merged-not-merged")
def test_already_merged_not_merged(case: Case) -> Scenario:
    created = case.program.create([("k", 1), ("k", 2)], timestamps=[0, 4000], window=GAP)
    merged = Strategy(GAP, merge_status=int(pb.MergeStatus.ALREADY_MERGED))
    created.with_strategy(merged).group_by_key().observe("out")
    run = yield
    expected = {("k", 0, 10_000): [1], ("k", 4000, 14_000): [2]}
    same(window_groups(run, "out"), expected, "the groups by window", rule="M-WIN-12")


@asserts("WIN15/needs-merge-merges-again")
def test_needs_merge_merges_again(case: Case) -> Scenario:
    pairs = [("j", 1), ("j", 2), ("k", 3), ("k", 4)]
    created = case.program.create(pairs, timestamps=[0, 4000, 9000, 15_000], window=GAP)
    again = evolve(created.strategy, merge_status=int(pb.MergeStatus.NEEDS_MERGE))
    values = created.group_by_key().par_do(FLAT_VALUES, coders.VARINT)
    rekeyed = values.par_do(Fn("with_key", key="all"), coders.kv(coders.STRING, coders.VARINT), strategy=again)
    rekeyed.group_by_key().observe("out")
    run = yield
    # [0, 14) of j and [9, 25) of k overlap
    same(window_groups(run, "out"), {("all", 0, 25_000): [1, 2, 3, 4]}, "the groups by window", rule="M-WIN-12")


@asserts("WIN13/second-window-into-replaces")
def test_second_window_into_replaces(case: Case) -> Scenario:
    created = case.program.create([("k", 1), ("k", 2)], timestamps=[1000, 24_000], window=GAP)
    created.window_into(windowing.fixed(20 * SECOND)).group_by_key().observe("out")
    run = yield
    expected = {("k", 0, 20_000): [1], ("k", 20_000, 40_000): [2]}
    same(window_groups(run, "out"), expected, "the groups by window", rule="M-WIN-18")


@asserts("WIN13/rewindow-after-grouping")
def test_rewindow_after_grouping(case: Case) -> Scenario:
    pairs = [("k", number) for number in range(7)]
    moments = [number * 10_000 for number in range(7)]
    groups = case.program.create(pairs, timestamps=moments, window=windowing.fixed(10 * SECOND)).group_by_key()
    values = groups.par_do(FLAT_VALUES, coders.VARINT)
    rekeyed = values.par_do(Fn("with_key", key="k"), coders.kv(coders.STRING, coders.VARINT))
    rekeyed.window_into(windowing.fixed(60 * SECOND), name="wider").group_by_key(name="again").observe("out")
    run = yield
    expected = {("k", 0, 60_000): [0, 1, 2, 3, 4, 5], ("k", 60_000, 120_000): [6]}
    same(window_groups(run, "out"), expected, "the groups by window", rule="M-WIN-18")


@asserts("WIN13/back-to-global")
def test_back_to_global(case: Case) -> Scenario:
    created = case.program.create([("k", 1), ("k", 2)], timestamps=[1000, 24_000], window=windowing.fixed(10 * SECOND))
    created.window_into(windowing.global_windows(), name="back").group_by_key().observe("out")
    run = yield
    same_multiset([(key, sorted(values)) for key, values in run.values("out")], [("k", [1, 2])], "the groups", rule="M-WIN-18")


@asserts("WIN13/old-trigger-forgotten")
def test_old_trigger_forgotten(case: Case) -> Scenario:
    created = case.program.create([("k", number) for number in range(5)], timestamps=[0, 1000, 2000, 3000, 4000])
    often = created.window_into(windowing.fixed(10 * SECOND), trigger=triggers.repeatedly(triggers.after_count(1)))
    often.window_into(windowing.fixed(20 * SECOND), name="again").group_by_key().observe("out")
    run = yield
    groups = [(bounds(seen.window), sorted(seen.value[1])) for seen in run.seen("out")]
    same_multiset(groups, [((0, 20_000), [0, 1, 2, 3, 4])], "windows and values of panes", rule="M-WIN-18")


@asserts("WIN14/strategy-change-keeps-windows")
def test_strategy_change_keeps_windows(case: Case) -> Scenario:
    created = case.program.create([("k", 1), ("k", 2), ("k", 3)], timestamps=[4000, 2000, 15_000])
    windowed = created.window_into(windowing.fixed(10 * SECOND))
    windowed.with_strategy(evolve(windowed.strategy, output_time="earliest")).group_by_key().observe("out")
    run = yield
    seen = [(bounds(seen.window), seen.timestamp, sorted(seen.value[1])) for seen in run.seen("out")]
    expected = [((0, 10_000), 2000, [1, 2]), ((10_000, 20_000), 15_000, [3])]
    same_multiset(seen, expected, "windows, timestamps and values of groups", rule="M-WIN-11")
