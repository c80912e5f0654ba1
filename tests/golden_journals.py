"""Golden journals: small runs in format 1.0, one for each way in which a run can end.

`python -m tests.golden_journals NAME…` writes the named journals to `tests/data/journals`. Use it
only for a new ending: existing files represent what released versions have written and must stay
readable. The core's decider creates the events, with the simulated service of `tests.core.world`.
"""

from __future__ import annotations

import errno
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import msgspec

from rollout.errors import StorageError
from rollout.journal import writer
from rollout.journal.directory import DirectoryRun
from rollout.journal.disk import RealDisk
from rollout.journal.reader import run_id
from rollout.model import approval, halts
from rollout.model import event as ev
from rollout.model.event import OperatorVerb
from rollout.model.gate import ExecGate, GateAnswer, GateReply, HttpGate
from rollout.model.instance import OsFamily, Status
from rollout.model.outcome import Answer, Refused, RetryClass, Unsent
from rollout.model.probe import HostKeySeen, KeyAccess, LoginSeen, Probe, ReadHostKey
from rollout.model.spec import PPM, Amount, Budget, OnFailure, Restart, Stopped, WaveGate
from rollout.model.time import DAY, HOUR, MINUTE, SECOND
from rollout.model.verify import SshLogin, Verify
from rollout.model.windows import Interval, PlanWindows
from tests import golden_plans
from tests.core import samples
from tests.core.world import Script
from tests.golden_run import OPEN, GoldenRun, golden
from tests.tree import ROOT

FOLDER = ROOT / "tests" / "data" / "journals"
UNSENT = Unsent.DISK.refusal()
FACT = Refused("InvalidOperation.Locked", RetryClass.FACT)
NO_SPACE = halts.halted(halts.HaltReason.DISK, "no space left on device")


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
    assert not run.order(OperatorVerb.ABORT, reason="wrong key")
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


def gate_shut(runs_dir: Path) -> GoldenRun:
    """A run that halts because one question opens its gate and the other one keeps it shut."""
    asked = HttpGate(url="https://alerts.internal/firing", expect=204), ExecGate(argv=("check",))
    canary = msgspec.structs.replace(samples.CANARY, bake_ms=5 * MINUTE)
    run = golden(3, waves=(canary, *samples.REST), gates=asked)
    run.answers = [OPEN, GateReply(GateAnswer.SHUT, "exit code 1: error rate 2.4 %")]
    run.decider.waits = False
    return _written(run, runs_dir)


def operated(runs_dir: Path) -> GoldenRun:
    """A run that operators pause and resume, promote at a manual gate, and resolve a doubt."""
    canary = msgspec.structs.replace(samples.CANARY, gate=WaveGate.MANUAL)
    script = Script(calls={4: "lost_before"}, start_time_moves=False)
    run = golden(3, script, waves=(canary, *samples.REST))
    run.go(until=run.now + 10 * SECOND)
    assert not run.order(OperatorVerb.PAUSE, reason="peak hour")
    run.at(run.now + 5 * MINUTE, lambda: None)
    run.go(until=run.now + 5 * MINUTE)
    assert not run.order(OperatorVerb.RESUME)
    assert not run.order(OperatorVerb.PROMOTE, reason="canary looks good")
    run.go()
    (doubt,) = (ordinal for ordinal, held in enumerate(run.run.held) if held)
    name = run.run.layout.targets[doubt].instance
    assert not run.order(OperatorVerb.RESOLVE, instance=name, resolution=ev.Resolution.UNTOUCHED)
    run.resume()
    return _written(run, runs_dir)


def quarantined(runs_dir: Path) -> GoldenRun:
    """A run that holds the rest of an image because it fails alone."""
    images = "aaaaxxxaaaaxxx"
    rows = [samples.instance(n, image=f"m-{one}", zone="") for n, one in enumerate(images)]
    refuse = {f"i-{n:04d}": FACT for n, one in enumerate(images) if one == "x"}
    spec = samples.exposing(2, on_failure=OnFailure(failed=50, quarantine=True))
    run = GoldenRun(samples.make_plan(rows, spec), rows, Script(refuse=refuse)).start()
    return _written(run, runs_dir)


def window_closed(runs_dir: Path) -> GoldenRun:
    """A run that halts because its window closes before the last restarts."""
    rows = samples.fleet(5)
    plan = samples.make_plan(rows, samples.capped(2))
    opened = ((MINUTE, plan.restart.longest_ms + 90 * SECOND), (5 * HOUR, 8 * HOUR))
    spans = tuple(Interval(samples.NOW + one, samples.NOW + two) for one, two in opened)
    windows = PlanWindows("UTC", "2026a", samples.NOW + 60 * DAY, spans)
    plan = msgspec.structs.replace(plan, windows=windows)
    run = GoldenRun(plan, rows, Script(boot_ms=30 * SECOND)).start()
    run.go(until=run.now + 2 * MINUTE)
    run.decider.waits = False
    return _written(run, runs_dir)


def login_refused(runs_dir: Path) -> GoldenRun:
    """A run that halts because its canary runs and refuses the new key."""
    waves = (samples.CANARY, *samples.REST)
    run = golden(3, waves=waves, verify=Verify(SshLogin("root", timeout_ms=30 * SECOND)))

    def guest(probe: Probe) -> HostKeySeen | LoginSeen:
        if isinstance(probe, ReadHostKey):
            return HostKeySeen("SHA256:a")
        new = KeyAccess.REFUSED if probe.ordinal == 0 else KeyAccess.ACCEPTED
        return LoginSeen(new, KeyAccess.REFUSED, "SHA256:a")

    run.guest = guest
    return _written(run, runs_dir)


