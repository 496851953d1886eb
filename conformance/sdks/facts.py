"""What a recorded job shows of how the runner went about it: facts of the wire, each by name, pure functions of a transcript.

A fact answers a sentence that says what was seen, or raises NotSeen with what was seen instead.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

from conformance.harness.transcript import Transcript
from conformance.wire import urns
from conformance.wire.api import pipeline_pb2 as pb

__all__ = ["FACTS", "NotSeen", "descriptors", "errors_told", "job_ids", "submitted", "unbounded"]


class NotSeen(AssertionError):
    """The transcript does not show it."""


def submitted(transcript: Transcript) -> pb.Pipeline | None:
    """The pipeline as the SDK submitted it, None if it did not come to that."""
    found = transcript.events("job", "Prepare", "C->R")
    return found[-1].message.pipeline if found else None


def unbounded(transcript: Transcript) -> bool:
    """Whether a collection of the submitted pipeline is unbounded."""
    pipeline = submitted(transcript)
    collections = pipeline.components.pcollections.values() if pipeline is not None else ()
    return any(each.is_bounded == pb.IsBounded.UNBOUNDED for each in collections)


def job_ids(transcript: Transcript) -> list[str]:
    """The ids of the jobs that were started."""
    return [event.message.job_id for event in transcript.events("job", "Run", "R->C")]


def errors_told(transcript: Transcript) -> str:
    """What the runner's job messages say of errors."""
    texts = []
    for event in transcript.events("job", "GetMessageStream", "R->C"):
        said = event.message.message_response
        if said.importance >= said.JOB_MESSAGE_ERROR:
            texts.append(said.message_text)
    return "\n".join(dict.fromkeys(texts))


def descriptors(transcript: Transcript) -> list[Any]:
    """Every bundle descriptor that a worker was given, by either way, once an id."""
    found: dict[str, Any] = {}
    for event in transcript.events("control"):
        if event.method == "GetProcessBundleDescriptor" and event.direction == "R->S":
            found[event.message.id] = event.message
        elif event.method == "Control" and event.direction == "R->S":
            for each in event.message.register.process_bundle_descriptor:
                found[each.id] = each
    return list(found.values())


def worker_urns(transcript: Transcript) -> Counter[str]:
    return Counter(each.spec.urn for descriptor in descriptors(transcript) for each in descriptor.transforms.values())


def submitted_transforms(transcript: Transcript) -> Iterator[Any]:
    pipeline = submitted(transcript)
    return iter(pipeline.components.transforms.values() if pipeline is not None else ())


def flatten_submitted(transcript: Transcript) -> str:
    found = [each for each in submitted_transforms(transcript) if each.spec.urn == urns.Transform.FLATTEN]
    if not found:
        raise NotSeen("the submitted pipeline has no Flatten")
    by_worker = worker_urns(transcript)[urns.Transform.FLATTEN]
    return f"{len(found)} Flatten submitted, of {max(len(each.inputs) for each in found)} inputs; " + (
        "a worker was asked to flatten" if by_worker else "the runner flattened by itself"
    )


def combine_submitted(transcript: Transcript) -> str:
    kinds = (urns.Transform.COMBINE_PER_KEY, urns.Transform.COMBINE_GLOBALLY)
    found = [each for each in submitted_transforms(transcript) if each.spec.urn in kinds]
    payloads = [pb.CombinePayload.FromString(each.spec.payload) for each in found]
    if not any(payload.accumulator_coder_id and payload.combine_fn.urn for payload in payloads):
        raise NotSeen("the submitted pipeline has no Combine with its function and the coder of its accumulator")
    return (
        f"Combine submitted with function {payloads[0].combine_fn.urn} and accumulator coder {payloads[0].accumulator_coder_id}"
    )


def combine_lifted(transcript: Transcript) -> str:
    found = worker_urns(transcript)
    parts = (urns.Transform.COMBINE_PER_KEY_PRECOMBINE, urns.Transform.COMBINE_PER_KEY_MERGE_ACCUMULATORS)
    if not all(found[part] for part in parts):
        raise NotSeen(f"no worker was asked to combine before the shuffle; asked were {', '.join(sorted(found)) or 'none'}")
    return "a worker combined before the shuffle, and merged accumulators behind it"


def split_while_running(transcript: Transcript) -> str:
    asked = [each for each in transcript.events("control", "Control", "R->S") if each.message.HasField("process_bundle_split")]
    answers = [each.message for each in transcript.events("control", "Control", "S->R")]
    split = [each for each in answers if each.process_bundle_split.residual_roots or each.process_bundle_split.channel_splits]
    if not split:
        raise NotSeen(f"{len(asked)} splits were asked for while the function ran, and none gave anything off")
    residuals = sum(len(each.process_bundle_split.residual_roots) for each in split)
    return f"{len(asked)} splits asked for, {len(split)} answered with a rest, {residuals} residuals"


def progress_asked(transcript: Transcript) -> str:
    answers = [
        each for each in transcript.events("control", "Control", "S->R") if each.message.HasField("process_bundle_progress")
    ]
    told = [each for each in answers if each.message.process_bundle_progress.monitoring_data]
    if not told:
        raise NotSeen(f"progress was told {len(answers)} times, with nothing in it")
    return f"progress told {len(told)} times while the function ran"


def fused(transcript: Transcript) -> str:
    """Some stage has more than one ParDo; what is not fused gives each ParDo a stage of its own."""
    found = descriptors(transcript)
    widest = max((sum(each.spec.urn == urns.Transform.PAR_DO for each in one.transforms.values()) for one in found), default=0)
    if widest < 2:
        raise NotSeen(f"each of {len(found)} stages has at most {widest} ParDo")
    return f"{len(found)} stages, the widest with {widest} ParDos"


def two_environments(transcript: Transcript) -> str:
    """Workers of the other language come through the same proxy, each over a Control stream of its own."""
    asked = {
        event.stream
        for event in transcript.events("control", "Control", "R->S")
        if event.message.WhichOneof("request") == "process_bundle"
    }
    if len(asked) < 2:
        raise NotSeen(f"{len(asked)} workers were asked to process bundles, and two environments were submitted")
    return f"{len(asked)} workers were asked to process bundles"


FACTS: dict[str, Callable[[Transcript], str]] = {
    each.__name__: each
    for each in (
        flatten_submitted,
        combine_submitted,
        combine_lifted,
        split_while_running,
        progress_asked,
        fused,
        two_environments,
    )
}
