"""The library of named functions. Importing this package registers all of them; docs/harness.md lists them."""

from __future__ import annotations

from conformance.harness.functions import basic, combines, effects, sdfs, sides, stateful, windows
from conformance.harness.functions.registry import LIBRARY, Entry, Library, Registry, combine_fn, dofn, mapping_fn, window_fn

__all__ = [
    "LIBRARY",
    "Entry",
    "Library",
    "Registry",
    "basic",
    "combine_fn",
    "combines",
    "dofn",
    "effects",
    "mapping_fn",
    "sdfs",
    "sides",
    "stateful",
    "window_fn",
    "windows",
]
