"""Killed anywhere, resumed: the end is as if nothing had happened."""

from __future__ import annotations

import hashlib
import json
import signal
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.e2e.stage import Stage, stage

KILLS = 20
AT_ONCE = 10
LATEST_S = 20.0
"""The apply of these fleets takes about twenty seconds: kills fall anywhere in it."""
SIZE = 54
"""Three regions of 18: at least three plain targets of each image in each of the two we rotate."""
DOWN = "2"
"""Fewer than a family has, so that a kill leaves one of it to show that StartTime moves there."""


def test_twenty_kills_leave_every_instance_restarted_once(tmp_path: Path) -> None:
    """SIGKILL at 20 random points and a resume: each target is attached and restarted once."""
    with ThreadPoolExecutor(AT_ONCE) as pool:
        failures = list(pool.map(lambda number: _killed_once(tmp_path, number), range(KILLS)))
    assert failures == [""] * KILLS


def _killed_once(tmp_path: Path, number: int) -> str:
    folder = tmp_path / f"kill-{number}"
    folder.mkdir()
    options = ("--boot-time", "1s")
    with stage(folder, size=SIZE, seed=number, options=options) as made:
        made.write_spec("kill", calls="batch" if number % 4 == 0 else "single", max_down=DOWN)
        planned = made.run("plan", "kill.yaml", "--out", "kill.plan.json")
        if planned.returncode:
            return planned.stderr
        apply = made.begin("apply", "kill.plan.json", "--no-input")
        time.sleep(0.4 + _draw(number) * LATEST_S)
        apply.send_signal(signal.SIGKILL)
        apply.communicate()
        return _resume(made) or _judge(made, folder / "kill.plan.json")


def _resume(made: Stage) -> str:
    """Resume; before the run began there is nothing to resume and the plan is applied."""
    for words in (("resume", "--last"), ("apply", "kill.plan.json", "--no-input")):
        ended = made.run(*words, timeout=90)
        if ended.returncode not in (0, 6):
            return f"{words}: exit {ended.returncode}\n{ended.stdout}{ended.stderr}"
    verified = made.run("audit", "verify")
    return "" if verified.returncode == 0 else verified.stdout + verified.stderr


def _judge(made: Stage, plan_file: Path) -> str:
    plan = json.loads(plan_file.read_bytes())
    targets = [
        target["instance"]
        for wave in plan["waves"]
        for cell in wave["cells"]
        for batch in cell["batches"]
        for target in batch["targets"]
    ]
    restarts = made.restarts()
    shown = {row["instance"]: row for row in made.admin("instances")}
    wrong = [i for i in targets if restarts[i] != 1 or shown[i]["key_in_force"] != "kill-key"]
    extra = sorted(set(restarts) - set(targets))
    return f"wrong {wrong} extra {extra}" if wrong or extra else ""


def _draw(number: int) -> float:
    digest = hashlib.blake2b(f"kill {number}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") / 2**64
