"""Send one signed request and receive its complete reply, or report that it was unsent or lost.

Called by the client. Knows HTTP, not what a call means: it signs nothing, retries nothing and
judges nothing. `NotSent` proves that nothing left this machine; `Lost` proves nothing.
"""

from __future__ import annotations

import asyncio
import errno
import ssl
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Final, Protocol, Self

import aiohttp
import msgspec
from aiohttp.client_proto import ResponseHandler
from aiohttp.connector import Connection
from aiohttp.http import HttpProcessingError, StreamWriter
from multidict import CIMultiDict
from yarl import URL

from rollout.core.invariant import invariant
from rollout.ecs.proxies import Proxies
from rollout.ecs.wire import HttpReply
from rollout.model import limits
from rollout.model.address import is_loopback
from rollout.model.outcome import Unsent

BODY_BYTES_MAX: Final = 8 * 1024**2
"""A page of 100 instances is about 200 KB; more than this is no reply of the API."""
KEEP_ALIVE_S: Final = 10.0
"""Idle connections are dropped before a gateway drops them: a POST that meets a closing connection
is lost, and a lost restart is a doubt."""
DNS_CACHE_S: Final = 60

_TOTAL_S = limits.CALL_TIMEOUT_MS / 1000 - 1
"""Time limit of a reply, shorter than the caller's limit, so that slow replies end here."""
_NO_BODY: Final = {"content-length": "0"}
_AFTER_THE_FIRST_BYTE: Final = (
    aiohttp.ClientError,
    aiohttp.EofStream,
    HttpProcessingError,
    TimeoutError,
    OSError,
    ValueError,
)
"""Errors that can occur once the first byte was sent or is about to be sent."""


class NotSent(Exception):
    """Nothing left this machine."""

    def __init__(self, reason: Unsent, host: str = "") -> None:
        super().__init__(f"{reason}: {host}" if host else reason.value)
        self.reason = reason


class Lost(Exception):
    """The request may have left and no whole reply came: `reason` is `timeout`, `reset`, …"""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class SignedCall(msgspec.Struct, frozen=True):
    """One attempt, signed: POST to `endpoint` with `query` and an empty body.

    `endpoint` is scheme and authority (`https://ecs.cn-beijing.aliyuncs.com`); `query` is sent
    unchanged. Header names are in lower case. `connect_ms` limits the time until the request is
    sent, `read_ms` the wait for the head of the reply and each wait for bytes after it.
    `held_back` is called right before the first byte is sent, since connecting takes time: it
    returns why the call must not be sent, or None.
    """

    action: str
    endpoint: str
    query: str
    headers: Mapping[str, str]
    connect_ms: int
    read_ms: int
    held_back: Callable[[], Unsent | None] = lambda: None


class Transport(Protocol):
    """The network, as the client uses it."""

    async def send(self, call: SignedCall) -> HttpReply:
        """Send once. Errors: NotSent, Lost."""

    async def aclose(self) -> None:
        """Close the connections."""


class AiohttpTransport:
    """HTTPS with pooled connections; plain HTTP to loopback only.

    Use inside `async with`, once per process. It has no redirects, cookies or compression, and
    never sends twice. `proxies` are passed by CONNECT. The pool has no limit of its own: a
    call that waited there could leave after its time; the governor bounds what is in flight.

    Pool, name lookup, TLS and parser are aiohttp's; its session, which is for browsing, is left out
    (docs/decisions/0004).
    """

    def __init__(
        self, tls: ssl.SSLContext | None = None, *, proxies: Proxies | None = None
    ) -> None:
        self._tls, self._proxies = tls, proxies or Proxies()
        self._pool: aiohttp.BaseConnector | None = None
        self._hosts: dict[str, aiohttp.ClientRequest] = {}

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def send(self, call: SignedCall) -> HttpReply:
        """Send once and read the whole reply. Errors: NotSent, Lost."""
        connection = await self._connect(call)
        try:
            _check_again(call)
            reply = await _exchange(_silent(connection), call)
            connection.release()
        except _AFTER_THE_FIRST_BYTE as error:
            raise Lost(_reason_lost(error)) from None
        finally:
            _drop(connection)  # does nothing if it was released
        return reply

    async def aclose(self) -> None:
        """Close all connections; safe to call twice."""
        self._hosts.clear()
        if self._pool is not None:
            await self._pool.close()
            self._pool = None

    def connector(self) -> aiohttp.BaseConnector:
        """Return the connection pool, which belongs to the running event loop."""
        return aiohttp.TCPConnector(
            ssl=self._tls or True,
            limit=0,
            ttl_dns_cache=DNS_CACHE_S,
            keepalive_timeout=KEEP_ALIVE_S,
        )

    async def _connect(self, call: SignedCall) -> Connection:
        """Return a connection to the host of the call, pooled or new. Errors: NotSent."""
        if self._pool is None:  # opened on first use: it belongs to the running event loop
            self._pool = self.connector()
        host = self._hosts.get(call.endpoint)
        if host is None:
            host = self._hosts[call.endpoint] = _host(call.endpoint, self._proxies)
        try:
            return await self._pool.connect(host, [], _timeout(call.connect_ms))
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
            raise NotSent(_reason_unsent(error), host.url.authority) from None


