"""I-CTL-05 to 13: bundle descriptors, against themselves and against the pipeline as it was submitted."""

from __future__ import annotations

import graphlib
from collections.abc import Iterator
from typing import Any

from google.protobuf.message import DecodeError, Message

from conformance.harness.invariants.catalogue import Docket
from conformance.harness.invariants.channels import environment_of
from conformance.harness.invariants.elements import Book
from conformance.harness.invariants.index import Index
from conformance.harness.invariants.stages import (
    ANYBODYS,
    COMBINE_URNS,
    RUNNER_ONLY,
    SDK_URNS,
    STANDARD_CODERS,
    Port,
    Shape,
    Stage,
    par_do,
    shape,
)
from conformance.wire import urns
from conformance.wire.api import pipeline_pb2 as pb

__all__ = ["check"]


def check(index: Index, book: Book, docket: Docket) -> None:
    """All rules of this module."""
    for stage in book.stages:
        _closed(stage, docket)
        _executable(stage, index, docket)
        _graph(stage, index, docket)
        _side_input_cycles(stage, docket)
        _ports(stage, docket)
        _endpoints(stage, docket)
        _prefixes(stage, index, book, docket)
        _payloads(stage, index, docket)
    _environments(index, book, docket)


# -- I-CTL-05 --------------------------------------------------------------------------------------------------------------


def _coder_ids(message: Message) -> Iterator[str]:
    """Every coder id that a payload names, wherever in it."""
    for field, value in message.ListFields():
        if field.name.endswith("coder_id"):
            yield value
        elif field.message_type is not None:
            if field.message_type.GetOptions().map_entry:
                if field.message_type.fields_by_name["value"].message_type is not None:
                    for part in value.values():
                        yield from _coder_ids(part)
            elif isinstance(value, Message):
                yield from _coder_ids(value)
            else:
                for part in value:
                    yield from _coder_ids(part)


def _payload_coders(stage: Stage, name: str) -> list[str]:
    transform = stage.transforms[name]
    if name in stage.payloads:
        return list(_coder_ids(stage.payloads[name]))
    if transform.spec.urn in COMBINE_URNS:
        try:
            return list(_coder_ids(pb.CombinePayload.FromString(transform.spec.payload)))
        except DecodeError:
            return []
    return []


def _closed(stage: Stage, docket: Docket) -> None:
    docket.look("I-CTL-05")
    wanted: dict[str, str] = {}

    def find(what: str, missing: str, kind: str, **options: Any) -> None:
        docket.find(
            "I-CTL-05",
            stage.seq,
            f"descriptor {stage.id!r}: {what} names the {kind} {missing!r}, which is not in it",
            descriptor=stage.id,
            missing=missing,
            **options,
        )

    consumed = {pcollection for transform in stage.transforms.values() for pcollection in transform.inputs.values()}
    reached: set[str] = set()
    for name, transform in stage.transforms.items():
        for pcollection in transform.inputs.values():
            reached.add(pcollection)
            if pcollection not in stage.pcollections:
                find(f"input of {name!r}", pcollection, "PCollection")
        for pcollection in transform.outputs.values():
            reached.add(pcollection)
            if pcollection not in stage.pcollections:
                unconsumed = pcollection not in consumed
                find(f"output of {name!r}", pcollection, "PCollection", level="SHOULD" if unconsumed else None)
        for local in stage.payloads[name].side_inputs if name in stage.payloads else ():
            if local not in transform.inputs:
                find(f"side input of {name!r}", local, "input")
        for coder_id in _payload_coders(stage, name):
            wanted.setdefault(coder_id, f"payload of {name!r}")
    for port in (*stage.sources.values(), *stage.sinks.values()):
        if port.coder_id:
            wanted.setdefault(port.coder_id, f"port {port.transform!r}")
    for name, pcollection_proto in stage.pcollections.items():
        if name not in reached:
            continue
        wanted.setdefault(pcollection_proto.coder_id, f"PCollection {name!r}")
        strategy_id = pcollection_proto.windowing_strategy_id
        if strategy_id not in stage.proto.windowing_strategies:
            find(f"PCollection {name!r}", strategy_id, "windowing strategy")
        else:
            window_coder = stage.proto.windowing_strategies[strategy_id].window_coder_id
            wanted.setdefault(window_coder, f"windowing strategy {strategy_id!r}")
    todo = list(wanted.items())
    while todo:
        coder_id, why = todo.pop()
        coder = stage.coders.get(coder_id)
        if coder is None:
            find(why, coder_id, "coder")
            continue
        if coder.spec.urn not in STANDARD_CODERS:
            continue  # Components of others are theirs to interpret (P-COD-06).
        for part in coder.component_coder_ids:
            if part not in wanted:
                wanted[part] = f"coder {coder_id!r}"
                todo.append((part, wanted[part]))


