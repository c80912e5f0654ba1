"""Compare the emulator with a bare aiohttp handler: requests per CPU second.

Both servers receive the same signed requests from a bare client in its own process. The bare
handler reads query and body, and returns the emulator's reply to the first request. The requests
iterate over the fleet in batches; each round has other batches, so no list of ids occurs twice. The
servers take turns, so that other load affects both, and the median turn counts. The last row
weights the calls by their frequency in a rotation with single restarts.
"""

from __future__ import annotations

import asyncio
import json
import statistics
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Final, NamedTuple

import aiohttp
from yarl import URL

from benchmarks import measure, servers, signed, world
from benchmarks.peers import bare_client
from benchmarks.report import Row, Size

AT_ONCE = 16
INSTANCES = 10_000
_TURN = {Size.TINY: 40, Size.DEFAULT: 300, Size.FULL: 300}
"""Calls to one server in each turn."""
_TURNS = {Size.TINY: 1, Size.DEFAULT: 9, Size.FULL: 25}
_ROTATED = 1_000
"""Number of instances in the rotation that determines how often each action is called."""
_REGION = "cn-hangzhou"


def run(size: Size) -> list[Row]:
    """Return the two rates and their ratio for each action."""
    rows = []
    paces: dict[str, tuple[float, float]] = {}
    for what in list(_KINDS)[: 1 if size is Size.TINY else None]:
        body = measure.in_child("benchmarks.emulator:body", what=what).value
        emulated, constant = _paces(what, body, size)
        paces[_KINDS[what].action] = emulated, constant
        rows += [
            Row(f"{what}: emulator, per CPU second", emulated),
            Row(f"{what}: constant of {len(body):,} bytes, per CPU second", constant),
            Row(f"{what}: emulator to constant", emulated / constant, least=0.4),
        ]
    rows.append(Row("calls of a rotation: emulator to constant", _mixed(paces), least=0.4))
    return rows


def _mixed(paces: Mapping[str, tuple[float, float]]) -> float:
    """Return the ratio over all calls of a rotation, weighted by the frequency of each action."""
    took = measure.in_child("benchmarks.rotation:rotate", size=_ROTATED, calls="single")
    counts: dict[str, int] = {
        action: count for action, count in took.value["calls"].items() if action in paces
    }
    emulated = sum(count / paces[action][0] for action, count in counts.items())
    constant = sum(count / paces[action][1] for action, count in counts.items())
    return constant / emulated


def body(what: str) -> str:
    """Return the emulator's reply to the first call of an action."""
    kind = _KINDS[what]
    with servers.running(servers.Settings(size=INSTANCES, boot_ms=0)) as emulator:
        [(url, headers)] = signed.requests(emulator.url, kind.action, islice(_params(kind), 1))
        return asyncio.run(_fetch(url, headers))


async def _fetch(url: str, headers: Mapping[str, str]) -> str:
    async with (
        aiohttp.ClientSession() as session,
        session.post(URL(url, encoded=True), headers=headers) as response,
    ):
        return await response.text()


def _paces(what: str, body: str, size: Size) -> tuple[float, float]:
    """Return the calls per CPU second of the emulator and of the bare handler."""
    with (
        servers.running(servers.Settings(size=INSTANCES, boot_ms=0)) as emulator,
        servers.running(servers.Settings(body=body)) as constant,
    ):
        spent = asyncio.run(_by_turns([emulator, constant], _KINDS[what], size))
    emulated, constant_s = (statistics.median(seconds) for seconds in spent)
    return _TURN[size] / emulated, _TURN[size] / constant_s


async def _by_turns(both: Sequence[servers.Running], kind: _Kind, size: Size) -> list[list[float]]:
    """Send the batches to each server in turn. Return the CPU seconds of each turn."""
    calls = _TURN[size]
    params = list(islice(_params(kind), calls * _TURNS[size]))
    prepared = [signed.requests(server.url, kind.action, params) for server in both]
    spent: list[list[float]] = [[] for _ in both]
    async with bare_client.session() as connections:
        for first in range(0, len(params), calls):
            for server, requests, seconds in zip(both, prepared, spent, strict=True):
                before = server.spent()
                turn = requests[first : first + calls]
                good = await bare_client.send_over(connections, turn, at_once=AT_ONCE)
                seconds.append(server.spent() - before)
                if good != calls:
                    raise ValueError(f"{good} of {calls} calls were answered well")
    return spent


_Params = dict[str, str]


def _attach(ids: list[str]) -> _Params:
    return signed.attach(_REGION, world.KEY_NAME, ids)


def _observe(ids: list[str]) -> _Params:
    asked = json.dumps(ids, separators=(",", ":"))
    return {"RegionId": _REGION, "MaxResults": "100", "InstanceIds": asked}


def _poll(ids: list[str]) -> _Params:
    asked = {f"InstanceId.{number}": one for number, one in enumerate(ids, 1)}
    return {"RegionId": _REGION, "PageSize": "50", **asked}


def _reboot(ids: list[str]) -> _Params:
    return {"InstanceId": ids[0]}


class _Kind(NamedTuple):
    """Calls of one action, with `ids` instances each."""

    action: str
    ids: int
    params: Callable[[list[str]], _Params]


_KINDS: Final = {  # the calls of a rotation
    "AttachKeyPair of 50": _Kind("AttachKeyPair", 50, _attach),
    "DescribeInstances of 100": _Kind("DescribeInstances", 100, _observe),
    "DescribeInstanceStatus of 50": _Kind("DescribeInstanceStatus", 50, _poll),
    "RebootInstance": _Kind("RebootInstance", 1, _reboot),
}


def _params(kind: _Kind) -> Iterator[_Params]:
    """Yield the parameters of calls that iterate over all instances of the region, endlessly."""
    ids = world.linux_fleet(INSTANCES).instances.ids
    every = [ids.id_of(ordinal) for ordinal in range(INSTANCES // len(world.REGIONS))]
    while True:
        for n in range(0, len(every), kind.ids):
            yield kind.params(every[n : n + kind.ids])
        every = every[1:] + every[:1]
