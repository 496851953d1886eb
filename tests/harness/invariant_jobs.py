"""Transcripts of small jobs, made from messages: right ones, for tests of the invariants to put one fault into.

A Job is a list of named records; a test changes one (`job["b2.data"].message`), drops, moves or adds one, and asks for the
transcript. `good()` is a job that ends DONE: Impulse, a ParDo that also assigns windows, GroupByKey, a ParDo with a side input, a
stateful one with timers and finalization, and a last one that is split and checkpointed. `retried()` has a bundle that failed and
came again, `failed()` gives up after a failed one.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable
from typing import Any

import attrs

from conformance.harness.transcript import End, Event, Open
from conformance.wire import coders, timestamps, urns
from conformance.wire.api import artifact_pb2, fn_pb2, job_pb2, provision_pb2, windows_pb2
from conformance.wire.api import metrics_pb2 as met
from conformance.wire.api import pipeline_pb2 as pb
from conformance.wire.values import GLOBAL_WINDOW, NO_FIRING, IntervalWindow, Pane, Timer, Timing, WindowedValue

S = job_pb2.JobState.Enum
URL = "localhost:1"
W = "w1"
WINDOW = IntervalWindow(0, 10_000)
ON_TIME = Pane(True, True, Timing.ON_TIME, 0, 0)

PAIR = coders.kv(coders.bytes_coder(), coders.varint())
GROUP = coders.kv(coders.bytes_coder(), coders.iterable(coders.varint()))
IN_GLOBAL = coders.windowed_value(coders.bytes_coder(), coders.global_window())
PAIRS = coders.windowed_value(PAIR, coders.interval_window())
GROUPS = coders.windowed_value(GROUP, coders.interval_window())
TIMERS = coders.timer(coders.bytes_coder(), coders.interval_window())
WINDOW_BYTES = coders.interval_window().encode(WINDOW)
IMPULSE = IN_GLOBAL.encode(WindowedValue(b"", timestamps.MIN, (GLOBAL_WINDOW,), NO_FIRING))


def pair(key: bytes, value: int, timestamp: int = 1_000, pane: Pane = NO_FIRING, window: IntervalWindow = WINDOW) -> bytes:
    return PAIRS.encode(WindowedValue((key, value), timestamp, (window,), pane))


def group(key: bytes, values: list[int], pane: Pane = ON_TIME, window: IntervalWindow = WINDOW) -> bytes:
    return GROUPS.encode(WindowedValue((key, values), window.max_timestamp, (window,), pane))


def timer(key: bytes, fire: int, hold: int | None = None, tag: str = "", clear: bool = False, pane: Pane = ON_TIME) -> bytes:
    if clear:
        return TIMERS.encode(Timer(key, tag, (WINDOW,), True))
    return TIMERS.encode(Timer(key, tag, (WINDOW,), False, fire, fire if hold is None else hold, pane))


@attrs.define(eq=False)
class Record:
    """One event to be; `time` is seconds from the start."""

    name: str
    plane: str
    method: str
    direction: str
    worker: str
    message: Any
    stream: str
    time: float


class Job:
    """A transcript in the making."""

    def __init__(self) -> None:
        self.records: list[Record] = []
        self.clock = 0.0
        self.pipeline = pipeline()

    def add(self, name: str, plane: str, method: str, direction: str, message: Any, worker: str = W, stream: str = URL) -> Record:
        """Append a record, a hundredth of a second after the one before."""
        self.clock += 0.01
        record = Record(name, plane, method, direction, worker, message, stream, self.clock)
        self.records.append(record)
        return record

    def __getitem__(self, name: str) -> Record:
        found = [record for record in self.records if record.name == name]
        assert len(found) == 1, f"{len(found)} records are called {name!r}: {[r.name for r in self.records]}"
        return found[0]

    def drop(self, name: str) -> Record:
        record = self[name]
        self.records.remove(record)
        return record

    def put(self, after: str, like: str, name: str = "new", change: Callable[[Any], None] | None = None) -> Record:
        """A changed copy of record `like`, right behind record `after`."""
        source, before = self[like], self[after]
        record = Record(
            name,
            source.plane,
            source.method,
            source.direction,
            source.worker,
            copy.deepcopy(source.message),
            source.stream,
            before.time + 0.001,
        )
        if change is not None:
            change(record.message)
        self.records.insert(self.records.index(before) + 1, record)
        return record

    def move(self, name: str, after: str) -> Record:
        record = self.drop(name)
        before = self[after]
        record.time = before.time + 0.001
        self.records.insert(self.records.index(before) + 1, record)
        return record

    def later(self, name: str, seconds: float) -> None:
        """Delay a record and all behind it."""
        start = self.records.index(self[name])
        for record in self.records[start:]:
            record.time += seconds

    def seq(self, record: Record) -> int:
        return self.records.index(record)

    def transcript(self) -> list[Event]:
        """The events, numbered."""
        return [
            Event(seq, 1_000.0 + r.time, r.plane, r.method, r.direction, r.worker, r.message, r.stream)  # type: ignore[arg-type]
            for seq, r in enumerate(self.records)
        ]

    # -- parts of a job ----------------------------------------------------------------------------------------------------

    def call(self, name: str, method: str, request: Any, answer: Any) -> None:
        """A unary call of the client."""
        self.add(f"{name}.ask", "job", method, "C->R", request, "")
        self.add(name, "job", method, "R->C", answer, "")

    def state(self, name: str) -> Record:
        """A state on the state stream and on the message stream."""
        event = job_pb2.JobStateEvent(state=S.Value(name))
        self.add(f"message.{name}", "job", "GetMessageStream", "R->C", job_pb2.JobMessagesResponse(state_response=event), "")
        return self.add(f"state.{name}", "job", "GetStateStream", "R->C", event, "")

    def say(self, text: str) -> Record:
        message = job_pb2.JobMessage(importance=job_pb2.JobMessage.JOB_MESSAGE_ERROR, message_text=text)
        return self.add("error", "job", "GetMessageStream", "R->C", job_pb2.JobMessagesResponse(message_response=message), "")

    def begin(self) -> None:
        """Submit, stage, run, start a worker."""
        prepare = job_pb2.PrepareJobRequest(pipeline=self.pipeline, job_name="j")
        prepare.pipeline_options.update({"beam:option:streaming:v1": False})
        self.call("prepare", "Prepare", prepare, job_pb2.PrepareJobResponse(preparation_id="j1"))
        self._stage()
        self.call("run", "Run", job_pb2.RunJobRequest(preparation_id="j1"), job_pb2.RunJobResponse(job_id="j1"))
        self.add("states", "job", "GetStateStream", "C->R", job_pb2.GetJobStateRequest(job_id="j1"), "")
        self.add("messages", "job", "GetMessageStream", "C->R", job_pb2.JobMessagesRequest(job_id="j1"), "")
        for name in ("STOPPED", "STARTING", "RUNNING"):
            self.state(name)
        start = fn_pb2.StartWorkerRequest(worker_id=W)
        for endpoint in ("control_endpoint", "logging_endpoint", "artifact_endpoint", "provision_endpoint"):
            getattr(start, endpoint).url = URL
        self.add("start", "pool", "StartWorker", "R->S", start)
        self.add("started", "pool", "StartWorker", "S->R", fn_pb2.StartWorkerResponse())
        info = provision_pb2.ProvisionInfo(runner_capabilities=[urns.RunnerProtocol.MONITORING_INFO_SHORT_IDS])
        info.dependencies.extend(self.pipeline.components.environments["env"].dependencies)
        info.pipeline_options.update({"beam:option:streaming:v1": False, "beam:option:added:v1": 1})
        self.add("provision.ask", "provision", "GetProvisionInfo", "S->R", provision_pb2.GetProvisionInfoRequest())
        self.add("provision", "provision", "GetProvisionInfo", "R->S", provision_pb2.GetProvisionInfoResponse(info=info))
        asked = artifact_pb2.GetArtifactRequest(artifact=info.dependencies[0])
        self.add("fetch.ask", "artifact", "GetArtifact", "S->R", asked)
        self.add("fetch", "artifact", "GetArtifact", "R->S", artifact_pb2.GetArtifactResponse(data=b"a.txt!"))
        self.add("fetch.end", "artifact", "GetArtifact", "R->S", End("OK"))
        self.add("logging", "logging", "Logging", "S->R", Open(URL))
        self.add("control", "control", "Control", "S->R", Open(URL))
        self.add("data", "data", "Data", "S->R", Open(URL))
        self.add("statestream", "state", "State", "S->R", Open(URL))

    def _stage(self) -> None:
        method, wrap = "ReverseArtifactRetrievalService", artifact_pb2.ArtifactRequestWrapper
        answer = artifact_pb2.ArtifactResponseWrapper
        artifacts = self.pipeline.components.environments["env"].dependencies
        self.add("token", "artifact", method, "C->R", answer(staging_token="t"), "", "staging")
        ask = artifact_pb2.ResolveArtifactsRequest(artifacts=artifacts)
        self.add("resolve", "artifact", method, "R->C", wrap(resolve_artifact=ask), "", "staging")
        found = artifact_pb2.ResolveArtifactsResponse(replacements=artifacts)
        self.add("resolved", "artifact", method, "C->R", answer(resolve_artifact_response=found), "", "staging")
        for artifact in artifacts:
            name = pb.ArtifactStagingToRolePayload.FromString(artifact.role_payload).staged_name
            get = artifact_pb2.GetArtifactRequest(artifact=artifact)
            self.add(f"get.{name}", "artifact", method, "R->C", wrap(get_artifact=get), "", "staging")
            data = artifact_pb2.GetArtifactResponse(data=f"{name}!".encode())
            self.add(f"give.{name}", "artifact", method, "C->R", answer(get_artifact_response=data), "", "staging")
            last = answer(get_artifact_response=artifact_pb2.GetArtifactResponse(), is_last=True)
            self.add(f"given.{name}", "artifact", method, "C->R", last, "", "staging")
        self.add("staged", "artifact", method, "R->C", End("OK"), "", "staging")

    def descriptor(self, stage: str) -> None:
        """A worker fetches a descriptor."""
        request = fn_pb2.GetProcessBundleDescriptorRequest(process_bundle_descriptor_id=stage)
        self.add(f"{stage}.ask", "control", "GetProcessBundleDescriptor", "S->R", request)
        self.add(stage, "control", "GetProcessBundleDescriptor", "R->S", STAGES[stage]())

    def ask(self, name: str, **request: Any) -> Record:
        return self.add(name, "control", "Control", "R->S", fn_pb2.InstructionRequest(instruction_id=name, **request))

    def answer(self, name: str, error: str = "", **response: Any) -> Record:
        message = fn_pb2.InstructionResponse(instruction_id=name, error=error, **response)
        return self.add(f"{name}.answer", "control", "Control", "S->R", message)

    def request(self, name: str, stage: str, **request: Any) -> Record:
        return self.ask(name, process_bundle=fn_pb2.ProcessBundleRequest(process_bundle_descriptor_id=stage, **request))

    def elements(
        self,
        name: str,
        bundle: str,
        direction: str,
        data: dict[str, Iterable[bytes]] | None = None,
        timers: dict[tuple[str, str], Iterable[bytes]] | None = None,
        last: bool = False,
    ) -> Record:
        message = fn_pb2.Elements()
        for transform, values in (data or {}).items():
            message.data.add(instruction_id=bundle, transform_id=transform, data=b"".join(values), is_last=last)
        for (transform, family), values in (timers or {}).items():
            message.timers.add(
                instruction_id=bundle, transform_id=transform, timer_family_id=family, timers=b"".join(values), is_last=last
            )
        return self.add(name, "data", "Data", direction, message)

    def inputs(self, bundle: str, stage: str, values: Iterable[bytes] = (), timers: Iterable[bytes] = ()) -> None:
        """Elements for the stage's source, and timers of its family; then the ends."""
        source, families = f"src{stage[1]}", [("keep", "t")] if stage == "d3" else []
        self.elements(f"{bundle}.data", bundle, "R->S", {source: values}, {f: timers for f in families if timers})
        self.elements(f"{bundle}.ends", bundle, "R->S", {source: ()}, dict.fromkeys(families, ()), last=True)

    def outputs(self, bundle: str, sinks: dict[str, Iterable[bytes]], timers: Iterable[bytes] | None = None) -> None:
        families = {} if timers is None else {("keep", "t"): timers}
        self.elements(f"{bundle}.out", bundle, "S->R", sinks, families)
        self.elements(f"{bundle}.out.ends", bundle, "S->R", dict.fromkeys(sinks, ()), dict.fromkeys(families, ()), last=True)

    def cell(self, name: str, bundle: str, key: fn_pb2.StateKey, request: dict[str, Any], answer: dict[str, Any]) -> None:
        """A state request and its answer."""
        asked = fn_pb2.StateRequest(id=name, instruction_id=bundle, state_key=key, **request)
        self.add(f"{name}.ask", "state", "State", "S->R", asked)
        self.add(name, "state", "State", "R->S", fn_pb2.StateResponse(id=name, **answer))

    def get(self, name: str, bundle: str, key: fn_pb2.StateKey, data: bytes, token: bytes = b"", next_token: bytes = b"") -> None:
        ask = {"get": fn_pb2.StateGetRequest(continuation_token=token)}
        self.cell(name, bundle, key, ask, {"get": fn_pb2.StateGetResponse(data=data, continuation_token=next_token)})

    def append(self, name: str, bundle: str, key: fn_pb2.StateKey, data: bytes) -> None:
        self.cell(name, bundle, key, {"append": fn_pb2.StateAppendRequest(data=data)}, {"append": fn_pb2.StateAppendResponse()})

    def clear(self, name: str, bundle: str, key: fn_pb2.StateKey) -> None:
        self.cell(name, bundle, key, {"clear": fn_pb2.StateClearRequest()}, {"clear": fn_pb2.StateClearResponse()})

    def finish(self, state: str = "DONE", metrics: int | None = None) -> None:
        """The terminal state, metrics, the ends of all streams."""
        self.state(state)
        for method in ("GetStateStream", "GetMessageStream"):
            self.add(f"{method}.end", "job", method, "R->C", End("OK"), "")
        self.call("getstate", "GetState", job_pb2.GetJobStateRequest(job_id="j1"), job_pb2.JobStateEvent(state=S.Value(state)))
        results = job_pb2.MetricResults()
        if metrics is not None:
            results.committed.add().CopyFrom(counter(metrics))
            results.attempted.add().CopyFrom(counter(metrics + 1))
        answer = job_pb2.GetJobMetricsResponse(metrics=results)
        self.call("metrics", "GetJobMetrics", job_pb2.GetJobMetricsRequest(job_id="j1"), answer)
        for plane, method in (("control", "Control"), ("data", "Data"), ("state", "State"), ("logging", "Logging")):
            self.add(f"{plane}.end", plane, method, "R->S", End("OK"))
        self.add("stop", "pool", "StopWorker", "R->S", fn_pb2.StopWorkerRequest(worker_id=W))
        self.add("stopped", "pool", "StopWorker", "S->R", fn_pb2.StopWorkerResponse())
        # The pool goes on listening for a while.
        self.clock += 1.5
        self.call("afterwards", "GetState", job_pb2.GetJobStateRequest(job_id="j1"), job_pb2.JobStateEvent(state=S.Value(state)))


