"""A bare aiohttp client: sends requests that were signed in advance and does not parse replies.

It is the upper bound for a Python client on aiohttp.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Sequence

import aiohttp
from yarl import URL

Signed = tuple[str, dict[str, str]]
"""The URL with its query, and the headers."""


async def send_all(
    requests: Sequence[Signed], *, at_once: int, tls: ssl.SSLContext | None = None
) -> int:
    """POST all requests over new connections; see `send_over`."""
    async with session(tls) as connections:
        return await send_over(connections, requests, at_once=at_once)


def session(tls: ssl.SSLContext | None = None) -> aiohttp.ClientSession:
    """Yield connections that stay open between two calls of `send_over`."""
    return aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=tls or True, limit=0))


async def send_over(
    connections: aiohttp.ClientSession, requests: Sequence[Signed], *, at_once: int
) -> int:
    """POST all requests, `at_once` at a time. Return the number of replies with status 200."""
    prepared = iter([(URL(url, encoded=True), headers) for url, headers in requests])
    good = 0

    async def work() -> None:
        nonlocal good
        for url, headers in prepared:
            async with connections.post(url, headers=headers) as response:
                await response.read()
                good += response.status == 200

    async with asyncio.TaskGroup() as tasks:
        for _ in range(at_once):
            tasks.create_task(work())
    return good
