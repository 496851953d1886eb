"""The provision service: what a worker needs to boot (P-BOOT-02, P-BOOT-03)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from conformance.wire import urns
from conformance.wire.api import provision_pb2

if TYPE_CHECKING:
    from conformance.runner.fnapi import FnApi
    from conformance.runner.jobs import Job

__all__ = ["Provision", "provision_info"]

#: With any other token and no dependencies a boot program calls the legacy manifest service (P-BOOT-04).
NO_ARTIFACTS: str = "__no_artifacts_staged__"


def provision_info(url: str, job: Job, dependencies: Iterable[Any], capabilities: Iterable[str], status: bool = False) -> Any:
    """The ProvisionInfo of one worker: its own environment's dependencies, the options as submitted; `status`: will it be asked?"""
    info = provision_pb2.ProvisionInfo(runner_capabilities=capabilities, retrieval_token=NO_ARTIFACTS)
    info.pipeline_options.CopyFrom(job.options)
    for endpoint in (info.logging_endpoint, info.artifact_endpoint, info.control_endpoint):
        endpoint.url = url
    if status:
        info.status_endpoint.url = url
    info.dependencies.extend(dependencies)
    if info.dependencies:
        info.retrieval_token = job.id
    info.metadata["job_id"] = job.id
    if job.rules.replays():
        info.metadata[urns.REPLAYS] = "true"
    info.metadata["job_name"] = job.name
    return info


class Provision:
    """ProvisionService."""

    def __init__(self, fnapi: FnApi) -> None:
        self._fnapi = fnapi

    async def GetProvisionInfo(self, request: Any, context: Any) -> Any:
        worker = await self._fnapi.worker_of(context)
        worker.provisioned = True
        return provision_pb2.GetProvisionInfoResponse(info=worker.provision)
