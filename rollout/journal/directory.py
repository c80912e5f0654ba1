"""The directory store: each run is a directory with its plan, its journal, its lock and its inbox.

Implements `store.RunStore`. Symbolic links are not followed; every file is private to its user.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import socket
from collections.abc import AsyncIterator, Callable, Iterable
from pathlib import Path
from typing import Self

import msgspec

from rollout.errors import Problem, RolloutError
from rollout.journal import closing, inbox, runs_directory, writer
from rollout.journal.chain import Head
from rollout.journal.disk import REAL, Disk
from rollout.journal.follower import Follower
from rollout.journal.locks import driver, heartbeat, leases, lock
from rollout.journal.locks.leases import REAL_TIMING, Applicant, Leases, Timing
from rollout.journal.locks.lock import Lock, Owner
from rollout.journal.reader import PLAN, PREFIX, Reader, read, read_plan, run_id, unusable
from rollout.journal.schedules import DirectorySchedules
from rollout.journal.writer import RunJournal
from rollout.model.event import OperatorCommand, RunStarted
from rollout.model.plan import Plan
from rollout.model.site import Site
from rollout.model.time import Instant

SIDE = "notify"
"""Folder of a run's files that are not part of the journal."""


class DirectoryRun:
    """A run in a directory. Implements `store.StoredRun`."""

    def __init__(self, path: Path, disk: Disk = REAL) -> None:
        """Read the first line of the journal. A damaged run remains usable for its readers."""
        self.path = path
        self.damage: RolloutError | None = None
        self._disk = disk
        reader = self.read()
        try:
            next(iter(reader), None)
        except RolloutError as error:
            self.damage = error
        self.started: RunStarted | None = reader.started
        self.at: Instant = reader.started.at if reader.started else _created(path)

    @property
    def id(self) -> str:
        """See StoredRun. It is the name of the directory."""
        return self.path.name

    @property
    def location(self) -> str:
        """See StoredRun."""
        return str(self.path)

    def is_closed(self) -> bool:
        """See StoredRun."""
        return self.closed_at() is not None

    def closed_at(self) -> Instant | None:
        """See StoredRun."""
        return closing.closed_at(self.path, disk=self._disk)

    def read(self) -> Reader:
        """See StoredRun."""
        return read(self.path, disk=self._disk)

    def plan(self, digest: str) -> Plan:
        """See StoredRun."""
        return read_plan(self.path, digest, disk=self._disk)

    def plan_bytes(self) -> bytes:
        """See StoredRun."""
        path = self.path / PLAN
        try:
            with self._disk.read(path) as file:
                return file.read()
        except OSError as error:
            raise unusable(path, error) from None

    def follow(self, cursor: Head | None = None) -> Follower:
        """See StoredRun."""
        return Follower(self.path, cursor, disk=self._disk)

    def driver(self) -> str:
        """See StoredRun."""
        return driver.holder(self.path, disk=self._disk)

    def read_side(self, name: str) -> bytes | None:
        """See StoredRun."""
        path = self.path / SIDE / name
        try:
            with self._disk.read(path) as file:
                return file.read()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise unusable(path, error) from None

    def write_side(self, name: str, content: bytes) -> None:
        """See StoredRun."""
        folder = self.path / SIDE
        draft = folder / f".{name}.new"
        try:
            self._disk.mkdir(folder)
            self._disk.unlink(draft)
            self._disk.save(draft, content)
            self._disk.replace(draft, folder / name)
            self._disk.sync_dir(folder)
        except OSError as error:
            raise unusable(folder / name, error) from None

    def send(self, command: OperatorCommand) -> inbox.SentCommand:
        """See StoredRun."""
        return inbox.send(self.path, command, disk=self._disk)


