"""Changes by other operators during a run, or between plan and apply."""

from __future__ import annotations

import json
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.e2e.operators import admin
from tests.e2e.stage import Stage, stage

TWICE, STOPPED, DOWN = 18, 4, 8


def test_changes_by_other_operators_are_detected(tmp_path: Path) -> None:
    """A second run on the same fleet in another runs directory is refused (R0620), and stops with
    exit 6 (R0610) if it passes over the mark. An instance that was stopped after planning is
    skipped and never started.
    """
    fleet = tmp_path / "fleet.yaml"
    fleet.write_text(
        f"- {{ count: {TWICE}, tags: {{ case: twice }} }}\n"
        f"- {{ count: {STOPPED}, tags: {{ case: stopped }} }}\n"
    )
    options = ("--fleet", str(fleet), "--boot-time", "1s")
    with stage(tmp_path, size=None, options=options) as shared, ThreadPoolExecutor(2) as pool:
        both = [pool.submit(case, shared) for case in (_two_runs, _stopped_by_hand)]
        for case in both:
            case.result()


def _two_runs(shared: Stage) -> None:
    first, second = (_planned(shared, folder, "twice", DOWN) for folder in ("first", "second"))
    targets = first.targets("twice.plan.json")
    apply = first.begin("apply", "twice.plan.json", "--no-input")
    while sum(row["instance"] in targets for row in shared.admin("ledger")) <= DOWN:
        time.sleep(0.05)
    warned = second.run("apply", "twice.plan.json", "--no-input")
    assert warned.returncode == 6 and "R0620" in warned.stderr, warned.stderr
    late = second.run("apply", "twice.plan.json", "--no-input", "--no-fence")
    apply.kill()
    apply.communicate()
    assert late.returncode == 6, late.stderr
    assert "R0610" in late.stderr and "new key" in late.stderr
    assert second.run("audit", "verify").returncode == 0
    assert json.loads(second.run("status", "-o", "json").stdout)["state"] == "halted"
    twice = [name for name, count in shared.restarts().items() if name in targets and count > 1]
    assert not twice


def _stopped_by_hand(shared: Stage) -> None:
    made = _planned(shared, "stopped", "stopped", STOPPED)
    targets = made.targets("stopped.plan.json")
    stopped = min(targets)
    admin(shared, "instances", {"instance": stopped, "status": "Stopped"})
    ended = made.run("apply", "stopped.plan.json", "--no-input")
    assert ended.returncode == 0, ended.stderr
    assert "stopped_since_plan" in ended.stdout
    rows = [row for row in shared.admin("ledger") if row["instance"] in targets]
    assert not [row for row in rows if row["effect"] == "start"]
    assert not [row for row in rows if row["instance"] == stopped and row["effect"] == "attach"]


def _planned(shared: Stage, folder: str, case: str, down: int) -> Stage:
    made = shared.beside(shared.folder / folder)
    spec = made.write_spec(case, case=case, max_down=str(down))
    text, _, _ = spec.read_text().partition("  waves:")
    spec.write_text(text)  # one wave
    planned = made.run("plan", f"{case}.yaml", "--out", f"{case}.plan.json")
    assert planned.returncode == 0, planned.stderr
    return made