def counter(value: int) -> met.MonitoringInfo:
    return met.MonitoringInfo(
        urn=urns.Metric.USER_SUM_INT64,
        type=urns.MetricType.SUM_INT64,
        payload=coders.encode_varint(value),
        labels={"PTRANSFORM": "keep", "NAMESPACE": "n", "NAME": "c"},
    )


def bag(key: bytes, state: str = "b") -> fn_pb2.StateKey:
    nested = coders.bytes_coder().encode(key)
    part = fn_pb2.StateKey.BagUserState(transform_id="keep", user_state_id=state, window=WINDOW_BYTES, key=nested)
    return fn_pb2.StateKey(bag_user_state=part)


SIDE = fn_pb2.StateKey(iterable_side_input=fn_pb2.StateKey.IterableSideInput(transform_id="use", side_input_id="si"))


# -- the pipeline and its descriptors -----------------------------------------------------------------------------------------


def _spec(urn: str, message: Any = b"") -> pb.FunctionSpec:
    return pb.FunctionSpec(urn=urn, payload=message if isinstance(message, bytes) else message.SerializeToString())


def _pardo(name: str, **fields: Any) -> pb.ParDoPayload:
    return pb.ParDoPayload(do_fn=_spec("beam-conformance:fn:v1", name.encode()), **fields)


