"""Is there a Beam job service at HOST:PORT? Told apart: nothing listens, something else speaks, it does not answer, it is one.

Readiness is gRPC's own (the channel connected and a call was answered), never a wait of some length.
"""

from __future__ import annotations

import contextlib
import re
import socket
import time
from typing import Any

import grpc

from conformance.endpoints.errors import EndpointUnreachable, NotAJobService, PhaseTimeout
from conformance.wire import rpc
from conformance.wire.api import job_pb2

__all__ = ["JOB_SERVICE", "channel_to", "check_job_service", "listens"]

JOB_SERVICE = "org.apache.beam.model.job_management.v1.JobService"

#: A restarted server on the same port is found again at once; gRPC's own first wait is a second.
_RECONNECT: list[tuple[str, int]] = [("grpc.initial_reconnect_backoff_ms", 100), ("grpc.max_reconnect_backoff_ms", 1000)]
_LOOPBACK = re.compile(r"(localhost|127\.[0-9.]+|\[::1\]):\d+")

#: Calls that any job service may be asked without harm, in order; the first that is implemented settles the question.
_HARMLESS: tuple[tuple[str, Any], ...] = (
    ("DescribePipelineOptions", job_pb2.DescribePipelineOptionsRequest()),
    ("GetJobs", job_pb2.GetJobsRequest()),
    ("GetState", job_pb2.GetJobStateRequest(job_id="no-such-job")),
)
#: What gRPC says of an answer in HTTP that is not gRPC's.
_NOT_GRPC = re.compile(r"http2 header with status|content-type|HTTP status code|http1", re.IGNORECASE)


def channel_to(url: str) -> grpc.Channel:
    """A channel to HOST:PORT; a proxy of the environment is never asked for the way to this machine itself."""
    direct = [("grpc.enable_http_proxy", 0)] if _LOOPBACK.fullmatch(url) else []
    return rpc.insecure_channel(url, [*_RECONNECT, *direct])


def listens(url: str, seconds: float = 1.0) -> bool:
    """Whether a TCP connection to HOST:PORT is accepted."""
    with contextlib.suppress(OSError):
        _connect(url, seconds)
        return True
    return False


def check_job_service(url: str, seconds: float) -> None:
    """Return when a job service answers at HOST:PORT.

    Raises EndpointUnreachable, NotAJobService, or PhaseTimeout when a gRPC server is there and never answers.
    """
    try:
        _connect(url, seconds)
    except socket.gaierror as error:
        raise EndpointUnreachable(
            f"The host name in {url} does not resolve ({error.strerror}). Check its spelling, or use the IP address."
        ) from error
    except TimeoutError as error:
        raise EndpointUnreachable(
            f"No answer from {url} within {seconds:.3g} s. Check the host, the port and any firewall between."
        ) from error
    except OSError as error:
        raise EndpointUnreachable(
            f"Nothing listens at {url} ({error.strerror}). Start the runner's job service, or check host and port."
        ) from error
    with channel_to(url) as channel:
        _ask(url, channel, seconds)


def _ask(url: str, channel: grpc.Channel, seconds: float) -> None:
    stub = rpc.stub(channel, JOB_SERVICE)
    deadline = time.monotonic() + seconds
    advice = "Give the address of a runner's job service (Flink's and Spark's job servers: --job-port)."
    for method, request in _HARMLESS:
        try:
            getattr(stub, method)(request, timeout=max(0.001, deadline - time.monotonic()))
        except grpc.RpcError as error:
            code, text = error.code(), error.details() or ""
        else:
            return
        if code is grpc.StatusCode.DEADLINE_EXCEEDED:
            if _connected(channel):
                raise PhaseTimeout("connect", f"an answer of {url} to {method}", seconds)
            raise NotAJobService(
                f"{url} accepts connections but did not speak gRPC within {seconds:.3g} s, so it is no job service. {advice}"
            )
        if code is grpc.StatusCode.UNAVAILABLE or _NOT_GRPC.search(text):
            raise NotAJobService(f"{url} accepts connections but does not speak gRPC, so it is no job service ({text}). {advice}")
        if code is not grpc.StatusCode.UNIMPLEMENTED:
            return
    raise NotAJobService(f"{url} is a gRPC server without Beam's JobService. {advice}")


def _connect(url: str, seconds: float) -> None:
    host, _, port = url.rpartition(":")
    socket.create_connection((host.strip("[]"), int(port)), timeout=seconds).close()


def _connected(channel: grpc.Channel) -> bool:
    # Only asked after a failure: watching a channel costs up to 0.2 s when it is closed.
    with contextlib.suppress(grpc.FutureTimeoutError):
        grpc.channel_ready_future(channel).result(timeout=0.1)
        return True
    return False
