"""Lock files: one process at a time drives runs in a directory, and one drives each run.

Called by the directory store. The kernel's lock on the file (`flock`) decides; the text in the file
only names its holder. On a file system that several machines share, `heartbeat` decides as well.
"""

from __future__ import annotations

import contextlib
import threading
from pathlib import Path
from typing import Self

import msgspec

from rollout.errors import ConflictError, Place, RolloutError
from rollout.journal.disk import REAL, LockFiles
from rollout.journal.reader import unusable
from rollout.model import time as times
from rollout.model.phrase import say
from rollout.model.time import Instant

RUNS_LOCK = ".lock"
RUN_LOCK = "lock"


class Owner(msgspec.Struct, frozen=True):
    """The process that holds a lock: host name, process id, start, run and epoch (0: unknown yet).

    `boot` identifies the running kernel and `token` the process; both may be empty. `beat` counts
    heartbeats.
    """

    machine: str
    pid: int
    since: Instant
    run: str = ""
    epoch: int = 0
    boot: str = ""
    token: str = ""
    beat: int = 0

    def __str__(self) -> str:
        what = f"run {self.run}" if self.run else "a run"
        since = times.format_instant(self.since)
        return f"{what} by process {self.pid} on {self.machine} since {since}"


class Lock:
    """A lock that is held until `release`, or until this process ends for any reason.

    `former` is the owner that ended without a release, None if there is none.
    """

    def __init__(self, disk: LockFiles, path: Path, handle: int) -> None:
        self.path = path
        self.former = parse(disk.read_lock(handle))
        self._disk = disk
        self._handle: int | None = handle
        self._identity = disk.fstat(handle).identity
        self._owner: Owner | None = None
        self._shared = False
        self._forfeited = ""
        self._writing = threading.Lock()

    def name(self, owner: Owner) -> None:
        """Write the owner, at first and when run or epoch become known. Errors: OSError."""
        with self._writing:
            if self._handle is not None:
                self._owner = owner
                self._disk.write_lock(self._handle, msgspec.json.encode(owner) + b"\n")

    def share(self) -> None:
        """From now on, the text of another owner means that the lock is lost."""
        self._shared = True

    def beat(self) -> bool:
        """Write one heartbeat; false if the lock is lost or released. Errors: OSError."""
        with self._writing:
            if self._handle is None or self._owner is None or self.lost():
                return False
            self._owner = msgspec.structs.replace(self._owner, beat=self._owner.beat + 1)
            self._disk.write_lock(self._handle, msgspec.json.encode(self._owner) + b"\n")
            return True

    def forfeit(self, why: str) -> None:
        """Count the lock as lost: its heartbeat cannot be written."""
        self._forfeited = f"{self.path}: {why}"

    def lost(self) -> str:
        """Return why this process lost the lock without releasing it; empty if it holds it."""
        if self._forfeited:
            return self._forfeited
        try:
            now = self._disk.stat(self.path)
            if now is None:
                return f"{self.path} was removed"
            if now.identity != self._identity:
                return f"{self.path} was replaced"
            if self._shared and self._owner is not None:
                found = parse(self._disk.text(self.path))
                if found is not None and found.token != self._owner.token:
                    return f"{self.path} was taken over for {found}"
        except OSError as error:
            return f"{self.path}: {error.strerror or error}"
        return ""

    def release(self) -> None:
        """Release the lock, and clear its text if possible. A second call does nothing."""
        with self._writing:
            if self._handle is None:
                return
            handle, self._handle = self._handle, None
            if not self.lost():
                with contextlib.suppress(OSError):
                    self._disk.write_lock(handle, b"")
            self._disk.close(handle)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.release()


def take_runs(runs_dir: Path, owner: Owner, *, disk: LockFiles = REAL) -> Lock:
    """Take the lock of all runs of a directory. Errors as `take`."""
    return take(runs_dir / RUNS_LOCK, owner, disk)


def take_run(run_dir: Path, owner: Owner, *, disk: LockFiles = REAL) -> Lock:
    """Take the lock of one run. Errors as `take`."""
    return take(run_dir / RUN_LOCK, owner, disk)


def take(path: Path, owner: Owner, disk: LockFiles) -> Lock:
    """Take a lock and replace its text with the owner.

    Errors: ConflictError R0603 if a live process holds it; StorageError R0802 if the file cannot be
    used.
    """
    lock = seize(path, disk)
    try:
        lock.name(owner)
    except OSError as error:
        lock.release()
        raise unusable(path, error) from None
    except BaseException:
        lock.release()
        raise
    return lock


def seize(path: Path, disk: LockFiles) -> Lock:
    """Take a lock and keep the text of its former owner. Errors as `take`."""
    try:
        handle = disk.open_lock(path)
    except OSError as error:
        raise unusable(path, error) from None
    try:
        if not disk.seize(handle):
            raise held(path, parse(disk.read_lock(handle)))
        lock = Lock(disk, path, handle)
    except OSError as error:
        disk.close(handle)
        raise unusable(path, error) from None
    except BaseException:
        disk.close(handle)
        raise
    return lock


def parse(text: bytes) -> Owner | None:
    """Return the owner in the text of a lock file, None if it names none."""
    try:
        return msgspec.json.decode(text.partition(b"\n")[0], type=Owner)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None


def held(path: Path, owner: Owner | None) -> RolloutError:
    """Return the error for a lock that another process holds."""
    who = say("another process") if owner is None else str(owner)
    return ConflictError.of(
        "R0603",
        say("the lock is held for {who}", who=who),
        place=Place(str(path)),
        help=say(
            "wait until that process finishes, or stop it with SIGTERM and wait for its last "
            "calls; a process that was stopped with SIGSTOP keeps its lock until it "
            "continues or is killed. Nothing was started here"
        ),
    )
