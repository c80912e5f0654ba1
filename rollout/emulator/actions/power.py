"""Reboot, start and stop of one instance or up to 100: six actions.

All six check permission, lock, status and dry run in this order, then begin the transition. The
batch actions have a result per instance with `SuccessFirst`, and are all or none otherwise.
"""

from collections.abc import Mapping
from typing import Final

import msgspec

from rollout.ecs import contract
from rollout.emulator.actions import transitions
from rollout.emulator.actions.context import Context
from rollout.emulator.cloud.ledger import Effect
from rollout.emulator.cloud.lifecycle import STATUS_NAMES, BaseStatus, OperationLock, TransitionKind
from rollout.emulator.messages import Refusal

Body = Mapping[str, object]


class Power(msgspec.Struct, frozen=True):
    """Reboot, start or stop.

    `entering`: the status that the batch actions report as CurrentStatus, Stopping for a reboot as
    in the documented sample.
    """

    kind: TransitionKind
    effect: Effect
    legal_from: BaseStatus
    entering: BaseStatus
    arrears_code: str


REBOOT: Final = Power(
    TransitionKind.REBOOT,
    Effect.REBOOT,
    BaseStatus.RUNNING,
    BaseStatus.STOPPING,
    "InstanceExpiredOrInArrears",
)
START: Final = Power(
    TransitionKind.START, Effect.START, BaseStatus.STOPPED, BaseStatus.STARTING, "InstanceExpired"
)
STOP: Final = Power(
    TransitionKind.STOP,
    Effect.STOP,
    BaseStatus.RUNNING,
    BaseStatus.STOPPING,
    "InstanceExpiredOrInArrears",
)


def reboot_instance(call: Context) -> Body:
    """Restart one Running instance in place."""
    return _one(call, REBOOT)


def reboot_instances(call: Context) -> Body:
    """Restart up to 100 Running instances."""
    return _many(call, REBOOT)


def start_instance(call: Context) -> Body:
    """Start one Stopped instance."""
    return _one(call, START)


def start_instances(call: Context) -> Body:
    """Start up to 100 Stopped instances."""
    return _many(call, START)


def stop_instance(call: Context) -> Body:
    """Stop one Running instance."""
    return _one(call, STOP)


def stop_instances(call: Context) -> Body:
    """Stop up to 100 Running instances."""
    return _many(call, STOP)


def _one(call: Context, power: Power) -> Body:
    instance = call.required("InstanceId")
    ordinal = call.cloud.instances.find(instance)
    region = "*" if ordinal is None else call.cloud.instances.shape_of(ordinal).region.name
    call.demand(region, instances=[instance])
    if refusal := _why_not(call, power, instance, ordinal):
        raise refusal
    if call.flag("DryRun"):
        raise Refusal("DryRunOperation", status=call.cloud.switches.dry_run_status)
    transitions.begin(call, power.kind, power.effect, region, instance)
    return {}


def _many(call: Context, power: Power) -> Body:
    region = call.region()
    ids = call.numbered_ids()
    if not ids:
        raise _no_ids(call)
    call.demand(region, instances=ids)
    success_first = call.text("BatchOptimization") == "SuccessFirst"
    if success_first and call.flag("DryRun"):
        raise Refusal("DRYRUN.SUCCESS")  # for any ids, as documented
    find = call.cloud.instances.find
    refusals = {i: _why_not(call, power, i, find(i, region)) for i in ids}
    if not success_first:
        _all_or_none(refusals)
        if call.flag("DryRun"):
            raise Refusal("DRYRUN.SUCCESS")
    before = {i: _status_name(call, region, i) for i in ids}
    for instance in [i for i, refusal in refusals.items() if refusal is None]:
        transitions.begin(call, power.kind, power.effect, region, instance)
    items = [_item(call, power, i, refusal, before[i]) for i, refusal in refusals.items()]
    return {"InstanceResponses": {"InstanceResponse": items}}


def _why_not(call: Context, power: Power, instance: str, ordinal: int | None) -> Refusal | None:
    """Return the code that refuses an instance; None if there is none."""
    if ordinal is None:
        return Refusal("InvalidInstanceId.NotFound")
    lock = call.cloud.instances.lock[ordinal]
    if lock & OperationLock.SECURITY:
        return Refusal("InstanceLockedForSecurity")
    if lock:
        return Refusal(power.arrears_code, _how_paid(call, power, ordinal))
    instances = call.cloud.instances
    if instances.status(ordinal, call.now) != power.legal_from or instances.is_busy(
        ordinal, call.now
    ):
        return Refusal("IncorrectInstanceStatus")
    if call.cloud.faults.has("disk_error", instance):
        return Refusal("DiskError")
    if power is START and call.cloud.faults.has("no_stock", instance):
        return Refusal("OperationDenied.NoStock")
    return None


def _how_paid(call: Context, power: Power, ordinal: int) -> str:
    """Return the refusal of a start after expiry; its message depends on the charge type."""
    if power is not START:
        return ""
    charge_type = call.cloud.instances.shape_of(ordinal).charge_type
    return "prePaid" if charge_type == "PrePaid" else "postPaid"


def _no_ids(call: Context) -> Refusal:
    """Return the refusal for a call without ids: an empty id has its own row."""
    if any(name.startswith("InstanceId.") for name in call.params):
        message = "InstanceId should not be null."
        return Refusal("InvalidInstanceId.NotFound", message=message, status=403)
    return call.missing("InstanceId")


def _all_or_none(refusals: Mapping[str, Refusal | None]) -> None:
    for refusal in refusals.values():
        if refusal is not None:
            raise refusal


def _status_name(call: Context, region: str, instance: str) -> str:
    ordinal = call.cloud.instances.find(instance, region)
    return "" if ordinal is None else STATUS_NAMES[call.cloud.instances.status(ordinal, call.now)]


def _item(
    call: Context, power: Power, instance: str, refusal: Refusal | None, before: str
) -> dict[str, object]:
    if refusal is None:
        return {
            "InstanceId": instance,
            "Code": "200",
            "Message": "success",
            "PreviousStatus": before,
            "CurrentStatus": STATUS_NAMES[power.entering],
        }
    return {
        "InstanceId": instance,
        "Code": refusal.code,
        "Message": contract.error(call.action.name, refusal.code, subject=refusal.subject).message,
        "PreviousStatus": before,
        "CurrentStatus": before,
    }
