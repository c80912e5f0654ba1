"""RunCommand: checks a command in the order of its parameters, and sends it."""

import base64
import binascii
import re
from collections.abc import Mapping
from typing import Final

import msgspec

from rollout.ecs import contract, wire
from rollout.emulator.actions import filters
from rollout.emulator.actions.context import Context
from rollout.emulator.cloud.ledger import Effect
from rollout.emulator.cloud.lifecycle import BaseStatus
from rollout.emulator.cloud.shapes import Tags
from rollout.emulator.guest import assistant
from rollout.emulator.guest.assistant import Order
from rollout.emulator.messages import Refusal

Body = Mapping[str, object]

_SHELL: Final = contract.COMMAND_TYPES[0]
_PARAMETER: Final = re.compile(
    rf"\{{\{{\s*([A-Za-z0-9_-]{{1,{contract.COMMAND_PARAMETER_CHARS_MAX}}})\s*\}}\}}"
)


def run_command(call: Context) -> Body:
    """Send a script to up to 100 instances; one unfit instance refuses the whole call.

    A repeat with the same ClientToken returns the first invocation, whatever its state.
    """
    region = call.region()
    kind, script = _kind(call), _script(call)
    mode, tags = _mode(call), filters.tags_given(call.params)
    ids = _ids(call, region)
    call.demand(region, instances=ids)
    token, sent = _token(call), msgspec.json.encode(sorted(call.params.items()))
    if token and (known := call.cloud.assistant.by_token(token)):
        if known.content != sent:
            raise Refusal("IdempotentParameterMismatch")
        return _named(known.order)
    ordinals = [_fit(call, region, kind, instance) for instance in ids]
    if mode == "DryRun":  # the reply to a passing check is undocumented: no ids, no effect
        return {}
    order = _order(call, region, script, mode, tags, ordinals)
    call.cloud.assistant.send(order, token, sent)
    for ordinal in ordinals:
        call.leave(Effect.COMMAND, region, ordinal=ordinal)
    return _named(order)


def _order(
    call: Context, region: str, script: str, mode: str, tags: Tags, ordinals: list[int]
) -> Order:
    instances = call.cloud.instances
    request_id = call.cloud.request_id(call.number)
    status = {ordinal: instances.status(ordinal, call.now) for ordinal in ordinals}
    return Order(
        invoke_id=assistant.new_id("t-", request_id),
        command_id=assistant.new_id("c-", request_id),
        region=region,
        at=call.now,
        script=script,
        repeat_mode=mode,
        user=call.text("Username") or ("root" if call.text("Type") == _SHELL else "System"),
        ordinals=tuple(ordinals),
        dead=frozenset(o for o in ordinals if status[o] != BaseStatus.RUNNING),
        group=call.text("ResourceGroupId"),
        tags=tags,
        launcher=call.text("Launcher"),
        termination_mode=call.text("TerminationMode") or contract.COMMAND_TERMINATIONS[0],
    )


def _named(order: Order) -> Body:
    return {"CommandId": order.command_id, "InvokeId": order.invoke_id}


def _kind(call: Context) -> str:
    kind = call.required("Type")
    if kind not in contract.COMMAND_TYPES:
        raise Refusal("InvalidCmdType.NotFound")
    for name, (most, code) in contract.COMMAND_CHARS_MAX.items():
        if len(call.text(name)) > most:
            raise Refusal(code)
    if call.text("TerminationMode") not in {"", *contract.COMMAND_TERMINATIONS}:
        raise Refusal("InvalidTerminationMode.NotFound")
    return kind


def _mode(call: Context) -> str:
    """Return RepeatMode; with a Frequency always Period."""
    if call.text("Frequency"):
        return "Period"
    mode = call.text("RepeatMode") or "Once"
    if mode not in contract.COMMAND_REPEATS:
        raise Refusal("InvalidRepeatMode.NotFound")
    if mode == "Period":
        raise Refusal("MissingParam.Frequency")
    return mode


def _script(call: Context) -> str:
    """Return the text of the command with its parameters filled in.

    Other encodings than Base64 count as plain text: documented so. The limit is on the Base64 text.
    """
    content = call.required("CommandContent")
    encoded = call.text("ContentEncoding").lower() == "base64"
    whole = content.encode() if encoded else base64.b64encode(content.encode())
    parameters = base64.b64encode(call.text("Parameters").encode())
    if len(whole) + len(parameters) > contract.COMMAND_BYTES_MAX:
        raise Refusal("CmdContent.ExceedLimit")
    if not encoded:
        return _filled(call, content)
    try:
        return _filled(call, base64.b64decode(content, validate=True).decode())
    except (binascii.Error, ValueError):
        raise Refusal("InvalidParameter.CommandContent") from None


def _filled(call: Context, script: str) -> str:
    """Replace `{{name}}` with the values of `Parameters`, or with an empty text."""
    given = _parameters(call)
    if not call.flag("EnableParameter"):
        if given:
            raise Refusal("Parameter.Disabled")
        return script
    if not given.keys() <= {name.lower() for name in _PARAMETER.findall(script)}:
        raise Refusal("Parameter.NotMatched")
    return _PARAMETER.sub(lambda match: given.get(match[1].lower(), ""), script)


def _parameters(call: Context) -> dict[str, str]:
    """Return `Parameters`, a JSON object of texts, by lower-case name."""
    text = call.text("Parameters")
    try:
        given = msgspec.json.decode(text, type=dict[str, str]) if text else {}
    except (msgspec.MsgspecError, UnicodeError):
        raise Refusal("InvalidParameter.Parameters") from None
    if len(given) > contract.COMMAND_PARAMETERS_MAX:
        raise Refusal("ParameterCount.ExceedLimit")
    if any(len(name) > contract.COMMAND_PARAMETER_CHARS_MAX for name in given):
        raise Refusal("ParameterKey.ExceedLimit")
    return {name.lower(): value for name, value in given.items()}


def _token(call: Context) -> str:
    token = call.text("ClientToken")
    if not token.isascii() or len(token) > contract.CLIENT_TOKEN_CHARS_MAX:
        raise Refusal("InvalidClientToken.Malformed")
    return token


def _ids(call: Context, region: str) -> list[str]:
    """Return the target instances: those named, or those with the tags."""
    ids = wire.numbered(call.params, "InstanceId")
    tags = filters.resource_tags(call.params)
    if ids and tags:
        raise Refusal("InvalidResourceTag.ConflictWithInstanceIds")
    if tags:
        ids = _tagged(call, region, tags)
    if not any(ids):
        raise Refusal("MissingParam.InstanceId")
    if len(ids) > call.action.ids_max:
        raise Refusal("InstanceIds.ExceedLimit")
    return list(dict.fromkeys(ids))


def _tagged(call: Context, region: str, tags: Tags) -> list[str]:
    instances = call.cloud.instances
    wanted = filters.tagged(instances, tags)
    ids = [
        instances.ids.id_of(o)
        for o in instances.spans.get(region, ())
        if instances.base[o] != BaseStatus.RELEASED and wanted(o)
    ]
    if not ids:
        raise Refusal("InvalidResourceTag.InstanceNotFound")
    return ids


def _fit(call: Context, region: str, kind: str, instance: str) -> int:
    ordinal = call.cloud.instances.find(instance, region)
    if ordinal is None:
        raise Refusal("InvalidInstance.NotFound")
    if call.cloud.instances.shape_of(ordinal).windows is (kind == _SHELL):
        raise Refusal("InvalidInstance.NotMatch")
    return ordinal
