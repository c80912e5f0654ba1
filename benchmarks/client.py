"""Compare the client with the official SDK and bare aiohttp: calls per CPU second over TLS.

Every client sends AttachKeyPair calls with 50 ids to a server that returns a constant reply, so
only the client is measured. Each client runs in its own process.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import ssl
import tempfile
import time
import urllib.parse
from collections.abc import Awaitable, Callable, Coroutine
from pathlib import Path
from typing import Any

import trustme
from alibabacloud_ecs20140526 import models

from benchmarks import measure, servers, signed, world
from benchmarks.peers import bare_client
from benchmarks.peers import rotation as peer
from benchmarks.report import Row, Size
from rollout.app.connect import EMULATOR_KEY
from rollout.ecs import credentials, endpoints
from rollout.ecs.client import EcsClient
from rollout.ecs.governor import RATE_MAX, Governor
from rollout.ecs.transport import AiohttpTransport
from rollout.emulator.cloud.users import ACCOUNT_ID
from rollout.engines.clock import LoopClock
from rollout.model.outcome import Done

AT_ONCE = 16
IDS = 50
ROUNDS = 5
"""Run the clients in turn, so that other load on the machine affects all of them, and keep the best
round of each. The SDK is a hundred times slower and has one round.
"""
_CALLS = {Size.TINY: 20, Size.DEFAULT: 3_000, Size.FULL: 3_000}
_SDK_CALLS = {Size.TINY: 20, Size.DEFAULT: 200, Size.FULL: 3_000}
_REGION = "cn-hangzhou"
_LANES = tuple(f"cn-bench-{number}" for number in range(64))
"""Region of each call, in turn: a lane is limited to 1,000 calls a second, which is less than the
client's speed.
"""
_HOUR_MS = 3_600_000


def run(size: Size) -> list[Row]:
    """Return the calls per CPU second of each client, and the ratio of rollout to the others."""
    calls = dict.fromkeys(_CLIENTS, _CALLS[size]) | {"sdk": _SDK_CALLS[size]}
    paces: dict[str, list[float]] = {name: [] for name in _CLIENTS}
    peaks = dict.fromkeys(_CLIENTS, 0.0)
    with tempfile.TemporaryDirectory() as folder:
        authority, certificate = _certificates(Path(folder))
        settings = servers.Settings(body=reply(), certificate=str(certificate))
        with servers.running(settings) as constant:
            for turn in range(1 if size is Size.TINY else ROUNDS):
                for name in _CLIENTS if turn == 0 else ("rollout", "bare"):
                    took = measure.in_child(
                        "benchmarks.client:send",
                        name=name,
                        url=constant.url,
                        authority=str(authority),
                        calls=calls[name],
                    )
                    paces[name].append(took.value)
                    peaks[name] = max(peaks[name], took.peak_mib)
    best = {name: max(found) for name, found in paces.items()}
    rows = [
        Row(f"{name}: {calls[name]:,} calls, per CPU second", pace, peak_mib=peaks[name])
        for name, pace in best.items()
    ]
    rows.append(Row("rollout to the official SDK", best["rollout"] / best["sdk"], least=2.5))
    rows.append(Row("rollout to bare aiohttp", best["rollout"] / best["bare"], least=0.7))
    return rows


def send(name: str, url: str, authority: str, calls: int) -> float:
    """Send the calls with one client. Return calls per CPU second."""
    return asyncio.run(_CLIENTS[name](url, authority, calls))


def reply() -> str:
    """Return the reply to AttachKeyPair for the 50 ids."""
    results = [
        {"InstanceId": one, "Success": True, "Code": "200", "Message": "successful"}
        for one in _ids()
    ]
    return json.dumps(
        {
            "RequestId": "473469C7-AA6F-4DC5-B3DB-A3DC0DE3C83E",
            "KeyPairName": world.KEY_NAME,
            "TotalCount": str(IDS),
            "FailCount": "0",
            "Results": {"Result": results},
        },
        separators=(",", ":"),
    )


def _ids() -> list[str]:
    return [f"i-bp1{number:017x}" for number in range(IDS)]


def _certificates(folder: Path) -> tuple[Path, Path]:
    """Create a certificate authority, and a server certificate with its key."""
    authority = trustme.CA()
    authority.cert_pem.write_to_path(folder / "authority.pem")
    issued = authority.issue_cert("127.0.0.1")
    issued.private_key_and_cert_chain_pem.write_to_path(folder / "server.pem")
    return folder / "authority.pem", folder / "server.pem"


async def _rollout(url: str, authority: str, calls: int) -> float:
    clock = LoopClock()
    key_id, secret = EMULATOR_KEY
    source = credentials.StaticSource(key_id, credentials.Secret(secret), name="benchmark")
    governor = Governor(clock, rate_start=RATE_MAX)
    where = endpoints.parse(url)
    async with AiohttpTransport(ssl.create_default_context(cafile=authority)) as transport:
        keyring = credentials.Keyring(source, clock)
        ecs = EcsClient(
            transport, keyring, clock, endpoints=where, governor=governor, account=ACCOUNT_ID
        )
        ids, regions = _ids(), itertools.cycle(_LANES)

        async def call() -> bool:
            answer = await ecs.attach_key_pair(
                next(regions), world.KEY_NAME, ids, not_after=clock.now() + _HOUR_MS
            )
            return isinstance(answer.outcome, Done) and not answer.items

        return await _timed(call, calls)


async def _sdk(url: str, authority: str, calls: int) -> float:
    ecs = peer.client(urllib.parse.urlsplit(url).netloc, protocol="https", ca=authority)
    request = models.AttachKeyPairRequest(
        region_id=_REGION, key_pair_name=world.KEY_NAME, instance_ids=json.dumps(_ids())
    )

    async def call() -> bool:
        answer = await ecs.attach_key_pair_async(request)
        return len(answer.body.results.result) == IDS

    return await _timed(call, calls)


async def _bare(url: str, authority: str, calls: int) -> float:
    tls = ssl.create_default_context(cafile=authority)
    params = signed.attach(_REGION, world.KEY_NAME, _ids())
    prepared = signed.requests(url, "AttachKeyPair", [params] * calls)
    cpu = time.process_time()
    good = await bare_client.send_all(prepared, at_once=AT_ONCE, tls=tls)
    if good != calls:
        raise ValueError(f"{good} of {calls} calls were answered well")
    return calls / (time.process_time() - cpu)


async def _timed(call: Callable[[], Awaitable[bool]], calls: int) -> float:
    """Return calls per CPU second, with `AT_ONCE` calls in flight."""
    left = iter(range(calls))
    good = 0

    async def work() -> None:
        nonlocal good
        for _ in left:
            fine = await call()
            good += fine

    cpu = time.process_time()
    async with asyncio.TaskGroup() as tasks:
        for _ in range(AT_ONCE):
            tasks.create_task(work())
    if good != calls:
        raise ValueError(f"{good} of {calls} calls were answered well")
    return calls / (time.process_time() - cpu)


_CLIENTS: dict[str, Callable[[str, str, int], Coroutine[Any, Any, float]]] = {
    "rollout": _rollout,
    "sdk": _sdk,
    "bare": _bare,
}
