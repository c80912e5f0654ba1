"""RunCommand, DescribeInvocationResults and DescribeCloudAssistantStatus: looks into the guest."""

import base64
import binascii
from collections.abc import Mapping
from itertools import islice

import msgspec

from rollout.ecs import contract, wire
from rollout.emulator import assistant, tokens
from rollout.emulator.actions.call import Call
from rollout.emulator.assistant import Order, Result
from rollout.emulator.instances import Status
from rollout.emulator.ledger import Effect
from rollout.emulator.messages import Refusal

Body = Mapping[str, object]


def run_command(call: Call) -> Body:
    """Send a script to up to 100 instances; one unfit instance refuses the whole call."""
    region = call.region()
    kind, content = call.required("Type"), call.required("CommandContent")
    ids = _ids(call)
    call.demand(region, instances=ids)
    script = _script(call, content)
    ordinals = [_fit(call, region, kind, instance) for instance in ids]
    token = call.text("ClientToken")
    sent = msgspec.json.encode(sorted(call.params.items()))
    if token and (known := call.cloud.assistant.by_token(token, sent)):
        order, same = known
        if not same:
            raise Refusal("IdempotentParameterMismatch")
        return {"CommandId": order.command_id, "InvokeId": order.invoke_id}
    order = _order(call, region, script, ordinals)
    call.cloud.assistant.send(order, token, sent)
    for ordinal in ordinals:
        call.leave(Effect.COMMAND, region, ordinal=ordinal)
    return {"CommandId": order.command_id, "InvokeId": order.invoke_id}


def describe_invocation_results(call: Call) -> Body:
    """How commands ended, per instance; Output is Base64 unless PlainText is asked for."""
    region = call.region()
    limit = call.number_in(
        "MaxResults", contract.PAGE_SIZE_DEFAULT, 1, contract.INVOCATION_RESULTS_MAX
    )
    first = tokens.read(call.text("NextToken"))
    results = [
        result
        for result in call.cloud.assistant.results(region, call.text("InvokeId"), call.now)
        if _asked(call, result)
    ]
    shown = results[first : first + limit]
    more = first + limit < len(results)
    return {
        "Invocation": {
            "TotalCount": len(results),
            "PageNumber": 1,
            "PageSize": limit,
            "NextToken": tokens.write(first + limit) if more else "",
            "InvocationResults": {"InvocationResult": [_row(call, result) for result in shown]},
        }
    }


def describe_cloud_assistant_status(call: Call) -> Body:
    """Whether the agent of each instance is there: true exactly while it is Running."""
    region = call.region()
    instances = call.cloud.instances
    ids = call.numbered_ids()
    found = [instances.find(i, region) for i in ids] if ids else instances.spans.get(region, ())
    limit = call.number_in(
        "MaxResults", contract.PAGE_SIZE_DEFAULT, 1, contract.INVOCATION_RESULTS_MAX
    )
    first = tokens.read(call.text("NextToken"))
    living = (o for o in found if o is not None and instances.base[o] != Status.RELEASED)
    page = list(islice(living, first, first + limit + 1))
    more = len(page) > limit
    return {
        "TotalCount": 0,
        "PageNumber": 1,
        "PageSize": limit,
        "NextToken": tokens.write(first + limit) if more else "",
        "InstanceCloudAssistantStatusSet": {
            "InstanceCloudAssistantStatus": [_agent(call, o) for o in page[:limit]]
        },
    }


def _ids(call: Call) -> list[str]:
    ids = wire.numbered(call.params, "InstanceId")
    if not ids:
        raise Refusal("MissingParam.InstanceId")
    if len(ids) > call.action.ids_max:
        raise Refusal("InstanceIds.ExceedLimit")
    return list(dict.fromkeys(ids))


def _script(call: Call, content: str) -> str:
    """Other encodings than Base64 count as plain text: documented so."""
    if len(content) > contract.COMMAND_BYTES_MAX:
        raise Refusal("CmdContent.ExceedLimit")
    if call.text("ContentEncoding") != "Base64":
        return content
    try:
        return base64.b64decode(content, validate=True).decode()
    except (binascii.Error, ValueError):
        raise Refusal("InvalidParameter.CommandContent") from None


def _fit(call: Call, region: str, kind: str, instance: str) -> int:
    ordinal = call.cloud.instances.find(instance, region)
    if ordinal is None:
        raise Refusal("InvalidInstance.NotFound")
    if call.cloud.instances.shape_of(ordinal).windows is (kind == "RunShellScript"):
        raise Refusal("InvalidInstance.NotMatch")
    return ordinal


def _order(call: Call, region: str, script: str, ordinals: list[int]) -> Order:
    instances = call.cloud.instances
    status = {ordinal: instances.status(ordinal, call.now) for ordinal in ordinals}
    request_id = call.cloud.request_id(call.number)
    return Order(
        invoke_id=assistant.new_id("t-", request_id),
        command_id=assistant.new_id("c-", request_id),
        region=region,
        at=call.now,
        script=script,
        repeat_mode=call.text("RepeatMode") or "Once",
        user=call.text("Username") or "root",
        boots={ordinal: instances.boots[ordinal] for ordinal in ordinals},
        dead=frozenset(o for o in ordinals if status[o] != Status.RUNNING),
    )


def _asked(call: Call, result: Result) -> bool:
    instance, command = call.text("InstanceId"), call.text("CommandId")
    return (not instance or instance == call.cloud.instances.ids.id_of(result.ordinal)) and (
        not command or command == result.order.command_id
    )


def _row(call: Call, result: Result) -> dict[str, object]:
    order = result.order
    finished = "" if result.finished_at is None else wire.iso_seconds(result.finished_at)
    data = result.output.encode()
    kept = data[-assistant.OUTPUT_BYTES_MAX :]
    plain = call.text("ContentEncoding") == "PlainText"
    return {
        "InstanceId": call.cloud.instances.ids.id_of(result.ordinal),
        "InvokeId": order.invoke_id,
        "CommandId": order.command_id,
        "InvocationStatus": result.status,
        "InvokeRecordStatus": "Finished" if finished or result.error_code else "Running",
        "ExitCode": result.exit_code if result.exit_code is not None else 0,
        "Output": kept.decode("utf-8", "replace") if plain else base64.b64encode(kept).decode(),
        "Dropped": len(data) - len(kept),
        "ErrorCode": result.error_code,
        "ErrorInfo": "",
        "StartTime": wire.iso_seconds(order.at),
        "FinishedTime": finished,
        "StopTime": "",
        "Repeats": 1 if finished else 0,
        "Username": order.user,
    }


def _agent(call: Call, ordinal: int) -> dict[str, object]:
    instances = call.cloud.instances
    running = instances.status(ordinal, call.now) == Status.RUNNING
    seen = call.now if running else instances.start_ms[ordinal]
    return {
        "InstanceId": instances.ids.id_of(ordinal),
        "CloudAssistantStatus": str(running).lower(),
        "CloudAssistantVersion": "2.2.3.857",
        "LastHeartbeatTime": wire.iso_seconds(seen),
        "ActiveTaskCount": 0,
        "InvocationCount": 0,
        "OSType": "Windows" if instances.shape_of(ordinal).windows else "Linux",
        "SupportSessionManager": True,
    }
