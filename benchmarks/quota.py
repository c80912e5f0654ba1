"""Measure the governor: it finds a hidden quota, uses its share, and leaves the rest to others.

In virtual time, the real client and governor send read-only calls on one lane of the emulated
cloud, as fast as they may. They run alone for two minutes; then another tool calls at the reserved
share. The result covers the time from the third minute on.
"""

from __future__ import annotations

import asyncio

from benchmarks import world
from benchmarks.report import Row, Size
from rollout.ecs.governor import Governor
from rollout.emulator.cloud.quotas import Foreign, Quota, Quotas, QuotaSettings, Usage
from rollout.emulator.cloud.switches import Switches
from rollout.model import limits
from rollout.model.observation import Described
from rollout.model.outcome import Refused
from rollout.sim.time import loop as virtual

_QUOTAS = {Size.TINY: (120,), Size.DEFAULT: (60, 300, 1_000), Size.FULL: (60, 300, 1_000, 6_000)}
_REGION = world.REGIONS[0]
_ACTION = "DescribeInstances"
_LEARNING_MS = 120_000
_SENDERS = 64
_MINUTES = {Size.TINY: 2, Size.DEFAULT: 10, Size.FULL: 30}


def run(size: Size) -> list[Row]:
    """Return use, throttled calls and the other client's accepted calls for each hidden quota."""
    rows: list[Row] = []
    for per_minute in _QUOTAS[size]:
        found = virtual.run(_lane, per_minute, _MINUTES[size])
        what = f"quota {per_minute:,} a minute"
        rows += [
            Row(f"{what}: use of our share", found["used"], least=0.95),
            Row(f"{what}: throttled of all our calls", found["throttled"], most=0.02),
            Row(f"{what}: other client's calls accepted", found["foreign"], least=0.99),
        ]
    return rows


async def _lane(per_minute: int, minutes: int) -> dict[str, float]:
    clock = virtual.VirtualClock()
    leave = limits.LEAVE_QUOTA_PPM / 1_000_000
    begin = clock.now()
    foreign = Foreign(int(per_minute * leave), _ACTION, _REGION, from_ms=begin + _LEARNING_MS)
    quotas = Quotas(QuotaSettings((Quota(per_minute, _ACTION),), (foreign,)))
    near = world.InProcess(world.linux_fleet(20), clock, Switches(), quotas)
    client = near.client(Governor(clock))
    sent = {"accepted": 0, "throttled": 0}
    end = begin + _LEARNING_MS + minutes * 60_000

    async def send() -> None:
        while clock.now() < end:
            seen = await client.describe_instances(_REGION, {"InstanceIds": "[]"})
            if not begin + _LEARNING_MS <= clock.now() < end:
                continue
            if isinstance(seen, Described):
                sent["accepted"] += 1
            elif isinstance(seen, Refused) and seen.code.startswith("Throttling"):
                sent["throttled"] += 1

    async with asyncio.TaskGroup() as tasks:
        for _ in range(_SENDERS):
            tasks.create_task(send())
    share = (1 - leave) * per_minute * minutes
    usage = quotas.usage(end)
    return {
        "used": sent["accepted"] / share,
        "throttled": sent["throttled"] / max(1, sum(sent.values())),
        "foreign": _luck(usage),
    }


def _luck(usage: list[Usage]) -> float:
    """Return the share of the other client's calls that were accepted."""
    accepted = sum(one.foreign_accepted for one in usage)
    return accepted / max(1, accepted + sum(one.foreign_refused for one in usage))
