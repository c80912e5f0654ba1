"""The transport: proofs that nothing was sent, lost calls, and behavior it must not have."""

from __future__ import annotations

import asyncio
import contextlib
import enum
import errno
import socket
import ssl
import urllib.parse
from collections.abc import Sequence
from dataclasses import dataclass
from unittest.mock import Mock

import aiohttp
import msgspec
import pytest
import trustme
from aiohttp.client_proto import ResponseHandler
from aiohttp.connector import Connection
from aiohttp.http import HttpProcessingError
from hypothesis import given, settings
from hypothesis import strategies as st

from rollout.core.invariant import Bug
from rollout.ecs import transport as module
from rollout.ecs.transport import (
    BODY_BYTES_MAX,
    AiohttpTransport,
    Lost,
    NotSent,
    SignedCall,
)
from rollout.ecs.wire import HttpReply
from rollout.model.outcome import Unsent
from tests.ecs.scripted import After, ObservedGroup, Scripted, Server, reply, scripted, serving
from tests.inprocess import InProcessTransport

HOST = "https://ecs.cn-beijing.aliyuncs.com"
QUERY = "InstanceIds=%5B%22i-1%22%5D&KeyPairName=team%20key~1%2A&RegionId=cn-beijing"


def call(endpoint: str = HOST, *, connect_ms: int = 2_000, read_ms: int = 2_000) -> SignedCall:
    """A call as the client signs it."""
    headers = {"host": endpoint.partition("://")[2], "x-acs-action": "AttachKeyPair"}
    return SignedCall("AttachKeyPair", endpoint, QUERY, headers, connect_ms, read_ms)


class Pool(aiohttp.BaseConnector):
    """Fails to connect as scripted, or returns a connection that is closed or fails as scripted."""

    def __init__(
        self, connecting: Exception | None, reading: Exception | None, *, closed: bool
    ) -> None:
        super().__init__()
        self._connecting, self._reading, self._left = connecting, reading, closed

    async def connect(self, *_: object) -> Connection:
        """See BaseConnector."""
        if self._connecting is not None:
            raise self._connecting
        loop = asyncio.get_running_loop()
        protocol = ResponseHandler(loop)
        protocol.connection_made(Mock(is_closing=lambda: self._left))
        if self._reading is not None:
            loop.call_soon(protocol.set_exception, self._reading)
        return Connection(self, Mock(), protocol, loop)


class Broken(AiohttpTransport):
    """The transport over such a pool."""

    def __init__(
        self,
        *,
        connecting: Exception | None = None,
        reading: Exception | None = None,
        closed: bool = False,
    ) -> None:
        super().__init__()
        self._failures, self._left = (connecting, reading), closed

    def connector(self) -> aiohttp.BaseConnector:
        """See AiohttpTransport."""
        return Pool(*self._failures, closed=self._left)


@pytest.mark.asyncio
@pytest.mark.parametrize("status", [200, 302, 400, 429, 503])
async def test_every_status_is_a_reply(status: int) -> None:
    """The transport judges nothing: body and headers come back as they were, redirects included."""
    headers = {"X-Acs-Request-Id": "R", "Location": "https://evil.example/"}
    answer = reply(status, b'{"Code":"X"}', headers=headers)
    async with scripted(answer) as server, AiohttpTransport() as transport:
        got = await transport.send(call(server.url))
    assert (got.status, got.body) == (status, b'{"Code":"X"}')
    assert got.headers.get("x-acs-request-id") == "R"


@pytest.mark.asyncio
async def test_interim_replies_are_passed_over() -> None:
    """A 100, 101 or 103 says that the reply is still to come: taken for it, it would leave the
    reply itself to the next call."""
    early = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n"
    script = Scripted(early, then=[b"HTTP/1.1 101 X\r\n\r\n", reply(200, b"{}").raw])
    async with scripted(script) as server, AiohttpTransport() as transport:
        got = await transport.send(call(server.url))
        assert (got.status, got.body) == (200, b"{}")
        assert (await transport.send(call(server.url))).body == b"{}"
        assert len(server.connections) == 1


def _unreachable(number: int) -> aiohttp.ClientConnectorError:
    key = Mock(host="h", port=443, ssl=True)
    return aiohttp.ClientConnectorError(key, OSError(number, "text with a secret"))


