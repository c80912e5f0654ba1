"""The command line with one fatal point in it: `deadly.py "before sync:Restart 1" apply …`.

A launcher of the tests; nothing of it is in the product. It wraps the disk and the transport of
this process, then does what `rollout` does, until the point is passed for the n-th time: there the
process kills itself by SIGKILL.

A point is `before`, `half`, `during` or `after`, what is done, and the how-manieth time. What is
done is an operation of the journal's disk (`write`, `sync`, `open`, `replace`, `save`), one of
those on a file (`save:journal.seal.new` for a temporary name of the seal), a write or sync of a
line that holds a kind of record (`sync:Restart`), or a call that leaves (`send:RebootInstance`).
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
"""From the beginning of a call to its death: long enough for its bytes to leave."""

_TEMPORARY = re.compile(r"^\.(.+)\.[0-9a-f]{16}\.new$")
"""A name that `RealDisk.fresh` makes."""


class Point:
    """Where this process dies."""

    def __init__(self, text: str) -> None:
        self.when, self.what, times = text.split()
        self.times = int(times)
        self.passed: Counter[str] = Counter()

    def due(self, *names: str) -> bool:
        """Whether what these names stand for, about to be done, is the fatal one."""
        self.passed.update(names)
        return self.what in names and self.passed[self.what] == self.times


def die() -> None:
    """What `kill -9` does."""
    os.kill(os.getpid(), signal.SIGKILL)


def arm(point: Point) -> None:
    """Put the point into the disk and the transport of this process."""
    _arm_files(point)
    _arm_lines(point)
    _arm_calls(point)
    if point.what.startswith("open:"):
        limits.SEGMENT_BYTES_MAX = 4_096  # a next segment comes early


def _arm_files(point: Point) -> None:
    """Operations whose last path names the file."""
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
    """Writes, and the syncs that make them durable, by the kinds of record in them."""
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
