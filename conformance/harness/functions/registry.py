"""Functions by name: what a payload's {"fn", "args"} becomes. Modules of this package fill the registry when they are imported."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any, Literal, TypeVar

from attrs import frozen

from conformance.harness.api import CombineFn, DoFn, WindowFn
from conformance.harness.context import Context
from conformance.harness.errors import UnknownFunction
from conformance.harness.observations import Sink
from conformance.harness.windowing import standard_window_fn
from conformance.pipeline.fn import FN_URN, Fn
from conformance.wire.api import pipeline_pb2 as pb
from conformance.wire.values import Window

__all__ = ["LIBRARY", "Entry", "Library", "Registry", "combine_fn", "dofn", "mapping_fn", "window_fn"]

Kind = Literal["dofn", "combine", "window", "mapping"]
Factory = TypeVar("Factory", bound=Callable[..., Any])


class PlainDoFn(DoFn):
    """A function of (ctx, **args) as a DoFn."""

    def __init__(self, function: Callable[..., Any], args: Mapping[str, Any], observes_windows: bool) -> None:
        self._function, self._args = function, args
        self.observes_windows = observes_windows

    def process(self, ctx: Context) -> Any:
        return self._function(ctx, **self._args)


@frozen
class Entry:
    """One registered function."""

    kind: Kind
    name: str
    factory: Callable[..., Any]
    observes_windows: bool = False

    @property
    def summary(self) -> str:
        """The first paragraph of its docstring."""
        text = inspect.getdoc(self.factory) or ""
        return " ".join(text.split("\n\n")[0].split())

    @property
    def signature(self) -> str:
        """Its arguments, as a payload gives them."""
        parameters = list(inspect.signature(self.factory).parameters.values())
        if not inspect.isclass(self.factory) and self.kind == "dofn":
            parameters = parameters[1:]
        shown = [
            parameter.name if parameter.default is inspect.Parameter.empty else f"{parameter.name}={parameter.default!r}"
            for parameter in parameters
            if parameter.kind is not inspect.Parameter.VAR_POSITIONAL
        ]
        return ", ".join(shown)


class Library:
    """Functions by kind and name, over an optional base that is asked for what is missing."""

    def __init__(self, base: Library | None = None) -> None:
        self._base = base
        self._entries: dict[tuple[Kind, str], Entry] = {}

    def add(self, kind: Kind, name: str, factory: Callable[..., Any], observes_windows: bool = False) -> None:
        """Register; a name that is taken here is an error, one of the base is hidden."""
        if (kind, name) in self._entries:
            raise ValueError(f"{kind} {name!r} is registered already; choose another name")
        self._entries[kind, name] = Entry(kind, name, factory, observes_windows)

    def get(self, kind: Kind, name: str) -> Entry:
        entry = self._entries.get((kind, name))
        if entry is not None:
            return entry
        if self._base is not None:
            return self._base.get(kind, name)
        known = ", ".join(sorted(each for other, each in self._entries if other == kind))
        raise UnknownFunction(f"no {kind} is called {name!r}; known: {known}")

    def entries(self, kind: Kind) -> list[Entry]:
        return sorted((entry for (each, _), entry in self._entries.items() if each == kind), key=lambda entry: entry.name)

    # Decorators

    def dofn(self, name: str, observes_windows: bool = False) -> Callable[[Factory], Factory]:
        """Register a DoFn class, or a function (ctx, **args) that emits by ctx.output or answers an iterable."""

        def register(factory: Factory) -> Factory:
            self.add("dofn", name, factory, observes_windows)
            return factory

        return register

    def combine_fn(self, name: str) -> Callable[[Factory], Factory]:
        return self._decorator("combine", name)

    def window_fn(self, name: str) -> Callable[[Factory], Factory]:
        return self._decorator("window", name)

    def mapping_fn(self, name: str) -> Callable[[Factory], Factory]:
        """Register a function (window, **args) → window that maps main windows to side windows."""
        return self._decorator("mapping", name)

    def _decorator(self, kind: Kind, name: str) -> Callable[[Factory], Factory]:
        def register(factory: Factory) -> Factory:
            self.add(kind, name, factory)
            return factory

        return register


#: What every harness knows.
LIBRARY = Library()
dofn, combine_fn, window_fn, mapping_fn = LIBRARY.dofn, LIBRARY.combine_fn, LIBRARY.window_fn, LIBRARY.mapping_fn


class Registry:
    """A library as one worker uses it: makes instances of what specs name, and knows where lifecycle events go."""

    def __init__(self, library: Library, sink: Sink) -> None:
        self._library, self.sink = library, sink

    def dofn(self, fn: Fn) -> DoFn:
        entry = self._library.get("dofn", fn.name)
        if inspect.isclass(entry.factory):
            instance = entry.factory(**fn.args)
            if not isinstance(instance, DoFn):
                raise UnknownFunction(f"dofn {fn.name!r} is registered as {type(instance).__name__}, which is no DoFn")
            return instance
        return PlainDoFn(entry.factory, fn.args, entry.observes_windows)

    def combine_fn(self, spec: pb.FunctionSpec | Fn | Mapping[str, Any]) -> CombineFn:
        """A CombineFn from its spec, from an Fn, or from the JSON form inside another function's arguments."""
        if isinstance(spec, Mapping):
            fn = Fn(spec["fn"], **spec["args"])
        else:
            fn = spec if isinstance(spec, Fn) else Fn.from_spec(spec)
        made: CombineFn = self._library.get("combine", fn.name).factory(**fn.args)
        return made

    def window_fn(self, spec: pb.FunctionSpec) -> WindowFn:
        """Standard by URN, ours by name. Raises UnknownFunction for another URN."""
        standard = standard_window_fn(spec)
        if standard is not None:
            return standard
        if spec.urn != FN_URN:
            raise UnknownFunction(f"no window function has URN {spec.urn!r}; known are the standard ones and {FN_URN}")
        fn = Fn.from_spec(spec)
        made: WindowFn = self._library.get("window", fn.name).factory(**fn.args)
        return made

    def mapping(self, spec: pb.FunctionSpec, default: WindowFn | None = None) -> Callable[[Window], Window]:
        """The side window of a main window; "default_mapping" asks the side input's window function (M-WIN-21)."""
        fn = Fn.from_spec(spec)
        if fn.name == "default_mapping":
            if default is None:
                args = fn.args
                default = self.window_fn(pb.FunctionSpec(urn=args["urn"], payload=bytes.fromhex(args["payload"])))
            return default.map_main
        entry = self._library.get("mapping", fn.name)
        return lambda window: entry.factory(window, **fn.args)
