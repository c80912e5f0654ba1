"""Serve the emulated cloud over HTTP: read requests, inject faults, write replies.

Called by `rollout emulator`, by tests and benchmarks. Only this module and the guests use a clock
and an event loop; front end, cloud and damage decide the content of a reply.
"""

import asyncio
import contextlib
import ipaddress
import socket
import ssl
import struct
import time
from collections.abc import AsyncIterator, Callable
from itertools import pairwise
from typing import Final

import msgspec
from aiohttp import web

from rollout.ecs import wire
from rollout.emulator.cloud import regions
from rollout.emulator.dispatch import Cloud
from rollout.emulator.faults import NO_INJECTION, Ending, Injection
from rollout.emulator.http import admin, damage
from rollout.emulator.http.front_end import Admitted, FrontEnd
from rollout.emulator.http.gateway import Message
from rollout.emulator.http.render import Rendered, render
from rollout.emulator.messages import Reply, Request

REQUEST_LINE_BYTES_MAX: Final = 128 * 1024
"""The official SDKs put every parameter into the query, also 24 KB of a command; percent encoding
makes this three times as long, and up to 100 ids are added."""
HANG_MS_MAX: Final = 300_000
"""A connection without a reply is closed after this time at the latest."""

_JOINED_BYTES_MAX: Final = 65_536
"""Bodies up to this size are sent together with their headers."""

_DROP_MS: Final = 50
_HALF_ARRIVES_MS: Final = 50
"""A reset overtakes data that was sent right before it."""
_NO_LINGER: Final = struct.pack("ii", 1, 0)
"""Closing a socket with this option sends a reset."""


def wall_clock_ms() -> int:
    """Return UTC milliseconds."""
    return time.time_ns() // 1_000_000