def budget_held(runs_dir: Path) -> GoldenRun:
    """A run in which an instance that does not start again keeps the only permit."""
    rows = samples.fleet(3)
    run = GoldenRun(
        samples.make_plan(rows, samples.capped(1)), rows, Script(stuck=("i-0000",))
    ).start()
    return _written(run, runs_dir)


def undone(runs_dir: Path) -> GoldenRun:
    """A run that gives instances two former keys back."""
    plan = golden_plans.undo()
    rows = samples.fleet(10, regions=2, key_pair=samples.NEW_KEY)
    return _written(GoldenRun(plan, rows).start(), runs_dir)


def lease_lost(runs_dir: Path) -> GoldenRun:
    """A run that took over the lease of another run, and whose own lease is taken over."""
    run = golden(4)
    former = "run r-c3yhleleg3 by process 41 of ops on desk until 2026-11-22T20:52:41Z"
    run.decider.put(ev.Leased(samples.ACCOUNT, samples.REGIONS[0], 8, former), run.now)
    run.go(until=run.now + 11 * SECOND)
    why = "the lease of cn-hangzhou was taken over for run r-jizlbfzasv by process 7 of ops on desk"
    run.decider.halt(halts.halted(halts.HaltReason.LEASE, why), run.now)
    return _written(run, runs_dir)


def approved(runs_dir: Path) -> GoldenRun:
    """A run whose plan was approved by two persons."""
    run = GoldenRun(golden_plans.approvals(), samples.fleet(4)).start()
    for signer in golden_plans.SIGNERS[1:]:
        note = approval.write(run.saved.digest, run.plan.name, samples.NOW, "CHG0042", signer)
        run.decider.put(ev.Approved(signer.verifier.id, note), run.now)
    return _written(run, runs_dir)


def counted(runs_dir: Path) -> GoldenRun:
    """A run in which a Windows member of one quorum is down for a while, and one of another quorum
    for so long that the instances of that quorum are left out.
    """
    rows = [
        samples.instance(
            number,
            tags=(("quorum", "ab"[number % 2]),),
            os=OsFamily.WINDOWS if number > 3 else OsFamily.LINUX,
        )
        for number in range(6)
    ]
    quorum = Budget("tag:quorum", Amount(count=1))
    spec = samples.spec(budgets=(Budget("fleet", Amount(share_ppm=PPM)), quorum))
    run = GoldenRun(samples.make_plan(rows, spec), rows).start()
    for number in (4, 5):
        run.machines[f"i-{number:04d}"].change(run.now, status=Status.STOPPING)
    back = run.machines["i-0004"]
    run.at(run.now + 3 * MINUTE, lambda: back.change(run.now, status=Status.RUNNING))
    return _written(run, runs_dir)


def troubled(runs_dir: Path) -> GoldenRun:
    """A run with rare events: clocks that differ, a slowed lane, a late reply, accepted failures, a
    stop by a signal, a cut line, a refused command, and a key pair with another public key.
    """
    rows = samples.fleet(8)
    refuse = {f"i-{number:04d}": FACT for number in (0, 1, 4, 5)}
    run = GoldenRun(golden_plans.guarded(), rows, Script(refuse=refuse)).start()
    lane = (samples.ACCOUNT, samples.REGIONS[0], "AttachKeyPair")
    for one in run.plan.overridden():
        run.decider.put(ev.Overridden(one.field, one.value, one.former, one.reason), run.now)
    run.decider.put(ev.LastWaveSet(0, samples.ACTOR), run.now)
    run.decider.put(ev.ClockSkew(run.now, run.now + 3 * MINUTE), run.now)
    run.decider.put(ev.LaneSlowed(*lane, 30, 4, run.now + MINUTE), run.now)
    run.go(until=run.now + SECOND)
    run.decider.call_ended(1, Answer(FACT), run.now)
    run.go()
    run.resume()
    run.decider.put(ev.LaneRecovered(*lane), run.now)
    run.go(until=run.now + SECOND)
    run.decider.drain("SIGTERM", "signal", run.now)
    run.go()
    run._append(ev.TornTail(17, f"sha256:{'5c' * 32}"))
    run.resume()
    assert run.order(OperatorVerb.RESUME) == "it is not paused"
    run.public_key = "ssh-ed25519 AAAAother"
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
    gate_shut: "halted for gate_shut: 1 done, 2 skipped",
    operated: "closed with exit code 0: 3 done",
    quarantined: "closed with exit code 3: 8 done, 4 failed, 2 skipped",
    window_closed: "halted for window: 2 done, 3 skipped",
    login_refused: "halted for login: 1 failed, 2 skipped",
    budget_held: "closed with exit code 3: 1 failed, 2 skipped",
    undone: "closed with exit code 0: 6 done, 5 excluded",
    lease_lost: "halted for lease: 2 skipped, 2 in_doubt",
    approved: "closed with exit code 0: 4 done, 1 excluded",
    counted: "closed with exit code 3: 2 done, 2 skipped, 2 excluded",
    troubled: "halted for key_pair: 4 failed, 2 stranded, 3 excluded",
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
