"""Seeds of schedules: two schedulers on one runs directory, kills, clocks that move, and a ledger.

`python -m tests.app.scheduled --seeds N [--start S]` prints each seed that breaks a rule. The real
scheduler, engine and client run in virtual time, with files in a temporary directory.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
import tempfile
from collections import Counter
from collections.abc import Container, Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

import anyio
import pytest

from rollout import logs
from rollout.app import runs, schedule_book, scheduler, schedules, ticks
from rollout.app.audit import verify_journal
from rollout.app.session import Connection, Session
from rollout.emulator.cloud.switches import Switches
from rollout.emulator.dispatch import Cloud as EmulatedCloud
from rollout.emulator.fault_plan import FaultPlan
from rollout.emulator.faults import Fault
from rollout.emulator.fleet import synthetic
from rollout.journal import disk
from rollout.journal.directory import DirectoryStore
from rollout.journal.disk import RealDisk
from rollout.journal.locks.lock import Owner
from rollout.journal.store import StoredRun
from rollout.model.event import RunClosed
from rollout.model.schedule_event import ScheduleEvent, TickEnded, TickOutcome, TickPlanned
from rollout.model.time import HOUR, MINUTE, SECOND, Duration, Instant, format_instant
from rollout.sim.time import loop
from rollout.sim.time.dice import Dice
from tests.app import service as stage
from tests.app.virtual import VirtualService
from tests.core import test_fuzz_schedules as fuzz

SPEC = """\
apiVersion: rollout/v1
kind: KeyRotation
metadata: { name: fleet }
spec:
  keyPair: { name: "ops-{year}-{month}-{day}", publicKeyFile: new.pub, ensure: import }
  inventory: [ { source: ecs, regions: [cn-hangzhou] } ]
  restart: { settleWindow: 1m, timeout: 5m }
  budgets: [ { by: fleet, maxDown: 50% } ]
  waves: [ { name: all, size: rest } ]
  schedule: { cron: "CRON", timeZone: ZONE, onDue: planAndApply, overlap: LAP, catchUp: LATE }
