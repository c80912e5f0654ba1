"""A cable instead of a socket: connects aiohttp's client and server protocols in memory.

Bytes arrive with delay and both sides parse them; timeouts, keep-alive, cut bodies and resets are
those of the library. Private names of aiohttp used here (`_create_connection`,
`_factory`) have a contract test each.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import aiohttp
from aiohttp import web

from rollout.ecs.transport import KEEP_ALIVE_S, AiohttpTransport
from rollout.sim.time.dice import Dice

if TYPE_CHECKING:
    from aiohttp.client_proto import ResponseHandler
    from aiohttp.client_reqrep import ClientRequest
    from aiohttp.tracing import Trace

LATENCY_MS = (5, 150)
GAP_S = 0.001
"""A socket is read once per round of its loop: these bytes are handled before the next."""
SPLIT_PERCENT = 10
"""Percentage of writes that arrive in two pieces: a stream has no boundaries."""

OnWrite = Callable[[bytes], None]
"""Called with the bytes that a client writes, before they are sent."""

_Item = bytes | ConnectionResetError | None
"""Data of a cable: bytes, a reset, or the end."""


class Plug(asyncio.Transport):
    """One end of a cable: the transport of its protocol. Data arrives late, and in order."""

    def __init__(self, dice: Dice, on_write: OnWrite | None = None) -> None:
        super().__init__()
        self.other: Plug
        self.cut = False
        self._loop = asyncio.get_running_loop()
        self._dice, self._on_write = dice, on_write
        self._protocol: asyncio.Protocol
        self._closing = False
        self._lost = False
        self._paused = False
        self._due = 0.0
        self._coming: deque[_Item] = deque()

    # what the protocol does

    def write(self, data: bytes | bytearray | memoryview[Any]) -> None:
        """See Transport. Writes after a close are dropped, as with a socket."""
        if self._closing or self.cut:
            return
        whole = bytes(data)
        if self._on_write is not None:
            self._on_write(whole)
        if len(whole) > 1 and self._dice.chance(SPLIT_PERCENT):
            middle = self._dice.between(1, len(whole) - 1)
            self._send(whole[:middle])
            self._send(whole[middle:])
        else:
            self._send(whole)

    def is_closing(self) -> bool:
        """See Transport."""
        return self._closing or self.cut

    def close(self) -> None:
        """See Transport: written data still arrives, then the other end reads the end."""
        self._end(None)

    def abort(self) -> None:
        """See Transport: the other end is reset."""
        self._end(ConnectionResetError())

    def pause_reading(self) -> None:
        """See Transport."""
        self._paused = True

    def resume_reading(self) -> None:
        """See Transport."""
        self._paused = False
        self._receive()

    def get_write_buffer_size(self) -> int:
        """See Transport: a cable takes everything at once."""
        return 0

    # what the cable does

    def plug_in(self, protocol: asyncio.Protocol) -> None:
        """Start: give the protocol its transport."""
        self._protocol = protocol
        protocol.connection_made(self)

    def die(self) -> None:
        """End the process at this end: it writes and receives nothing more, the other end is
        reset."""
        if not self.cut and not self._closing:
            self._send(ConnectionResetError())
        self.cut = True

    def _end(self, error: ConnectionResetError | None) -> None:
        if self._closing:
            return
        if not self.cut:
            self._send(error)
        self._closing = True
        self._loop.call_soon(self._lose, None)

    def _send(self, item: _Item) -> None:
        lag_s = self._dice.between(*LATENCY_MS) / 1000
        self._due = max(self._due + GAP_S, self._loop.time() + lag_s)
        self._loop.call_at(self._due, self.other.arrive, item)

    def arrive(self, item: _Item) -> None:
        """Receive data at this end."""
        self._coming.append(item)
        self._receive()

    def _receive(self) -> None:
        while self._coming and not (self._paused or self._closing or self.cut):
            item = self._coming.popleft()
            if isinstance(item, bytes):
                self._protocol.data_received(item)
            else:
                if item is None:
                    self._protocol.eof_received()
                self._closing = True
                self._lose(item)

    def _lose(self, error: ConnectionResetError | None) -> None:
        if not self._lost:
            self._lost = True
            self._protocol.connection_lost(error)


class Exchange:
    """Connects the cables of one process to the server. `on_write` receives what it sends."""

    def __init__(self, server: web.Server, dice: Dice, on_write: OnWrite | None = None) -> None:
        self._server, self._dice, self._on_write = server, dice, on_write
        self._plugs: list[Plug] = []
        self._cut = False

    async def join(self, client: asyncio.Protocol) -> None:
        """Connect a client's protocol to a new protocol of the server."""
        await asyncio.sleep(2 * self._dice.between(*LATENCY_MS) / 1000)
        here, there = Plug(self._dice, self._on_write), Plug(self._dice)
        here.other, there.other = there, here
        here.cut = self._cut
        self._plugs = [plug for plug in self._plugs if not plug.is_closing()]
        self._plugs.append(here)
        there.plug_in(self._server())
        here.plug_in(client)

    def cut(self) -> None:
        """Kill the process: it sends nothing more, data in flight still arrives."""
        self._cut = True
        for plug in self._plugs:
            plug.die()


class CableConnector(aiohttp.BaseConnector):
    """aiohttp's pool of connections, over cables of an exchange."""

    def __init__(self, exchange: Exchange) -> None:
        super().__init__(limit=0, keepalive_timeout=KEEP_ALIVE_S)
        self._exchange = exchange

    async def _create_connection(
        self,
        req: ClientRequest,
        traces: list[Trace],
        timeout: aiohttp.ClientTimeout,  # noqa: ASYNC109 - the library's signature
    ) -> ResponseHandler:
        """Called by the pool, with its timeout, if no connection is idle."""
        protocol = self._factory()
        await self._exchange.join(protocol)
        return protocol


class CableTransport(AiohttpTransport):
    """The real transport of the client, over cables."""

    def __init__(self, exchange: Exchange) -> None:
        super().__init__()
        self._exchange = exchange

    def connector(self) -> aiohttp.BaseConnector:
        """See AiohttpTransport."""
        return CableConnector(self._exchange)