# -- I-CTL-06, 07 ----------------------------------------------------------------------------------------------------------


def _executable(stage: Stage, index: Index, docket: Docket) -> None:
    capabilities = {c for environment in index.submitted.components.environments.values() for c in environment.capabilities}
    for name, transform in stage.transforms.items():
        docket.look("I-CTL-06")
        urn = transform.spec.urn
        if transform.subtransforms:
            problem = f"is a composite of {len(transform.subtransforms)} transforms"
        elif not urn:
            problem = "has no spec"
        elif urn in RUNNER_ONLY:
            problem = f"is {urn}, which no SDK executes"
        elif urn in (urns.Runner.DATA_SOURCE, urns.Runner.DATA_SINK) or urn in SDK_URNS or urn in capabilities:
            continue
        else:
            # A leaf of an SDK's own, as it was submitted, is that SDK's to know.
            known = index.submitted.components.transforms.get(name)
            if known is None or (known.spec.urn == urn and known.environment_id):
                continue
            problem = f"is {urn}, which its environment did not declare"
        docket.find(
            "I-CTL-06", stage.seq, f"descriptor {stage.id!r}: transform {name!r} {problem}", descriptor=stage.id, transform=name
        )


def _environments(index: Index, book: Book, docket: Docket) -> None:
    submitted = index.submitted.components
    served: dict[str, tuple[bytes, str, Stage]] = {}
    for stage in book.stages:
        for worker in book.workers_of(stage):
            for name in sorted(stage.work):
                transform = stage.transforms[name]
                if transform.spec.urn in ANYBODYS:
                    continue
                known = submitted.transforms.get(name)
                environment_id = (known or transform).environment_id or transform.environment_id
                if not environment_id:
                    continue
                environment = submitted.environments.get(environment_id) or stage.proto.environments.get(environment_id)
                content = (
                    environment.SerializeToString(deterministic=True) if environment is not None else environment_id.encode()
                )
                docket.look("I-CTL-07")
                first = served.setdefault(worker, (content, f"{environment_id!r} (transform {name!r})", stage))
                if content != first[0]:
                    docket.find(
                        "I-CTL-07",
                        stage.seq,
                        f"descriptor {stage.id!r} sends transform {name!r} of environment {environment_id!r} to worker {worker!r}, "
                        f"which runs environment {first[1]}",
                        descriptor=stage.id,
                        transform=name,
                        worker=worker,
                    )


# -- I-CTL-08, 09 ----------------------------------------------------------------------------------------------------------


def _graph(stage: Stage, index: Index, docket: Docket) -> None:
    docket.look("I-CTL-08")
    submitted = index.submitted.components.transforms

    def find(problem: str, **evidence: Any) -> None:
        docket.find("I-CTL-08", stage.seq, f"descriptor {stage.id!r}: {problem}", descriptor=stage.id, **evidence)

    producers: dict[str, str] = {}
    for name, transform in stage.transforms.items():
        for pcollection in transform.outputs.values():
            other = producers.get(pcollection, "")
            # A client that submitted two producers gets them (P-PIPE-02).
            as_submitted = all(p in submitted and pcollection in submitted[p].outputs.values() for p in (name, other))
            if other and not as_submitted:
                find(f"PCollection {pcollection!r} is produced by both {producers[pcollection]!r} and {name!r}")
            producers.setdefault(pcollection, name)
    if not stage.sources:
        find("has no source")
        return
    before: dict[str, set[str]] = {}
    for name, transform in stage.transforms.items():
        sides = set(stage.payloads[name].side_inputs) if name in stage.payloads else set()
        mains = {local: pcollection for local, pcollection in transform.inputs.items() if local not in sides}
        if name in stage.payloads and len(mains) > 1:
            find(f"ParDo {name!r} has {len(mains)} main inputs: {sorted(mains)}", transform=name)
        before[name] = {producers[pcollection] for pcollection in mains.values() if pcollection in producers}
        unfed = sorted(pcollection for pcollection in mains.values() if pcollection not in producers)
        if unfed:
            find(f"input {unfed[0]!r} of {name!r} is produced by no transform of the stage", transform=name)
        elif not mains and name not in stage.sources:
            find(f"transform {name!r} cannot be reached from a source", transform=name)
    try:
        tuple(graphlib.TopologicalSorter(before).static_order())
    except graphlib.CycleError as error:
        find(f"transforms {error.args[1]} form a cycle")


