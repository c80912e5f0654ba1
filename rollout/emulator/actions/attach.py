"""AttachKeyPair and DetachKeyPair: they change the record at once and the guest at its next boot.

Edition `seed` answers AttachKeyPair as its page prints it: RequestId only, and one bad instance
refuses the whole call.
"""

from collections.abc import Mapping

from rollout.ecs import contract
from rollout.ecs.contract import ATTACH_IDS_MAX
from rollout.emulator.actions.call import Call
from rollout.emulator.instances import Status
from rollout.emulator.keypairs import NONE, KeyPair
from rollout.emulator.ledger import Effect
from rollout.emulator.messages import Refusal

Body = Mapping[str, object]

_REFUSES_BATCH = {
    "DependencyViolation.WindowsInstance": "windows_refuses_batch",
    "InvalidInstanceId.NotFound": "unknown_id_refuses_batch",
}


def attach_key_pair(call: Call) -> Body:
    """Bind one key pair to up to 50 instances; a former one is replaced."""
    region, pair, ids = _subject(call)
    results = [(instance, _why_not(call, region, pair, instance)) for instance in ids]
    _refuse_batch(call, [code for _, code in results if code])
    for instance, code in results:
        if code is None:
            _attach(call, region, pair.number, Effect.ATTACH, instance)
    return {} if call.seed_edition else _results(call, pair, results)


def detach_key_pair(call: Call) -> Body:
    """Take the key pair off the record; password login comes back at the next boot."""
    region, pair, ids = _subject(call)
    results = [(instance, _why_not(call, region, pair, instance)) for instance in ids]
    _refuse_batch(call, [code for _, code in results if code])
    for instance, code in results:
        ordinal = call.cloud.instances.find(instance, region)
        bound = ordinal is not None and call.cloud.instances.record[ordinal] == pair.number
        if code is None and bound:
            _attach(call, region, NONE, Effect.DETACH, instance)
    return _results(call, pair, results)


def _subject(call: Call) -> tuple[str, KeyPair, list[str]]:
    """Read the parameters in the order in which the service complains about them."""
    region = call.region()
    name = call.required("KeyPairName")
    ids = call.json_ids(
        "InstanceIds",
        ATTACH_IDS_MAX,
        too_many="InstanceKeyPairLimitExceeded",
        malformed="InvalidInstanceIds.ValueNotSupported",
    )
    call.demand(region, instances=ids, key=name)
    return region, call.key_pair(region, name), ids


def _why_not(call: Call, region: str, pair: KeyPair, instance: str) -> str | None:
    """The code that keeps this instance out; None where nothing does."""
    switches, instances = call.cloud.switches, call.cloud.instances
    ordinal = instances.find(instance, region)
    if ordinal is None:
        return "InvalidInstanceId.NotFound"
    shape = instances.shape_of(ordinal)
    if shape.windows:
        return "DependencyViolation.WindowsInstance"
    if call.seed_edition:
        return None
    if not shape.io_optimized and call.action.name == "AttachKeyPair":
        return "DependencyViolation.IoOptimize"
    if instances.lock[ordinal] and not switches.attach_locked:
        return "InstanceLockedForSecurity"
    settled = instances.status(ordinal, call.now) in {Status.RUNNING, Status.STOPPED}
    if not settled and not switches.attach_transitional:
        return "IncorrectInstanceStatus"
    again = instances.record[ordinal] == pair.number and call.action.name == "AttachKeyPair"
    return "InvalidParameter" if again and switches.attach_again_refused else None


def _refuse_batch(call: Call, codes: list[str]) -> None:
    """Refuse the whole call for one instance where the edition or a switch says so."""
    whole = ("InvalidInstanceId.NotFound", "DependencyViolation.WindowsInstance")
    for code in whole:  # in the order of the checks
        asked = call.seed_edition or getattr(call.cloud.switches, _REFUSES_BATCH[code])
        if asked and code in codes:
            raise Refusal(code)


def _attach(call: Call, region: str, number: int, effect: Effect, instance: str) -> None:
    """Write the record, count what is bound, and leave the effect in the hidden ledger."""
    cloud = call.cloud
    ordinal = cloud.instances.find(instance, region)
    if ordinal is None:
        return
    former = cloud.instances.attach(ordinal, number, call.now)
    for pair, change in ((former, -1), (number, 1)):
        if pair != NONE:
            cloud.pairs.all[pair].bound += change
    call.leave(effect, region, ordinal=ordinal, key=number or former)


def _results(call: Call, pair: KeyPair, results: list[tuple[str, str | None]]) -> Body:
    """The body of today's edition: one item per id under HTTP 200."""
    loose = call.cloud.switches.loose_types
    failed = sum(code is not None for _, code in results)
    items = [_item(call, instance, code) for instance, code in results]
    if loose:
        items = [{**item, "Success": str(item["Success"]).lower()} for item in items]
    return {
        "KeyPairName": pair.name,
        "TotalCount": str(len(results)) if loose else len(results),
        "FailCount": str(failed) if loose else failed,
        "Results": {"Result": items},
    }


def _item(call: Call, instance: str, code: str | None) -> dict[str, object]:
    if code is None:
        return {
            "InstanceId": instance,
            "Code": "200",
            "Message": "successful",
            "Success": True,
        }
    message = contract.error(call.action.name, code).message.replace("%s", "InstanceIds")
    return {"InstanceId": instance, "Code": code, "Message": message, "Success": False}
