"""Pipeline options that this runner reads; all others are left alone and handed to the workers (P-JOB-14)."""

from __future__ import annotations

from typing import Any

from attrs import frozen

from conformance.runner.state import PAGE_BYTES
from conformance.wire.api import job_pb2

__all__ = ["DESCRIPTORS", "Options"]

_T = job_pb2.PipelineOptionType


@frozen
class Options:
    """The options of one job."""

    worker_start_timeout: float = 60.0
    state_page_bytes: int = PAGE_BYTES

    @classmethod
    def read(cls, struct: Any) -> Options:
        """From the Struct of Prepare, keys `beam:option:<name>:v1` or bare. Raises ValueError for a value out of range."""
        found = {}
        for name in ("worker_start_timeout", "state_page_bytes"):
            for key in (f"beam:option:{name}:v1", name):
                if key in struct.fields and struct.fields[key].WhichOneof("kind") != "null_value":
                    value = struct.fields[key]
                    text = value.string_value if value.WhichOneof("kind") == "string_value" else value.number_value
                    try:
                        number = float(text)
                    except ValueError:
                        number = 0.0
                    if not number > 0:
                        raise ValueError(f"pipeline option {name}: a number above 0 is needed, not {text!r}")
                    found[name] = number
        return cls(found.get("worker_start_timeout", 60.0), int(found.get("state_page_bytes", PAGE_BYTES)))


DESCRIPTORS = [
    job_pb2.PipelineOptionDescriptor(
        name="worker_start_timeout",
        type=_T.NUMBER,
        description="Seconds that the job waits for a worker of an environment to open its Control stream before it fails.",
        default_value="60",
        group="reference runner",
    ),
    job_pb2.PipelineOptionDescriptor(
        name="state_page_bytes",
        type=_T.INTEGER,
        description="Size of a page of user state or side input, in bytes; at least one element is in each page.",
        default_value=str(PAGE_BYTES),
        group="reference runner",
    ),
]
