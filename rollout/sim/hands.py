"""Other hands: what other operators and the cloud itself do to the fleet during a run.

Planned by the world on its heap, or done right before an intent leaves, where no look can see it in
time. Everything goes through the pretend cloud, so that the hidden ledger tells it too.
"""

from __future__ import annotations

import functools

from rollout.emulator.instances import Lock, Status
from rollout.emulator.messages import Request
from rollout.model.plan import Target
from rollout.model.time import Instant
from rollout.sim.heap import Heap
from rollout.sim.scenario import Drift, Hand
from rollout.sim.story import Story

OTHER = "fleet-other"


def plan_all(story: Story, heap: Heap) -> None:
    """Put the drifts that have a time on the heap."""
    for drift in story.scenario.drifts:
        if not drift.before_call:
            act = functools.partial(_act_now, story, drift, heap)
            heap.at(story.begun + drift.at_ms, act)


def act_before(story: Story, n: int, now: Instant) -> None:
    """Do what is to be done right before intent `n` leaves, once."""
    for drift in story.scenario.drifts:
        if drift.before_call == n and n not in [one.n for one in story.sent]:
            _act(story, drift, now)


def _act_now(story: Story, drift: Drift, heap: Heap) -> None:
    _act(story, drift, heap.now)


def _act(story: Story, drift: Drift, now: Instant) -> None:
    targets = [
        (cell.region, target)
        for wave in story.plan.waves
        for cell in wave.cells
        for batch in cell.batches
        for target in batch.targets
    ]
    if not targets:
        return
    region, target = targets[drift.target % len(targets)]
    ordinal = story.cloud.instances.find(target.instance)
    if ordinal is None:
        return
    story.touched.setdefault(target.instance, []).append((now, drift))
    story.count(f"hand {drift.hand}")
    match drift.hand:
        case Hand.KEY:
            ids = f'["{target.instance}"]'
            params = {"RegionId": region, "KeyPairName": OTHER, "InstanceIds": ids}
            _call(story, drift, "AttachKeyPair", params, now)
        case Hand.GONE:
            story.cloud.instances.put(ordinal, Status.RELEASED, now)
        case Hand.STOPPED:
            _call(story, drift, "StopInstance", _of(target), now)
        case Hand.RESTARTED:
            _call(story, drift, "RebootInstance", _of(target), now)
        case Hand.LOCKED:
            story.cloud.instances.lock[ordinal] = Lock.SECURITY
        case Hand.WINDOWS:
            _becomes_windows(story, region, ordinal)
        case Hand.KEY_PAIR_REPLACED:
            _replace_key_pair(story, region, now)


def _of(target: Target) -> dict[str, str]:
    return {"InstanceId": target.instance}


def _call(story: Story, drift: Drift, action: str, params: dict[str, str], now: Instant) -> None:
    reply = story.cloud.handle(Request(action, params), now)
    story.foreign[reply.request_id] = drift


def _becomes_windows(story: Story, region: str, ordinal: int) -> None:
    """Somebody changed its system disk: the same id, another OS."""
    instances = story.cloud.instances
    windows = [o for o in instances.spans[region] if instances.shape_of(o).windows]
    if windows:
        instances.shape[ordinal] = instances.shape[windows[0]]


def _replace_key_pair(story: Story, region: str, now: Instant) -> None:
    """Deleted and created anew under its name, with another key."""
    pairs = story.cloud.pairs
    name = story.plan.key_pair.name
    pair = pairs.find(region, name)
    other = pairs.find(region, OTHER)
    if pair is not None and other is not None:
        pairs.delete(pair)
        pairs.add(region, name, other.body, now)
        story.keys_replaced = True
