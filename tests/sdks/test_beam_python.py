"""Beam's own portable tests of the Python SDK against `python -m conformance.runner`, workers in this process or of a pool.

The class is `PortableRunnerTest` of the apache-beam wheel under another name, so that no skip for a particular runner holds; the nine
tests that it skips for every portable runner are run without the skip.
"""

from __future__ import annotations

import threading
import unittest
from collections.abc import Callable, Iterator
from typing import Any, ClassVar

import pytest
from apache_beam.options.pipeline_options import PortableOptions
from apache_beam.runners.portability import portable_runner_test
from apache_beam.runners.portability.fn_api_runner import fn_runner_test
from apache_beam.runners.worker import worker_pool_main

from conformance.endpoints import Endpoint, JobClient, open_endpoint
from conformance.wire.api import job_pb2

pytestmark = pytest.mark.sdks
S = job_pb2.JobState
#: Skipped for every portable runner: because nobody drains there (these want the job drained as soon as it runs), or by decoration.
DRAINED = (
    "test_draining_sdf_with_sdf_initiated_checkpointing",
    "test_sdf_default_truncate_when_bounded",
    "test_sdf_default_truncate_when_unbounded",
    "test_sdf_with_truncate",
)
DECORATED = (
    "test_batch_pardo_trigger_flush",
    "test_large_elements",
    "test_pardo_large_input",
    "test_pardo_side_input_sparse_dependencies",
    "test_teststream_pardo_timers",
)


class Loopback(portable_runner_test.PortableRunnerTest):  # type: ignore[misc]  # apache_beam tells no types
    """The tests, for a job endpoint that is there already."""

    __test__ = False  # pytest runs it by the functions below
    endpoint: ClassVar[Endpoint]
    environment: ClassVar[tuple[str, str | None]] = ("LOOPBACK", None)

    @classmethod
    def _create_job_endpoint(cls) -> str:
        return cls.endpoint.url

    def create_options(self) -> Any:
        options = super().create_options()
        portable = options.view_as(PortableOptions)
        portable.environment_type, portable.environment_config = self.environment
        return options


@pytest.fixture(scope="module", params=["LOOPBACK", "EXTERNAL"])
def case(request: pytest.FixtureRequest) -> Iterator[type[Loopback]]:
    with open_endpoint("reference") as endpoint:
        pool = None
        environment: tuple[str, str | None] = (request.param, None)
        if request.param == "EXTERNAL":
            address, pool = worker_pool_main.BeamFnExternalWorkerPoolServicer.start(
                state_cache_size=100, data_buffer_time_limit_ms=1000
            )
            environment = ("EXTERNAL", address)
        yield type("OnTheReferenceRunner", (Loopback,), {"endpoint": endpoint, "environment": environment})
        if pool is not None:
            pool.stop(1)


def names() -> list[str]:
    return unittest.TestLoader().getTestCaseNames(Loopback)


def run(case: type[Loopback], name: str, body: Callable[[Any], None] | None = None) -> None:
    """One test; raises what it raises, or SkipTest."""
    test = case(name)
    test.setUp()
    try:
        if body is not None:
            body(test)
        else:
            getattr(test, name)()
    finally:
        test.tearDown()


@pytest.mark.parametrize("name", [each for each in names() if each not in DRAINED + DECORATED])
def test_beams_own(case: type[Loopback], name: str) -> None:
    try:
        run(case, name)
    except unittest.SkipTest as skipped:
        pytest.fail(f"skipped, which none of these is: {skipped}")


@pytest.mark.parametrize("name", DECORATED)
def test_skipped_for_everybody(case: type[Loopback], name: str) -> None:
    run(case, name, getattr(fn_runner_test.FnApiRunnerTest, name).__wrapped__)


@pytest.mark.parametrize("name", DRAINED)
def test_drained(case: type[Loopback], name: str) -> None:
    over = threading.Event()
    drainer = threading.Thread(target=drain_at_once, args=(case.endpoint, over))
    drainer.start()
    try:
        run(case, name, getattr(fn_runner_test.FnApiRunnerTest, name))
    except RuntimeError as error:
        if "DRAINED" not in str(error):  # the SDK knows DONE as the one good end
            raise
    finally:
        over.set()
        drainer.join()


def drain_at_once(endpoint: Endpoint, over: threading.Event) -> None:
    """Drains every job as soon as it runs."""
    with JobClient(endpoint) as client:
        while not over.wait(0.001):
            for job in client.jobs():
                if job.state == S.RUNNING:
                    client.drain(job.job_id)