def _common(into: Any) -> None:
    """Coders, PCollections and strategies that the pipeline and every descriptor hold."""
    for name, coder in (("wv_pairs", PAIRS), ("wv_groups", GROUPS), ("wv_bytes", IN_GLOBAL), ("timer", TIMERS)):
        into.coders[name].CopyFrom(pb.Coder(spec=_spec(coder.urn)))
        into.coders[name].component_coder_ids.extend(coders.add_to(into.coders, part) for part in coder.components)
    ids = {name: coders.add_to(into.coders, coder) for name, coder in (("b", coders.bytes_coder()), ("p", PAIR), ("g", GROUP))}
    fixed = windows_pb2.FixedWindowsPayload()
    fixed.size.FromMilliseconds(10_000)
    for name, urn, payload, window in (
        ("global", urns.WindowFn.GLOBAL, b"", coders.global_window()),
        ("fixed", urns.WindowFn.FIXED, fixed.SerializeToString(), coders.interval_window()),
    ):
        strategy = into.windowing_strategies[name]
        strategy.window_fn.CopyFrom(_spec(urn, payload))
        strategy.window_coder_id = coders.add_to(into.coders, window)
        strategy.trigger.default.SetInParent()
    for name, coder_id, strategy_id in (
        ("start", ids["b"], "global"),
        ("raw", ids["p"], "global"),
        ("names", ids["b"], "global"),
        ("pairs", ids["p"], "fixed"),
        ("groups", ids["g"], "fixed"),
        ("out", ids["p"], "fixed"),
        ("last", ids["p"], "fixed"),
    ):
        into.pcollections[name].CopyFrom(pb.PCollection(unique_name=name, coder_id=coder_id, windowing_strategy_id=strategy_id))


