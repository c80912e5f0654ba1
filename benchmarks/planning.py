"""Compare offline planning from a JSONL file with msgspec decoding the same file.

Rows have the form of DescribeInstances replies, about 700 bytes each. The plan is created, encoded
and digested as in `rollout plan --offline`. Each size runs in its own process, and the fastest of
three runs counts, because the first plan of a million instances after its file was written takes up
to 20 % longer.
"""

from __future__ import annotations

import hashlib
import json
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import anyio
import msgspec

from benchmarks import measure, world
from benchmarks.report import Row, Size
from rollout.core.planning.planner import PlanContext, make_plan
from rollout.inventory import sources
from rollout.model import plan as planmodel
from rollout.model.spec import Budget, Calls, FileSource, parse_amount

_SIZES = {
    Size.TINY: (200,),
    Size.DEFAULT: (1_000, 10_000, 100_000),
    Size.FULL: (1_000, 10_000, 100_000, 1_000_000),
}
_REFERENCE = 10_000
"""Size with which the time per instance is compared. Startup dominates smaller sizes."""
_PEAK_MIB = 1024
_RUNS = 3
_REGIONS = ("cn-hangzhou", "cn-shanghai", "cn-beijing")
_NOW = 1_767_225_600_000


def run(size: Size) -> list[Row]:
    """Return time, memory and time per instance for each size."""
    rows: list[Row] = []
    reference: float | None = None
    with tempfile.TemporaryDirectory() as folder:
        for count in _SIZES[size]:
            path = Path(folder, f"{count}.jsonl")
            row_bytes = _write(path, count)
            base = _least("benchmarks.planning:decode", path)
            took = _least("benchmarks.planning:plan", path)
            path.unlink()
            each_us = took.value["cpu_s"] / count * 1e6
            reference = each_us if count == _REFERENCE else reference
            large = count > _REFERENCE
            rows += [
                Row(f"{count:,} rows of {row_bytes:,} bytes: msgspec", base.value, "s"),
                Row(
                    f"{count:,}: plan",
                    took.value["cpu_s"],
                    "s",
                    peak_mib=took.peak_mib,
                ),
                Row(
                    f"{count:,}: plan to msgspec",
                    took.value["cpu_s"] / base.value,
                    most=4 if large else None,
                ),
                Row(
                    f"{count:,}: an instance",
                    each_us,
                    "µs",
                    most=1.5 * reference if large and reference else None,
                ),
                Row(f"{count:,}: peak", took.peak_mib, "MiB", most=_PEAK_MIB),
            ]
    return rows


def _least(function: str, path: Path) -> measure.Measured:
    """Return the run with the least CPU time of three."""
    runs = [measure.in_child(function, path=str(path)) for _ in range(_RUNS)]
    return min(runs, key=lambda run: run.cpu_s)


def decode(path: str) -> float:
    """Return the CPU seconds in which msgspec decodes every line of the file and discards the
    result.
    """
    decoder = msgspec.json.Decoder()
    began = time.process_time()
    with Path(path).open("rb", buffering=1 << 20) as file:
        for line in file:
            decoder.decode(line)
    return time.process_time() - began


def plan(path: str) -> dict[str, float]:
    """Return the CPU seconds of reading, planning and encoding, the number of targets, and the
    plan's size.
    """
    return anyio.run(_plan, path)


async def _plan(path: str) -> dict[str, float]:
    began = time.process_time()
    spec = msgspec.structs.replace(
        world.spec(Calls.BATCH),
        inventory=(FileSource("jsonl", path),),
        budgets=(Budget("fleet", parse_amount("5%")), Budget("zone", parse_amount("20%"))),
    )
    inventory = await sources.collect(spec, Path(path).parent, None, _NOW)
    made = make_plan(spec, inventory, {}, _NOW, PlanContext("benchmark"))
    raw = planmodel.encode(made)
    planmodel.digest(raw)
    return {
        "cpu_s": time.process_time() - began,
        "targets": made.counts.targets,
        "bytes": len(raw),
    }


def _write(path: Path, count: int) -> int:
    """Write the rows. Return the mean length of a line."""
    with path.open("wb", buffering=1 << 20) as file:
        for row in _rows(count):
            file.write(row)
        return file.tell() // count


def _rows(count: int) -> Iterator[bytes]:
    """Return one row. Nine of ten instances are Linux; ids, names and start times are unique."""
    for number in range(count):
        luck = hashlib.blake2b(number.to_bytes(8, "big"), digest_size=12).hexdigest()
        region = _REGIONS[number % len(_REGIONS)]
        windows = number % 10 == 9
        row = {
            "InstanceId": f"i-{luck[:20]}",
            "InstanceName": f"cart-{number:07}",
            "Description": "",
            "RegionId": region,
            "ZoneId": f"{region}-{'hij'[number % 3]}",
            "InstanceType": "ecs.g7.large",
            "InstanceTypeFamily": "ecs.g7",
            "Cpu": 2,
            "Memory": 8192,
            "OSType": "windows" if windows else "linux",
            "OSName": "Windows Server 2022"
            if windows
            else "Alibaba Cloud Linux  3.2104 LTS 64 bit",
            "ImageId": "win2022_x64.vhd" if windows else "aliyun_3_x64_20G_alibase_20250629.vhd",
            "Status": "Running",
            "KeyPairName": "" if windows else "fleet-former",
            "CreationTime": "2025-03-01T08:00Z",
            "StartTime": f"2025-{number % 9 + 1:02}-{number % 28 + 1:02}T{number % 24:02}:00Z",
            "ExpiredTime": "2099-12-31T15:59Z",
            "IoOptimized": True,
            "OperationLocks": {"LockReason": []},
            "InstanceNetworkType": "vpc",
            "InstanceChargeType": "PostPaid",
            "HostName": f"cart-{number:07}",
            "Tags": {
                "Tag": [
                    {"TagKey": "app", "TagValue": f"app-{number // 40 % 500}"},
                    {"TagKey": "env", "TagValue": "prod"},
                ]
            },
        }
        yield json.dumps(row, separators=(",", ":")).encode() + b"\n"
