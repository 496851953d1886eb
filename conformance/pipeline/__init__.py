"""Builds, checks, merges and draws pipelines. `Program` is the way in; the rest is data that it takes.

program = Program()
keyed = program.create([("a", 1), ("a", 2)]).group_by_key()
keyed.observe("groups")
pipeline = program.build(session.environment())
"""

from __future__ import annotations

from conformance.pipeline import coders, draw, external, state, teststream, triggers, windowing
from conformance.pipeline.builder import ENVIRONMENT, OUT, PCollection, Program, Scope, display, required
from conformance.pipeline.coders import CoderSpec
from conformance.pipeline.errors import PipelineError
from conformance.pipeline.fn import FN_URN, Fn
from conformance.pipeline.packing import pack
from conformance.pipeline.validation import validate, violations

__all__ = [
    "ENVIRONMENT",
    "FN_URN",
    "OUT",
    "CoderSpec",
    "Fn",
    "PCollection",
    "PipelineError",
    "Program",
    "Scope",
    "coders",
    "display",
    "draw",
    "external",
    "pack",
    "required",
    "state",
    "teststream",
    "triggers",
    "validate",
    "violations",
    "windowing",
]
