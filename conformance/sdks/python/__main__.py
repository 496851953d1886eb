"""The driver: reads tasks from standard input, a JSON object a line, runs each, and answers a JSON object a line.

    {"id": 1, "row": "par_do", "mode": "batch", "endpoint": "localhost:8099", "input": "…", "output": "…", "options": {}}
    {"id": 1, "state": "DONE", "error": "", "metrics": {"words": 59}}

The worker is this process (LOOPBACK). It ends when its standard input does, in the middle of a job too.
"""

from __future__ import annotations

import importlib
import json
import os
import queue
import sys
import threading
from typing import Any

import apache_beam as beam
from apache_beam.metrics.metric import MetricResults
from apache_beam.options.pipeline_options import PipelineOptions

from conformance.sdks.python.task import Task, observe


def options_of(task: Task) -> PipelineOptions:
    flags = [
        "--runner=PortableRunner",
        f"--job_endpoint={task.endpoint}",
        "--environment_type=LOOPBACK",
        f"--job_name={task.row.replace('_', '-')}-{task.mode}",
        # As it is written: what is to be lifted or fused is the runner's to say.
        "--experiments=pre_optimize=none",
        "--experiments=disable_logging_submission_environment",
        *(["--streaming"] if task.streaming else []),
        *task.options.get("flags", []),
    ]
    return PipelineOptions(flags)


def plain(value: Any) -> Any:
    """A counter's number; a distribution by its four numbers."""
    if hasattr(value, "sum"):
        return {"count": value.count, "sum": value.sum, "min": value.min, "max": value.max}
    return value


def metrics_of(found: MetricResults) -> dict[str, Any]:
    """The user's metrics by name, committed where the runner told them, else attempted."""
    kinds = found.query(beam.metrics.MetricsFilter().with_namespace("conformance"))
    return {
        each.key.metric.name: plain(each.attempted if each.committed is None else each.committed)
        for kind in (MetricResults.COUNTERS, MetricResults.DISTRIBUTIONS)
        for each in kinds[kind]
    }


def run(task: Task) -> dict[str, Any]:
    module = importlib.import_module(f"conformance.sdks.python.rows.{task.row}")
    pipeline = beam.Pipeline(options=options_of(task))
    found = module.build(pipeline, task)
    if found is not None:
        observe(found, task)
    result = pipeline.run()
    result.wait_until_finish()
    metrics = metrics_of(result.metrics()) if task.options.get("metrics") else {}
    return {"state": str(result.state), "metrics": metrics}


def answer(request: dict[str, Any]) -> dict[str, Any]:
    number = request.pop("id")
    try:
        return {"id": number, "error": "", **run(Task(**request))}
    except Exception as error:  # whatever goes wrong is the answer
        return {"id": number, "state": "FAILED", "error": f"{type(error).__name__}: {error}", "metrics": {}}


def main() -> None:
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # what libraries print is no answer
    requests: queue.Queue[str] = queue.Queue()

    def read() -> None:
        for line in sys.stdin:
            requests.put(line)
        os._exit(0)

    threading.Thread(target=read, daemon=True).start()
    print(json.dumps({"ready": beam.__version__}), file=answers)
    while True:
        print(json.dumps(answer(json.loads(requests.get()))), file=answers)


main()
