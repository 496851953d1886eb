"""Wire coders: the coders of a pipeline with everything that the runner cannot read wrapped in length prefixes (P-PIPE-12).

One `WireCoders` per job, so that ports, state, timers and side inputs of one PCollection always agree byte for byte.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from conformance.runner.cutting import KNOWN_CODERS, Skip, TimerCut, WindowedCut, pair_cutter, skipper
from conformance.wire import urns
from conformance.wire.api import pipeline_pb2 as pb

__all__ = ["WireCoders"]

_WINDOW_CODERS = {urns.Coder.GLOBAL_WINDOW, urns.Coder.INTERVAL_WINDOW, urns.Coder.CUSTOM_WINDOW}


class WireCoders:
    """The coders of a job: those submitted, and those that this runner adds."""

    def __init__(self, submitted: Mapping[str, Any]) -> None:
        self.coders: dict[str, Any] = dict(submitted)
        self._wire: dict[str, str] = {}
        self._by_content: dict[bytes, str] = {}
        self._shapes: dict[str, Any] = {}

    def add(self, urn: str, *components: str, hint: str = "coder") -> str:
        """The id of a coder of this urn and components; equal content gets an equal id."""
        coder = pb.Coder(spec=pb.FunctionSpec(urn=urn), component_coder_ids=components)
        content = coder.SerializeToString(deterministic=True)
        if content not in self._by_content:
            name = f"runner/{hint}"
            number = 1
            while name in self.coders:
                number += 1
                name = f"runner/{hint}/{number}"
            self.coders[name] = coder
            self._by_content[content] = name
        return self._by_content[content]

    def wire(self, coder_id: str) -> str:
        """The id of the coder in which values of `coder_id` cross the wire; itself where the runner reads all of it."""
        if coder_id not in self._wire:
            self._wire[coder_id] = self._rewrite(coder_id)
        return self._wire[coder_id]

    def _rewrite(self, coder_id: str) -> str:
        coder = self.coders[coder_id]
        urn = coder.spec.urn
        if urn == urns.Coder.LENGTH_PREFIX:
            return coder_id
        if urn == urns.Coder.TIMER:
            key, window = coder.component_coder_ids
            components = [self.wire(key), self.window(window)]
        elif urn in KNOWN_CODERS:
            components = [self.wire(component) for component in coder.component_coder_ids]
        else:
            return self.add(urns.Coder.LENGTH_PREFIX, coder_id, hint="length_prefix")
        if components == list(coder.component_coder_ids):
            return coder_id
        return self.add(urn, *components, hint=urn.split(":")[2])

    def window(self, coder_id: str) -> str:
        """The wire form of a window coder: one that the runner does not know travels with its maximum timestamp (M-WIN-17)."""
        if self.coders[coder_id].spec.urn in _WINDOW_CODERS:
            return self.wire(coder_id)
        return self.add(urns.Coder.CUSTOM_WINDOW, self.wire(coder_id), hint="custom_window")

    def windowed(self, element: str, window: str) -> str:
        """The port coder over two wire coders: always the full windowed_value (P-SAFE-R)."""
        return self.add(urns.Coder.WINDOWED_VALUE, element, window, hint="windowed_value")

    def urn(self, coder_id: str) -> str:
        """The urn of a coder."""
        urn: str = self.coders[coder_id].spec.urn
        return urn

    def components(self, coder_id: str) -> list[str]:
        """The component ids of a coder."""
        return list(self.coders[coder_id].component_coder_ids)

    def same(self, one: str, other: str) -> bool:
        """Whether two coders have equal content, whatever their ids (P-COD-05)."""
        return one == other or bool(self._shape(one) == self._shape(other))

    def _shape(self, coder_id: str) -> Any:
        if coder_id not in self._shapes:
            coder = self.coders[coder_id]
            parts = tuple(self._shape(component) for component in coder.component_coder_ids)
            self._shapes[coder_id] = (coder.spec.urn, coder.spec.payload, parts)
        return self._shapes[coder_id]

    def skip(self, wire_id: str) -> Skip:
        """How to step over a value of a wire coder."""
        return skipper(wire_id, self.coders)

    def cut(self, element: str, window: str) -> WindowedCut:
        """Cuts chunks of elements of these two wire coders."""
        if self.urn(element) != urns.Coder.KV:
            return WindowedCut(self.skip(element), self.skip(window))
        key, value = self.components(element)
        return WindowedCut(self.skip(element), self.skip(window), self.skip(key), pair_cutter(key, value, window, self.coders))

    def timer_cut(self, timer: str) -> TimerCut:
        """Cuts the timers of a wire timer coder."""
        key, window = self.components(timer)
        return TimerCut(self.skip(key), self.skip(window))

    def closure(self, roots: Iterable[str]) -> dict[str, Any]:
        """The coders under these ids with all that they refer to (P-CTL-08)."""
        found: dict[str, Any] = {}
        todo = list(roots)
        while todo:
            coder_id = todo.pop()
            if coder_id and coder_id not in found:
                found[coder_id] = self.coders[coder_id]
                todo.extend(self.coders[coder_id].component_coder_ids)
        return found
