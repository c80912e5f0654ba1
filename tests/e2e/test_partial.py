"""A service that refuses restarts as busy, then omits rebooting instances from its replies."""

from __future__ import annotations

import time
from collections import Counter
from pathlib import Path

from rollout.journal.reader import read
from rollout.model import limits
from rollout.model.command import RestartCall
from rollout.model.event import Issued
from tests.e2e.operators import admin
from tests.e2e.stage import Stage, stage

SIZE, DOWN = 9, 3
BUSY = {"faults": [{"fault": "conflict", "actions": ["RebootInstance"]}]}
PARTIAL = {"faults": [{"fault": "partial_describe", "actions": ["DescribeInstances"]}]}


def test_busy_refusals_and_partial_replies_only_delay(tmp_path: Path) -> None:
    """After more refusals than attempts, and five seconds of incomplete replies while instances
    reboot, the budget holds, no instance is gone or stranded, and all are done.
    """
    fleet = tmp_path / "fleet.yaml"
    fleet.write_text(f"- {{ count: {SIZE} }}\n")
    options = ("--fleet", str(fleet), "--boot-time", "2s")
    with stage(tmp_path, size=None, options=options) as made:
        made.write_spec("half", max_down=str(DOWN))
        planned = made.run("plan", "half.yaml", "--out", "half.plan.json")
        assert planned.returncode == 0, planned.stderr
        apply = made.begin("apply", "half.plan.json", "--no-input")
        while not made.admin("ledger"):
            time.sleep(0.05)
        admin(made, "faults", BUSY)
        while _most_restart_intents(made) <= limits.ATTEMPTS_MAX:
            assert apply.poll() is None, apply.communicate()
            time.sleep(0.2)
        made.disarm()
        while not made.restarts():
            time.sleep(0.05)
        admin(made, "faults", PARTIAL)
        time.sleep(5)
        made.disarm()
        out, err = apply.communicate(timeout=60)
        assert apply.returncode == 0, out + err
        assert "gone" not in out + err
        assert made.wrong("half.plan.json", down_max=DOWN) == ""


def _most_restart_intents(made: Stage) -> int:
    """Return the highest number of restart calls of one instance in the journal."""
    counts: Counter[int] = Counter()
    for run_dir in (made.folder / "runs").glob("r-*"):
        for line in read(run_dir):
            for event in line.body:
                if isinstance(event, Issued) and isinstance(event.command, RestartCall):
                    counts.update(event.command.ordinals)
    return max(counts.values(), default=0)
