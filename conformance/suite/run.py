"""What a scenario gets back: its own part of a job, whether the job was its own or shared with others."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from attrs import field, frozen

from conformance.endpoints.outcome import JobOutcome
from conformance.harness import Observation, Session
from conformance.harness.transcript import Transcript
from conformance.wire.api import pipeline_pb2 as pb

__all__ = ["Run"]


@frozen
class Run:
    """The outcome of one program.

    Observations are those of this program only. `outcome`, `transcript`, `session` and `pipeline` belong to the job, which
    is the program's own when its assertion was declared `alone`.
    """

    prefix: str
    outcome: JobOutcome
    session: Session = field(repr=False)
    pipeline: pb.Pipeline = field(repr=False)
    shared: bool = False

    @property
    def transcript(self) -> Transcript:
        return self.session.transcript

    def seen(self, observer: str) -> Sequence[Observation]:
        """Everything that the observer `observer` saw in bundles that were answered OK, in order of arrival."""
        return list(self.session.observations[self.prefix + observer])

    def values(self, observer: str) -> list[Any]:
        """The values seen, in order of arrival; compare as multisets (M-BNDL-09)."""
        return [seen.value for seen in self.seen(observer)]

    def sorted_values(self, observer: str) -> list[Any]:
        """The values seen, sorted: a multiset that can be compared with ==."""
        return sorted(self.values(observer))

    def groups(self, observer: str) -> dict[Any, list[Any]]:
        """{key: sorted values} of a grouping's output, all panes and windows of a key together."""
        result: dict[Any, list[Any]] = defaultdict(list)
        for key, values in self.values(observer):
            result[key].extend(values)
        return {key: sorted(values) for key, values in result.items()}
