"""One process at a time: a lock file in the directory of all runs, and one in each run.

The disk's lock (`flock`) is the lock; the file's text only tells people who holds it. A dead
owner's lock is free at once. Knows nothing of journals.
"""

from __future__ import annotations

import contextlib
from pathlib import Path
from types import TracebackType
from typing import Self

import msgspec

from rollout.errors import ConflictError, Place, RolloutError
from rollout.journal.disk import REAL, LockFiles
from rollout.journal.reader import unusable
from rollout.model import time as times
from rollout.model.time import Instant

RUNS_LOCK = ".lock"
RUN_LOCK = "lock"


class Owner(msgspec.Struct, frozen=True):
    """Who holds a lock: machine, process, since when, which run in which epoch (0: not yet)."""

    machine: str
    pid: int
    since: Instant
    run: str = ""
    epoch: int = 0

    def __str__(self) -> str:
        what = f"run {self.run}" if self.run else "a run"
        since = times.format_instant(self.since)
        return f"{what} by process {self.pid} on {self.machine} since {since}"


class Lock:
    """A lock that is held until `release`, or until this process ends however it ends.

    `former` is the owner that died with it, None where it was given back in order.
    """

    def __init__(self, disk: LockFiles, handle: int, former: Owner | None) -> None:
        self._disk = disk
        self._handle: int | None = handle
        self.former = former

    def name(self, owner: Owner) -> None:
        """Say who holds it, for people: at first, and when run or epoch became known."""
        if self._handle is not None:
            self._disk.tell(self._handle, msgspec.json.encode(owner) + b"\n")

    def release(self) -> None:
        """Give it back; a second time does nothing. Where the disk refuses, the text stays."""
        if self._handle is not None:
            handle, self._handle = self._handle, None
            with contextlib.suppress(OSError):
                self._disk.tell(handle, b"")
            self._disk.close(handle)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.release()


def take_runs(runs_dir: Path, owner: Owner, *, disk: LockFiles = REAL) -> Lock:
    """The lock of all runs of a directory: no two of them at once. Errors as `take`."""
    return take(runs_dir / RUNS_LOCK, owner, disk)


def take_run(run_dir: Path, owner: Owner, *, disk: LockFiles = REAL) -> Lock:
    """The lock of one run. Errors as `take`."""
    return take(run_dir / RUN_LOCK, owner, disk)


def take(path: Path, owner: Owner, disk: LockFiles) -> Lock:
    """Take a lock or say who has it; never waits.

    Errors: ConflictError R0603 where a live process holds it, or where one of another machine did
    and nobody here can know whether it lives; StorageError R0802 where the file cannot be used.
    """
    try:
        handle = disk.open_lock(path)
    except OSError as error:
        raise unusable(path, error) from None
    try:
        lock = Lock(disk, handle, _seize(disk, handle, path, owner))
        lock.name(owner)
    except OSError as error:
        disk.close(handle)
        raise unusable(path, error) from None
    except BaseException:
        disk.close(handle)
        raise
    return lock


def _seize(disk: LockFiles, handle: int, path: Path, owner: Owner) -> Owner | None:
    """Lock the file; the owner that left it without giving it back."""
    free = disk.seize(handle)
    text = disk.told(handle)
    former = _owner(text)
    if not free:
        raise _held(path, former)
    if text and (former is None or former.machine != owner.machine):
        raise _foreign(path, former)
    return former


def _owner(text: bytes) -> Owner | None:
    try:
        return msgspec.json.decode(text.partition(b"\n")[0], type=Owner)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None


def _held(path: Path, owner: Owner | None) -> RolloutError:
    who = "another process" if owner is None else str(owner)
    return ConflictError.of(
        "R0603",
        f"the lock is held for {who}",
        place=Place(str(path)),
        help="wait until it has ended, or stop it (it drains); nothing was begun here",
    )


def _foreign(path: Path, owner: Owner | None) -> RolloutError:
    who = "an owner that cannot be read" if owner is None else str(owner)
    return ConflictError.of(
        "R0603",
        f"the lock was left behind for {who}; from here nobody can know whether that one lives",
        place=Place(str(path)),
        help=f"make sure that it has ended there, then remove {path} and try again",
    )
