"""The features of the capability audit, read from features.toml; and the audit of a results file by the profile of its runner."""

from __future__ import annotations

import functools
from importlib.resources import files

import msgspec

from conformance.endpoints.profiles import PROFILES
from conformance.report.audit import Audit, Feature, audit
from conformance.report.results import Results

__all__ = ["audit_of", "features"]


class _File(msgspec.Struct, forbid_unknown_fields=True):
    feature: tuple[Feature, ...]


@functools.cache
def features() -> tuple[Feature, ...]:
    """All of them, in the order of the file."""
    return msgspec.toml.decode(files(__package__).joinpath("features.toml").read_bytes(), type=_File).feature


def audit_of(run: Results) -> tuple[Audit, ...]:
    """What is claimed for the runner of these results against what they show; empty where no profile claims anything for it."""
    profile = PROFILES.get(run.header.runner.name)
    return audit(run, features(), profile.claimed) if profile is not None else ()
