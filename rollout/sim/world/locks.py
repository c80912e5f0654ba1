"""The locks of a simulated run, taken and released by the code and in the order of the commands.

Used by the world for each of its processes, and for rivals: other processes that try to resume the
same run. Records which locks were refused or taken over.
"""

from __future__ import annotations

from pathlib import Path

from rollout.errors import ConflictError
from rollout.journal.directory import DirectoryRun, DirectoryStore, LockedDirectory
from rollout.journal.locks import lock
from rollout.journal.locks.lock import Owner
from rollout.journal.reader import Reader
from rollout.journal.writer import RunJournal
from rollout.model.time import Instant
from rollout.sim.world.disk import SimDisk
from rollout.sim.world.record import RunRecord
from rollout.sim.world.scenario import Rival

HERE = "sim"
ELSEWHERE = "sim-2"


class Locks:
    """The locks of the live process: first that of the store, then that of its run."""

    def __init__(self, disk: SimDisk, record: RunRecord, run_dir: Path) -> None:
        self.machine = HERE
        """The host name of the next process."""
        self._disk = disk
        self._record = record
        self._run_dir = run_dir
        self._locked: LockedDirectory | None = None
        self._journal: RunJournal | None = None

    def take(self, now: Instant) -> LockedDirectory:
        """Take the lock of the store, also from a dead process on this machine or another."""
        self._locked = locked = self._store(self.machine, len(self._record.processes) + 1, now)
        former = locked.held.former
        if former is not None:
            elsewhere = former.machine != self.machine
            self._record.count("lock taken over elsewhere" if elsewhere else "lock taken over")
        return locked

    def hold(self, journal: RunJournal) -> RunJournal:
        """Release this journal, and so the lock of its run, with the lock of the store."""
        self._journal = journal
        return journal

    def release(self) -> None:
        """Release the locks of a process that ends regularly."""
        if self._journal is not None:
            self._journal.release()
        if self._locked is not None:
            self._locked.release()
        self.die()

    def die(self) -> None:
        """Drop the locks of a killed process without releasing them."""
        self._locked = self._journal = None

    def contest(self, rival: Rival, now: Instant) -> None:
        """Let another process try to resume the run of a live one: it must be refused."""
        for path in (self._run_dir.parent / lock.RUNS_LOCK, self._run_dir / lock.RUN_LOCK)[
            : rival.removes
        ]:
            self._disk.unlink(path)
        try:
            with self._store(ELSEWHERE if rival.elsewhere else HERE, 0, now) as locked:
                locked.open(self._read(), 0, now).release()
                self._record.intruders.append(now)
        except ConflictError:
            words = ("lock refused", "second lock refused", "journal refused")
            self._record.count(words[rival.removes])

    def _read(self) -> Reader:
        reader = DirectoryRun(self._run_dir, self._disk).read()
        for _ in reader:
            pass
        return reader

    def _store(self, machine: str, pid: int, now: Instant) -> LockedDirectory:
        owner = Owner(machine, pid, now)
        return DirectoryStore(self._run_dir.parent, disk=self._disk, owner=owner).lock_local(now)
