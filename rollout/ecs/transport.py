"""One signed request out, one whole reply back, and two ways of not getting there.

Called by the client. Knows HTTP, not what a call means: it signs nothing, retries nothing and
judges nothing. `NotSent` proves that nothing left this machine; `Lost` proves nothing at all.
"""

from __future__ import annotations

import asyncio
import errno
import ssl
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from functools import lru_cache
from typing import Final, Protocol, Self

import aiohttp
import msgspec
from aiohttp.connector import Connection
from yarl import URL

from rollout.core.invariant import invariant
from rollout.ecs import endpoints
from rollout.ecs.wire import HttpReply
from rollout.model import limits

BODY_BYTES_MAX: Final = 8 * 1024**2
"""A page of 100 instances is about 200 KB; more than this is no reply of the API."""
KEEP_ALIVE_S: Final = 10.0
"""Idle connections are dropped before a gateway drops them: a POST that meets a closing connection
is lost, and a lost restart is a doubt."""
DNS_CACHE_S: Final = 60

_TOTAL_S = limits.CALL_TIMEOUT_MS / 1000 - 1
"""aiohttp rounds long time-outs up to a whole second of its clock."""
_AUTO_HEADERS = ("Accept", "Accept-Encoding", "Content-Type", "User-Agent")


class NotSent(Exception):
    """Nothing left this machine: `reason` is `dns`, `refused`, `tls`, `connect_timeout`, …, or what
    the call's `held_back` said.
    """

    def __init__(self, reason: str, host: str = "") -> None:
        super().__init__(f"{reason}: {host}" if host else reason)
        self.reason = reason


class Lost(Exception):
    """The request may have left and no whole reply came: `reason` is `timeout`, `reset`, …"""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


def _never() -> str:
    return ""


class Call(msgspec.Struct, frozen=True):
    """One attempt, signed: POST to `endpoint` with `query` and an empty body.

    `endpoint` is scheme and authority (`https://ecs.cn-beijing.aliyuncs.com`); `query` goes on the
    wire as it is. Header names are in lower case. `connect_ms` bounds the time until the request
    leaves, `read_ms` each wait for bytes after that. `held_back` is asked right before the first
    byte leaves, since connecting takes time: it says why it may not, or nothing.
    """

    action: str
    endpoint: str
    query: str
    headers: Mapping[str, str]
    connect_ms: int
    read_ms: int
    held_back: Callable[[], str] = _never


class Transport(Protocol):
    """What the client needs of the network."""

    async def send(self, call: Call) -> HttpReply:
        """Send once. Errors: NotSent, Lost."""

    async def aclose(self) -> None:
        """Give the connections back."""


class AiohttpTransport:
    """HTTPS with pooled connections; plain HTTP to loopback only.

    Use inside `async with`, once per process. Never follows a redirect, keeps no cookies, asks for
    no compression and so never inflates a body. The pool has no limit of its own: a call that
    waited there could leave after its time; the governor bounds what is in flight.
    """

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        self._tls = tls
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def send(self, call: Call) -> HttpReply:
        """Send once and read the whole reply. Errors: NotSent, Lost."""
        url = _base(call.endpoint)
        _HELD_BACK.set(call.held_back)
        try:
            async with self._open().post(
                URL(f"{call.endpoint}/?{call.query}", encoded=True),
                headers=call.headers,
                timeout=_timeout(call.connect_ms, call.read_ms),
                allow_redirects=False,
            ) as response:
                body = await _body(response.content)
                return HttpReply(response.status, response.headers, body)
        except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError) as error:
            raise NotSent(_reason_unsent(error), url.authority) from None
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
            raise Lost(_reason_lost(error)) from None

    async def aclose(self) -> None:
        """Close all connections; safe to call twice."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    def connector(self) -> aiohttp.BaseConnector:
        """Where connections come from; belongs to the loop that runs now."""
        return aiohttp.TCPConnector(
            ssl=self._tls or True,
            limit=0,
            ttl_dns_cache=DNS_CACHE_S,
            keepalive_timeout=KEEP_ALIVE_S,
        )

    def _open(self) -> aiohttp.ClientSession:
        """Open the one session on first use: it belongs to the loop that runs then."""
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=self.connector(),
                request_class=_LastWord,
                cookie_jar=aiohttp.DummyCookieJar(),
                skip_auto_headers=_AUTO_HEADERS,
                auto_decompress=False,
                trust_env=False,
            )
        return self._session


_HELD_BACK: ContextVar[Callable[[], str]] = ContextVar("_HELD_BACK", default=_never)
"""Of the call that the current task sends."""


class _LastWord(aiohttp.ClientRequest):
    """A request that asks, once it has its connection, whether it may still leave."""

    async def send(self, conn: Connection) -> aiohttp.ClientResponse:
        """See ClientRequest. Errors: NotSent."""
        reason = _HELD_BACK.get()()
        if reason:
            raise NotSent(reason)
        return await super().send(conn)


class InProcessTransport:
    """Hands calls to a function, usually a pretend cloud: no socket, no thread, no real time."""

    def __init__(self, handle: Callable[[Call], HttpReply]) -> None:
        self._handle = handle

    async def send(self, call: Call) -> HttpReply:
        """Answer at once. The function may raise NotSent or Lost as the network would."""
        await asyncio.sleep(0)
        reply = self._handle(call)
        headers = {name.lower(): value for name, value in reply.headers.items()}
        return msgspec.structs.replace(reply, headers=headers)

    async def aclose(self) -> None:
        """Nothing is held open."""


@lru_cache(maxsize=256)
def _base(endpoint: str) -> URL:
    """Parse an endpoint once; secrets never travel in the clear beyond this machine."""
    url = URL(endpoint)
    safe = url.scheme == "https" or endpoints.is_loopback(url.host or "")
    invariant(safe, "plain http leaves this machine")
    return url


@lru_cache(maxsize=256)
def _timeout(connect_ms: int, read_ms: int) -> aiohttp.ClientTimeout:
    """Connect and read have their own bounds; the total only ends a reply that drips for ever."""
    return aiohttp.ClientTimeout(
        total=_TOTAL_S, connect=connect_ms / 1000, sock_read=read_ms / 1000
    )


async def _body(content: aiohttp.StreamReader) -> bytes:
    """Read to the end, or give up past the bound."""
    chunks: list[bytes] = []
    bytes_left = BODY_BYTES_MAX
    while chunk := await content.readany():
        bytes_left -= len(chunk)
        if bytes_left < 0:
            raise Lost("too_large")
        chunks.append(chunk)
    return chunks[0] if len(chunks) == 1 else b"".join(chunks)


def _reason_unsent(error: Exception) -> str:
    """Name the cause without the library's text, which repeats the URL."""
    match error:
        case aiohttp.ClientConnectorDNSError():
            return "dns"
        case aiohttp.ClientConnectorCertificateError() | aiohttp.ClientSSLError():
            return "tls"
        case aiohttp.ConnectionTimeoutError():
            return "connect_timeout"
        case aiohttp.ClientConnectorError(os_error=OSError(errno=errno.ECONNREFUSED)):
            return "refused"
        case _:
            return "unreachable"


def _reason_lost(error: Exception) -> str:
    """Name the cause in one word."""
    match error:
        case TimeoutError():
            return "timeout"
        case aiohttp.ClientPayloadError():
            return "cut_off"
        case aiohttp.ServerDisconnectedError() | ConnectionError() | aiohttp.ClientOSError():
            return "reset"
        case _:
            return "malformed_http"
