"""Measure how the emulator loads large fleets: bytes per instance, and seconds to the first reply.

Each fleet is loaded in its own process, from a description or a file, and one call is made. The
memory of a fleet is the peak of that process minus the peak with three instances.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Final

import msgspec

from benchmarks import measure
from benchmarks.report import Row, Size
from rollout.emulator.dispatch import Cloud
from rollout.emulator.fleet import file as fleet_file
from rollout.emulator.fleet import synthetic
from rollout.emulator.messages import Request
from rollout.sim.time.loop import START_MS

_SIZES = {Size.TINY: 300, Size.DEFAULT: 100_000, Size.FULL: 1_000_000}
_FEW = 3
_BYTES = 400
_SECONDS = 15
_REGIONS = ("cn-beijing", "cn-hangzhou", "cn-shanghai")


def run(size: Size) -> list[Row]:
    """Return memory and time of each fleet."""
    count = _SIZES[size]
    rows = []
    for what in _FLEETS:
        took, few = _made(what, count), _made(what, _FEW)
        each = max(0.0, took.peak_mib - few.peak_mib) * 2**20 / count
        rows += [
            Row(f"{what}: an instance of {count:,}", each, "B", most=_BYTES),
            Row(f"{what}: ready, CPU", took.cpu_s, "s", most=_SECONDS, peak_mib=took.peak_mib),
        ]
    return rows


def _made(what: str, count: int) -> measure.Measured:
    """Return the figures of one fleet."""
    with tempfile.TemporaryDirectory() as folder:
        path = ""
        if lines := _FLEETS[what]:
            path = str(Path(folder, f"fleet.{what.partition(' ')[0].lower()}"))
            with Path(path).open("w", encoding="utf-8", buffering=1 << 20) as file:
                file.writelines(lines(count))
        took = measure.in_child("benchmarks.fleets:ready", path=path, size=count)
    if took.value != count:
        raise ValueError(f"{what}: {took.value} instances of {count}")
    return took


def ready(path: str, size: int) -> int:
    """Create a cloud with a synthetic fleet, or with the fleet of a file. Return its number of
    instances.
    """
    if path:
        fleet = fleet_file.load(Path(path), seed=1, now=START_MS)
    else:
        fleet = synthetic.build(size=size, seed=1, now=START_MS)
    reply = Cloud(fleet).handle(Request("DescribeInstances", {"RegionId": _REGIONS[0]}), START_MS)
    if reply.code is not None:
        raise ValueError(f"the first call was refused: {reply.code}")
    return len(fleet.instances)


def _equal_rows(count: int) -> Iterator[str]:
    for index, region in enumerate(_REGIONS):
        share = count // len(_REGIONS) + (index < count % len(_REGIONS))
        yield f"- {{ region: {region}, count: {share}, tags: {{ app: cart, tier: web }} }}\n"


def _named(count: int) -> Iterator[str]:
    yield "instance,name,region,tags\n"
    for number, region in _numbers(count):
        yield f"i-{number:020x},web-{number:07},{region},app=cart;tier=web\n"


def _own_csv(count: int) -> Iterator[str]:
    yield "instance,name,region,tags\n"
    for number, region in _numbers(count):
        tags = ";".join(f"{key}={value}" for key, value in _own_tags(number).items())
        yield f"i-{number:020x},web-{number:07},{region},{tags}\n"


def _own_jsonl(count: int) -> Iterator[str]:
    for number, region in _numbers(count):
        row = {
            "instance": f"i-{number:020x}",
            "name": f"web-{number:07}",
            "region": region,
            "tags": _own_tags(number),
        }
        yield msgspec.json.encode(row).decode() + "\n"


def _own_tags(number: int) -> dict[str, str]:
    return {"owner": f"team-{number:06x}", "host": f"web-{number:07}", "app": "cart"}


def _numbers(count: int) -> Iterator[tuple[int, str]]:
    """Yield each index with its region, one region after the other."""
    return ((number, _REGIONS[number * len(_REGIONS) // count]) for number in range(count))


_FLEETS: Final[Mapping[str, Callable[[int], Iterator[str]] | None]] = {
    "synthetic": None,
    "YAML with counts": _equal_rows,
    "CSV with own ids and names": _named,
    "CSV with own ids, names and tags": _own_csv,
    "JSONL with own ids, names and tags": _own_jsonl,
}
