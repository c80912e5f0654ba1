"""The locks of a simulated run, taken and released by the code and in the order of the commands.

Used by the world for each of its processes, and for rivals: other processes that try to resume the
same run. Records which locks were refused or taken over.
"""

from __future__ import annotations

from pathlib import Path

from rollout.errors import ConflictError
from rollout.journal.directory import DirectoryRun, DirectoryStore, LockedDirectory
from rollout.journal.locks import lock
from rollout.journal.locks.leases import Leases, Timing
from rollout.journal.locks.lock import Owner
from rollout.journal.reader import Reader
from rollout.journal.writer import RunJournal
from rollout.model.event import Leased
from rollout.model.time import SECOND, Instant
from rollout.sim.time.heap import Time
from rollout.sim.time.suspension import ProcessClock
from rollout.sim.world.disk import SimDisk
from rollout.sim.world.leasing import Keeper, LeaseClock
from rollout.sim.world.record import RunRecord
from rollout.sim.world.scenario import Rival

HERE = "sim"
ELSEWHERE = "sim-2"
KERNEL = "kernel"
"""The id of the kernel of the machine `HERE`."""
RUNS = Path("runs")


class Locks:
    """The locks of the live process: first that of the store, then that of its run. A process with
    leases gives the first one back.
    """

    def __init__(self, disk: SimDisk, record: RunRecord, time: Time) -> None:
        self.machine = HERE
        """The host name of the next process."""
        self._disk = disk
        self._record = record
        self._run_dir = RUNS / record.run_id
        self._time = time
        self._clock = LeaseClock(time)
        self._leases: Leases | None = None
        self._locked: LockedDirectory | None = None
        self._journal: RunJournal | None = None

    def take(self, now: Instant) -> LockedDirectory:
        """Take the lock of the store, also from a dead process on this machine or another."""
        self._clock = LeaseClock(self._time)
        self._locked = locked = self._store(self.machine, len(self._record.processes) + 1, now)
        former = locked.held.former
        if former is not None:
            elsewhere = former.machine != self.machine
            self._record.count("lock taken over elsewhere" if elsewhere else "lock taken over")
        return locked

    def lease(self) -> list[Leased]:
        """Take the leases of the run, and return what the journal records about them.

        Errors: ConflictError if another run holds one.
        """
        if not self._record.scenario.leasing.used or self._locked is None:
            return []
        self._leases = leases = self._lease(self._locked)
        return leases.events

    def hold(self, journal: RunJournal) -> RunJournal:
        """Release this journal, and so the lock of its run, with the lock of the store."""
        self._journal = journal
        if self._leases is not None and self._locked is not None:
            self._locked.share(journal)
        return journal

    def keeper(self, process: ProcessClock) -> Keeper | None:
        """Return what renews the leases of a process with this clock; None without leases."""
        return None if self._leases is None else Keeper(self._leases, self._clock, process)

    @property
    def shared(self) -> bool:
        """Whether the live process gave the lock of the store back."""
        return self._leases is not None

    def release(self) -> None:
        """Release the locks of a process that ends regularly."""
        if self._journal is not None:
            self._journal.release()
        if self._locked is not None:
            self._locked.release()
        self.die()

    def die(self) -> None:
        """Drop the locks of a killed process without releasing them."""
        self._locked = self._journal = self._leases = None

    def contest(self, rival: Rival, now: Instant) -> None:
        """Let another process try to resume the run of a live one: it must be refused."""
        for path in (self._run_dir.parent / lock.RUNS_LOCK, self._run_dir / lock.RUN_LOCK)[
            : rival.removes
        ]:
            self._disk.unlink(path)
        try:
            with self._store(ELSEWHERE if rival.elsewhere else HERE, 0, now) as locked:
                if self._leases is not None:
                    self._lease(locked)
                locked.open(self._read(), 0, now).release()
                self._record.intruders.append(now)
        except ConflictError:
            words = ("lock refused", "second lock refused", "journal refused")
            word = "own lease refused" if self._leases is not None else words[rival.removes]
            self._record.count(word)

    def _read(self) -> Reader:
        reader = DirectoryRun(self._run_dir, self._disk).read()
        for _ in reader:
            pass
        return reader

    def _store(self, machine: str, pid: int, now: Instant) -> LockedDirectory:
        owner = Owner(machine, pid, now, boot=KERNEL if machine == HERE else "")
        timing = Timing(self._clock, self._sleep)
        store = DirectoryStore(RUNS, disk=self._disk, owner=owner, timing=timing)
        return store.lock_local(now, lambda _: self._record.count("lease awaited"))

    def _lease(self, locked: LockedDirectory) -> Leases:
        """Take the leases by the code of the command, whose waits let time pass here."""
        sites = {cell.site for _, cell in self._record.plan.cells()}
        taking = locked.lease(sites, self._record.digest, "sim")
        try:
            taking.send(None)
        except StopIteration as taken:
            leases: Leases = taken.value
            return leases
        raise AssertionError("nothing else waits")

    async def _sleep(self, seconds: float) -> None:
        self._time.advance(self._time.now + round(seconds * SECOND))
