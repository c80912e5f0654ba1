"""Which proxy leads to a host, and that calls pass through it unseen."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import ssl
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import pytest
import trustme

from rollout.ecs import proxies
from rollout.ecs.proxies import Proxies, Proxy
from rollout.ecs.transport import AiohttpTransport, NotSent, SignedCall
from rollout.errors import ConfigError, Exit
from tests.ecs.scripted import reply, scripted

HOST = "ecs.cn-beijing.aliyuncs.com"


@pytest.mark.parametrize(
    "environment,url",
    [
        ({}, None),
        ({"HTTPS_PROXY": ""}, None),
        ({"HTTP_PROXY": "http://p:1"}, None),
        ({"HTTPS_PROXY": "http://p:3128"}, "http://p:3128"),
        ({"https_proxy": "http://p:3128", "HTTPS_PROXY": "http://other"}, "http://p:3128"),
        ({"HTTPS_PROXY": "p:3128"}, "http://p:3128"),
        ({"HTTPS_PROXY": "https://p"}, "https://p"),
        ({"ALL_PROXY": "http://p:1/"}, "http://p:1"),
        ({"HTTPS_PROXY": "http://[::1]:3128"}, "http://[::1]:3128"),
    ],
)
def test_the_environment_names_the_proxy(environment: dict[str, str], url: str | None) -> None:
    """The variables of other programs are read as they read them."""
    found = proxies.read(environment).to(HOST)

    assert (found and found.url) == url


def test_a_login_is_taken_from_the_address_and_not_shown() -> None:
    """User and password are decoded and are no part of the address."""
    found = proxies.read({"HTTPS_PROXY": "http://me:p%40ss%2Fword@p:1"}).proxy

    assert found == Proxy("http://p:1", "me", "p@ss/word")
    assert "p@ss" not in repr(found)


@pytest.mark.parametrize("text", ["socks5://p:1", "http://:3128", "http://p:x", "http://"])
def test_an_unusable_proxy_is_a_configuration_error(text: str) -> None:
    """Nothing is sent past a proxy that cannot be used: exit 78 names the variable."""
    with pytest.raises(ConfigError, match="HTTPS_PROXY") as caught:
        proxies.read({"HTTPS_PROXY": text})

    assert caught.value.exit is Exit.CONFIG


@pytest.mark.parametrize(
    "bypass,direct",
    [
        ("", False),
        ("*", True),
        ("aliyuncs.com", True),
        (".aliyuncs.com", True),
        ("*.aliyuncs.com", True),
        ("ALIYUNCS.com:443", True),
        ("aliyuncs.com:80", False),
        (HOST, True),
        ("other.example, aliyuncs.com", True),
        ("yuncs.com", False),
        ("cn-beijing", False),
        (",", False),
        ("10.0.0.0/8", False),
    ],
)
def test_no_proxy_names_hosts_that_are_reached_directly(bypass: str, *, direct: bool) -> None:
    """A domain covers its subdomains, and nothing that only ends like it."""
    found = proxies.read({"HTTPS_PROXY": "http://p:1", "NO_PROXY": bypass})

    assert (found.to(HOST, 443) is None) is direct


@pytest.mark.parametrize("host", ["10.1.2.3", "fd00::7"])
def test_no_proxy_may_name_networks(host: str) -> None:
    """Addresses are compared with addresses and networks."""
    found = proxies.read({"https_proxy": "http://p:1", "no_proxy": "10.0.0.0/8,fd00::/16"})

    assert found.to(host) is None
    assert found.to("11.1.2.3") is not None


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "::1"])
def test_loopback_is_never_reached_through_a_proxy(host: str) -> None:
    """The emulator is on this machine."""
    assert proxies.read({"HTTPS_PROXY": "http://p:1"}).to(host) is None


@dataclass
class Tunnel:
    """A proxy that connects every name to one port of this machine, or refuses."""

    port: int = 0
    status: int = 200
    heads: list[str] = field(default_factory=list)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer one CONNECT and pass bytes on."""
        with contextlib.suppress(ConnectionError, EOFError), contextlib.closing(writer):
            self.heads.append((await reader.readuntil(b"\r\n\r\n")).decode())
            writer.write(f"HTTP/1.1 {self.status} word\r\n\r\n".encode())
            await writer.drain()
            if self.status != 200:
                return
            there, here = await asyncio.open_connection("127.0.0.1", self.port)
            with contextlib.closing(here):
                await asyncio.gather(_pass_on(reader, here), _pass_on(there, writer))


