"""Legal ways to run: each owes the same answers as the runner without it. `server.VARIANTS` maps their names.

A variant overrides methods of `Rules` that stand for freedoms of the model, never one that decides what a pipeline yields.
"""

from __future__ import annotations

from conformance.runner.rules import Rules

__all__ = ["VARIANTS"]


class OneElementBundles(Rules):
    """Every element in a bundle of its own (M-BNDL-01)."""

    def bundle_elements(self) -> int | None:
        return 1


class ThreeElementBundles(Rules):
    """Bundles of at most three elements (M-BNDL-01)."""

    def bundle_elements(self) -> int | None:
        return 3


class Unfused(Rules):
    """Every transform is a stage of its own (M-BNDL-11)."""

    def fuses(self) -> bool:
        return False


class EagerSplits(Rules):
    """Every bundle is asked for a split as soon as it runs (M-SDF-05)."""

    def split_interval(self) -> float:
        return 0.0

    def split_attempts(self) -> int:
        return 10


class NoRetries(Rules):
    """The first failed bundle fails the job (M-BNDL-04)."""

    def retries(self, attempts: int) -> bool:
        return False


class UnionViews(Rules):
    """A discarding side input shows all its panes instead of the newest (M-SIDE-08)."""

    def shown_in_view(self, before: list[bytes], pane: list[bytes], accumulating: bool) -> list[bytes]:
        return super().shown_in_view(before, pane, accumulating) if accumulating else [*before, *pane]


VARIANTS: dict[str, type[Rules]] = {
    "one-element-bundles": OneElementBundles,
    "three-element-bundles": ThreeElementBundles,
    "unfused": Unfused,
    "eager-splits": EagerSplits,
    "no-retries": NoRetries,
    "union-views": UnionViews,
}
