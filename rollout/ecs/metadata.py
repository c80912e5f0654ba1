"""Read the instance id of this machine from the ECS metadata service.

Called by `app.own_machine`. It is no call of the API: it needs no credentials and uses no proxy.
"""

from __future__ import annotations

from typing import Final

import aiohttp
import anyio

from rollout.model import limits
from rollout.model.instance import is_id

URL: Final = "http://100.100.100.200"
"""The same address on every instance. Source: ECS user guide, "Instance metadata"."""

_TOKEN: Final = "/latest/api/token"  # noqa: S105 - a path
_ID: Final = "/latest/meta-data/instance-id"
_TTL: Final = {"X-aliyun-ecs-metadata-token-ttl-seconds": "60"}
_REPLY_BYTES_MAX: Final = 1024


async def instance_id(url: str = URL) -> str:
    """Return the id of the instance that this process runs on; empty if there is no usable reply
    within `limits.METADATA_TIMEOUT_MS`, as on a machine outside ECS.
    """
    with anyio.move_on_after(limits.METADATA_TIMEOUT_MS / 1000):
        try:
            async with aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as session:
                token = await _read(session, "PUT", url + _TOKEN, _TTL)
                headers = {"X-aliyun-ecs-metadata-token": token} if token else {}
                found = await _read(session, "GET", url + _ID, headers)
                return found if is_id(found) else ""
        except (aiohttp.ClientError, OSError, ValueError):
            return ""
    return ""


async def _read(
    session: aiohttp.ClientSession, method: str, url: str, headers: dict[str, str]
) -> str:
    """Return the text of a reply; empty for another status than 200. Follows no redirect."""
    async with session.request(method, url, headers=headers, allow_redirects=False) as reply:
        body = await reply.content.read(_REPLY_BYTES_MAX)
        return body.decode("ascii").strip() if reply.status == 200 else ""