class LockedDirectory:
    """A directory store whose lock this process holds. Implements `store.LockedStore`."""

    def __init__(
        self,
        path: Path,
        held: Lock,
        owner: Owner,
        disk: Disk,
        say: Callable[[str], None] = lambda _: None,
        timing: Timing = REAL_TIMING,
        *,
        shared: bool = False,
    ) -> None:
        """Hold `held`. `shared`: several machines may use the file system."""
        self.held = held
        self._say, self._timing, self._shared = say, timing, shared
        self._leases: Leases | None = None
        self._path, self._owner, self._disk = path, owner, disk

    def create(self, plan_digest: str, plan: bytes, now: Instant) -> RunJournal:
        """See LockedStore. The run's directory must exist before its lock."""
        name = run_id(plan_digest)
        journal = writer.create(self._path, name, plan, disk=self._disk)
        try:
            journal.guard(self.held, self._lock_run(name, 1, now))
        except BaseException:
            journal.release()
            raise
        return journal

    def open(self, read: Reader, epoch: int, now: Instant) -> RunJournal:
        """See LockedStore."""
        held = self._lock_run(read.run_dir.name, epoch, now)
        try:
            journal = writer.reopen(read)
        except BaseException:
            held.release()
            raise
        journal.guard(self.held, held)
        return journal

    async def lease(self, sites: Iterable[Site], plan_digest: str, user: str) -> Leases:
        """See LockedStore."""
        clock, flocks = self._timing.clock, not self._shared
        applicant = Applicant(
            self._path, run_id(plan_digest), user, self._owner, flocks, self._disk, clock
        )
        self._leases = await leases.take(sites, applicant, self._say, self._timing.sleep)
        return self._leases

    def share(self, journal: RunJournal) -> None:
        """See LockedStore. Not on a file system of several machines: there the lock of all runs,
        with its heartbeats, is the only one that they have in common.
        """
        if not self._shared:
            journal.guard_alone()
            self.held.release()

    def _lock_run(self, run: str, epoch: int, now: Instant) -> Lock:
        owner = msgspec.structs.replace(self._owner, since=now, run=run, epoch=epoch)
        held = lock.take_run(self._path / run, owner, disk=self._disk)
        try:
            self.held.name(owner)
        except BaseException as error:
            held.release()
            if isinstance(error, OSError):
                raise unusable(self.held.path, error) from None
            raise
        return held

    def release(self) -> None:
        """Give the lock and the leases back."""
        if self._leases is not None:
            self._leases.release()
        self.held.release()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.release()


class DirectoryStore:
    """All runs in the directory `path`. Implements `store.RunStore`.

    `owner` is the process that takes locks; by default this one.
    """

    def __init__(
        self,
        path: Path,
        *,
        disk: Disk = REAL,
        owner: Owner | None = None,
        timing: Timing = REAL_TIMING,
    ) -> None:
        self.path = path
        self._timing = timing
        self._disk = disk
        self._owner = this_process() if owner is None else owner

    def __str__(self) -> str:
        return str(self.path)

    def check(self, *, allow_unsafe: bool = False) -> list[Problem]:
        """See RunStore."""
        return runs_directory.check(self.path, allow_unsafe_fs=allow_unsafe)

    def check_new(self, *, allow_unsafe: bool = False) -> list[Problem]:
        """See RunStore."""
        return runs_directory.check_new(self.path, allow_unsafe_fs=allow_unsafe)

    def runs(self) -> list[DirectoryRun]:
        """See RunStore. A missing directory holds no runs."""
        try:
            names = [name for name in self._disk.names(self.path) if name.startswith(PREFIX)]
        except FileNotFoundError:
            return []
        except OSError as error:
            raise unusable(self.path, error) from None
        runs = (DirectoryRun(self.path / name, self._disk) for name in names)
        return sorted(runs, key=lambda run: (run.at, run.id))

    def schedules(self) -> DirectorySchedules:
        """See RunStore."""
        return DirectorySchedules(self.path, disk=self._disk)

    @contextlib.asynccontextmanager
    async def lock(
        self, now: Instant, say: Callable[[str], None] = lambda _: None
    ) -> AsyncIterator[LockedDirectory]:
        """See RunStore. On a file system that several machines share, heartbeats extend the lock:
        `say` receives how long they are awaited.
        """
        if not runs_directory.is_shared(self.path):
            with self.lock_local(now, say) as locked:
                yield locked
            return
        say(f"waiting up to {heartbeat.SILENT_S:.0f} s for a process on another machine")
        owner = msgspec.structs.replace(self._owner, since=now)
        held = await heartbeat.take_runs(self.path, owner, disk=self._disk)
        with (
            LockedDirectory(
                self.path, held, owner, self._disk, say, self._timing, shared=True
            ) as locked,
            heartbeat.Heart(held),
        ):
            yield locked

    def lock_local(
        self, now: Instant, say: Callable[[str], None] = lambda _: None
    ) -> LockedDirectory:
        """Take the lock on a file system that only this machine uses. Errors as `lock`."""
        owner = msgspec.structs.replace(self._owner, since=now)
        held = lock.take_runs(self.path, owner, disk=self._disk)
        return LockedDirectory(self.path, held, owner, self._disk, say, self._timing)


def this_process() -> Owner:
    """Return this process as the owner of locks that are not taken yet."""
    return Owner(socket.gethostname(), os.getpid(), 0, boot=driver.kernel(), token=_TOKEN)


def _created(path: Path) -> Instant:
    """Return when a run without a first line was created, 0 if that is unknown."""
    for one in (path / PLAN, path):
        with contextlib.suppress(OSError):
            return int(one.stat().st_mtime * 1000)
    return 0


_TOKEN = secrets.token_hex(8)
"""Identifies this process where host names and process ids repeat."""