def _leaves() -> dict[str, pb.PTransform]:
    """The transforms that an SDK runs."""
    side = pb.SideInput(access_pattern=_spec(urns.SideInput.ITERABLE))
    kept = pb.StateSpec(bag_spec=pb.BagStateSpec(element_coder_id="varint"), protocol=_spec(urns.UserState.BAG))
    family = pb.TimerFamilySpec(time_domain=pb.TimeDomain.EVENT_TIME, timer_family_coder_id="timer")
    keep = _pardo("keep", state_specs={"b": kept, "c": kept}, timer_family_specs={"t": family}, requests_finalization=True)
    made = {
        "make": (_pardo("make"), {"in": "start"}, {"out": "raw", "names": "names"}),
        "win": (None, {"in": "raw"}, {"out": "pairs"}),
        "use": (_pardo("use", side_inputs={"si": side}), {"in": "groups", "si": "names"}, {"out": "out"}),
        "keep": (keep, {"in": "out"}, {"out": "last"}),
        "end": (_pardo("end"), {"in": "last"}, {}),
    }
    return {
        name: pb.PTransform(
            unique_name=name,
            spec=_spec(urns.Transform.PAR_DO, payload) if payload else _spec(urns.Transform.ASSIGN_WINDOWS),
            inputs=inputs,
            outputs=outputs,
            environment_id="env",
        )
        for name, (payload, inputs, outputs) in made.items()
    }


