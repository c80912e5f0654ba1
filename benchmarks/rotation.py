"""Run one rotation with the local engine in virtual time and measure its cost and duration.

Runs in a child process of `engine`; returns figures and prints nothing. The journal is written and
synced on a real disk by the event loop's own thread, because virtual time would advance while a
worker thread syncs.
"""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

from benchmarks import world
from rollout.core.running.decider import Decider
from rollout.ecs.client import EcsClient
from rollout.emulator.cloud.switches import Switches
from rollout.engines.local import LocalEngine
from rollout.engines.ports import Ports
from rollout.journal import reader, writer
from rollout.journal.disk import RealDisk
from rollout.model import plan as planmodel
from rollout.model.event import Actor
from rollout.model.spec import Calls
from rollout.sim.time import loop as virtual


class InlineDisk(RealDisk):
    """The disk of this machine, called by the event loop's thread."""

    inline = True


def rotate(
    size: int,
    calls: str,
    boot_ms: int = 30_000,
    folder: str | None = None,
    *,
    grouped: bool = False,
) -> dict[str, object]:
    """Rotate `size` Linux instances in two regions with `maxDown: 10%`; `grouped`: and half of each
    of many groups, so that their caps are 1 to 3.

    The run directory is kept in `folder`, if given.
    """
    if folder is not None:
        return virtual.run(_rotate, size, Calls(calls), boot_ms, Path(folder), grouped)
    with tempfile.TemporaryDirectory() as passing:
        return virtual.run(_rotate, size, Calls(calls), boot_ms, Path(passing), grouped)


async def _rotate(
    size: int,
    calls: Calls,
    boot_ms: int,
    folder: Path,
    grouped: bool,  # noqa: FBT001 - `virtual.run` passes positions
) -> dict[str, object]:
    clock = virtual.VirtualClock()
    near = world.InProcess(
        world.linux_fleet(size, grouped=grouped), clock, Switches(boot_time_ms=boot_ms)
    )
    client = near.client()
    plan = world.plan_of(await world.listed(client), calls, clock.now(), grouped=grouped)
    figures = await _apply(folder, plan, client, clock, near)
    cells = [cell for wave in plan.waves for cell in wave.cells]
    return {**figures, "cells": len(cells), "cap": plan.groups[0].cap, "groups": len(plan.groups)}


async def _apply(
    folder: Path,
    plan: planmodel.Plan,
    client: EcsClient,
    clock: virtual.VirtualClock,
    near: world.InProcess,
) -> dict[str, object]:
    near.calls.clear()
    near.cloud_s = 0.0
    raw = planmodel.encode(plan)
    digest = planmodel.digest(raw)
    run_id = reader.run_id(digest)
    began, cpu = clock.now(), time.process_time()
    journal = writer.create(folder, run_id, raw, disk=InlineDisk())
    engine = LocalEngine(Ports(clock, world.service_on(client, clock), journal))
    decider = Decider(plan)
    decider.start(run_id, digest, Actor("bench", "acs:ram::bench", "here", 1, "bench"), began)
    await engine.drive(decider, signals=False)
    journal.close()
    written = sum(path.stat().st_size for path in (folder / run_id).glob("journal-*"))
    closed = decider.run.closed
    return {
        "cpu_s": time.process_time() - cpu,
        "cloud_s": near.cloud_s,
        "makespan_ms": clock.now() - began,
        "calls": dict(sorted(near.calls.items())),
        "journal_bytes": written,
        "lines": journal.seq,
        "done": closed.counts["done"] if closed else 0,
    }