"""
STARTS = (1_774_742_400_000, 1_792_879_200_000, 1_800_000_000_000)
"""Hours before the clocks change in Berlin, to summer and to winter time, and a common day."""
BUSY_MS: Duration = 78 * HOUR
CALM_MS: Duration = 6 * HOUR
POLL_S = 240.0
HELD = ("in_doubt", "foreign_key", "failures")
"""Halts after which only an operator may continue a run, so that its tick stays open."""


class Killed(BaseException):
    """The process was killed here. No handler of errors catches it."""


class MortalDisk(RealDisk):
    """The files of one process, which is killed after `left` effects or by `die`. The kernel closes
    its files then, and nothing that it does has an effect any more. Needs no durability: the
    machine keeps running.
    """

    def __init__(self, left: int | None) -> None:
        self.dead = False
        self._left, self._handles = left, set[int]()

    def die(self) -> None:
        """Kill the process."""
        self.dead = True
        for handle in self._handles:
            os.close(handle)
        self._handles.clear()

    def _effect(self) -> None:
        if self._left is not None:
            self._left -= 1
            if self._left == 0:
                self.die()
        if self.dead:
            raise Killed

    def _opened(self, handle: int) -> int:
        self._handles.add(handle)
        return handle

    def open(self, path: Path) -> int:
        """See Disk."""
        self._effect()
        return self._opened(super().open(path))

    def open_lock(self, path: Path) -> int:
        """See LockFiles."""
        self._effect()
        return self._opened(super().open_lock(path))

    def close(self, handle: int) -> None:
        """See Disk and LockFiles."""
        if handle in self._handles:
            self._handles.remove(handle)
            super().close(handle)

    def mkdir_new(self, path: Path) -> None:
        """See Disk."""
        self._effect()
        super().mkdir_new(path)

    def save(self, path: Path, data: bytes) -> None:
        """See Disk."""
        self._effect()
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(data)

    def replace(self, source: Path, target: Path) -> None:
        """See Disk."""
        self._effect()
        super().replace(source, target)

    def link(self, source: Path, target: Path) -> None:
        """See Disk."""
        self._effect()
        super().link(source, target)

    def unlink(self, path: Path) -> None:
        """See Disk."""
        self._effect()
        super().unlink(path)

    def sync_dir(self, path: Path) -> None:
        """See Disk."""
        self._effect()

    def write(self, handle: int, data: memoryview) -> int:
        """See Disk. The process may be killed in the middle of it."""
        half = len(data) // 2
        self._effect()
        written = super().write(handle, data[:half])
        self._effect()
        return written + super().write(handle, data[half:])

    def fdatasync(self, handle: int) -> None:
        """See Disk."""
        self._effect()

    def truncate(self, handle: int, size: int) -> None:
        """See Disk."""
        self._effect()
        super().truncate(handle, size)

    def write_lock(self, handle: int, text: bytes) -> None:
        """See LockFiles."""
        self._effect()
        os.pwrite(handle, text, 0)
        os.ftruncate(handle, len(text))


@dataclass(frozen=True, kw_only=True)
class OwnSession(Session):
    """The session of one process, with its own files and locks."""

    files: RealDisk
    owner: Owner

    @property
    def store(self) -> DirectoryStore:
        """The store of the runs directory."""
        return DirectoryStore(self.runs_dir, disk=self.files, owner=self.owner)


@dataclass
class Schedulers:
    """The schedulers of a seed, the cloud and the clock of their machine."""

    seed: int
    patch: pytest.MonkeyPatch
    begin: Instant = 0
    moved: Duration = 0
    """How far the wall clock is ahead of the true time."""
    met: Counter[str] = field(default_factory=Counter)
    lives: int = 0

    def simulate(self) -> list[str]:
        """Run the seed in the current directory; return what it broke."""
        dice = Dice(self.seed, "schedules")
        self.begin = dice.pick(STARTS) + dice.between(0, 600) * MINUTE
        fleet = synthetic.build(size=14, seed=self.seed, now=self.begin, regions=("cn-hangzhou",))
        cloud = EmulatedCloud(fleet, Switches(boot_time_ms=20_000), seed=self.seed)
        kinds = ("throttle_user", "slow", "lost_after", "unavailable")
        cloud.arm(FaultPlan([Fault(one, 0.02) for one in kinds if dice.chance(40)], self.seed))
        self.service = VirtualService(cloud, self.begin)
        spec = SPEC.replace("CRON", dice.pick(("30 2 * * *", "0 4 * * *", "*/30 1-3 * * *")))
        spec = spec.replace("ZONE", dice.pick(("Europe/Berlin", "UTC", "Asia/Shanghai")))
        spec = spec.replace("LAP", dice.pick(("skip", "queue")))
        spec = spec.replace("LATE", dice.pick(("10m", "1h")))
        stage.write_spec(Path(), text=spec)
        loop.run(self._main, dice)
        return list(self._wrong())

    async def _main(self, dice: Dice) -> None:
        self.service.install(self.patch)
        self.patch.setattr(scheduler, "POLL_S", POLL_S)
        self.patch.setattr(disk, "_PAUSES_S", ())
        self.patch.setattr(logs, "say", lambda *_, **__: None)
        for module in (schedule_book, scheduler, ticks, schedules):
            self.patch.setattr(module, "wall_clock", self.wall_clock)
        schedules.add(Path("fleet.yaml"), self.service.session, lambda _: None)
        async with anyio.create_task_group() as tasks:
            for number in range(dice.pick((1, 2, 2))):
                tasks.start_soon(self._process, number)
            tasks.start_soon(self._move_clock, Dice(self.seed, "clock"))
            await self.service.until(self.begin + BUSY_MS + CALM_MS)
            tasks.cancel_scope.cancel()

    def wall_clock(self) -> Instant:
        """Return the wall time of the machine."""
        return self.service.now() + self.moved

    @property
    def busy(self) -> bool:
        """Whether processes are still killed and clocks still move."""
        return self.service.now() < self.begin + BUSY_MS

    async def _process(self, number: int) -> None:
        """Start a scheduler again and again, however the former one ended."""
        dice = Dice(self.seed, f"process {number}")
        while True:
            self.lives += 1
            left = dice.between(1, dice.pick((30, 100, 400))) if dice.chance(60) else None
            await self._life(dice, MortalDisk(left if self.busy else None))
            await anyio.sleep(dice.between(1, dice.pick((60, 3_600))))

    async def _life(self, dice: Dice, files: MortalDisk) -> None:
        owner = Owner("desk", 100 + self.lives, 0, boot="kernel", token=f"{self.lives}")
        connection = Connection(emulator=True)
        session = OwnSession(connection=connection, allow_unsafe_fs=True, files=files, owner=owner)
        lasts_ms = CALM_MS + BUSY_MS if not self.busy else self._until_killed(dice)
        try:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(scheduler.serve, lambda: session)
                await anyio.sleep(lasts_ms / SECOND)
                files.die()
                tasks.cancel_scope.cancel()
        except BaseException:
            if not files.dead:
                raise
        self.met["killed"] += files.dead

    def _until_killed(self, dice: Dice) -> Duration:
        """Return how long a process lives: often until some minutes after the next tick."""
        if dice.chance(40):
            return dice.between(1, 40_000) * SECOND
        (due,) = schedules.upcoming("fleet", self.service.session, 1)
        return due - self.wall_clock() + dice.between(0, dice.pick((20, 300, 900))) * SECOND

    async def _move_clock(self, dice: Dice) -> None:
        while True:
            await anyio.sleep(dice.between(1, 20) * HOUR / SECOND)
            if self.busy and dice.chance(50):
                self.moved += dice.pick((-5 * HOUR, -20 * MINUTE, 40 * MINUTE, 3 * HOUR))
                self.met["clock moved"] += 1

    # what must hold

    def _wrong(self) -> Iterator[str]:
        session = self.service.session
        entries = session.store.schedules().entries("fleet")
        state = schedule_book.Book.of(session.store).state("fleet")
        assert state.schedule is not None
        journal = fuzz.Journal(schedule_book.ticks_of(state.schedule), entries[-1].at, entries)
        try:
            fuzz.check(journal, entries[0].at, state.schedule.catch_up_ms)
        except AssertionError as error:
            yield f"ticks: {error}"
        events = [entry.event for entry in entries]
        planned = {event.plan_digest for event in events if isinstance(event, TickPlanned)}
        started = [run for run in session.store.runs() if run.started is not None]
        digests = Counter(run.started.plan_digest for run in started if run.started)
        yield from (f"two runs of one tick: {one}" for one, n in digests.items() if n > 1)
        yield from (f"a run of no tick: {one}" for one in digests if one not in planned)
        yield from _ended_with_a_run(events, digests)
        yield from self._overlapping(started)
        for stored in started:
            verdict = verify_journal(session.runs_dir, stored.id, None)
            yield from (f"{stored.id}: {problem.message}" for problem in verdict.problems)
        folded = [runs.fold(stored).run for stored in started]
        stopped = [run for run in folded if run.closed is None]
        for run in stopped:
            reason = run.halted.reason if run.halted else "nothing"
            if reason not in HELD:
                yield f"{run.run_id} did not end, stopped by {reason}"
        if state.open is not None and not stopped:
            yield f"the tick {format_instant(state.open.tick)} did not end"
        self.met += Counter(type(event).__name__ for event in events)
        self.met["runs"] += len(started)
        self.met["resumed"] += sum(run.epoch > 1 for run in folded)
        self.met["held"] += len(stopped)

    def _overlapping(self, started: list[StoredRun]) -> Iterator[str]:
        """Yield runs that overlap, and instances that one run restarted twice."""
        spans: list[tuple[Instant, Instant]] = []
        for run in started:
            lines = list(run.read())
            closed = [line.at for line in lines if isinstance(line.body[-1], RunClosed)]
            spans.append((run.at, closed[0] if closed else self.service.begin + (1 << 50)))
        spans.sort()
        for one, other in pairwise(spans):
            if other[0] < one[1]:
                yield "two runs overlap"
        restarts = [e for e in self.service.cloud.ledger if e.effect in ("reboot", "start")]
        for begun, ended in spans:
            counts = Counter(e.instance for e in restarts if begun <= e.at <= ended)
            yield from (f"{one} was restarted {n} times" for one, n in counts.items() if n > 1)
        for entry in restarts:
            if not any(begun <= entry.at <= ended + MINUTE for begun, ended in spans):
                yield f"{entry.instance} was restarted outside a run"


def _ended_with_a_run(events: list[ScheduleEvent], started: Container[str]) -> Iterator[str]:
    """Yield ticks that ended without their run, although it had started."""
    planned = {one.tick: one.plan_digest for one in events if isinstance(one, TickPlanned)}
    ended = [one for one in events if isinstance(one, TickEnded)]
    for one in ended:
        if one.outcome is not TickOutcome.CLOSED and planned.get(one.tick) in started:
            yield f"the tick {format_instant(one.tick)} ended as {one.outcome} with a run"


@contextlib.contextmanager
def _project() -> Iterator[pytest.MonkeyPatch]:
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        yield patch


def simulate(seed: int) -> tuple[list[str], Counter[str]]:
    """Simulate one seed; return what it broke, and what it met."""
    with _project() as patch:
        made = Schedulers(seed, patch)
        return made.simulate(), made.met


def main() -> int:
    """Simulate the requested seeds."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--start", type=int, default=0)
    options = parser.parse_args()
    total, failed = Counter[str](), 0
    for seed in range(options.start, options.start + options.seeds):
        wrong, met = simulate(seed)
        total += met
        failed += bool(wrong)
        for text in wrong[:3]:
            print(f"seed {seed}: {text}", flush=True)
    print(f"{options.seeds} seeds, {failed} failed: {dict(total)}")
    return min(failed, 1)


if __name__ == "__main__":
    sys.exit(main())
