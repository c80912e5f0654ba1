"""The emulator's claim: requests per CPU second beside a bare handler of a constant.

Both servers get the same signed requests from a bare client in a process of its own; the constant
is the very body that the emulator answers with.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

import aiohttp
from yarl import URL

from benchmarks import measure, servers, signed, world
from benchmarks.peers import bare_client
from benchmarks.report import Row, Size

AT_ONCE = 16
INSTANCES = 10_000
_CALLS = {Size.TINY: 40, Size.DEFAULT: 1_500, Size.FULL: 5_000}
_REGION = "cn-hangzhou"


def run(size: Size) -> list[Row]:
    """One pair of figures and their ratio for each kind of call."""
    rows = []
    kinds = list(_requests().items())[: 1 if size is Size.TINY else None]
    for what, (action, params) in kinds:
        body = measure.in_child("benchmarks.emulator:body", action=action, params=params).value
        emulated = _pace(servers.Settings(size=INSTANCES, boot_ms=0), action, params, _CALLS[size])
        constant = _pace(servers.Settings(body=body), action, params, _CALLS[size])
        rows += [
            Row(f"{what}: emulator, per CPU second", emulated),
            Row(f"{what}: constant of {len(body):,} bytes, per CPU second", constant),
            Row(f"{what}: emulator to constant", emulated / constant, least=0.4),
        ]
    return rows


def send(url: str, action: str, params: Mapping[str, str], calls: int) -> int:
    """Send that many; how many were answered with 200."""
    prepared = signed.requests(url, action, params, calls)
    return asyncio.run(bare_client.send_all(prepared, at_once=AT_ONCE))


def body(action: str, params: Mapping[str, str]) -> str:
    """What the emulator answers to one of them."""
    with servers.running(servers.Settings(size=INSTANCES, boot_ms=0)) as emulator:
        [(url, headers)] = signed.requests(emulator.url, action, params, 1)
        return asyncio.run(_fetch(url, headers))


async def _fetch(url: str, headers: Mapping[str, str]) -> str:
    async with (
        aiohttp.ClientSession() as session,
        session.post(URL(url, encoded=True), headers=headers) as response,
    ):
        return await response.text()


def _pace(settings: servers.Settings, action: str, params: Mapping[str, str], calls: int) -> float:
    with servers.running(settings) as server:
        good = measure.in_child(
            "benchmarks.emulator:send", url=server.url, action=action, params=params, calls=calls
        ).value
    if good != calls:
        raise ValueError(f"{good} of {calls} calls were answered well")
    return calls / server.cpu_s


def _requests() -> dict[str, tuple[str, dict[str, str]]]:
    """The calls a rotation consists of."""
    fleet = world.linux_fleet(INSTANCES)
    ids = [fleet.instances.ids.id_of(ordinal) for ordinal in range(100)]
    look = signed.attach(_REGION, "", ids)["InstanceIds"]
    status = {f"InstanceId.{number}": one for number, one in enumerate(ids[:50], 1)}
    return {
        "AttachKeyPair of 50": ("AttachKeyPair", signed.attach(_REGION, world.KEY_NAME, ids[:50])),
        "DescribeInstances of 100": (
            "DescribeInstances",
            {"RegionId": _REGION, "MaxResults": "100", "InstanceIds": look},
        ),
        "DescribeInstanceStatus of 50": (
            "DescribeInstanceStatus",
            {"RegionId": _REGION, "PageSize": "50", **status},
        ),
        "RebootInstance": ("RebootInstance", {"InstanceId": ids[0]}),
    }
