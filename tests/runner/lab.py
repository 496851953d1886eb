"""A job without IO: a program planned, its engine driven by hand, bundles answered by the test."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from conformance.pipeline import Program
from conformance.runner import cutting, environments, graph
from conformance.runner.engine import Engine
from conformance.runner.engine_events import BundleDone, Command, Event, JobDone, RunBundle, Started
from conformance.runner.plan import Plan
from conformance.runner.rules import Rules
from conformance.wire import urns
from conformance.wire.api import pipeline_pb2 as pb
from conformance.wire.timestamps import GLOBAL_WINDOW_MAX, MIN

__all__ = ["GLOBAL", "GMAX", "Lab", "element", "environment", "kv", "plan_of", "string", "timer", "window"]

GMAX = GLOBAL_WINDOW_MAX
GLOBAL = b""


def environment() -> pb.Environment:
    payload = pb.ExternalPayload()
    payload.endpoint.url = "localhost:1"
    return pb.Environment(urn=urns.Env.EXTERNAL, payload=payload.SerializeToString())


def plan_of(program: Program, rules: Rules | None = None) -> Plan:
    pipeline = program.build(environment())
    resolved = {name: environments.resolve(each) for name, each in pipeline.components.environments.items()}
    return graph.plan(pipeline, resolved, "localhost:2", rules)


def string(text: str) -> bytes:
    """A short string, nested."""
    return bytes([len(text)]) + text.encode()


def kv(key: str, value: int) -> bytes:
    """A KV<string, varint>."""
    return string(key) + cutting.encode_varint(value)


def window(start: int, end: int) -> bytes:
    return cutting.interval_window(start, end)


def element(value: bytes, timestamp: int = MIN, *windows: bytes, pane: bytes = b"\x0f") -> bytes:
    return cutting.windowed_value(timestamp, list(windows) or [GLOBAL], pane, value)


def timer(key: str, fire: int, hold: int | None = None, tag: str = "", at: bytes = GLOBAL, clear: bool = False) -> bytes:
    if clear:
        return string(key) + string(tag) + cutting.iterable_of([at]) + b"\x01"
    return cutting.encode_timer(string(key), string(tag), at, fire, fire if hold is None else hold)


class Lab:
    """Drives an engine; `open` are the bundles that were asked for and not answered."""

    def __init__(self, program: Program, rules: Rules | None = None) -> None:
        self.plan = plan_of(program, rules)
        self.engine = Engine(self.plan, rules)
        self.now = 0
        self.open: dict[str, RunBundle] = {}
        self.log: list[Command] = []
        self.send(Started())

    def send(self, event: Event) -> list[Command]:
        commands = self.engine.handle(event, self.now)
        self.log += commands
        for command in commands:
            if isinstance(command, RunBundle):
                self.open[command.bundle] = command
        return commands

    def next(self, transform: str) -> RunBundle:
        """The one open bundle of the stage that holds a transform."""
        (found,) = [each for each in self.open.values() if transform in self._transforms(each.stage)]
        return found

    def _transforms(self, stage: str) -> tuple[str, ...]:
        return next(each.transforms for each in self.plan.stages() if each.id == stage)

    def waits(self, transform: str) -> bool:
        """Whether no bundle of the stage of a transform is open."""
        return not any(transform in self._transforms(each.stage) for each in self.open.values())

    def answer(
        self,
        transform: str,
        outputs: Mapping[str, Iterable[bytes]] | None = None,
        timers: Mapping[str, Iterable[bytes]] | None = None,
        **more: Any,
    ) -> list[Command]:
        """Answers the open bundle of a transform's stage."""
        bundle = self.next(transform)
        del self.open[bundle.bundle]
        return self.send(
            BundleDone(
                bundle.bundle,
                {name: list(chunks) for name, chunks in (outputs or {}).items()},
                {(transform, family): list(chunks) for family, chunks in (timers or {}).items()},
                **more,
            )
        )

    def fired(self, transform: str) -> list[tuple[str, bytes, int]]:
        """(family, key, fire timestamp) of the timers in the open bundle of a transform's stage."""
        stage = next(each for each in self.plan.stages() if transform in each.transforms)
        cuts = {(family.transform, family.name): family.cut for family in stage.timers}
        return [
            (name[1], each.key, each.fire)
            for name, chunks in self.next(transform).timers.items()
            for each in cuts[name].timers(b"".join(chunks))
        ]

    @property
    def done(self) -> bool:
        return JobDone() in self.log