def _side_input_cycles(stage: Stage, docket: Docket) -> None:
    produced = {
        pcollection: name
        for name, transform in stage.transforms.items()
        if name not in stage.sources
        for pcollection in transform.outputs.values()
    }
    for name, local, pcollection in stage.side_inputs():
        docket.look("I-CTL-09")
        if pcollection in produced:
            docket.find(
                "I-CTL-09",
                stage.seq,
                f"descriptor {stage.id!r}: side input {local!r} of {name!r} reads {pcollection!r}, "
                f"which {produced[pcollection]!r} of the same stage produces",
                descriptor=stage.id,
                transform=name,
                pcollection=pcollection,
            )


# -- I-CTL-10, 11, 12 ------------------------------------------------------------------------------------------------------


def _ports(stage: Stage, docket: Docket) -> None:
    for port in (*stage.sources.values(), *stage.sinks.values()):
        docket.look("I-CTL-10")

        def find(problem: str, port: Port = port, **evidence: Any) -> None:
            docket.find(
                "I-CTL-10",
                stage.seq,
                f"descriptor {stage.id!r}: port {port.transform!r} {problem}",
                descriptor=stage.id,
                transform=port.transform,
                **evidence,
            )

        transform = stage.transforms[port.transform]
        is_source = port.transform in stage.sources
        if not port.url:
            find("has no URL")
        if len(transform.outputs if is_source else transform.inputs) != 1:
            find(
                f"has {len(transform.outputs if is_source else transform.inputs)} {'outputs' if is_source else 'inputs'}, not one"
            )
            continue
        if port.problem and port.coder_id in stage.coders:
            coder = stage.coders[port.coder_id]
            if coder.spec.urn not in (urns.Coder.WINDOWED_VALUE, urns.Coder.PARAM_WINDOWED_VALUE):
                find(f"has coder {port.coder_id!r} of {coder.spec.urn}, not a windowed value", coder=port.coder_id)
            continue
        held = stage.pcollections.get(port.pcollection)
        parts = stage.coders[port.coder_id].component_coder_ids if port.coder_id in stage.coders else []
        if held is None or len(parts) != 2:
            continue
        strategy = stage.strategy_of(port.pcollection)
        pairs = [("element", parts[0], held.coder_id)]
        if strategy is not None:
            pairs.append(("window", parts[1], strategy.window_coder_id))
        for what, mine, theirs in pairs:
            got, wanted = (shape(coder_id, stage.coders, keep_prefixes=False) for coder_id in (mine, theirs))
            if got != wanted and "?" not in (got[0], wanted[0]):
                find(
                    f"has the {what} coder {_name(got)}, but its PCollection {port.pcollection!r} has {_name(wanted)}",
                    got=_name(got),
                    wanted=_name(wanted),
                )


def _name(of: Shape) -> str:
    """A shape as one reads it: kv<bytes, length_prefix<…>>."""
    urn = str(of[0]).removeprefix("beam:coder:").removesuffix(":v1") or "(no urn)"
    parts = [_name(part) for part in of[1:] if isinstance(part, tuple)]
    return f"{urn}<{', '.join(parts)}>" if parts else urn


def _endpoints(stage: Stage, docket: Docket) -> None:
    needs: list[str] = []
    needs += [f"user state in {name!r}" for name, payload in stage.payloads.items() if payload.state_specs]
    needs += [f"side input {local!r} of {name!r}" for name, local, _ in stage.side_inputs()]
    for port in stage.sources.values():
        if "state_backed_iterable" in repr(port.element):
            needs.append(f"a state-backed iterable at source {port.transform!r}")
    if needs:
        docket.look("I-CTL-11")
        if not stage.proto.state_api_service_descriptor.url:
            docket.find(
                "I-CTL-11",
                stage.seq,
                f"descriptor {stage.id!r} has {needs[0]} but no state endpoint",
                descriptor=stage.id,
                needs=needs,
            )
    if stage.families:
        docket.look("I-CTL-11")
        if not stage.proto.timer_api_service_descriptor.url:
            name, family = next(iter(stage.families))
            docket.find(
                "I-CTL-11",
                stage.seq,
                f"descriptor {stage.id!r} has the timer family {family!r} of {name!r} but no timer endpoint",
                descriptor=stage.id,
            )


def _kv_parts(coder_id: str, stage: Stage) -> list[str]:
    """Key and value coder ids of a KV, whether or not the whole is length-prefixed."""
    coder = stage.coders.get(coder_id)
    while coder is not None and coder.spec.urn == urns.Coder.LENGTH_PREFIX and coder.component_coder_ids:
        coder = stage.coders.get(coder.component_coder_ids[0])
    if coder is None or coder.spec.urn != urns.Coder.KV:
        return []
    return list(coder.component_coder_ids)


