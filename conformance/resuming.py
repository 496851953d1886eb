"""What matrices that can be resumed share: a mark of the code that a line was found with, and lines that a cut-off run left."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterator
from importlib import resources
from pathlib import Path
from typing import Any, TypeVar

import msgspec

__all__ = ["digest_of_code", "read_lines"]

T = TypeVar("T")


def digest_of_code(leaving_out: Collection[Path] = ()) -> Any:
    """A hash object (`update` it further) of all code and data of the package, but for some files."""
    root, digest = Path(str(resources.files("conformance"))), hashlib.sha256()
    for path in sorted(root.rglob("*")):
        if path.suffix in (".py", ".toml") and path not in leaving_out:
            digest.update(str(path.relative_to(root)).encode() + b"\0" + path.read_bytes())
    return digest


def read_lines(path: Path, kind: type[T]) -> Iterator[T]:
    """The JSON lines of a file, none if it is not there; one that was cut off is left out."""
    for line in path.read_bytes().splitlines() if path.exists() else ():
        try:
            yield msgspec.json.decode(line, type=kind)
        except msgspec.DecodeError:
            continue
