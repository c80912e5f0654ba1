"""AttachKeyPair and DetachKeyPair: they change the record at once and the guest at its next boot.

Edition `seed` answers AttachKeyPair as its page prints it: RequestId only, and one bad instance
refuses the whole call.
"""

from collections.abc import Callable, Mapping
from typing import Final

import msgspec

from rollout.ecs import contract
from rollout.ecs.contract import ATTACH_IDS_MAX
from rollout.emulator.actions.context import Context
from rollout.emulator.cloud import columns
from rollout.emulator.cloud.keypairs import NONE, KeyPair
from rollout.emulator.cloud.ledger import Effect
from rollout.emulator.cloud.lifecycle import BaseStatus
from rollout.emulator.cloud.shapes import Shape
from rollout.emulator.messages import Refusal

Body = Mapping[str, object]

_SETTLED: Final = frozenset({BaseStatus.RUNNING, BaseStatus.STOPPED})


def attach_key_pair(call: Context) -> Body:
    """Bind one key pair to up to 50 instances and replace the former one."""
    region, pair, ids = _subject(call)
    passed, failed = _judged(call, region, pair, ids)
    _refuse_batch(call, failed)
    _write(call, region, pair.number, passed)
    return {} if call.seed_edition else _results(call, pair, ids, failed)


def detach_key_pair(call: Context) -> Body:
    """Remove the key pair from the record; password login is on again after the next boot."""
    region, pair, ids = _subject(call)
    passed, failed = _judged(call, region, pair, ids)
    _refuse_batch(call, failed)
    record = call.cloud.instances.record
    _write(call, region, NONE, [o for o in passed if record[o] == pair.number])
    return _results(call, pair, ids, failed)


def _subject(call: Context) -> tuple[str, KeyPair, list[str]]:
    """Read the parameters in the order in which the service reports errors."""
    region = call.region()
    name = call.required("KeyPairName")
    ids = call.json_ids(
        "InstanceIds",
        ATTACH_IDS_MAX,
        too_many="InstanceKeyPairLimitExceeded",
        malformed="InvalidInstanceIds.ValueNotSupported",
    )
    if not call.may(region, instances=ids, key=name):
        # The page has another cause of its first code: the caller may not use this resource.
        raise call.missing("RegionId") if call.seed_edition else Refusal("Forbidden.RAM")
    return region, call.key_pair(region, name), ids


def _judged(
    call: Context, region: str, pair: KeyPair, ids: list[str]
) -> tuple[list[int], dict[str, str]]:
    """Return the ordinals of the instances that pass, and the code of each id that does not.

    Facts of the shape are checked once per shape, and a batch without any refusal, the common case,
    is not checked one by one.
    """
    instances = call.cloud.instances
    found = instances.find_all(ids, region)
    known = [ordinal for ordinal in found if ordinal is not None]
    numbers = set(columns.reader(known)(instances.shape))
    by_shape = {n: _why_not_shape(call, instances.shapes.values[n]) for n in numbers}
    plain = not any(by_shape.values()) and not call.cloud.switches.attach_again_refused
    if plain and len(known) == len(ids) and instances.all_idle(known):
        return known, {}
    passed, failed = [], {}
    why_not_state = _judge_of_states(call, pair)
    for instance, ordinal in zip(ids, found, strict=True):
        code = (
            "InvalidInstanceId.NotFound"
            if ordinal is None
            else by_shape[instances.shape[ordinal]] or why_not_state(ordinal)
        )
        if code is not None:
            failed[instance] = code
        elif ordinal is not None:
            passed.append(ordinal)
    return passed, failed


def _why_not_shape(call: Context, shape: Shape) -> str | None:
    """Return the code that refuses every instance of this shape."""
    if shape.windows:
        return "DependencyViolation.WindowsInstance"
    attaches = call.action.name == "AttachKeyPair" and not call.seed_edition
    return "DependencyViolation.IoOptimize" if attaches and not shape.io_optimized else None


def _judge_of_states(call: Context, pair: KeyPair) -> Callable[[int], str | None]:
    """Return a function to the code that refuses an instance now. The old edition has none."""
    switches, instances, now = call.cloud.switches, call.cloud.instances, call.now
    lock, base, moves, record = instances.lock, instances.base, instances.moves, instances.record
    locked_stay_out = not switches.attach_locked
    moving_stay_out = not switches.attach_transitional
    refused_again = switches.attach_again_refused and call.action.name == "AttachKeyPair"

    def why_not(ordinal: int) -> str | None:
        if locked_stay_out and lock[ordinal]:
            return switches.attach_lock_code
        if moving_stay_out:
            if instances.is_busy(ordinal, now):
                return switches.attach_state_code
            status = instances.status(ordinal, now) if ordinal in moves else base[ordinal]
            if status not in _SETTLED:
                return switches.attach_state_code
        if refused_again and record[ordinal] == pair.number:
            return "InvalidParameter"
        return None

    return (lambda _: None) if call.seed_edition else why_not


def _refuse_batch(call: Context, failed: Mapping[str, str]) -> None:
    """Refuse the whole call for one instance if the edition or a switch requires it."""
    if not failed:
        return
    switches = call.cloud.switches
    for code, switch in (  # in the order of the checks
        ("InvalidInstanceId.NotFound", switches.unknown_id_refuses_batch),
        ("DependencyViolation.WindowsInstance", switches.windows_refuses_batch),
    ):
        if (switch or call.seed_edition) and code in failed.values():
            raise Refusal(code)


def _write(call: Context, region: str, number: int, ordinals: list[int]) -> None:
    """Write the records, count bound instances, and write the effects into the hidden ledger."""
    pairs = call.cloud.pairs.all
    formers = call.cloud.instances.attach(ordinals, number, call.now)
    pairs[number].bound += len(ordinals)
    for former in set(formers):  # a batch has few former key pairs
        pairs[former].bound -= formers.count(former)
    effect = Effect.ATTACH if number else Effect.DETACH
    keys = [number] * len(ordinals) if number else formers
    call.cloud.ledger.write_all(effect, call.now, region, call.number, ordinals, keys)


def _results(call: Context, pair: KeyPair, ids: list[str], failed: Mapping[str, str]) -> Body:
    """Return the body of today's edition: one item per id under HTTP 200."""
    total, count = len(ids), len(failed)
    body: dict[str, object] = {"KeyPairName": pair.name, "TotalCount": total, "FailCount": count}
    if not failed and not call.cloud.switches.loose_types:
        return {**body, "Results": {"Result": _all_well(ids)}}
    items = [_failed(call, i, failed[i]) if i in failed else _well(i) for i in ids]
    if call.cloud.switches.loose_types:
        items = [{**item, "Success": str(item["Success"]).lower()} for item in items]
        body |= {"TotalCount": str(total), "FailCount": str(count)}
    return {**body, "Results": {"Result": items}}


def _all_well(ids: list[str]) -> msgspec.Raw:
    """Return the JSON of `_well` for each id. An id that was found needs no escape: see `rows`."""
    rest = '","Code":"200","Message":"successful","Success":true}'
    between = rest + ',{"InstanceId":"'
    return msgspec.Raw(f'[{{"InstanceId":"{between.join(ids)}{rest}]'.encode())


def _well(instance: str) -> dict[str, object]:
    return {"InstanceId": instance, "Code": "200", "Message": "successful", "Success": True}


def _failed(call: Context, instance: str, code: str) -> dict[str, object]:
    message = contract.error(call.action.name, code).message.replace("%s", "InstanceIds")
    return {"InstanceId": instance, "Code": code, "Message": message, "Success": False}
