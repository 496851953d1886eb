"""Legal ways to run: each owes the same answers as the runner without it. `parse` reads their names, several of them, and a seed.

A variant overrides methods that stand for freedoms of the model, most of them in `habits`, never one that decides what a
pipeline yields. Its docstring cites the rule that grants the freedom.
"""

from __future__ import annotations

import difflib
import random
from collections.abc import Collection, Iterable, Sequence

from conformance.runner.habits import Habits
from conformance.runner.rules import Rules
from conformance.wire import urns

__all__ = ["RANDOM", "VARIANTS", "clash", "classes", "describe", "draw", "parse"]

#: The name under which a seed stands for a combination.
RANDOM = "random"


# ---- stages


class Unfused(Rules):
    """Every transform is a stage of its own (M-BNDL-11, P-PIPE-09)."""

    def fuses(self) -> bool:
        return False


class NeverLifted(Rules):
    """No Combine is pre-combined (M-COMB-02)."""

    def lifts(self, legal: bool) -> bool:
        return False


class LastEnvironment(Rules):
    """Of the alternatives of an AnyOf environment the least usual one that can be started (P-ENV-01)."""

    def environment_preference(self, kinds: Sequence[str]) -> Sequence[str]:
        return tuple(reversed(kinds))


# ---- bundles


class OneElementBundles(Rules):
    """Every element in a bundle of its own (M-BNDL-01)."""

    def bundle_elements(self) -> int | None:
        return 1


class ThreeElementBundles(Rules):
    """Bundles of at most three elements (M-BNDL-01)."""

    def bundle_elements(self) -> int | None:
        return 3


class RandomBundles(Rules):
    """Bundles of any size, now and then as large as can be (M-BNDL-01)."""

    def bundle_elements(self) -> int | None:
        return self.dice.choice((1, 2, 3, 5, 8, 13, None))


class ShuffledElements(Rules):
    """Elements in any order, but panes of a grouping in theirs (M-BNDL-09, M-PANE-14)."""

    def shuffles(self) -> bool:
        return True


class ReversedElements(Rules):
    """Elements in the order opposite to their coming (M-BNDL-09)."""

    def shuffles(self) -> bool:
        return True

    def shuffled(self, count: int) -> list[int]:
        return list(reversed(range(count)))


class ReversedTimers(Rules):
    """Timers that are due at once: the key that was first comes last (M-TIMER-17 orders those of one key only)."""

    def timers_reversed(self) -> bool:
        return True


class OneBundleAtATime(Rules):
    """A worker runs one bundle after the other (M-BNDL-01)."""

    def bundles_at_once(self) -> int:
        return 1


class EveryBundleTwice(Rules):
    """The first answer to every bundle is thrown away, with all that came of it, and the bundle runs again (M-BNDL-03, M-BNDL-05)."""

    def replays(self) -> bool:
        return True

    def throws_away(self, attempts: int) -> bool:
        return attempts == 1


class RetryAfterInjectedFailure(Rules):
    """About every third bundle is lost between its answer and its commit, and runs again (M-BNDL-03, M-BNDL-04)."""

    def replays(self) -> bool:
        return True

    def breaks(self, attempts: int) -> bool:
        return attempts == 1 and self.dice.random() < 1 / 3


class NoRetries(Rules):
    """The first failed bundle fails the job (M-BNDL-04)."""

    def retries(self, attempts: int) -> bool:
        return False


class ManyRetries(Rules):
    """A bundle may fail nine times (M-BNDL-04)."""

    def retries(self, attempts: int) -> bool:
        return attempts < 10


# ---- splits, watermarks, side inputs


class EagerSplits(Rules):
    """Every bundle is asked for a split as soon as it runs (M-SDF-05)."""

    def split_interval(self) -> float:
        return 0.0

    def split_attempts(self) -> int:
        return 10


class NoSplits(Rules):
    """No bundle is asked for a split, unless the job drains (P-SPL-11)."""

    def split_interval(self) -> float:
        return 3600.0


class WatermarkCoarse(Rules):
    """Of what sources report as watermark only every tenth of a second is believed (M-WM-05)."""

    def reported_watermark(self, watermark: int) -> int:
        return watermark - watermark % 100


