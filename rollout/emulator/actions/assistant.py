"""DescribeInvocationResults and DescribeCloudAssistantStatus: results of commands, agents."""

import base64
from collections.abc import Mapping, Sequence
from typing import Final, TypeVar

from rollout.ecs import contract, wire
from rollout.emulator.actions import filters
from rollout.emulator.actions.context import Context
from rollout.emulator.cloud.lifecycle import BaseStatus
from rollout.emulator.cloud.shapes import tags_field
from rollout.emulator.guest import assistant
from rollout.emulator.guest.assistant import Result
from rollout.emulator.messages import Refusal

Body = Mapping[str, object]

_T = TypeVar("_T")

_AGENT_VERSIONS: Final = {"Linux": "2.2.3.857", "Windows": "2.1.3.857"}


def describe_invocation_results(call: Context) -> Body:
    """Return how commands ended, per instance; Output is Base64 unless PlainText is requested."""
    region = call.region()
    instance = call.text("InstanceId")
    call.demand(region, instances=[instance] if instance else None)
    tags = filters.requested_tags(call.params)
    assistant_, invoke_id = call.cloud.assistant, call.text("InvokeId")
    past = invoke_id and call.flag("IncludeHistory")
    found = assistant_.history if past else assistant_.results
    results = [
        result
        for result in found(region, invoke_id, call.now)
        if _is_requested(call, result) and filters.has_tags(result.order.tags, tags)
    ]
    on_page, page = _page(call, results)
    rows = [_row(call, result) for result in on_page]
    return {
        "Invocation": {
            "TotalCount": len(results),
            **page,
            "InvocationResults": {"InvocationResult": rows},
        }
    }


def describe_cloud_assistant_status(call: Context) -> Body:
    """Return whether the agent of each instance is online: true exactly while it is Running."""
    region = call.region()
    ids = _ids(call)
    call.demand(region, instances=ids or None)
    family = call.text("OSType")
    ordinals = _named(call, region, ids) if ids else _living(call, region)
    found = [o for o in ordinals if family == _family(call, o)] if family else ordinals
    on_page, page = (found, _whole(len(found))) if ids else _page(call, found)
    return {
        "TotalCount": len(found),
        **page,
        "InstanceCloudAssistantStatusSet": {
            "InstanceCloudAssistantStatus": [_agent(call, o) for o in on_page]
        },
    }


def _page(call: Context, found: Sequence[_T]) -> tuple[Sequence[_T], dict[str, object]]:
    """Return one page by token, or by number without token and MaxResults."""
    most = contract.INVOCATION_RESULTS_MAX
    number = call.number_in("PageNumber", 1, 1, 10**9)
    limit = call.number_in("PageSize", contract.PAGE_SIZE_DEFAULT, 1, most)
    first = (number - 1) * limit
    if call.text("MaxResults") or call.text("NextToken"):
        number = 1
        limit = call.number_in("MaxResults", contract.PAGE_SIZE_DEFAULT, 1, most)
        first = call.first()
    more = first + limit < len(found)
    token = call.next_token(first + limit) if more else ""
    return found[first : first + limit], {
        "PageNumber": number,
        "PageSize": limit,
        "NextToken": token,
    }


def _whole(count: int) -> dict[str, object]:
    """Return the page of a call that names its instances: MaxResults has no effect."""
    return {"PageNumber": 1, "PageSize": count, "NextToken": ""}


def _ids(call: Context) -> list[str]:
    ids = wire.numbered(call.params, "InstanceId")
    if len(ids) > call.action.ids_max:
        raise Refusal("InstanceIds.ExceedLimit")
    return list(dict.fromkeys(ids))


def _named(call: Context, region: str, ids: list[str]) -> list[int]:
    found = call.cloud.instances.find_all(ids, region)
    if None in found:
        raise Refusal("InvalidInstance.NotFound")
    return [ordinal for ordinal in found if ordinal is not None]


def _living(call: Context, region: str) -> Sequence[int]:
    instances = call.cloud.instances
    span = instances.spans.get(region, range(0))
    if not instances.released:
        return span
    return [o for o in span if instances.base[o] != BaseStatus.RELEASED]


def _is_requested(call: Context, result: Result) -> bool:
    order = result.order
    requested = {
        "InstanceId": call.cloud.instances.ids.id_of(result.ordinal),
        "CommandId": order.command_id,
        "InvokeRecordStatus": result.record_status,
        "ResourceGroupId": order.group,
    }
    return all(call.text(name) in {"", value} for name, value in requested.items())


def _row(call: Context, result: Result) -> dict[str, object]:
    order = result.order
    finished = "" if result.finished_at is None else wire.iso_seconds(result.finished_at)
    data = result.output.encode()
    tail = data[-assistant.OUTPUT_BYTES_MAX :]
    plain = call.text("ContentEncoding").lower() == "plaintext"
    return {
        "InstanceId": call.cloud.instances.ids.id_of(result.ordinal),
        "InvokeId": order.invoke_id,
        "CommandId": order.command_id,
        "InvocationStatus": result.status,
        "InvokeRecordStatus": result.record_status,
        "ExitCode": result.exit_code if result.exit_code is not None else 0,
        "Output": tail.decode("utf-8", "replace") if plain else base64.b64encode(tail).decode(),
        "Dropped": len(data) - len(tail),
        "ErrorCode": result.error_code,
        "ErrorInfo": assistant.ERROR_INFOS[result.error_code],
        "StartTime": wire.iso_seconds(order.at if result.began_at is None else result.began_at),
        "FinishedTime": finished,
        "StopTime": "",
        "Repeats": result.repeats,
        "Username": order.user,
        "Launcher": order.launcher,
        "TerminationMode": order.termination_mode,
        "Tags": tags_field(order.tags),
    }


def _agent(call: Context, ordinal: int) -> dict[str, object]:
    instances = call.cloud.instances
    running = instances.status(ordinal, call.now) == BaseStatus.RUNNING
    family = _family(call, ordinal)
    activity = call.cloud.assistant.activity(ordinal, call.now)
    last = "" if activity.last_at is None else wire.iso_seconds(activity.last_at)
    return {
        "InstanceId": instances.ids.id_of(ordinal),
        "CloudAssistantStatus": str(running).lower(),
        "CloudAssistantVersion": _AGENT_VERSIONS[family] if running else "",
        "LastHeartbeatTime": wire.iso_seconds(call.now if running else instances.start_ms[ordinal]),
        "LastInvokedTime": last,
        "ActiveTaskCount": activity.active,
        "InvocationCount": activity.completed,
        "OSType": family,
        "SupportSessionManager": True,
    }


def _family(call: Context, ordinal: int) -> str:
    """Return the family with a capital, unlike in DescribeInstances."""
    return "Windows" if call.cloud.instances.shape_of(ordinal).windows else "Linux"
