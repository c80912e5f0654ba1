"""Golden journals: small runs in format 1.0, one for each way in which a run can end.

`python -m tests.golden_journals NAME…` writes the named journals to `tests/data/journals`. Use it
only for a new ending: existing files represent what released versions have written and must stay
readable. The core's decider creates the events, with the simulated service of `tests.core.world`.
"""

from __future__ import annotations

import errno
import shutil
import sys
from collections.abc import Callable, Iterator
from itertools import groupby
from pathlib import Path

from rollout.app import plan_file
from rollout.errors import StorageError
from rollout.journal import writer
from rollout.journal.directory import DirectoryRun
from rollout.journal.disk import RealDisk
from rollout.journal.reader import run_id
from rollout.model import event as ev
from rollout.model import halts
from rollout.model.event import AnyEvent, OperatorVerb
from rollout.model.instance import Status
from rollout.model.outcome import Answer, Refused, RetryClass, Unsent
from rollout.model.plan import Plan
from rollout.model.spec import Restart, Stopped
from rollout.model.time import SECOND, Instant
from tests.core import samples
from tests.core.world import Script, World
from tests.tree import ROOT

FOLDER = ROOT / "tests" / "data" / "journals"
UNSENT = Unsent.DISK.refusal()
FACT = Refused("InvalidOperation.Locked", RetryClass.FACT)
NO_SPACE = halts.halted(halts.HaltReason.DISK, "no space left on device")


class GoldenRun(World):
    """A run that records the time of each event."""

    def __init__(self, plan: Plan, *args: object, **kwargs: object) -> None:
        self.saved = plan_file.with_digest(plan)
        self.times: list[Instant] = []
        super().__init__(plan, *args, **kwargs)  # type: ignore[arg-type]

    def start(self) -> GoldenRun:
        digest = self.saved.digest
        self.decider.start(run_id(digest), digest, samples.ACTOR, self.now)
        return self

    def _append(self, event: AnyEvent) -> None:
        super()._append(event)
        self.times.append(self.now)

    def lines(self) -> Iterator[tuple[Instant, list[AnyEvent]]]:
        """Yield the events of each instant; the instant is the time of their line."""
        pairs = zip(self.times, self.journal, strict=True)
        for at, group in groupby(pairs, key=lambda pair: pair[0]):
            yield at, [event for _, event in group]

    def write(self, runs_dir: Path) -> Path:
        """Write the run as its process left it: with a seal if the process closed or stopped the
        run.
        """
        journal = writer.create(runs_dir, run_id(self.saved.digest), self.saved.raw)
        for at, events in self.lines():
            journal.append(events, at)
            journal.sync_now()
        if self.run.closed or self.run.stopping:
            journal.close()
        journal.release()
        (journal.run_dir / "reserve").unlink(missing_ok=True)
        return journal.run_dir


def golden(size: int, script: Script | None = None, **changes: object) -> GoldenRun:
    """Start a run of `size` instances, of which two may be down at a time."""
    rows = samples.fleet(size)
    return GoldenRun(samples.make_plan(rows, samples.capped(2, **changes)), rows, script).start()


def closed(runs_dir: Path) -> GoldenRun:
    """A run in which every instance is done."""
    return _written(golden(4, waves=(samples.CANARY, *samples.REST)), runs_dir)


def failed(runs_dir: Path) -> GoldenRun:
    """A run that closes although the attach of one instance was refused permanently."""
    return _written(golden(12, Script(refuse={"i-0003": FACT})), runs_dir)


def halted(runs_dir: Path) -> GoldenRun:
    """A run that halts because too many attaches were refused."""
    refuse = {f"i-{number:04d}": FACT for number in range(6)}
    return _written(golden(12, Script(refuse=refuse)), runs_dir)


def in_doubt(runs_dir: Path) -> GoldenRun:
    """A run with a restart whose reply was lost and whose boot was never observed."""
    run = golden(3, Script(calls={2: "lost_before"}, start_time_moves=False))
    return _written(run, runs_dir)


def aborted(runs_dir: Path) -> GoldenRun:
    """A run that an operator aborts while instances are restarting."""
    run = golden(6)
    run.go(until=run.now + 11 * SECOND)
    order = ev.OperatorCommand(
        "4f2a", OperatorVerb.ABORT, samples.ACTOR, run.now, "inbox", "wrong key"
    )
    run.decider.operate(order, run.now)
    return _written(run, runs_dir)


