"""A schedule fires through the command line, and a killed scheduler starts nothing twice."""

from __future__ import annotations

import json
import random
import time
from pathlib import Path
from typing import Any

from tests.e2e import scheduled
from tests.e2e.stage import Stage, stage

SCHEDULE = '  schedule: { cron: "0 0 29 2 *", timeZone: Asia/Shanghai, onDue: planAndApply }\n'
DATED = '"fleet-{year}q{quarter}"'


def entries(made: Stage) -> list[dict[str, Any]]:
    """Return the decisions about the schedule."""
    listed = made.run("schedule", "list", "fleet", "-o", "json")
    assert listed.returncode == 0, listed.stderr
    found: list[dict[str, Any]] = json.loads(listed.stdout)["entries"]
    return found


def test_a_killed_scheduler_is_continued_by_the_next_one(tmp_path: Path) -> None:
    """SIGKILL within the run: the next scheduler finishes that run. Ledger and journal agree."""
    with stage(tmp_path, size=12, options=("--boot-time", "300ms")) as made:
        spec = made.write_spec("fleet")
        spec.write_text(spec.read_text().replace("name: fleet-key", f"name: {DATED}") + SCHEDULE)
        refused = made.run("schedule", "add", "fleet.yaml")
        assert refused.returncode == 7 and "--confirm fleet" in refused.stderr
        added = made.run("schedule", "add", "fleet.yaml", "--confirm", "fleet")
        assert added.returncode == 0, added.stderr
        assert made.run("schedule", "trigger", "fleet").returncode == 0

        first = made.begin("serve", "--scheduler")
        patience = time.monotonic() + 60
        while not sum(made.restarts().values()):
            assert first.poll() is None and time.monotonic() < patience, first.communicate()
            time.sleep(0.05)
        first.kill()
        first.communicate()
        second = made.run("serve", "--scheduler", "--once")
        assert second.returncode == 0, second.stdout + second.stderr

        found = entries(made)
        assert [one["event"] for one in found] == [
            "added",
            "requested",
            "claimed",
            "planned",
            "ended",
        ]
        assert (found[-1]["outcome"], found[-1]["exit"]) == ("closed", 0)
        plan = found[-2]["file"]
        assert made.wrong(plan, down_max=12) == ""
        assert [run.name for run in (tmp_path / "runs").glob("r-*")] == [found[-1]["run"]]
        assert made.run("audit", "verify", found[-1]["run"]).returncode == 0
        drift = made.run("drift", "fleet.yaml", "--detailed-exitcode")
        assert drift.returncode == 0, drift.stdout + drift.stderr


def test_two_schedulers_of_which_one_is_killed_fire_each_tick_once(tmp_path: Path) -> None:
    """Two processes on one runs directory, and three kills while ticks are open: every tick fires
    once, no target is restarted twice, and both processes end with 143 after SIGTERM.
    """
    ticks = 2
    with stage(tmp_path, size=None, options=scheduled.fleet(tmp_path, ticks)) as made:
        for name in scheduled.names(ticks):
            scheduled.add(made, name)
        schedulers = scheduled.Schedulers(made, 2, random.Random(7))
        scheduled.drive(schedulers, ticks, kills=3, pause_s=4)

        assert schedulers.kills == 3
        assert schedulers.stop() == [143, 143]
        assert scheduled.wrong(made, ticks) == []
