"""The emulated cloud: `handle(request, now)` answers one call and applies its effect. Pure.

Called by the HTTP server, by in-process transports and by the simulator; `now` is the arrival, in
UTC milliseconds, and must not decrease. It uses no network, clock or random numbers: equal
requests in the same order give equal replies, request ids included. What the network does to a
call is in `faults`.
"""

from collections.abc import Callable, Mapping
from functools import cached_property
from types import MappingProxyType
from typing import Final

from rollout.ecs import contract
from rollout.ecs.contract import Edition
from rollout.emulator.actions import (
    assistant,
    attach,
    commands,
    describe,
    keypairs,
    power,
    regions,
    tags,
)
from rollout.emulator.actions.context import Context
from rollout.emulator.actions.instance_rows import RowRenderer, Rows
from rollout.emulator.cloud.state import CloudState
from rollout.emulator.messages import Refusal, Reply, Request

_VERSIONS: Final = (contract.ECS_VERSION, contract.STS_VERSION)

HANDLERS: Final[Mapping[str, Callable[[Context], Mapping[str, object]]]] = MappingProxyType(
    {
        "AttachKeyPair": attach.attach_key_pair,
        "DetachKeyPair": attach.detach_key_pair,
        "ImportKeyPair": keypairs.import_key_pair,
        "CreateKeyPair": keypairs.create_key_pair,
        "DeleteKeyPairs": keypairs.delete_key_pairs,
        "TagResources": tags.tag_resources,
        "UntagResources": tags.untag_resources,
        "DescribeKeyPairs": keypairs.describe_key_pairs,
        "DescribeInstances": describe.describe_instances,
        "DescribeInstanceStatus": describe.describe_instance_status,
        "DescribeInstanceAttribute": describe.describe_instance_attribute,
        "DescribeInstancesFullStatus": describe.describe_instances_full_status,
        "RebootInstance": power.reboot_instance,
        "RebootInstances": power.reboot_instances,
        "StartInstance": power.start_instance,
        "StartInstances": power.start_instances,
        "StopInstance": power.stop_instance,
        "StopInstances": power.stop_instances,
        "DescribeRegions": regions.describe_regions,
        "RunCommand": commands.run_command,
        "DescribeInvocationResults": assistant.describe_invocation_results,
        "DescribeCloudAssistantStatus": assistant.describe_cloud_assistant_status,
        "GetCallerIdentity": regions.get_caller_identity,
    }
)
"""One function per action, in the order of `ecs.contract`."""


class Cloud(CloudState):
    """The emulated cloud of one account: answers calls and changes its state by them."""

    calls = 0
    """Calls answered so far, refused ones included."""

    @cached_property
    def rows(self) -> RowRenderer:
        """Return the renderer of DescribeInstances rows."""
        return Rows(self.instances, self.pairs)

    def handle(self, request: Request, now: int) -> Reply:
        """Answer one call. Never raises for anything a caller can send."""
        self.calls += 1
        try:
            body = self._answer(request, now)
        except Refusal as refusal:
            return self._refused(request, refusal, self.request_id(self.calls))
        request_id = self.request_id(self.calls)
        printed = request.action == "AttachKeyPair" and self.switches.edition is Edition.SEED
        return Reply(200, _with_request_id(body, request_id), request_id, printed=printed)

    def refuse(self, request: Request, refusal: Refusal) -> Reply:
        """Answer a call with an error before it reaches any action: gateway and faults."""
        self.calls += 1
        return self._refused(request, refusal, self.request_id(self.calls))

    def _answer(self, request: Request, now: int) -> Mapping[str, object]:
        if request.version not in _VERSIONS:
            raise Refusal("InvalidVersion")
        action = contract.ACTIONS.get(request.action)
        if action is None or action.version != request.version:
            raise Refusal("InvalidAction.NotFound")
        user = self.access.user(request.caller)
        if user is None:
            raise Refusal("InvalidAccessKeyId.NotFound")
        call = Context(self, self.rows, action, request, user, now, self.calls)
        wait_ms = self.quotas.admit(user.account, call.lane_region(), action.name, now)
        if wait_ms is not None:
            settings = self.quotas.settings
            raise Refusal(settings.code, retry_after_ms=wait_ms if settings.retry_after else None)
        return HANDLERS[action.name](call)

    def _refused(self, request: Request, refusal: Refusal, request_id: str) -> Reply:
        """Return the error body of a refusal."""
        edition = self.switches.edition_of(request.action)
        try:
            row = contract.error(request.action, refusal.code, edition, refusal.subject)
        except KeyError:  # only a fault can name an undocumented code
            row = contract.ApiError(refusal.code, 400, "An error that no table knows.")
        body: dict[str, object] = {
            "RequestId": request_id,
            "HostId": request.address,
            "Code": row.code,
            "Message": row.message if refusal.message is None else refusal.message,
        }
        if edition is Edition.CURRENT:
            product = "Sts" if request.version == contract.STS_VERSION else "Ecs"
            body["Recommend"] = (
                f"https://api.aliyun.com/troubleshoot?q={row.code}"
                f"&product={product}&requestId={request_id}"
            )
        status = refusal.status or row.status
        return Reply(status, body, request_id, row.code, refusal.retry_after_ms)


def _with_request_id(body: Mapping[str, object], request_id: str) -> dict[str, object]:
    """Add the request id: at the position the action reserves for it, else at the front."""
    if "RequestId" in body:
        return {**body, "RequestId": request_id}
    return {"RequestId": request_id, **body}
