"""Answers of DescribeInstances that leave instances out while they reboot."""

from __future__ import annotations

import time
from pathlib import Path

from tests.e2e.operators import admin
from tests.e2e.stage import stage

SIZE, DOWN = 9, 3
PARTIAL = {"faults": [{"fault": "partial_describe", "actions": ["DescribeInstances"]}]}


def test_a_partial_answer_makes_nothing_gone(tmp_path: Path) -> None:
    """Five seconds of half answers while instances reboot: the budget holds, all end done."""
    fleet = tmp_path / "fleet.yaml"
    fleet.write_text(f"- {{ count: {SIZE} }}\n")
    with stage(tmp_path, size=None, options=("--fleet", str(fleet), "--boot-time", "2s")) as made:
        made.write_spec("half", max_down=str(DOWN))
        planned = made.run("plan", "half.yaml", "--out", "half.plan.json")
        assert planned.returncode == 0, planned.stderr
        apply = made.begin("apply", "half.plan.json", "--no-input")
        while not made.restarts():
            time.sleep(0.05)
        admin(made, "faults", PARTIAL)
        time.sleep(5)
        made.disarm()
        out, err = apply.communicate(timeout=60)
        assert apply.returncode == 0, out + err
        assert "gone" not in out + err
        assert made.wrong("half.plan.json", down_max=DOWN) == ""