class WatermarkFine(Rules):
    """Watermarks move on node by node, and work starts between (M-WM-05)."""

    def sweeps(self) -> bool:
        return False


class UnionViews(Rules):
    """A discarding side input shows all its panes instead of the newest (M-SIDE-08)."""

    def shown_in_view(self, before: list[bytes], pane: list[bytes], accumulating: bool) -> list[bytes]:
        return super().shown_in_view(before, pane, accumulating) if accumulating else [*before, *pane]


class TriggersAskedLate(Rules):
    """Triggers are asked once for all elements that arrive together (M-TRIG-13)."""

    def asks_after_each(self, counts: bool) -> bool:
        return False


# ---- workers and the wire


class ThreeWorkers(Rules):
    """Three workers for each environment; bundles go to any of them (M-BNDL-01)."""

    def workers(self, environment: str) -> int:
        return 3

    def worker_of(self, bundle: str, workers: int) -> int:
        return self.dice.randrange(workers)


class LateFinalization(Rules):
    """Bundles are told of their commit when all of the job is committed (P-CTL-22)."""

    def finalizes_late(self) -> bool:
        return True


class ShortIdsOff(Rules):
    """Harnesses are not told that short ids of metrics suffice, and send whole MonitoringInfos (P-MET-02)."""

    def capabilities(self) -> Sequence[str]:
        return [each for each in super().capabilities() if each != urns.RunnerProtocol.MONITORING_INFO_SHORT_IDS]


class EmbeddingOff(Rules):
    """Input never goes with the instruction (P-CTL-14)."""

    def embeds(self, declared: Collection[str], size: int) -> bool:
        return False


class EmbeddingOn(Rules):
    """Input goes with the instruction, however large, where the harness reads it there (P-CTL-14)."""

    def embeds(self, declared: Collection[str], size: int) -> bool:
        return urns.Protocol.CONTROL_REQUEST_ELEMENTS_EMBEDDING in declared


class AnswersWithoutData(Rules):
    """Harnesses are not told that outputs may come with the answer (P-CTL-15)."""

    def capabilities(self) -> Sequence[str]:
        return [each for each in super().capabilities() if each != urns.RunnerProtocol.CONTROL_RESPONSE_ELEMENTS_EMBEDDING]


class NoCaching(Rules):
    """Bundles come without cache tokens (M-BNDL-14)."""

    def caches(self, declared: Collection[str]) -> bool:
        return False


class PageSizeOne(Rules):
    """State and side inputs come in pages of one element (P-STATE-06)."""

    def page_bytes(self, configured: int) -> int:
        return 1


class EmptyFirstPage(Rules):
    """State and side inputs begin with a page without elements (P-STATE-06)."""

    def first_page_empty(self) -> bool:
        return True


class SmallMessages(Rules):
    """Every entry of a bundle's input goes in a message of its own (P-DATA-08)."""

    def message_bytes(self) -> int:
        return 1


class NamedStreams(Rules):
    """Bundles are spread over three named Data streams, for harnesses that open such (P-CTL-17)."""

    def data_streams(self, configured: int) -> int:
        return 3


class NoProgress(Rules):
    """Running bundles are never asked how far they are (P-CTL-23)."""

    def asks_progress(self, declared: Collection[str]) -> bool:
        return False


class TerseStates(Rules):
    """Jobs are RUNNING at once (P-JOB-06)."""

    def tells_passing_states(self) -> bool:
        return False


class AttemptedOnly(Rules):
    """Metrics come as attempted ones only (M-BNDL-07)."""

    def offers_committed(self) -> bool:
        return False


