"""Receivers of notifications on this machine: they verify signatures as the real ones do."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import hmac
import json
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

SECRET = "SEC-canary-7f3a9d1c5b"
TOKEN = "canary-token-4e8d2b6a"


@dataclass
class Receiver:
    """One receiver. It answers `status` after `delay_s`; `got` are the accepted bodies."""

    port: int = 0
    status: int = 200
    delay_s: float = 0.0
    got: list[dict[str, Any]] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)

    @property
    def url(self) -> str:
        """The address, whose token is a credential."""
        return f"http://127.0.0.1:{self.port}/robot/send?access_token={TOKEN}"

    def answer(self, path: str, headers: dict[str, str], body: bytes) -> int:
        """Verify a request, and keep it if this receiver works."""
        time.sleep(self.delay_s)
        why = wrong(path, headers, body)
        if why:
            self.refused.append(why)
            return 401
        if self.status == 200:
            self.got.append(json.loads(body))
        return self.status


def wrong(path: str, headers: dict[str, str], body: bytes) -> str:
    """Return what is wrong with the signature of a request, or an empty text."""
    query = parse_qs(urlsplit(path).query)
    document = json.loads(body)
    if query.get("access_token") != [TOKEN]:
        return "no token"
    if "specversion" in document:
        content = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
        return _differs(f"v1,{_mac(SECRET, content)}", headers["webhook-signature"])
    if "msgtype" in document:
        content = f"{query['timestamp'][0]}\n{SECRET}".encode()
        return _differs(_mac(SECRET, content), query["sign"][0])
    return _differs(_mac(f"{document['timestamp']}\n{SECRET}", b""), document["sign"])


def _mac(key: str, message: bytes) -> str:
    return base64.b64encode(hmac.new(key.encode(), message, hashlib.sha256).digest()).decode()


def _differs(wanted: str, found: str) -> str:
    return "" if hmac.compare_digest(wanted, found) else "the signature is wrong"


@contextlib.contextmanager
def serve(receiver: Receiver) -> Iterator[Receiver]:
    """Serve a receiver until the block ends: on its port, or on a free one."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            headers = {name.lower(): value for name, value in self.headers.items()}
            status = receiver.answer(self.path, headers, body)
            reply = b'{"errcode":0,"code":0}'
            with contextlib.suppress(OSError):
                self.send_response(status)
                self.send_header("content-length", str(len(reply)))
                self.end_headers()
                self.wfile.write(reply)

        def log_message(self, *_: object) -> None:
            """Print nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", receiver.port), Handler)
    receiver.port = server.server_port
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield receiver
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