async def _pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(65536):
        writer.write(data)
        await writer.drain()
    writer.close()


@contextlib.asynccontextmanager
async def tunneling(tunnel: Tunnel) -> AsyncIterator[str]:
    """Let the proxy listen on loopback; its address."""
    server = await asyncio.start_server(tunnel.serve, "127.0.0.1", 0)
    async with server:
        yield f"127.0.0.1:{server.sockets[0].getsockname()[1]}"


def call(number: int = 1) -> SignedCall:
    """A call to the service's host."""
    headers = {"host": HOST, "x-acs-action": "DescribeRegions"}
    return SignedCall(
        "DescribeRegions", f"https://{HOST}", f"Secret={number}", headers, 2_000, 2_000
    )


def certified() -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """A server's certificate for the service's host, and a client that trusts it."""
    authority = trustme.CA()
    theirs = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(HOST).configure_cert(theirs)
    trusting = ssl.create_default_context()
    authority.configure_trust(trusting)
    return theirs, trusting


@pytest.mark.asyncio
async def test_calls_pass_through_the_proxy_by_connect() -> None:
    """The proxy learns the host and its own login, and sees nothing of the call; the connection is
    kept for the next one."""
    theirs, trusting = certified()
    tunnel = Tunnel()
    async with (
        scripted(reply(200, b"{}"), tls=theirs) as server,
        tunneling(tunnel) as address,
        AiohttpTransport(
            trusting, proxies=proxies.read({"HTTPS_PROXY": f"http://me:p%40ss@{address}"})
        ) as transport,
    ):
        tunnel.port = int(server.url.rpartition(":")[2])
        replies = [await transport.send(call(number)) for number in (1, 2)]

    assert [one.status for one in replies] == [200, 200]
    assert [seen.query for seen in server.requests] == ["Secret=1", "Secret=2"]
    (head,) = tunnel.heads
    assert head.startswith(f"CONNECT {HOST}:443 HTTP/1.1\r\n")
    login = base64.b64encode(b"me:p@ss").decode()
    assert f"proxy-authorization: basic {login}".lower() in head.lower()
    assert "Secret" not in head
    assert "proxy-authorization" not in server.requests[0].headers


@pytest.mark.asyncio
@pytest.mark.parametrize("status,reason", [(407, "proxy_login"), (403, "proxy_refused")])
async def test_a_proxy_that_refuses_was_sent_nothing(status: int, reason: str) -> None:
    """The call was not sent, and the reason names the proxy."""
    tunnel = Tunnel(status=status)
    async with (
        tunneling(tunnel) as address,
        AiohttpTransport(proxies=Proxies(Proxy(f"http://{address}"))) as transport,
    ):
        with pytest.raises(NotSent) as caught:
            await transport.send(call())

    assert caught.value.reason == reason


@pytest.mark.asyncio
async def test_a_proxy_that_is_not_there_is_named() -> None:
    """A closed port of the proxy is not taken for one of the service."""
    async with tunneling(Tunnel()) as address:
        pass
    async with AiohttpTransport(proxies=Proxies(Proxy(f"http://{address}"))) as transport:
        with pytest.raises(NotSent) as caught:
            await transport.send(call())

    assert caught.value.reason == "proxy_unreachable"


@pytest.mark.asyncio
async def test_the_certificate_is_the_services_behind_the_proxy_too() -> None:
    """A reply of a proxy is not mistaken for a reply of the service."""
    theirs, _ = certified()
    tunnel = Tunnel()
    async with (
        scripted(reply(200, b"{}"), tls=theirs) as server,
        tunneling(tunnel) as address,
        AiohttpTransport(proxies=Proxies(Proxy(f"http://{address}"))) as transport,
    ):
        tunnel.port = int(server.url.rpartition(":")[2])
        with pytest.raises(NotSent) as caught:
            await transport.send(call())

    assert caught.value.reason == "certificate"
    assert server.requests == []
