"""Pipeline options that this runner reads; all others are left alone and handed to the workers (P-JOB-14)."""

from __future__ import annotations

from collections.abc import Callable
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
    data_streams: int = 0
    sample_data: bool = False
    slow_bundle_seconds: float = 0.0

    @classmethod
    def read(cls, struct: Any) -> Options:
        """From the Struct of Prepare, keys `beam:option:<name>:v1` or bare. Raises ValueError for a value out of range."""
        found: dict[str, Any] = {}
        for name, parse in _PARSERS.items():
            for key in (f"beam:option:{name}:v1", name):
                if key in struct.fields and (kind := struct.fields[key].WhichOneof("kind")) != "null_value":
                    value = getattr(struct.fields[key], kind or "string_value")
                    try:
                        found[name] = parse(value)
                    except (TypeError, ValueError) as error:
                        raise ValueError(f"pipeline option {name}: {error}, not {value!r}") from None
        return cls(**found)


def _number(least: float, needed: str) -> Callable[[Any], float]:
    def parse(value: Any) -> float:
        try:
            number = float(value)
        except (TypeError, ValueError):
            number = float("nan")
        if not number >= least:
            raise ValueError(needed)
        return number

    return parse


def _positive(value: Any) -> float:
    number = _number(0.0, "a number above 0 is needed")(value)
    if not number:
        raise ValueError("a number above 0 is needed")
    return number


def _truth(value: Any) -> bool:
    truth = {"true": True, "false": False, True: True, False: False}.get(value.lower() if isinstance(value, str) else value)
    if truth is None:
        raise ValueError("true or false is needed")
    return truth


_at_least_0 = _number(0.0, "a number not below 0 is needed")
_PARSERS: dict[str, Callable[[Any], Any]] = {
    "worker_start_timeout": _positive,
    "state_page_bytes": lambda value: int(_positive(value)),
    "data_streams": lambda value: int(_at_least_0(value)),
    "sample_data": _truth,
    "slow_bundle_seconds": _at_least_0,
}


def _described(name: str, kind: Any, default: str, description: str) -> Any:
    return job_pb2.PipelineOptionDescriptor(
        name=name, type=kind, description=description, default_value=default, group="reference runner"
    )


DESCRIPTORS = [
    _described(
        "worker_start_timeout",
        _T.NUMBER,
        "60",
        "Seconds that the job waits for a worker of an environment to open its Control stream before it fails.",
    ),
    _described(
        "state_page_bytes",
        _T.INTEGER,
        str(PAGE_BYTES),
        "Size of a page of user state or side input, in bytes; at least one element is in each page.",
    ),
    _described(
        "data_streams",
        _T.INTEGER,
        "0",
        "Named Data streams over which bundles are spread, for SDKs that open such; 0 for the one without a name.",
    ),
    _described(
        "sample_data",
        _T.BOOLEAN,
        "false",
        "Ask SDKs that sample elements for their samples at the end of the job, and show them as job messages.",
    ),
    _described(
        "slow_bundle_seconds",
        _T.NUMBER,
        "0",
        "Ask a worker for its status, and show it as a job message, each time that a bundle ran for so long; 0 for never.",
    ),
]
