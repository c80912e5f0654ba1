"""The real service's host names in a private network, and a proxy, in front of an emulator.

Servers run in threads of the test process and record what they received.
"""

from __future__ import annotations

import base64
import contextlib
import http.client
import http.server
import json
import socket
import socketserver
import ssl
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple
from urllib.parse import parse_qs, urlsplit

import trustme

PROXY_LOGIN: Final = "operator:p%40ss"
_LOGIN_SENT = "Basic " + base64.b64encode(b"operator:p@ss").decode()
_DOMAINS = ("*.aliyuncs.com", "*.cn-hangzhou.aliyuncs.com", "*.cn-shanghai.aliyuncs.com")
STS_ACTIONS: Final = {"GetCallerIdentity", "AssumeRoleWithOIDC"}
_ROLE_KEYS = {
    "AccessKeyId": "emulator",
    "AccessKeySecret": "emulator-secret",
    "SecurityToken": "token",
    "Expiration": "2099-01-01T00:00:00Z",
}
_JSON = {"content-type": "application/json"}
_WRONG_PRODUCT = b'{"Code":"InvalidVersion","Message":"Specified parameter Version is not valid."}'


def certified(trusted: Path) -> ssl.SSLContext:
    """Return a server's TLS context for the service's hosts; its authority goes to `trusted`."""
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(trusted))
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(*_DOMAINS).configure_cert(tls)
    return tls


@contextlib.contextmanager
def serving(*servers: socketserver.BaseServer) -> Iterator[None]:
    """Serve in threads until the block ends."""
    for server in servers:
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    try:
        yield
    finally:
        for server in servers:
            server.shutdown()
            server.server_close()


class _Server(socketserver.ThreadingMixIn, socketserver.TCPServer):
    """A server on a socket that listens already, with a thread for each connection."""

    daemon_threads = True

    def __init__(
        self, listening: socket.socket, handler: type[socketserver.BaseRequestHandler]
    ) -> None:
        self.address: tuple[str, int] = listening.getsockname()[:2]
        super().__init__(self.address, handler, bind_and_activate=False)
        self.socket.close()
        self.socket = listening


class Call(NamedTuple):
    """One call as the service received it."""

    host: str
    action: str


class Service(_Server):
    """Receives calls over TLS and forwards them to an emulator.

    As of the real service, hosts of ECS refuse actions of STS, and the other way round. It answers
    AssumeRoleWithOIDC itself, with the emulator's keys.
    """

    def __init__(self, listening: socket.socket, tls: ssl.SSLContext, emulator: str) -> None:
        wrapped = tls.wrap_socket(listening, server_side=True, do_handshake_on_connect=False)
        super().__init__(wrapped, _Forward)
        self.emulator = urlsplit(emulator).netloc
        self.calls: list[Call] = []

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Print nothing about a connection that the client aborted."""


class _Forward(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Service

    def do_POST(self) -> None:
        """Forward the request unchanged, or refuse an action of the other product."""
        body = self.rfile.read(int(self.headers["content-length"] or 0))
        action = self.headers["x-acs-action"] or parse_qs(urlsplit(self.path).query)["Action"][0]
        call = Call(self.headers["host"], action)
        self.server.calls.append(call)
        if call.host.startswith("sts") != (action in STS_ACTIONS):
            self._reply(404, _JSON, _WRONG_PRODUCT)
            return
        if action == "AssumeRoleWithOIDC":
            self._reply(200, _JSON, json.dumps({"Credentials": _ROLE_KEYS}).encode())
            return
        with contextlib.closing(http.client.HTTPConnection(self.server.emulator)) as emulator:
            emulator.putrequest("POST", self.path, skip_host=True, skip_accept_encoding=True)
            for name, value in self.headers.items():
                emulator.putheader(name, value)
            emulator.endheaders(body)
            answer = emulator.getresponse()
            self._reply(answer.status, dict(answer.getheaders()), answer.read())

    do_GET = do_POST  # noqa: N815 - how the official library calls STS

    def _reply(self, status: int, headers: Mapping[str, str], body: bytes) -> None:
        self.send_response_only(status)
        for name, value in headers.items():
            if name.lower() not in {"content-length", "connection"}:
                self.send_header(name, value)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the library's name
        """Write nothing: `calls` is the log."""


class Proxy(_Server):
    """A proxy that requires a login and connects every host to one service."""

    def __init__(self, listening: socket.socket, service: Service) -> None:
        super().__init__(listening, _Tunnel)
        self.service = service
        self.relayed: list[str] = []
        self.refused: list[str] = []


class _Tunnel(socketserver.StreamRequestHandler):
    server: Proxy
    rbufsize = 0  # bytes behind the head are the tunnel's

    def handle(self) -> None:
        """Answer one CONNECT, then pass bytes on until both sides end."""
        method, target, _ = self.rfile.readline().decode().split()
        headers = http.client.parse_headers(self.rfile)
        if method != "CONNECT" or headers["proxy-authorization"] != _LOGIN_SENT:
            self.server.refused.append(target)
            self.wfile.write(b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n")
            return
        self.server.relayed.append(target)
        with socket.create_connection(self.server.service.address) as service:
            self.wfile.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
            back = threading.Thread(target=_pass_on, args=(service, self.connection), daemon=True)
            back.start()
            _pass_on(self.connection, service)
            back.join()


def _pass_on(source: socket.socket, target: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(65536):
            target.sendall(data)
        target.shutdown(socket.SHUT_WR)