@pytest.mark.asyncio
@pytest.mark.parametrize(
    "failure, reason",
    [
        (_unreachable(errno.ECONNREFUSED), "refused"),
        (_unreachable(errno.ENETUNREACH), "unreachable"),
        (aiohttp.ClientConnectorDNSError(Mock(), OSError(-2, "unknown")), "dns"),
        (aiohttp.ClientConnectorSSLError(Mock(), ssl.SSLError(1, "handshake")), "tls"),
        (
            aiohttp.ClientConnectorCertificateError(Mock(), ssl.SSLCertVerificationError("x")),
            "certificate",
        ),
        (TimeoutError("secret"), "connect_timeout"),
        (OSError(errno.EMFILE, "too many open files, secret"), "unreachable"),
    ],
)
async def test_what_failed_before_the_request_left_is_not_sent(
    failure: Exception, reason: str
) -> None:
    """Resolving, connecting and the TLS handshake come before the first byte."""
    async with Broken(connecting=failure) as transport:
        with pytest.raises(NotSent) as raised:
            await transport.send(call())
    assert raised.value.reason == reason
    assert raised.value.__cause__ is None and "secret" not in str(raised.value)


@pytest.mark.asyncio
@pytest.mark.parametrize(
    "failure, reason",
    [
        (aiohttp.ServerDisconnectedError(), "reset"),
        (aiohttp.ClientOSError(errno.ECONNRESET, "reset"), "reset"),
        (ConnectionResetError(), "reset"),
        (BrokenPipeError(), "reset"),
        (aiohttp.EofStream(), "reset"),
        (aiohttp.SocketTimeoutError(), "timeout"),
        (TimeoutError(), "timeout"),
        (aiohttp.ClientPayloadError(), "cut_off"),
        (HttpProcessingError(message="bad status line"), "malformed_http"),
        (ValueError("bad header"), "malformed_http"),
    ],
)
async def test_whatever_else_fails_is_lost(failure: Exception, reason: str) -> None:
    """After the first byte may have been sent, no failure proves anything."""
    async with Broken(reading=failure) as transport:
        with pytest.raises(Lost) as raised:
            await transport.send(call())
    assert raised.value.reason == reason


@pytest.mark.asyncio
async def test_a_peer_that_left_with_the_handshake_was_sent_nothing() -> None:
    """In TLS 1.2 the last handshake message is the peer's, and its close may come with it."""
    async with Broken(closed=True) as transport:
        with pytest.raises(NotSent) as raised:
            await transport.send(call())
    assert raised.value.reason == "closed"


@pytest.mark.asyncio
async def test_a_call_may_be_held_back_once_it_has_its_connection() -> None:
    """Connecting takes time, in which a run may stop: the last question comes before the bytes."""
    held = msgspec.structs.replace(call(), held_back=lambda: Unsent.HALTED)
    async with scripted(reply(200, b"{}")) as server, AiohttpTransport() as transport:
        with pytest.raises(NotSent) as raised:
            await transport.send(msgspec.structs.replace(held, endpoint=server.url))
        assert raised.value.reason == "not_sent_halted"
        assert server.requests == []
        assert (await transport.send(call(server.url))).status == 200


@pytest.mark.asyncio
async def test_the_wire_carries_what_was_signed_and_nothing_of_the_librarys_own() -> None:
    """POST to `/`, the query byte by byte, our headers only, and no URL with a secret in it."""
    async with scripted(reply(200, b"{}")) as server, AiohttpTransport() as transport:
        await transport.send(call(server.url))
        (seen,) = server.requests
    assert (seen.method, seen.path, seen.query) == ("POST", "/", QUERY)
    assert sorted(seen.headers) == ["content-length", "host", "x-acs-action"]
    assert seen.headers["content-length"] == "0"
    assert seen.headers["host"] == server.url.partition("://")[2]


@pytest.mark.asyncio
async def test_connections_are_kept_and_cookies_are_not() -> None:
    """Two calls share a connection; what a proxy sets as a cookie is not sent back."""
    cookie = reply(200, b"{}", headers={"Set-Cookie": "a=b"})
    async with scripted(cookie) as server, AiohttpTransport() as transport:
        await transport.send(call(server.url))
        await transport.send(call(server.url))
        assert len(server.connections) == 1
        assert "cookie" not in server.requests[1].headers


