"""Rows, files and an emulated service for the tests of the inventory."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from rollout.ecs.replies import Region
from rollout.inventory import files
from rollout.inventory.gathered import Gathered
from rollout.model.instance import Instance, OsFamily, Status
from rollout.model.observation import Described
from rollout.model.outcome import Done, Refused, RetryClass, Unknown
from rollout.model.spec import FileSource

ROW: dict[str, Any] = {
    "InstanceId": "i-bp1aaaa0001",
    "InstanceName": "cart-1",
    "Status": "Running",
    "KeyPairName": "ops-2026q3",
    "StartTime": "2026-01-02T03:04Z",
    "OperationLocks": {"LockReason": [{"LockReason": "financial", "LockMsg": "overdue"}]},
    "VpcAttributes": {"PrivateIpAddress": {"IpAddress": ["10.0.0.1"]}},
    "Tags": {"Tag": [{"TagKey": "env", "TagValue": "prod"}, {"TagKey": "odd", "TagValue": ""}]},
    "RegionId": "cn-hangzhou",
    "ZoneId": "cn-hangzhou-h",
    "OSType": "linux",
    "OSName": "Ubuntu  22.04 64 bit",
    "ImageId": "ubuntu_22_04_x64.vhd",
    "IoOptimized": True,
    "ExpiredTime": "2099-12-31T15:59Z",
}
INSTANCE = Instance(
    "i-bp1aaaa0001",
    "1",
    "cn-hangzhou",
    "cn-hangzhou-h",
    OsFamily.LINUX,
    "Ubuntu  22.04 64 bit",
    Status.RUNNING,
    "ops-2026q3",
    "ubuntu_22_04_x64.vhd",
    1_767_323_040_000,
    4_102_415_940_000,
    True,
    ("financial",),
    (("env", "prod"), ("odd", "")),
)


def row(**changes: Any) -> dict[str, Any]:
    """Return a row as in DescribeInstances, with changed fields. A field with the value None is
    removed.
    """
    return {name: value for name, value in {**ROW, **changes}.items() if value is not None}


def line(**changes: Any) -> str:
    """Return the same row as one line of text."""
    return json.dumps(row(**changes), separators=(",", ":"))


def page(*rows: dict[str, Any], token: str = "", **facts: Any) -> dict[str, Any]:
    """Return a page of DescribeInstances. `facts` are its other fields."""
    head = {"RequestId": "R", "NextToken": token, **facts}
    return {**head, "Instances": {"Instance": list(rows)}}


def read(
    folder: Path,
    name: str,
    content: str | bytes,
    *,
    region: str = "",
    columns: dict[str, str] | None = None,
    allow_partial: bool = False,
    live: bool = False,
) -> Gathered:
    """Read a file with this content. The suffix of `name` determines its format."""
    path = folder / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    gathered = Gathered(allow_partial=allow_partial)
    source = FileSource(name.rpartition(".")[2], name, columns or {}, region)
    files.read(source, gathered, account="1", project=folder, live=live)
    return gathered


def ids(gathered: Gathered) -> list[str]:
    """Return the ids that a file names, in order."""
    return list(gathered.instances)


def listing(instances: Sequence[Instance], next_token: str = "", total: int = 0) -> Described:
    """Return a page of the emulated service."""
    return Described(tuple(instances), 0, next_token, total=total)


Reply = Described | Refused | Unknown


class Service:
    """An emulated service: regions with instances, pages of `size`, and replies for the next calls.

    `calls` records the calls. `blind` regions list nothing and permit nothing. `first` gives
    replies to the next listing or observation of a region, before the regular ones.
    """

    def __init__(self, instances: Sequence[Instance], *, size: int = 100) -> None:
        self.account = "1"
        self.fleet = list(instances)
        self.size = size
        self.calls: list[tuple[str, str, object]] = []
        self.blind: tuple[str, ...] = ()
        self.regions: tuple[Region, ...] | Refused | Unknown = ()
        self.first: dict[str, list[Reply]] = {}
        self.paging: Callable[[str, str], Reply | None] = lambda region, token: None

    async def describe_regions(self) -> tuple[Region, ...] | Refused | Unknown:
        self.calls.append(("regions", "", None))
        return self.regions

    async def describe_instances(
        self, region: str, filters: Mapping[str, str] | None = None, *, next_token: str = ""
    ) -> Reply:
        self.calls.append(("list", region, dict(filters or {})))
        if ready := self.first.get(region):
            return ready.pop(0)
        if (made := self.paging(region, next_token)) is not None:
            return made
        shown = [one for one in self._shown(region) if _matches(one, filters or {})]
        start = int(next_token or 0)
        more = start + self.size < len(shown)
        return listing(
            tuple(shown[start : start + self.size]), str(start + self.size) if more else ""
        )

    async def observe_instances(self, region: str, instances: Sequence[str]) -> Reply:
        self.calls.append(("look", region, tuple(instances)))
        if ready := self.first.get(region):
            return ready.pop(0)
        return listing(tuple(one for one in self._shown(region) if one.id in instances))

    async def may_describe(self, region: str) -> Done | Refused | Unknown:
        self.calls.append(("probe", region, None))
        if region in self.blind:
            return Refused("Forbidden.RAM", RetryClass.DENIED, "not authorized", "REQ-1")
        return Done("REQ-2")

    def asked(self, kind: str) -> list[tuple[str, str, object]]:
        """Return the calls of one kind."""
        return [call for call in self.calls if call[0] == kind]

    def _shown(self, region: str) -> list[Instance]:
        if region in self.blind:
            return []
        return [one for one in self.fleet if one.region == region]


def _matches(one: Instance, filters: Mapping[str, str]) -> bool:
    pairs = [
        (filters[f"Tag.{n}.Key"], filters[f"Tag.{n}.Value"])
        for n in range(1, 21)
        if f"Tag.{n}.Key" in filters
    ]
    return all(pair in one.tags for pair in pairs)


def fleet(count: int, region: str = "cn-hangzhou", **fields: Any) -> list[Instance]:
    """Return Running Linux instances of one region."""
    blank = Instance("", "1", region, os=OsFamily.LINUX, status=Status.RUNNING)
    letters = {"cn-hangzhou": "bp1", "cn-shanghai": "uf6"}.get(region, "2ze")
    return [
        msgspec.structs.replace(blank, id=f"i-{letters}{number:06d}", **fields)
        for number in range(count)
    ]
