"""What goes wrong while a pipeline is built."""

from __future__ import annotations

from collections.abc import Sequence

__all__ = ["PipelineError"]


class PipelineError(ValueError):
    """A pipeline that breaks rules of validity; `violations` lists every one, each beginning with its rule."""

    def __init__(self, violations: Sequence[str]) -> None:
        self.violations = tuple(violations)
        listed = "\n".join(f"  - {violation}" for violation in self.violations)
        super().__init__(f"invalid pipeline:\n{listed}\nMend the program, or build it with check=False for a negative test.")
