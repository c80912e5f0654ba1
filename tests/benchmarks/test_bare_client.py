"""The bare client of the benchmarks counts correctly, because a ratio depends on it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from unittest.mock import Mock

import aiohttp
import aioresponses
import aioresponses.core
import pytest

from benchmarks.peers import bare_client

URL = "https://ecs.cn-beijing.aliyuncs.com/?RegionId=cn-beijing"


class Shimmed(aiohttp.ClientResponse):
    """Adds an argument that aiohttp 3.14 requires and aioresponses 0.7.9 does not know."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        kwargs.setdefault("stream_writer", Mock(output_size=0))
        super().__init__(*args, **kwargs)


@pytest.fixture
def mocked(monkeypatch: pytest.MonkeyPatch) -> Iterator[aioresponses.aioresponses]:
    """Returns scripted replies and raises scripted exceptions, without a socket."""
    monkeypatch.setattr(aioresponses.core, "ClientResponse", Shimmed)
    with aioresponses.aioresponses() as mock:
        yield mock


@pytest.mark.asyncio
async def test_the_shim_for_aioresponses_is_still_needed() -> None:
    """The argument is still missing in aioresponses. If this test fails, remove `Shimmed`."""
    with aioresponses.aioresponses() as mock:
        mock.post(URL)
        async with aiohttp.ClientSession() as session:
            with pytest.raises(TypeError, match="stream_writer"):
                await session.post(URL)


@pytest.mark.asyncio
async def test_only_good_replies_count(mocked: aioresponses.aioresponses) -> None:
    """Refused calls do not count, because a server that throttles is fast."""
    for status in (200, 429, 200, 503):
        mocked.post(URL, status=status, body=b"{}")
    assert await bare_client.send_all([(URL, {})] * 4, at_once=2) == 2


@pytest.mark.asyncio
async def test_a_lost_call_ends_the_measurement(mocked: aioresponses.aioresponses) -> None:
    """A count below the number of requested calls is an error, not a result."""
    mocked.post(URL, exception=aiohttp.ServerDisconnectedError())
    with pytest.raises(ExceptionGroup):
        await bare_client.send_all([(URL, {})], at_once=1)