def pipeline() -> pb.Pipeline:
    """What the client submits."""
    made = pb.Pipeline()
    _common(made.components)
    for name, transform in _leaves().items():
        made.components.transforms[name].CopyFrom(transform)
    impulse = pb.PTransform(unique_name="imp", spec=_spec(urns.Transform.IMPULSE), outputs={"out": "start"})
    made.components.transforms["imp"].CopyFrom(impulse)
    grouping = pb.PTransform(
        unique_name="gbk", spec=_spec(urns.Transform.GROUP_BY_KEY), inputs={"in": "pairs"}, outputs={"out": "groups"}
    )
    made.components.transforms["gbk"].CopyFrom(grouping)
    environment = made.components.environments["env"]
    environment.urn = urns.Env.EXTERNAL
    environment.capabilities.extend([urns.Protocol.DATA_SAMPLING, urns.Protocol.NAMED_DATA_STREAMS])
    for name in ("a.txt", "b.txt"):
        environment.dependencies.add(
            type_urn=urns.Artifact.FILE,
            type_payload=pb.ArtifactFilePayload(path=f"/tmp/{name}").SerializeToString(),
            role_urn=urns.ArtifactRole.STAGING_TO,
            role_payload=pb.ArtifactStagingToRolePayload(staged_name=name).SerializeToString(),
        )
    return made


