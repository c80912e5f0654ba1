"""A fetch returns a complete reply, or the cause of its absence; it stays on its host."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from aiohttp import web
from yarl import URL

from rollout.probes import fetch as module
from rollout.probes.fetch import BODY_BYTES_MAX, Fetched, NoReply, fetch

TIMEOUT_MS = 2_000


async def _page(request: web.BaseRequest) -> web.StreamResponse:
    match request.path:
        case "/hang":
            await asyncio.sleep(30)
        case "/large":
            return web.Response(body=b"x" * (BODY_BYTES_MAX + 1))
        case "/loop":
            raise web.HTTPFound("/loop")
        case "/moved":
            raise web.HTTPFound("/header")
        case "/away":
            raise web.HTTPFound("http://127.0.0.2:9/header")
        case "/header":
            return web.json_response({"token": request.headers.get("X-Token", "")})
        case "/cut":
            response = web.StreamResponse(headers={"content-length": "100"})
            await response.prepare(request)
            await response.write(b"short")
            assert request.transport is not None
            request.transport.abort()
            return response
    return web.Response(status=503, text="not json")


@asynccontextmanager
async def server() -> AsyncIterator[str]:
    """Serve `_page` on a free port; yield the address."""
    runner = web.ServerRunner(web.Server(_page), shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


async def _fetch(path: str, timeout_ms: int = TIMEOUT_MS) -> Fetched:
    async with server() as address:
        return await fetch(f"{address}{path}", {"X-Token": "planted"}, timeout_ms)


@pytest.mark.asyncio
async def test_any_status_is_a_reply() -> None:
    """A 503 is returned with its body; only reading it as JSON fails."""
    reply = await _fetch("/down")
    assert (reply.status, reply.body) == (503, b"not json")
    with pytest.raises(NoReply, match="not JSON"):
        reply.json()


@pytest.mark.asyncio
async def test_redirects_on_the_same_host_keep_the_headers() -> None:
    """The header arrives after a redirect within the host."""
    assert (await _fetch("/moved")).json() == {"token": "planted"}


@pytest.mark.asyncio
@pytest.mark.parametrize(
    "path,cause",
    [
        ("/away", "redirects to another host"),
        ("/loop", "redirects more than 3 times"),
        ("/large", "larger than 1 MiB"),
        ("/cut", "closed before the end"),
    ],
)
async def test_an_unusable_reply_is_none(path: str, cause: str) -> None:
    """The cause is named, and no header value is in it."""
    with pytest.raises(NoReply, match=cause) as caught:
        await _fetch(path)
    assert "planted" not in str(caught.value)


@pytest.mark.asyncio
async def test_silence_ends_with_the_timeout() -> None:
    """A server that accepts and never answers."""
    with pytest.raises(NoReply, match=r"no reply within 0\.2 s"):
        await _fetch("/hang", 200)


@pytest.mark.asyncio
@pytest.mark.parametrize(
    "url,cause",
    [
        ("http://127.0.0.1:1/", "no connection: Connection refused"),
        ("http://gate.invalid/", "cannot be resolved"),
    ],
)
async def test_a_host_without_connection(url: str, cause: str) -> None:
    """The cause does not repeat the URL."""
    with pytest.raises(NoReply, match=cause):
        await fetch(url, {}, TIMEOUT_MS)


@pytest.mark.asyncio
async def test_a_certificate_of_an_unknown_authority_is_not_accepted() -> None:
    """TLS is verified: a self-signed server proves nothing."""
    import ssl

    import trustme

    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    runner = web.ServerRunner(web.Server(_page))
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context).start()
    try:
        with pytest.raises(NoReply, match="certificate of the host is not valid"):
            await fetch(f"https://127.0.0.1:{runner.addresses[0][1]}/", {}, TIMEOUT_MS)
    finally:
        await runner.cleanup()


def test_the_proxy_is_that_of_the_environment_except_for_loopback(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As curl: by scheme, without the hosts of NO_PROXY."""
    monkeypatch.setenv("https_proxy", "http://proxy.internal:3128")
    monkeypatch.setenv("no_proxy", "alerts.internal")
    proxy = module.proxy_of
    assert proxy(URL("https://prom.example/")) == "http://proxy.internal:3128"
    assert proxy(URL("https://alerts.internal/")) is None
    assert proxy(URL("https://127.0.0.1/")) is None
    assert proxy(URL("http://prom.example/")) is None
