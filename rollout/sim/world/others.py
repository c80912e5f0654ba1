"""External changes: what other operators and the cloud itself do to the fleet during a run.

Scheduled by the world, or done right before an intent is sent, too late to be observed. All changes
go through the emulated cloud, so that the hidden ledger contains them.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence

from rollout.core.running.journey import Phase
from rollout.emulator.cloud.lifecycle import BaseStatus, OperationLock
from rollout.emulator.messages import Request
from rollout.model.time import MINUTE, SECOND, Duration, Instant
from rollout.sim.time.dice import Dice
from rollout.sim.time.heap import Time
from rollout.sim.world.outages import Outage
from rollout.sim.world.record import RunRecord
from rollout.sim.world.scenario import ExternalChange, Interference

OTHER = "fleet-other"
NEVER: Instant = 1 << 62
"""The end of an outage of a released instance."""
LOITER_MS: Duration = 20 * SECOND
LOITERS_MAX = 60
"""Attempts to find an instance to restart."""


def plan_all(record: RunRecord, heap: Time) -> None:
    """Schedule the external changes that have a time."""
    for drift in record.scenario.drifts:
        if drift.before_call:
            continue
        patient = drift.change is ExternalChange.RESTARTED and drift.target % 4  # three of four
        one = _loiter if patient else _act_in_time
        act = functools.partial(_OF_MANY.get(drift.change, one), record, drift, heap)
        heap.at(record.begun + drift.at_ms, act)


def plan_outages(record: RunRecord, heap: Time) -> None:
    """Schedule the outages of members that are no targets; those before the run begin now. Their
    true intervals are in the record.
    """
    members = [out.instance for out in record.plan.exclusions if out.groups]
    for one in record.scenario.outages if members else ():
        name = members[one.member % len(members)]
        act = functools.partial(_go_down, record, name, one, heap)
        heap.at(max(heap.now, record.begun + one.at_ms), act)


def _go_down(record: RunRecord, name: str, outage: Outage, heap: Time) -> None:
    instances, ordinal = record.cloud.instances, record.cloud.instances.find(name)
    if ordinal is None or any(heap.now <= until for _, until in record.outages.get(name, ())):
        return
    status = BaseStatus.RELEASED if outage.released else BaseStatus.STARTING
    instances.put(ordinal, status, heap.now)
    until = NEVER if outage.released else heap.now + outage.lasts_ms
    record.outages.setdefault(name, []).append((heap.now, until))
    if not outage.released:
        heap.at(until, lambda: instances.put(ordinal, BaseStatus.RUNNING, heap.now))


def act_before(record: RunRecord, n: int, ids: Sequence[str], now: Instant) -> None:
    """Make the external changes due right before intent `n` is sent, to one of its instances."""
    if not ids or any(sent.n == n for sent in record.sent):
        return
    for drift in record.scenario.drifts:
        if drift.before_call == n:
            _act(record, drift, ids[drift.target % len(ids)], now)


def _run_elsewhere(record: RunRecord, drift: Interference, heap: Time) -> None:
    """Let another run rotate some of the same instances: attach the key, reboot one per second."""
    chosen = _share(record, drift)
    begun = heap.now
    for number, instance in enumerate(chosen):
        _act(record, drift, instance, begun)
        reboot = functools.partial(_reboot, record, drift, instance, heap)
        heap.at(begun + 3 * SECOND + number * SECOND, reboot)


def _reboot(record: RunRecord, drift: Interference, instance: str, heap: Time) -> None:
    record.touched.setdefault(instance, []).append((heap.now, drift))
    _call(record, drift, "RebootInstance", {"InstanceId": instance}, heap.now)


def _unlist(record: RunRecord, drift: Interference, heap: Time) -> None:
    """Let DescribeInstances omit some instances for a while."""
    until = heap.now + drift.lasts_ms
    record.arrivals.unlisted.update(dict.fromkeys(_share(record, drift), until))
    record.count(f"hand {drift.change}")


def _keep_busy(record: RunRecord, drift: Interference, heap: Time) -> None:
    """Keep some instances busy for a while: they refuse other operations."""
    instances, until = record.cloud.instances, heap.now + drift.lasts_ms
    for instance in _share(record, drift):
        ordinal = instances.find(instance)
        if ordinal is not None:
            instances.busy_until[ordinal] = until
    record.count(f"hand {drift.change}")


_OF_MANY: Mapping[ExternalChange, Callable[[RunRecord, Interference, Time], None]] = {
    ExternalChange.FOREIGN_RUN: _run_elsewhere,
    ExternalChange.UNLISTED: _unlist,
    ExternalChange.BUSY: _keep_busy,
}


def _share(record: RunRecord, drift: Interference) -> list[str]:
    """Return the targets of a change of many instances."""
    dice = Dice(drift.target, "share")
    percent = dice.pick((10, 40, 100))
    return [instance for instance in _targets(record) if dice.chance(percent)]


def _act_in_time(record: RunRecord, drift: Interference, heap: Time) -> None:
    targets = _targets(record)
    if drift.change is ExternalChange.RESTARTED:  # of most interest while the key waits for a boot
        instances = record.cloud.instances
        found = [(one, instances.find(one)) for one in targets]
        waiting = [n for n, o in found if o is not None and _waits(record, n, o)]
        targets = waiting[len(waiting) // 2 :] or targets  # later ones wait longest
    if targets:
        _act(record, drift, targets[drift.target % len(targets)], heap.now)


def _loiter(record: RunRecord, drift: Interference, heap: Time, left: int = LOITERS_MAX) -> None:
    """Restart an instance that has waited for a permit so long that a boot now proves the key: the
    case is too rare to miss one.
    """
    waiting = _long_attached(record, heap.now - record.scenario.settle_ms - MINUTE)
    if waiting:
        _act(record, drift, waiting[drift.target % len(waiting)], heap.now)
    elif left:
        again = functools.partial(_loiter, record, drift, heap, left - 1)
        heap.at(heap.now + LOITER_MS, again)


def _long_attached(record: RunRecord, since: Instant) -> list[str]:
    """Return targets that wait for their restart and were attached before `since`."""
    run = record.run
    if run is None:
        return []
    attached = [o for o, at in run.attached_at.items() if at < since]
    waiting = [o for o in attached if run.phase(o) is Phase.ATTACHED]
    return [run.layout.targets[ordinal].instance for ordinal in waiting]


def _targets(record: RunRecord) -> list[str]:
    return [target.instance for target in record.plan.targets()]


def _waits(record: RunRecord, instance: str, ordinal: int) -> bool:
    """Return whether the new key is on record and not in force."""
    instances, pairs = record.cloud.instances, record.cloud.pairs.all
    on_record = instances.record[ordinal]
    name = record.wanted[instance].name
    return pairs[on_record].name == name and instances.guest[ordinal] != on_record


def _act(record: RunRecord, drift: Interference, instance: str, now: Instant) -> None:
    ordinal = record.cloud.instances.find(instance)
    if ordinal is None:
        return
    region = record.cloud.instances.shape_of(ordinal).region.name
    record.touched.setdefault(instance, []).append((now, drift))
    record.count(f"hand {drift.change}")
    match drift.change:
        case ExternalChange.KEY | ExternalChange.ROTATED | ExternalChange.FOREIGN_RUN:
            name = OTHER if drift.change is ExternalChange.KEY else record.wanted[instance].name
            ids = f'["{instance}"]'
            params = {"RegionId": region, "KeyPairName": name, "InstanceIds": ids}
            _call(record, drift, "AttachKeyPair", params, now)
        case ExternalChange.GONE:
            record.cloud.instances.put(ordinal, BaseStatus.RELEASED, now)
        case ExternalChange.STOPPED:
            _call(record, drift, "StopInstance", {"InstanceId": instance}, now)
        case ExternalChange.RESTARTED:
            _call(record, drift, "RebootInstance", {"InstanceId": instance}, now)
        case ExternalChange.LOCKED:
            record.cloud.instances.set_lock(ordinal, OperationLock.SECURITY)
        case ExternalChange.HANGS:
            record.cloud.instances.put(ordinal, BaseStatus.STARTING, now)
        case ExternalChange.WINDOWS:
            _becomes_windows(record, region, ordinal)
        case ExternalChange.KEY_PAIR_REPLACED:
            _replace_key_pair(record, region, record.wanted[instance].name, now)
        case ExternalChange.UNLISTED | ExternalChange.BUSY:
            raise ValueError(drift.change)


def _call(
    record: RunRecord, drift: Interference, action: str, params: dict[str, str], now: Instant
) -> None:
    reply = record.cloud.handle(Request(action, params), now)
    record.foreign[reply.request_id] = drift


def _becomes_windows(record: RunRecord, region: str, ordinal: int) -> None:
    """Replace the system disk of an instance: the same id, another OS."""
    instances = record.cloud.instances
    windows = [o for o in instances.spans[region] if instances.shape_of(o).windows]
    if windows:
        instances.set_shape(ordinal, instances.shape[windows[0]])


def _replace_key_pair(record: RunRecord, region: str, name: str, now: Instant) -> None:
    """Delete a key pair and create it again with another key."""
    pairs = record.cloud.pairs
    pair = pairs.find(region, name)
    other = pairs.find(region, OTHER)
    if pair is not None and other is not None:
        pairs.delete(pair)
        pairs.add(region, name, other.body, now)
        record.keys_replaced = True