def _stage(
    name: str, work: tuple[str, ...], source: tuple[str, str], *sinks: tuple[str, str, str]
) -> fn_pb2.ProcessBundleDescriptor:
    made = fn_pb2.ProcessBundleDescriptor(id=name)
    _common(made)
    leaves = _leaves()
    for leaf in work:
        made.transforms[leaf].CopyFrom(leaves[leaf])

    def port(urn: str, coder_id: str) -> pb.FunctionSpec:
        grpc = fn_pb2.RemoteGrpcPort(coder_id=coder_id)
        grpc.api_service_descriptor.url = URL
        return _spec(urn, grpc)

    made.transforms[f"src{name[1]}"].CopyFrom(
        pb.PTransform(spec=port(urns.Runner.DATA_SOURCE, source[1]), outputs={"o": source[0]})
    )
    for sink, pcollection, coder_id in sinks:
        made.transforms[sink].CopyFrom(pb.PTransform(spec=port(urns.Runner.DATA_SINK, coder_id), inputs={"i": pcollection}))
    made.state_api_service_descriptor.url = URL
    made.timer_api_service_descriptor.url = URL
    return made


STAGES: dict[str, Callable[[], fn_pb2.ProcessBundleDescriptor]] = {
    "d1": lambda: _stage(
        "d1", ("make", "win"), ("start", "wv_bytes"), ("snk1", "pairs", "wv_pairs"), ("snk1b", "names", "wv_bytes")
    ),
    "d2": lambda: _stage("d2", ("use",), ("groups", "wv_groups"), ("snk2", "out", "wv_pairs")),
    "d3": lambda: _stage("d3", ("keep",), ("out", "wv_pairs"), ("snk3", "last", "wv_pairs")),
    "d4": lambda: _stage("d4", ("end",), ("last", "wv_pairs")),
}

V1, V2, V3 = (coders.varint().encode(value) for value in (1, 2, 3))
LAST = [pair(b"k1", 30, 2_000), pair(b"k1", 31, 2_000), pair(b"k2", 32, 2_000), pair(b"k2", 33, 2_000)]
RESIDUAL = pair(b"k1", 99, 3_000)


def _first_stages(job: Job) -> None:
    job.request("b1", "d1")
    job.descriptor("d1")
    job.inputs("b1", "d1", [IMPULSE])
    names = [IN_GLOBAL.encode(WindowedValue(name, 0)) for name in (b"n1", b"n2")]
    job.outputs("b1", {"snk1": [pair(b"k1", 1), pair(b"k1", 2), pair(b"k2", 3)], "snk1b": names})
    job.answer("b1", process_bundle=fn_pb2.ProcessBundleResponse())

    token = fn_pb2.ProcessBundleRequest.CacheToken(token=b"side")
    token.side_input.transform_id, token.side_input.side_input_id = "use", "si"
    job.request("b2", "d2", cache_tokens=[token])
    job.descriptor("d2")
    job.inputs("b2", "d2", [group(b"k1", [1, 2]), group(b"k2", [3])])
    for turn in ("r1", "r2"):
        job.get(f"{turn}a", "b2", SIDE, b"\x02n1", next_token=b"more")
        job.get(f"{turn}b", "b2", SIDE, b"\x02n2", token=b"more")
    job.outputs("b2", {"snk2": [pair(b"k1", 3, 9_999, ON_TIME), pair(b"k2", 3, 9_999, ON_TIME)]})
    job.answer("b2", process_bundle=fn_pb2.ProcessBundleResponse())


def _stateful(job: Job, name: str, error: str = "") -> None:
    """The first bundle of the stateful stage: writes state, sets two timers and asks for finalization."""
    token = fn_pb2.ProcessBundleRequest.CacheToken(token=f"user {name}".encode())
    token.user_state.SetInParent()
    job.request(name, "d3", cache_tokens=[token])
    if not any(record.name == "d3" for record in job.records):
        job.descriptor("d3")
    job.inputs(name, "d3", [pair(b"k1", 3, 9_999, ON_TIME), pair(b"k2", 3, 9_999, ON_TIME)])
    job.get(f"{name}.empty", name, bag(b"k1"), b"")
    job.append(f"{name}.first", name, bag(b"k1"), V1)
    job.get(f"{name}.one", name, bag(b"k1"), V1)
    job.append(f"{name}.other", name, bag(b"k1", "c"), V3)
    job.append(f"{name}.second", name, bag(b"k1"), V2)
    if error:
        job.answer(name, error=error)
        return
    job.outputs(name, {"snk3": LAST[:3]}, [timer(b"k2", 5_000), timer(b"k1", 9_999, 9_000)])
    response = fn_pb2.ProcessBundleResponse(requires_finalization=True, monitoring_data={"c": coders.encode_varint(2)})
    job.answer(name, process_bundle=response)


