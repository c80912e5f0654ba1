"""Send one HTTP GET and return status and body, or the reason why there is no reply.

Called by the probes. It never retries, keeps no cookies and no connection, and follows redirects
only within the same scheme, host and port, so that headers with secrets stay there.
"""

from __future__ import annotations

import json
import os
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import aiohttp
import anyio
from yarl import URL

from rollout.model.address import is_loopback

BODY_BYTES_MAX: Final = 1024**2
"""Maximum size of a reply: answers for a machine are a few kilobytes."""
REDIRECTS_MAX: Final = 3


class NoReply(Exception):
    """There is no usable reply. The text is the cause, without values of headers."""


@dataclass(frozen=True, slots=True)
class Fetched:
    """A complete reply: status and body."""

    status: int
    body: bytes

    def json(self) -> Any:
        """Return the body as JSON. Errors: NoReply if it is not JSON."""
        try:
            return json.loads(self.body)
        except (ValueError, RecursionError):
            raise NoReply("the reply is not JSON") from None


async def fetch(url: str, headers: Mapping[str, str], timeout_ms: int) -> Fetched:
    """Return the reply to a GET of `url`, redirects included, within `timeout_ms` in total.

    Errors: NoReply.
    """
    try:
        with anyio.fail_after(timeout_ms / 1000):
            async with aiohttp.ClientSession(
                cookie_jar=aiohttp.DummyCookieJar(),
                timeout=aiohttp.ClientTimeout(),
                connector=aiohttp.TCPConnector(force_close=True),
            ) as session:
                return await _follow(session, URL(url), headers)
    except TimeoutError:
        raise NoReply(f"no reply within {timeout_ms / 1000:g} s") from None
    except (aiohttp.ClientError, OSError, ValueError) as error:
        raise NoReply(_cause(error)) from None


async def _follow(session: aiohttp.ClientSession, url: URL, headers: Mapping[str, str]) -> Fetched:
    origin = url.origin()
    for _ in range(REDIRECTS_MAX + 1):
        async with session.get(
            url, headers=headers, allow_redirects=False, proxy=proxy_of(url)
        ) as reply:
            if reply.status not in (301, 302, 303, 307, 308):
                return Fetched(reply.status, await _body(reply.content))
            target = url.join(URL(reply.headers.get("location", "")))
        if target.scheme not in ("http", "https") or target.origin() != origin:
            raise NoReply("it redirects to another host, which is not followed")
        url = target
    raise NoReply(f"it redirects more than {REDIRECTS_MAX} times")


async def _body(content: aiohttp.StreamReader) -> bytes:
    body = bytearray()
    async for chunk in content.iter_any():
        body += chunk
        if len(body) > BODY_BYTES_MAX:
            raise NoReply(f"the reply is larger than {BODY_BYTES_MAX // 1024**2} MiB")
    return bytes(body)


def proxy_of(url: URL) -> str | None:
    """Return the proxy that the environment names for this URL, as curl reads it."""
    host = url.host or ""
    if is_loopback(host) or urllib.request.proxy_bypass(host):
        return None
    proxies = urllib.request.getproxies_environment()
    return proxies.get(url.scheme) or proxies.get("all")


def _cause(error: Exception) -> str:
    """Return the cause in a few words. The library's text may repeat the URL."""
    match error:
        case aiohttp.ClientConnectorDNSError():
            return "the host name cannot be resolved"
        case aiohttp.ClientConnectorCertificateError():
            return "the certificate of the host is not valid"
        case aiohttp.ClientSSLError():
            return "no TLS connection to the host"
        case aiohttp.ClientProxyConnectionError() | aiohttp.ClientHttpProxyError():
            return "no connection through the proxy"
        case aiohttp.ClientConnectorError(os_error=OSError(errno=number)) if number is not None:
            return f"no connection: {os.strerror(number)}"
        case aiohttp.ClientPayloadError() | aiohttp.ServerDisconnectedError() | ConnectionError():
            return "the connection was closed before the end of the reply"
        case _:
            return "the reply is not HTTP"
