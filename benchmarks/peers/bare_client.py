"""Bare aiohttp as a client: requests that were signed beforehand, replies that nobody reads into.

The upper bound of what a Python client on aiohttp can do.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Sequence

import aiohttp
from yarl import URL

Signed = tuple[str, dict[str, str]]
"""URL with its query, and headers."""


async def send_all(
    requests: Sequence[Signed], *, at_once: int, tls: ssl.SSLContext | None = None
) -> int:
    """POST all of them over connections of their own; see `send_over`."""
    async with session(tls) as connections:
        return await send_over(connections, requests, at_once=at_once)


def session(tls: ssl.SSLContext | None = None) -> aiohttp.ClientSession:
    """Connections that stay open from one `send_over` to the next."""
    return aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=tls or True, limit=0))


async def send_over(
    connections: aiohttp.ClientSession, requests: Sequence[Signed], *, at_once: int
) -> int:
    """POST all of them, `at_once` at a time; the number of replies with status 200."""
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
