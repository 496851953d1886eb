"""Mutants: this runner with one fault each, so that the suite can show what it sees. One module a family of faults.

What a fault is, where it was met, and which assertion has to fail of it stands in the suite (`conformance/suite/mutants`); here
stands how it is planted. Nothing of a runner without mutant imports this package.
"""

from __future__ import annotations

import importlib
import pkgutil

from conformance.runner.mutants.registry import MUTANTS

__all__ = ["MUTANTS"]

for _module in pkgutil.iter_modules(__path__):
    importlib.import_module(f"{__name__}.{_module.name}")
