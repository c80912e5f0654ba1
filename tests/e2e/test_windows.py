"""A window that closes in the middle of a wave, on the night when the clocks change."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests.e2e.operators import admin
from tests.e2e.stage import PUBLIC_KEY, ROLLOUT, Stage, stage

pytestmark = pytest.mark.skipif(
    sys.platform != "linux" or shutil.which("faketime") is None,
    reason="no program that shifts the clock (faketime)",
)

SPEC = """\
apiVersion: rollout/v1
kind: KeyRotation
metadata: { name: night }
spec:
  keyPair: { name: night-key, publicKeyFile: new.pub, ensure: import }
  inventory: [ { source: ecs, regions: [cn-hangzhou] } ]
  budgets: [ { by: fleet, maxDown: 1 } ]
  restart: { settleWindow: 1s, timeout: 10s }
  waves: [ { name: canary, size: 1 }, { name: bulk, size: rest } ]
  windows:
    timeZone: Europe/Berlin
    allow: [ { from: "01:00", to: "03:00" }, { from: "03:30", to: "04:30" } ]
"""

CLOSES = datetime(2026, 3, 29, 1, 0, tzinfo=UTC)
"""03:00 in Berlin, which follows 01:59:59: the window lasts one hour instead of two."""
OPENS = datetime(2026, 3, 29, 1, 30, tzinfo=UTC)
RESTART_LONGEST_S = 70
"""No restart begins later before the close: a minute for its call, ten seconds for its boot."""


def at(made: Stage, instant: datetime) -> tuple[str, ...]:
    """Set the service's clock to an instant, and return the program whose clock shows it too."""
    shift = instant.timestamp() - time.time()
    admin(made, "switches", {"clock_skew_ms": int(shift * 1000)})
    return ("env", "FAKETIME_DONT_FAKE_MONOTONIC=1", "faketime", "-f", f"{shift:+.0f}", *ROLLOUT)


def interrupt(applied: subprocess.Popen[str]) -> None:
    """Interrupt the command that `faketime` runs as its child, and wait until both have ended."""
    children = Path(f"/proc/{applied.pid}/task/{applied.pid}/children").read_text()
    os.kill(int(children), signal.SIGINT)
    applied.communicate(timeout=60)


def restarts(made: Stage) -> list[float]:
    """Return when each restart so far began."""
    rows = made.admin("ledger")
    return [row["at"] / 1000 for row in rows if row["effect"] in ("reboot", "start")]


def test_a_window_that_closes_in_the_middle_of_a_wave_ends_the_restarts_of_that_night(
    tmp_path: Path,
) -> None:
    """No restart begins that could not finish before the clocks change; a resume in the next
    window restarts the others, and the audit log says when each window closes and opens.
    """
    (tmp_path / "new.pub").write_text(PUBLIC_KEY + "\n")
    (tmp_path / "night.yaml").write_text(SPEC)
    row = {"region": "cn-hangzhou", "count": 8, "start_time": "2026-01-02T03:04Z"}
    (tmp_path / "fleet.jsonl").write_text(json.dumps(row) + "\n")
    options = ("--boot-time", "2s", "--fleet", "fleet.jsonl")
    with stage(tmp_path, size=None, options=options) as made:
        program = at(made, CLOSES - timedelta(seconds=RESTART_LONGEST_S + 25))
        planned = made.run("plan", "night.yaml", "--out", "night.plan.json", program=program)
        assert planned.returncode == 0, planned.stdout + planned.stderr
        targets = made.targets("night.plan.json")

        words = ("apply", "night.plan.json", "--no-input", "--confirm", "night")
        applied = made.begin(*words, program=program)
        assert applied.stderr is not None
        assert any("window.closed" in line for line in applied.stderr), "it ended before the window"
        interrupt(applied)
        made.await_boots()  # the clock then jumps past the time that the last of them may take
        first = restarts(made)
        assert 0 < len(first) < len(targets)
        assert max(first) <= CLOSES.timestamp() - RESTART_LONGEST_S + 1  # the offset is in seconds

        resumed = made.run("resume", "--last", program=at(made, OPENS))
        assert resumed.returncode == 0, resumed.stdout + resumed.stderr
        assert made.restarts() == dict.fromkeys(targets, 1)
        assert min(restarts(made)[len(first) :]) >= OPENS.timestamp()
        audit = " ".join(made.run("audit", "show").stdout.split())
        opens = "2026-03-29 03:30 +02:00 (2026-03-29T01:30:00Z)"
        assert f"nothing begins, the next window opens {opens}" in audit, audit
        assert "it closes 2026-03-29 04:30 +02:00 (2026-03-29T02:30:00Z)" in audit, audit
        assert made.run("audit", "verify").returncode == 0
