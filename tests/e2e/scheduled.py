"""Schedulers that are killed again and again while their ticks are due, and what must hold then.

`python -m tests.e2e.scheduled --ticks 30 --kills 20` is the long form of `test_scheduler.py`: its
ticks are due by the clock, some each minute.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from subprocess import Popen
from typing import Any

from rollout.app import audit
from tests.e2e.stage import Stage, stage

GROUP = """\
- {{ count: 4, region: cn-hangzhou, tags: {{ case: {name} }} }}
- {{ count: 1, region: cn-hangzhou, tags: {{ case: {name} }}, status: Stopped }}
"""
DOWN = 3
SCHEDULE = '  schedule: {{ cron: "{cron}", timeZone: UTC, overlap: queue, onDue: planAndApply }}\n'
NEVER = "0 0 29 2 *"
"""Due on the next 29th of February: such a schedule fires when it is triggered."""
PAUSE_S = 20.0
"""Longest pause between two kills of the long form."""
PATIENCE_S = 300
"""Longest time without the end of a tick."""


@dataclass
class Schedulers:
    """Processes of `rollout serve --scheduler` on one runs directory, and how often each was
    killed.
    """

    made: Stage
    count: int
    dice: random.Random
    running: list[Popen[str]] = field(default_factory=list)
    kills: int = 0

    def start(self) -> None:
        """Start the missing processes."""
        while len(self.running) < self.count:
            self.running.append(self.made.begin("serve", "--scheduler"))

    def kill_one(self) -> None:
        """Kill one process with SIGKILL, and start another."""
        victim = self.running.pop(self.dice.randrange(len(self.running)))
        assert victim.poll() is None, victim.communicate()
        victim.kill()
        victim.communicate()
        self.kills += 1
        self.start()

    def stop(self) -> list[int]:
        """End all processes with SIGTERM, and return their exit codes."""
        for process in self.running:
            process.terminate()
        for process in self.running:
            process.communicate(timeout=60)
        return [process.returncode for process in self.running]


def names(ticks: int) -> list[str]:
    """Return the names of schedules that have one tick each."""
    return [f"tick-{number:02d}" for number in range(ticks)]


def fleet(folder: Path, ticks: int) -> tuple[str, ...]:
    """Write a fleet with a group of instances for each tick; return the emulator's options."""
    file = folder / "fleet.yaml"
    file.write_text("".join(GROUP.format(name=name) for name in names(ticks)))
    return ("--fleet", str(file), "--boot-time", "1s")


def add(made: Stage, name: str, cron: str = NEVER) -> None:
    """Add a schedule that rotates the group of its name; trigger it if it has no time."""
    spec = made.write_spec(name, case=name, max_down=str(DOWN), regions="cn-hangzhou")
    spec.write_text(spec.read_text() + SCHEDULE.format(cron=cron))
    steps = [["add", spec.name, "--confirm", name], *([["trigger", name]] if cron == NEVER else [])]
    for words in steps:
        done = made.run("schedule", *words)
        assert done.returncode == 0, done.stderr


def entries(made: Stage, name: str) -> list[dict[str, Any]]:
    """Return the journal of a schedule: the events of its files."""
    folder = made.folder / "runs" / "schedules" / name
    return [json.loads(file.read_bytes())["event"] for file in sorted(folder.glob("0*.json"))]


def drive(schedulers: Schedulers, ticks: int, kills: int, pause_s: float) -> None:
    """Run the schedulers until all ticks ended, and kill one of them so often while a tick is
    open, with random pauses of at most `pause_s`.
    """
    made, dice = schedulers.made, schedulers.dice
    schedulers.start()
    due = time.monotonic() + dice.uniform(0.5, pause_s)
    left, patience = ticks, time.monotonic() + PATIENCE_S
    while waiting := [last for name in names(ticks) if (last := kinds(made, name)[-1]) != "ended"]:
        if len(waiting) < left:
            left, patience = len(waiting), time.monotonic() + PATIENCE_S
        assert time.monotonic() < patience, waiting
        if (
            schedulers.kills < kills
            and time.monotonic() >= due
            and {"claimed", "planned"} & {*waiting}
        ):
            schedulers.kill_one()
            due = time.monotonic() + dice.uniform(0.5, pause_s)
        time.sleep(0.05)


