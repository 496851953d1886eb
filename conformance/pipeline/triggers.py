"""Triggers, and the continuation of each behind a grouping (M-TRIG-37). Times are milliseconds."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from conformance.wire.api import pipeline_pb2 as pb

__all__ = [
    "after_all",
    "after_any",
    "after_count",
    "after_each",
    "after_processing_time",
    "after_synchronized_processing_time",
    "after_watermark",
    "align_to",
    "always",
    "continuation",
    "default",
    "delay",
    "never",
    "or_finally",
    "repeatedly",
]


def default() -> pb.Trigger:
    return pb.Trigger(default=pb.Trigger.Default())


def never() -> pb.Trigger:
    return pb.Trigger(never=pb.Trigger.Never())


def always() -> pb.Trigger:
    return pb.Trigger(always=pb.Trigger.Always())


def after_count(count: int) -> pb.Trigger:
    return pb.Trigger(element_count=pb.Trigger.ElementCount(element_count=count))


def after_watermark(early: pb.Trigger | None = None, late: pb.Trigger | None = None) -> pb.Trigger:
    """After the end of the window. A missing part is written `never` for early and left out for late: the one shape that
    every runner reads (M-TRIG-17)."""
    body = pb.Trigger.AfterEndOfWindow()
    if early is not None:
        body.early_firings.CopyFrom(early)
    elif late is not None:
        body.early_firings.CopyFrom(never())
    if late is not None:
        body.late_firings.CopyFrom(late)
    return pb.Trigger(after_end_of_window=body)


def delay(milliseconds: int) -> pb.TimestampTransform:
    return pb.TimestampTransform(delay=pb.TimestampTransform.Delay(delay_millis=milliseconds))


def align_to(period: int, offset: int = 0) -> pb.TimestampTransform:
    return pb.TimestampTransform(align_to=pb.TimestampTransform.AlignTo(period=period, offset=offset))


def after_processing_time(*transforms: pb.TimestampTransform | int) -> pb.Trigger:
    """After the first element's arrival, moved by each transform in order; a number is a delay."""
    steps = [delay(step) if isinstance(step, int) else step for step in transforms]
    return pb.Trigger(after_processing_time=pb.Trigger.AfterProcessingTime(timestamp_transforms=steps))


def after_synchronized_processing_time() -> pb.Trigger:
    return pb.Trigger(after_synchronized_processing_time=pb.Trigger.AfterSynchronizedProcessingTime())


def after_all(*parts: pb.Trigger) -> pb.Trigger:
    return pb.Trigger(after_all=pb.Trigger.AfterAll(subtriggers=parts))


def after_any(*parts: pb.Trigger) -> pb.Trigger:
    return pb.Trigger(after_any=pb.Trigger.AfterAny(subtriggers=parts))


def after_each(*parts: pb.Trigger) -> pb.Trigger:
    return pb.Trigger(after_each=pb.Trigger.AfterEach(subtriggers=parts))


def or_finally(main: pb.Trigger, finally_: pb.Trigger) -> pb.Trigger:
    return pb.Trigger(or_finally=pb.Trigger.OrFinally(main=main, **{"finally": finally_}))


def repeatedly(part: pb.Trigger) -> pb.Trigger:
    return pb.Trigger(repeat=pb.Trigger.Repeat(subtrigger=part))


def _parts(triggers: Iterable[pb.Trigger]) -> list[pb.Trigger]:
    return [continuation(part) for part in triggers]


def _end_of_window(trigger: pb.Trigger) -> pb.Trigger:
    body, result = trigger.after_end_of_window, pb.Trigger.AfterEndOfWindow()
    for name in ("early_firings", "late_firings"):
        if body.HasField(name):
            getattr(result, name).CopyFrom(continuation(getattr(body, name)))
    return pb.Trigger(after_end_of_window=result)


_CONTINUATIONS: dict[str, Callable[[pb.Trigger], pb.Trigger]] = {
    "element_count": lambda trigger: after_count(1),
    "after_processing_time": lambda trigger: after_synchronized_processing_time(),
    "after_end_of_window": _end_of_window,
    "after_each": lambda trigger: repeatedly(after_any(*_parts(trigger.after_each.subtriggers))),
    "after_all": lambda trigger: after_all(*_parts(trigger.after_all.subtriggers)),
    "after_any": lambda trigger: after_any(*_parts(trigger.after_any.subtriggers)),
    "or_finally": lambda trigger: repeatedly(
        or_finally(continuation(trigger.or_finally.main), continuation(getattr(trigger.or_finally, "finally")))
    ),
    "repeat": lambda trigger: repeatedly(continuation(trigger.repeat.subtrigger)),
}


def continuation(trigger: pb.Trigger) -> pb.Trigger:
    """The trigger of what a grouping with `trigger` emits (M-TRIG-37): default, never, always, synchronized stay themselves."""
    kind = trigger.WhichOneof("trigger")
    behind = _CONTINUATIONS.get(kind or "")
    return behind(trigger) if behind else trigger
