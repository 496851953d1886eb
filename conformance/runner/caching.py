"""Cache tokens: what an SDK may keep of what it read by the state plane (P-CTL-13).

Equal token and equal key mean equal content. A side input that is complete cannot change, so its token holds for the life of the
worker. User state is written by one worker only, in bundles of which no two have a key in common; a bundle that fails leaves the
worker with writes that were not committed, so every failure changes the token. Pure.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from conformance.runner.fnapi import Worker
from conformance.runner.plan import StageNode
from conformance.wire import timestamps, urns
from conformance.wire.api import fn_pb2

__all__ = ["CacheTokens"]


class CacheTokens:
    """The tokens of one job; `user_state` is one of off, bundle and worker."""

    def __init__(self, user_state: str) -> None:
        self._user_state = user_state
        self._generations: dict[str, int] = {}

    def of(self, worker: Worker, stage: StageNode, bundle: str, watermarks: Mapping[str, int]) -> list[Any]:
        """The tokens of a bundle that is about to start."""
        if urns.Protocol.STATE_CACHING not in worker.declared:
            return []
        tokens = []
        if stage.states and self._user_state != "off":
            name = bundle if self._user_state == "bundle" else f"generation-{self._generations.get(worker.id, 0)}"
            token = fn_pb2.ProcessBundleRequest.CacheToken(token=name.encode())
            token.user_state.SetInParent()
            tokens.append(token)
        for side in stage.side_inputs:
            if watermarks[side.collection] >= timestamps.MAX:
                token = fn_pb2.ProcessBundleRequest.CacheToken(token=b"complete")
                token.side_input.transform_id, token.side_input.side_input_id = side.transform, side.name
                tokens.append(token)
        return tokens

    def renew(self, worker: Worker) -> None:
        """A bundle failed, or the worker was lost: nothing that it cached of user state holds any more."""
        self._generations[worker.id] = self._generations.get(worker.id, 0) + 1
