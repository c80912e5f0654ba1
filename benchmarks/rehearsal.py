"""Measure rehearsals of 1,000 to 1,000,000 instances: time and memory of one seed.

The figures include loading the plan, as in the command. No earlier runs are used.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from benchmarks import measure, world
from benchmarks.report import Row, Size
from rollout.app import plan_file
from rollout.app import rehearse as rehearsing
from rollout.app.rehearse import RehearsalOptions
from rollout.emulator.cloud.users import ACCOUNT_ID
from rollout.model.instance import Instance, OsFamily, Status
from rollout.model.spec import Calls
from rollout.sim.time.loop import START_MS

BOOT_MS = 60_000
_SIZES = {
    Size.TINY: (200,),
    Size.DEFAULT: (1_000, 10_000),
    Size.FULL: (1_000, 10_000, 100_000, 1_000_000),
}
_SECONDS = 300
_PEAK_MIB = 1024


def run(size: Size) -> list[Row]:
    """Return the figures for each size, with single and with batch restarts."""
    return [row for instances in _SIZES[size] for row in _of(instances)]


def _of(instances: int) -> list[Row]:
    with tempfile.TemporaryDirectory() as folder:
        path = str(Path(folder) / "fleet.plan.json")
        rows = []
        for calls in ("single", "batch"):
            measure.in_child(
                "benchmarks.rehearsal:make", instances=instances, calls=calls, path=path
            )
            took = measure.in_child("benchmarks.rehearsal:rehearse", path=path)
            what = f"{calls}, {instances:,}"
            seconds = took.value["cpu_s"]
            rows += [
                Row(f"{what}: CPU", seconds, "s", most=_SECONDS),
                Row(f"{what}: an instance", seconds / instances * 1e6, "µs"),
                Row(f"{what}: peak", took.peak_mib, "MiB", most=_PEAK_MIB),
                Row(f"{what}: rehearsed makespan", took.value["duration_ms"] / 1000, "s"),
                Row(f"{what}: done", took.value["done"], least=instances, most=instances),
            ]
        return rows


def make(instances: int, calls: str, path: str) -> None:
    """Save a plan over two regions with `maxDown: 10%`. Runs in a child process."""
    plan = world.plan_of(list(_instances(instances)), Calls(calls), START_MS)
    plan_file.save_plan(plan_file.with_digest(plan), Path(path))


def _instances(count: int) -> Iterator[Instance]:
    for number in range(count):
        region = world.REGIONS[number * len(world.REGIONS) // count]
        yield Instance(
            f"i-{number:020x}",
            ACCOUNT_ID,
            region,
            zone=f"{region}-{'hk'[number % 2]}",
            os=OsFamily.LINUX,
            os_name="Linux",
            status=Status.RUNNING,
            key_pair="fleet-former",
            image=f"m-{number % 3}",
            started_at=START_MS - world.MONTH_MS,
        )


def rehearse(path: str) -> dict[str, float]:
    """Simulate the plan as `rollout rehearse --seeds 1 --boot-time 60s` does. Runs in a child
    process.
    """
    began = time.process_time()
    plan = plan_file.load_plan(Path(path)).plan
    given = RehearsalOptions(seeds=1, boot_ms=BOOT_MS, quota=None, faults=None)
    [lived] = rehearsing.simulate_all(plan, rehearsing.prepare(plan, given), _silent)
    return {
        "cpu_s": time.process_time() - began,
        "duration_ms": lived.duration_ms,
        "done": lived.counts["done"],
    }


def _silent(_finished: int, _all: int, _share: float) -> None:
    pass
