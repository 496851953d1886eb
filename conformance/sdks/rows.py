"""The rows as data, read from `rows.toml` and checked: what each asks, of which input, and what must come out."""

from __future__ import annotations

import functools
import tomllib
from collections.abc import Mapping
from importlib import resources
from typing import Any

from attrs import field, frozen

__all__ = ["LANGUAGES", "MODES", "Row", "RowsError", "Wire", "load"]

LANGUAGES = ("python", "java", "go")
MODES = ("batch", "streaming")


class RowsError(ValueError):
    """rows.toml says something that makes no sense."""


@frozen
class Wire:
    """A fact of the wire that a row asks for, beside its outcome."""

    slug: str
    level: str
    statement: str
    fact: str


@frozen
class Row:
    """One row of the table; rows.toml says what each field means."""

    id: str
    name: str
    title: str
    phase: str
    statement: str
    rule: str
    mutant: str
    group: str = ""
    input: str = ""
    expected: str = ""
    metrics: str = ""
    writes: str = ""
    leaves: tuple[str, ...] = ()
    said: Mapping[str, str] = field(factory=dict)
    inexpressible: Mapping[str, str] = field(factory=dict)
    wire: tuple[Wire, ...] = ()

    @property
    def outcome(self) -> str:
        """The assertion about what comes out."""
        return f"{self.id}/{self.name.replace('_', '-')}"

    def why_not(self, language: str, mode: str) -> str:
        """Why an SDK cannot say this in a mode; empty where it can."""
        return next((self.inexpressible[key] for key in (language, mode) if key in self.inexpressible), "")


@functools.cache
def load() -> tuple[Row, ...]:
    """All rows in the order of the table. Raises RowsError."""
    text = (resources.files(__package__) / "rows.toml").read_text(encoding="utf-8")
    rows = tuple(_row(entry) for entry in tomllib.loads(text)["row"])
    for name in ("id", "name"):
        seen = [getattr(row, name) for row in rows]
        if repeated := {each for each in seen if seen.count(each) > 1}:
            raise RowsError(f"rows.toml has {name} {', '.join(sorted(repeated))} more than once")
    return rows


def _row(entry: dict[str, Any]) -> Row:
    try:
        wire = tuple(Wire(**each) for each in entry.pop("wire", ()))
        return Row(**{**entry, "leaves": tuple(entry.get("leaves", ())), "wire": wire})
    except TypeError as error:
        raise RowsError(f"rows.toml, row {entry.get('id', '?')}: {error}") from None
