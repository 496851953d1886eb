"""Faults to inject, as data: which instruction, which moment, what goes wrong, how often."""

from __future__ import annotations

import re
import threading
from collections.abc import Mapping
from typing import Any, Literal

from attrs import field, frozen

__all__ = ["Action", "Fault", "Script"]

Action = Literal[
    "error",  # answer with an error: at element `at` of the bundle, or instead of the answer when `at` is None
    "late",  # answer only when gate `gate` opens
    "never",  # do not answer
    "twice",  # answer twice
    "drop",  # end the stream of `plane` (at element `at`, or when the instruction comes)
    "exit",  # end all streams of the worker at once, as a process that dies
    "respond_first",  # the bundle's answer before its outputs
    "data_in_terminator",  # bytes in the entry that ends a sink
    "no_terminators",  # outputs without their ends
    "double_terminators",  # each end twice
    "answer",  # answer with `response` (text-free: a message of the right kind)
    "wrong_kind",  # an answer of another kind than was asked for
    "no_kind",  # an answer with the right id, and nothing in it
    "nameless",  # a split whose channel split does not name its source (P-SPL-06)
    "behind_the_last",  # a split behind the last element that the runner tells of, so that nothing is given back (P-SPL-04)
    "stranger",  # before the answer, one to an instruction that never was
    "leave",  # answer, then end Control as a worker that goes away in peace
    "cut_outputs",  # each entry of the bundle's last outputs lacks its last byte
    "stray_output",  # outputs for a sink that does not exist, beside the right ones
    "empty_answer",  # an answer of the right kind without content (split, progress: "no idea")
    "ignore_capability",  # behave as if `capability` were not declared
    "delay_data_stream",  # open the data stream only when gate `gate` opens
]


#: What no SDK may do, so that what a runner makes of it breaks no rule that speaks about messages.
_BREAKING = frozenset(
    {
        "twice",
        "wrong_kind",
        "no_kind",
        "stranger",
        "cut_outputs",
        "stray_output",
        "no_terminators",
        "double_terminators",
        "ignore_capability",
    }
)


@frozen
class Fault:
    """One rule. It applies to instructions of kind `on` whose stage has a transform matching `transform`, `times` times."""

    action: Action
    on: str = "process_bundle"
    transform: str = ""
    worker: str = ""
    at: int | None = None
    times: int = 1
    skip: int = 0
    text: str = "injected fault"
    plane: str = "control"
    gate: str = ""
    capability: str = ""
    response: Any = field(default=None, eq=False)


class Script:
    """The faults of a session. Each is used up `times` times; `log` tells what was injected where."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._faults: list[Fault] = []
        self._seen: dict[int, int] = {}
        self._used: dict[int, int] = {}
        self.log: list[tuple[Fault, str]] = []

    def add(self, action: Action, **fields: Any) -> Fault:
        """Add one fault; see Fault for the fields."""
        fault = Fault(action, **fields)
        with self._lock:
            self._faults.append(fault)
        return fault

    def __bool__(self) -> bool:
        return bool(self._faults)

    @property
    def breaks_protocol(self) -> bool:
        """Has a worker of this session done what no SDK may do? Forged answers about bundles and splits count."""
        return any(
            fault.action in _BREAKING or (fault.action == "answer" and fault.on in ("process_bundle", "process_bundle_split"))
            for fault, _ in self.log
        )

    def take(self, kind: str, instruction_id: str, worker_id: str, transforms: Mapping[str, Any] | None = None) -> list[Fault]:
        """The faults that apply to this instruction, used once each. `transforms` are the unique names of the stage."""
        if not self._faults:
            return []
        names = list(transforms or ())
        found = []
        with self._lock:
            for number, fault in enumerate(self._faults):
                if fault.on != kind or (fault.worker and fault.worker != worker_id):
                    continue
                if fault.transform and not any(re.search(fault.transform, name) for name in names):
                    continue
                self._seen[number] = self._seen.get(number, 0) + 1
                if self._seen[number] <= fault.skip or self._used.get(number, 0) >= fault.times:
                    continue
                self._used[number] = self._used.get(number, 0) + 1
                self.log.append((fault, instruction_id))
                found.append(fault)
        return found

    def ignores(self, capability: str) -> bool:
        """Is a capability declared but to be ignored?"""
        return any(fault.action == "ignore_capability" and fault.capability == capability for fault in self._faults)