class HttpFrontEnd:
    """Answers HTTP requests for one cloud. `clock` gives UTC milliseconds."""

    def __init__(self, cloud: Cloud, clock: Callable[[], int] = wall_clock_ms) -> None:
        self.cloud = cloud
        self.front_end = FrontEnd(cloud)
        self._clock = clock
        self._latest = 0
        self._skew_ms = cloud.switches.clock_skew_ms
        self._later: list[asyncio.TimerHandle] = []
        self._former: dict[str, Rendered] = {}
        """The latest complete reply of each action, while faults are armed."""

    def now(self) -> int:
        """Return the clock. It only goes back when its skew is reduced; the cloud relies on it."""
        skew_ms = self.cloud.switches.clock_skew_ms
        if skew_ms != self._skew_ms:
            self.cloud.instances.set_clock(skew_ms - self._skew_ms)
            self._latest += skew_ms - self._skew_ms
            self._skew_ms = skew_ms
        self._latest = max(self._latest, self._clock() + skew_ms)
        return self._latest

    def close(self) -> None:
        """Cancel the effects that have not arrived yet."""
        for timer in self._later:
            timer.cancel()

    async def answer(self, http: web.BaseRequest) -> web.StreamResponse:
        """Answer one request; the handler of the HTTP server."""
        path = http.rel_url.raw_path
        if path.startswith(admin.PREFIX):
            return await admin.answer(http, path, self.cloud, self.now())
        body = await http.read() if http.body_exists else b""
        message = Message(http.method, path, dict(http.query), http.headers, body)
        now = self.now()
        admitted = self.front_end.admit(message, now)
        request, reply = admitted.request, admitted.refused
        injection = NO_INJECTION if reply else self.cloud.faults.injection(request)
        if injection is not NO_INJECTION:
            return await self._inject(http, admitted, injection)
        reply = reply or self.deliver(http, request, now)
        rendered = render(reply, request.action, admitted.form)
        if self.cloud.faults.faults:
            self._former[request.action] = rendered
        if len(rendered.body) < _JOINED_BYTES_MAX:
            return self._response(rendered, now)
        return await self._whole(http, rendered)

    def deliver(self, http: web.BaseRequest, request: Request, now: int, *, copy: int = 0) -> Reply:
        """Deliver one copy of a request to the cloud; the first is copy 0."""
        return self.cloud.handle(request, now)

    async def _inject(
        self, http: web.BaseRequest, admitted: Admitted, injection: Injection
    ) -> web.StreamResponse:
        """Deliver the copies of a call at their times, and end it as the injection says."""
        request = admitted.request
        if injection.lag_ms:
            request = msgspec.structs.replace(request, lag_ms=injection.lag_ms)
        answered = injection.ending in {Ending.ANSWER, Ending.CUT}
        reply: Reply | None = None
        for index, delay_ms in enumerate(injection.arrivals_ms):
            if answered and index == 0:
                await _sleep(delay_ms)
                reply = self.deliver(http, request, self.now())
            else:
                self._arrive_later(http, request, delay_ms, index)
        if not injection.drips:
            await _sleep(HANG_MS_MAX if injection.ending is Ending.HANG else injection.reply_ms)
        if not answered:
            return _hang_up(http, resets=injection.resets)
        reply = damage.answer(self.cloud, injection, request, reply)
        rendered = damage.to_bytes(injection, reply, request.action, admitted.form)
        if injection.mixes:
            rendered = self._former.get(request.action, rendered)
        if injection.ending is Ending.CUT:
            return await self._cut(http, rendered, resets=injection.resets)
        if injection.drips:
            return await self._drip(http, rendered, injection.reply_ms)
        return self._response(rendered, self.now())

    def _arrive_later(
        self, http: web.BaseRequest, request: Request, delay_ms: int, copy: int
    ) -> None:
        """Deliver a copy whose reply is dropped."""

        def arrive() -> None:
            self.deliver(http, request, self.now(), copy=copy)

        loop = asyncio.get_running_loop()
        self._later = [timer for timer in self._later if timer.when() > loop.time()]
        self._later.append(loop.call_later(delay_ms / 1000, arrive))

    def _response(self, rendered: Rendered, now: int) -> web.Response:
        return web.Response(
            status=rendered.status, body=rendered.body, headers=_headers(rendered, now)
        )

    async def _whole(self, http: web.BaseRequest, rendered: Rendered) -> web.StreamResponse:
        """Send a large body separately: aiohttp would copy it to append it to the headers."""
        response = await self._begin(http, rendered)
        await response.write(rendered.body)
        return response

    async def _cut(
        self, http: web.BaseRequest, rendered: Rendered, *, resets: bool
    ) -> web.StreamResponse:
        """Announce the whole body, send half of it, close."""
        response = await self._begin(http, rendered)
        await response.write(rendered.body[: len(rendered.body) // 2])
        if resets:
            await _sleep(_HALF_ARRIVES_MS)
            _hang_up(http, resets=True)
        elif http.transport is not None:
            http.transport.close()
        return response

    async def _drip(
        self, http: web.BaseRequest, rendered: Rendered, lasts_ms: int
    ) -> web.StreamResponse:
        """Send the body in small parts, so that no pause between bytes is long."""
        response = await self._begin(http, rendered)
        drops = max(1, min(len(rendered.body), lasts_ms // _DROP_MS))
        ends = [len(rendered.body) * drop // drops for drop in range(drops + 1)]
        for first, end in pairwise(ends):
            await _sleep(lasts_ms // drops)
            await response.write(rendered.body[first:end])
        return response

    async def _begin(self, http: web.BaseRequest, rendered: Rendered) -> web.StreamResponse:
        """Send the head of a reply with the length of the whole body."""
        headers = _headers(rendered, self.now())
        response = web.StreamResponse(status=rendered.status, headers=headers)
        response.content_length = len(rendered.body)
        await response.prepare(http)
        return response


@contextlib.asynccontextmanager
async def serve(
    cloud: Cloud,
    address: str = "127.0.0.1",
    port: int = 0,
    *,
    clock: Callable[[], int] = wall_clock_ms,
    tls: ssl.SSLContext | None = None,
) -> AsyncIterator[str]:
    """Serve `cloud` and yield its URL; port 0 selects a free one.

    Errors: ValueError for an address that is not loopback; OSError when the address is taken.
    """
    if not _is_loopback(address):
        raise ValueError(f"{address} is not a loopback address")
    front = HttpFrontEnd(cloud, clock)
    http = web.Server(front.answer, access_log=None, max_line_size=REQUEST_LINE_BYTES_MAX)
    runner = web.ServerRunner(http, shutdown_timeout=1.0)
    await runner.setup()
    try:
        site = web.TCPSite(runner, address, port, ssl_context=tls, backlog=1024)
        await site.start()
        bound = runner.addresses[0][1]
        shown = f"[{address}]" if ":" in address else address
        yield f"{'https' if tls else 'http'}://{shown}:{bound}"
    finally:
        front.close()
        await runner.cleanup()


def environment(url: str, key_id: str, secret: str) -> list[str]:
    """Return shell lines that point rollout, the SDKs and the aliyun command line at `url`.

    The last two are for the aliyun command line: a profile's keys would take precedence over the
    environment, and without a profile it requires a region.
    """
    return [
        f"export ROLLOUT_ENDPOINT={url}",
        "export ROLLOUT_EMULATOR=1",
        f"export ALIBABA_CLOUD_ACCESS_KEY_ID={key_id}",
        f"export ALIBABA_CLOUD_ACCESS_KEY_SECRET={secret}",
        f"export ALIBABA_CLOUD_ENDPOINT={url.partition('://')[2]}",
        "export ALIBABA_CLOUD_IGNORE_PROFILE=TRUE",
        f"export ALIBABA_CLOUD_REGION_ID={regions.DEFAULT[0]}",
    ]


def _headers(rendered: Rendered, now: int) -> dict[str, str]:
    """Set `Date` by the clock of the cloud: callers measure their skew by it."""
    return {**rendered.headers, "Date": wire.http_date(now)}


def _is_loopback(address: str) -> bool:
    if address == "localhost":
        return True
    try:
        return ipaddress.ip_address(address).is_loopback
    except ValueError:
        return False


async def _sleep(delay_ms: int) -> None:
    if delay_ms > 0:
        await asyncio.sleep(delay_ms / 1000)


def _hang_up(http: web.BaseRequest, *, resets: bool) -> web.StreamResponse:
    """End the connection without further bytes; `resets` as if the peer had crashed."""
    if http.transport is not None:
        if resets:
            connection = http.transport.get_extra_info("socket")
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _NO_LINGER)
        http.transport.abort()
    return web.Response()
