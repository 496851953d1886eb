"""DoFns with effects: failures, gates, metrics, logs, finalizers, files, large elements."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from conformance.harness.api import DoFn
from conformance.harness.context import Context
from conformance.harness.errors import FunctionError
from conformance.harness.functions.expressions import evaluate
from conformance.harness.functions.registry import dofn
from conformance.harness.observations import Observation

__all__ = ["Fail", "Finalizer", "WriteShards"]


@dofn("fail")
class Fail(DoFn):
    """Raises `text` on "process", "start", "finish", "setup" or "teardown"; on "process" at the element number `at` of the bundle, or
    where `expr` is true. With `times` only the first so many failures happen (counted in the session by `name`). Passes elements on."""

    def __init__(
        self, text: str, on: str = "process", at: int | None = None, expr: Any = True, times: int | None = None, name: str = ""
    ) -> None:
        self.text, self.on, self.at, self.expr, self.times, self.name = text, on, at, expr, times, name or text
        self._index = 0

    def _raise(self, ctx: Context | None = None) -> None:
        if self.times is not None and ctx is not None and ctx.run.counters.next(self.name) > self.times:
            return
        raise FunctionError(self.text)

    def setup(self) -> None:
        if self.on == "setup":
            self._raise()

    def teardown(self) -> None:
        if self.on == "teardown":
            self._raise()

    def start_bundle(self, ctx: Context) -> None:
        self._index = 0
        if self.on == "start":
            self._raise(ctx)

    def process(self, ctx: Context) -> Iterator[Any]:
        index, self._index = self._index, self._index + 1
        if self.on == "process" and self.at in (None, index) and evaluate(self.expr, ctx):
            self._raise(ctx)
        yield ctx.value

    def finish_bundle(self, ctx: Context) -> None:
        if self.on == "finish":
            self._raise(ctx)


@dofn("wait_at")
def wait_at(ctx: Context, gate: str, expr: Any = True) -> Iterator[Any]:
    """Waits at the session's gate `gate` before it passes on each element for which `expr` is true."""
    if evaluate(expr, ctx):
        ctx.gate(gate)
    yield ctx.value


@dofn("api_calls")
def api_calls(ctx: Context, count: int, status: str = "ok") -> Iterator[Any]:
    """Reports `count` requests to a service outside for each element, as an I/O connector does, and passes it on."""
    labels = {"SERVICE": "beam-conformance", "METHOD": "read", "RESOURCE": "//beam-conformance/table"}
    for number in range(count):
        told = {**labels, "PTRANSFORM": ctx.transform_id, "STATUS": status}
        ctx.run.metrics.api_request(told, 10.0 * number)
    yield ctx.value


@dofn("metrics")
def metrics(ctx: Context, updates: list[list[Any]], namespace: str = "beam-conformance") -> Iterator[Any]:
    """For each element updates metrics by [kind, name, expression]; kinds: counter, counter_double, distribution, distribution_double,
    gauge, gauge_double, top, bottom, set, trie, histogram (conformance.harness.metrics.KINDS). Passes elements on."""
    for kind, name, expr in updates:
        ctx.metrics.update(kind, name, evaluate(expr, ctx), namespace)
    yield ctx.value


@dofn("log")
def log(ctx: Context, text: Any, severity: str = "INFO") -> Iterator[Any]:
    """Logs the expression `text` for each element by the logging plane, and passes the element on."""
    ctx.log(str(evaluate(text, ctx)), severity)
    yield ctx.value


@dofn("finalizer")
class Finalizer(DoFn):
    """Asks for bundle finalization once a bundle; the callback reports (bundle, elements) as an observation of `observer`. With `fail`
    the callback raises. Passes elements on."""

    def __init__(self, observer: str, fail: str = "") -> None:
        self.observer, self.fail = observer, fail
        self._count = 0

    def start_bundle(self, ctx: Context) -> None:
        self._count = 0

    def process(self, ctx: Context) -> Iterator[Any]:
        self._count += 1
        yield ctx.value

    def finish_bundle(self, ctx: Context) -> None:
        bundle, worker, count, sink = ctx.bundle, ctx.worker, self._count, ctx.op.registry.sink

        def callback() -> None:
            if self.fail:
                raise FunctionError(self.fail)
            window = ctx.element.windows[0]
            sink.bundle_done([Observation(self.observer, (bundle, count), 0, window, bundle=bundle, worker=worker)], True)

        ctx.finalize(callback)


@dofn("read_text_lines")
def read_text_lines(ctx: Context, path: str | None = None) -> Iterator[str]:
    """The lines of the file `path`, or of the file that the element names."""
    with Path(path if path is not None else ctx.value).open(encoding="utf-8") as file:
        for line in file:
            yield line.rstrip("\n")


@dofn("words")
def words(ctx: Context) -> Iterator[str]:
    """The words of a line: runs of letters and apostrophes, in lower case."""
    word = ""
    for character in f"{ctx.value} ":
        if character.isalpha() or character == "'":
            word += character.lower()
        elif word:
            yield word
            word = ""


@dofn("write_shards")
class WriteShards(DoFn):
    """Writes each bundle's elements, one a line, to a file of its own in `directory`; emits the file's name. Files are written whole
    and renamed, so a failed bundle leaves at most a .tmp file."""

    def __init__(self, directory: str, prefix: str = "shard") -> None:
        self.directory, self.prefix = Path(directory), prefix
        self._lines: list[str] = []
        self._last: Any = None

    def start_bundle(self, ctx: Context) -> None:
        self._lines = []

    def process(self, ctx: Context) -> None:
        self._lines.append(str(ctx.value))
        self._last = ctx.element

    def finish_bundle(self, ctx: Context) -> None:
        if not self._lines:
            return
        path = self.directory / f"{self.prefix}-{uuid.uuid4().hex}"
        temporary = path.with_suffix(".tmp")
        temporary.write_text("".join(f"{line}\n" for line in self._lines), encoding="utf-8")
        temporary.rename(path)
        ctx.output(path.name, timestamp=self._last.timestamp, windows=self._last.windows)


@dofn("large")
def large(ctx: Context, size: int, count: int = 1) -> Iterator[bytes]:
    """`count` elements of `size` bytes each, the first eight of them the element's number."""
    for number in range(count):
        yield number.to_bytes(8, "big") + bytes(max(size - 8, 0))


@dofn("large_values")
def large_values(ctx: Context, size: int, count: int) -> Iterator[Any]:
    """`count` KVs of the element and `size` bytes: a group of count*size bytes."""
    for number in range(count):
        yield ctx.value, number.to_bytes(8, "big") + bytes(max(size - 8, 0))
