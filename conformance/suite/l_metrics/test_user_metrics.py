"""User metrics of every kind, from DoFns to the result of a finished job."""

from __future__ import annotations

from typing import Any

import pytest

from conformance.pipeline import Fn, PCollection, Program
from conformance.suite.assertions import asserts
from conformance.suite.case import Case, Scenario
from conformance.suite.checks import holds, same, same_multiset
from conformance.suite.execution import RunnerUnderTest
from conformance.suite.l_metrics.reading import NAMESPACE, USER, Key, committed, read, result, results, transform_of, user
from conformance.suite.m_job_api.driving import run_program
from conformance.suite.outcomes import NotExercised
from conformance.wire import urns

VALUE = ["value"]


def metered(created: PCollection, *updates: list[Any], namespace: str = NAMESPACE, name: str = "metrics") -> PCollection:
    """A ParDo that updates metrics by [kind, name, expression] for each element, and passes it on."""
    return created.par_do(Fn("metrics", updates=list(updates), namespace=namespace), name=name)


@asserts("MET01/increments-add-up", alone=True)
def test_increments_add_up(case: Case) -> Scenario:
    metered(case.program.create(list(range(100))), ["counter", "ones", 1], ["counter", "values", VALUE]).observe("out")
    run = yield
    same(result(run, "counter", "ones"), 100, "the counter of elements", rule="M-BNDL-07")
    same(result(run, "counter", "values"), 4950, "the counter of values", rule="M-BNDL-07")


@asserts("MET01/signed-and-large", alone=True)
def test_signed_and_large(case: Case) -> Scenario:
    metered(case.program.create([-7, 3, 2**40]), ["counter", "large", VALUE], ["counter", "below", -5]).observe("out")
    run = yield
    same(result(run, "counter", "below"), -15, "a counter below zero", rule="M-BNDL-07")
    same(result(run, "counter", "large"), 2**40 - 4, "a counter beyond 32 bits", rule="M-BNDL-07")


@asserts("MET02/count-sum-min-max", alone=True)
def test_count_sum_min_max(case: Case) -> Scenario:
    metered(case.program.create([5, -3, 2**33, 0, 7]), ["distribution", "spread", VALUE]).observe("out")
    run = yield
    expected = (5, 2**33 + 9, -3, 2**33)
    same(result(run, "distribution", "spread"), expected, "count, sum, minimum and maximum", rule="M-BNDL-07")


@asserts("MET03/latest-value", alone=True)
def test_latest_value(case: Case) -> Scenario:
    metered(case.program.create([4711]), ["gauge", "level", VALUE]).observe("out")
    run = yield
    same(result(run, "gauge", "level")[1], 4711, "the gauge's value", rule="M-BNDL-07")


@asserts("MET04/union-of-strings", alone=True)
def test_union_of_strings(case: Case) -> Scenario:
    texts = ["a", "ä-日本", "", "a", "long " * 50]
    metered(case.program.create(texts), ["set", "names", VALUE]).observe("out")
    run = yield
    same_multiset(result(run, "set", "names"), set(texts), "the strings of the set", rule="M-BNDL-07")


@asserts("MET05/union-of-paths", alone=True)
def test_union_of_paths(case: Case) -> Scenario:
    created = case.program.create(["table1", "table2", "table1"])
    metered(created, ["trie", "paths", ["list", "project", "dataset", VALUE]]).observe("out")
    run = yield
    expected = {("project", "dataset", "table1"), ("project", "dataset", "table2")}
    same(result(run, "trie", "paths"), expected, "the paths of the trie", rule="M-BNDL-07")


@asserts("MET06/bucket-counts", alone=True)
def test_bucket_counts(case: Case) -> Scenario:
    metered(case.program.create([5, 15, 16, 95, 1000]), ["histogram", "sizes", VALUE]).observe("out")
    run = yield
    same(result(run, "histogram", "sizes"), (5, [1, 2, 0, 0, 0, 0, 0, 0, 0, 2]), "the buckets", rule="M-BNDL-07")


@asserts("MET07/double-sum", alone=True)
def test_double_sum(case: Case) -> Scenario:
    metered(case.program.create([0.5, 0.25, -4.0]), ["counter_double", "sum", VALUE]).observe("out")
    run = yield
    same(result(run, "counter_double", "sum"), -3.25, "the sum", rule="M-BNDL-07")


@asserts("MET07/double-distribution", alone=True)
def test_double_distribution(case: Case) -> Scenario:
    metered(case.program.create([0.5, 0.25, -4.0]), ["distribution_double", "spread", VALUE]).observe("out")
    run = yield
    expected = (3, -3.25, -4.0, 0.5)
    same(result(run, "distribution_double", "spread"), expected, "count, sum, minimum and maximum", rule="M-BNDL-07")