def _check_again(call: SignedCall) -> None:
    """Check again, after connecting, whether the call may be sent. Errors: NotSent."""
    reason = call.held_back()
    if reason is not None:
        raise NotSent(reason)


def _silent(connection: Connection) -> ResponseHandler:
    """Return the protocol of an open connection on which nothing has arrived: such bytes would be
    read as the reply to this call. Errors: NotSent.
    """
    protocol = connection.protocol
    if protocol is None or not protocol.is_connected():  # closed by the peer after the handshake
        raise NotSent(Unsent.CLOSED)
    if protocol.should_close:
        raise NotSent(Unsent.UNASKED_BYTES)
    return protocol


def _drop(connection: Connection) -> None:
    """Close at once. A graceful close waits for a peer that may be hung, and would send buffered
    bytes of a call that has failed.
    """
    if connection.protocol is not None:
        connection.protocol.abort()
        connection.close()


async def _exchange(protocol: ResponseHandler, call: SignedCall) -> HttpReply:
    """Write the request and read the reply to its end. Errors: Lost, `_AFTER_THE_FIRST_BYTE`."""
    protocol.set_response_params(read_until_eof=True, auto_decompress=False)
    loop, read_s = asyncio.get_running_loop(), call.read_ms / 1000
    request = StreamWriter(protocol, loop)
    await request.write_headers(
        f"POST /?{call.query} HTTP/1.1", CIMultiDict(call.headers, **_NO_BODY)
    )
    request.set_eof()
    ends = loop.time() + _TOTAL_S
    async with asyncio.timeout(read_s) as deadline:
        head, content = await protocol.read()
        while head.code < 200:  # an interim reply
            head, content = await protocol.read()
        body = await _body(content, lambda: deadline.reschedule(min(ends, loop.time() + read_s)))
    return HttpReply(head.code, head.headers, body)


def _host(endpoint: str, proxies: Proxies) -> aiohttp.ClientRequest:
    """Return the pool's request. Secrets are never sent unencrypted to another machine."""
    url = URL(endpoint)
    safe = url.scheme == "https" or is_loopback(url.host or "")
    invariant(safe, "plain http leaves this machine")
    proxy = proxies.to(url.host or "", url.port)
    loop = asyncio.get_running_loop()
    if proxy is None:
        return aiohttp.ClientRequest("POST", url, loop=loop)
    headers = {"Host": url.host_port_subcomponent or ""}  # else added later: the pool's key changes
    if proxy.user or proxy.password:
        headers["Proxy-Authorization"] = aiohttp.encode_basic_auth(proxy.user, proxy.password)
    return aiohttp.ClientRequest(
        "POST", url, loop=loop, proxy=URL(proxy.url), proxy_headers=headers
    )


@lru_cache(maxsize=256)
def _timeout(connect_ms: int) -> aiohttp.ClientTimeout:
    return aiohttp.ClientTimeout(connect=connect_ms / 1000)


async def _body(content: aiohttp.StreamReader, wait_on: Callable[[], None]) -> bytes:
    """Read to the end, or fail above the limit; `wait_on` is called before each wait."""
    chunks: list[bytes] = []
    bytes_left = BODY_BYTES_MAX
    while True:
        if not content.is_eof():
            wait_on()
        chunks.append(await content.readany())
        bytes_left -= len(chunks[-1])
        if bytes_left < 0:
            raise Lost("too_large")
        if content.at_eof():
            return b"".join(chunks)


def _reason_unsent(error: Exception) -> Unsent:
    """Return the cause without the library's text, which repeats the URL."""
    match error:
        case aiohttp.ClientHttpProxyError(status=407):
            return Unsent.PROXY_LOGIN
        case aiohttp.ClientHttpProxyError():
            return Unsent.PROXY_REFUSED
        case aiohttp.ClientProxyConnectionError():
            return Unsent.PROXY_UNREACHABLE
        case aiohttp.ClientConnectorDNSError():
            return Unsent.DNS
        case aiohttp.ClientConnectorCertificateError():
            return Unsent.CERTIFICATE
        case aiohttp.ClientSSLError():
            return Unsent.TLS
        case TimeoutError():
            return Unsent.CONNECT_TIMEOUT
        case aiohttp.ClientConnectorError(os_error=OSError(errno=errno.ECONNREFUSED)):
            return Unsent.REFUSED
        case _:
            return Unsent.UNREACHABLE


def _reason_lost(error: Exception) -> str:
    """Return the cause as one word."""
    match error:
        case TimeoutError():
            return "timeout"
        case aiohttp.ClientPayloadError():
            return "cut_off"
        case ConnectionError() | aiohttp.ClientConnectionError() | aiohttp.EofStream():
            return "reset"
        case _:
            return "malformed_http"
