"""Other hands: what other operators and the cloud itself do to the fleet during a run.

Planned by the world on its heap, or done right before an intent leaves, where no look can see it in
time. Everything goes through the pretend cloud, so that the hidden ledger tells it too.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence

from rollout.core.running.journey import Phase
from rollout.emulator.cloud.instances import BaseStatus, OperationLock
from rollout.emulator.messages import Request
from rollout.model.time import MINUTE, SECOND, Duration, Instant
from rollout.sim.time.dice import Dice
from rollout.sim.time.heap import Time
from rollout.sim.world.record import Story
from rollout.sim.world.scenario import Hand, Interference

OTHER = "fleet-other"
LOITER_MS: Duration = 20 * SECOND
LOITERS_MAX = 60
"""How often a patient hand looks whether there is somebody to restart; then it gives up."""


def plan_all(story: Story, heap: Time) -> None:
    """Put the drifts that have a time on the heap."""
    for drift in story.scenario.drifts:
        if drift.before_call:
            continue
        patient = drift.hand is Hand.RESTARTED and drift.target % 4  # three of four
        one = _loiter if patient else _act_in_time
        act = functools.partial(_OF_MANY.get(drift.hand, one), story, drift, heap)
        heap.at(story.begun + drift.at_ms, act)


def act_before(story: Story, n: int, ids: Sequence[str], now: Instant) -> None:
    """Do what is to be done right before intent `n` leaves, to an instance it names, once."""
    if not ids or any(sent.n == n for sent in story.sent):
        return
    for drift in story.scenario.drifts:
        if drift.before_call == n:
            _act(story, drift, ids[drift.target % len(ids)], now)


def _run_elsewhere(story: Story, drift: Interference, heap: Time) -> None:
    """Another run rotates some of the same instances: it attaches the key and reboots them, one a
    second.
    """
    chosen = _share(story, drift)
    begun = heap.now
    for number, instance in enumerate(chosen):
        _act(story, drift, instance, begun)
        reboot = functools.partial(_reboot, story, drift, instance, heap)
        heap.at(begun + 3 * SECOND + number * SECOND, reboot)


def _reboot(story: Story, drift: Interference, instance: str, heap: Time) -> None:
    story.touched.setdefault(instance, []).append((heap.now, drift))
    _call(story, drift, "RebootInstance", {"InstanceId": instance}, heap.now)


def _unlist(story: Story, drift: Interference, heap: Time) -> None:
    """DescribeInstances leaves some out for a while, as if they were not there."""
    until = heap.now + drift.lasts_ms
    story.arrivals.unlisted.update(dict.fromkeys(_share(story, drift), until))
    story.count(f"hand {drift.hand}")


def _keep_busy(story: Story, drift: Interference, heap: Time) -> None:
    """An operation of the service keeps some busy for a while: they refuse any other."""
    instances, until = story.cloud.instances, heap.now + drift.lasts_ms
    for instance in _share(story, drift):
        ordinal = instances.find(instance)
        if ordinal is not None:
            instances.busy_until[ordinal] = until
    story.count(f"hand {drift.hand}")


_OF_MANY: Mapping[Hand, Callable[[Story, Interference, Time], None]] = {
    Hand.FOREIGN_RUN: _run_elsewhere,
    Hand.UNLISTED: _unlist,
    Hand.BUSY: _keep_busy,
}


def _share(story: Story, drift: Interference) -> list[str]:
    """Return the targets that a drift of many concerns."""
    dice = Dice(drift.target, "share")
    percent = dice.pick((10, 40, 100))
    return [instance for instance in _targets(story) if dice.chance(percent)]


def _act_in_time(story: Story, drift: Interference, heap: Time) -> None:
    targets = _targets(story)
    if drift.hand is Hand.RESTARTED:  # of most interest where the key waits for its boot
        instances = story.cloud.instances
        found = [(one, instances.find(one)) for one in targets]
        waiting = [n for n, o in found if o is not None and _waits(story, n, o)]
        targets = waiting[len(waiting) // 2 :] or targets  # the later ones wait longest
    if targets:
        _act(story, drift, targets[drift.target % len(targets)], heap.now)


def _loiter(story: Story, drift: Interference, heap: Time, left: int = LOITERS_MAX) -> None:
    """Restart who has waited for a permit so long that a boot now proves that the key is in force:
    it is met so rarely that nobody may be missed.
    """
    waiting = _long_attached(story, heap.now - story.scenario.settle_ms - MINUTE)
    if waiting:
        _act(story, drift, waiting[drift.target % len(waiting)], heap.now)
    elif left:
        again = functools.partial(_loiter, story, drift, heap, left - 1)
        heap.at(heap.now + LOITER_MS, again)


def _long_attached(story: Story, since: Instant) -> list[str]:
    """Targets that wait for their restart and were attached before `since`."""
    run = story.run
    if run is None:
        return []
    attached = [o for o, at in run.attached_at.items() if at < since]
    waiting = [o for o in attached if run.phase(o) is Phase.ATTACHED]
    return [run.layout.targets[ordinal].instance for ordinal in waiting]


def _targets(story: Story) -> list[str]:
    return [target.instance for target in story.plan.targets()]


def _waits(story: Story, instance: str, ordinal: int) -> bool:
    """The new key is on its record and not in force."""
    instances, pairs = story.cloud.instances, story.cloud.pairs.all
    record = instances.record[ordinal]
    name = story.wanted[instance].name
    return pairs[record].name == name and instances.guest[ordinal] != record


def _act(story: Story, drift: Interference, instance: str, now: Instant) -> None:
    ordinal = story.cloud.instances.find(instance)
    if ordinal is None:
        return
    region = story.cloud.instances.shape_of(ordinal).region.name
    story.touched.setdefault(instance, []).append((now, drift))
    story.count(f"hand {drift.hand}")
    match drift.hand:
        case Hand.KEY | Hand.ROTATED | Hand.FOREIGN_RUN:
            name = OTHER if drift.hand is Hand.KEY else story.wanted[instance].name
            ids = f'["{instance}"]'
            params = {"RegionId": region, "KeyPairName": name, "InstanceIds": ids}
            _call(story, drift, "AttachKeyPair", params, now)
        case Hand.GONE:
            story.cloud.instances.put(ordinal, BaseStatus.RELEASED, now)
        case Hand.STOPPED:
            _call(story, drift, "StopInstance", {"InstanceId": instance}, now)
        case Hand.RESTARTED:
            _call(story, drift, "RebootInstance", {"InstanceId": instance}, now)
        case Hand.LOCKED:
            story.cloud.instances.set_lock(ordinal, OperationLock.SECURITY)
        case Hand.HANGS:
            story.cloud.instances.put(ordinal, BaseStatus.STARTING, now)
        case Hand.WINDOWS:
            _becomes_windows(story, region, ordinal)
        case Hand.KEY_PAIR_REPLACED:
            _replace_key_pair(story, region, story.wanted[instance].name, now)
        case Hand.UNLISTED | Hand.BUSY:
            raise ValueError(drift.hand)


def _call(
    story: Story, drift: Interference, action: str, params: dict[str, str], now: Instant
) -> None:
    reply = story.cloud.handle(Request(action, params), now)
    story.foreign[reply.request_id] = drift


def _becomes_windows(story: Story, region: str, ordinal: int) -> None:
    """Somebody changed its system disk: the same id, another OS."""
    instances = story.cloud.instances
    windows = [o for o in instances.spans[region] if instances.shape_of(o).windows]
    if windows:
        instances.set_shape(ordinal, instances.shape[windows[0]])


def _replace_key_pair(story: Story, region: str, name: str, now: Instant) -> None:
    """Deleted and created anew under its name, with another key."""
    pairs = story.cloud.pairs
    pair = pairs.find(region, name)
    other = pairs.find(region, OTHER)
    if pair is not None and other is not None:
        pairs.delete(pair)
        pairs.add(region, name, other.body, now)
        story.keys_replaced = True
