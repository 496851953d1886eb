"""What the oracle raises: one class per kind of trouble, none of them a verdict about a runner."""

from __future__ import annotations

__all__ = ["ProgramError", "UnsupportedProgram"]


class ProgramError(ValueError):
    """The program is not a program: an unknown step, function, input or JSON shape. Mend the program."""


class UnsupportedProgram(ValueError):
    """The program is well formed, but the oracle cannot tell its admissible outcomes apart. The message says what to change
    in it."""