@pytest.mark.asyncio
async def test_a_post_is_never_sent_again_by_the_library() -> None:
    """A kept connection that closes under the second call loses it: one request, no repeat."""
    async with (
        scripted(reply(200, b"{}"), Scripted(b"", After.CLOSE), reply(200, b"{}")) as server,
        AiohttpTransport() as transport,
    ):
        await transport.send(call(server.url))
        with pytest.raises(Lost):
            await transport.send(call(server.url))
        assert len(server.requests) == 2


@pytest.mark.asyncio
async def test_what_came_unasked_is_nobodys_reply() -> None:
    """A second reply to a call that was answered must not be taken for that of the next one."""
    stray = Scripted(reply(200, b"first").raw, then=[reply(200, b"stray").raw])
    async with scripted(stray, reply(200, b"second")) as server, AiohttpTransport() as transport:
        assert (await transport.send(call(server.url))).body == b"first"
        await asyncio.sleep(0.05)
        with pytest.raises(NotSent) as raised:
            await transport.send(call(server.url))
        assert raised.value.reason == "unasked_bytes"
        assert (await transport.send(call(server.url))).body == b"second"


@pytest.mark.asyncio
async def test_redirects_are_not_followed() -> None:
    """A 307 would send the signature to another host."""
    elsewhere = reply(307, headers={"Location": "/elsewhere"})
    async with scripted(elsewhere, reply(200)) as server, AiohttpTransport() as transport:
        got = await transport.send(call(server.url))
        assert (got.status, len(server.requests)) == (307, 1)


@pytest.mark.asyncio
async def test_silence_after_the_request_is_lost() -> None:
    """The read time-out of the action ends the wait, and the request may have been executed."""
    async with scripted(Scripted(b"", After.HANG)) as server, AiohttpTransport() as transport:
        with pytest.raises(Lost) as raised:
            await transport.send(call(server.url, read_ms=50))
        assert raised.value.reason == "timeout"


@pytest.mark.asyncio
async def test_silence_in_the_middle_of_a_body_is_lost() -> None:
    """The time-out holds for each wait for bytes, not for the first alone."""
    begun = Scripted(reply(200, b"{}", missing_bytes=9).raw, After.HANG)
    async with scripted(begun) as server, AiohttpTransport() as transport:
        with pytest.raises(Lost) as raised:
            await transport.send(call(server.url, read_ms=50))
        assert raised.value.reason == "timeout"


@pytest.mark.asyncio
async def test_a_late_head_leaves_the_body_its_own_wait() -> None:
    """Head and body come each within the read time-out, though not both of them."""
    head, body = reply(200, missing_bytes=2).raw, b"{}"
    late = Scripted(then=[*[b""] * 7, head, *[b""] * 7, body])
    async with scripted(late) as server, AiohttpTransport() as transport:
        assert (await transport.send(call(server.url, read_ms=300))).body == body


