"""Events and journals that the tests of the journal share."""

from pathlib import Path

from rollout.journal import writer
from rollout.journal.disk import REAL, Disk
from rollout.model.command import RestartCall
from rollout.model.event import (
    FORMAT_VERSION,
    Actor,
    AnyEvent,
    Halted,
    Issued,
    Moved,
    RunStarted,
    Settled,
    Trigger,
)
from rollout.model.instance import Status
from rollout.model.observation import ObservedGroup
from rollout.model.outcome import Done
from rollout.model.plan import RULES, RestartKind

NOW = 1_795_400_000_000
RUN = "r-abcdefghij"
ACTOR = Actor("li.wei", "acs:ram::1:user/li.wei", "ops-1", 4711, "rollout 0.1.0")
HALTED = Halted("disk_full", "R0801", 74, "no space left")


def started(run: str = RUN, plan_digest: str = "sha256:0") -> RunStarted:
    """The first event of a run."""
    digests = (plan_digest, "sha256:1", "sha256:2")
    return RunStarted(FORMAT_VERSION, run, *digests, RULES, ACTOR, NOW)


def issued(number: int) -> Issued:
    """The intent of one reboot."""
    command = RestartCall(RestartKind.REBOOT, (number,), (f"i-{number:08}",))
    seen = ObservedGroup(Status.RUNNING, "ops-2026q4", NOW - 86_400_000, NOW)
    return Issued(number, command, NOW + 60_000, (seen,))


def turn(number: int) -> list[AnyEvent]:
    """The events of one turn: a call, its result, and an observation."""
    return [
        issued(number),
        Settled(number, NOW, Done(f"473469C7-AA6F-4DC5-B3DB-{number:012}", NOW)),
        Moved(Trigger.OBSERVED_BOOTED, (number,), "start_time", NOW),
    ]


def write(runs_dir: Path, lines: int, *, disk: Disk = REAL, close: bool = True) -> Path:
    """A journal of so many lines; its run directory. Not closed: as a killed process leaves it."""
    journal = writer.create(runs_dir, RUN, b"{}", disk=disk)
    journal.append([started()], NOW)
    for number in range(1, lines):
        journal.append(turn(number), NOW + number)
    journal.sync_now()
    if close:
        journal.close()
    journal.release()
    return runs_dir / RUN


def events(run_dir: Path, *, disk: Disk = REAL) -> list[AnyEvent]:
    """Everything a journal says, in order."""
    return [event for line in writer.read(run_dir, disk=disk) for event in line.body]
