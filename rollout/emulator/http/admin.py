"""The admin endpoints: hidden state and settings of the emulated cloud.

Called by the HTTP server for every path below `/_admin/`. For people, checkers and tests; the
product's client never calls them. No signature: the server listens on loopback.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Final, Literal

import msgspec
from aiohttp import web

from rollout.emulator.cloud.lifecycle import BaseStatus, OperationLock
from rollout.emulator.cloud.quotas import QuotaSettings
from rollout.emulator.cloud.switches import Switches
from rollout.emulator.cloud.users import User
from rollout.emulator.dispatch import Cloud
from rollout.emulator.fault_plan import FaultPlan
from rollout.emulator.faults import Fault

PREFIX: Final = "/_admin/"

_CHUNK_LINES: Final = 1_000


class Intervention(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """External change of one instance: its new status, and locks that replace the former."""

    instance: str
    status: Literal["Running", "Stopped", "Starting", "Stopping", "Pending", "Released"] | None = (
        None
    )
    locks: tuple[str, ...] | None = None


class FaultSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The faults from now on, and the seed for their draws."""

    faults: tuple[Fault, ...] = ()
    seed: int = 0


async def answer(http: web.BaseRequest, path: str, cloud: Cloud, now: int) -> web.StreamResponse:
    """Answer one admin request. Browsers are refused: a web page must not change an emulator."""
    if "Origin" in http.headers:
        return _problem(403, "not for browsers")
    name = path.removeprefix(PREFIX)
    if http.method == "GET" and name in _LISTS:
        return await _stream(http, _LISTS[name](cloud, now))
    if http.method == "GET" and name in _READERS:
        return _json(_READERS[name](cloud, now))
    if http.method == "POST" and name in _WRITERS:
        body = await http.read()
        try:
            _WRITERS[name](cloud, body, now)
        except (msgspec.MsgspecError, ValueError) as error:
            return _problem(400, str(error))
        return _json({"ok": True})
    return _problem(404, f"no such admin endpoint: {http.method} {path}")


async def _stream(http: web.BaseRequest, lines: Iterator[msgspec.Struct]) -> web.StreamResponse:
    """Write JSON lines, a thousand at a time, so that a million instances need little memory."""
    response = web.StreamResponse(headers={"Content-Type": "application/jsonl; charset=utf-8"})
    await response.prepare(http)
    encoder = msgspec.json.Encoder()
    chunk = bytearray()
    for count, line in enumerate(lines, 1):
        chunk += encoder.encode(line) + b"\n"
        if count % _CHUNK_LINES == 0:
            await response.write(bytes(chunk))
            chunk.clear()
    await response.write(bytes(chunk))
    await response.write_eof()
    return response


def _intervene(cloud: Cloud, body: bytes, now: int) -> None:
    change = msgspec.json.decode(body, type=Intervention)
    ordinal = cloud.instances.find(change.instance)
    if ordinal is None:
        raise ValueError(f"no instance {change.instance}")
    if change.locks is not None:
        lock = OperationLock.NONE
        for name in change.locks:
            if name.upper() not in OperationLock.__members__:
                raise ValueError(f"no lock reason {name}")
            lock |= OperationLock[name.upper()]
        cloud.instances.set_lock(ordinal, lock)
    if change.status is not None:
        cloud.instances.put(ordinal, BaseStatus[change.status.upper()], now)


def _set_faults(cloud: Cloud, body: bytes, _: int) -> None:
    settings = msgspec.json.decode(body, type=FaultSettings)
    for fault in settings.faults:
        if problem := fault.problem():
            raise ValueError(problem)
    cloud.arm(FaultPlan(settings.faults, settings.seed))


def _set_quotas(cloud: Cloud, body: bytes, _: int) -> None:
    settings = msgspec.json.decode(body, type=QuotaSettings)
    if problem := settings.problem():
        raise ValueError(problem)
    cloud.quotas.settings = settings


def _set_switches(cloud: Cloud, body: bytes, _: int) -> None:
    """Change the named switches; others keep their value."""
    known = msgspec.to_builtins(cloud.switches)
    changed = {**known, **msgspec.json.decode(body, type=dict[str, object])}
    cloud.switch(msgspec.convert(changed, Switches))


def _put_user(cloud: Cloud, body: bytes, _: int) -> None:
    cloud.access.put(msgspec.json.decode(body, type=User))


def _quotas(cloud: Cloud, now: int) -> object:
    return {"settings": cloud.quotas.settings, "usage": cloud.quotas.usage(now)}


def _faults(cloud: Cloud, _: int) -> object:
    return FaultSettings(cloud.faults.faults, cloud.faults.seed)


def _users(cloud: Cloud, _: int) -> object:
    """Yield users without secrets and tokens."""
    return [
        {"name": u.name, "key_id": u.key_id, "arn": u.arn, "statements": u.statements}
        for u in cloud.access.users()
    ]


_LISTS: Final[Mapping[str, Callable[[Cloud, int], Iterator[msgspec.Struct]]]] = {
    "ledger": lambda cloud, _: iter(cloud.ledger),
    "instances": lambda cloud, now: cloud.observe(now),
}
_READERS: Final[Mapping[str, Callable[[Cloud, int], object]]] = {
    "quotas": _quotas,
    "faults": _faults,
    "switches": lambda cloud, _: cloud.switches,
    "users": _users,
}
_WRITERS: Final[Mapping[str, Callable[[Cloud, bytes, int], None]]] = {
    "instances": _intervene,
    "quotas": _set_quotas,
    "faults": _set_faults,
    "switches": _set_switches,
    "users": _put_user,
}


def _json(value: object, status: int = 200) -> web.Response:
    return web.Response(
        status=status, body=msgspec.json.encode(value), content_type="application/json"
    )


def _problem(status: int, text: str) -> web.Response:
    return _json({"error": text}, status)
