"""Servers in their own processes, so that a client's CPU time contains no server time.

`with running(...) as server` starts a server. Afterwards `server.cpu_s` is the CPU time of its
requests. `python -m benchmarks.servers` is the child process: it reads its settings from stdin and
ends when stdin closes.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import ssl
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import msgspec

from benchmarks import world
from benchmarks.peers import bare_server
from rollout.emulator.cloud.fleet import Fleet
from rollout.emulator.cloud.switches import Switches
from rollout.emulator.dispatch import Cloud
from rollout.emulator.fleet import synthetic
from rollout.emulator.http import server
from rollout.emulator.messages import Reply, Request

_ROOT = Path(__file__).resolve().parent.parent


class Settings(msgspec.Struct, frozen=True):
    """Settings of a server. With `body` it returns this constant reply; otherwise it is the
    emulator with `size` instances.

    `certificate` is a PEM file with key and chain, `speed` the speed of the emulator's clock. With
    `counting` the emulator counts its calls by action.
    """

    body: str | None = None
    size: int = 0
    boot_ms: int = 5_000
    speed: int = 1
    counting: bool = False
    certificate: str = ""


class Running:
    """A running server. `cpu_s` and `calls` (of the emulator, by action) are set when it ends."""

    def __init__(self, url: str, requests: IO[bytes], replies: IO[bytes]) -> None:
        self.url = url
        self._requests, self._replies = requests, replies
        self.cpu_s = 0.0
        self.calls: dict[str, int] = {}

    def spent(self) -> float:
        """Return the CPU seconds used so far. This request costs about as much as one call."""
        self._requests.write(b"\n")
        self._requests.flush()
        return float(self._replies.readline())


@contextlib.contextmanager
def running(settings: Settings) -> Iterator[Running]:
    """Run a server in a child process until the block ends."""
    with subprocess.Popen(
        [sys.executable, "-m", "benchmarks.servers"],
        cwd=_ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as child:
        assert child.stdout is not None  # noqa: S101 - a pipe was requested above
        assert child.stdin is not None  # noqa: S101 - a pipe was requested above
        child.stdin.write(msgspec.json.encode(settings) + b"\n")
        child.stdin.flush()
        url = child.stdout.readline().decode().strip()
        found = Running(url, child.stdin, child.stdout)
        try:
            yield found
        finally:
            child.stdin.close()
            last = child.stdout.readline()
            if last:
                found.cpu_s, found.calls = msgspec.json.decode(
                    last, type=tuple[float, dict[str, int]]
                )


async def _serve(settings: Settings) -> None:
    tls = None
    if settings.certificate:
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        tls.load_cert_chain(settings.certificate)
    calls: Counter[str] = Counter()
    if settings.body is not None:
        serving = bare_server.serve(settings.body.encode(), tls)
    else:
        now = server.wall_clock_ms()
        fleet = world.linux_fleet(settings.size, now=now)
        cloud = (_Counting if settings.counting else Cloud)(
            fleet, Switches(boot_time_ms=settings.boot_ms)
        )
        if isinstance(cloud, _Counting):
            calls = cloud.counts
        for name in world.REGIONS:
            line = synthetic.ed25519_line(b"1" * 32, "next")
            cloud.pairs.add(name, world.KEY_NAME, line, now)
        serving = server.serve(
            cloud,
            clock=lambda: now + (server.wall_clock_ms() - now) * settings.speed,
            tls=tls,
        )
    async with serving as url:
        gc.collect()  # garbage of the start must not be collected during a request
        print(url, flush=True)
        before = time.process_time()
        while await asyncio.to_thread(sys.stdin.readline):
            print(time.process_time() - before, flush=True)
        print(msgspec.json.encode((time.process_time() - before, calls)).decode(), flush=True)


class _Counting(Cloud):
    """A cloud that counts the calls it receives, by action."""

    def __init__(self, fleet: Fleet, switches: Switches) -> None:
        super().__init__(fleet, switches)
        self.counts: Counter[str] = Counter()

    def handle(self, request: Request, now: int) -> Reply:
        """Handle one call as Cloud does."""
        self.counts[request.action] += 1
        return super().handle(request, now)


if __name__ == "__main__":
    asyncio.run(_serve(msgspec.json.decode(sys.stdin.readline(), type=Settings)))
