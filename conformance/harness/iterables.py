"""Iterables whose rest lies behind the state plane: read when they are iterated, again each time (M-BATCH-11, P-STATE-15)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from conformance.harness.state import BundleState
from conformance.wire import coders, urns
from conformance.wire.api import fn_pb2
from conformance.wire.values import StateBackedIterable

__all__ = ["LazyIterable", "holds_state_backed", "is_lazy", "resolve"]


class LazyIterable:
    """Prefix, then the elements of every page of StateKey.runner."""

    def __init__(self, value: StateBackedIterable, element: coders.Coder, state: BundleState) -> None:
        self._value, self._element, self._state = value, element, state

    def __iter__(self) -> Iterator[Any]:
        yield from self._value.prefix
        key = fn_pb2.StateKey(runner=fn_pb2.StateKey.Runner(key=self._value.token))
        for page in self._state.pages(key):
            yield from self._element.decode_all(page)

    # No __len__: list() would ask it for a hint, and every answer is a walk over the state plane.


def holds_state_backed(coder: coders.Coder) -> bool:
    """May a value of `coder` hold a state-backed iterable?"""
    return coder.urn == urns.Coder.STATE_BACKED_ITERABLE or any(map(holds_state_backed, coder.components))


def is_lazy(value: Any) -> bool:
    """Would looking into `value` ask the state plane?"""
    return isinstance(value, LazyIterable) or (isinstance(value, tuple | list) and any(map(is_lazy, value)))


def resolve(value: Any, coder: coders.Coder, state: BundleState) -> Any:
    """`value` with its state-backed iterables made readable."""
    if isinstance(value, StateBackedIterable):
        return LazyIterable(value, coder.components[0], state)
    if not holds_state_backed(coder):
        return value
    if coder.urn == urns.Coder.LENGTH_PREFIX:
        return resolve(value, coder.components[0], state)
    if coder.urn == urns.Coder.KV:
        return tuple(resolve(part, component, state) for part, component in zip(value, coder.components, strict=True))
    if isinstance(value, list):
        return [resolve(part, coder.components[0], state) for part in value]
    return value
