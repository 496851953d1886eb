"""Beam's own Python SDK on the reference runner: a worker that nobody here wrote."""

from __future__ import annotations

from collections.abc import Callable

import apache_beam as beam
import pytest
from apache_beam.coders import StrUtf8Coder
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.testing.util import assert_that, equal_to
from apache_beam.transforms import trigger, userstate, window

Pipeline = Callable[..., beam.Pipeline]


@pytest.fixture
def pipeline(server) -> Pipeline:
    """A pipeline whose `with` runs it to its end; assert_that inside it fails the job if it does not hold."""

    def make(*options: str) -> beam.Pipeline:
        flags = ["--runner=PortableRunner", f"--job_endpoint={server.url}", "--environment_type=LOOPBACK"]
        return beam.Pipeline(options=PipelineOptions([*flags, "--experiments=disable_logging_submission_environment", *options]))

    return make


EXPANDED = "--experiments=pre_optimize=none"


@pytest.mark.parametrize("options", [(), (EXPANDED,)], ids=["optimized", "as written"])
def test_word_count(pipeline, options):
    with pipeline(*options) as p:
        words = p | beam.Create(["a b a", "b c"]) | beam.FlatMap(str.split)
        assert_that(words | beam.combiners.Count.PerElement(), equal_to([("a", 2), ("b", 2), ("c", 1)]))


@pytest.mark.parametrize("options", [(), (EXPANDED,)], ids=["optimized", "as written"])
def test_sessions(pipeline, options):
    with pipeline(*options) as p:
        stamped = p | beam.Create([0, 9, 19, 50]) | beam.Map(lambda t: window.TimestampedValue(("k", t), t))
        grouped = (
            stamped | beam.WindowInto(window.Sessions(10)) | beam.GroupByKey() | beam.MapTuple(lambda k, vs: (k, sorted(vs)))
        )
        assert_that(grouped, equal_to([("k", [0, 9]), ("k", [19]), ("k", [50])]))


def test_side_inputs(pipeline):
    with pipeline() as p:
        main = p | "main" >> beam.Create([1, 2])
        side = p | "side" >> beam.Create([("a", 10), ("b", 20)])
        joined = main | beam.Map(
            lambda x, d, s: (x, sorted(d.items()), s), beam.pvalue.AsDict(side), beam.pvalue.AsSingleton(p | beam.Create([7]))
        )
        assert_that(joined, equal_to([(each, [("a", 10), ("b", 20)], 7) for each in (1, 2)]))


def test_triggers_on_bounded_input_give_one_pane_with_everything(pipeline):
    with pipeline() as p:
        counted = (
            p
            | beam.Create([("k", 1), ("k", 2), ("k", 3)])
            | beam.WindowInto(
                window.GlobalWindows(),
                trigger=trigger.Repeatedly(trigger.AfterCount(2)),
                accumulation_mode=trigger.AccumulationMode.DISCARDING,
            )
            | beam.GroupByKey()
            | beam.MapTuple(lambda k, vs, pane=beam.DoFn.PaneInfoParam: (sorted(vs), pane.is_first, pane.is_last, pane.index))
        )
        assert_that(counted, equal_to([([1, 2, 3], True, True, 0)]))


class Collect(beam.DoFn):
    """Keeps values in state and emits them by an event-time timer."""

    KEPT = userstate.BagStateSpec("kept", StrUtf8Coder())
    FLUSH = userstate.TimerSpec("flush", userstate.TimeDomain.WATERMARK)

    def process(self, element, kept=beam.DoFn.StateParam(KEPT), flush=beam.DoFn.TimerParam(FLUSH)):  # noqa: B008
        kept.add(element[1])
        flush.set(20)

    @userstate.on_timer(FLUSH)
    def emit(self, key=beam.DoFn.KeyParam, kept=beam.DoFn.StateParam(KEPT)):  # noqa: B008
        yield key, sorted(kept.read())


def test_state_and_timers(pipeline):
    with pipeline() as p:
        assert_that(
            p | beam.Create([("x", "a"), ("y", "b"), ("x", "c")]) | beam.ParDo(Collect()),
            equal_to([("x", ["a", "c"]), ("y", ["b"])]),
        )


def test_what_a_function_raises_reaches_the_user(pipeline):
    def broken(_: int) -> None:
        raise ValueError("the user's own words")

    with pytest.raises(RuntimeError, match="the user's own words"), pipeline() as p:
        p | beam.Create([1]) | beam.Map(broken)


def test_metrics(pipeline):
    def count(each: int) -> int:
        beam.metrics.Metrics.counter("test", "seen").inc(each)
        beam.metrics.Metrics.distribution("test", "sizes").update(each)
        return each

    p = pipeline()
    _ = p | beam.Create([1, 2, 3]) | beam.Map(count) | beam.Reshuffle()
    result = p.run()
    result.wait_until_finish()
    found = result.metrics().query(beam.metrics.MetricsFilter().with_namespace("test"))
    assert [each.committed for each in found["counters"]] == [6]
    assert [(each.committed.sum, each.committed.min, each.committed.max) for each in found["distributions"]] == [(6, 1, 3)]