def torn(runs_dir: Path) -> GoldenRun:
    """A run whose process was killed while it wrote a line."""
    run = golden(4)
    run.go(until=run.now + 10 * SECOND)
    path = run.write(runs_dir) / "journal-000001.jsonl"
    with path.open("ab") as file:
        file.write(b'{"seq":8,"at":1795400')
    return run


def poisoned(runs_dir: Path) -> GoldenRun:
    """A run whose disk was full before two restarts: the last lines use the reserve's space."""
    run = golden(4)
    run.go(until=run.now + 9_900)
    run.heap.clear()
    run.now += SECOND
    disk = _FullDisk()
    journal = writer.create(runs_dir, run_id(run.saved.digest), run.saved.raw, disk=disk)
    *lines, (last_at, last_events) = run.lines()
    for at, events in lines:
        journal.append(events, at)
        journal.sync_now()
    disk.full = True
    journal.append(last_events, last_at)
    try:
        journal.sync_now()
    except StorageError:
        disk.full, durable = False, len(run.journal)
        for n in sorted(run.run.open_calls):
            run.decider.call_ended(n, Answer(UNSENT), run.now)
        run.decider.halt(NO_SPACE, run.now)
        assert journal.append_final(run.journal[durable:], run.now)
    journal.release()
    return run


def resumed_twice(runs_dir: Path) -> GoldenRun:
    """A run of three processes: two were killed with open calls, the third one closes the run."""
    run = golden(5)
    for _ in range(2):
        run.go(until=run.now + 10 * SECOND)
        run.resume()
    return _written(run, runs_dir)


def stranded(runs_dir: Path) -> GoldenRun:
    """A run with an instance that was stopped after its attach; stopped instances are left
    unchanged.
    """
    run = golden(3, restart=Restart(stopped=Stopped.LEAVE))
    machine = run.machines["i-0001"]
    run.at(run.now + 3 * SECOND, lambda: machine.change(run.now, status=Status.STOPPED))
    return _written(run, runs_dir)


def foreign_change(runs_dir: Path) -> GoldenRun:
    """A run in which other operators gave one instance a third key and restarted another one."""
    run = golden(5)
    run.machines["i-0001"].change(run.now, key_pair="theirs")
    run.at(run.now + 4 * SECOND, lambda: run.boot(run.machines["i-0000"]))
    return _written(run, runs_dir)


ENDINGS: dict[Callable[[Path], GoldenRun], str] = {
    closed: "closed with exit code 0: 4 done",
    failed: "closed with exit code 3: 11 done, 1 failed",
    halted: "halted for failures: 4 failed, 8 skipped",
    in_doubt: "halted for in_doubt: 2 done, 1 in_doubt",
    aborted: "closed with exit code 3: 2 done, 4 skipped",
    torn: "killed: 2 skipped, 2 in_doubt",
    poisoned: "halted for disk: 2 skipped, 2 stranded",
    resumed_twice: "closed with exit code 0: 5 done",
    stranded: "closed with exit code 3: 2 done, 1 stranded",
    foreign_change: "closed with exit code 3: 4 done, 1 skipped",
}
"""The function for each ending."""


def find(folder: Path) -> DirectoryRun:
    """Return the only run in a directory."""
    (path,) = folder.glob("r-*")
    return DirectoryRun(path)


class _FullDisk(RealDisk):
    """A disk that refuses journal writes while it is `full`."""

    full = False

    def write(self, handle: int, data: memoryview) -> int:
        if self.full:
            raise OSError(errno.ENOSPC, "no space left on device")
        return super().write(handle, data)


def _written(run: GoldenRun, runs_dir: Path) -> GoldenRun:
    run.go()
    run.write(runs_dir)
    return run


def write(*names: str) -> None:
    """Write the journals with these names."""
    for ending in ENDINGS:
        folder = FOLDER / ending.__name__
        if ending.__name__ in names:
            shutil.rmtree(folder, ignore_errors=True)
            ending(folder)


if __name__ == "__main__":
    write(*sys.argv[1:])
