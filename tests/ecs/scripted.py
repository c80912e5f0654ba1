"""Doubles of these tests: a clock that jumps, a server of scripted bytes, a client on either."""

from __future__ import annotations

import asyncio
import contextlib
import enum
import socket
import ssl
import struct
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field

from rollout.ecs.client import EcsClient
from rollout.ecs.credentials import Keyring, Secret, StaticSource
from rollout.ecs.endpoints import Endpoints
from rollout.ecs.governor import Governor
from rollout.ecs.transport import AiohttpTransport, Transport
from rollout.engines.clock import LoopClock
from rollout.model.time import Instant

NOW: Instant = 1_767_323_045_000
"""2026-01-02T03:04:05Z"""
DATE = "Fri, 02 Jan 2026 03:04:05 GMT"
FAR: Instant = 1 << 50
"""A `not_after` that never comes."""
REQUEST_ID = "473469C7-AA6F-4DC5-B3DB-A3DC0DE3C83E"


class JumpClock:
    """Time that passes only during a sleep."""

    def __init__(self, now: Instant = NOW) -> None:
        self.at = now

    def now(self) -> Instant:
        return self.at

    def expired(self, not_after: Instant) -> bool:
        return self.at > not_after

    async def sleep_until(self, instant: Instant) -> None:
        await asyncio.sleep(0)
        self.at = max(self.at, instant)


Clock = JumpClock | LoopClock


def static_keys(
    clock: Clock, key_id: str = "testid", secret: str = "testsecret", token: str = ""
) -> Keyring:
    """Keys that were handed in."""
    source = StaticSource(key_id, Secret(secret), Secret(token) if token else None)
    return Keyring(source, clock)


def client_on(
    transport: Transport,
    clock: Clock,
    *,
    endpoint: str = "",
    keyring: Keyring | None = None,
    governor: Governor | None = None,
    stopped: Callable[[], bool] = lambda: False,
) -> EcsClient:
    """A client with static keys and an account of its own."""
    return EcsClient(
        transport,
        keyring or static_keys(clock),
        clock,
        endpoints=Endpoints(endpoint),
        governor=governor or Governor(clock, rate_start=60_000),
        account="1234567890123456",
        stopped=stopped,
    )


class After(enum.Enum):
    """What happens to a connection after the bytes of a reply were sent."""

    KEEP = "keep"
    CLOSE = "close"
    RESET = "reset"
    HANG = "hang"
    FLOOD = "flood"


@dataclass(frozen=True, slots=True)
class Scripted:
    """The server's handling of one request: bytes to send, then what happens to the connection.

    The pieces of `then` follow one by one, 20 ms apart.
    """

    raw: bytes = b""
    after: After = After.KEEP
    then: Sequence[bytes] = ()


def reply(
    status: int,
    body: bytes | str = b"",
    *,
    headers: dict[str, str] | None = None,
    date: str = DATE,
    after: After = After.KEEP,
    missing_bytes: int = 0,
) -> Scripted:
    """A whole HTTP reply, or one that promises more than it holds."""
    data = body.encode() if isinstance(body, str) else body
    lines = [f"HTTP/1.1 {status} X", f"Content-Length: {len(data) + missing_bytes}"]
    lines += [f"Date: {date}"] if date else []
    lines += [f"{name}: {value}" for name, value in (headers or {}).items()]
    return Scripted("\r\n".join(lines).encode() + b"\r\n\r\n" + data, after)


@dataclass(frozen=True, slots=True)
class ObservedGroup:
    """A request as it arrived."""

    method: str
    path: str
    query: str
    headers: dict[str, str]


@dataclass
class Server:
    """Answers the n-th request with the n-th script, all further ones with the last."""

    scripts: Sequence[Scripted]
    requests: list[ObservedGroup] = field(default_factory=list)
    connections: list[asyncio.Task[None]] = field(default_factory=list)
    arrived: asyncio.Event = field(default_factory=asyncio.Event)
    url: str = ""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self.connections.append(task)
        with contextlib.suppress(ConnectionError, EOFError), contextlib.closing(writer):
            while True:
                self.requests.append(_seen((await reader.readuntil(b"\r\n\r\n")).decode()))
                self.arrived.set()
                if not await _play(self.answer(self.requests[-1]), writer):
                    break

    def answer(self, _: ObservedGroup) -> Scripted:
        """Return the script for the latest request."""
        return self.scripts[min(len(self.requests), len(self.scripts)) - 1]


def _seen(head: str) -> ObservedGroup:
    """Take a request head apart."""
    first, *lines = head.strip().split("\r\n")
    method, target, _ = first.split(" ")
    path, _, query = target.partition("?")
    headers = dict(line.split(": ", 1) for line in lines)
    return ObservedGroup(
        method, path, query, {name.lower(): value for name, value in headers.items()}
    )


async def _play(script: Scripted, writer: asyncio.StreamWriter) -> bool:
    """Send one script; false where the connection ends with it."""
    writer.write(script.raw)
    await writer.drain()
    for piece in script.then:
        await asyncio.sleep(0.02)
        writer.write(piece)
        await writer.drain()
    match script.after:
        case After.HANG:
            await asyncio.Event().wait()
        case After.FLOOD:
            while True:
                writer.write(b"x" * 65536)
                await writer.drain()
        case After.RESET:
            linger = struct.pack("ii", 1, 0)
            writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
    return script.after is After.KEEP


@contextlib.asynccontextmanager
async def scripted(*scripts: Scripted, tls: ssl.SSLContext | None = None) -> AsyncIterator[Server]:
    """Serve scripts on loopback."""
    async with serving(Server(scripts), tls) as server:
        yield server


@contextlib.asynccontextmanager
async def serving(server: Server, tls: ssl.SSLContext | None = None) -> AsyncIterator[Server]:
    """Let a server listen on loopback."""
    listening = await asyncio.start_server(server.serve, "127.0.0.1", 0, ssl=tls)
    port = listening.sockets[0].getsockname()[1]
    server.url = f"{'https' if tls else 'http'}://127.0.0.1:{port}"
    try:
        yield server
    finally:
        listening.close()
        for task in server.connections:
            task.cancel()
        await asyncio.gather(*server.connections, return_exceptions=True)
        await asyncio.sleep(0)  # what was closed gives its socket back in the next turn


@contextlib.asynccontextmanager
async def talking_to(
    *scripts: Scripted, clock: Clock | None = None
) -> AsyncIterator[tuple[EcsClient, Server]]:
    """A real client over a real socket to a scripted server."""
    async with scripted(*scripts) as server, AiohttpTransport() as transport:
        yield client_on(transport, clock or JumpClock(), endpoint=server.url), server
