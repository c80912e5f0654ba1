"""A run that is killed at any point and resumed ends like an undisturbed run."""

from __future__ import annotations

import hashlib
import signal
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.e2e.stage import Stage, stage

KILLS = 20
LATEST_S = 14.0
"""A run takes about twelve seconds, and its process starts late with nineteen others."""
DOWN = 3
"""Less than an image family has, so that after a kill one instance remains to show that StartTime
moves.
"""
FLEET = """\
- {{ count: 5, region: cn-hangzhou, tags: {{ case: {name} }} }}
- {{ count: 1, region: cn-hangzhou, tags: {{ case: {name} }}, status: Stopped }}
- {{ count: 5, region: cn-shanghai, tags: {{ case: {name} }} }}
- {{ count: 1, region: cn-shanghai, tags: {{ case: {name} }}, status: Stopped }}
"""


def test_twenty_kills_leave_every_instance_restarted_once(tmp_path: Path) -> None:
    """After SIGKILL at 20 random points and a resume, each target has one attach, one restart."""
    fleet = tmp_path / "fleet.yaml"
    fleet.write_text("".join(FLEET.format(name=_name(number)) for number in range(KILLS)))
    options = ("--fleet", str(fleet), "--boot-time", "1s")
    with stage(tmp_path, size=None, options=options) as made, ThreadPoolExecutor(KILLS) as pool:
        failures = list(pool.map(lambda number: _killed_once(made, number), range(KILLS)))
    assert failures == [""] * KILLS


def _killed_once(shared: Stage, number: int) -> str:
    name = _name(number)
    made = shared.beside(shared.folder / name)
    calls = "batch" if number % 4 == 0 else "single"
    made.write_spec(name, calls=calls, max_down=str(DOWN), case=name)
    planned = made.run("plan", f"{name}.yaml", "--out", "kill.plan.json")
    if planned.returncode:
        return planned.stderr
    apply = made.begin("apply", "kill.plan.json", "--no-input")
    time.sleep(0.4 + _draw(number) * LATEST_S)
    apply.send_signal(signal.SIGKILL)
    apply.communicate()
    return _resume(made) or made.wrong("kill.plan.json", down_max=DOWN)


def _resume(made: Stage) -> str:
    """Resume the run. If the run had not started, apply the plan."""
    for words in (("resume", "--last"), ("apply", "kill.plan.json", "--no-input")):
        ended = made.run(*words)
        if ended.returncode not in (0, 6):
            return f"{words}: exit {ended.returncode}\n{ended.stdout}{ended.stderr}"
    verified = made.run("audit", "verify")
    return "" if verified.returncode == 0 else verified.stdout + verified.stderr


def _name(number: int) -> str:
    return f"kill-{number}"


def _draw(number: int) -> float:
    digest = hashlib.blake2b(f"kill {number}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") / 2**64
