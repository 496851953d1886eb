"""What source mutation found (`tools/source_mutation.py`): the scores of the last samples, and why some survivors are right to live."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from importlib import resources

import msgspec

__all__ = ["Sample", "load"]


class Sample(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One seeded sample of the mutations of a part of the source."""

    #: What was mutated, in words.
    of: str
    #: All the mutations that there are.
    mutations: int = 0
    modules: int = 0
    seed: int = 0
    sample: int = 0
    #: Told apart by a result that should have passed, or by a hang.
    killed: int = 0
    #: Did not start, so that nothing was judged.
    broken: int = 0
    #: Survivors that nobody has explained, by name.
    open: tuple[str, ...] = ()
    #: Key of a mutation → why the suite owes it nothing: it means the same, or is legal, or is a matter of speed.
    explained: Mapping[str, str] = {}
    #: How many of the explained are in the sample.
    explained_in_sample: int = 0


@functools.cache
def load() -> Mapping[str, Sample]:
    """The samples by name: engine, oracle."""
    return msgspec.toml.decode(resources.files(__package__).joinpath("source.toml").read_bytes(), type=dict[str, Sample])
