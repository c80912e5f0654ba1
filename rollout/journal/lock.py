"""One process at a time: a lock file in the directory of all runs, and one in each run.

The kernel's `flock` is the lock; the file's text only tells people who holds it. A dead owner's
lock is free at once. Knows nothing of journals.
"""

from __future__ import annotations

import fcntl
import os
from pathlib import Path
from types import TracebackType
from typing import Self

import msgspec

from rollout.errors import ConflictError, Place, RolloutError
from rollout.journal.reader import unusable
from rollout.model import time as times
from rollout.model.time import Instant


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

    def __init__(self, handle: int, former: Owner | None) -> None:
        self._handle: int | None = handle
        self.former = former

    def name(self, owner: Owner) -> None:
        """Say who holds it, for people: at first, and when run or epoch became known."""
        if self._handle is not None:
            text = msgspec.json.encode(owner) + b"\n"
            os.pwrite(self._handle, text, 0)
            os.ftruncate(self._handle, len(text))

    def release(self) -> None:
        """Give it back; a second time does nothing."""
        if self._handle is not None:
            handle, self._handle = self._handle, None
            os.ftruncate(handle, 0)
            os.close(handle)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.release()


def take_runs(runs_dir: Path, owner: Owner) -> Lock:
    """The lock of all runs of a directory: no two of them at once. Errors as `take`."""
    return take(runs_dir / ".lock", owner)


def take_run(run_dir: Path, owner: Owner) -> Lock:
    """The lock of one run. Errors as `take`."""
    return take(run_dir / "lock", owner)


def take(path: Path, owner: Owner) -> Lock:
    """Take a lock or say who has it; never waits.

    Errors: ConflictError R0603 where a live process holds it, or where one of another machine did
    and nobody here can know whether it lives; StorageError R0802 where the file cannot be used.
    """
    try:
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    except OSError as error:
        raise unusable(path, error) from None
    try:
        lock = Lock(handle, _seize(handle, path, owner))
        lock.name(owner)
    except OSError as error:
        os.close(handle)
        raise unusable(path, error) from None
    except BaseException:
        os.close(handle)
        raise
    return lock


def _seize(handle: int, path: Path, owner: Owner) -> Owner | None:
    """Lock the file; the owner that left it without giving it back."""
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        former = _owner(os.pread(handle, _TEXT_BYTES_MAX, 0))
        raise _held(path, former) from None
    text = os.pread(handle, _TEXT_BYTES_MAX, 0)
    former = _owner(text)
    if text and (former is None or former.machine != owner.machine):
        raise _foreign(path, former)
    return former


def _owner(text: bytes) -> Owner | None:
    try:
        return msgspec.json.decode(text, type=Owner)
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


_TEXT_BYTES_MAX = 4_096
