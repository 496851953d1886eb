"""The pipeline that a test would run first, without running it: for pictures of probes and of generated programs.

A `Sketch` stands where the runner under test stands. It builds all that a test asks for, and stops the test at the first pipeline.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

from conformance.harness import Session
from conformance.pipeline import Program
from conformance.suite.case import Case
from conformance.suite.catalogue import Entry
from conformance.suite.conductor import environment_for_drawing
from conformance.suite.execution import RunnerUnderTest
from conformance.suite.scripting import TESTSTREAM
from conformance.suite.settings import Settings
from conformance.wire.api import pipeline_pb2 as pb

__all__ = ["first_pipeline"]


class _Found(BaseException):
    """The pipeline; no Exception, so that nothing takes it for a failure of the test, looks for a smaller one, or tries again."""

    def __init__(self, pipeline: pb.Pipeline) -> None:
        super().__init__()
        self.pipeline = pipeline


class _Client:
    """A job client that is never asked more than the first pipeline."""

    def prepare(self, pipeline: pb.Pipeline, *_: Any, **__: Any) -> Any:
        raise _Found(pipeline)

    run_job = prepare

    def __enter__(self) -> _Client:
        return self

    def __exit__(self, *_: object) -> None:
        return None

    def close(self) -> None:
        return None


class _Sketch(RunnerUnderTest):
    """As much of a runner under test as comes before the first job."""

    script_source = TESTSTREAM

    def __init__(self) -> None:
        self.settings = Settings(modes=("batch", "streaming"), examples=1)
        self.pack_size = 1
        self.asked: list[str] = []
        self.remarks = Counter()
        self.played_by = ""
        self.lagged = 0
        self._seen = []
        self._never = {}

    def __getattr__(self, name: str) -> Any:
        raise RuntimeError(f"the test asks for {name} before it has a pipeline")

    def submit(self, pipeline: pb.Pipeline, session: Session, **_: Any) -> Any:
        session.close()
        raise _Found(pipeline)

    def client(self, transcript: Any = None) -> Any:
        return _Client()

    def recover(self, error: BaseException | None = None) -> None:
        return None

    def job_options(self, extra: dict[str, Any] | None = None) -> dict[str, Any]:
        return dict(extra or {})

    def run_case(self, case: Case) -> Any:
        raise _Found(case.program.build(environment_for_drawing()))

    run_alone = run_case


def first_pipeline(entry: Entry) -> pb.Pipeline | None:
    """What `entry`'s test, with its first parameters, would run first; None where that cannot be told without a runner."""
    parameters = entry.parameters or {}
    sketch = _Sketch()
    run: Callable[[], object]
    if entry.mark.scenario is not None:
        case = Case(entry.mark, parameters, "", sketch.settings, sketch)
        case.program = Program(entry.mark.assertion)
        run = case.conclude
    else:
        run = lambda: entry.function(runner=sketch, **parameters)  # noqa: E731
    try:
        run()
    except _Found as found:
        return found.pipeline
    except Exception:  # it looks at the endpoint first
        return None
    return None