@asserts("MET07/double-gauge", alone=True)
def test_double_gauge(case: Case) -> Scenario:
    metered(case.program.create([0.75]), ["gauge_double", "level", VALUE]).observe("out")
    run = yield
    same(result(run, "gauge_double", "level")[1], 0.75, "the gauge's value", rule="M-BNDL-07")


@asserts("MET08/best-values", alone=True)
@pytest.mark.parametrize("kind", ["top", "bottom", "top_double", "bottom_double"])
def test_best_values(case: Case, kind: str) -> Scenario:
    values = [float(value) if kind.endswith("double") else value for value in range(-6, 20)]
    metered(case.program.create(values), [kind, "best", VALUE]).observe("out")
    run = yield
    best = sorted(values, reverse=kind.startswith("top"))[:10]
    same_multiset(result(run, kind, "best"), best, f"the values of {USER[kind]}", rule="M-BNDL-07")


@asserts("MET09/committed-is-exact", alone=True)
def test_committed_is_exact(case: Case) -> Scenario:
    _two_stages(case.program)
    run = yield
    infos = committed(run)
    for name, expected in (("before", 3), ("behind", 2)):
        found = user(infos, "counter", name)
        same([read(info) for info in found], [expected], f"the committed counter {name!r}", rule="P-MET-04")


@asserts("MET09/attempted-not-below-committed", alone=True)
def test_attempted_not_below_committed(case: Case) -> Scenario:
    _two_stages(case.program)
    run = yield
    results(run)
    assert run.outcome.metrics is not None
    attempted = {Key.of(info): read(info) for info in run.outcome.metrics.attempted if info.urn == USER["counter"]}
    sure = {Key.of(info): read(info) for info in run.outcome.metrics.committed if info.urn == USER["counter"]}
    both = sorted(set(attempted) & set(sure), key=str)
    if not both:
        raise NotExercised("no counter is reported both as attempted and as committed")
    for key in both:
        holds(
            attempted[key] >= sure[key],
            f"{dict(key.labels)} is {attempted[key]} attempted and {sure[key]} committed",
            rule="P-MET-04",
        )


def _two_stages(program: Program) -> None:
    """Counters before (3) and behind (2) a grouping."""
    pairs = metered(program.create([("a", 1), ("b", 2), ("a", 3)]), ["counter", "before", 1], name="meter1")
    metered(pairs.group_by_key(), ["counter", "behind", 1], name="meter2").observe("out")


@asserts("MET12/labels-carried", alone=True)
def test_labels_carried(case: Case) -> Scenario:
    made = metered(case.program.create([1]), ["counter", "a name/with: odd ü", 1], namespace="name.space", name="meter")
    made.observe("out")
    run = yield
    infos = results(run)
    found = [info for info in infos if info.labels.get("NAME") == "a name/with: odd ü"]
    same(len(found), 1, "entries of the counter", rule="P-MET-05")
    labels = {"NAME": "a name/with: odd ü", "NAMESPACE": "name.space", "PTRANSFORM": transform_of(made)}
    same({key: found[0].labels[key] for key in labels}, labels, "the labels", rule="P-MET-05")
    same(found[0].urn, USER["counter"], "the URN", rule="P-MET-05")
    same(found[0].type, urns.MetricType.SUM_INT64, "the type", rule="P-MET-05")


@asserts("MET12/kept-apart", alone=True)
def test_kept_apart(case: Case) -> Scenario:
    created = case.program.create([1, 2, 3])
    first = metered(created, ["counter", "n", 1], name="meter1")
    second = metered(first, ["counter", "n", 10], name="meter2")
    third = metered(second, ["counter", "n", 100], namespace="another", name="meter3")
    third.observe("out")
    run = yield
    infos = results(run)
    for made, namespace, expected in ((first, NAMESPACE, 3), (second, NAMESPACE, 30), (third, "another", 300)):
        found = user(infos, "counter", "n", transform_of(made), namespace)
        what = f"the counter 'n' of {transform_of(made)} in {namespace}"
        same([read(info) for info in found], [expected], what, rule="P-MET-05")


@asserts("MET20/both-shapes-count-once")
def test_both_shapes_count_once(runner: RunnerUnderTest) -> None:
    def both(session: Any) -> None:
        session.both_metric_shapes = True

    run = run_program(
        runner, lambda program: metered(program.create([1, 2, 3]), ["counter", "n", 1]).observe("out"), label="shapes", setup=both
    )
    same(result(run, "counter", "n"), 3, "a counter that was reported in both shapes", rule="P-MET-02")