VARIANTS: dict[str, type[Rules]] = {
    "answers-without-data": AnswersWithoutData,
    "attempted-only": AttemptedOnly,
    "eager-splits": EagerSplits,
    "embedding-off": EmbeddingOff,
    "embedding-on": EmbeddingOn,
    "empty-first-page": EmptyFirstPage,
    "every-bundle-twice": EveryBundleTwice,
    "last-environment": LastEnvironment,
    "late-finalization": LateFinalization,
    "many-retries": ManyRetries,
    "named-streams": NamedStreams,
    "never-lifted": NeverLifted,
    "no-caching": NoCaching,
    "no-progress": NoProgress,
    "no-retries": NoRetries,
    "no-splits": NoSplits,
    "one-bundle-at-a-time": OneBundleAtATime,
    "one-element-bundles": OneElementBundles,
    "page-size-one": PageSizeOne,
    "random-bundles": RandomBundles,
    "retry-after-injected-failure": RetryAfterInjectedFailure,
    "reversed-elements": ReversedElements,
    "reversed-timers": ReversedTimers,
    "short-ids-off": ShortIdsOff,
    "shuffled-elements": ShuffledElements,
    "small-messages": SmallMessages,
    "terse-states": TerseStates,
    "three-element-bundles": ThreeElementBundles,
    "three-workers": ThreeWorkers,
    "unfused": Unfused,
    "triggers-asked-late": TriggersAskedLate,
    "union-views": UnionViews,
    "watermark-coarse": WatermarkCoarse,
    "watermark-fine": WatermarkFine,
}
#: What cannot be together though it overrides different methods, and why.
_APART = {
    frozenset({"no-retries", "retry-after-injected-failure"}): "no bundle that fails would be tried again",
    frozenset({"late-finalization", "every-bundle-twice"}): "harnesses would not know in time what is committed",
    frozenset({"late-finalization", "retry-after-injected-failure"}): "harnesses would not know in time what is committed",
}


def _own(variant: type[Rules]) -> set[str]:
    return {name for name in vars(variant) if not name.startswith("_")}


def _cooperates(variant: type[Rules], method: str) -> bool:
    """Whether an override adds to that of another variant instead of replacing it: it calls super()."""
    return "super" in getattr(variant, method).__code__.co_names


def clash(one: str, other: str) -> str | None:
    """Why two variants do not go together; None if they do."""
    if why := _APART.get(frozenset({one, other})):
        return why
    first, second = VARIANTS[one], VARIANTS[other]
    both = [name for name in _own(first) & _own(second) if not (_cooperates(first, name) and _cooperates(second, name))]
    return f"both decide {', '.join(sorted(both))}" if both else None


def classes(names: Iterable[str]) -> list[type[Rules]]:
    """The classes of some variants. Raises ValueError for unknown names and for ones that do not go together."""
    names = list(names)
    for name in names:
        if name not in VARIANTS:
            near = difflib.get_close_matches(name, [*VARIANTS, RANDOM], n=1)
            hint = f"did you mean {near[0]}?" if near else f"known: {', '.join(sorted([*VARIANTS, RANDOM]))}"
            raise ValueError(f"no variant {name!r}; {hint}")
    for number, name in enumerate(names):
        for other in names[:number]:
            if why := clash(name, other):
                raise ValueError(f"variants {other} and {name} do not go together: {why}; leave one of them out")
    return [VARIANTS[name] for name in names]


def draw(seed: int) -> list[str]:
    """The combination that a seed stands for: two to six variants that go together."""
    dice = random.Random(seed)
    names = sorted(VARIANTS)
    dice.shuffle(names)
    wanted = dice.randint(2, 6)
    chosen: list[str] = []
    for name in names:
        if len(chosen) < wanted and all(clash(name, other) is None for other in chosen):
            chosen.append(name)
    return chosen


def parse(text: str, seed: int = 0) -> tuple[list[str], int]:
    """The variants and the seed of "one-element-bundles+unfused,seed=7"; "random,seed=7" stands for a combination."""
    names: list[str] = []
    for part in text.replace("+", ",").split(","):
        name, equals, value = part.strip().partition("=")
        if equals:
            if name != "seed" or not value.lstrip("-").isdigit():
                raise ValueError(f"cannot read {part.strip()!r} among variants; write NAME+NAME,seed=NUMBER")
            seed = int(value)
        elif name:
            names.append(name)
    drawn = [each for name in names for each in (draw(seed) if name == RANDOM else [name])]
    return list(dict.fromkeys(drawn)), seed


def describe(variant: type[Habits]) -> str:
    """What a variant does, and which rule grants it."""
    return (variant.__doc__ or "").strip()