def kinds(made: Stage, name: str) -> list[str]:
    """Return the types of the events of a schedule."""
    return [one["type"] for one in entries(made, name)]


def wrong(made: Stage, ticks: int) -> list[str]:
    """Compare the journals of the schedules and of their runs with the emulator's hidden ledger.

    Each tick was claimed once, and ended with a run that is closed. Each target was restarted once,
    no instance without a run was changed, and every run can be verified.
    """
    found = [why for name in names(ticks) for why in _wrong_tick(made, name)]
    planned = [made.targets(_last(made, name, "planned")["file"]) for name in names(ticks)]
    restarts = made.restarts()
    if (others := set(restarts) - set().union(*planned)) or sum(restarts.values()) != len(restarts):
        found.append(f"restarted: {dict(restarts)}, not planned: {others}")
    runs = list((made.folder / "runs").glob("r-*"))
    if len(runs) != ticks:
        found.append(f"{len(runs)} runs of {ticks} ticks")
    return found


def _wrong_tick(made: Stage, name: str) -> Iterator[str]:
    counts = Counter(kinds(made, name))
    counts.pop("requested", None)
    if (
        set(counts) - {"queued"} != {"added", "claimed", "planned", "ended"}
        or max(counts.values()) > 1
    ):
        yield f"{name}: {dict(counts)}"
        return
    ended = _last(made, name, "ended")
    if (ended["outcome"], ended["exit"]) != ("closed", 0):
        yield f"{name}: {ended}"
        return
    if why := made.wrong(_last(made, name, "planned")["file"], down_max=DOWN):
        yield f"{name}: {why}"
    if problems := audit.verify_journal(made.folder / "runs", ended["run"], None).problems:
        yield f"{name}: {problems}"


def _last(made: Stage, name: str, kind: str) -> dict[str, Any]:
    return [one for one in entries(made, name) if one["type"] == kind][-1]


def crons(ticks: int, each_minute: int) -> list[str]:
    """Return times from three minutes on, several schedules for each minute."""
    first = datetime.now(UTC).replace(second=0, microsecond=0) + timedelta(minutes=3)
    times = [first + timedelta(minutes=number // each_minute) for number in range(ticks)]
    return [f"{at.minute} {at.hour} {at.day} {at.month} *" for at in times]


def figures(made: Stage, ticks: int) -> dict[str, Any]:
    """Return what happened: events of the schedules, restarts, and how often runs were resumed."""
    text = "".join(file.read_text() for file in (made.folder / "runs").glob("r-*/*.jsonl"))
    return {
        "events": Counter(kind for name in names(ticks) for kind in kinds(made, name)),
        "restarts": made.restarts().total(),
        "resumed": text.count('"type":"Resumed"'),
    }


def main() -> int:
    """Run the long form, print its figures, and return 1 if something is wrong."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--ticks", type=int, default=30)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--each-minute", type=int, default=3)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as passing:
        folder = Path(passing)
        with stage(folder, size=None, options=fleet(folder, given.ticks)) as made:
            due = crons(given.ticks, given.each_minute)
            for name, cron in zip(names(given.ticks), due, strict=True):
                add(made, name, cron)
            schedulers = Schedulers(made, given.processes, random.Random(given.seed))
            drive(schedulers, given.ticks, given.kills, PAUSE_S)
            codes, found = schedulers.stop(), wrong(made, given.ticks)
            found += [f"{schedulers.kills} kills"] * (schedulers.kills < given.kills)
            shown = {**vars(given), **figures(made, given.ticks), "exits": codes, "wrong": found}
            print(json.dumps(shown))
    return 1 if found or set(codes) != {143} else 0


if __name__ == "__main__":
    sys.exit(main())
