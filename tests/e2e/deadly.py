"""Run the command line and kill it at one point: `deadly.py "before sync:Restart 1" apply …`.

Used only by tests. It wraps the disk and the transport of this process, then runs `rollout`. When
the process reaches the point for the n-th time, it kills itself with SIGKILL.

A point is `before`, `half`, `during` or `after`, an operation, and a number. An operation is one of
the journal's disk (`write`, `sync`, `open`, `replace`, `save`), one of these on a file
(`save:journal.seal.new` for a temporary file of the seal), a write or sync of a line with a type of
record (`sync:Restart`), or a call that is sent (`send:RebootInstance`).
"""

from __future__ import annotations

import asyncio
import os
import re
import signal
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from rollout.cli import main
from rollout.ecs.transport import AiohttpTransport, SignedCall
from rollout.ecs.wire import HttpReply
from rollout.journal.disk import RealDisk
from rollout.model import limits

DURING_S = 0.3
"""Time from the start of a call to the kill: long enough for its bytes to be sent."""

_TEMPORARY = re.compile(r"^\.(.+)\.[0-9a-f]{16}\.new$")
"""Matches a name that `RealDisk.fresh` creates."""


class Point:
    """The point at which this process kills itself."""

    def __init__(self, text: str) -> None:
        self.when, self.what, times = text.split()
        self.times = int(times)
        self.passed: Counter[str] = Counter()

    def due(self, *names: str) -> bool:
        """Count these names of an operation; return whether the point is reached."""
        self.passed.update(names)
        return self.what in names and self.passed[self.what] == self.times


def die() -> None:
    """Kill this process with SIGKILL."""
    os.kill(os.getpid(), signal.SIGKILL)


def arm(point: Point) -> None:
    """Wrap the disk and the transport of this process."""
    _arm_files(point)
    _arm_lines(point)
    _arm_calls(point)
    if point.what.startswith("open:"):
        limits.SEGMENT_BYTES_MAX = 4_096  # the next segment starts early


def _arm_files(point: Point) -> None:
    """Wrap the operations whose last path is the file."""
    for operation in ("open", "save", "replace"):
        setattr(RealDisk, operation, _fatal(point, operation, getattr(RealDisk, operation)))


def _fatal(point: Point, operation: str, done: Callable[..., Any]) -> Callable[..., Any]:
    def wrapped(disk: RealDisk, *words: Any) -> Any:
        file = next(word for word in words if isinstance(word, Path))
        name = _TEMPORARY.sub(r"\1.new", file.name)
        due = point.due(operation, f"{operation}:{name}")
        if due and point.when == "before":
            die()
        result = done(disk, *words)
        if due:
            die()
        return result

    return wrapped


def _arm_lines(point: Point) -> None:
    """Wrap writes, and the syncs that make them durable, by the types of record in them."""
    write, sync = RealDisk.write, RealDisk.fdatasync
    unsynced: set[str] = set()

    def deadly_write(disk: RealDisk, handle: int, data: memoryview) -> int:
        kinds = set(re.findall(r'"type":"(\w+)"', bytes(data).decode()))
        unsynced.update(kinds)
        due = point.due("write", *(f"write:{kind}" for kind in kinds))
        if due and point.when == "half":
            write(disk, handle, data[: len(data) // 2])
        if due:
            die()
        return write(disk, handle, data)

    def deadly_sync(disk: RealDisk, handle: int) -> None:
        due = point.due("sync", *(f"sync:{kind}" for kind in unsynced))
        unsynced.clear()
        if due and point.when == "before":
            die()
        sync(disk, handle)
        if due:
            die()

    RealDisk.write = deadly_write  # type: ignore[method-assign,assignment]
    RealDisk.fdatasync = deadly_sync  # type: ignore[method-assign,assignment]


def _arm_calls(point: Point) -> None:
    send = AiohttpTransport.send

    async def deadly_send(transport: AiohttpTransport, call: SignedCall) -> HttpReply:
        asks = "DryRun=true" in call.query  # whether it may: nothing is lost with such a call
        due = not asks and point.due("send", f"send:{call.action}")
        if due and point.when == "before":
            die()
        if due and point.when == "during":
            asyncio.get_running_loop().call_later(DURING_S, die)
        reply = await send(transport, call)
        if due and point.when == "after":
            die()
        return reply

    AiohttpTransport.send = deadly_send  # type: ignore[method-assign,assignment]


if __name__ == "__main__":
    arm(Point(sys.argv.pop(1)))
    main.run()
