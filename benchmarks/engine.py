"""Measure a whole rotation with the engine and compare it with a plain script: CPU time, journal
size, API calls, makespan.

The rotation runs in one process, in virtual time, against the emulated cloud, whose CPU time is
included. The script uses the official SDK over loopback, against an emulator with a faster clock.
"""

from __future__ import annotations

import asyncio
import urllib.parse

from benchmarks import measure, servers, world
from benchmarks.peers import rotation as peer
from benchmarks.report import Row, Size
from rollout.ecs.governor import DOUBLE_EVERY_MS, RATE_START
from rollout.model import limits

BOOT_MS = 30_000
PEER_SPEED = 4
"""How much faster the clock of the script's emulator runs. The script's two seconds between polls
are divided by the same factor.
"""
_SIZES = {Size.TINY: (200, 50), Size.DEFAULT: (10_000, 200), Size.FULL: (10_000, 500)}
_MORE = {Size.TINY: (), Size.DEFAULT: (1_000,), Size.FULL: (1_000, 100_000)}
_PER_CPU_SECOND = {"single": 500, "batch": 2_000}
_JOURNAL_BYTES = {"single": 500, "batch": 300}
_GROWTH = 1.5
"""Upper bound for the CPU time per instance of a large fleet, relative to the reference fleet."""


def run(size: Size) -> list[Row]:
    """Return all figures of the engine."""
    instances, peer_instances = _SIZES[size]
    boot_ms = BOOT_MS // 10 if size is Size.TINY else BOOT_MS
    peer_calls = measure.in_child(
        "benchmarks.engine:peer_calls", size=peer_instances, boot_ms=boot_ms
    ).value
    rows = [Row("script with the official SDK, calls an instance", peer_calls)]
    for calls in ("single", "batch"):
        took = measure.in_child(
            "benchmarks.rotation:rotate", size=instances, calls=calls, boot_ms=BOOT_MS
        )
        rows += _rotation(calls, instances, peer_calls, took)
        each_s = took.value["cpu_s"] / instances
        for other in _MORE[size]:
            took = measure.in_child("benchmarks.rotation:rotate", size=other, calls=calls)
            other_s = took.value["cpu_s"] / other
            large = other > instances
            rows += [
                Row(
                    f"{calls}: {other:,} instances, rotated per CPU second",
                    1 / other_s,
                    least=_PER_CPU_SECOND[calls],
                    peak_mib=took.peak_mib,
                ),
                Row(
                    f"{calls}: CPU an instance at {other:,} to that at {instances:,}",
                    other_s / each_s,
                    most=_GROWTH if large else None,
                ),
            ]
    return rows


def _rotation(calls: str, size: int, peer_calls: float, took: measure.Measured) -> list[Row]:
    found = took.value
    each = sum(found["calls"].values()) / size
    caps, cold = bound_ms(size, found["cap"], calls)
    ratio = peer_calls / each
    return [
        Row(f"{calls}: {size:,} instances, done", found["done"], least=size, most=size),
        Row(
            f"{calls}: rotated per CPU second",
            size / found["cpu_s"],
            least=_PER_CPU_SECOND[calls],
            peak_mib=took.peak_mib,
        ),
        Row(f"{calls}: share of it that is the cloud's", found["cloud_s"] / found["cpu_s"]),
        Row(
            f"{calls}: journal an instance",
            found["journal_bytes"] / size,
            "B",
            most=_JOURNAL_BYTES[calls],
        ),
        Row(f"{calls}: calls an instance", each),
        Row(f"{calls}: script's calls to ours", ratio, least=1 if calls == "single" else 5),
        Row(f"{calls}: makespan", found["makespan_ms"] / 1000, "s"),
        Row(f"{calls}: makespan to the bound of caps alone", found["makespan_ms"] / caps),
        Row(
            f"{calls}: makespan to the bound of caps and a cold lane",
            found["makespan_ms"] / (caps + cold),
            most=1.05,
        ),
    ]


def bound_ms(size: int, cap: int, calls: str) -> tuple[int, float]:
    """Return the lower bound of a rotation's duration: the rounds of boots, and the lanes' cold
    start.

    The quota is unknown at first: a lane starts at `RATE_START` calls a minute and doubles. Permits
    are released in the order in which they were taken, so the last round waits as long as the first
    round waited for its lane.
    """
    tick = limits.OBSERVE_TICK_MS
    caps = -(-size // cap) * (-(-BOOT_MS // tick) * tick)
    in_call = 1 if calls == "single" else limits.RESTART_IDS_MAX
    left, pace, cold = cap / 2 / in_call - 1, RATE_START / 60_000, 0.0  # two regions; one at once
    while left > 0:
        step = min(DOUBLE_EVERY_MS, left / pace)
        left -= step * pace
        cold += step
        pace *= 2
    return caps, cold


def peer_calls(size: int, boot_ms: int) -> float:
    """Return the number of API calls per instance of the plain script. Runs in a child process."""
    settings = servers.Settings(size=size, boot_ms=boot_ms, speed=PEER_SPEED, counting=True)
    with servers.running(settings) as cloud:
        asyncio.run(_peer(cloud.url, size))
    return sum(cloud.calls.values()) / size


async def _peer(url: str, size: int) -> None:
    ecs = peer.client(urllib.parse.urlsplit(url).netloc)
    fleet = world.linux_fleet(size)
    await asyncio.gather(
        *(
            peer.rotate(
                ecs,
                region,
                world.KEY_NAME,
                [fleet.instances.ids.id_of(ordinal) for ordinal in span],
                peer.POLL_S / PEER_SPEED,
            )
            for region, span in fleet.instances.spans.items()
        )
    )
