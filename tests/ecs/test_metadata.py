"""The instance id of this machine, from a metadata service on the loopback network."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import anyio
import pytest
from aiohttp import web

from rollout.ecs import metadata
from rollout.model import limits

pytestmark = pytest.mark.asyncio
ID = "i-bp1abcdefgh1234"
Reply = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]


@asynccontextmanager
async def service(reply: Reply) -> AsyncIterator[str]:
    """Serve `reply` on a free port; yield the address."""
    runner = web.ServerRunner(web.Server(reply), shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


async def hardened(request: web.BaseRequest) -> web.StreamResponse:
    """A service that requires a token."""
    if request.method == "PUT" and request.path == "/latest/api/token":
        assert int(request.headers["X-aliyun-ecs-metadata-token-ttl-seconds"]) > 0
        return web.Response(text="T0")
    if request.headers.get("X-aliyun-ecs-metadata-token") != "T0":
        return web.Response(status=403)
    assert request.path == "/latest/meta-data/instance-id"
    return web.Response(text=f"{ID}\n")


async def open_to_all(request: web.BaseRequest) -> web.StreamResponse:
    """A service without tokens."""
    return web.Response(text=ID) if request.method == "GET" else web.Response(status=405)


async def login_page(_: web.BaseRequest) -> web.StreamResponse:
    """Another server that uses the address."""
    return web.Response(text="<html>Please log in</html>")


async def elsewhere(_: web.BaseRequest) -> web.StreamResponse:
    """A redirect to a server that would return an id."""
    raise web.HTTPFound("/latest/meta-data/instance-id")


async def silent(_: web.BaseRequest) -> web.StreamResponse:
    """A server that never replies."""
    await anyio.sleep(10)
    return web.Response()


@pytest.mark.parametrize(
    "reply, found",
    [(hardened, ID), (open_to_all, ID), (login_page, ""), (elsewhere, "")],
)
async def test_the_id_is_read_with_or_without_a_token(
    reply: Reply, found: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only an instance id is accepted, and a proxy of the environment is not used."""
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    monkeypatch.setenv("no_proxy", "")
    async with service(reply) as address:
        assert await metadata.instance_id(address) == found


async def test_silence_ends_after_the_timeout() -> None:
    """A machine outside ECS waits one second at most."""
    began = time.monotonic()
    async with service(silent) as address:
        assert await metadata.instance_id(address) == ""
        assert time.monotonic() - began < limits.METADATA_TIMEOUT_MS / 1000 + 1


async def test_no_connection_is_no_instance() -> None:
    """A refused connection is an answer: rollout runs elsewhere."""
    assert await metadata.instance_id("http://127.0.0.1:9") == ""
