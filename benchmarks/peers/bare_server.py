"""A bare aiohttp server with one handler that returns a constant reply.

It is the upper bound for a Python server on aiohttp.
"""

from __future__ import annotations

import contextlib
import ssl
from collections.abc import AsyncIterator

from aiohttp import web


@contextlib.asynccontextmanager
async def serve(body: bytes, tls: ssl.SSLContext | None = None) -> AsyncIterator[str]:
    """Serve until the block ends: read the query and body of every request and reply with `body`.
    Yield the URL.
    """

    async def answer(request: web.BaseRequest) -> web.Response:
        _ = dict(request.query), await request.read()
        return web.Response(body=body, content_type="application/json")

    runner = web.ServerRunner(web.Server(answer, access_log=None))
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=tls)
        await site.start()
        yield f"{'https' if tls else 'http'}://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()
