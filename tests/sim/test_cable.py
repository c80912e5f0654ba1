"""Cables and order: what aiohttp and anyio keep private and the simulated shell relies on."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

import aiohttp
import aiohttp.connector
import anyio
import pytest
from aiohttp import web
from anyio._backends import _asyncio as anyio_asyncio

from rollout.sim.time.dice import Dice
from rollout.sim.time.loop import VirtualLoop, run
from rollout.sim.time.order import InOrder, in_order
from rollout.sim.world.cable import CableConnector, Exchange

T = TypeVar("T")
URL = "http://127.0.0.1:1/"
Handler = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]


async def over_cables(
    handler: Handler, ask: Callable[[aiohttp.ClientSession, Exchange], Awaitable[T]]
) -> T:
    """What `ask` gets of a server with this handler."""
    server = web.Server(handler)
    exchange = Exchange(server, Dice(1, "cables"))
    async with aiohttp.ClientSession(connector=CableConnector(exchange)) as session:
        found = await ask(session, exchange)
    await server.shutdown(1)
    return found


async def echo(http: web.BaseRequest) -> web.StreamResponse:
    """Answer with the body, after a while that the query names."""
    await asyncio.sleep(float(http.query.get("after", "0")))
    return web.Response(body=await http.read())


def test_bytes_come_back_whole_and_on_one_connection() -> None:
    """Writes arrive in pieces and in order, and a connection is used again."""
    joined = []

    async def ask(session: aiohttp.ClientSession, exchange: Exchange) -> list[bytes]:
        join = exchange.join

        async def counting(protocol: asyncio.Protocol) -> None:
            joined.append(protocol)
            await join(protocol)

        exchange.join = counting  # type: ignore[method-assign, assignment]
        bodies = []
        for size in (1, 1_000, 300_000):
            async with session.post(URL, data=bytes(size)) as response:
                bodies.append(await response.read())
        return bodies

    assert run(over_cables, echo, ask) == [bytes(1), bytes(1_000), bytes(300_000)]
    assert len(joined) == 1


def test_time_outs_are_those_of_the_library() -> None:
    """A reply later than the time-out is a time-out, after exactly that time."""

    async def ask(session: aiohttp.ClientSession, _: Exchange) -> float:
        begun = asyncio.get_running_loop().time()
        with pytest.raises(aiohttp.SocketTimeoutError):
            await session.post(f"{URL}?after=60", timeout=aiohttp.ClientTimeout(sock_read=5))
        return asyncio.get_running_loop().time() - begun

    assert 5 <= run(over_cables, echo, ask) < 6


def test_a_reset_reaches_the_client() -> None:
    """What the server aborts is a reset for the client, whatever was to come."""

    async def resets(http: web.BaseRequest) -> web.StreamResponse:
        assert http.transport is not None
        http.transport.abort()
        return web.Response()

    async def ask(session: aiohttp.ClientSession, _: Exchange) -> None:
        with pytest.raises(aiohttp.ClientOSError):
            await session.post(URL)

    run(over_cables, resets, ask)


def test_a_cut_lets_arrive_what_is_under_way_and_nothing_else() -> None:
    """A dead process sends and receives nothing; data it sent before still arrives."""
    arrived = []

    async def notes(http: web.BaseRequest) -> web.StreamResponse:
        arrived.append(http.path)
        return web.Response()

    async def ask(session: aiohttp.ClientSession, exchange: Exchange) -> None:
        first = asyncio.ensure_future(session.post(f"{URL}first"))
        while not exchange._plugs or not exchange._plugs[0]._due:  # noqa: ASYNC110
            await asyncio.sleep(0.001)
        exchange.cut()
        for path in ("again", "more"):
            with pytest.raises(aiohttp.ClientError):
                await session.post(f"{URL}{path}")
        await asyncio.sleep(10)
        assert not first.done()
        first.cancel()

    run(over_cables, notes, ask)

    assert arrived == ["/first"]


def test_the_private_names_of_aiohttp_are_there() -> None:
    """The pool asks `_create_connection` for what `_factory` makes; ages come from `monotonic`."""

    async def look() -> None:
        connector = aiohttp.BaseConnector()
        try:
            assert asyncio.iscoroutinefunction(aiohttp.BaseConnector._create_connection)
            assert isinstance(connector._factory(), asyncio.Protocol)
        finally:
            await connector.close()

    asyncio.run(look())
    assert callable(aiohttp.connector.monotonic)  # type: ignore[attr-defined]


def test_an_idle_connection_ages_by_virtual_time() -> None:
    """Inside `in_order` the age of an idle connection is measured by the loop's clock."""

    async def main() -> float:
        with in_order(asyncio.get_running_loop().time):
            await asyncio.sleep(3)
            return aiohttp.connector.monotonic()  # type: ignore[attr-defined]

    assert run(main) == 3


def test_anyio_keeps_tasks_and_scopes_in_order() -> None:
    """`_tasks` and `_child_scopes` are ours inside `in_order`, and builtin sets again after it."""
    with in_order(lambda: 0.0):
        scope, group = anyio_asyncio.CancelScope(), anyio_asyncio.TaskGroup()
        assert isinstance(scope._tasks, InOrder)
        assert isinstance(scope._child_scopes, InOrder)
        assert isinstance(group._tasks, InOrder)
    assert type(anyio_asyncio.CancelScope()._tasks) is set


def test_tasks_are_cancelled_in_the_order_of_their_begin() -> None:
    """Cancelling a group reaches its tasks in the same order in every run."""

    async def main() -> list[int]:
        ended: list[int] = []

        async def wait(number: int) -> None:
            try:
                await anyio.sleep_forever()
            finally:
                ended.append(number)

        async with anyio.create_task_group() as tasks:
            for number in range(50):
                tasks.start_soon(wait, number)
            await anyio.sleep(1)
            tasks.cancel_scope.cancel()
        return ended

    with (
        in_order(lambda: 0.0),
        asyncio.Runner(loop_factory=VirtualLoop) as runner,
    ):
        assert runner.run(main()) == list(range(50))


def test_a_set_in_order_is_a_set() -> None:
    """Adding again changes nothing; removing what is not there fails as with a set."""
    things = InOrder([3, 1, 2])
    things.add(3)
    things.discard(7)
    things.remove(1)

    assert list(things) == [3, 2]
    assert 1 not in things
    with pytest.raises(KeyError):
        things.remove(1)
