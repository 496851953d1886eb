"""The mutants as data: which fault, where it was met, and which assertion has to fail of it, for what reason.

One TOML file a family of faults. How a fault is planted is the reference runner's (`conformance/runner/mutants`) or, where it
lives on the wire, the proxy's; this package knows neither. A key that is not known is an error.
"""

from __future__ import annotations

import tomllib
from functools import cache
from importlib import resources
from typing import Literal

import msgspec

__all__ = ["Mutant", "MutantError", "load"]


class MutantError(ValueError):
    """An entry that cannot be right; the text names it."""


class Mutant(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One fault and what must be seen of it."""

    id: str
    #: How it shows: P ordinary bounded pipeline, T controlled time, S splittable functions, W the wire of the Fn API, J the Job API.
    seen: Literal["P", "T", "S", "W", "J"]
    defect: str
    #: An issue or pull request of apache/beam where a runner had it; "derived" where none is known.
    origin: str = "derived"
    #: The nearest fault that was planted, where this runner cannot have the defect itself.
    planted: str = ""
    #: Ids of the rules that are broken.
    rules: tuple[str, ...]
    #: The assertion that must fail.
    killed_by: str
    #: Assertions to run so that it is judged; those that are always on need another one's job.
    asked: tuple[str, ...] = ()
    #: The verdict that it must get: anything but wrong only where the fault itself is a refusal, a hang or a death.
    verdict: Literal["wrong", "declined", "error", "timeout"] = "wrong"
    #: Words that the verdict's message must contain: the reason for which it has to fail.
    says: str
    #: Areas of the ledger in which the fault shows too, beside that of the assertion that is named for it, each by its letter.
    areas: str = ""
    #: Generated programs to try, for assertions that draw them.
    examples: int = 25
    timeout_scale: float = 1.0

    @property
    def drawn(self) -> bool:
        """Whether the named assertion draws programs, so that it may take some to see the fault."""
        return self.killed_by.partition("/")[2].startswith("generated-")

    @property
    def on_the_wire(self) -> bool:
        """Whether the proxy plants it, before whatever runner; all others are the reference runner's own."""
        return self.id.startswith("PXY-")

    @property
    def address(self) -> str:
        """The address of the runner with this fault."""
        return f"proxy:{self.id}@reference" if self.on_the_wire else f"reference:mutant={self.id}"

    @property
    def questions(self) -> tuple[str, ...]:
        """The assertions whose tests are run."""
        return self.asked or (self.killed_by,)


class _File(msgspec.Struct, forbid_unknown_fields=True):
    mutant: list[Mutant]


@cache
def load() -> dict[str, Mutant]:
    """All mutants by id. Raises MutantError for an entry that does not parse or an id that is there twice."""
    found: dict[str, Mutant] = {}
    for file in sorted(resources.files(__package__).iterdir(), key=lambda each: each.name):
        if not file.name.endswith(".toml") or file.name in ("kills.toml", "source.toml"):
            continue
        try:
            entries = msgspec.convert(tomllib.loads(file.read_text(encoding="utf-8")), _File).mutant
        except (tomllib.TOMLDecodeError, msgspec.ValidationError) as error:
            raise MutantError(f"{file.name}: {error}") from None
        for entry in entries:
            if entry.id in found:
                raise MutantError(f"{file.name}: mutant {entry.id} is there twice")
            found[entry.id] = entry
    return found
