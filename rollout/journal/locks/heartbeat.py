"""The lock of all runs on a file system that several machines share (`--allow-unsafe-fs`).

Called by the directory store. One machine's kernel may not know another's lock, so the holder
writes heartbeats into the lock file, and the lock is free after they stopped.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

import anyio

from rollout.journal.disk import REAL, LockFiles
from rollout.journal.locks import lock
from rollout.journal.locks.lock import Lock, Owner
from rollout.journal.reader import unusable

BEAT_S = 5.0
"""Seconds between two heartbeats of a holder."""
POLL_S = 2.0
"""Seconds between two reads of another machine's lock."""
SILENT_S = 60.0
"""Seconds without a heartbeat, on the observer's monotonic clock, after which a lock is free."""
SETTLE_S = 3.0
"""Seconds until a new holder reads its own name back. If two machines take a free lock at the same
moment, both have written by then, and the last writer wins."""


@dataclass(frozen=True, slots=True)
class Pace:
    """The clock of the waiting process. Clocks of two machines are never compared."""

    now: Callable[[], float] = time.monotonic
    sleep: Callable[[float], Awaitable[None]] = anyio.sleep


REAL_PACE = Pace()


async def take_runs(
    runs_dir: Path, owner: Owner, *, disk: LockFiles = REAL, pace: Pace = REAL_PACE
) -> Lock:
    """Take the lock of all runs; waits up to SILENT_S for heartbeats of a holder elsewhere.

    Errors: ConflictError R0603 where a process on this machine or elsewhere holds it; StorageError
    R0802 where the file cannot be used.
    """
    path = runs_dir / lock.RUNS_LOCK
    taken = lock.seize(path, disk)
    try:
        await _outlast(taken, owner, disk, pace)
        taken.name(owner)
        taken.share()
        await pace.sleep(SETTLE_S)
        if taken.lost():
            raise lock.held(path, lock.parse(disk.text(path)))
    except OSError as error:
        taken.release()
        raise unusable(path, error) from None
    except BaseException:
        taken.release()
        raise
    return taken


class Watch:
    """Waits for a change of a lock file's text. Errors of `poll`: OSError."""

    def __init__(
        self, path: Path, seconds: float, *, disk: LockFiles, now: Callable[[], float]
    ) -> None:
        self._path, self._disk, self._now = path, disk, now
        self._before = disk.text(path)
        self._until = now() + seconds

    def poll(self) -> bool | None:
        """Return true after a heartbeat, false after the time without one, None before."""
        if self._disk.text(self._path) != self._before:
            return True
        return False if self._now() >= self._until else None


async def _outlast(taken: Lock, owner: Owner, disk: LockFiles, pace: Pace) -> None:
    """Return when no other machine holds the lock. R0603 if one does."""
    if not disk.text(taken.path) or _same_kernel(taken.former, owner):
        return
    watch = Watch(taken.path, SILENT_S, disk=disk, now=pace.now)
    while (beaten := watch.poll()) is None:
        await pace.sleep(POLL_S)
    if beaten:
        raise lock.held(taken.path, lock.parse(disk.text(taken.path)))


def _same_kernel(former: Owner | None, owner: Owner) -> bool:
    """Return whether the former owner ran under this kernel, which has released its lock."""
    return former is not None and former.boot == owner.boot != ""


class Heart:
    """Write heartbeats to a lock from a separate thread, also while the event loop is busy."""

    def __init__(self, held: Lock, beat_s: float = BEAT_S) -> None:
        self._held, self._beat_s = held, beat_s
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="heartbeat", daemon=True)

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        """Stop, and wait for a heartbeat that is being written."""
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stop.wait(self._beat_s):
            try:
                if not self._held.beat():
                    return
            except OSError as error:
                self._held.forfeit(str(error.strerror or error))
                return