def _bare_opaque(coder_id: str, stage: Stage, capabilities: set[str]) -> str | None:
    """The urn of a coder that no runner can cut and that no length prefix announces."""
    coder = stage.coders.get(coder_id)
    if coder is None:
        return None
    if coder.spec.urn not in STANDARD_CODERS:
        return None if coder.spec.urn in capabilities else coder.spec.urn or "(no urn)"
    if coder.spec.urn == urns.Coder.LENGTH_PREFIX:
        return None
    return next((found for part in coder.component_coder_ids if (found := _bare_opaque(part, stage, capabilities))), None)


def _prefixes(stage: Stage, index: Index, book: Book, docket: Docket) -> None:
    served = [environment_of(index, book, worker) for worker in book.workers_of(stage)]
    capabilities = {capability for found in served if found for capability in found[1].capabilities}
    for port in (*stage.sources.values(), *stage.sinks.values(), *stage.families.values()):
        docket.look("I-CTL-12")
        bare = _bare_opaque(port.coder_id, stage, capabilities)
        if bare is not None:
            docket.find(
                "I-CTL-12",
                stage.seq,
                f"descriptor {stage.id!r}: coder {port.coder_id!r} of {port.transform!r} holds the unknown coder {bare!r} "
                "without a length prefix",
                descriptor=stage.id,
                transform=port.transform,
                coder=bare,
            )
    for name in sorted(stage.stateful):
        main = stage.main_input(name)
        held = stage.pcollections.get(main or "")
        if held is None:
            continue
        # What the SDK encodes state keys with is the key of the main input's coder (P-STATE-08).
        places: dict[str, str] = {}
        if parts := _kv_parts(held.coder_id, stage):
            places[f"PCollection {main!r}"] = parts[0]
        source = stage.source_of(name)
        if source is not None and source.coder_id in stage.coders and not source.problem:
            element_id = stage.coders[source.coder_id].component_coder_ids[0]
            if parts := _kv_parts(element_id, stage):
                places[f"source {source.transform!r}"] = parts[0]
        for (transform, family), port in stage.families.items():
            if transform == name and not port.problem:
                places[f"timer family {family!r}"] = stage.coders[port.coder_id].component_coder_ids[0]
        shapes = {place: shape(coder_id, stage.coders, keep_prefixes=True) for place, coder_id in places.items()}
        docket.look("I-CTL-12")
        if len(set(shapes.values())) > 1:
            told = "; ".join(f"{place}: {_name(of)}" for place, of in shapes.items())
            docket.find(
                "I-CTL-12",
                stage.seq,
                f"descriptor {stage.id!r}: the key of {name!r} is encoded in more than one way ({told})",
                descriptor=stage.id,
                transform=name,
                shapes={place: _name(of) for place, of in shapes.items()},
            )


# -- I-CTL-13 --------------------------------------------------------------------------------------------------------------


def _without_coders(message: Message) -> None:
    """Blank every coder id in a payload, in place: a runner may rewrite those."""
    for field, value in list(message.ListFields()):
        if field.name.endswith("coder_id"):
            message.ClearField(field.name)
        elif field.message_type is not None:
            if field.message_type.GetOptions().map_entry:
                if field.message_type.fields_by_name["value"].message_type is not None:
                    for part in value.values():
                        _without_coders(part)
            elif isinstance(value, Message):
                _without_coders(value)
            else:
                for part in value:
                    _without_coders(part)


def _payloads(stage: Stage, index: Index, docket: Docket) -> None:
    for name, got in stage.payloads.items():
        known = index.submitted.components.transforms.get(name)
        wanted = par_do(known) if known is not None else None
        if wanted is None or known is None:
            continue
        docket.look("I-CTL-13")
        mine = pb.ParDoPayload()
        mine.CopyFrom(got)
        _without_coders(mine)
        _without_coders(wanted)
        if mine.SerializeToString(deterministic=True) != wanted.SerializeToString(deterministic=True):
            fields = [
                field.name
                for field in pb.ParDoPayload.DESCRIPTOR.fields
                if getattr(mine, field.name) != getattr(wanted, field.name)
            ]
            docket.find(
                "I-CTL-13",
                stage.seq,
                f"descriptor {stage.id!r}: the payload of {name!r} differs from the submitted one in {', '.join(fields)}",
                descriptor=stage.id,
                transform=name,
                fields=fields,
            )
