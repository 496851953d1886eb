"""One worker: the control stream and what hangs on it. It answers every instruction once, bundles each in a thread of their own."""

from __future__ import annotations

import functools
import threading
import traceback
import zlib
from collections import OrderedDict
from collections.abc import Callable
from typing import TYPE_CHECKING

import grpc

from conformance.harness import metrics
from conformance.harness.bundle import Run
from conformance.harness.data import DataPlane
from conformance.harness.errors import BundleAborted, FunctionError, LocalProtocolError, RemoteProtocolError
from conformance.harness.faults import tamper
from conformance.harness.functions.registry import Registry
from conformance.harness.inquiries import Inquiries
from conformance.harness.logs import LogStream
from conformance.harness.operations import Operation, Source
from conformance.harness.plan import Plan
from conformance.harness.processor import Processor
from conformance.harness.script import Fault
from conformance.harness.state import BundleState, StateCache, StatePlane
from conformance.harness.status import StatusStream
from conformance.harness.streams import CHANNELS, Duplex, unary
from conformance.harness.threads import THREADS
from conformance.harness.transcript import Note
from conformance.wire import urns
from conformance.wire.api import fn_pb2, provision_pb2

if TYPE_CHECKING:
    from conformance.harness.host import Host

__all__ = ["Endpoints", "Worker"]

_P = urns.Protocol
_R = urns.RunnerProtocol
_REMEMBERED = 10_000


class Endpoints:
    """The addresses that a worker was given; provision may override them (P-BOOT-02)."""

    def __init__(self, control: str, logging: str = "", artifact: str = "", provision: str = "", status: str = "") -> None:
        self.control, self.logging, self.artifact, self.provision, self.status = control, logging, artifact, provision, status

    def override(self, info: provision_pb2.ProvisionInfo) -> None:
        self.control = info.control_endpoint.url or self.control
        self.logging = info.logging_endpoint.url or self.logging
        self.artifact = info.artifact_endpoint.url or self.artifact
        self.status = info.status_endpoint.url


