"""A scheduler of this process in virtual time: clocks, threads, calls and webhooks do not wait."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeVar

import anyio.to_thread
import pytest
from aiohttp import web

from rollout.app import connect, scheduler
from rollout.app.session import Connection, Session
from rollout.emulator.dispatch import Cloud as EmulatedCloud
from rollout.emulator.http.server import HttpFrontEnd
from rollout.engines.clock import LoopClock
from rollout.model.time import MINUTE, Instant
from rollout.notify import courier
from rollout.notify.requests import NoticeRequest
from rollout.sim.time.dice import Dice
from rollout.sim.time.loop import VirtualLoop
from rollout.sim.world.cable import CableTransport, Exchange

T = TypeVar("T")

IDLE_MS = 1 * MINUTE
"""Pause of the scheduler without work."""


@dataclass
class VirtualService:
    """An emulated cloud and a webhook that this process reaches without sockets.

    `posted` are the messages that the webhook got.
    """

    cloud: EmulatedCloud
    begin: Instant
    posted: list[dict[str, Any]] = field(default_factory=list)
    session: Session = field(
        default_factory=lambda: Session(connection=Connection(emulator=True), allow_unsafe_fs=True)
    )

    def now(self) -> Instant:
        """Return the present instant on the loop's clock."""
        loop = asyncio.get_running_loop()
        assert isinstance(loop, VirtualLoop)
        return self.begin + loop.passed_ms

    def install(self, patch: pytest.MonkeyPatch) -> None:
        """Replace clocks, threads, the transport of calls and that of webhooks. On a loop only."""
        front = HttpFrontEnd(self.cloud, self.now)
        exchange = Exchange(web.Server(front.answer, access_log=None), Dice(1, "cables"))
        opened = {"open_transport": lambda **_: CableTransport(exchange)}
        patch.setattr(connect.connect.__wrapped__, "__kwdefaults__", opened | _ENVIRONMENT)  # type: ignore[attr-defined]
        patch.setattr(LoopClock.__init__, "__defaults__", (self._nanoseconds, self._nanoseconds))
        patch.setattr(anyio.to_thread, "run_sync", _directly)
        patch.setattr(courier, "_post", self._post)
        patch.setattr(scheduler, "POLL_S", IDLE_MS / 1000)

    async def until(self, instant: Instant) -> None:
        """Return at an instant, or a little later."""
        await anyio.sleep(max(0, instant - self.now()) / 1000)

    def instances_with(self, key_pair: str) -> set[str]:
        """Return the instances on which a key pair is in force."""
        observed = self.cloud.observe(self.now())
        return {one.instance for one in observed if one.key_in_force == key_pair}

    def _nanoseconds(self) -> int:
        return self.now() * 1_000_000

    async def _post(self, request: NoticeRequest, _: str | None) -> tuple[int, bytes]:
        self.posted.append(json.loads(request.body))
        return 200, b""


_ENVIRONMENT: dict[str, Any] = {"environment": {}}


async def _directly(work: Callable[..., T], *arguments: object) -> T:
    """Call a function of a thread: a thread would take real time."""
    return work(*arguments)
