"""The locks of a simulated run, taken and given back by the code and in the order of the commands.

Used by the world for each of its processes, and for rivals: other processes that want to go on with
the same run. Says in the story what was refused or taken over.
"""

from __future__ import annotations

from pathlib import Path

from rollout.errors import ConflictError
from rollout.journal import writer
from rollout.journal.locks import lock
from rollout.journal.locks.lock import Lock, Owner
from rollout.journal.writer import RunJournal
from rollout.model.time import Instant
from rollout.sim.world.disk import SimDisk
from rollout.sim.world.record import Story
from rollout.sim.world.scenario import Rival

HERE = "sim"
ELSEWHERE = "sim-2"


class Locks:
    """What the living process holds: first the lock of all runs, then that of its run."""

    def __init__(self, disk: SimDisk, story: Story, run_dir: Path) -> None:
        self.machine = HERE
        """Where the next process lives."""
        self._disk = disk
        self._story = story
        self._run_dir = run_dir
        self._held: list[Lock] = []

    def take_runs(self, now: Instant) -> None:
        """As every command that writes does before anything else."""
        path = self._run_dir.parent / lock.RUNS_LOCK
        self._held.append(self._take(path, Owner(self.machine, self._pid, now)))

    def take_run(self, now: Instant, epoch: int) -> None:
        """As it does once it knows the run."""
        owner = Owner(self.machine, self._pid, now, self._run_dir.name, epoch)
        self._held.append(self._take(self._run_dir / lock.RUN_LOCK, owner))
        self._held[0].name(owner)

    def guard(self, journal: RunJournal) -> None:
        """The journal counts as lost where one of these locks is."""
        journal.guard(*self._held)

    def release(self) -> None:
        """The process ends in order, or says why it does not."""
        while self._held:
            self._held.pop().release()

    def die(self) -> None:
        """The process is gone: nobody gives anything back."""
        self._held.clear()

    def contest(self, rival: Rival, now: Instant) -> None:
        """Another process tries to resume the run while one is alive: it must be refused."""
        owner = Owner(ELSEWHERE if rival.elsewhere else HERE, 0, now)
        for path in (self._run_dir.parent / lock.RUNS_LOCK, self._run_dir / lock.RUN_LOCK)[
            : rival.removes
        ]:
            self._disk.unlink(path)
        try:
            with (
                lock.take_runs(self._run_dir.parent, owner, disk=self._disk),
                lock.take_run(self._run_dir, owner, disk=self._disk),
            ):
                self._open()
                self._story.intruders.append(now)
        except ConflictError:
            words = ("lock refused", "second lock refused", "journal refused")
            self._story.count(words[rival.removes])

    def _open(self) -> None:
        """Open the journal for writing, as a resume does."""
        reader = writer.read(self._run_dir, disk=self._disk)
        for _ in reader:
            pass
        writer.reopen(reader).release()

    @property
    def _pid(self) -> int:
        return len(self._story.lives) + 1

    def _take(self, path: Path, owner: Owner) -> Lock:
        """Take one, whatever a dead process left in it, on this machine or another."""
        taken = lock.take(path, owner, self._disk)
        if taken.former is not None:
            elsewhere = taken.former.machine != owner.machine
            self._story.count("lock taken over elsewhere" if elsewhere else "lock taken over")
        return taken