class Worker:
    """Runs from `start` until the runner ends Control, then drains and closes, Logging last (P-CH-11)."""

    def __init__(self, host: Host, worker_id: str, endpoints: Endpoints) -> None:
        self.host, self.worker_id, self.endpoints = host, worker_id, endpoints
        self.provision: provision_pb2.ProvisionInfo | None = None
        #: Called with what provision said.
        self.on_provision: Callable[[provision_pb2.ProvisionInfo], None] | None = None
        self.ended = threading.Event()
        self._transcript = host.transcript
        self.data = DataPlane(host.transcript, worker_id)
        self.state = StatePlane(host.transcript, worker_id)
        self._cache = StateCache()
        # Equal ids of two workers are legal, but Prism takes them for one.
        self.short_ids = metrics.ShortIds("m" if host.equal_short_ids else f"m{zlib.crc32(worker_id.encode()):08x}.")
        self._lock = threading.Lock()
        self._plans: dict[str, tuple[Plan, str]] = {}
        self._idle: dict[str, list[Processor]] = {}
        self._active: dict[str, Run] = {}
        self._known: OrderedDict[str, None] = OrderedDict()
        self.inquiries = Inquiries(self)
        self._running = 0
        self._quiet = threading.Condition(self._lock)
        self._control: Duplex | None = None
        self._logging: LogStream | None = None
        self._status: StatusStream | None = None
        self._exiting = False

    # Life

    def start(self) -> None:
        """Run in a thread of its own."""
        THREADS.run(self.run)

    def run(self) -> None:
        """Provision, connect, serve, drain."""
        try:
            self._get_provision()
            url = self.endpoints.control
            if not url:
                raise RemoteProtocolError("neither StartWorker nor provision names a control endpoint (P-BOOT-02)")
            if self.endpoints.logging and self.host.logging:
                self._logging = LogStream(self._transcript, self.worker_id, self.endpoints.logging)
            if self.endpoints.status and _P.WORKER_STATUS in self.host.capabilities:
                self._status = StatusStream(self._transcript, self.worker_id, self.endpoints.status, self._status_text)
            if self.host.fetch_artifacts:
                self.host.fetch_artifacts(self)
            self._control = Duplex(
                CHANNELS.acquire(url),
                self._transcript,
                service="BeamFnControl",
                method="Control",
                plane="control",
                worker_id=self.worker_id,
                url=url,
            )
            for request in self._control:
                self._dispatch(request)
            CHANNELS.release(url, broken=self._control.status == "UNAVAILABLE")
            if self._control.status not in ("OK", "CANCELLED", "UNAVAILABLE"):
                self.host.remote_error(RemoteProtocolError(f"control ended with {self._control.status}"))
        except Exception as error:
            self.host.error(error)
        finally:
            self._drain()

    def _drain(self) -> None:
        with self._quiet:
            self._quiet.wait_for(lambda: not self._running, timeout=self.host.grace)
        # Control first: its end is what tells the runner that no answer will follow.
        if self._control is not None:
            self._control.close()
        self._teardown_idle()
        streams = [*self.data.close(), *self.state.close()]
        if self._status is not None:
            streams.append(self._status.close())
        if self._logging is not None:
            streams.append(self._logging.close())
        for stream in streams:
            if not stream.ended.wait(self.host.grace):
                stream.cancel()
        for surprise in self.state.surprises:
            self.host.remote_error(RemoteProtocolError(surprise))
        self.ended.set()

    def _teardown_idle(self) -> None:
        with self._lock:
            idle = [processor for processors in self._idle.values() for processor in processors]
            self._idle.clear()
        for processor in idle:
            self._teardown(processor)

    def _teardown(self, processor: Processor) -> None:
        try:
            processor.teardown()
        except Exception:  # a function's own failure; nobody waits for the answer
            self.log(traceback.format_exc(), "ERROR")

    def exit(self) -> None:
        """End all streams at once, as a process that dies would."""
        self._exiting = True
        if self._control is not None:
            self._control.cancel()
        for stream in (*self.data.close(), *self.state.close()):
            stream.cancel()
        if self._logging is not None:
            self._logging.close().cancel()

    def stop(self) -> None:
        """The pool was told to stop this worker; Control's end does the work, this is for runners that leave it open."""
        if self._control is not None:
            self._control.close()

    def _get_provision(self) -> None:
        url = self.endpoints.provision
        if not url or not self.host.use_provision:
            return
        channel = CHANNELS.acquire(url)
        try:
            response = unary(
                channel,
                self._transcript,
                service="ProvisionService",
                method="GetProvisionInfo",
                plane="provision",
                worker_id=self.worker_id,
                url=url,
                request=provision_pb2.GetProvisionInfoRequest(),
                timeout=30.0,
            )
        except grpc.RpcError as error:
            self.host.remote_error(RemoteProtocolError(f"GetProvisionInfo failed: {error.code().name} {error.details()}"))
            return
        finally:
            CHANNELS.release(url)
        self.provision = response.info
        self.endpoints.override(response.info)
        if self.on_provision is not None:
            self.on_provision(response.info)

    def runner_has(self, capability: str) -> bool:
        """Did the runner declare it in provision?"""
        return self.provision is not None and capability in self.provision.runner_capabilities

    def declares(self, capability: str) -> bool:
        """Did we declare it, and do we mean it?"""
        return capability in self.host.capabilities and not self.host.script.ignores(capability)

    def log(self, message: str, severity: str = "INFO", instruction_id: str = "", transform_id: str = "") -> None:
        """One entry by the logging plane, if the worker has one."""
        if self._logging is not None:
            self._logging.write(message, severity, instruction_id, transform_id)

    def _status_text(self) -> str:
        with self._lock:
            active = sorted(self._active)
        return f"worker {self.worker_id}: {len(active)} active bundles {active}; {len(self._plans)} descriptors"

    # Instructions

    def _dispatch(self, request: fn_pb2.InstructionRequest) -> None:
        kind = request.WhichOneof("request")
        handler = {
            "process_bundle": self._start_bundle,
            "process_bundle_progress": self.inquiries.progress,
            "process_bundle_split": self.inquiries.split,
            "finalize_bundle": self.inquiries.finalize,
            "monitoring_infos": self.inquiries.monitoring_infos,
            "harness_monitoring_infos": self.inquiries.harness_monitoring_infos,
            "sample_data": self.inquiries.sample_data,
            "register": self._register,
        }.get(kind or "")
        try:
            if handler is None:
                raise RemoteProtocolError(f"instruction {request.instruction_id!r} asks for nothing that is known (P-CTL-04)")
            handler(request)
        except Exception as error:
            self.answer(request, self.failed(request, error))

    def failed(self, request: fn_pb2.InstructionRequest, error: Exception) -> fn_pb2.InstructionResponse:
        if isinstance(error, LocalProtocolError | RemoteProtocolError):
            self.host.error(error)
        text = str(error) or type(error).__name__
        if (running := _running(error)) is not None:
            text += f"\n[while running {running.node.proto.unique_name!r}]"
        if not isinstance(error, FunctionError | BundleAborted):
            text += f"\n{traceback.format_exc()}"
        return fn_pb2.InstructionResponse(instruction_id=request.instruction_id, error=text)

    def answer(
        self, request: fn_pb2.InstructionRequest, response: fn_pb2.InstructionResponse, faults: list[Fault] | None = None
    ) -> None:
        """Send the one answer (P-CTL-02), unless the script has it otherwise."""
        assert self._control is not None
        kind = request.WhichOneof("request") or ""
        if faults is None:
            faults = self.host.script.take(kind, request.instruction_id, self.worker_id)
        actions = {fault.action: fault for fault in faults}
        if not actions:
            self._control.send(response)
            return
        for action in actions:
            self._note(f"{action} on {kind} {request.instruction_id}")
        if "exit" in actions and actions["exit"].at is None:
            self.exit()
            return
        if "drop" in actions and actions["drop"].at is None:
            self._drop(actions["drop"])
        if "never" in actions:
            return
        if (error := actions.get("error")) and error.at is None:
            response = fn_pb2.InstructionResponse(instruction_id=request.instruction_id, error=error.text)
        if "empty_answer" in actions:
            response = fn_pb2.InstructionResponse(instruction_id=request.instruction_id)
            getattr(response, kind).SetInParent()
        if answer := actions.get("answer"):
            response = fn_pb2.InstructionResponse(instruction_id=request.instruction_id)
            getattr(response, kind).CopyFrom(answer.response)
        if "wrong_kind" in actions:
            response = fn_pb2.InstructionResponse(instruction_id=request.instruction_id)
            response.sample_data.SetInParent()
        if "no_kind" in actions:
            response = fn_pb2.InstructionResponse(instruction_id=request.instruction_id)
        if late := actions.get("late"):
            THREADS.run(self._answer_late, response, late)
            return
        if "stranger" in actions:
            stranger = fn_pb2.InstructionResponse()
            stranger.CopyFrom(response)
            stranger.instruction_id = "no-such-instruction"
            self._control.send(stranger)
        self._control.send(response)
        if "twice" in actions:
            self._control.send(response)
        if "leave" in actions:
            self._control.close()

    def _answer_late(self, response: fn_pb2.InstructionResponse, fault: Fault) -> None:
        try:
            self.host.gates.wait(fault.gate)
        except BundleAborted:
            return
        assert self._control is not None
        self._control.send(response)

    def _drop(self, fault: Fault) -> None:
        streams = {"data": self.data.close, "state": self.state.close}.get(fault.plane)
        if streams is not None:
            for stream in streams():
                stream.cancel()
        elif fault.plane == "logging" and self._logging is not None:
            self._logging.close().cancel()
        elif fault.plane == "control" and self._control is not None:
            self._control.cancel()

    def _note(self, text: str) -> None:
        self._transcript.append("control", "Control", "S->R", self.worker_id, Note(text))

    def _register(self, request: fn_pb2.InstructionRequest) -> None:
        for descriptor in request.register.process_bundle_descriptor:
            with self._lock:
                self._plans[descriptor.id] = self._planned(descriptor), ""
        response = fn_pb2.InstructionResponse(instruction_id=request.instruction_id)
        response.register.SetInParent()
        self.answer(request, response)

    def _plan(self, descriptor_id: str) -> Plan:
        """The plan of a descriptor, fetched once (P-CTL-07)."""
        with self._lock:
            found = self._plans.get(descriptor_id)
        if found is not None:
            return found[0]
        url = self.endpoints.control
        channel = CHANNELS.acquire(url)
        try:
            descriptor = unary(
                channel,
                self._transcript,
                service="BeamFnControl",
                method="GetProcessBundleDescriptor",
                plane="control",
                worker_id=self.worker_id,
                url=url,
                request=fn_pb2.GetProcessBundleDescriptorRequest(process_bundle_descriptor_id=descriptor_id),
                timeout=60.0,
            )
        except grpc.RpcError as error:
            raise RemoteProtocolError(
                f"descriptor {descriptor_id!r} was refused: {error.code().name} {error.details()}"
            ) from error
        finally:
            CHANNELS.release(url)
        plan = self._planned(descriptor)
        with self._lock:
            return self._plans.setdefault(descriptor_id, (plan, ""))[0]

    def _planned(self, descriptor: fn_pb2.ProcessBundleDescriptor) -> Plan:
        return Plan(descriptor, metadata=self.declares(_P.ELEMENT_METADATA))

    def find(self, instruction_id: str) -> Run | None:
        """The bundle of that id, while it runs."""
        with self._lock:
            return self._active.get(instruction_id)

    # Bundles

    def _start_bundle(self, request: fn_pb2.InstructionRequest) -> None:
        with self._lock:
            self._running += 1
            self._known[request.instruction_id] = None
            while len(self._known) > _REMEMBERED:
                self._known.popitem(last=False)
        THREADS.run(self._bundle, request)

    def _bundle(self, request: fn_pb2.InstructionRequest) -> None:
        try:
            self._run_bundle(request)
        except Exception as error:  # a bug of ours outside the bundle's own protection
            self.host.error(LocalProtocolError(f"bundle {request.instruction_id} broke the harness: {error!r}"))
            self.answer(request, self.failed(request, error), [])
        finally:
            self.data.finish(request.instruction_id)
            with self._quiet:
                self._running -= 1
                self._quiet.notify_all()

    def _run_bundle(self, request: fn_pb2.InstructionRequest) -> None:
        asked = request.process_bundle
        instruction_id = request.instruction_id
        inbox = self.data.inbox(instruction_id)
        run: Run | None = None
        processor: Processor | None = None
        faults: list[Fault] = []
        try:
            plan = self._plan(asked.process_bundle_descriptor_id)
            names = {node.proto.unique_name: None for node in plan.nodes.values()}
            faults = self.host.script.take("process_bundle", instruction_id, self.worker_id, names)
            run = self._new_run(asked, instruction_id, plan)
            self._arm(run, faults)
            self._open_streams(plan, asked, faults)
            processor = self._checkout(asked.process_bundle_descriptor_id, plan)
            with self._lock:
                self._active[instruction_id] = run
            embedded = asked.elements if asked.HasField("elements") else None
            run.execute(processor, inbox, embedded)
            run.state.flush()
            run.state.check_open()
            with run.lock:
                run.ended = True
                response = self._response(instruction_id, run)
            self._finish(request, run, plan, response, faults, asked.data_stream_id)
            self._checkin(asked.process_bundle_descriptor_id, processor)
        except Exception as error:
            if run is not None:
                with run.lock:
                    run.ended = True
                run.state.abandon()
            response = self.failed(request, error)
            if processor is not None:
                self._teardown(processor)
            self._report(run, committed=False)
            if not self._exiting:
                self.answer(request, response, [fault for fault in faults if fault.action in ("late", "never", "twice")])
        finally:
            with self._lock:
                self._active.pop(instruction_id, None)

    def _new_run(self, asked: fn_pb2.ProcessBundleRequest, instruction_id: str, plan: Plan) -> Run:
        caching = self.declares(_P.STATE_CACHING)
        user = b""
        sides: dict[tuple[str, str], bytes] = {}
        for token in asked.cache_tokens:
            if token.HasField("side_input"):
                sides[token.side_input.transform_id, token.side_input.side_input_id] = token.token
            else:
                if user:
                    raise RemoteProtocolError(f"bundle {instruction_id} has two cache tokens for user state (P-CTL-13)")
                user = token.token
        state = BundleState(self.state, plan.state_url, instruction_id, self._cache if caching else None, user, sides)
        return Run(
            instruction_id,
            self.worker_id,
            state=state,
            gates=self.host.gates,
            counters=self.host.counters,
            log=self.log,
            send=lambda url, elements: self.data.stream(url, asked.data_stream_id).send(elements),
            bulk_side_inputs=self.runner_has(_R.MULTIMAP_KEYS_VALUES_SIDE_INPUT),
        )

    def _arm(self, run: Run, faults: list[Fault]) -> None:
        """Have the faults that name an element happen there."""
        timed = [fault for fault in faults if fault.at is not None]
        if not timed:
            return

        def on_element(source: Source, index: int) -> None:
            for fault in timed:
                if fault.at == index:
                    self._note(f"{fault.action} at element {index} of {run.instruction_id}")
                    if fault.action == "error":
                        raise FunctionError(fault.text)
                    if fault.action == "late":
                        run.gates.wait(fault.gate)
                    elif fault.action == "drop":
                        self._drop(fault)
                    elif fault.action == "exit":
                        self.exit()
                        raise BundleAborted("the script ended this worker")

        run.on_element = on_element

    def _open_streams(self, plan: Plan, asked: fn_pb2.ProcessBundleRequest, faults: list[Fault]) -> None:
        """Open Data because the bundle names it, not because something came (P-CH-06)."""
        for fault in faults:
            if fault.action == "delay_data_stream":
                self.host.gates.wait(fault.gate)
        if asked.HasField("elements"):
            return
        urls = {port.url for port in (*plan.sources.values(), *plan.sinks.values())}
        if plan.families and plan.timer_url:
            urls.add(plan.timer_url)
        for url in sorted(urls):
            self.data.stream(url, asked.data_stream_id)

    def _checkout(self, descriptor_id: str, plan: Plan) -> Processor:
        with self._lock:
            idle = self._idle.get(descriptor_id)
            if idle:
                return idle.pop()
        processor = Processor(plan, Registry(self.host.functions, self.host.sink), self.declares(_P.DATA_SAMPLING))
        try:
            processor.setup()
        except Exception:
            self._teardown(processor)
            raise
        return processor

    def _checkin(self, descriptor_id: str, processor: Processor) -> None:
        with self._lock:
            self._idle.setdefault(descriptor_id, []).append(processor)

    def _response(self, instruction_id: str, run: Run) -> fn_pb2.InstructionResponse:
        data, infos = metrics.gather(run.payloads(), self.short_ids, not self.short_ids_only())
        response = fn_pb2.InstructionResponse(instruction_id=instruction_id)
        body = response.process_bundle
        body.residual_roots.extend(run.residual_roots)
        body.monitoring_infos.extend(infos)
        for short, payload in data.items():
            body.monitoring_data[short] = payload
        if self._told_by_finalization():
            run.reported = True
            run.finalizers.insert(0, functools.partial(self.host.sink.bundle_done, list(run.observations), True))
        if run.finalizers:
            body.requires_finalization = True
            self.inquiries.expect_finalize(instruction_id, list(run.finalizers))
        return response

    def _told_by_finalization(self) -> bool:
        """Whether an answer without fault may still be thrown away, so that only FinalizeBundle tells that it counts (M-BNDL-05).

        A runner that does so says it in the metadata of provision.
        """
        return self.provision is not None and self.provision.metadata.get(urns.REPLAYS) == "true"

    def short_ids_only(self) -> bool:
        return self.runner_has(_R.MONITORING_INFO_SHORT_IDS) and not self.host.both_metric_shapes

    def _finish(
        self,
        request: fn_pb2.InstructionRequest,
        run: Run,
        plan: Plan,
        response: fn_pb2.InstructionResponse,
        faults: list[Fault],
        stream_name: str,
    ) -> None:
        """Outputs and their terminators, then the answer; or the other way round, which is as legal (P-CTL-18)."""
        actions: set[str] = {fault.action for fault in faults}
        last = run.last_message()
        tamper(last, actions)
        if self.host.embed_outputs and self.runner_has(_R.CONTROL_RESPONSE_ELEMENTS_EMBEDDING):
            for elements in last.values():
                response.process_bundle.elements.MergeFrom(elements)
            last = {}
        self.inquiries.keep_samples(run, plan)
        first = self.host.respond_first or "respond_first" in actions
        # Before anything leaves: a runner may end the job on the last byte, and the test reads right after.
        withheld = actions & {"never", "error", "answer"} and not any(fault.at is not None for fault in faults)
        self._report(run, committed=not withheld)
        if first:
            self.answer(request, response, faults)
        for url, elements in last.items():
            self.data.stream(url, stream_name).send(elements)
        if not first:
            self.answer(request, response, faults)

    def _report(self, run: Run | None, committed: bool) -> None:
        if run is not None and not run.reported:
            run.reported = True
            if run.observations:
                self.host.sink.bundle_done(run.observations, committed)


def _running(error: Exception) -> Operation | None:
    """The operation in which an error was raised, if it was in one."""
    frames = [frame.f_locals.get("self") for frame, _ in traceback.walk_tb(error.__traceback__)]
    return next((each for each in reversed(frames) if isinstance(each, Operation)), None)