@pytest.mark.asyncio
async def test_a_slow_body_has_a_total_timeout(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each byte earns another wait, up to the time that a call may take as a whole."""
    dripping = Scripted(reply(200, missing_bytes=12).raw, then=[b"x"] * 12)
    async with scripted(dripping) as server, AiohttpTransport() as transport:
        assert (await transport.send(call(server.url, read_ms=150))).body == b"x" * 12
        monkeypatch.setattr(module, "_TOTAL_S", 0.1)
        with pytest.raises(Lost) as raised:
            await transport.send(call(server.url, read_ms=150))
        assert raised.value.reason == "timeout"


@pytest.mark.asyncio
async def test_a_closed_port_is_refused_and_named() -> None:
    """The error has the reason and the address, so that an operator can act on it."""
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        endpoint = f"http://127.0.0.1:{unused.getsockname()[1]}"
        async with AiohttpTransport() as transport:
            with pytest.raises(NotSent) as raised:
                await transport.send(call(endpoint))
    assert str(raised.value) == f"refused: {endpoint.partition('://')[2]}"


@pytest.mark.asyncio
async def test_a_silent_handshake_is_a_connect_timeout() -> None:
    """A peer that accepts and never shakes hands holds a call no longer than its connect time."""
    async with scripted(Scripted(b"", After.HANG)) as server, AiohttpTransport() as transport:
        with pytest.raises(NotSent) as raised:
            await transport.send(call(server.url.replace("http", "https"), connect_ms=50))
        assert raised.value.reason == "connect_timeout"


@pytest.mark.asyncio
async def test_certificates_are_verified() -> None:
    """An unknown authority ends before anything was sent; a trusted one does not."""
    authority = trustme.CA()
    ours = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(ours)
    trusting = ssl.create_default_context()
    authority.configure_trust(trusting)
    async with scripted(reply(200, b"{}"), tls=ours) as server:
        async with AiohttpTransport() as transport:
            with pytest.raises(NotSent) as raised:
                await transport.send(call(server.url))
            assert raised.value.reason == "certificate" and server.requests == []
        async with AiohttpTransport(trusting) as transport:
            assert (await transport.send(call(server.url))).status == 200


@pytest.mark.asyncio
async def test_plain_http_never_leaves_this_machine() -> None:
    """Requests are signed, not encrypted: other machines are called with TLS only."""
    async with AiohttpTransport() as transport:
        with pytest.raises(Bug):
            await transport.send(call("http://ecs.aliyuncs.com"))


@pytest.mark.asyncio
async def test_a_cancelled_call_gives_its_connection_up() -> None:
    """Cancelling in the middle leaves nothing open and the transport usable."""
    silent = Scripted(b"", After.HANG)
    async with scripted(silent, reply(200, b"{}")) as server, AiohttpTransport() as transport:
        waiting = asyncio.create_task(transport.send(call(server.url)))
        await server.arrived.wait()
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        assert (await transport.send(call(server.url))).status == 200


@pytest.mark.asyncio
async def test_what_a_peer_did_not_take_in_time_never_leaves() -> None:
    """A peer that reads nothing until the call was given up reads no whole request then."""
    given_up = asyncio.Event()
    heard = asyncio.get_running_loop().create_future()

    async def hung(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await given_up.wait()
        bytes_read = 0
        with contextlib.suppress(ConnectionError), contextlib.closing(writer):
            while piece := await reader.read(1 << 20):
                bytes_read += len(piece)
        heard.set_result(bytes_read)

    listening = await asyncio.start_server(hung, "127.0.0.1", 0)
    endpoint = f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}"
    huge = "a" * 32 * 1024**2  # more than the kernel takes on itself
    async with listening, AiohttpTransport() as transport:
        with pytest.raises(Lost):
            await transport.send(msgspec.structs.replace(call(endpoint, read_ms=50), query=huge))
        given_up.set()
        assert 0 < await heard < len(huge)


@pytest.mark.asyncio
async def test_no_call_waits_for_a_connection() -> None:
    """A call that queued inside the library could leave after its time: the pool has no limit."""
    async with scripted(Scripted(b"", After.HANG)) as server, AiohttpTransport() as transport:
        calls = [transport.send(call(server.url, read_ms=400)) for _ in range(120)]
        ended = await asyncio.gather(*calls, return_exceptions=True)
        assert all(isinstance(one, Lost) for one in ended)
        assert len(server.requests) == len(calls)


@pytest.mark.asyncio
async def test_a_body_has_a_bound_and_may_reach_it() -> None:
    """8 MiB are read to the last byte; one more is given up, and the next call is its own."""
    bound = b"x" * BODY_BYTES_MAX
    async with (
        scripted(reply(200, bound), reply(200, bound + b"x"), reply(200, b"{}")) as server,
        AiohttpTransport() as transport,
    ):
        assert (await transport.send(call(server.url))).body == bound
        with pytest.raises(Lost) as raised:
            await transport.send(call(server.url))
        assert raised.value.reason == "too_large"
        assert (await transport.send(call(server.url))).body == b"{}"


@pytest.mark.asyncio
async def test_in_process_calls_are_like_network_calls() -> None:
    """Headers answer to lower-case names, and the handler may lose a call."""

    def handle(asked: SignedCall) -> HttpReply:
        if asked.read_ms == 1:
            raise Lost("timeout")
        return HttpReply(200, {"Date": "D"}, asked.query.encode())

    transport = InProcessTransport(handle)
    got = await transport.send(call())
    assert got == HttpReply(200, {"date": "D"}, QUERY.encode())
    with pytest.raises(Lost):
        await transport.send(call(read_ms=1))
    await transport.aclose()


class Trick(enum.Enum):
    """Outcomes of one call with a failing server, proxy or caller."""

    WHOLE = "whole"
    IN_PIECES = "in pieces"
    IN_CHUNKS = "in chunks"
    INTERIM = "after an interim reply"
    TWICE = "twice"
    MORE_TO_COME = "followed by the begin of another reply"
    FAREWELL = "with the last word of the connection"
    BROKEN_OFF = "half"
    SILENT = "never"
    LATE = "after the time-out"
    GIVEN_UP = "after the caller went away"


LOST = (Trick.BROKEN_OFF, Trick.SILENT, Trick.LATE, Trick.GIVEN_UP)


@dataclass
class Echo(Server):
    """Answers each request with its own query, in the way that the query names."""

    scripts: Sequence[Scripted] = ()

    def answer(self, seen: ObservedGroup) -> Scripted:
        """See Server."""
        whole = reply(200, seen.query).raw
        match Trick(urllib.parse.unquote(seen.query.partition("=")[2])):
            case Trick.IN_PIECES:
                return Scripted(whole[:9], then=[whole[9:-3], whole[-3:]])
            case Trick.IN_CHUNKS:
                head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
                body = seen.query.encode()
                return Scripted(head + b"%x\r\n%s\r\n0\r\n\r\n" % (len(body), body))
            case Trick.INTERIM:
                return Scripted(b"HTTP/1.1 102 Processing\r\n\r\n" + whole)
            case Trick.TWICE:
                return Scripted(whole + whole)
            case Trick.MORE_TO_COME:
                return Scripted(whole + whole[:5])
            case Trick.FAREWELL:
                last = reply(200, seen.query, headers={"Connection": "close"})
                return Scripted(last.raw, After.CLOSE)
            case Trick.BROKEN_OFF:
                return Scripted(whole[:-1], After.CLOSE)
            case Trick.SILENT:
                return Scripted(b"", After.HANG)
            case Trick.LATE | Trick.GIVEN_UP:
                return Scripted(then=[b"", b"", whole])
            case Trick.WHOLE:
                return Scripted(whole)


async def _ask(transport: AiohttpTransport, url: str, n: int, trick: Trick) -> str:
    """The body of the reply to the n-th call; empty where it was lost or given up."""
    asked = msgspec.structs.replace(
        call(url, read_ms=10 if trick in {Trick.SILENT, Trick.LATE} else 2_000),
        query=f"{n}={urllib.parse.quote(trick.value)}",
    )
    try:
        async with asyncio.timeout(0.01 if trick is Trick.GIVEN_UP else None):
            return (await transport.send(asked)).body.decode()
    except (Lost, TimeoutError):
        return ""


async def _ask_in_turn(tricks: Sequence[Trick], callers: int) -> list[str]:
    """Return the reply of each call, with parallel callers on shared connections."""
    got = [""] * len(tricks)
    left = iter(enumerate(tricks))

    async def work() -> None:
        for n, trick in left:
            got[n] = await _ask(transport, server.url, n, trick)

    async with serving(Echo()) as server, AiohttpTransport() as transport:
        await asyncio.gather(*[work() for _ in range(callers)])
        assert len(server.requests) <= len(tricks), "no call is sent twice"
    return got


@settings(max_examples=30, derandomize=True)
@given(tricks=st.lists(st.sampled_from(Trick), min_size=2, max_size=10), callers=st.integers(1, 3))
def test_every_call_gets_its_own_reply_or_none(tricks: list[Trick], callers: int) -> None:
    """A call gets its own reply, regardless of earlier and parallel calls."""
    for n, got in enumerate(asyncio.run(_ask_in_turn(tricks, callers))):
        own = f"{n}={urllib.parse.quote(tricks[n].value)}"
        assert got == own or (got == "" and tricks[n] in LOST), tricks[n]