def _rest(job: Job, set_by: str) -> None:
    job.ask("m1", monitoring_infos=fn_pb2.MonitoringInfosMetadataRequest(monitoring_info_id=["c"]))
    named = counter(0)
    named.payload = b""
    job.answer("m1", monitoring_infos=fn_pb2.MonitoringInfosMetadataResponse(monitoring_info={"c": named}))
    job.ask("f1", finalize_bundle=fn_pb2.FinalizeBundleRequest(instruction_id=set_by))
    job.answer("f1", finalize_bundle=fn_pb2.FinalizeBundleResponse())

    token = fn_pb2.ProcessBundleRequest.CacheToken(token=b"user b4")
    token.user_state.SetInParent()
    job.request("b4", "d3", cache_tokens=[token])
    job.inputs("b4", "d3", timers=[timer(b"k2", 5_000), timer(b"k1", 9_999, 9_000)])
    job.get("b4.read", "b4", bag(b"k1"), V1 + V2)
    job.get("b4.again", "b4", bag(b"k1"), V1 + V2)
    job.get("b4.other", "b4", bag(b"k1", "c"), V3)
    job.outputs("b4", {"snk3": LAST[3:]}, [])
    job.answer("b4", process_bundle=fn_pb2.ProcessBundleResponse(monitoring_data={"c": coders.encode_varint(3)}))

    job.request("b5", "d4")
    job.descriptor("d4")
    job.inputs("b5", "d4", LAST)
    job.ask("p1", process_bundle_progress=fn_pb2.ProcessBundleProgressRequest(instruction_id="b5"))
    job.answer("p1", process_bundle_progress=fn_pb2.ProcessBundleProgressResponse())
    job.clock += 3
    split = fn_pb2.ProcessBundleSplitRequest(instruction_id="b5")
    split.desired_splits["src4"].fraction_of_remainder = 0.5
    split.desired_splits["src4"].estimated_input_elements = 4
    job.ask("s1", process_bundle_split=split)
    channel = fn_pb2.ProcessBundleSplitResponse.ChannelSplit(
        transform_id="src4", last_primary_element=1, first_residual_element=2
    )
    job.answer("s1", process_bundle_split=fn_pb2.ProcessBundleSplitResponse(channel_splits=[channel]))
    root = fn_pb2.DelayedBundleApplication()
    root.application.transform_id, root.application.input_id, root.application.element = "end", "in", RESIDUAL
    root.requested_time_delay.nanos = 500_000_000
    job.answer("b5", process_bundle=fn_pb2.ProcessBundleResponse(residual_roots=[root]))
    job.request("b6", "d4", data_stream_id="second")
    job.inputs("b6", "d4", LAST[2:])
    job.answer("b6", process_bundle=fn_pb2.ProcessBundleResponse())
    job.clock += 0.6
    job.request("b7", "d4", has_no_state=True)
    job.inputs("b7", "d4", [RESIDUAL])
    job.ask("sample", sample_data=fn_pb2.SampleDataRequest(pcollection_ids=["last"]))
    job.answer("sample", sample_data=fn_pb2.SampleDataResponse())
    job.answer("b7", process_bundle=fn_pb2.ProcessBundleResponse())


def good() -> Job:
    """A job that ends DONE, with nothing wrong."""
    job = Job()
    job.begin()
    _first_stages(job)
    _stateful(job, "b3")
    _rest(job, "b3")
    job.finish(metrics=5)
    return job


def retried() -> Job:
    """As good(), but the first bundle of the stateful stage fails and comes again."""
    job = Job()
    job.begin()
    _first_stages(job)
    _stateful(job, "bad", error="Traceback\n  boom\nValueError: seven is odd")
    _stateful(job, "b3")
    _rest(job, "b3")
    job.finish(metrics=5)
    return job


def failed() -> Job:
    """A bundle fails, and so does the job, and says why."""
    job = Job()
    job.begin()
    _first_stages(job)
    _stateful(job, "bad", error="Traceback\n  boom\nValueError: seven is odd")
    job.say("bundle bad failed: ValueError: seven is odd")
    job.finish("FAILED")
    return job
